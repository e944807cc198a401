"""users"""

from alembic import op

revision = "a001"
down_revision = None


def upgrade(**arguments):
    op.execute("CREATE TABLE users (id int)")


def downgrade(**arguments):
    op.execute("DROP TABLE users")
