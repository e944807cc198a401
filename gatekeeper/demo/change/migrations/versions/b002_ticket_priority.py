"""Tickets have a priority

Revision ID: b002
Revises: b001
"""

import sqlalchemy as sa
from alembic import op

revision = "b002"
down_revision = "b001"


def upgrade():
    op.add_column(
        "tickets",
        sa.Column("priority", sa.SmallInteger, nullable=False, server_default="0"),
    )


def downgrade():
    pass
