"""An order can come back"""

from alembic import op

revision = "a160"
down_revision = "a143"


def upgrade():
    with op.get_context().autocommit_block():
        op.execute("ALTER TYPE orderstatus ADD VALUE IF NOT EXISTS 'returned'")


def downgrade():
    # gatekeeper: allow[downgrade-empty] PostgreSQL cannot take a label back
    pass
