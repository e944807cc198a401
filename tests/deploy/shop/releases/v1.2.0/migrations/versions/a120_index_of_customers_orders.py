"""Find the orders of a customer"""

from alembic import op

revision = "a120"
down_revision = "a110"


def upgrade():
    with op.get_context().autocommit_block():
        op.create_index(
            "ix_orders_customer_id",
            "orders",
            ["customer_id"],
            postgresql_concurrently=True,
            if_not_exists=True,
        )


def downgrade():
    with op.get_context().autocommit_block():
        op.drop_index(
            "ix_orders_customer_id", "orders", postgresql_concurrently=True, if_exists=True
        )
