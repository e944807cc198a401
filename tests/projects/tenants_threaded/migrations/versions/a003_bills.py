"""Message of a003."""

import sqlalchemy as sa
from alembic import op

revision = "a003"
down_revision = "a002"


def upgrade():
    op.create_table("bills", sa.Column("id", sa.Integer(), primary_key=True))


def downgrade():
    op.execute("SELECT 1")
