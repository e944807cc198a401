"""Payments of orders"""

import sqlalchemy as sa
from alembic import op

revision = "a170"
down_revision = "a160"


def upgrade():
    op.execute("SET LOCAL lock_timeout = '2s'")
    op.create_table(
        "payments",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("order_id", sa.Integer, sa.ForeignKey("orders.id"), nullable=False, index=True),
        sa.Column("amount", sa.Integer, nullable=False),
    )


def downgrade():
    op.execute("SET LOCAL lock_timeout = '2s'")
    op.drop_table("payments")
