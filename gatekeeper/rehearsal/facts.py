"""Turns what the probe and the server tell into the nouns of the model."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from gatekeeper.lock_modes import LockMode
from gatekeeper.model import Direction, Outcome, Revision, Statement, Step
from gatekeeper.postgres.observation import Observed, Relations, interpret
from gatekeeper.probe.model import Fate, ProbeRun, ProbeStatement, ProbeStep


def steps_of(
    ran: ProbeRun,
    revisions: Sequence[Revision],
    relations: Relations,
    not_started: str,
    version_tables: Collection[str],
) -> tuple[Step, ...]:
    """Return the steps of one run of env.py, in its order; `revisions` are what they ran.

    Locks and rewrites count for the `relations` that existed before the run.
    `not_started` is the reason of steps that did not begin.
    """
    seen = _observe(ran, relations)
    own = frozenset(
        relation.name
        for relation in relations.values()
        if {_bare(relation.name), _bare(relation.table or "")}.intersection(version_tables)
    )
    written = _version_writes(ran)
    return tuple(
        _step_of(step, revision, seen, written[index], own, not_started)
        for index, (step, revision) in enumerate(zip(ran.steps, revisions, strict=True))
    )


def with_postconditions(
    steps: Sequence[Step],
    *,
    versions: Sequence[frozenset[str]],
    expected: frozenset[str],
    unexpected: frozenset[str],
    invalid_indexes: Iterable[str],
) -> tuple[Step, ...]:
    """Return completed steps with what another session sees after them.

    `versions` are the contents of the version tables: nothing of them may be `unexpected`
    and all of `expected` must be in each.
    """
    moved = bool(versions) and all(expected <= v and not unexpected & v for v in versions)
    by_step = _blame(steps, invalid_indexes)
    return tuple(
        replace(
            step,
            version_moved=moved,
            committed=_is_committed(step),
            left_open=step.left_open,
            invalid_indexes=by_step[index],
        )
        for index, step in enumerate(steps)
    )


def _is_committed(step: Step) -> bool:
    """Tell whether anything that a step wrote is there; what failed wrote nothing."""
    fates = [s.committed for s in step.statements if s.committed is not None]
    return not fates or any(fates)


def _observe(ran: ProbeRun, relations: Relations) -> Mapping[int, Observed]:
    """Return what each statement added, by its ordinal; Alembic's and env.py's count too.

    What one of them shows is not the next one's doing.
    """
    statements = [s for step in ran.steps for s in step.statements]
    added: dict[int, Observed] = {}
    last: dict[int, Observed] = {}
    for each in sorted((*statements, *ran.environment_statements), key=lambda s: s.ordinal):
        if each.observed is not None:
            now = interpret(each.observed, last.get(each.connection), relations)
            added[each.ordinal] = last[each.connection] = now
    return added


# The version table's columns have been called that since Alembic began.
_WRITES_VERSION = re.compile(r"\s*(INSERT INTO|UPDATE|DELETE FROM)\b.*\bversion_num\b", re.DOTALL)


def _version_writes(ran: ProbeRun) -> Sequence[Sequence[ProbeStatement]]:
    """Return, for each step, the statements by which Alembic wrote down that it is done."""
    found: list[list[ProbeStatement]] = [[] for _ in ran.steps]
    numbers = {(s.revision, s.direction): n for n, s in reversed(list(enumerate(ran.steps)))}
    owner = None
    for each in reversed(ran.environment_statements):
        written = _WRITES_VERSION.match(each.sql)
        if written is not None:
            # A merge point's DELETEs and INSERTs come before the UPDATE that names the step.
            owner = _owner(each.sql, written[1], numbers, owner)
            if owner is not None:
                found[owner].insert(0, each)
    return found


def _unseen(
    writes: Sequence[ProbeStatement], seen: Mapping[int, Observed], own: frozenset[str]
) -> tuple[ProbeStatement, Observed] | None:
    """Return the write of the version that shows what it cannot have done, None if none does.

    A statement sent with the driver's own cursor is not recorded, but its locks and
    rewrites are there at the next statement, at the latest when Alembic writes the version.
    `own` are the version table and its index.
    """
    for each in writes:
        if (observed := seen.get(each.ordinal)) is not None:
            locks = tuple(
                lock
                for lock in observed.locks
                if lock.mode >= LockMode.ROW_EXCLUSIVE and lock.relation not in own
            )
            if locks or observed.rewrites:
                return each, replace(observed, locks=locks)
    return None


def _has_ended(step: ProbeStep, writes: Sequence[ProbeStatement]) -> bool | None:
    """Tell whether the step's code ended the transaction that Alembic held around it."""
    same = []
    for statement in step.statements:
        write = next((w for w in writes if w.ordinal > statement.ordinal), None)
        if write is None or write.connection != statement.connection:
            continue
        if None not in (write.transaction, statement.transaction):
            same.append(write.transaction == statement.transaction)
    return not all(same) if same else None


