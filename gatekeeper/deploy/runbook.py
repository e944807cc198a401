"""The runbook on one page: the order of the steps, and what follows from a failure.

Until apply begins nothing is done to the target, and a deploy that was killed begins anew.
From then on the journal tells how far it came, and the target itself what state it is in.
"""

from __future__ import annotations

import contextlib
import enum
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gatekeeper.deploy.access import open_access, version_tables_of
from gatekeeper.deploy.apply import ApplyFailed, Left, apply_downgrade, apply_upgrade
from gatekeeper.deploy.backup import make_backup
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
    StepOutcome,
    TargetState,
)
from gatekeeper.deploy.preflight import Problem, examine_release, examine_target
from gatekeeper.deploy.restoration import rehearse_on_copy
from gatekeeper.deploy.smoke import run_smoke_tests
from gatekeeper.deploy.target import (
    Hold,
    end_backends,
    hold_target,
    next_transaction,
    read_state,
)
from gatekeeper.deploy.verify import verify_target
from gatekeeper.deploy.watch import watch_target
from gatekeeper.deploy.way_back import restore_target
from gatekeeper.errors import GatekeeperError, Interrupted
from gatekeeper.git import Repository
from gatekeeper.model import ChangeSet, Revision
from gatekeeper.policy.model import BackupMode, OnFailure
from gatekeeper.postgres.difference import compare
from gatekeeper.postgres.new_values import read_new_values
from gatekeeper.postgres.target import look_at
from gatekeeper.probe.protocol import VersionTable
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

    AT_START = enum.auto()  # nothing was done to it
    NOT_YET_CHANGED = enum.auto()  # apply had begun; of that nothing is there
    UPGRADED = enum.auto()
    BETWEEN = enum.auto()
    ARRIVED = enum.auto()  # before anything was done


def carry_out(means: Means, journal: Journal, past: Past | None) -> Ended:
    """Carry the release out on the target; however it ends, what is returned tells it."""
    with contextlib.ExitStack() as stack:
        run = _Run(means, journal, past, stack)
        try:
            position = run.look()
            if position is Position.ARRIVED:
                return Ended(DeployOutcome.DEPLOYED)
            if position is Position.AT_START:
                run.prepare()
        except GatekeeperError as error:
            return run.leave_maintenance(run.not_begun(error))
        return run.leave_maintenance(run.change(position))


def carry_back(means: Means, journal: Journal, past: Past) -> Ended:
    """Take a target back to what it was before the deploy that `past` tells of."""
    with contextlib.ExitStack() as stack:
        run = _Run(means, journal, past, stack)
        try:
            if run.require_deployed() is Position.NOT_YET_CHANGED:
                return run.leave_maintenance(Ended(DeployOutcome.ROLLED_BACK))
            # The application that runs now does not fit what the target goes back to.
            run.enter_maintenance(None)
        except GatekeeperError as error:
            return run.leave_maintenance(Ended(DeployOutcome.REFUSED, error.fix, _signal(error)))
        return run.leave_maintenance(run.go(OnFailure.DOWNGRADE, "asked for", None))


