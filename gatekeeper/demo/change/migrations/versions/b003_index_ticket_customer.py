"""Find a customer's tickets quickly

Revision ID: b003
Revises: b002
"""

from alembic import op

revision = "b003"
down_revision = "b002"


def upgrade():
    op.create_index("ix_tickets_customer_id", "tickets", ["customer_id"])


def downgrade():
    op.drop_index("ix_tickets_customer_id", table_name="tickets")
