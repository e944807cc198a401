"""email"""
import sqlalchemy as sa
from alembic import op

revision = "a001"
down_revision = None


def upgrade():
    op.add_column("users", sa.Column("email", sa.Text))


def downgrade():
    op.drop_column("users", "email")
