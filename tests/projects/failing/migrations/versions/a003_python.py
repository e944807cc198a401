"""Message of a003."""

revision = "a003"
down_revision = "a001"


def upgrade():
    settings = {}
    settings["colour"]


def downgrade():
    pass
