"""Message of a002: ends the process when it is imported."""

import sys

revision = "a002"
down_revision = "a001"

print("a002 is imported")
sys.exit("no licence")


def upgrade():
    pass
