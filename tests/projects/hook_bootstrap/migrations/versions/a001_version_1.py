"""What version 1 had"""
import sqlalchemy as sa
from alembic import op

revision = "a001"
down_revision = None


def upgrade():
    op.execute("COMMENT ON FUNCTION shout(text) IS 'of version 1'")


def downgrade():
    pass
