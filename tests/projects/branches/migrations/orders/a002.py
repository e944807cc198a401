"""Message of a002."""

from alembic import op

revision = 'a002'
down_revision = 'a001'


def upgrade():
    op.execute("CREATE TABLE left_side (id int)")


def downgrade():
    op.drop_table("left_side")
