"""The runbook on one page: the order of the steps, and what follows from a failure.

Until apply begins nothing is done to the target, and a deploy that was killed begins anew; so it
does where nothing is there of what apply had begun. Otherwise the journal tells how far it came,
and the target itself what state it is in: it is taken up from there, or a person is asked.
"""

from __future__ import annotations

import contextlib
import enum
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gatekeeper.deploy.access import open_access, session_name, version_tables_of
from gatekeeper.deploy.apply import (
    ApplyFailed,
    Left,
    apply_downgrade,
    apply_upgrade,
)
from gatekeeper.deploy.backup import describe_backup, make_backup
from gatekeeper.deploy.copy_rehearsal import describe_proof, rehearse_on_copy
from gatekeeper.deploy.journal import Journal, Noted, Past
from gatekeeper.deploy.maintenance import switch_off, switch_on
from gatekeeper.deploy.model import (
    Access,
    Backup,
    Deployment,
    DeployOutcome,
    Proof,
    StepFailed,
    StepName,
    TargetState,
)
from gatekeeper.deploy.preflight import Problem, examine_release, examine_target
from gatekeeper.deploy.smoke import run_smoke_tests
from gatekeeper.deploy.statements import Loose, find_loose
from gatekeeper.deploy.target import (
    Hold,
    end_backends,
    hold_target,
    next_transaction,
    read_state,
)
from gatekeeper.deploy.verify import find_lost_rows, verify_target
from gatekeeper.deploy.watch import watch_target
from gatekeeper.deploy.way_back import restore_target
from gatekeeper.errors import GatekeeperError, Interrupted
from gatekeeper.git import Repository
from gatekeeper.model import ChangeSet, Revision
from gatekeeper.policy.model import BackupMode, OnFailure
from gatekeeper.postgres.difference import compare
from gatekeeper.postgres.new_values import read_new_values
from gatekeeper.postgres.snapshot import differing
from gatekeeper.postgres.target import look_at
from gatekeeper.probe.model import VersionTable
from gatekeeper.rehearsal.stage import Stage

_READ_SECONDS = 3600  # for what a failed deploy has left in large tables
_AGAIN = "Start it again with the same `--record`: it goes on from here."


@dataclass(frozen=True)
class Means:
    """What a deploy is carried out with.

    `open_stage` starts an ephemeral PostgreSQL, of the target's major version where that can
    be had, and the project's env.py on it.
    """

    deployment: Deployment
    repository: Repository
    changes: ChangeSet
    open_stage: Callable[[int], AbstractContextManager[Stage]]

    def revisions(self) -> tuple[Revision, ...]:
        """Return the revisions of the release in the order of execution."""
        there = {revision.revision: revision for revision in self.changes.head_history}
        return tuple(there[planned.revision] for planned in self.deployment.release.revisions)


@dataclass(frozen=True)
class Ended:
    """How a deploy ended. `next` is what a person must do, `signal` what stopped it."""

    outcome: DeployOutcome
    next: str | None = None
    signal: Interrupted | None = None


class Position(enum.Enum):
    """Where the target stands when a deploy begins, or is taken up again."""

    AT_START = enum.auto()  # nothing was done to it, or nothing of that is there
    ON_THE_WAY = enum.auto()  # some revisions are there, and nothing of the next one
    UPGRADED = enum.auto()
    ON_THE_WAY_BACK = enum.auto()
    IN_PART = enum.auto()  # of some revision a part is there
    ARRIVED = enum.auto()  # before anything was done


def carry_out(means: Means, journal: Journal, past: Past | None) -> Ended:
    """Carry the release out on the target; however it ends, what is returned tells it."""
    with contextlib.ExitStack() as stack:
        run = _Run(means, journal, past, past, stack)
        with run.opened_to_users():
            return run.leave_maintenance(_carry_out(run))


