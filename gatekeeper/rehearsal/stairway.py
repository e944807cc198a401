"""Each new revision up, down and up again, alone and from a clean state.

The main line only ever goes up: it is what the next revision starts from. Down and the
second up happen on a clone, so what one downgrade forgets is not held against the next
revision, and two defects that cancel each other are both seen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gatekeeper.errors import ProbeError
from gatekeeper.model import (
    Direction,
    Outcome,
    RehearsedRevision,
    Revision,
    Step,
)
from gatekeeper.postgres.databases import Database, drop_database
from gatekeeper.postgres.difference import compare
from gatekeeper.postgres.snapshot import Snapshot
from gatekeeper.rehearsal.stage import Ran, Stage, describe


class Line:
    """The main line: a database and the revisions that have been applied to it."""

    def __init__(self, stage: Stage, database: Database, applied: Sequence[str]) -> None:
        self.database = database
        self.applied = set(applied)
        self.snapshot = stage.snapshot(database)


@dataclass(frozen=True)
class Walked:
    """The stairways in graph order; `after` has the schema after each first upgrade.

    `last` is the schema with all of them applied; None where one did not run to its end or
    the line had to be made anew on the way.
    """

    revisions: tuple[RehearsedRevision, ...]
    after: tuple[Snapshot, ...]
    last: Snapshot | None


def walk(
    stage: Stage,
    line: Line,
    revisions: Sequence[Revision],
    history: Sequence[Revision],
    progress: Callable[[str], None],
) -> Walked:
    """Return the stairways of the revisions, which are in graph order.

    `line` is the base's state, and is used up; `history` is the head's graph.
    """
    rehearsed: list[RehearsedRevision] = []
    after: list[Snapshot] = []
    is_one_line = True
    failed: dict[str, str] = {}
    at: Line | None = line
    for revision in revisions:
        name = revision.revision
        progress(f"Rehearsing {name}: up, down, up")
        cause = next((failed[d] for d in parents(revision) if d in failed), None)
        if cause is not None:
            failed[name] = cause
            rehearsed.append(
                _not_run(revision, f"{cause} comes before it and did not run to its end")
            )
            continue
        if at is None or not _fits(at, revision, history):
            at = _rebuild(stage, ancestors(revision, history), history)
            is_one_line = False
        before = at.snapshot
        up = stage.run(at.database, [revision], Direction.UPGRADE)
        if up.failure is not None or not up.has_moved:
            failed[name] = name
            rehearsed.append(_did_not_arrive(revision, up, before))
            at = None  # whatever that upgrade committed is still in it
            continue
        at.snapshot = stage.snapshot(at.database)
        at.applied.add(name)
        after.append(at.snapshot)
        is_last = revision is revisions[-1]
        database = at.database if is_last else stage.clone(at.database)
        rehearsed.append(_down_and_up(stage, database, revision, up, before, at.snapshot))
        if not is_last:
            drop_database(database)
    last = at.snapshot if at is not None and is_one_line and not failed else None
    return Walked(tuple(rehearsed), tuple(after), last)


def _down_and_up(
    stage: Stage,
    database: Database,
    revision: Revision,
    up: Ran,
    before: Snapshot,
    after: Snapshot,
) -> RehearsedRevision:
    if revision.downgrade is None:
        down_step = _skipped(revision, Direction.DOWNGRADE, "there is no downgrade function")
        return _rehearsed(revision, up.steps[0], down_step, None, before, after, None, None)
    down = stage.run(database, [revision], Direction.DOWNGRADE)
    down_step = down.blamed_steps()[0]
    if down.failure is not None:
        return _rehearsed(revision, up.steps[0], down_step, None, before, after, None, None)
    lowered = stage.snapshot(database)
    again = stage.run(database, [revision], Direction.UPGRADE)
    raised = None if again.failure is not None else stage.snapshot(database)
    return _rehearsed(
        revision, up.steps[0], down_step, again.blamed_steps()[0], before, after, lowered, raised
    )


def _rehearsed(
    revision: Revision,
    upgrade: Step,
    downgrade: Step,
    reupgrade: Step | None,
    before: Snapshot,
    after: Snapshot,
    lowered: Snapshot | None,
    raised: Snapshot | None,
) -> RehearsedRevision:
    if reupgrade is None:
        reason = "the downgrade did not run to its end"
        reupgrade = _skipped(revision, Direction.UPGRADE, reason)
    return RehearsedRevision(
        revision=revision,
        upgrade=upgrade,
        downgrade=downgrade,
        reupgrade=reupgrade,
        changes=compare(before, after),
        round_trip=None if lowered is None else compare(before, lowered),
        second_upgrade=None if raised is None else compare(after, raised),
        relations_before=before.relations,
        foreign_keys_before=before.foreign_keys,
        partitions_before=before.partitions,
        new_columns=after.columns_beyond(before),
    )


def _did_not_arrive(revision: Revision, up: Ran, before: Snapshot) -> RehearsedRevision:
    reason = "the upgrade failed" if up.failure is not None else "the upgrade did not arrive"
    return RehearsedRevision(
        revision=revision,
        upgrade=up.blamed_steps()[0],
        downgrade=_skipped(revision, Direction.DOWNGRADE, reason),
        reupgrade=_skipped(revision, Direction.UPGRADE, reason),
        changes=None,
        round_trip=None,
        second_upgrade=None,
        relations_before=before.relations,
        foreign_keys_before=before.foreign_keys,
        partitions_before=before.partitions,
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


def parents(revision: Revision) -> tuple[str, ...]:
    return (*revision.down_revisions, *revision.depends_on)


def ancestors(revision: Revision, history: Sequence[Revision]) -> set[str]:
    """Return what has to be applied before the revision can be, itself not included."""
    by_id = {r.revision: r for r in history}
    found: set[str] = set()
    todo = list(parents(revision))
    while todo:
        name = todo.pop()
        if name in by_id and name not in found:
            found.add(name)
            todo += parents(by_id[name])
    return found


def _fits(line: Line, revision: Revision, history: Sequence[Revision]) -> bool:
    """Whether the revision can be the next one applied to the line.

    All that is applied has to be in the head's history: on a database that stands at a
    deleted revision, nothing can be.
    """
    there = {r.revision for r in history}
    needed = ancestors(revision, history)
    return revision.revision not in line.applied and needed <= line.applied <= there


def _rebuild(stage: Stage, applied: set[str], history: Sequence[Revision]) -> Line:
    """Return a new line with those revisions applied, run from an empty database."""
    database = stage.new_database()
    chosen = [r for r in history if r.revision in applied]
    if chosen:
        ran = stage.run(database, chosen, Direction.UPGRADE, observe=None)
        if ran.failure is not None:
            raise ProbeError(
                f"the history does not run on an empty database: {describe(ran.failure)}"
            )
    return Line(stage, database, [r.revision for r in chosen])
