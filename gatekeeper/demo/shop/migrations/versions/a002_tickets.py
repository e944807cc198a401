"""Tickets

Revision ID: a002
Revises: a001
"""

import sqlalchemy as sa
from alembic import op

revision = "a002"
down_revision = "a001"


def upgrade():
    op.create_table(
        "tickets",
        sa.Column("id", sa.BigInteger, primary_key=True),
        sa.Column("customer_id", sa.BigInteger, sa.ForeignKey("customers.id"), nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column(
            "status",
            sa.Enum("open", "waiting", "closed", name="ticketstatus"),
            nullable=False,
            server_default="open",
        ),
    )


def downgrade():
    op.drop_table("tickets")
    op.execute("DROP TYPE IF EXISTS ticketstatus")
