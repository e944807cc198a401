"""Orders get a status, by a default that writes no row"""

import sqlalchemy as sa
from alembic import op

revision = "a110"
down_revision = "a100"

STATUS = sa.Enum("placed", "paid", "sent", name="orderstatus")


def upgrade():
    op.execute("SET LOCAL lock_timeout = '2s'")
    STATUS.create(op.get_bind())
    op.add_column("orders", sa.Column("status", STATUS, server_default="placed"))


def downgrade():
    op.execute("SET LOCAL lock_timeout = '2s'")
    op.drop_column("orders", "status")
    STATUS.drop(op.get_bind(), checkfirst=True)
