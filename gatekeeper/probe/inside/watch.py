"""What goes over the connections."""

from __future__ import annotations

import contextlib
import importlib
import reprlib
import socket
import sys
import time
from typing import Any

from .answers import Answers
from .failures import Failure, message_of, sqlstate_of, told_of
from .installed import sqlalchemy_version
from .places import Places
from .redirection import database_of
from .transactions import (
    FAILED_TRANSACTION,
    IDLE,
    begins_transaction,
    may_commit,
    transaction_state,
    transaction_verb,
)

ABORTED = "25P02"  # in_failed_sql_transaction, which only follows from an earlier error
STATEMENTS_KEPT = 10_000  # a step
SQL_KEPT = 1_000_000  # characters
BEGUN_SQL_KEPT = 10_000
MESSAGE_KEPT = 8_000
PARAMETERS_KEPT = 300


class Wire:
    """One driver connection and the transaction that is open on it."""

    def __init__(self, number: int, database: int, dbapi: Any) -> None:
        self.number = number
        self.database = database
        self.dbapi = dbapi  # also keeps its id from being used again
        self.transaction: int | None = None
        self.last_transaction: int | None = None
        self.is_known = False  # what the observation of its transaction is asked for
        self.aborted_by: Failure | None = None


class Watch:
    """Sends one line for each statement while a request runs."""

    def __init__(self, answers: Answers, places: Places) -> None:
        self.answers = answers
        self.places = places
        self.active = False
        self._parameters = reprlib.Repr()
        for limit in ("maxdict", "maxlist", "maxtuple"):
            setattr(self._parameters, limit, 20)
        for limit in ("maxstring", "maxother"):
            setattr(self._parameters, limit, 100)
        self.reset(None)

    def install(self) -> None:
        engine_class = importlib.import_module("sqlalchemy.engine").Engine
        event = importlib.import_module("sqlalchemy.event")
        event.listen(engine_class, "before_cursor_execute", self._before)
        event.listen(engine_class, "after_cursor_execute", self._after)
        event.listen(engine_class, "handle_error", self._on_error)
        event.listen(engine_class, "commit", self._on_commit)
        event.listen(engine_class, "rollback", self._on_rollback)
        event.listen(engine_class, "commit_twophase", self._on_commit_twophase)
        event.listen(engine_class, "rollback_twophase", self._on_rollback_twophase)
        event.listen(engine_class, "rollback_savepoint", self._on_rollback_savepoint)
        on_reset = self._on_reset if sqlalchemy_version() >= (2, 0) else self._on_reset_1
        event.listen(engine_class, "reset", on_reset)

    def reset(self, observe: str | None, is_told: bool = True, is_at_once: bool = False) -> None:
        """Forget the last request; without `is_told` statements go without their particulars.

        With `is_at_once` the beginning of a statement is sent, and its end, and nothing is
        committed of which gatekeeper has not heard before.
        """
        self.observe = observe
        self.is_told = is_told
        self.is_at_once = is_at_once
        self.step: int | None = None
        self.fates: dict[int, str] = {}
        self.failures: list[Failure] = []
        self.omitted: dict[int, int] = {}
        self._kept: dict[int | None, int] = {}
        self._ordinal = 0
        self._transactions = 0
        self._wires: dict[int, Wire] = {}
        self._running: dict[int, dict[str, Any]] = {}
        # What was last asked of a database; an env.py may loop over the answer.
        self.question: dict[str, Any] | None = None

    def finish(self) -> None:
        """Note what is still open and end it, so that nothing outlives the request."""
        for wire in self._wires.values():
            if wire.transaction is not None:
                self.fates[wire.transaction] = "open"
            _abandon(wire.dbapi)
            wire.dbapi = None

    def _wire(self, conn: Any) -> Wire:
        fairy = conn.connection
        dbapi = getattr(fairy, "dbapi_connection", None) or fairy.connection
        wire = self._wires.get(id(dbapi))
        if wire is None:
            wire = self._wires[id(dbapi)] = Wire(len(self._wires) + 1, database_of(conn), dbapi)
        return wire

    def _before(
        self, conn: Any, cursor: Any, statement: Any, parameters: Any, context: Any, many: Any
    ) -> None:
        if not self.active:
            return
        place = self.places.of_stack(sys._getframe(1)) if self.is_told else None
        # With `insertmanyvalues` the event says "many" of one statement with all values.
        sets = parameters if many and isinstance(parameters, (list, tuple)) else [parameters]
        shown = self._parameters.repr(sets[0]) if parameters and self.is_told else None
        self._running[id(cursor)] = {
            "place": place,
            "parameters": None if shown is None else shown[:PARAMETERS_KEPT],
            "executions": len(sets),
            "began": time.perf_counter(),
        }
        if self.is_at_once:
            self._send_begun(conn, statement, place)

    def _after(
        self, conn: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: Any
    ) -> None:
        running = self._running.pop(id(cursor), None)
        if running is None:
            return
        seconds = time.perf_counter() - running["began"]
        wire = self._wire(conn)
        transaction = self._settle(wire, statement)
        observed = None
        is_streaming = getattr(context, "_is_server_side", False)
        is_asked = self.observe is not None and wire.transaction is not None
        if is_asked and not wire.is_known and not is_streaming:
            observed = self._observe(wire)
            wire.is_known = self.is_at_once and observed != [[None]]
        rows = getattr(cursor, "rowcount", -1)
        rows = rows if isinstance(rows, int) and rows >= 0 else None
        place = running["place"]
        if cursor.description is not None and place is not None:
            path = self.places.relative(place[0])
            self.question = {"sql": statement[:SQL_KEPT], "path": path, "line": place[1]}
            self.question["rows"] = rows
        self._send(running, wire, statement, transaction, seconds, rows, observed, False)

    def _send_begun(self, conn: Any, sql: str, place: tuple[str, int] | None) -> None:
        wire = self._wire(conn)
        has_to_be_committed = not may_commit(sql) and (
            transaction_state(wire.dbapi) != IDLE or begins_transaction(wire.dbapi)
        )
        if has_to_be_committed and self._kept.get(self.step, 0) >= STATEMENTS_KEPT:
            return  # what becomes of its transaction is known
        self.answers.send(
            {
                "kind": "begun",
                "step": self.step,
                "sql": sql[:BEGUN_SQL_KEPT],
                "path": None if place is None else self.places.relative(place[0]),
                "line": None if place is None else place[1],
                "in_transaction": has_to_be_committed,
            }
        )
        if not has_to_be_committed:
            self.answers.await_word()

    def _observe(self, wire: Wire) -> list[list[str | None]]:
        cursor = wire.dbapi.cursor()
        try:
            cursor.execute(self.observe)
            return [[None if v is None else str(v) for v in row] for row in cursor.fetchall()]
        finally:
            cursor.close()

    def _send(
        self,
        running: dict[str, Any],
        wire: Wire,
        sql: str,
        transaction: int | None,
        seconds: float,
        rows: int | None,
        observed: list[list[str | None]] | None,
        failed: bool,
    ) -> None:
        self._ordinal += 1
        kept = self._kept[self.step] = self._kept.get(self.step, 0) + 1
        is_new = self.is_at_once and (transaction is None or observed not in (None, [[None]]))
        if kept > STATEMENTS_KEPT and not is_new:
            if self.step is not None:
                self.omitted[self.step] = kept - STATEMENTS_KEPT
            return
        place = running["place"]
        self.answers.send(
            {
                "kind": "statement",
                "step": self.step,
                "ordinal": self._ordinal,
                "sql": sql[:SQL_KEPT],
                "parameters": running["parameters"],
                "path": None if place is None else self.places.relative(place[0]),
                "line": None if place is None else place[1],
                "end_line": None if place is None else self.places.end_line(*place),
                "database": wire.database,
                "connection": wire.number,
                "transaction": transaction,
                "seconds": seconds,
                "rows": rows,
                "executions": running["executions"],
                "observed": observed,
                "failed": failed,
            },
            may_wait=not self.is_at_once,
        )

    def _settle(self, wire: Wire, sql: str) -> int | None:
        """Return the transaction in which a statement ran, and follow its end.

        Migrations also end transactions by text (`op.execute("COMMIT")`), of which
        SQLAlchemy knows nothing; the driver's own state tells.
        """
        before = wire.transaction
        state = transaction_state(wire.dbapi)
        verb = transaction_verb(sql)
        if before is not None and (verb is not None or state == IDLE):
            rolled_back = verb == "rollback" or wire.aborted_by is not None
            self._end(wire, "rolled back" if rolled_back else "committed")
        if state != IDLE and verb is None and wire.transaction is None:
            self._transactions += 1
            wire.transaction = self._transactions
        return before if before is not None else wire.transaction

    def _end(self, wire: Wire, fate: str) -> None:
        if wire.transaction is not None:
            self.fates[wire.transaction] = fate
            wire.last_transaction, wire.transaction = wire.transaction, None
        wire.aborted_by = None
        wire.is_known = False

    def _on_commit(self, conn: Any) -> None:
        if self.active:
            if self.is_at_once:
                self.answers.await_word()
            wire = self._wire(conn)
            failed = transaction_state(wire.dbapi) == FAILED_TRANSACTION
            self._end(wire, "rolled back" if failed else "committed")

    def _on_rollback(self, conn: Any) -> None:
        if self.active:
            self._end(self._wire(conn), "rolled back")

    def _on_commit_twophase(self, conn: Any, xid: Any, is_prepared: bool) -> None:
        if self.active:
            if self.is_at_once:
                self.answers.await_word()
            self._end(self._wire(conn), "committed")

    def _on_rollback_twophase(self, conn: Any, xid: Any, is_prepared: bool) -> None:
        self._on_rollback(conn)

    def _on_rollback_savepoint(self, conn: Any, name: Any, context: Any) -> None:
        if self.active:
            self._wire(conn).aborted_by = None

    def _on_reset(self, dbapi_connection: Any, record: Any, reset_state: Any) -> None:
        self._on_reset_1(dbapi_connection, record)

    def _on_reset_1(self, dbapi_connection: Any, record: Any) -> None:
        """A pool takes a connection back and rolls back what was left open on it."""
        wire = self._wires.get(id(dbapi_connection))
        if wire is not None:
            self._end(wire, "rolled back")

    def _on_error(self, context: Any) -> None:
        if not self.active:
            return
        place = self.places.of_stack(sys._getframe(1))
        report = self._database_report(context.original_exception, context.statement, place)
        wire = None if context.connection is None else self._wire(context.connection)
        if wire is not None and wire.aborted_by is not None and report["sqlstate"] == ABORTED:
            report = wire.aborted_by.report
        failure = Failure(context.original_exception, context.sqlalchemy_exception, report)
        self.failures.append(failure)
        if wire is None:  # no connection came about
            return
        cursor = getattr(context.execution_context, "cursor", None)
        running = self._running.pop(id(cursor), None)
        if running is not None:
            seconds = time.perf_counter() - running["began"]
            state = transaction_state(wire.dbapi)
            if state != IDLE and wire.transaction is None:
                self._transactions += 1
                wire.transaction = self._transactions
            sql = context.statement
            self._send(running, wire, sql, wire.transaction, seconds, None, None, True)
        elif wire.transaction is None and wire.last_transaction is not None:
            self.fates[wire.last_transaction] = "rolled back"  # the COMMIT was refused
        if wire.aborted_by is None and wire.transaction is not None:
            wire.aborted_by = failure

    def _database_report(
        self, original: BaseException, sql: Any, place: tuple[str, int] | None
    ) -> dict[str, Any]:
        cause = original.__cause__
        if cause is not None and type(cause).__module__.startswith("asyncpg"):
            original = cause  # SQLAlchemy's adapter puts the class into the message
        return {
            "type": type(original).__name__,
            "message": message_of(original)[:MESSAGE_KEPT],
            "sqlstate": sqlstate_of(original),
            "relation": told_of(original, "table"),
            "constraint": told_of(original, "constraint"),
            "sql": None if sql is None else str(sql)[:SQL_KEPT],
            "path": None if place is None else self.places.relative(place[0]),
            "line": None if place is None else place[1],
        }

    def describe(self, error: BaseException) -> dict[str, Any]:
        """Return the error that matters: the one that aborted the transaction, if any.

        "Current transaction is aborted" only follows from an earlier error.
        """
        behind = next((f for f in reversed(self.failures) if f.is_behind(error)), None)
        aborted_by = next((w.aborted_by for w in self._wires.values() if w.aborted_by), None)
        if behind is not None:
            return behind.report
        if type(error).__name__ == "PendingRollbackError" and aborted_by is not None:
            return aborted_by.report
        place = self.places.of_traceback(error)
        if sqlstate_of(error) is not None:  # from a raw cursor, which SQLAlchemy never saw
            return self._database_report(error, None, place)
        return {
            "type": type(error).__name__,
            "message": self.places.shortened(str(error) or type(error).__name__)[:MESSAGE_KEPT],
            "sqlstate": None,
            "sql": None,
            "path": None if place is None else self.places.relative(place[0]),
            "line": None if place is None else place[1],
        }


def _abandon(dbapi: Any) -> None:
    """Close a driver connection that was kept; the loop of an async one has ended."""
    driver = getattr(dbapi, "_connection", None)
    transport = getattr(driver, "_transport", None)
    if transport is not None:  # asyncpg
        # An encrypted one that has been closed has none any more.
        its_socket = transport.get_extra_info("socket")
        with contextlib.suppress(OSError, TypeError):  # closed already; uvloop's
            if its_socket is not None:
                its_socket.shutdown(socket.SHUT_RDWR)
        return
    pgconn = getattr(driver, "pgconn", None)
    if pgconn is not None:  # psycopg, asynchronous
        pgconn.finish()
        return
    with contextlib.suppress(Exception):  # each driver has its own "already closed"
        dbapi.close()
