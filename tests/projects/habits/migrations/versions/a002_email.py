"""email"""

from alembic import op

revision = "a002"
down_revision = "a001"


def upgrade(**arguments):
    op.execute("ALTER TABLE users ADD COLUMN email text")


def downgrade(**arguments):
    op.execute("ALTER TABLE users DROP COLUMN email")
