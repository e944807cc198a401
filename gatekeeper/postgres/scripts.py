"""Runs the SQL files that a policy names."""

from __future__ import annotations

import contextlib
from pathlib import Path

import psycopg2

from gatekeeper.errors import ConfigError
from gatekeeper.postgres.databases import Database


def run_script(database: Database, path: Path) -> None:
    """Run a file of SQL in one go; meta-commands of psql are not SQL.

    A failure is the file's fault: the policy names what does not run.
    """
    with contextlib.closing(database.connect()) as connection, connection.cursor() as cursor:
        try:
            cursor.execute(path.read_text(encoding="utf-8"))
        except psycopg2.Error as error:
            raise ConfigError(
                f"the SQL file does not run on PostgreSQL {database.server.info.version}: "
                f"{str(error).strip()}",
                where=str(path),
                fix="Make it run on an empty database with `psql -f`; leave out psql's "
                "meta-commands (lines with a backslash).",
            ) from error
