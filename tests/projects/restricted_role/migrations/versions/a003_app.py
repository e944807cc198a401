from alembic import op

revision = "a003"
down_revision = "a002"


def upgrade():
    op.execute("CREATE ROLE app")


def downgrade():
    op.execute("DROP ROLE app")
