"""email"""

import sqlalchemy as sa
from alembic import op

revision = "a002"
down_revision = "a001"


def upgrade():
    op.execute("SET LOCAL lock_timeout = '2s'")
    op.add_column("users", sa.Column("email", sa.Text()))


def downgrade():
    op.execute("SET LOCAL lock_timeout = '2s'")
    op.drop_column("users", "email")
