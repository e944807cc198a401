"""The way back after a failure: which one the policy allows and is proven, and going it."""

from __future__ import annotations

from gatekeeper.deploy.apply import ApplyFailed, apply_downgrade
from gatekeeper.deploy.model import DeployOutcome, StepFailed, StepName, TargetState
from gatekeeper.deploy.phrases import name_revisions
from gatekeeper.deploy.restore_in_place import restore_target
from gatekeeper.deploy.run import Ended, Run, differing_from, is_as, signal_of
from gatekeeper.deploy.verify import find_lost_rows
from gatekeeper.errors import GatekeeperError
from gatekeeper.policy.model import OnFailure


def take_back(run: Run, error: GatekeeperError) -> Ended:
    """Take the target back by the way that the policy allows and that is proven."""
    way, why = _choose_way(run, error)
    if way is None:
        run.journal.skip(StepName.ROLLBACK, why)
        return Ended(DeployOutcome.STOPPED, f"{error.sentence}. Not taken back: {why}.")
    return go_back(run, way, why, error)


def go_on_back(run: Run) -> Ended:
    """Go on with the way back that a killed process had begun."""
    assert run.past is not None
    way = OnFailure(run.past.begun[StepName.ROLLBACK]["way"])
    return go_back(run, way, "the process that had begun it was killed", None)


def go_back(run: Run, way: OnFailure, why: str, error: GatekeeperError | None) -> Ended:
    """Go the way back; `error` is what made it necessary."""
    told = "" if error is None else f"{error.sentence}. "
    try:
        with run.step(StepName.ROLLBACK, way=way.value) as noted:
            noted.say(f"by {way.value}: {why}")
            done_to = run.read()
            if _is_back(run, done_to):
                noted.say("the target is as before already")
            elif way is OnFailure.DOWNGRADE:
                revisions = run.means.revisions()
                taken = apply_downgrade(run.deployment, run.access, revisions, done_to, run.note)
                noted.say(*taken.lines)
            else:
                assert run.backup is not None
                restore_target(run.deployment, run.backup, run.version_tables)
            noted.say(_prove_back(run, None if error is not None else done_to))
    except GatekeeperError as failed:
        return Ended(
            DeployOutcome.STOPPED,
            f"{told}The way back by {way.value} failed: {failed.sentence}. {run.backup_told()}",
            signal_of(failed),
        )
    if way is OnFailure.RESTORE:
        return Ended(DeployOutcome.RESTORED, None if error is None else error.fix)
    obstacle = _obstacle_of_rehearsal(run)
    if obstacle is not None:
        return Ended(
            DeployOutcome.STOPPED,
            f"{told}The target was downgraded, as the policy says, to the version and catalog "
            f"of before, but in the rehearsal not all came back: {obstacle}. See what is "
            f"missing, and put it back by hand. {run.backup_told()}",
        )
    return Ended(DeployOutcome.ROLLED_BACK, None if error is None else error.fix)


def _obstacle_of_rehearsal(run: Run) -> str | None:
    """Return why the downgrade was not seen to bring all back: on the copy, else in the plan.

    A policy may want it all the same.
    """
    if run.proof is not None:
        return run.proof.obstacle
    if run.past is not None and run.past.has_passed(StepName.RESTORE_REHEARSAL):
        told: str | None = run.past.details(StepName.RESTORE_REHEARSAL)["obstacle"]
        return told
    return "; ".join(run.deployment.release.obstacles) or None


def _choose_way(run: Run, error: GatekeeperError) -> tuple[OnFailure | None, str]:
    """Return the way back and why it is that one, or why there is none."""
    wanted = run.deployment.environment.on_failure
    has_dump = run.backup is not None and run.backup.path is not None
    if wanted is OnFailure.STOP:
        return None, "the policy says `on_failure: stop`"
    if wanted is OnFailure.DOWNGRADE:
        return wanted, "the policy says so"
    if wanted is OnFailure.RESTORE:
        return (wanted, "the policy says so") if has_dump else (None, "there is no backup")
    obstacle = "it was not rehearsed" if run.proof is None else run.proof.obstacle
    if run.proof is None and run.past is not None:
        obstacle = "what was written since its rehearsal is not known any more"
    if isinstance(error, ApplyFailed):
        obstacle = "the upgrade is applied in part"
    if obstacle is None:
        obstacle = _lost_by_downgrade(run)
    if obstacle is None:
        return OnFailure.DOWNGRADE, "it was seen to lose nothing, and nothing new was written"
    if not has_dump:
        return None, f"no downgrade ({obstacle}), and there is no backup"
    if not run.is_backup_current:
        return None, (
            f"no downgrade ({obstacle}), and what was written since the backup would be lost "
            "by a restore"
        )
    return OnFailure.RESTORE, f"no downgrade: {obstacle}"


def _lost_by_downgrade(run: Run) -> str | None:
    """Return what somebody has written to new tables and columns since the upgrade."""
    there = run.read_new()
    written = [key for key in sorted(there) if there[key] != run.new_values.get(key)]
    names = ", ".join(" ".join(key) for key in written)
    return f"it would drop what was written since to {names}" if written else None


def _prove_back(run: Run, later: TargetState | None) -> str:
    """Hold the target against what it was before the deploy; return what was seen.

    `later` is what it was before a way back that begins long after the deploy, when users
    have deleted rows themselves.
    """
    state, told = run.read(), run.told_before()
    rows = dict(told["rows"])
    if later is not None:
        rows = {table: min(n, later.rows.get(table, n)) for table, n in rows.items()}
    is_named = bool(run.deployment.environment.row_counts)
    wrong = [
        *(
            []
            if _is_back(run, state)
            else differing_from(state, told) or [name_revisions(state.versions)]
        ),
        *find_lost_rows(rows, state.rows, is_named),
    ]
    if wrong:
        raise StepFailed(
            f"the target is not as it was before the deploy: {', '.join(wrong)}",
        )
    return "version and catalog are as before the deploy, and no table lacks rows"


def _is_back(run: Run, state: TargetState) -> bool:
    return is_as(state, run.told_before())
