"""Message of a005: an error that a savepoint takes back is none."""

from alembic import op

revision = "a005"
down_revision = "a001"


def upgrade():
    connection = op.get_bind()
    try:
        with connection.begin_nested():
            op.execute("SELECT * FROM nowhere")
    except Exception:
        pass
    op.execute("SELECT 1/0")


def downgrade():
    op.get_bind().connection.cursor().execute("SELECT * FROM raw_nowhere")