def _carry_out(run: _Run) -> Ended:
    try:
        position = run.look()
        if position is Position.AT_START:
            run.prepare()
    except GatekeeperError as error:
        return run.not_begun(error)
    if position is Position.ARRIVED:
        return Ended(DeployOutcome.DEPLOYED)
    return run.change(position)


def carry_back(means: Means, journal: Journal, past: Past, left: Past | None) -> Ended:
    """Take a target back to what it was before the deploy that `past` tells of.

    `left` is what others have left that were about to do so.
    """
    with contextlib.ExitStack() as stack:
        run = _Run(means, journal, past, left, stack)
        with run.opened_to_users():
            return run.leave_maintenance(_carry_back(run))


def _carry_back(run: _Run) -> Ended:
    try:
        position = run.require_deployed()
        if position is Position.AT_START and not run.has_begun_back:
            return Ended(DeployOutcome.ROLLED_BACK)
        if position is not Position.AT_START:
            # The application that runs now does not fit what the target goes back to.
            run.enter_maintenance(None)
    except GatekeeperError as error:
        return run.not_begun_back(error)
    ended = run.go(OnFailure.DOWNGRADE, "asked for", None)
    return ended if ended.signal is None else replace(ended, next=f"{ended.next} {_AGAIN}")


class _Run:
    """One process that carries a release out, with what it has learned on its way.

    `before` is what the target held before anything was done to it, None where that is not
    known any more; `found` is what it held when this process looked. `past` is what a killed
    process has done that this one goes on from, or the deploy that is taken back; `left` is what
    is open of it.
    """

    def __init__(
        self,
        means: Means,
        journal: Journal,
        past: Past | None,
        left: Past | None,
        stack: contextlib.ExitStack,
    ) -> None:
        self.means = means
        self.deployment = means.deployment
        self.journal = journal
        self.past = past if past is not None and past.has_changed_target else None
        self.stack = stack
        self.left = left
        self.is_in_maintenance = left is not None and left.is_in_maintenance
        self.is_switched_on = left is not None and left.is_switched_on
        self.left_by = () if left is None else left.runs
        self.hold: Hold | None = None
        self.stage: Stage | None = None
        self.before: TargetState | None = None
        self.found: TargetState | None = None
        self.loose: tuple[Loose, ...] = ()
        self.backup: Backup | None = None
        self.proof: Proof | None = None
        self.transaction: int | None = None
        self.is_backup_current = False
        self.new_values: Mapping[tuple[str, str], str] = {}

    # --- Before anything is done to the target ---------------------------------------

    def look(self) -> Position:
        """Find out where the target stands; what speaks against the deploy is raised at once."""
        deployment, release = self.deployment, self.deployment.release
        if self.past is not None:
            self.journal.earlier = self.past.ended
        with self.step(StepName.PREFLIGHT) as noted:
            if self.past is not None:
                # What it was before anything was done to it is what a rollback leads back to.
                noted.details.update(self.told_before())
            self.hold = self.stack.enter_context(hold_target(deployment.target))
            self.end_left()
            problems = examine_release(deployment, self.means.changes)
            try:
                self.open_stage()
                state = self.found = self.read()
            except GatekeeperError:
                _refuse(problems, noted)  # a wrong checkout explains it better
                raise
            if self.past is not None:
                _refuse(problems, noted)
                position = self.position_of(self.past, state, noted)
                if position is not Position.AT_START:
                    return position
                self.past, self.journal.earlier = None, {}
            noted.details.update(_told(state))
            self.before = state
            if state.versions == frozenset(release.to_revisions):
                _refuse(problems, noted)
                noted.say("the target is at the release's head already")
                return Position.ARRIVED
            changes = self.means.changes
            of_target = examine_target(deployment, self.means.repository, changes, state)
            _refuse((*problems, *of_target), noted)
        return Position.AT_START

    def position_of(self, past: Past, state: TargetState, noted: Noted) -> Position:
        """Return where the target stands since the process that had begun to change it ended."""
        before = past.details(StepName.PREFLIGHT)
        revisions, release = self.means.revisions(), self.deployment.release
        self.loose = find_loose(self.deployment, revisions, state.versions, past.statements)
        self.backup = _backup_of(past)
        # What it was is told in the beginning; from then on maintenance kept users out.
        was_current = past.begun[StepName.APPLY].get("is_backup_current", False)
        self.is_backup_current = was_current and self.is_switched_on
        is_as_before = _is_as(state, before) and all(each.is_in_catalog for each in self.loose)
        known = {revision.revision for revision in revisions} | set(release.from_revisions)
        if StepName.ROLLBACK in past.cut_off and (is_as_before or not self.loose):
            noted.say("taken up again: the target is on its way back")
            return Position.ON_THE_WAY_BACK
        if is_as_before:
            noted.say("begun anew: the target is as before, nothing is there of what was begun")
            return Position.AT_START
        if self.loose or not state.versions <= known:
            noted.say("taken up again: the target is neither as before nor upgraded")
            return Position.IN_PART
        if state.versions == frozenset(release.to_revisions):
            noted.say("taken up again: the target is upgraded")
            return Position.UPGRADED
        if sorted(state.versions) == before["revisions"] or StepName.ROLLBACK in past.begun:
            noted.say("taken up again: the target is neither as before nor upgraded")
            return Position.IN_PART
        noted.say(f"taken up again: the target is at {_named(state.versions)}")
        return Position.ON_THE_WAY

    def end_left(self) -> None:
        """End the sessions of killed processes: ours, and those of the project's code."""
        for name in self.left_by:
            for session in (name, name.removesuffix("_work")):
                end_backends(self.deployment.target, session)

    def prepare(self) -> None:
        """Make the backup, rehearse on it, and keep users out where that is needed."""
        deployment = self.deployment
        assert self.stage is not None
        if deployment.environment.backup.mode is BackupMode.OFF:
            reason = "the policy wants no backup"
            self.journal.skip(StepName.BACKUP, reason)
            self.journal.skip(StepName.RESTORE_REHEARSAL, reason)
        else:
            self.transaction = next_transaction(deployment.target)
            with self.step(StepName.BACKUP) as noted:
                self.backup = make_backup(deployment, self.version_tables)
                noted.details.update(
                    path=None if self.backup.path is None else str(self.backup.path),
                    size_bytes=self.backup.size_bytes,
                    sha256=self.backup.sha256,
                )
                noted.say(describe_backup(self.backup))
            with self.step(StepName.RESTORE_REHEARSAL) as noted:
                self.proof = rehearse_on_copy(
                    deployment,
                    self.stage,
                    self.backup,
                    self.means.revisions(),
                    self.version_tables,
                )
                noted.details.update(
                    upgrade_seconds=round(self.proof.seconds, 3),
                    obstacle=self.proof.obstacle,
                    catalog_after=dict(self.proof.after.catalog.fingerprints),
                )
                noted.say(*describe_proof(self.proof))
        self.enter_maintenance(self.why_no_window())

    def why_no_window(self) -> str | None:
        is_needed = bool(self.deployment.release.window)
        return None if is_needed else "the plan needs no maintenance window"

    def enter_maintenance(self, not_needed: str | None) -> None:
        """Keep users out, unless there is a reason why that is not needed."""
        if self.is_switched_on:
            self.journal.skip(StepName.MAINTENANCE_ON, "it was on already")
        elif not_needed is not None:
            self.journal.skip(StepName.MAINTENANCE_ON, not_needed)
        elif self.deployment.environment.maintenance is None:
            self.journal.skip(
                StepName.MAINTENANCE_ON,
                "a window is needed, and the policy has no `maintenance` commands",
            )
        else:
            # Also where the command fails: it may have done half of what it does.
            self.is_in_maintenance = True
            with self.step(StepName.MAINTENANCE_ON) as noted:
                noted.say(*switch_on(self.deployment))

    def not_begun(self, error: GatekeeperError) -> Ended:
        """Return how a deploy ends that did nothing to the target, this time at least."""
        if self.past is not None:
            return Ended(DeployOutcome.STOPPED, f"{error.sentence}. {_AGAIN}", _signal(error))
        if self.is_in_maintenance and self.hold is None:
            return Ended(DeployOutcome.STOPPED, f"{error.sentence}. {_AGAIN}", _signal(error))
        return Ended(DeployOutcome.REFUSED, error.fix, _signal(error))

    # --- What changes the target -----------------------------------------------------

    def change(self, position: Position) -> Ended:
        """Apply the release and look at what came of it."""
        try:
            return self._change(position)
        except GatekeeperError as error:  # of what is looked at after a failure
            return Ended(DeployOutcome.STOPPED, f"{error.sentence}. {_AGAIN}", _signal(error))

    def _change(self, position: Position) -> Ended:
        if position is Position.IN_PART:
            return self.left_in_part()
        if position is Position.ON_THE_WAY_BACK:
            return self.go_on_back()
        if position is Position.ON_THE_WAY:
            self.enter_maintenance(self.why_no_window())
        try:
            if position is Position.UPGRADED:
                self.take_up_applied()
            else:
                self.apply()
            self.verify()
            self.try_out()
        except Interrupted as error:
            return Ended(DeployOutcome.STOPPED, f"{error.sentence}. {_AGAIN}", error)
        except ApplyFailed as error:
            if error.left is Left.UNCHANGED:
                return Ended(DeployOutcome.UNCHANGED, error.fix, error.signal)
            if error.left is Left.UNKNOWN or error.signal is not None:
                return Ended(DeployOutcome.STOPPED, f"{error.sentence}. {_AGAIN}", error.signal)
            return self.take_back(error)
        except GatekeeperError as error:
            return self.take_back(error)
        return Ended(DeployOutcome.DEPLOYED)

    def left_in_part(self) -> Ended:
        """Say what a killed process has left that neither goes on nor back by itself."""
        assert self.found is not None
        differing = _differing(self.found, self.told_before())
        told = [f"it stands at {_named(self.found.versions)}"]
        if self.loose:
            told.append(
                "this was committed of a revision that is not there, or may be: "
                + _listed_loose(self.loose)
            )
        if differing:
            told.append(f"since the deploy began it differs in: {', '.join(differing)}")
        return Ended(
            DeployOutcome.STOPPED,
            f"The deploy was killed and left the target neither as before nor upgraded: "
            f"{'; '.join(told)}. Finish or take back by hand what is there in part, then deploy "
            f"with a new `--record`. {self.backup_told()}",
        )

    def apply(self) -> None:
        assert self.found is not None
        assert self.hold is not None
        self.hold.assure()
        if self.transaction is not None:
            # Where nobody could write since the backup, a restore loses nothing.
            self.is_backup_current = self.is_in_maintenance and (
                self.transaction == next_transaction(self.deployment.target)
            )
        with self.step(StepName.APPLY, is_backup_current=self.is_backup_current) as noted:
            try:
                applied = apply_upgrade(
                    self.deployment, self.access, self.means.revisions(), self.found, self.note
                )
            except ApplyFailed as error:
                if error.left is not Left.APPLIED or error.signal is not None:
                    raise
                noted.say(f"all of it is there all the same: {error.sentence}")
                return
            noted.say(*applied.lines)
            noted.details.update(statements=applied.statements, retries=applied.retries)
        if self.proof is not None:
            # Users wrote until they were kept out. What is there then the upgrade has put there.
            is_quiet = self.is_in_maintenance
            self.new_values = self.read_new() if is_quiet else self.proof.new_values

    def take_up_applied(self) -> None:
        """Note that a process which was killed has applied all, where it could not do so itself."""
        assert self.past is not None
        if not self.past.has_passed(StepName.APPLY):
            with self.step(StepName.APPLY, is_backup_current=self.is_backup_current) as noted:
                noted.say("the process that was killed has applied all of it")

    def verify(self) -> None:
        with self.step(StepName.VERIFY) as noted:
            verified = verify_target(self.deployment, self.access, self.before, self.proof)
            noted.say(*verified.lines)
            noted.details.update(verified.details)

    def try_out(self) -> None:
        """See how the application does with it; what nobody asked for has not passed."""
        environment = self.deployment.environment
        if environment.smoke_test or environment.health:
            with self.step(StepName.SMOKE_TEST) as noted:
                noted.say(*run_smoke_tests(self.deployment))
        else:
            reason = "the policy has neither `smoke_test` nor `health`"
            self.journal.skip(StepName.SMOKE_TEST, reason)
        if environment.watch is None:
            self.journal.skip(StepName.WATCH, "the policy has no `watch`")
        else:
            with self.step(StepName.WATCH) as noted:
                noted.say(*watch_target(self.deployment))

    def require_deployed(self) -> Position:
        """Hold the target against what a deploy has left, before it is taken back."""
        assert self.past is not None
        self.backup = _backup_of(self.past)
        if self.left is not None:
            self.journal.earlier = self.left.passed()
        with self.step(StepName.PREFLIGHT) as noted:
            self.hold = self.stack.enter_context(hold_target(self.deployment.target))
            self.end_left()
            self.open_stage()
            state = self.read()
            noted.details.update(_told(state))
            if _is_as(state, self.told_before()):
                noted.say("the target is as before the deploy already")
                return Position.AT_START
            if self.is_on_the_way_back(state):
                noted.say(f"taken up again: the target is at {_named(state.versions)}")
                return Position.ON_THE_WAY_BACK
            self.require_as_deployed(self.past, state)
        return Position.UPGRADED

    @property
    def has_begun_back(self) -> bool:
        """Whether somebody before this process may have begun to take the target back."""
        return self.left is not None and StepName.ROLLBACK in self.left.begun

    def is_on_the_way_back(self, state: TargetState) -> bool:
        """Whether some revisions were taken back before, and nothing of the next one.

        Raises where of one a part was taken back.
        """
        if self.left is None or not self.has_begun_back:
            return False
        revisions, release = self.means.revisions(), self.deployment.release
        loose = find_loose(self.deployment, revisions, state.versions, self.left.statements)
        is_upgraded = state.versions == frozenset(release.to_revisions)
        if any(not each.is_in_catalog for each in loose) or (loose and not is_upgraded):
            raise StepFailed(
                f"the target stands at {_named(state.versions)}, and this was committed of a "
                f"revision that is not taken back, or may be: {_listed_loose(loose)}",
                fix="Take back by hand what is there of that revision, and stamp what is reached.",
            )
        known = {revision.revision for revision in revisions} | set(release.from_revisions)
        return not is_upgraded and state.versions <= known

    def require_as_deployed(self, past: Past, state: TargetState) -> None:
        """Raise where the target is not as the deploy left it, or the way back is not proven."""
        after = past.details(StepName.VERIFY)
        if "catalog" not in after:
            raise StepFailed(
                "the deploy did not come as far as to verify the target: it is not known what "
                "it left there",
                fix="Let `gatekeeper deploy` with the same `--record` go on with it first.",
            )
        if state.versions != frozenset(self.deployment.release.to_revisions):
            raise StepFailed(
                f"the target is at {_named(state.versions)}, and the deploy left it at "
                f"{_named(self.deployment.release.to_revisions)}",
                fix="Take back what was deployed since, the last first.",
            )
        changed = _differing(state, after)
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

    def not_begun_back(self, error: GatekeeperError) -> Ended:
        """Return how a rollback ends that did nothing to the target, this time at least."""
        if self.has_begun_back or (self.is_in_maintenance and self.hold is None):
            return Ended(DeployOutcome.STOPPED, f"{error.sentence}. {_AGAIN}", _signal(error))
        return Ended(DeployOutcome.REFUSED, error.fix, _signal(error))

    # --- The way back ----------------------------------------------------------------

    def take_back(self, error: GatekeeperError) -> Ended:
        """Take the target back by the way that the policy allows and that is proven."""
        way, why = self.choose_way(error)
        if way is None:
            self.journal.skip(StepName.ROLLBACK, why)
            return Ended(DeployOutcome.STOPPED, f"{error.sentence}. Not taken back: {why}.")
        return self.go(way, why, error)

    def go_on_back(self) -> Ended:
        """Go on with the way back that a killed process had begun."""
        assert self.past is not None
        way = OnFailure(self.past.begun[StepName.ROLLBACK]["way"])
        return self.go(way, "the process that had begun it was killed", None)

    def go(self, way: OnFailure, why: str, error: GatekeeperError | None) -> Ended:
        """Go the way back; `error` is what made it necessary."""
        told = "" if error is None else f"{error.sentence}. "
        try:
            with self.step(StepName.ROLLBACK, way=way.value) as noted:
                noted.say(f"by {way.value}: {why}")
                done_to = self.read()
                if self.is_back(done_to):
                    noted.say("the target is as before already")
                elif way is OnFailure.DOWNGRADE:
                    revisions = self.means.revisions()
                    taken = apply_downgrade(
                        self.deployment, self.access, revisions, done_to, self.note
                    )
                    noted.say(*taken.lines)
                else:
                    assert self.backup is not None
                    restore_target(self.deployment, self.backup, self.version_tables)
                noted.say(self.prove_back(None if error is not None else done_to))
        except GatekeeperError as failed:
            return Ended(
                DeployOutcome.STOPPED,
                f"{told}The way back by {way.value} failed: {failed.sentence}. "
                f"{self.backup_told()}",
                _signal(failed),
            )
        if way is OnFailure.RESTORE:
            return Ended(DeployOutcome.RESTORED, None if error is None else error.fix)
        obstacle = self.obstacle_of_rehearsal()
        if obstacle is not None:
            return Ended(
                DeployOutcome.STOPPED,
                f"{told}The target was downgraded, as the policy says, to the version and catalog "
                f"of before, but in the rehearsal not all came back: {obstacle}. See what is "
                f"missing, and put it back by hand. {self.backup_told()}",
            )
        return Ended(DeployOutcome.ROLLED_BACK, None if error is None else error.fix)

    def obstacle_of_rehearsal(self) -> str | None:
        """Return why the downgrade was not seen to bring all back: on the copy, else in the plan.

        A policy may want it all the same.
        """
        if self.proof is not None:
            return self.proof.obstacle
        if self.past is not None and self.past.has_passed(StepName.RESTORE_REHEARSAL):
            told: str | None = self.past.details(StepName.RESTORE_REHEARSAL)["obstacle"]
            return told
        return "; ".join(self.deployment.release.obstacles) or None

    def choose_way(self, error: GatekeeperError) -> tuple[OnFailure | None, str]:
        """Return the way back and why it is that one, or why there is none."""
        wanted = self.deployment.environment.on_failure
        has_dump = self.backup is not None and self.backup.path is not None
        if wanted is OnFailure.STOP:
            return None, "the policy says `on_failure: stop`"
        if wanted is OnFailure.DOWNGRADE:
            return wanted, "the policy says so"
        if wanted is OnFailure.RESTORE:
            return (wanted, "the policy says so") if has_dump else (None, "there is no backup")
        obstacle = "it was not rehearsed" if self.proof is None else self.proof.obstacle
        if self.proof is None and self.past is not None:
            obstacle = "what was written since its rehearsal is not known any more"
        if isinstance(error, ApplyFailed):
            obstacle = "the upgrade is applied in part"
        if obstacle is None:
            obstacle = self.lost_by_downgrade()
        if obstacle is None:
            return OnFailure.DOWNGRADE, "it was seen to lose nothing, and nothing new was written"
        if not has_dump:
            return None, f"no downgrade ({obstacle}), and there is no backup"
        if not self.is_backup_current:
            return None, (
                f"no downgrade ({obstacle}), and what was written since the backup would be lost "
                "by a restore"
            )
        return OnFailure.RESTORE, f"no downgrade: {obstacle}"

    def lost_by_downgrade(self) -> str | None:
        """Return what somebody has written to new tables and columns since the upgrade."""
        there = self.read_new()
        written = [key for key in sorted(there) if there[key] != self.new_values.get(key)]
        names = ", ".join(" ".join(key) for key in written)
        return f"it would drop what was written since to {names}" if written else None

    def read_new(self) -> Mapping[tuple[str, str], str]:
        """Return digests of what the target's new tables and columns hold."""
        assert self.proof is not None
        made = compare(self.proof.before.catalog, self.proof.after.catalog)
        with look_at(self.deployment.target, statement_seconds=_READ_SECONDS) as connection:
            return read_new_values(connection, made)

    def prove_back(self, later: TargetState | None) -> str:
        """Hold the target against what it was before the deploy; return what was seen.

        `later` is what it was before a way back that begins long after the deploy, when users
        have deleted rows themselves.
        """
        state, told = self.read(), self.told_before()
        rows = dict(told["rows"])
        if later is not None:
            rows = {table: min(n, later.rows.get(table, n)) for table, n in rows.items()}
        is_named = bool(self.deployment.environment.row_counts)
        wrong = [
            *([] if self.is_back(state) else _differing(state, told) or [_named(state.versions)]),
            *find_lost_rows(rows, state.rows, is_named),
        ]
        if wrong:
            raise StepFailed(
                f"the target is not as it was before the deploy: {', '.join(wrong)}",
            )
        return "version and catalog are as before the deploy, and no table lacks rows"

    def is_back(self, state: TargetState) -> bool:
        return _is_as(state, self.told_before())

    # --- What all of them need -------------------------------------------------------

    @contextlib.contextmanager
    def step(self, name: StepName, **values: Any) -> Iterator[Noted]:
        self.deployment.tell(name.value)
        with self.journal.step(name, **values) as noted:
            yield noted

    def open_stage(self) -> None:
        with look_at(self.deployment.target) as connection:
            major = connection.server_version // 10_000
        self.stage = self.stack.enter_context(self.means.open_stage(major))

    def note(self, statement: Mapping[str, Any]) -> None:
        self.journal.write("statement", **statement)

    def read(self) -> TargetState:
        environment = self.deployment.environment
        return read_state(self.deployment.target, self.version_tables, environment.row_counts)

    @property
    def version_tables(self) -> tuple[VersionTable, ...]:
        assert self.stage is not None
        return version_tables_of(self.stage.probe)

    @property
    def access(self) -> Access:
        assert self.stage is not None
        return open_access(self.deployment, self.stage)

    def told_before(self) -> Mapping[str, Any]:
        """Return what the target was before the deploy, also where a killed process saw that."""
        if self.before is not None:
            return _told(self.before)
        assert self.past is not None
        return self.past.details(StepName.PREFLIGHT)

    def backup_told(self) -> str:
        if self.backup is None or self.backup.path is None:
            return "There is no backup of this deploy."
        return f"The backup is {self.backup.path}."

    @contextlib.contextmanager
    def opened_to_users(self) -> Iterator[None]:
        """Let users in also where the block ends by what nobody foresaw, which is raised on.

        A journal that cannot be written is among that: it comes after what it is to tell.
        """
        try:
            yield
        except BaseException:
            if self.is_in_maintenance and self.hold is not None:
                self.let_in()
            raise

    def let_in(self) -> None:
        """Switch maintenance off, whatever can be told or written down of that."""
        name = StepName.MAINTENANCE_OFF
        with contextlib.suppress(OSError):
            self.deployment.tell(name.value)
        with contextlib.suppress(GatekeeperError):
            # What the project's code has begun is not to go on among users.
            end_backends(self.deployment.target, session_name(self.deployment.target))
        try:
            try:
                said = switch_off(self.deployment)
            except Interrupted:  # further signals are not heard
                said = switch_off(self.deployment)
        except (GatekeeperError, OSError) as error:
            told = error.sentence if isinstance(error, GatekeeperError) else str(error)
            with contextlib.suppress(OSError):
                self.deployment.tell(f"Switch maintenance off by hand: {told}")
            return
        with contextlib.suppress(OSError):
            self.journal.forget_maintenance()
            with self.journal.step(name) as noted:
                noted.say(*said)

    def leave_maintenance(self, ended: Ended) -> Ended:
        """Let users in again, however the deploy ended; return that, or that this failed."""
        if not self.is_in_maintenance:
            has_been_on = self.left is not None and StepName.MAINTENANCE_ON in self.left.begun
            reason = "it was switched off before" if has_been_on else "it was not switched on"
            self.journal.skip(StepName.MAINTENANCE_OFF, reason)
            return ended
        if self.hold is None:
            self.journal.skip(StepName.MAINTENANCE_OFF, "the target is not held by this deploy")
            told = "" if ended.next is None else f" {ended.next}"
            return replace(ended, next=f"Maintenance is still on.{told}")
        try:
            with self.step(StepName.MAINTENANCE_OFF) as noted:
                try:
                    noted.say(*switch_off(self.deployment))
                except Interrupted as error:  # further signals are not heard
                    noted.say(f"{error.what}; begun again")
                    ended = replace(ended, signal=error)
                    noted.say(*switch_off(self.deployment))
                self.is_in_maintenance = False
        except GatekeeperError as error:
            told = "" if ended.next is None else f" {ended.next}"
            return Ended(
                DeployOutcome.STOPPED,
                f"Switch maintenance off by hand: {error.sentence}. The deploy itself ended as "
                f"{ended.outcome.value}.{told}",
                ended.signal or _signal(error),
            )
        return ended


