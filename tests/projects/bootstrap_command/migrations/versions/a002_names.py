"""names"""
import sqlalchemy as sa
from alembic import op

revision = "a002"
down_revision = 'a001'


def upgrade():
    op.execute("CREATE VIEW names AS SELECT name FROM users")


def downgrade():
    op.execute("DROP VIEW names")
