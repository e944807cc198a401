"""The statements of a run on the target, and what is there of each of them afterwards.

What became of one is not concluded from how the run ended: PostgreSQL itself tells of each
transaction that has written whether it was committed (manual, section 9.27.8). What one leaves
behind its text tells, and of a function the target.
"""

from __future__ import annotations

import enum
import itertools
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class

from gatekeeper.deploy.model import Deployment
from gatekeeper.lineage import applied_at
from gatekeeper.model import Direction, Revision
from gatekeeper.postgres.activity import without_values
from gatekeeper.postgres.target import look_at
from gatekeeper.probe.model import Begun, Fate, ProbeStatement, RequestedStep
from gatekeeper.sql import Kind, ParsedStatement, statements_of

Journal = Callable[[Mapping[str, Any]], None]

# Asked in each transaction until it has a number, which it gets with its first write.
OBSERVE = "SELECT pg_catalog.pg_current_xact_id_if_assigned()::text"
# A server that fell over may not have heard of a number: what it counted was not committed.
_STATUS = """
SELECT CASE WHEN number < pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())
    THEN pg_catalog.pg_xact_status(number) ELSE 'aborted' END
FROM (SELECT %s::pg_catalog.xid8 AS number) given
"""
# Functions that a query may change something by. PostgreSQL's own at most move a sequence.
_WRITERS = """
SELECT proname FROM pg_catalog.pg_proc WHERE provolatile = 'v'
    AND pronamespace <> ALL ('{pg_catalog,information_schema}'::pg_catalog.regnamespace[])
"""


class Trace(enum.IntEnum):
    """What a statement leaves behind where it was committed, the worst last."""

    NOTHING = 0
    IN_CATALOG = 1  # a comparison shows it, or it makes no difference to anybody
    UNSEEN = 2  # rows, privileges, or nobody knows


def trace_of(sql: str, writers: Collection[str] = ()) -> Trace:
    """Return what a text's statements leave; `writers` are functions that may write."""
    return max((_trace_of(each, writers) for each in statements_of(sql)), default=Trace.NOTHING)


def _trace_of(statement: ParsedStatement, writers: Collection[str]) -> Trace:
    if statement.kind is Kind.SELECT and not statement.changes_rows:
        called = {name.rpartition(".")[2] for name in statement.functions}
        return Trace.NOTHING if called.isdisjoint(writers) else Trace.UNSEEN
    if statement.changes_rows is not False or statement.kind is Kind.GRANT:
        return Trace.UNSEEN
    if statement.changes_schema is not False or statement.kind in (Kind.REINDEX, Kind.VACUUM_FULL):
        return Trace.IN_CATALOG
    return Trace.NOTHING


@dataclass(frozen=True)
class Ran:
    """A statement of a step; `is_committed` is None where nothing tells."""

    step: RequestedStep
    statement: ProbeStatement | Begun
    is_committed: bool | None
    trace: Trace

    @property
    def told(self) -> str:
        ran = self.statement
        place = "" if ran.path is None else f" ({ran.path}:{ran.line})"
        return f"`{without_values(ran.sql)}`{place}"


def _is_committed(connection: Connection, number: str) -> bool | None:
    with connection.cursor() as cursor:
        cursor.execute(_STATUS, (number,))
        ((status,),) = cursor.fetchall()
    return None if status is None else bool(status == "committed")


def _writers(connection: Connection) -> frozenset[str]:
    with connection.cursor() as cursor:
        cursor.execute(_WRITERS)
        return frozenset(name for (name,) in cursor.fetchall())


# --- Of a run of this process --------------------------------------------------------