def _backup_of(past: Past) -> Backup | None:
    """Return the backup that the killed process made before it began to apply."""
    if not past.has_passed(StepName.BACKUP):
        return None
    told = past.details(StepName.BACKUP)
    path = None if told["path"] is None else Path(told["path"])
    return Backup(path, told["size_bytes"], told["sha256"], None)


def _refuse(problems: Sequence[Problem], noted: Noted) -> None:
    """Raise all that speaks against a deploy at once."""
    if problems:
        noted.say(*(f"{problem.what}. {problem.fix}" for problem in problems))
        raise StepFailed(
            "; ".join(problem.what for problem in problems),
            fix=" ".join(problem.fix for problem in problems),
            details={"problems": [[problem.what, problem.fix] for problem in problems]},
        )


def _told(state: TargetState) -> dict[str, Any]:
    """Return a state as the journal keeps it."""
    return {
        "revisions": sorted(state.versions),
        "catalog": dict(state.catalog.fingerprints),
        "rows": dict(state.rows),
    }


def _is_as(state: TargetState, told: Mapping[str, Any]) -> bool:
    """Whether version and catalog are what they were; rows may come and go meanwhile."""
    return _told(state)["revisions"] == told["revisions"] and not _differing(state, told)


def _differing(state: TargetState, told: Mapping[str, Any]) -> list[str]:
    """Return the objects that are not what they were."""
    return differing(told["catalog"], state.catalog.fingerprints)


def _named(revisions: Collection[str]) -> str:
    return ", ".join(sorted(revisions)) or "no revision"


def _listed_loose(loose: Collection[Loose]) -> str:
    return ", ".join(each.told for each in loose)


def _signal(error: GatekeeperError) -> Interrupted | None:
    if isinstance(error, ApplyFailed):
        return error.signal
    return error if isinstance(error, Interrupted) else None
