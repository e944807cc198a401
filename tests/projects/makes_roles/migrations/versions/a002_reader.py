from alembic import op

revision = "a002"
down_revision = "a001"


def upgrade():
    op.execute("CREATE ROLE reader")
    op.execute("GRANT SELECT ON users TO reader")


def downgrade():
    op.execute("DROP OWNED BY reader")
    op.execute("DROP ROLE reader")
