"""Message of a006: a constraint that speaks at COMMIT only."""

from alembic import op

revision = "a006"
down_revision = "a001"


def upgrade():
    op.execute(
        "CREATE TABLE parts (id int PRIMARY KEY,"
        " whole int REFERENCES parts DEFERRABLE INITIALLY DEFERRED)"
    )
    op.execute("INSERT INTO parts VALUES (1, 2)")


def downgrade():
    raise SystemExit(3)
