"""default: the downgrade forgets it"""

from alembic import op

revision = "a003"
down_revision = "a002"


def upgrade():
    op.execute("SET LOCAL lock_timeout = '2s'")
    op.alter_column("users", "name", server_default="nobody")


def downgrade():
    op.execute("SET LOCAL lock_timeout = '2s'")
    op.alter_column("users", "name", nullable=False)
