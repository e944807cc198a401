"""Turns what the probe and the server tell into the nouns of the model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from gatekeeper.model import Direction, Outcome, Revision, Statement, Step
from gatekeeper.postgres.observation import Observed, Relations, interpret
from gatekeeper.probe.protocol import Fate, ProbeStatement, ProbeStep


def steps_of(ran: Sequence[ProbeStep], relations: Relations, not_started: str) -> tuple[Step, ...]:
    """Return the steps of one run of env.py, in its order.

    Locks and rewrites count for the `relations` that existed before the run.
    `not_started` is the reason of steps that did not begin.
    """
    seen: dict[int, Observed] = {}
    return tuple(_step_of(step, relations, seen, not_started) for step in ran)


def with_postconditions(
    steps: Sequence[Step],
    *,
    versions: frozenset[str],
    expected: frozenset[str],
    unexpected: frozenset[str],
    invalid_indexes: Iterable[str],
) -> tuple[Step, ...]:
    """Return completed steps with what another session sees after them.

    `versions` is the content of the version table, None of which may be `unexpected` and
    all of `expected` must be in it.
    """
    moved = expected <= versions and not (unexpected & versions)
    by_step = _blame(steps, invalid_indexes)
    return tuple(
        replace(
            step,
            version_moved=moved,
            committed=not step.statements or any(s.committed for s in step.statements),
            left_open=step.left_open,
            invalid_indexes=by_step[index],
        )
        for index, step in enumerate(steps)
    )


def tips(revisions: Sequence[Revision]) -> frozenset[str]:
    """Return those of the revisions that no other of them builds on."""
    built_on = {r for x in revisions for r in (*x.down_revisions, *x.depends_on)}
    return frozenset(x.revision for x in revisions) - built_on


def _step_of(
    step: ProbeStep, relations: Relations, seen: dict[int, Observed], not_started: str
) -> Step:
    if step.error is not None:
        outcome = Outcome.FAILED
    else:
        outcome = Outcome.COMPLETED if step.completed else Outcome.SKIPPED
    return Step(
        revision=step.revision,
        direction=step.direction,
        outcome=outcome,
        reason=not_started if outcome is Outcome.SKIPPED else None,
        seconds=step.seconds,
        statements=tuple(
            _statement_of(s, step.revision, step.direction, ordinal, relations, seen)
            for ordinal, s in enumerate(step.statements, start=1)
        ),
        error=step.error,
        left_open=any(s.fate is Fate.OPEN for s in step.statements),
    )


def _statement_of(
    ran: ProbeStatement,
    revision: str,
    direction: Direction,
    ordinal: int,
    relations: Relations,
    seen: dict[int, Observed],
) -> Statement:
    now = None
    if ran.observed is not None:
        now = interpret(ran.observed, seen.get(ran.connection), relations)
        seen[ran.connection] = now
    return Statement(
        revision=revision,
        direction=direction,
        ordinal=ordinal,
        sql=ran.sql,
        parameters=ran.parameters,
        path=ran.path,
        line=ran.line,
        end_line=ran.end_line,
        in_transaction=ran.transaction is not None,
        seconds=ran.seconds,
        rows=ran.rows,
        locks=None if now is None or ran.transaction is None else now.locks,
        rewrites=() if now is None else now.rewrites,
        lock_timeout_ms=None if now is None else now.lock_timeout_ms,
        committed=None if ran.fate is None else ran.fate is Fate.COMMITTED,
    )


def _blame(steps: Sequence[Step], indexes: Iterable[str]) -> Mapping[int, tuple[str, ...]]:
    """Give each index to the last step whose SQL names it, else to the last step."""
    found: dict[int, list[str]] = {i: [] for i in range(len(steps))}
    for name in indexes:
        bare = name.rpartition(".")[2].strip('"')
        naming = [i for i, step in enumerate(steps) if any(bare in s.sql for s in step.statements)]
        found[naming[-1] if naming else len(steps) - 1].append(name)
    return {i: tuple(names) for i, names in found.items()}
