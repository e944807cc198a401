from alembic import op

revision = "a004"
down_revision = "a003"


def upgrade():
    op.execute("ALTER ROLE reader LOGIN")
    op.execute("CREATE ROLE auditor")


def downgrade():
    op.execute("DROP ROLE auditor")
