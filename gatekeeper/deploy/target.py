"""The target of a deploy: held for one deploy at a time, read, and rid of what is left on it."""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING

from gatekeeper.deploy.model import StepFailed, TargetState
from gatekeeper.errors import ConfigError, DatabaseError, GatekeeperError
from gatekeeper.postgres.activity import Blocker, end_sessions, read_blockers
from gatekeeper.postgres.locking import backend_of, find_holder, has_lock, try_lock
from gatekeeper.postgres.observation import find_relations, read_version_tables
from gatekeeper.postgres.rows import count_rows
from gatekeeper.postgres.servers import Server, parse_url, read_url
from gatekeeper.postgres.snapshot import take_snapshot
from gatekeeper.postgres.target import connect_to, look_at, telling
from gatekeeper.probe.model import VersionTable

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class

# Where a person says which database is meant, and nowhere else.
TARGET_URL = "GATEKEEPER_TARGET_URL"

# The session of a deploy that was killed just now may still be about to end.
_PATIENCE_SECONDS = 1
_PING_SECONDS = 10
_END_SECONDS = 10
_SAMPLE_SECONDS = 0.2

# To count the rows of a large table takes minutes; one that is locked is not waited for.
_READ_SECONDS = 3600
_READ_LOCK_SECONDS = 5

_REACH = "See that the server runs and that its network is up, then start the deploy again."
# `options=-csearch_path=…` and `--search_path=…`; a host may have others of its own.
_SETTINGS = re.compile(r"[?&]options=(?:-|%2D)", re.IGNORECASE)

_READ = (
    "See that the role of GATEKEEPER_TARGET_URL may read the catalog and all tables, and that "
    "no row-level security hides rows from it. For tables that take too long to count, name "
    "others in `row_counts` of the environment."
)
_DIRECT = (
    "Give GATEKEEPER_TARGET_URL the address of the server itself, or of a pooler in session "
    "mode (Supabase: port 5432 and not 6543)."
)


