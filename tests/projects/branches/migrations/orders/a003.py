"""Message of a003."""

from alembic import op

revision = 'a003'
down_revision = 'a001'


def upgrade():
    op.execute("CREATE TABLE right_side (id int)")


def downgrade():
    op.drop_table("right_side")
