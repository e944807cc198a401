"""The advisory lock by which one deploy at a time has a database.

It belongs to a session, not to a transaction: CREATE INDEX CONCURRENTLY, which waits for all
transactions, does not wait for it.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class

# The key: "gate" and "keep" in ASCII. `SELECT pg_advisory_lock(1734440037, 1801807216)` keeps
# every deploy away from the database for as long as the session lasts.
DEPLOY_LOCK = (0x67617465, 0x6B656570)

_PATH = "SELECT pg_catalog.set_config('search_path', 'pg_catalog', true);"
_OURS = """
    l.locktype = 'advisory' AND l.granted AND l.objsubid = 2
    AND l.classid::int8 = %s AND l.objid::int8 = %s
    AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
_IS_HELD = f"SELECT EXISTS (SELECT FROM pg_locks l WHERE l.pid = pg_backend_pid() AND {_OURS})"
_HOLDER = f"""
SELECT l.pid, coalesce(a.application_name, ''), a.backend_start
FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid WHERE {_OURS}
"""


@dataclass(frozen=True)
class Holder:
    """The session that holds the lock; of another role's it is not told since when."""

    pid: int
    application_name: str
    since: dt.datetime | None


def try_lock(connection: Connection) -> bool:
    """Take the lock for the session where nobody holds it; return whether it was taken."""
    with connection.cursor() as cursor:
        cursor.execute(f"{_PATH} SELECT pg_try_advisory_lock(%s, %s)", DEPLOY_LOCK)
        return bool((cursor.fetchone() or (False,))[0])


def has_lock(connection: Connection) -> bool:
    """Tell whether the session holds the lock."""
    with connection.cursor() as cursor:
        cursor.execute(_PATH + _IS_HELD, DEPLOY_LOCK)
        return bool((cursor.fetchone() or (False,))[0])


def find_holder(connection: Connection) -> Holder | None:
    """Return the session that holds the lock of this database, None where none does."""
    with connection.cursor() as cursor:
        cursor.execute(_PATH + _HOLDER, DEPLOY_LOCK)
        row = cursor.fetchone()
        return None if row is None else Holder(*row)


def backend_of(connection: Connection) -> int:
    """Return the process that answers at this moment; behind a pooler it may change."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_catalog.pg_backend_pid()")
        return int((cursor.fetchone() or (0,))[0])