class Hold:
    """The target, held by a session of its own so that no second deploy works on it.

    The session is asked for an answer every few seconds, so that nothing in between closes
    it for being idle; one that is lost all the same is replaced.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self._guard = threading.Lock()
        self._connection: Connection | None = None

    def assure(self) -> None:
        """Return with the target held: once more where the session was lost meanwhile."""
        with self._guard:
            if not self._is_held():
                self._release()
                self._take()

    def keep(self, ended: threading.Event) -> None:
        """Ask the session for an answer now and then, until the event."""
        while not ended.wait(_PING_SECONDS):
            # Where it cannot be held any more `assure` says so to whom it concerns.
            with contextlib.suppress(GatekeeperError):
                self.assure()

    def release(self) -> None:
        with self._guard:
            self._release()

    def _is_held(self) -> bool:
        if self._connection is None:
            return False
        with contextlib.suppress(DatabaseError), telling(self._server, "it was lost", _REACH):
            return has_lock(self._connection)
        return False

    def _release(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _take(self) -> None:
        connection = connect_to(self._server)
        try:
            with telling(self._server, "it could not be held for the deploy", _REACH):
                # First: a lock taken through a pooler would outlast us.
                _refuse_pooler(self._server, connection)
                _lock(self._server, connection)
        except BaseException:
            connection.close()
            raise
        self._connection = connection


def _lock(server: Server, connection: Connection) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not try_lock(connection):
        holder = find_holder(connection)
        if holder is not None and time.monotonic() > deadline:
            since = None if holder.since is None else f"{holder.since:%Y-%m-%d %H:%M:%S%z}"
            raise StepFailed(
                "another deploy works on the target: "
                f"{holder.application_name or 'a session without a name'}, process {holder.pid}"
                + ("" if since is None else f", since {since}"),
                where=_where(server),
                fix="Wait for its end. If its job is gone and only its session is left, end that: "
                f"`SELECT pg_terminate_backend({holder.pid});`",
                details={
                    "pid": holder.pid,
                    "application_name": holder.application_name,
                    "since": since,
                },
            )
        time.sleep(0.1)


def _refuse_pooler(server: Server, connection: Connection) -> None:
    """Raise where a session of ours has not a backend of its own, which is what holds locks.

    A pooler makes up the process number that it tells its clients, and takes the backend
    that was free last for the next transaction.
    """
    backend = backend_of(connection)
    if backend == connection.info.backend_pid:
        return
    with contextlib.closing(connect_to(server, autocommit=False)) as second:
        if backend_of(second) != backend:
            return
    raise StepFailed(
        "the target's URL leads to a pooler that hands each transaction to another session: "
        "the lock that keeps a second deploy away does not last there",
        where=_where(server),
        fix=_DIRECT,
    )


@contextlib.contextmanager
def hold_target(server: Server) -> Iterator[Hold]:
    """Yield the target, held until the block ends.

    Where another deploy holds it `StepFailed` names that one's session.
    """
    hold = Hold(server)
    hold.assure()
    ended = threading.Event()
    keeper = threading.Thread(target=hold.keep, args=(ended,), daemon=True)
    keeper.start()
    try:
        yield hold
    finally:
        ended.set()
        keeper.join()
        hold.release()


def find_target(environ: Mapping[str, str]) -> Server:
    """Return the server that `TARGET_URL` names, not yet reached."""
    url = environ.get(TARGET_URL)
    if not url:
        raise ConfigError(
            f"`{TARGET_URL}` does not say which database is meant",
            fix=f"Set it: `export {TARGET_URL}=postgresql://user:password@host:5432/name`. It is "
            "no option, so that no list of processes shows the password.",
        )
    if _SETTINGS.search(url):
        raise ConfigError(
            "the target's URL has `options`: settings that not all of a deploy would have",
            where=TARGET_URL,
            fix="Leave `options` out and give the settings to the role: "
            "`ALTER ROLE … IN DATABASE … SET search_path = …;`.",
        )
    if not parse_url(url, TARGET_URL).database:
        raise ConfigError(
            "the target's URL names no database",
            where=TARGET_URL,
            fix="Write its name at the end: `postgresql://user:password@host:5432/name`.",
        )
    return read_url(url, TARGET_URL)


def read_state(
    server: Server,
    version_tables: Collection[VersionTable],
    row_counts: Collection[str] | None = (),
    snapshot_id: str | None = None,
) -> TargetState:
    """Return what the target holds, read in one transaction that writes nothing.

    `row_counts` names the tables to count, all by default and none with None; one that is not
    there is not counted. With `snapshot_id` the state is that of the transaction which has
    exported it.
    """
    with look_at(
        server,
        statement_seconds=_READ_SECONDS,
        lock_seconds=_READ_LOCK_SECONDS,
        snapshot_id=snapshot_id,
        fix=_READ,
    ) as connection:
        return state_of(connection, version_tables, row_counts)


def state_of(
    connection: Connection,
    version_tables: Collection[VersionTable],
    row_counts: Collection[str] | None = (),
) -> TargetState:
    """Return what a transaction sees of the database that it is in, as `read_state` does."""
    versions = (
        version
        for table in version_tables
        for each in read_version_tables(connection, table.schema, table.name)
        for version in each
    )
    ignore = find_relations(connection, *(table.name for table in version_tables))
    return TargetState(
        frozenset(versions),
        take_snapshot(connection, ignore).without_owners(),
        {} if row_counts is None else count_rows(connection, row_counts, ignore),
    )


def end_backends(server: Server, application_name: str) -> int:
    """End all sessions of that name on the target and return how many there were.

    They are those of a deploy that was killed, or of a migration that is interrupted; the
    name is not that of our own sessions, of which one holds the target.
    """
    with contextlib.closing(connect_to(server)) as connection:
        fix = (
            "End them as the role that they belong to: `SELECT pg_terminate_backend(pid) FROM "
            f"pg_stat_activity WHERE application_name = '{application_name}';`"
        )
        with telling(server, f"the sessions of {application_name} could not be ended", fix):
            deadline = time.monotonic() + _END_SECONDS
            ended = left = end_sessions(connection, application_name)
            while left and time.monotonic() < deadline:
                time.sleep(0.02)
                left = end_sessions(connection, application_name)
    if left:
        raise StepFailed(
            f"{len(left)} sessions of {application_name} did not end",
            where=_where(server),
            fix=fix,
            details={"pids": sorted(left)},
        )
    return len(ended)


class Blockers:
    """Sees, from a session of its own, whom the sessions of an application name wait for.

    Use it as a context manager around the work of those sessions.
    """

    def __init__(self, server: Server, application_name: str) -> None:
        self._server = server
        self._application_name = application_name
        self._seen: dict[int, Blocker] = {}
        self._guard = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Blockers:
        self._thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._ended.set()
        self._thread.join()

    def take(self) -> tuple[Blocker, ...]:
        """Return those seen since the last call, the oldest first, as they were seen last."""
        with self._guard:
            seen, self._seen = self._seen, {}
        return tuple(sorted(seen.values(), key=lambda blocker: -blocker.age_seconds))

    def _watch(self) -> None:
        while not self._ended.is_set():
            # It is told by the work itself that the server is gone; here it is tried again.
            with contextlib.suppress(DatabaseError):
                self._sample()
            self._ended.wait(_SAMPLE_SECONDS)

    def _sample(self) -> None:
        with (
            contextlib.closing(connect_to(self._server)) as connection,
            telling(self._server, "it did not tell who blocks", _REACH),
        ):
            while not self._ended.wait(_SAMPLE_SECONDS):
                found = read_blockers(connection, self._application_name)
                with self._guard:
                    self._seen.update((blocker.pid, blocker) for blocker in found)


def _where(server: Server) -> str:
    return f"{server.host}:{server.port}"


def next_transaction(server: Server) -> int:
    """Return the number that the server's next transaction which writes will have.

    Where it stays the same nobody has written to any database meanwhile (manual, section 9.27.8).
    """
    with look_at(server) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())::text::bigint"
        )
        ((number,),) = cursor.fetchall()
    return int(number)
