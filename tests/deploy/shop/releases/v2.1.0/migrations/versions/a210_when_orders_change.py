"""Orders know when they were changed"""

import sqlalchemy as sa
from alembic import op

revision = "a210"
down_revision = "a200"

TOUCH = """
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.changed_at = now();
    RETURN NEW;
END $$
"""


def upgrade():
    op.execute("SET LOCAL lock_timeout = '2s'")
    op.add_column("orders", sa.Column("changed_at", sa.DateTime(timezone=True)))
    op.execute(TOUCH)
    op.execute(
        "CREATE TRIGGER touch_orders BEFORE UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION touch()"
    )


def downgrade():
    op.execute("SET LOCAL lock_timeout = '2s'")
    op.execute("DROP TRIGGER touch_orders ON orders")
    op.execute("DROP FUNCTION touch()")
    op.drop_column("orders", "changed_at")
