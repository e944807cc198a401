"""Message of a004: the first error is swallowed, the second only follows from it."""

from alembic import op

revision = "a004"
down_revision = "a001"


def upgrade():
    try:
        op.execute("SELECT * FROM nowhere")
    except Exception:
        pass
    op.execute("SELECT 1")


def downgrade():
    raise RuntimeError("not this way")
