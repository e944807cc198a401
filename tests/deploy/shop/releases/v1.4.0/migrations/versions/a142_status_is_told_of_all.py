"""Every order has a status"""

from alembic import op

revision = "a142"
down_revision = "a141"


def upgrade():
    op.execute("SET LOCAL lock_timeout = '2s'")
    op.execute("ALTER TABLE orders VALIDATE CONSTRAINT status_is_told")


def downgrade():
    op.execute("SET LOCAL lock_timeout = '2s'")
    op.drop_constraint("status_is_told", "orders")
    op.create_check_constraint(
        "status_is_told", "orders", "status IS NOT NULL", postgresql_not_valid=True
    )
