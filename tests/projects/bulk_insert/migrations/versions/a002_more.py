"""Message of a002: its downgrade leaves rows that the second upgrade collides with."""

import sqlalchemy as sa
from alembic import op

revision = "a002"
down_revision = "a001"


def upgrade():
    states = sa.table("states", sa.column("name", sa.Text()))
    op.create_unique_constraint("only_one", "states", ["name"])
    op.bulk_insert(states, [{"name": "kept"}])


def downgrade():
    op.drop_constraint("only_one", "states", type_="unique")
