"""What the other sessions of a database are doing, told without the values they do it with."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass
from typing import Any

from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class

_QUERY_LENGTH = 200

# Literals as PostgreSQL reads them (manual, section 4.1.2); one that the server cut off has no
# end. Names in quotes stay, and are there so that a quote inside one begins no literal.
_LITERALS = re.compile(
    r"""(?P<name>"(?:[^"]|"")*(?:"|$))
    | --[^\n]* | /\*.*?(?:\*/|$)
    | \b[eE]'(?:[^'\\]|''|\\.)*(?:'|\\?$)
    | '(?:[^']|'')*(?:'|$)
    | \$(?P<tag>[^\W\d]\w*|)\$.*?(?:\$(?P=tag)\$|$)
    | (?<![\w$"])\d[\w.]*""",
    re.DOTALL | re.VERBOSE,
)

# A prepared transaction has no session: PostgreSQL gives its number as 0.
_BLOCKERS = """
SELECT DISTINCT ON (b.pid) b.pid, coalesce(a.usename, ''), coalesce(a.application_name, ''),
    CASE WHEN b.pid = 0 THEN 'PREPARE TRANSACTION'
        ELSE coalesce(nullif(a.query, '<insufficient privilege>'), '') END,
    coalesce(extract(epoch FROM clock_timestamp() - coalesce(
        a.xact_start, a.query_start, (
            SELECT min(prepared) FROM pg_prepared_xacts
            WHERE b.pid = 0 AND database = current_database()
        )
    ))::float8, 0)
FROM pg_stat_activity w
CROSS JOIN LATERAL unnest(pg_blocking_pids(w.pid)) b (pid)
LEFT JOIN pg_stat_activity a ON a.pid = b.pid
WHERE w.application_name = %s AND w.datname = current_database() AND w.wait_event_type = 'Lock'
ORDER BY b.pid
"""

# A role that is not in pg_read_all_stats sees of others' sessions neither state nor type.
# What has a database and a role is a client, or works for one. Where nobody follows the log
# it may be one that cannot be asked for (Aurora).
_TOTALS = """
SELECT
    (SELECT count(*) FROM pg_stat_activity
        WHERE datid IS NOT NULL AND usesysid IS NOT NULL
        AND coalesce(backend_type, 'client backend') = 'client backend'),
    current_setting('max_connections')::int
        - current_setting('superuser_reserved_connections')::int
        - coalesce(current_setting('reserved_connections', true)::int, 0),
    CASE WHEN EXISTS (SELECT FROM pg_stat_replication)
        THEN (pg_current_wal_flush_lsn() - '0/0')::int8 ELSE 0 END,
    (SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND query = '<insufficient privilege>')
    + (SELECT count(*) FROM pg_stat_replication WHERE state IS NULL)
"""

# A dump takes its time, and its queries are not the application's.
_LONGEST_QUERY = """
SELECT pid, coalesce(usename, ''), coalesce(application_name, ''), query,
    extract(epoch FROM clock_timestamp() - query_start)::float8
FROM pg_stat_activity
WHERE datname = current_database() AND backend_type = 'client backend' AND state = 'active'
AND pid <> pg_backend_pid() AND application_name <> 'pg_dump' AND query_start >= %s
ORDER BY query_start LIMIT 1
"""

_LONGEST_WAIT = """
SELECT a.pid, coalesce(a.usename, ''), coalesce(a.application_name, ''), coalesce(a.query, ''),
    extract(epoch FROM clock_timestamp() - l.waitstart)::float8
FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
WHERE a.datname = current_database() AND NOT l.granted AND l.waitstart IS NOT NULL
ORDER BY l.waitstart LIMIT 1
"""

# What only receives the log, such as pg_receivewal, replays nothing.
_REPLICAS = """
SELECT coalesce(application_name, ''), (replay_lsn - '0/0')::int8,
    coalesce(extract(epoch FROM replay_lag), 0)::float8
FROM pg_stat_replication
WHERE state IN ('streaming', 'catchup') AND replay_lsn IS NOT NULL ORDER BY 1
"""

_END = """
SELECT pid, pg_terminate_backend(pid) FROM pg_stat_activity
WHERE application_name = %s AND datname = current_database() AND pid <> pg_backend_pid()
"""

_PATH = "SELECT pg_catalog.set_config('search_path', 'pg_catalog', true);"


@dataclass(frozen=True)
class Session:
    """A session and what it does, for how long; `query` is empty where it does not show that."""

    pid: int
    user: str
    application_name: str
    query: str
    age_seconds: float

    @property
    def who(self) -> str:
        by = f" of {self.user}" if self.user else ""
        named = f" ({self.application_name})" if self.application_name else ""
        return f"process {self.pid}{by}{named}"

    @property
    def sentence(self) -> str:
        """Who it is, since when and with what, on one line."""
        if not self.query:
            return f"{self.who}, which does not show to our role what it does"
        return f"{self.who}, {self.age_seconds:.0f} s old: {self.query}"


@dataclass(frozen=True)
class Blocker(Session):
    """A session that holds a lock which another waits for; its age is its transaction's.

    `pid` is 0 for a prepared transaction.
    """

    @property
    def who(self) -> str:
        return "a prepared transaction" if self.pid == 0 else super().who


@dataclass(frozen=True)
class Replica:
    """A standby that replays; `position` is how far, `lag_seconds` what the server says."""

    name: str
    position: int
    lag_seconds: float


@dataclass(frozen=True)
class Load:
    """What a server bears at a moment, and one of its databases.

    `longest_query` has begun after the time that was asked for, `longest_wait` is one for a
    lock. `position` is how far the server's log is written, in bytes, or 0 where nobody
    follows it. `hidden` counts the sessions, replicas among them, that do not show to our
    role what they do.
    """

    connections: int
    most_connections: int
    longest_query: Session | None
    longest_wait: Session | None
    position: int
    replicas: tuple[Replica, ...]
    hidden: int


def read_load(connection: Connection, since: dt.datetime) -> Load:
    """Return what the server bears; of queries those count that have begun since then."""
    with connection.cursor() as cursor:
        cursor.execute(_PATH + _TOTALS)
        ((connections, most, position, hidden),) = cursor.fetchall()
        cursor.execute(_PATH + _LONGEST_QUERY, (since,))
        query = _session(cursor.fetchone())
        cursor.execute(_PATH + _LONGEST_WAIT)
        wait = _session(cursor.fetchone())
    replicas = read_replicas(connection)
    return Load(connections, most, query, wait, position, replicas, hidden)


def read_replicas(connection: Connection) -> tuple[Replica, ...]:
    """Return the standbys that are connected to the server and replay."""
    with connection.cursor() as cursor:
        cursor.execute(_PATH + _REPLICAS)
        return tuple(Replica(*row) for row in cursor.fetchall())


def read_time(connection: Connection) -> dt.datetime:
    """Return the server's time."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_catalog.clock_timestamp()")
        ((now,),) = cursor.fetchall()
        assert isinstance(now, dt.datetime)
        return now


def _session(row: tuple[Any, ...] | None) -> Session | None:
    if row is None:
        return None
    pid, user, application_name, query, age_seconds = row
    return Session(pid, user, application_name, without_values(query), age_seconds)


def read_blockers(connection: Connection, application_name: str) -> tuple[Blocker, ...]:
    """Return the sessions that those of an application name wait for at this moment."""
    with connection.cursor() as cursor:
        cursor.execute(_PATH + _BLOCKERS, (application_name,))
        return tuple(
            Blocker(pid, user, name, without_values(query), age)
            for pid, user, name, query, age in cursor.fetchall()
        )


def end_sessions(connection: Connection, application_name: str) -> frozenset[int]:
    """Have the database's sessions of that name end; return the processes they still were."""
    with connection.cursor() as cursor:
        cursor.execute(_PATH + _END, (application_name,))
        return frozenset(pid for pid, _ in cursor.fetchall())


def without_values(query: str) -> str:
    """Return a query on one line, shortened, with `?` in the place of each literal."""
    bare = _LITERALS.sub(_bare, query)
    line = " ".join(bare.split()).rstrip(";")
    return line if len(line) <= _QUERY_LENGTH else f"{line[: _QUERY_LENGTH - 1].rstrip()}…"


def _bare(found: re.Match[str]) -> str:
    if found["name"] is not None:
        return found["name"]
    return " " if found[0].startswith(("--", "/*")) else "?"
