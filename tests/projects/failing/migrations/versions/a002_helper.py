"""Message of a002."""

import sqlalchemy as sa
from alembic import op

revision = "a002"
down_revision = "a001"


def add(name):
    op.add_column("users", sa.Column(name, sa.Text()))


def upgrade():
    add("email")
    add("email")
