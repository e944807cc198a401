"""Message of b001."""

from alembic import op

revision = 'b001'
down_revision = None
depends_on = 'a002'


def upgrade():
    op.execute("CREATE TABLE bills (id int)")


def downgrade():
    op.drop_table("bills")