def _owner(
    sql: str, verb: str, numbers: Mapping[tuple[str, Direction], int], after: int | None
) -> int | None:
    """Return the step that Alembic writes down, `after` (that of what follows) by default."""
    names = re.findall(r"'([^']*)'", sql)
    if not names:
        return after
    named = []
    if verb in ("UPDATE", "INSERT INTO"):
        named.append((names[0], Direction.UPGRADE))
    if verb in ("UPDATE", "DELETE FROM"):
        named.append((names[-1], Direction.DOWNGRADE))
    return min((numbers[each] for each in named if each in numbers), default=after)


def _bare(name: str) -> str:
    return name.rpartition(".")[2]


def _step_of(
    step: ProbeStep,
    revision: Revision,
    seen: Mapping[int, Observed],
    writes: Sequence[ProbeStatement],
    own: frozenset[str],
    not_started: str,
) -> Step:
    if step.error is not None:
        outcome = Outcome.FAILED
    else:
        outcome = Outcome.COMPLETED if step.completed else Outcome.SKIPPED
    statements = [
        _statement_of(s, step, ordinal, seen.get(s.ordinal))
        for ordinal, s in enumerate(step.statements, start=1)
    ]
    unseen = _unseen(writes, seen, own)
    if unseen is not None or step.omitted:
        statements.append(_unseen_statement(step, revision, len(statements) + 1, unseen))
    return Step(
        revision=step.revision,
        direction=step.direction,
        outcome=outcome,
        reason=not_started if outcome is Outcome.SKIPPED else None,
        seconds=step.seconds,
        statements=tuple(statements),
        error=step.error,
        left_open=any(s.fate is Fate.OPEN for s in step.statements),
        ended_transaction=_has_ended(step, writes),
        path=revision.path,
    )


def _statement_of(
    ran: ProbeStatement, step: ProbeStep, ordinal: int, now: Observed | None
) -> Statement:
    return Statement(
        revision=step.revision,
        direction=step.direction,
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
        transaction=ran.transaction,
    )


def _unseen_statement(
    step: ProbeStep,
    revision: Revision,
    ordinal: int,
    unseen: tuple[ProbeStatement, Observed] | None,
) -> Statement:
    """Return what stands for statements that were not recorded, with what they left to see."""
    is_upgrade = step.direction is Direction.UPGRADE
    function = revision.upgrade if is_upgrade else revision.downgrade
    line = revision.line if function is None else function.line
    sql = "-- sent past SQLAlchemy: not seen"
    if step.omitted:
        sql = f"-- {step.omitted} more statements: not recorded"
    witness, observed = unseen or (None, None)
    fate = None if witness is None else witness.fate
    return Statement(
        revision=step.revision,
        direction=step.direction,
        ordinal=ordinal,
        sql=sql,
        path=revision.path,
        line=line,
        end_line=line,
        in_transaction=witness is not None,
        seconds=0.0,
        rows=None,
        locks=None if observed is None else observed.locks,
        rewrites=() if observed is None else observed.rewrites,
        lock_timeout_ms=None if observed is None else observed.lock_timeout_ms,
        committed=None if fate is None else fate is Fate.COMMITTED,
        is_unseen=True,
        transaction=None if witness is None else witness.transaction,
    )


def _blame(steps: Sequence[Step], indexes: Iterable[str]) -> Mapping[int, tuple[str, ...]]:
    """Give each index to the last step whose SQL names it, else to the last step."""
    found: dict[int, list[str]] = {i: [] for i in range(len(steps))}
    for name in indexes:
        bare = name.rpartition(".")[2].strip('"')
        naming = [i for i, step in enumerate(steps) if any(bare in s.sql for s in step.statements)]
        found[naming[-1] if naming else len(steps) - 1].append(name)
    return {i: tuple(names) for i, names in found.items()}
