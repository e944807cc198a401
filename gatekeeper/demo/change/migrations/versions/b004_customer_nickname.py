"""Customers may have a nickname

Revision ID: b004
Revises: b003
"""

import sqlalchemy as sa
from alembic import op

revision = "b004"
down_revision = "b003"


def upgrade():
    op.add_column("customers", sa.Column("nickname", sa.Text))


def downgrade():
    op.drop_column("customers", "nickname")
