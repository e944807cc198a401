"""Times a whole `gatekeeper check` against its peers on a long history, in one run.

A generated history of 300 revisions on `main` and one new revision; every command gets
the same server and databases of its own. Printed are medians and the ratio to the bare
`alembic upgrade head` from empty. Run it with `make bench`.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.table import Table

from gatekeeper.postgres.databases import open_database
from gatekeeper.postgres.servers import Server, open_server
from tests.live import live_revision, make_change, server_url

REVISIONS = 300
ROUNDS = 5

INI = "[alembic]\nscript_location = migrations\nsqlalchemy.url = postgresql+psycopg2://\n"
ENV = """\
import os
from alembic import context
import sqlalchemy as sa
from sqlalchemy import create_engine, pool

metadata = sa.MetaData()
for number in range(TABLES):
    table = sa.Table(
        f"t{number}",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("note", sa.Text),
        sa.Index(f"ix_t{number}", "note"),
    )
metadata.tables["t0"].append_column(sa.Column("extra", sa.Integer))

url = os.environ.get("BENCH_URL", "postgresql+psycopg2://nobody@192.0.2.1/shop")
given = context.config.attributes.get("connection")
engine = given.engine if given is not None else create_engine(url, poolclass=pool.NullPool)
with engine.connect() as connection:
    context.configure(connection=connection, target_metadata=metadata)
    with context.begin_transaction():
        context.run_migrations()
"""
CONFTEST = """\
import os
import pytest
import sqlalchemy


@pytest.fixture
def alembic_engine():
    return sqlalchemy.create_engine(os.environ["BENCH_URL"])
"""


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, open_server(None) as server:
        project = Path(folder) / "shop"
        _generate(project)
        times = {name: [] for name in COMMANDS}  # type: dict[str, list[float]]
        for _ in range(ROUNDS):
            for name, command in COMMANDS.items():
                times[name].append(_timed(command, project, server))
        _print(times, server)


def _generate(project: Path) -> None:
    files: dict[str, str | bytes | None] = {
        "alembic.ini": INI,
        "migrations/env.py": ENV.replace("TABLES", str(REVISIONS // 3)),
        "tests/conftest.py": CONFTEST,
    }
    down = None
    for number in range(REVISIONS):
        revision = f"r{number:04}"
        files[f"migrations/versions/{revision}.py"] = live_revision(
            revision, down, *_bodies(number)
        )
        down = revision
    new = live_revision(
        "new1",
        down,
        'op.add_column("t0", sa.Column("extra", sa.Integer))',
        'op.drop_column("t0", "extra")',
    )
    make_change(project, files, {"migrations/versions/new1.py": new})


def _bodies(number: int) -> tuple[str, str]:
    """Return a table, then a column of it, then an index on that, over and over."""
    table = f"t{number // 3}"
    kinds = (
        (
            f'op.create_table("{table}", sa.Column("id", sa.Integer, primary_key=True),'
            ' sa.Column("name", sa.Text, nullable=False))',
            f'op.drop_table("{table}")',
        ),
        (
            f'op.add_column("{table}", sa.Column("note", sa.Text))',
            f'op.drop_column("{table}", "note")',
        ),
        (
            f'op.create_index("ix_{table}", "{table}", ["note"])',
            f'op.drop_index("ix_{table}", table_name="{table}")',
        ),
    )
    return kinds[number % 3]


def _timed(command: Callable[[Server, str], list[str]], project: Path, server: Server) -> float:
    with open_database(server) as database:
        url = server_url(server).rpartition("/")[0] + f"/{database.name}"
        root = str(Path(__file__).parent.parent.parent)
        environment = {**os.environ, "BENCH_URL": url, "PYTHONPATH": root}
        started = time.monotonic()
        ran = subprocess.run(
            command(server, url), cwd=project, env=environment, capture_output=True, text=True
        )
        seconds = time.monotonic() - started
    if ran.returncode != 0:
        sys.exit(f"{command(server, '…')} ended with {ran.returncode}:\n{ran.stdout}{ran.stderr}")
    return seconds


COMMANDS: dict[str, Callable[[Server, str], list[str]]] = {
    "alembic upgrade head": lambda server, url: [
        sys.executable,
        "-m",
        "alembic",
        "upgrade",
        "head",
    ],
    "gatekeeper check": lambda server, url: [
        *(sys.executable, "-m", "gatekeeper", "check"),
        *("--database-url", server_url(server)),
    ],
    "gatekeeper check, own server": lambda server, url: [
        *(sys.executable, "-m", "gatekeeper", "check"),
    ],
    "pytest --test-alembic": lambda server, url: [
        *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--test-alembic"),
    ],
}


def _print(times: dict[str, list[float]], server: Server) -> None:
    table = Table(
        title=f"{REVISIONS} revisions, one new; PostgreSQL {server.info.version}; {ROUNDS} rounds"
    )
    for column in ("command", "median s", "fastest s", "ratio"):
        table.add_column(column, justify="left" if column == "command" else "right")
    bare = statistics.median(times["alembic upgrade head"])
    for name, seconds in times.items():
        median = statistics.median(seconds)
        table.add_row(name, f"{median:.2f}", f"{min(seconds):.2f}", f"{median / bare:.2f}")
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
