"""Totals beyond two billion; the code before does not know what `note` is called now"""

import sqlalchemy as sa
from alembic import op

revision = "a200"
down_revision = "a170"


def upgrade():
    op.execute("SET LOCAL lock_timeout = '2s'")
    op.alter_column("orders", "total", type_=sa.BigInteger, existing_nullable=False)
    op.alter_column("orders", "note", new_column_name="remark")


def downgrade():
    op.execute("SET LOCAL lock_timeout = '2s'")
    op.alter_column("orders", "remark", new_column_name="note")
    op.alter_column("orders", "total", type_=sa.Integer, existing_nullable=False)
