"""Message of a004."""

from alembic import op

revision = 'a004'
down_revision = ('a002', 'a003')


def upgrade():
    op.execute("CREATE TABLE merged (id int)")


def downgrade():
    op.drop_table("merged")
