"""The runbook on one page: the order of the steps, and what follows from a failure.

Until apply begins nothing is done to the target, and a deploy that was killed begins anew; so it
does where nothing is there of what apply had begun. Otherwise the journal tells how far it came,
and the target itself what state it is in: it is taken up from there, or a person is asked.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from gatekeeper.deploy.apply import ApplyFailed, Left, apply_upgrade
from gatekeeper.deploy.backup import describe_backup, make_backup
from gatekeeper.deploy.copy_rehearsal import describe_proof, rehearse_on_copy
from gatekeeper.deploy.journal import Journal, Noted
from gatekeeper.deploy.maintenance import enter_maintenance, leave_maintenance, opened_to_users
from gatekeeper.deploy.model import DeployOutcome, StepFailed, StepName
from gatekeeper.deploy.past import Past
from gatekeeper.deploy.position import Position, left_in_part, position_of
from gatekeeper.deploy.preflight import Problem, examine_release, examine_target
from gatekeeper.deploy.run import AGAIN, Ended, Means, Run, signal_of, told_of
from gatekeeper.deploy.smoke import run_smoke_tests
from gatekeeper.deploy.target import hold_target, next_transaction
from gatekeeper.deploy.verify import verify_target
from gatekeeper.deploy.watch import watch_target
from gatekeeper.deploy.way_back import go_on_back, take_back
from gatekeeper.errors import GatekeeperError, Interrupted
from gatekeeper.policy.model import BackupMode


def carry_out(means: Means, journal: Journal, past: Past | None) -> Ended:
    """Carry the release out on the target; however it ends, what is returned tells it."""
    with contextlib.ExitStack() as stack:
        run = Run(means, journal, past, past, stack)
        with opened_to_users(run):
            return leave_maintenance(run, _carry_out(run))


def _carry_out(run: Run) -> Ended:
    try:
        position = _look(run)
        if position is Position.AT_START:
            _prepare(run)
    except GatekeeperError as error:
        return _not_begun(run, error)
    if position is Position.ARRIVED:
        return Ended(DeployOutcome.DEPLOYED)
    return _change(run, position)


def _look(run: Run) -> Position:
    """Find out where the target stands; what speaks against the deploy is raised at once."""
    deployment, release = run.deployment, run.deployment.release
    if run.past is not None:
        run.journal.earlier = run.past.ended
    with run.step(StepName.PREFLIGHT) as noted:
        if run.past is not None:
            # What it was before anything was done to it is what a rollback leads back to.
            noted.details.update(run.told_before())
        run.hold = run.stack.enter_context(hold_target(deployment.target))
        run.end_left()
        problems = examine_release(deployment, run.means.changes)
        try:
            run.open_stage()
            state = run.found = run.read()
        except GatekeeperError:
            _refuse(problems, noted)  # a wrong checkout explains it better
            raise
        if run.past is not None:
            _refuse(problems, noted)
            position = position_of(run, run.past, state, noted)
            if position is not Position.AT_START:
                return position
            run.past, run.journal.earlier = None, {}
        noted.details.update(told_of(state))
        run.before = state
        if state.versions == frozenset(release.to_revisions):
            _refuse(problems, noted)
            noted.say("the target is at the release's head already")
            return Position.ARRIVED
        changes = run.means.changes
        of_target = examine_target(deployment, run.means.repository, changes, state)
        _refuse((*problems, *of_target), noted)
    return Position.AT_START


def _prepare(run: Run) -> None:
    """Make the backup, rehearse on it, and keep users out where that is needed."""
    deployment = run.deployment
    assert run.stage is not None
    if deployment.environment.backup.mode is BackupMode.OFF:
        reason = "the policy wants no backup"
        run.journal.skip(StepName.BACKUP, reason)
        run.journal.skip(StepName.RESTORE_REHEARSAL, reason)
    else:
        run.transaction = next_transaction(deployment.target)
        with run.step(StepName.BACKUP) as noted:
            run.backup = make_backup(deployment, run.version_tables)
            noted.details.update(
                path=None if run.backup.path is None else str(run.backup.path),
                size_bytes=run.backup.size_bytes,
                sha256=run.backup.sha256,
            )
            noted.say(describe_backup(run.backup))
        with run.step(StepName.RESTORE_REHEARSAL) as noted:
            run.proof = rehearse_on_copy(
                deployment,
                run.stage,
                run.backup,
                run.means.revisions(),
                run.version_tables,
            )
            noted.details.update(
                upgrade_seconds=round(run.proof.seconds, 3),
                obstacle=run.proof.obstacle,
                catalog_after=dict(run.proof.after.catalog.fingerprints),
            )
            noted.say(*describe_proof(run.proof))
    enter_maintenance(run, _why_no_window(run))


def _why_no_window(run: Run) -> str | None:
    is_needed = bool(run.deployment.release.window)
    return None if is_needed else "the plan needs no maintenance window"


def _not_begun(run: Run, error: GatekeeperError) -> Ended:
    """Return how a deploy ends that did nothing to the target, this time at least."""
    if run.past is not None:
        return Ended(DeployOutcome.STOPPED, f"{error.sentence}. {AGAIN}", signal_of(error))
    if run.is_in_maintenance and run.hold is None:
        return Ended(DeployOutcome.STOPPED, f"{error.sentence}. {AGAIN}", signal_of(error))
    return Ended(DeployOutcome.REFUSED, error.fix, signal_of(error))


def _change(run: Run, position: Position) -> Ended:
    """Apply the release and look at what came of it."""
    try:
        return _go_on(run, position)
    except GatekeeperError as error:  # of what is looked at after a failure
        return Ended(DeployOutcome.STOPPED, f"{error.sentence}. {AGAIN}", signal_of(error))


def _go_on(run: Run, position: Position) -> Ended:
    if position is Position.IN_PART:
        return left_in_part(run)
    if position is Position.ON_THE_WAY_BACK:
        return go_on_back(run)
    if position is Position.ON_THE_WAY:
        enter_maintenance(run, _why_no_window(run))
    try:
        if position is Position.UPGRADED:
            _take_up_applied(run)
        else:
            _apply(run)
        _verify(run)
        _try_out(run)
    except Interrupted as error:
        return Ended(DeployOutcome.STOPPED, f"{error.sentence}. {AGAIN}", error)
    except ApplyFailed as error:
        if error.left is Left.UNCHANGED:
            return Ended(DeployOutcome.UNCHANGED, error.fix, error.signal)
        if error.left is Left.UNKNOWN or error.signal is not None:
            return Ended(DeployOutcome.STOPPED, f"{error.sentence}. {AGAIN}", error.signal)
        return take_back(run, error)
    except GatekeeperError as error:
        return take_back(run, error)
    return Ended(DeployOutcome.DEPLOYED)


def _apply(run: Run) -> None:
    assert run.found is not None
    assert run.hold is not None
    run.hold.assure()
    if run.transaction is not None:
        # Where nobody could write since the backup, a restore loses nothing.
        run.is_backup_current = run.is_in_maintenance and (
            run.transaction == next_transaction(run.deployment.target)
        )
    with run.step(StepName.APPLY, is_backup_current=run.is_backup_current) as noted:
        try:
            applied = apply_upgrade(
                run.deployment, run.access, run.means.revisions(), run.found, run.note
            )
        except ApplyFailed as error:
            if error.left is not Left.APPLIED or error.signal is not None:
                raise
            noted.say(f"all of it is there all the same: {error.sentence}")
            return
        noted.say(*applied.lines)
        noted.details.update(statements=applied.statements, retries=applied.retries)
    if run.proof is not None:
        # Users wrote until they were kept out. What is there then the upgrade has put there.
        is_quiet = run.is_in_maintenance
        run.new_values = run.read_new() if is_quiet else run.proof.new_values


def _take_up_applied(run: Run) -> None:
    """Note that a process which was killed has applied all, where it could not do so itself."""
    assert run.past is not None
    if not run.past.has_passed(StepName.APPLY):
        with run.step(StepName.APPLY, is_backup_current=run.is_backup_current) as noted:
            noted.say("the process that was killed has applied all of it")


def _verify(run: Run) -> None:
    with run.step(StepName.VERIFY) as noted:
        verified = verify_target(run.deployment, run.access, run.before, run.proof)
        noted.say(*verified.lines)
        noted.details.update(verified.details)


def _try_out(run: Run) -> None:
    """See how the application does with it; what nobody asked for has not passed."""
    environment = run.deployment.environment
    if environment.smoke_test or environment.health:
        with run.step(StepName.SMOKE_TEST) as noted:
            noted.say(*run_smoke_tests(run.deployment))
    else:
        reason = "the policy has neither `smoke_test` nor `health`"
        run.journal.skip(StepName.SMOKE_TEST, reason)
    if environment.watch is None:
        run.journal.skip(StepName.WATCH, "the policy has no `watch`")
    else:
        with run.step(StepName.WATCH) as noted:
            noted.say(*watch_target(run.deployment))


def _refuse(problems: Sequence[Problem], noted: Noted) -> None:
    """Raise all that speaks against a deploy at once."""
    if problems:
        noted.say(*(f"{problem.what}. {problem.fix}" for problem in problems))
        raise StepFailed(
            "; ".join(problem.what for problem in problems),
            fix=" ".join(problem.fix for problem in problems),
            details={"problems": [[problem.what, problem.fix] for problem in problems]},
        )
