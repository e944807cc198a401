"""Drop the ticket status, workflows replace it

Revision ID: b001
Revises: a002
"""

import sqlalchemy as sa
from alembic import op

revision = "b001"
down_revision = "a002"


def upgrade():
    op.execute("DROP TYPE ticketstatus CASCADE")


def downgrade():
    status = sa.Enum("open", "waiting", "closed", name="ticketstatus")
    status.create(op.get_bind())
    op.add_column("tickets", sa.Column("status", status, nullable=False, server_default="open"))
