"""Alembic projects that run, and one call that checks them on a real server."""

from __future__ import annotations

import datetime as dt
import itertools
import os
import textwrap
from collections.abc import Mapping
from pathlib import Path

from gatekeeper import pipeline
from gatekeeper.model import Rehearsal, Report
from gatekeeper.postgres.servers import Server
from gatekeeper.request import Request, Surroundings
from tests.build_git import GitRepository, a_repository

Files = Mapping[str, str | bytes | None]

ALEMBIC_INI = """\
[alembic]
script_location = migrations
sqlalchemy.url = postgresql+psycopg2://nobody:secret@192.0.2.1/shop
"""

ENV_PY = """\
from alembic import context
from sqlalchemy import engine_from_config, pool

engine = engine_from_config(
    context.config.get_section(context.config.config_ini_section), poolclass=pool.NullPool
)
with engine.connect() as connection:
    context.configure(connection=connection, target_metadata=None)
    with context.begin_transaction():
        context.run_migrations()
"""
ASYNC_ENV_PY = """\
import asyncio
from alembic import context
from sqlalchemy import pool
from sqlalchemy.ext.asyncio import create_async_engine

def run(connection):
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()

async def main():
    engine = create_async_engine(context.config.get_main_option("sqlalchemy.url"),
                                 poolclass=pool.NullPool)
    async with engine.connect() as connection:
        await connection.run_sync(run)
    await engine.dispose()

asyncio.run(main())
"""

NOW = dt.datetime(2026, 11, 24, 12, tzinfo=dt.UTC)


def live_project(env: str = ENV_PY, ini: str = ALEMBIC_INI) -> dict[str, str | bytes | None]:
    """Return the files of an Alembic project without any revision."""
    return {"alembic.ini": ini, "migrations/env.py": env, "migrations/versions/.keep": ""}


def live_revision(
    revision: str,
    down: str | tuple[str, ...] | None,
    upgrade: str = "pass",
    downgrade: str | None = "pass",
    *,
    depends_on: str | None = None,
    branch_labels: str | None = None,
) -> str:
    """Return a revision file; the bodies are Python, `downgrade` None leaves it out."""
    text = f'''"""message of {revision}"""
import sqlalchemy as sa
from alembic import op

revision = {revision!r}
down_revision = {down!r}
branch_labels = {branch_labels!r}
depends_on = {depends_on!r}


def upgrade():
{textwrap.indent(textwrap.dedent(upgrade), "    ")}
'''
    if downgrade is not None:
        text += f"\n\ndef downgrade():\n{textwrap.indent(textwrap.dedent(downgrade), '    ')}\n"
    return text


def live_revisions(down: str, *ways: tuple[str, str]) -> dict[str, str | bytes | None]:
    """Return the files of `b001`, `b002` and so on, the first of which comes after `down`."""
    names = [down, *(f"b00{number}" for number in range(1, len(ways) + 1))]
    return {
        f"migrations/versions/{name}.py": live_revision(name, before, *each)
        for (before, name), each in zip(itertools.pairwise(names), ways, strict=True)
    }


def clean_variables() -> dict[str, str]:
    """Return the environment of a person who has set nothing up, but runs this checkout."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("GATEKEEPER_", "PG"))}
    return {**kept, "PYTHONPATH": str(Path(__file__).parent.parent)}


def a_table(name: str) -> tuple[str, str]:
    """Return the bodies that make and drop a table."""
    return (
        f'op.create_table("{name}", sa.Column("id", sa.Integer, primary_key=True))',
        f'op.drop_table("{name}")',
    )


def server_url(server: Server) -> str:
    return (
        f"postgresql://{server.user}:{server.password}@{server.host}:{server.port}"
        f"/{server.maintenance_database}"
    )


def make_change(root: Path, base: Files, change: Files) -> GitRepository:
    """Make a repository whose branch `topic` holds the change on top of `main`."""
    repository = a_repository(root, base)
    repository.git("switch", "--quiet", "--create", "topic")
    repository.commit(change, "Change")
    return repository


def check_repository(root: Path, server: Server, **request: object) -> Report:
    """Check the repository as `gatekeeper check` would."""
    values = {"directory": root, "database_url": server_url(server), **request}
    surroundings = Surroundings({}, NOW, lambda step: None)
    return pipeline.check(Request(**values), surroundings)  # type: ignore[arg-type]


def check_change(
    root: Path, server: Server, base: Files, change: Files, **request: object
) -> Report:
    """Check a change made of files on a base made of files."""
    make_change(root, {**live_project(), **base}, change)
    return check_repository(root, server, **request)


def rehearsal_of(report: Report) -> Rehearsal:
    """Return the report's rehearsal; the test fails with the reason where there is none."""
    assert isinstance(report.rehearsal, Rehearsal), report.rehearsal
    return report.rehearsal


def finding_lines(report: Report) -> list[tuple[str, str | None, int | None]]:
    """Return check, revision and line of every finding, in the report's order."""
    return [(f.check, f.revision, f.line) for f in report.findings]
