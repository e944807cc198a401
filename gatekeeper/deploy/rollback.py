"""A deploy that came to its end is taken back because somebody asks for it."""

from __future__ import annotations

import contextlib
from dataclasses import replace

from gatekeeper.deploy.journal import Journal
from gatekeeper.deploy.maintenance import enter_maintenance, leave_maintenance, opened_to_users
from gatekeeper.deploy.model import DeployOutcome, StepFailed, StepName, TargetState
from gatekeeper.deploy.past import Past
from gatekeeper.deploy.phrases import name_revisions
from gatekeeper.deploy.position import Position, backup_of, is_on_the_way_back
from gatekeeper.deploy.run import (
    AGAIN,
    Ended,
    Means,
    Run,
    differing_from,
    is_as,
    signal_of,
    told_of,
)
from gatekeeper.deploy.target import hold_target
from gatekeeper.deploy.way_back import go_back
from gatekeeper.errors import GatekeeperError
from gatekeeper.policy.model import OnFailure


def carry_back(means: Means, journal: Journal, past: Past, left: Past | None) -> Ended:
    """Take a target back to what it was before the deploy that `past` tells of.

    `left` is what others have left that were about to do so.
    """
    with contextlib.ExitStack() as stack:
        run = Run(means, journal, past, left, stack)
        with opened_to_users(run):
            return leave_maintenance(run, _carry_back(run))


def _carry_back(run: Run) -> Ended:
    try:
        position = _require_deployed(run)
        if position is Position.AT_START and not run.has_begun_back:
            return Ended(DeployOutcome.ROLLED_BACK)
        if position is not Position.AT_START:
            # The application that runs now does not fit what the target goes back to.
            enter_maintenance(run, None)
    except GatekeeperError as error:
        return _not_begun_back(run, error)
    ended = go_back(run, OnFailure.DOWNGRADE, "asked for", None)
    return ended if ended.signal is None else replace(ended, next=f"{ended.next} {AGAIN}")


def _require_deployed(run: Run) -> Position:
    """Hold the target against what a deploy has left, before it is taken back."""
    assert run.past is not None
    run.backup = backup_of(run.past)
    if run.left is not None:
        run.journal.earlier = run.left.passed()
    with run.step(StepName.PREFLIGHT) as noted:
        run.hold = run.stack.enter_context(hold_target(run.deployment.target))
        run.end_left()
        run.open_stage()
        state = run.read()
        noted.details.update(told_of(state))
        if is_as(state, run.told_before()):
            noted.say("the target is as before the deploy already")
            return Position.AT_START
        if is_on_the_way_back(run, state):
            noted.say(f"taken up again: the target is at {name_revisions(state.versions)}")
            return Position.ON_THE_WAY_BACK
        _require_as_deployed(run, run.past, state)
    return Position.UPGRADED


def _require_as_deployed(run: Run, past: Past, state: TargetState) -> None:
    """Raise where the target is not as the deploy left it, or the way back is not proven."""
    after = past.details(StepName.VERIFY)
    if "catalog" not in after:
        raise StepFailed(
            "the deploy did not come as far as to verify the target: it is not known what "
            "it left there",
            fix="Let `gatekeeper deploy` with the same `--record` go on with it first.",
        )
    if state.versions != frozenset(run.deployment.release.to_revisions):
        raise StepFailed(
            f"the target is at {name_revisions(state.versions)}, and the deploy left it at "
            f"{name_revisions(run.deployment.release.to_revisions)}",
            fix="Take back what was deployed since, the last first.",
        )
    changed = differing_from(state, after)
    if changed:
        raise StepFailed(
            "the target was changed since the deploy: " + ", ".join(changed),
            fix="Take that back by hand first.",
        )
    rehearsed = past.details(StepName.RESTORE_REHEARSAL)
    obstacle = rehearsed.get("obstacle", "it was not rehearsed")
    if obstacle is not None:
        raise StepFailed(
            f"the downgrade is not proven to lead back: {obstacle}",
            fix="Restore the backup of the record by hand: what was written since is lost.",
        )


def _not_begun_back(run: Run, error: GatekeeperError) -> Ended:
    """Return how a rollback ends that did nothing to the target, this time at least."""
    if run.has_begun_back or (run.is_in_maintenance and run.hold is None):
        return Ended(DeployOutcome.STOPPED, f"{error.sentence}. {AGAIN}", signal_of(error))
    return Ended(DeployOutcome.REFUSED, error.fix, signal_of(error))
