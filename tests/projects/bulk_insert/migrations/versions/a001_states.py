"""Message of a001."""

import sqlalchemy as sa
from alembic import op

revision = "a001"
down_revision = None


def upgrade():
    states = op.create_table("states", sa.Column("name", sa.Text(), primary_key=True))
    op.bulk_insert(states, [{"name": name} for name in ("open", "waiting", "closed")])


def downgrade():
    op.drop_table("states")