class Seen:
    """Hears what the probe tells in one run, and passes it on.

    `is_cut_off` says that the server did not say itself how the last statement failed.
    """

    def __init__(self, deployment: Deployment, told: Journal, secret: str) -> None:
        self.is_cut_off = False
        self.count = 0
        self._running: tuple[RequestedStep | None, Begun] | None = None
        self._ended: list[tuple[RequestedStep | None, ProbeStatement]] = []
        self._transactions: dict[int, str] = {}  # PostgreSQL's number of each by the probe's
        self._deployment = deployment
        self._told = told
        self._secret = secret
        self._step: RequestedStep | None = None

    def hear(self, step: RequestedStep | None, what: Begun | ProbeStatement) -> None:
        if step is not None and step != self._step:
            self._step = step
            self._deployment.tell(f"{step.direction.value} {step.revision}")
        if isinstance(what, Begun):
            self._pass_on(step, what, state="begun", in_transaction=what.in_transaction)
            self._running = (step, what)  # it begins when it is written down
            return
        if what.failed and self._running is not None and not self._running[1].in_transaction:
            what = replace(what, transaction=None)  # of a broken connection no driver tells
        self._running = None
        self._ended.append((step, what))
        self.count += step is not None
        if what.transaction is not None and what.observed and what.observed[0][0] is not None:
            self._transactions[what.transaction] = what.observed[0][0]
        self._pass_on(
            step,
            what,
            state="failed" if what.failed else "ended",
            in_transaction=what.transaction is not None,
            transaction=self._transactions.get(what.transaction or 0),
            seconds=round(what.seconds, 6),
            rows=what.rows,
        )

    def _pass_on(
        self, step: RequestedStep | None, what: Begun | ProbeStatement, **more: Any
    ) -> None:
        self._told(
            {
                "revision": None if step is None else step.revision,
                "direction": None if step is None else step.direction.value,
                "sql": hide(self._secret, what.sql),
                "path": what.path,
                "line": what.line,
                **more,
            }
        )

    def fates(self) -> tuple[Ran, ...]:
        """Return what the steps have run that leaves something, each with what became of it."""
        with look_at(self._deployment.target) as connection:
            writers = _writers(connection)
            ran = tuple(
                Ran(step, statement, is_committed, trace_of(statement.sql, writers))
                for step, statement, is_committed in self._fates(connection)
            )
        return tuple(each for each in ran if each.trace is not Trace.NOTHING)

    def _fates(
        self, connection: Connection
    ) -> Iterator[tuple[RequestedStep, ProbeStatement | Begun, bool | None]]:
        """Yield the statements of steps, each with whether it was committed.

        Outside of a transaction a statement that was cut off may have come to its end, and a
        CONCURRENTLY that failed may have done half of what it does.
        """
        for step, ran in self._ended:
            if step is None:
                continue
            if ran.transaction is None:
                is_open = ran.failed and (self.is_cut_off or "concurrently" in ran.sql.lower())
                yield step, ran, None if is_open else ran.fate is Fate.COMMITTED
            else:
                number = self._transactions.get(ran.transaction)
                yield step, ran, number is not None and _is_committed(connection, number)
        step, begun = self._running or (None, None)
        if step is not None and begun is not None:
            yield step, begun, False if begun.in_transaction else None


# --- Of a process that was killed ----------------------------------------------------


@dataclass(frozen=True)
class Loose:
    """A statement of a killed process that the target's version does not count as done.

    It was committed, or may have been. `is_in_catalog` says that a comparison would show it.
    """

    told: str
    is_in_catalog: bool


def find_loose(
    deployment: Deployment,
    revisions: Sequence[Revision],
    versions: frozenset[str],
    statements: Sequence[Mapping[str, Any]],
) -> tuple[Loose, ...]:
    """Return what is there of revisions that the version table does not count as done.

    `statements` are those that the journal got of a run, up to where its process was killed;
    its sessions have ended.
    """
    there = applied_at(versions, revisions)
    with look_at(deployment.target) as connection:
        writers = _writers(connection)
        fates = tuple(
            Ran(step, begun, is_committed, trace_of(begun.sql, writers))
            for step, begun, is_committed in _fates_of(statements, connection)
        )
    return tuple(
        Loose(ran.told, ran.trace is Trace.IN_CATALOG)
        for ran in fates
        if ran.trace is not Trace.NOTHING
        and ran.is_committed is not False
        and (ran.step.revision in there) is not (ran.step.direction is Direction.UPGRADE)
    )


def _fates_of(
    statements: Sequence[Mapping[str, Any]], connection: Connection
) -> Iterator[tuple[RequestedStep, Begun, bool | None]]:
    """Yield the statements of steps, each with whether it was committed."""
    for each, following in itertools.zip_longest(statements, statements[1:]):
        if each["revision"] is None or (each["state"] == "begun" and following is not None):
            continue
        step = RequestedStep(each["revision"], Direction(each["direction"]))
        begun = Begun(each["sql"], each["path"], each["line"], each["in_transaction"])
        is_committed: bool | None
        if each["in_transaction"]:
            number = each.get("transaction")
            is_committed = False if number is None else _is_committed(connection, number)
        elif each["state"] == "failed" and following is not None:
            is_committed = None if "concurrently" in each["sql"].lower() else False
        else:
            is_committed = True if each["state"] == "ended" else None
        yield step, begun, is_committed


def hide(secret: str, text: str) -> str:
    """Return a text without the secret, where that is long enough to be one."""
    return text.replace(secret, "***") if len(secret) > 3 else text
