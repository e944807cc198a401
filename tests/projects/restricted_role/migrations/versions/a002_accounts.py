import sqlalchemy as sa
from alembic import op

revision = "a002"
down_revision = "a001"


def upgrade():
    op.add_column("currencies", sa.Column("digits", sa.Integer), schema="accounts")
    op.execute("GRANT SELECT ON accounts.currencies TO reader")


def downgrade():
    op.execute("REVOKE SELECT ON accounts.currencies FROM reader")
    op.drop_column("currencies", "digits", schema="accounts")
