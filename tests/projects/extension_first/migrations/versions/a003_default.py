"""search: the downgrade forgets the index"""

from alembic import op

revision = "a003"
down_revision = "a002"


def upgrade():
    op.execute("SET LOCAL lock_timeout = '2s'")
    op.execute("ALTER TABLE orders ADD COLUMN email citext")
    op.execute("CREATE INDEX search ON orders USING gin ((email::text) gin_trgm_ops)")


def downgrade():
    op.execute("SET LOCAL lock_timeout = '2s'")
    op.execute("ALTER TABLE orders RENAME COLUMN email TO old_email")
