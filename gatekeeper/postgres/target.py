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

# One transaction that ends with the look, and not settings of the session: a pooler hands
# the session on to others. In READ ONLY there is no default to overrule.
_LIMITS = "SET LOCAL statement_timeout = '5s'; SET LOCAL lock_timeout = '1s'"

_START = """\
See that it runs, and that host and port of the URL are right. To start one:

    supabase start                      # Supabase; `supabase status` shows its URL
    brew services start postgresql@17   # Homebrew
    sudo systemctl start postgresql     # Linux
    docker compose up --detach          # a service of compose.yml"""
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
    with _look(server) as connection:
        return server, connection.server_version // 10_000


def read_target(server: Server, schema: str | None, version_table: str) -> TargetState:
    """Return the state of the database that the server's URL names."""
    with _look(server) as connection:
        versions = read_versions(connection, schema, version_table)
        ignore = find_relations(connection, version_table)
        return TargetState(versions, take_snapshot(connection, ignore))


@contextlib.contextmanager
def _look(server: Server) -> Iterator[Connection]:
    """Yield a connection in a read-only transaction; what goes wrong is said."""
    where = f"{server.host}:{server.port}"
    try:
        connection = server.connect(server.maintenance_database, autocommit=False)
    except DatabaseError as error:
        # Of a failed login there is neither a code, only the server's word for it.
        fix = _NAME if "FATAL" in error.what else _START
        raise DatabaseError(error.what, where=where, fix=fix) from error
    with contextlib.closing(connection):
        connection.set_session(readonly=True)
        try:
            with connection.cursor() as cursor:
                cursor.execute(_LIMITS)
            yield connection
        except psycopg2.Error as error:
            raise DatabaseError(
                f"it did not tell its state: {' '.join(str(error).split())}",
                where=where,
                fix="See that the role of the URL may read the catalog and the version table.",
            ) from error
