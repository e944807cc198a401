"""Each new revision up, down and up again, alone and from a clean state.

The main line only ever goes up: it is what the next revision starts from. Down and the
second up happen on a clone, so what one downgrade forgets is not held against the next
revision, and two defects that cancel each other are both seen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from gatekeeper.errors import ProbeError
from gatekeeper.lineage import ancestors, next_below
from gatekeeper.model import (
    Direction,
    Outcome,
    RehearsedRevision,
    Revision,
    Step,
)
from gatekeeper.postgres.difference import compare
from gatekeeper.postgres.snapshot import Snapshot
from gatekeeper.rehearsal.databases import Databases
from gatekeeper.rehearsal.stage import Ran, Stage, describe


class Line:
    """The main line: databases and the revisions that have been applied to them."""

    def __init__(self, stage: Stage, databases: Databases, applied: Sequence[str]) -> None:
        self.databases = databases
        self.applied = set(applied)
        self.snapshots = stage.snapshot(databases)


@dataclass(frozen=True)
class Walked:
    """The stairways in graph order; `after` has the schema after each first upgrade.

    Of each there is one for each database. `last` is the schema with all of them applied;
    None where one did not run to its end or the line had to be made anew on the way.
    """

    revisions: tuple[tuple[RehearsedRevision, ...], ...]
    after: tuple[tuple[Snapshot, ...], ...]
    last: tuple[Snapshot, ...] | None


def walk(
    stage: Stage,
    line: Line,
    revisions: Sequence[Revision],
    history: Sequence[Revision],
    stood_for: frozenset[str],
    progress: Callable[[str], None],
) -> Walked:
    """Return the stairways of the revisions, which are in graph order, on each database.

    `line` is the base's state, and is used up; `history` is the head's graph. The
    bootstrap has made what the revisions of `stood_for` make.
    """
    rehearsed: list[tuple[RehearsedRevision, ...]] = []
    after: list[tuple[Snapshot, ...]] = []
    is_one_line = True
    failed: dict[str, str] = {}
    at: Line | None = line
    for revision in revisions:
        name = revision.revision
        if name in stood_for:
            reason = "the bootstrap stands for it, so it did not run"
            rehearsed.append((_not_run(revision, reason),) * len(stage.origins))
            continue
        progress(f"Rehearsing {name}: up, down, up")
        cause = next((failed[d] for d in next_below(revision) if d in failed), None)
        if cause is not None:
            failed[name] = cause
            reason = f"{cause} comes before it and did not run to its end"
            rehearsed.append((_not_run(revision, reason),) * len(stage.origins))
            continue
        if at is None or not _fits(at, revision, history):
            at = _rebuild(stage, ancestors(name, history), history)
            is_one_line = False
        before = at.snapshots
        up = stage.run(at.databases, [revision], Direction.UPGRADE)
        if up.failure is not None or not up.has_moved:
            failed[name] = name
            rehearsed.append(_did_not_arrive(revision, up, before))
            at = None  # whatever that upgrade committed is still in it
            continue
        at.snapshots = stage.snapshot(at.databases)
        at.applied.add(name)
        after.append(at.snapshots)
        is_last = revision is revisions[-1]
        databases = at.databases if is_last else stage.clone(at.databases)
        rehearsed.append(_down_and_up(stage, databases, revision, up, before, at.snapshots))
        if not is_last:
            stage.drop(databases)
    last = at.snapshots if at is not None and is_one_line and not failed else None
    return Walked(tuple(rehearsed), tuple(after), last)


def _down_and_up(
    stage: Stage,
    databases: Databases,
    revision: Revision,
    up: Ran,
    before: Sequence[Snapshot],
    after: Sequence[Snapshot],
) -> tuple[RehearsedRevision, ...]:
    rehearsed = [
        _raised(revision, steps[0], before[number], after[number])
        for number, steps in enumerate(up.steps)
    ]
    if revision.downgrade is None:
        return tuple(rehearsed)
    down = stage.run(databases, [revision], Direction.DOWNGRADE)
    rehearsed = [
        replace(each, downgrade=steps[0])
        for each, steps in zip(rehearsed, down.blamed_steps(), strict=True)
    ]
    if down.failure is not None:
        return tuple(rehearsed)
    lowered = stage.snapshot(databases)
    again = stage.run(databases, [revision], Direction.UPGRADE)
    rehearsed = [
        replace(each, reupgrade=steps[0], round_trip=compare(before[number], lowered[number]))
        for number, (each, steps) in enumerate(zip(rehearsed, again.blamed_steps(), strict=True))
    ]
    if again.failure is not None:
        return tuple(rehearsed)
    raised = stage.snapshot(databases)
    return tuple(
        replace(each, second_upgrade=compare(after[number], raised[number]))
        for number, each in enumerate(rehearsed)
    )


def _raised(
    revision: Revision, upgrade: Step, before: Snapshot, after: Snapshot
) -> RehearsedRevision:
    """Return a revision of which only the upgrade has been seen so far."""
    no_function = "there is no downgrade function"
    no_way_back = "the downgrade did not run to its end"
    return RehearsedRevision(
        revision=revision,
        upgrade=upgrade,
        downgrade=_skipped(revision, Direction.DOWNGRADE, no_function),
        reupgrade=_skipped(revision, Direction.UPGRADE, no_way_back),
        changes=compare(before, after),
        round_trip=None,
        second_upgrade=None,
        relations_before=before.relations,
        foreign_keys_before=before.foreign_keys,
        partitions_before=before.partitions,
        new_columns=after.columns_beyond(before),
    )


def _did_not_arrive(
    revision: Revision, up: Ran, before: Sequence[Snapshot]
) -> tuple[RehearsedRevision, ...]:
    reason = "the upgrade failed" if up.failure is not None else "the upgrade did not arrive"
    return tuple(
        replace(
            _not_run(revision, reason),
            upgrade=steps[0],
            relations_before=each.relations,
            foreign_keys_before=each.foreign_keys,
            partitions_before=each.partitions,
        )
        for steps, each in zip(up.blamed_steps(), before, strict=True)
    )


def _not_run(revision: Revision, reason: str) -> RehearsedRevision:
    return RehearsedRevision(
        revision=revision,
        upgrade=_skipped(revision, Direction.UPGRADE, reason),
        downgrade=_skipped(revision, Direction.DOWNGRADE, reason),
        reupgrade=_skipped(revision, Direction.UPGRADE, reason),
        changes=None,
        round_trip=None,
        second_upgrade=None,
    )


def _skipped(revision: Revision, direction: Direction, reason: str) -> Step:
    return Step(revision.revision, direction, Outcome.SKIPPED, reason)


def _fits(line: Line, revision: Revision, history: Sequence[Revision]) -> bool:
    """Whether the revision can be the next one applied to the line.

    All that is applied has to be in the head's history: on a database that stands at a
    deleted revision, nothing can be.
    """
    there = {r.revision for r in history}
    needed = ancestors(revision.revision, history) & there
    return revision.revision not in line.applied and needed <= line.applied <= there


def _rebuild(stage: Stage, applied: frozenset[str], history: Sequence[Revision]) -> Line:
    """Return a new line with those revisions applied, run from an empty database."""
    databases = stage.new_databases()
    chosen = [r for r in history if r.revision in applied]
    if chosen:
        ran = stage.run(databases, chosen, Direction.UPGRADE, observe=None, is_told=False)
        if ran.failure is not None:
            raise ProbeError(
                f"the history does not run on an empty database: {describe(ran.failure)}"
            )
    return Line(stage, databases, [r.revision for r in chosen])
