"""Whether an upgrade gives the same schema each time: two runs from one state are compared.

The deploy pass and the stairway both start from the base, so most of the time no further
run is needed. Only where they end with two schemas the revisions run once more, one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from gatekeeper.model import Difference, Direction, Outcome, RehearsedRevision
from gatekeeper.postgres.difference import compare
from gatekeeper.postgres.snapshot import Snapshot
from gatekeeper.rehearsal.stage import Stage
from gatekeeper.rehearsal.stairway import Line, Walked


def compare_runs(
    stage: Stage,
    walked: Walked,
    deployed: Snapshot | None,
    before: Snapshot,
    base: Callable[[], Line],
) -> tuple[tuple[RehearsedRevision, ...], tuple[Difference, ...]]:
    """Return the revisions with their variation, and what none of them explains.

    `deployed` is what the deploy pass left, None where it did not run all of them; then
    the second upgrade of a revision is the other run, if its downgrade restored the schema.
    `base` makes the state anew that `before` shows.
    """
    if deployed is None or walked.last is None:
        return tuple(replace(r, variation=_second_upgrade(r)) for r in walked.revisions), ()
    apart = compare(deployed, walked.last)
    if not apart:
        return tuple(replace(r, variation=()) for r in walked.revisions), ()
    revisions = _run_again(stage, walked, before, base())
    varies = any(r.variation for r in revisions)
    return revisions, () if varies else apart


def _second_upgrade(rehearsed: RehearsedRevision) -> tuple[Difference, ...] | None:
    return None if rehearsed.round_trip != () else rehearsed.second_upgrade


def _run_again(
    stage: Stage, walked: Walked, before: Snapshot, line: Line
) -> tuple[RehearsedRevision, ...]:
    """Upgrade one revision after the other and compare each state with that of the first walk.

    What a state differs in because of an earlier one, or the base's own history, is not
    told again.
    """
    told: Sequence[Difference] = compare(before, line.snapshot)
    revisions: list[RehearsedRevision] = []
    for rehearsed, first in zip(walked.revisions, walked.after, strict=True):
        ran = stage.run(line.database, [rehearsed.revision], Direction.UPGRADE)
        if ran.steps[0].outcome is not Outcome.COMPLETED:
            return (*revisions, *walked.revisions[len(revisions) :])
        differs = compare(first, stage.snapshot(line.database))
        revisions.append(replace(rehearsed, variation=tuple(d for d in differs if d not in told)))
        told = differs
    return tuple(revisions)
