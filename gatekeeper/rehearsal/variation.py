"""Whether an upgrade gives the same schema each time: two runs from one state are compared.

The deploy pass and the stairway both start from the base, so most of the time no further
run is needed. Only where they end with two schemas the revisions run once more, one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from gatekeeper.errors import DatabaseError, ProbeError
from gatekeeper.model import Difference, Direction, Outcome, RehearsedRevision
from gatekeeper.postgres.difference import compare
from gatekeeper.postgres.snapshot import Snapshot
from gatekeeper.rehearsal.stage import Stage
from gatekeeper.rehearsal.stairway import Line, Walked

OnEach = tuple[RehearsedRevision, ...]  # one revision on each database


def compare_runs(
    stage: Stage,
    walked: Walked,
    deployed: Sequence[Snapshot] | None,
    before: Sequence[Snapshot],
    base: Callable[[], Line],
) -> tuple[tuple[OnEach, ...], tuple[tuple[Difference, ...], ...]]:
    """Return the revisions with their variation, and what none of them explains.

    `deployed` is what the deploy pass left, None where it did not run all of them; then
    the second upgrade of a revision is the other run, if its downgrade restored the schema.
    `base` makes the state anew that `before` shows; where that or a revision does not run
    once more, it stays open why the two differ.
    """
    nothing: tuple[tuple[Difference, ...], ...] = ((),) * len(before)
    if deployed is None or walked.last is None:
        return tuple(tuple(map(_with_second_upgrade, each)) for each in walked.revisions), nothing
    apart = tuple(map(compare, deployed, walked.last))
    if not any(apart):
        return tuple(
            tuple(replace(r, variation=()) for r in each) for each in walked.revisions
        ), nothing
    try:
        revisions = _run_again(stage, walked, before, base())
    except (ProbeError, DatabaseError):
        return walked.revisions, apart
    varies = any(r.variation for each in revisions for r in each)
    return revisions, nothing if varies else apart


def _with_second_upgrade(rehearsed: RehearsedRevision) -> RehearsedRevision:
    is_restored = rehearsed.round_trip == ()
    return replace(rehearsed, variation=rehearsed.second_upgrade if is_restored else None)


def _run_again(
    stage: Stage, walked: Walked, before: Sequence[Snapshot], line: Line
) -> tuple[OnEach, ...]:
    """Upgrade one revision after the other and compare each state with that of the first walk.

    What a state differs in because of an earlier one, or the base's own history, is not
    told again.
    """
    told = tuple(map(compare, before, line.snapshots))
    revisions: list[OnEach] = []
    for each, first in zip(walked.revisions, walked.after, strict=True):
        ran = stage.run(line.databases, [each[0].revision], Direction.UPGRADE)
        if any(steps[0].outcome is not Outcome.COMPLETED for steps in ran.steps):
            return (*revisions, *walked.revisions[len(revisions) :])
        differs = tuple(map(compare, first, stage.snapshot(line.databases)))
        revisions.append(tuple(map(_varied, each, differs, told)))
        told = differs
    return tuple(revisions)


def _varied(
    rehearsed: RehearsedRevision, differs: Sequence[Difference], told: Sequence[Difference]
) -> RehearsedRevision:
    return replace(rehearsed, variation=tuple(d for d in differs if d not in told))
