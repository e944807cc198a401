"""Message of a001: writes down what the process may see."""

import json
import os

from alembic import op

revision = "a001"
down_revision = None


def readable(path):
    try:
        with open(path, "rb") as file:
            return bool(file.read(1))
    except OSError:
        return False


def upgrade():
    seen = {
        "uid": os.getuid(),
        "groups": os.getgroups(),
        "variables": sorted(os.environ),
        "parent": readable("/proc/%d/environ" % int(os.environ["SHOP_PARENT"])),
        "stdin": os.read(0, 10).decode(),
        "home": os.listdir(os.environ["HOME"]),
    }
    with open(os.path.join(os.environ["HOME"], "written"), "w") as file:
        file.write("x")
    op.execute("COMMENT ON DATABASE %s IS '%s'" % (
        op.get_bind().exec_driver_sql("SELECT current_database()").scalar(), json.dumps(seen)
    ))


def downgrade():
    pass
