"""Targets for tests: databases that a deploy reaches as its users do, by a URL."""

from __future__ import annotations

import contextlib
import secrets
import threading
import time
from collections.abc import Iterator, Mapping

import psycopg2

from gatekeeper.postgres.databases import Database
from gatekeeper.postgres.rows import row_digests
from gatekeeper.postgres.servers import Server, read_url
from gatekeeper.postgres.snapshot import Snapshot, take_snapshot
from tests.databases import execute, url_of

# Functions and tables by the names of PostgreSQL's own; whoever calls one of them fails.
_TRAPS = """
CREATE SCHEMA traps;
GRANT USAGE ON SCHEMA traps TO PUBLIC;
CREATE FUNCTION traps.fail() RETURNS boolean LANGUAGE plpgsql
    AS $$ BEGIN RAISE 'a trap was called'; END $$;
CREATE FUNCTION traps.pg_try_advisory_lock(integer, integer) RETURNS boolean LANGUAGE sql
    AS 'SELECT traps.fail()';
CREATE FUNCTION traps.pg_backend_pid() RETURNS integer LANGUAGE sql
    AS 'SELECT traps.fail()::integer';
CREATE FUNCTION traps.current_database() RETURNS name LANGUAGE sql
    AS 'SELECT traps.fail()::text::name';
CREATE FUNCTION traps.md5(text) RETURNS text LANGUAGE sql AS 'SELECT traps.fail()::text';
CREATE TABLE traps.pg_locks (n int);
CREATE TABLE traps.pg_class (n int);
GRANT SELECT ON ALL TABLES IN SCHEMA traps TO PUBLIC;
"""


def target_of(database: Database) -> Server:
    """Return the database as the target of a deploy, with the rights of a superuser."""
    return read_url(url_of(database), "GATEKEEPER_TARGET_URL")


def contents(database: Database) -> tuple[Snapshot, Mapping[str, str]]:
    """Return the catalog and a digest of each table's rows."""
    with database.session(autocommit=False) as connection:
        return take_snapshot(connection).without_owners(), row_digests(connection)


@contextlib.contextmanager
def an_owner(database: Database, prefix: str) -> Iterator[tuple[str, str]]:
    """Yield name and password of a role that owns the database and goes with it: no superuser."""
    name, password = f"{prefix}_{secrets.token_hex(4)}", secrets.token_hex(12)
    execute(
        database,
        f"CREATE ROLE {name} LOGIN PASSWORD '{password}'",
        f"ALTER DATABASE {database.name} OWNER TO {name}",
        f"ALTER SCHEMA public OWNER TO {name}",
    )
    try:
        yield name, password
    finally:
        execute(
            database,
            f"ALTER DATABASE {database.name} OWNER TO CURRENT_USER",
            f"REASSIGN OWNED BY {name} TO CURRENT_USER",
            f"DROP OWNED BY {name}",
            f"DROP ROLE {name}",
        )


@contextlib.contextmanager
def an_ordinary_target(database: Database) -> Iterator[Server]:
    """Yield the database as the target of its owner: no superuser, with a search path.

    What that finds first are the traps of this module.
    """
    with an_owner(database, "owner") as (name, password):
        search_path = f"ALTER ROLE {name} SET search_path = traps, public, pg_catalog"
        execute(database, _TRAPS, search_path)
        yield read_url(url_of(database, name, password), "GATEKEEPER_TARGET_URL")


@contextlib.contextmanager
def busy(database: Database, *statements: str, after_seconds: float = 0) -> Iterator[int]:
    """Let a session called `shop` run statements, of which the last one does not end.

    That one begins when so much time of the block has passed. Yields the session's process.
    """
    connection = database.server.connect(database.name, autocommit=False)
    cursor = connection.cursor()
    cursor.execute("SET application_name = 'shop'")
    connection.commit()
    for statement in statements[:-1]:
        cursor.execute(statement)

    def run() -> None:
        with contextlib.suppress(psycopg2.Error):
            cursor.execute(statements[-1])

    timer = threading.Timer(after_seconds, run)
    timer.start()
    try:
        if not after_seconds:
            _wait_until_active(database, connection.info.backend_pid)
        yield connection.info.backend_pid
    finally:
        timer.cancel()
        while timer.is_alive():
            connection.cancel()
            timer.join(0.1)
        connection.close()


def _wait_until_active(database: Database, pid: int) -> None:
    with database.session() as connection, connection.cursor() as cursor:
        for _ in range(2000):
            cursor.execute(
                "SELECT FROM pg_stat_activity WHERE pid = %s AND state = 'active'", [pid]
            )
            if cursor.rowcount:
                return
            time.sleep(0.005)
        raise AssertionError("the session does not work")
