"""everything up to here, from a dump"""

from pathlib import Path

from alembic import op

revision = "a001"
down_revision = None


def upgrade():
    script = Path(__file__).parent.parent / "schema.sql"
    op.get_bind().exec_driver_sql(script.read_text().replace("%", "%%"))


def downgrade():
    op.execute("DROP SCHEMA ledger CASCADE")
