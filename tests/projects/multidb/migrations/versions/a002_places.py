"""Message of a002."""

import sqlalchemy as sa
from alembic import op

revision = "a002"
down_revision = "a001"


def upgrade(engine_name):
    globals()["upgrade_" + engine_name]()


def downgrade(engine_name):
    globals()["downgrade_" + engine_name]()


def upgrade_shop():
    pass


def downgrade_shop():
    pass


def upgrade_stock():
    op.create_table("places", sa.Column("id", sa.Integer, primary_key=True))


def downgrade_stock():
    op.drop_table("places")
