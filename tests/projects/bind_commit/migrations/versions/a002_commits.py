"""Message of a002: ends the transaction by text, then goes on outside one."""

from alembic import op

revision = "a002"
down_revision = "a001"


def upgrade():
    op.execute("ALTER TABLE users ADD COLUMN a int")
    op.execute("COMMIT")
    op.execute("ALTER TABLE users ADD COLUMN b int")
    op.execute("ROLLBACK")
    with op.get_context().autocommit_block():
        op.execute("CREATE INDEX CONCURRENTLY ix ON users (a)")
    op.execute("ALTER TABLE users ADD COLUMN c int")


def downgrade():
    op.drop_column("users", "c")
    op.drop_index("ix", "users")
    op.drop_column("users", "a")
