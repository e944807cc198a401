"""closed: rows of the base have no value for it"""

import sqlalchemy as sa
from alembic import op

revision = "a003"
down_revision = "a002"


def upgrade():
    op.execute("SET LOCAL lock_timeout = '2s'")
    op.add_column("accounts", sa.Column("closed", sa.Boolean(), nullable=False), schema="ledger")


def downgrade():
    op.execute("SET LOCAL lock_timeout = '2s'")
    op.drop_column("accounts", "closed", schema="ledger")
