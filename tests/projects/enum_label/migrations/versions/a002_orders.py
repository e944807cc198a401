"""states"""

from alembic import op

revision = "a002"
down_revision = "a001"


def upgrade():
    op.execute("CREATE TYPE state AS ENUM ('open', 'closed')")
    op.execute("CREATE TABLE orders (id int PRIMARY KEY, state state NOT NULL)")


def downgrade():
    op.execute("DROP TABLE orders")
    op.execute("DROP TYPE IF EXISTS state")
