"""code"""

import sqlalchemy as sa
from alembic import op

revision = "a002"
down_revision = "a001"


def upgrade():
    op.execute("SET LOCAL lock_timeout = '2s'")
    op.add_column("accounts", sa.Column("code", sa.Text()), schema="ledger")


def downgrade():
    op.execute("SET LOCAL lock_timeout = '2s'")
    op.drop_column("accounts", "code", schema="ledger")
