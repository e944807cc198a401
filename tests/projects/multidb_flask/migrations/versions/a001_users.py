"""Message of a001."""

import sqlalchemy as sa
from alembic import op

revision = "a001"
down_revision = None


def upgrade(engine_name):
    globals()["upgrade_" + engine_name]()


def downgrade(engine_name):
    globals()["downgrade_" + engine_name]()


def upgrade_():
    op.create_table("users", sa.Column("id", sa.Integer, primary_key=True))


def downgrade_():
    op.drop_table("users")


def upgrade_stock():
    op.create_table("items", sa.Column("id", sa.Integer, primary_key=True))


def downgrade_stock():
    op.drop_table("items")
