"""Message of a001."""

from alembic import op

revision = "a001"
down_revision = None


def upgrade():
    op.execute("CREATE SCHEMA billing")
    op.execute("CREATE TABLE users (id serial PRIMARY KEY, name text NOT NULL)")
    op.execute("CREATE TABLE orders (id serial PRIMARY KEY, user_id int, kept int, gone int)")
    op.execute("CREATE INDEX ix_gone ON orders (gone)")


def downgrade():
    pass
