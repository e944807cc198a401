"""What the other sessions of a database are doing, told without the values they do it with."""

from __future__ import annotations

import re
from dataclasses import dataclass

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
    CASE WHEN b.pid = 0 THEN 'PREPARE TRANSACTION' ELSE coalesce(a.query, '') END,
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

_END = """
SELECT pid, pg_terminate_backend(pid) FROM pg_stat_activity
WHERE application_name = %s AND datname = current_database() AND pid <> pg_backend_pid()
"""

_PATH = "SELECT pg_catalog.set_config('search_path', 'pg_catalog', true);"


@dataclass(frozen=True)
class Blocker:
    """A session that holds a lock which another waits for; `pid` is 0 for a prepared transaction.

    `age_seconds` is that of its transaction. Of another role's session only `pid` and
    `application_name` may be told.
    """

    pid: int
    user: str
    application_name: str
    query: str
    age_seconds: float

    @property
    def sentence(self) -> str:
        """Who it is, since when and with what, on one line."""
        if self.pid == 0:
            who = "a prepared transaction"
        else:
            by = f" of {self.user}" if self.user else ""
            named = f" ({self.application_name})" if self.application_name else ""
            who = f"process {self.pid}{by}{named}"
        return f"{who}, {self.age_seconds:.0f} s old: {self.query or 'unknown'}"


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
