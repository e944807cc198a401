"""Give the old orders their status, some at a time"""

import sqlalchemy as sa
from alembic import op

revision = "a130"
down_revision = "a120"

BATCH = 50_000
FILL = sa.text(
    "UPDATE orders SET status = 'placed'"
    " WHERE id > :start AND id <= :start + :batch AND status IS NULL"
)


def upgrade():
    with op.get_context().autocommit_block():
        connection = op.get_bind()
        last = connection.scalar(sa.text("SELECT max(id) FROM orders")) or 0
        for start in range(0, last, BATCH):
            connection.execute(FILL, {"start": start, "batch": BATCH})


def downgrade():
    # A status more does not hurt the code of the release before
    pass
