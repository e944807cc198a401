"""orders: nothing to do on PostgreSQL"""

from alembic import op

revision = "a002"
down_revision = "a001"


def upgrade():
    if op.get_bind().dialect.name == "mysql":
        op.execute("ALTER TABLE users ENGINE = InnoDB")


def downgrade():
    pass
