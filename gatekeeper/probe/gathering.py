"""Puts what the probe tells of a run together: whose statement it was, and what became of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from gatekeeper.errors import ProbeError
from gatekeeper.model import StepError
from gatekeeper.probe import protocol
from gatekeeper.probe.model import (
    Begun,
    Fate,
    ProbeRun,
    ProbeStatement,
    ProbeStep,
    RequestedStep,
    Unavailable,
)
from gatekeeper.probe.protocol import ProtocolError

# What is called when a statement begins and has ended, with the step that it belongs to.
Told = Callable[[RequestedStep | None, Begun | ProbeStatement], None]


@dataclass
class _StepSoFar:
    begun: int = 0
    completed: int = 0
    seconds: float = 0.0
    error: StepError | None = None
    applied: bool = False


class Gathering:
    """Puts the messages of a run together; fates are known only at its end."""

    def __init__(
        self, steps: tuple[RequestedStep, ...], database_count: int, told: Told | None
    ) -> None:
        self._requested = steps
        self._told = told
        self._databases = range(database_count)
        self._steps = [[_StepSoFar() for _ in steps] for _ in self._databases]
        self._statements: list[tuple[int | None, int, Mapping[str, Any]]] = []
        self._done: Mapping[str, Any] = {}
        self._running: int | None = None

    def place(self, error: ProbeError) -> ProbeError:
        """Return an error that ended the run, with the step that was running then."""
        if self._running is None:
            return error
        step = self._requested[self._running]
        what = f"while the {step.direction.value} of `{step.revision}` ran, {error.what}"
        return ProbeError(what, where=error.where, fix=error.fix)

    def add(self, message: Mapping[str, Any]) -> None:
        kind = protocol.read(message, "kind", str)
        if kind == "statement":
            self._statements.append((self._index(message), self._database(message), message))
            if self._told is not None:
                told = protocol.read_statement(message, _fate_of(message, {}))
                self._told(self._step_of(message), told)
        elif kind == "begun" and self._told is not None:
            self._told(self._step_of(message), protocol.read_begun(message))
        elif kind == "done":
            self._done = message
        else:
            index = self._index(message)
            if index is None:
                raise ProtocolError(f"{kind!r} names no step")
            step = self._steps[self._database(message)][index]
            if kind == "begin":
                step.begun += 1
                self._running = index
            elif kind == "applied":
                step.applied = True
            elif kind == "end":
                self._running = None
                step.completed += protocol.read(message, "completed", bool)
                step.seconds += protocol.read(message, "seconds", float)
                step.error = step.error or protocol.read_error(message.get("error"))
            else:
                raise ProtocolError(f"{kind!r} is no kind of answer")

    def _step_of(self, message: Mapping[str, Any]) -> RequestedStep | None:
        index = self._index(message)
        return None if index is None else self._requested[index]

    def _index(self, message: Mapping[str, Any]) -> int | None:
        index = protocol.optional(message, "step", int)
        if index is not None and not 0 <= index < len(self._requested):
            raise ProtocolError(f"there is no step {index}")
        return index

    def is_simultaneous(self) -> bool:
        """Whether a step began while another one ran: what was seen of them is mixed up."""
        return protocol.read(self._done, "simultaneous", bool)

    def unavailable(self) -> Unavailable | None:
        """Return what a revision could not run without, in place of an error of its own."""
        return protocol.read_unavailable(self._done)

    def _database(self, message: Mapping[str, Any]) -> int:
        database = protocol.read(message, "database", int)
        if database not in self._databases:
            raise ProtocolError(f"there is no database {database}")
        return database

    def finish(self) -> ProbeRun:
        fates = protocol.read_fates(self._done)
        statements = [
            (index, database, protocol.read_statement(message, _fate_of(message, fates)))
            for index, database, message in self._statements
        ]
        told = protocol.read_list(self._done, "databases", len(self._databases))
        first, *others = (
            self._run([(i, s) for i, of, s in statements if of == database], database, entry)
            for database, entry in enumerate(map(protocol.read_object, told))
        )
        return replace(first, others=tuple(others))

    def _run(
        self,
        statements: Sequence[tuple[int | None, ProbeStatement]],
        database: int,
        told: Mapping[str, Any],
    ) -> ProbeRun:
        by_step: dict[int | None, list[ProbeStatement]] = {}
        for index, statement in statements:
            by_step.setdefault(index, []).append(statement)
        return ProbeRun(
            steps=tuple(
                self._step(index, database, by_step.get(index, ()))
                for index in range(len(self._requested))
            ),
            error=protocol.read_error(self._done.get("error")),
            environment_statements=tuple(by_step.get(None, ())),
            fn_calls=protocol.read(told, "fn_calls", int),
            other_dialects=protocol.read_texts(self._done, "other_dialects"),
            version_tables=protocol.read_version_tables(told),
        )

    def _step(self, index: int, database: int, statements: Sequence[ProbeStatement]) -> ProbeStep:
        step, requested = self._steps[database][index], self._requested[index]
        omitted = protocol.read(self._done, "omitted", dict)
        return ProbeStep(
            revision=requested.revision,
            direction=requested.direction,
            started=step.begun > 0,
            completed=step.begun > 0 and step.completed == step.begun and step.error is None,
            seconds=step.seconds,
            statements=tuple(statements),
            error=step.error,
            already_applied=step.applied and step.begun == 0,
            omitted=protocol.optional(omitted, str(index), int) or 0,
        )


def _fate_of(message: Mapping[str, Any], fates: Mapping[int, Fate]) -> Fate | None:
    """Return a statement's fate; outside a transaction it is its own."""
    transaction = protocol.optional(message, "transaction", int)
    if transaction is not None:
        return fates.get(transaction)
    return None if protocol.read(message, "failed", bool) else Fate.COMMITTED
