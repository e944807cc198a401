"""Message of a001."""

from alembic import op

revision = 'a001'
down_revision = None


def upgrade():
    op.execute("CREATE TABLE orders (id int)")


def downgrade():
    op.drop_table("orders")