class _Run:
    """One process that carries a release out, with what it has learned on its way.

    `before` is what the target held before anything was done to it.
    """

    def __init__(
        self, means: Means, journal: Journal, past: Past | None, stack: contextlib.ExitStack
    ) -> None:
        self.means = means
        self.deployment = means.deployment
        self.journal = journal
        self.past = past if past is not None and past.has_changed_target else None
        self.stack = stack
        self.is_in_maintenance = past is not None and past.is_in_maintenance
        self.left_by = () if past is None else past.runs
        self.hold: Hold | None = None
        self.stage: Stage | None = None
        self.before: TargetState | None = None
        self.backup: Backup | None = None
        self.proof: Proof | None = None
        self.transaction: int | None = None
        self.is_backup_current = False
        self.new_values: Mapping[tuple[str, str], str] = {}

    # --- Before anything is done to the target ---------------------------------------

    def look(self) -> Position:
        """Find out where the target stands; what speaks against the deploy is raised at once."""
        deployment, release = self.deployment, self.deployment.release
        with self.step(StepName.PREFLIGHT) as noted:
            self.hold = self.stack.enter_context(hold_target(deployment.target))
            for name in self.left_by:
                end_backends(deployment.target, name)
            problems = examine_release(deployment, self.means.changes)
            try:
                self.open_stage()
                state = self.read()
            except GatekeeperError:
                _refuse(problems, noted)  # a wrong checkout explains it better
                raise
            noted.details.update(_told(state))
            if self.past is not None:
                _refuse(problems, noted)
                return self.position_of(state, noted)
            self.before = state
            if state.versions == frozenset(release.to_revisions):
                _refuse(problems, noted)
                noted.say("the target is at the release's head already")
                return Position.ARRIVED
            changes = self.means.changes
            of_target = examine_target(deployment, self.means.repository, changes, state)
            _refuse((*problems, *of_target), noted)
        return Position.AT_START

    def position_of(self, state: TargetState, noted: Noted) -> Position:
        """Return where the target stands since the process that began to apply ended."""
        assert self.past is not None
        before = self.past.details[StepName.PREFLIGHT]
        if state.versions == frozenset(self.deployment.release.to_revisions):
            noted.say("taken up again: the target is upgraded")
            return Position.UPGRADED
        self.backup = _backup_of(self.past)
        if _is_as(state, before):
            noted.say("taken up again: the target is as before")
            self.before = state
            return Position.NOT_YET_CHANGED
        noted.say("taken up again: the target is neither as before nor upgraded")
        return Position.BETWEEN

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
        is_needed = bool(deployment.release.window)
        self.enter_maintenance(None if is_needed else "the plan needs no maintenance window")

    def enter_maintenance(self, not_needed: str | None) -> None:
        """Keep users out, unless there is a reason why that is not needed."""
        if self.is_in_maintenance:
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
        return Ended(DeployOutcome.REFUSED, error.fix, _signal(error))

    # --- What changes the target -----------------------------------------------------

    def change(self, position: Position) -> Ended:
        """Apply the release and look at what came of it."""
        if position is Position.BETWEEN:
            return Ended(
                DeployOutcome.STOPPED,
                "A deploy was killed while it applied this release, and left the target neither "
                "as before nor upgraded: `gatekeeper status` tells its revision. Finish or take "
                "back by hand what the journal shows, then deploy with a new `--record`.",
            )
        try:
            if position is not Position.UPGRADED:
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

    def apply(self) -> None:
        assert self.before is not None
        assert self.hold is not None
        self.hold.assure()
        # Where nobody could write since the backup, a restore loses nothing.
        self.is_backup_current = (
            self.is_in_maintenance
            and self.transaction is not None
            and self.transaction == next_transaction(self.deployment.target)
        )
        with self.step(StepName.APPLY) as noted:
            try:
                applied = apply_upgrade(
                    self.deployment, self.access, self.means.revisions(), self.before, self.note
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
        after = self.past.details.get(StepName.VERIFY, {})
        rehearsed = self.past.details.get(StepName.RESTORE_REHEARSAL, {})
        with self.step(StepName.PREFLIGHT) as noted:
            self.hold = self.stack.enter_context(hold_target(self.deployment.target))
            self.open_stage()
            state = self.read()
            noted.details.update(_told(state))
            if _is_as(state, self.told_before()):
                noted.say("the target is as before the deploy already")
                return Position.NOT_YET_CHANGED
            if state.versions != frozenset(self.deployment.release.to_revisions):
                raise StepFailed(
                    f"the target is at {_named(state.versions)}, and the deploy left it at "
                    f"{_named(self.deployment.release.to_revisions)}",
                    fix="Take back what was deployed since, the last first.",
                )
            changed = _differing(state, after) if "catalog" in after else ["nothing is known"]
            if changed:
                raise StepFailed(
                    "the target was changed since the deploy: " + ", ".join(changed),
                    fix="Take that back by hand first.",
                )
            if rehearsed.get("obstacle", "it was not rehearsed") is not None:
                raise StepFailed(
                    "the downgrade is not proven to lead back: "
                    + str(rehearsed.get("obstacle", "it was not rehearsed")),
                    fix="Restore the backup of the record by hand: what was written since is lost.",
                )
        return Position.UPGRADED

    # --- The way back ----------------------------------------------------------------

    def take_back(self, error: GatekeeperError) -> Ended:
        """Take the target back by the way that the policy allows and that is proven."""
        way, why = self.choose_way(error)
        if way is None:
            self.journal.skip(StepName.ROLLBACK, why)
            return Ended(DeployOutcome.STOPPED, f"{error.sentence}. Not taken back: {why}.")
        return self.go(way, why, error)

    def go(self, way: OnFailure, why: str, error: GatekeeperError | None) -> Ended:
        """Go the way back; `error` is what made it necessary."""
        told = "" if error is None else f"{error.sentence}. "
        try:
            with self.step(StepName.ROLLBACK, way=way.value) as noted:
                noted.say(f"by {way.value}: {why}")
                if way is OnFailure.DOWNGRADE:
                    revisions = self.means.revisions()
                    done_to = self.read()
                    taken = apply_downgrade(
                        self.deployment, self.access, revisions, done_to, self.note
                    )
                    noted.say(*taken.lines)
                else:
                    assert self.backup is not None
                    restore_target(self.deployment, self.backup, self.version_tables)
                self.prove_back()
        except GatekeeperError as failed:
            return Ended(
                DeployOutcome.STOPPED,
                f"{told}The way back by {way.value} failed: {failed.sentence}. "
                f"{self.backup_told()}",
                _signal(failed),
            )
        done = DeployOutcome.ROLLED_BACK if way is OnFailure.DOWNGRADE else DeployOutcome.RESTORED
        return Ended(done, None if error is None else error.fix)

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

    def prove_back(self) -> None:
        """Hold the target against what it was before the deploy."""
        state = self.read()
        before = _told(self.before) if self.before is not None else self.told_before()
        if not _is_as(state, before):
            raise StepFailed(
                "the target is not as it was before the deploy: "
                + ", ".join(_differing(state, before)),
            )

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
        """Return what the target was when the killed process looked at it."""
        assert self.past is not None
        return self.past.details[StepName.PREFLIGHT]

    def backup_told(self) -> str:
        if self.backup is None or self.backup.path is None:
            return "There is no backup of this deploy."
        return f"The backup is {self.backup.path}."

    def leave_maintenance(self, ended: Ended) -> Ended:
        """Let users in again, however the deploy ended; return that, or that this failed."""
        if not self.is_in_maintenance:
            self.journal.skip(StepName.MAINTENANCE_OFF, "it was not switched on")
            return ended
        try:
            with self.step(StepName.MAINTENANCE_OFF) as noted:
                noted.say(*switch_off(self.deployment))
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
    if past.ended.get(StepName.BACKUP) is not StepOutcome.PASSED:
        return None
    told = past.details[StepName.BACKUP]
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
    here, there = state.catalog.fingerprints, told["catalog"]
    return sorted(key for key in here.keys() | there.keys() if here.get(key) != there.get(key))


def _named(revisions: Collection[str]) -> str:
    return ", ".join(sorted(revisions)) or "no revision"


def _signal(error: GatekeeperError) -> Interrupted | None:
    return error if isinstance(error, Interrupted) else None
