"""Message of a007: an error that is swallowed stops Alembic's own statement after it."""

from alembic import op

revision = "a007"
down_revision = "a001"


def upgrade():
    try:
        op.execute("SELECT * FROM nowhere")
    except Exception:
        pass


def downgrade():
    raise RuntimeError("not this way")
