"""The column says so too, without looking at the rows again"""

from alembic import op

revision = "a143"
down_revision = "a142"


def upgrade():
    op.execute("SET LOCAL lock_timeout = '2s'")
    op.alter_column("orders", "status", nullable=False)
    op.drop_constraint("status_is_told", "orders")


def downgrade():
    op.execute("SET LOCAL lock_timeout = '2s'")
    op.create_check_constraint("status_is_told", "orders", "status IS NOT NULL")
    op.alter_column("orders", "status", nullable=True)
