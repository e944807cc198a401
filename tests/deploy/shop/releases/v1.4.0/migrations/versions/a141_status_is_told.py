"""Every new order has a status"""

from alembic import op

revision = "a141"
down_revision = "a130"


def upgrade():
    op.execute("SET LOCAL lock_timeout = '2s'")
    op.create_check_constraint(
        "status_is_told", "orders", "status IS NOT NULL", postgresql_not_valid=True
    )


def downgrade():
    op.execute("SET LOCAL lock_timeout = '2s'")
    op.drop_constraint("status_is_told", "orders")
