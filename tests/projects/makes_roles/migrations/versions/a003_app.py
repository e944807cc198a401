from alembic import op

revision = "a003"
down_revision = "a002"


def upgrade():
    op.execute("CREATE ROLE app NOLOGIN IN ROLE reader")
    op.execute("GRANT INSERT, UPDATE ON users TO app")
    op.execute("ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO app")


def downgrade():
    op.execute("DROP OWNED BY app")
    op.execute("DROP ROLE app")
