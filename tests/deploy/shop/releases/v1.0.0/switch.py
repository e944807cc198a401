"""Closes the shop, and opens it with the version that fits the schema: `switch.py on|off`.

`$SHOP_CONTROL` is the folder that the shop looks into: `closed` asks it to close, `drained`
is its word that nobody writes any more, `serving` names the version that it runs.
"""

import os
import pathlib
import sys
import time

import sqlalchemy as sa
from alembic.script import ScriptDirectory

control = pathlib.Path(os.environ["SHOP_CONTROL"])


def close():
    (control / "closed").touch()
    for _ in range(500):
        if (control / "drained").exists():
            return
        time.sleep(0.02)
    sys.exit("the shop did not close within 10 seconds")


def open_again():
    engine = sa.create_engine(os.environ["DATABASE_URL"])
    with engine.connect() as connection:
        version = connection.scalar(sa.text("SELECT version_num FROM alembic_version"))
    if version == ScriptDirectory("migrations").get_current_head():
        (control / "next").write_text(pathlib.Path("VERSION").read_text())
        (control / "next").replace(control / "serving")
    (control / "closed").unlink(missing_ok=True)


{"on": close, "off": open_again}[sys.argv[1]]()
