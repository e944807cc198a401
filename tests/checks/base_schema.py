"""The database on which the examples of the checks' pages are run: tables that hold rows."""

BASE = '''\
"""Create orders and customers."""

from alembic import op

revision = "a001"
down_revision = None


def upgrade():
    op.execute("CREATE TYPE ticketstatus AS ENUM ('open', 'closed')")
    op.execute("CREATE TABLE customers (id bigint PRIMARY KEY, email text)")
    op.execute(
        "CREATE TABLE orders (id bigint PRIMARY KEY, status ticketstatus, customer_id bigint, "
        "total numeric, note text)"
    )
    op.execute("INSERT INTO customers SELECT n, n || '@example.org' FROM generate_series(1, 5) n")
    op.execute("INSERT INTO orders SELECT n, 'open', n % 5 + 1, n FROM generate_series(1, 25) n")


def downgrade():
    op.execute("DROP TABLE orders, customers")
    op.execute("DROP TYPE ticketstatus")
'''

_EXAMPLE = '''\
"""An example."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "b002"
down_revision = "a001"


{upgrade}


{downgrade}
'''


def example_source(upgrade: str, downgrade: str) -> str:
    """Return the file of the revision `b002` that holds an example's functions."""
    return _EXAMPLE.format(upgrade=upgrade, downgrade=downgrade)
