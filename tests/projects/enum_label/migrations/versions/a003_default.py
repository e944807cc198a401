"""waiting: a label that no downgrade can take away"""

from alembic import op

revision = "a003"
down_revision = "a002"


def upgrade():
    with op.get_context().autocommit_block():
        op.execute("ALTER TYPE state ADD VALUE IF NOT EXISTS 'waiting'")


def downgrade():
    pass
