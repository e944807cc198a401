"""day: the day of the run becomes a default"""

import time

import sqlalchemy as sa
from alembic import op

revision = "a003"
down_revision = "a002"


def upgrade():
    op.execute("SET LOCAL lock_timeout = '2s'")
    op.add_column("orders", sa.Column("made", sa.Text(), server_default=str(time.time_ns())))


def downgrade():
    op.execute("SET LOCAL lock_timeout = '2s'")
    op.drop_column("orders", "made")
