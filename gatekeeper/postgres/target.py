"""The user's own database: looked at, never changed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import psycopg2
from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class

from gatekeeper.errors import DatabaseError
from gatekeeper.postgres.observation import find_relations, read_versions
from gatekeeper.postgres.servers import Server, read_url
from gatekeeper.postgres.snapshot import Snapshot, take_snapshot

# Answers in no other database, nor in a copy of this one: the same text as
# `gatekeeper.probe.inside.redirection.IDENTITY_QUERY`.
IDENTITY_QUERY = """
SELECT pg_catalog.concat(system_identifier, '/', oid)
FROM pg_catalog.pg_control_system(), pg_catalog.pg_database
WHERE datname = pg_catalog.current_database()
"""

_START = """\
See that it runs, and that host and port of the URL are right. To start one:

    supabase start                      # Supabase; `supabase status` shows its URL
    brew services start postgresql@17   # Homebrew
    sudo systemctl start postgresql     # Linux
    docker compose up --detach          # a service of compose.yml"""
_READ = "See that the role of the URL may read the catalog and the version table."
_NAME = """\
It runs and lets nobody in with this user, password and database. See what does:

    psql "$GATEKEEPER_TARGET_URL" -c "SELECT current_user, current_database()\""""


@dataclass(frozen=True)
class TargetState:
    """What a database holds: the revisions of its version table, None without one."""

    versions: frozenset[str] | None
    snapshot: Snapshot


def reach_target(url: str, option: str) -> tuple[Server, int]:
    """Return the server of a URL that answers, and its major version."""
    server = read_url(url, option)
    with look_at(server) as connection:
        return server, connection.server_version // 10_000


def read_target(server: Server, schema: str | None, version_table: str) -> TargetState:
    """Return the state of the database that the server's URL names."""
    with look_at(server) as connection:
        versions = read_versions(connection, schema, version_table)
        ignore = find_relations(connection, version_table)
        return TargetState(versions, take_snapshot(connection, ignore))


def connect_to(server: Server, autocommit: bool = True) -> Connection:
    """Open a connection to the database that the server's URL names; what is wrong is said."""
    try:
        return server.connect(server.maintenance_database, autocommit)
    except DatabaseError as error:
        # Of a failed login there is neither a code, only the server's word for it.
        fix = _NAME if "FATAL" in error.what else _START
        raise DatabaseError(error.what, where=_where(server), fix=fix) from error


@contextlib.contextmanager
def look_at(
    server: Server,
    *,
    statement_seconds: int = 5,
    lock_seconds: int = 1,
    snapshot_id: str | None = None,
    fix: str = _READ,
) -> Iterator[Connection]:
    """Yield a connection in a read-only transaction; what goes wrong is said.

    All that is read in it is of one moment: with `snapshot_id` that of the transaction which
    has exported it.
    """
    with contextlib.closing(connect_to(server, autocommit=False)) as connection:
        connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
        with telling(server, "it did not tell its state", fix), connection.cursor() as cursor:
            if snapshot_id is not None:
                cursor.execute("SET TRANSACTION SNAPSHOT %s", (snapshot_id,))
            # One transaction that ends with the look, and not settings of the session: a
            # pooler hands the session on to others. In READ ONLY there is no default to
            # overrule.
            cursor.execute(
                "SET LOCAL statement_timeout = %s; SET LOCAL lock_timeout = %s",
                (f"{statement_seconds}s", f"{lock_seconds}s"),
            )
            yield connection


@contextlib.contextmanager
def telling(server: Server, what: str, fix: str) -> Iterator[None]:
    """Turn psycopg2's errors inside the block into `DatabaseError`."""
    try:
        yield
    except psycopg2.Error as error:
        said = " ".join(str(error).split())
        raise DatabaseError(f"{what}: {said}", where=_where(server), fix=fix) from error


def _where(server: Server) -> str:
    return f"{server.host}:{server.port}"
