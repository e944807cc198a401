"""Orders get a status; old ones have none yet"""

import sqlalchemy as sa
from alembic import op

revision = "a110"
down_revision = "a100"

STATUS = sa.Enum("placed", "paid", "sent", name="orderstatus")


def upgrade():
    op.execute("SET LOCAL lock_timeout = '2s'")
    STATUS.create(op.get_bind())
    op.add_column("orders", sa.Column("status", STATUS))
    op.alter_column("orders", "status", server_default="placed")


def downgrade():
    op.execute("SET LOCAL lock_timeout = '2s'")
    op.drop_column("orders", "status")
    STATUS.drop(op.get_bind(), checkfirst=True)
