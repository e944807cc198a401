"""The release's revisions run on the target, and what is there where that does not end well.

What a failure has left is not concluded from the failure: the sessions of the project's code
are ended, and then the target is looked at.
"""

from __future__ import annotations

import enum
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gatekeeper.deploy.access import session_name, version_tables_of
from gatekeeper.deploy.model import (
    Access,
    Deployment,
    StepFailed,
    TargetState,
)
from gatekeeper.deploy.phrases import describe_failure, join_some, name_revisions
from gatekeeper.deploy.statements import OBSERVE, Journal, Ran, Seen, Trace, hide, trace_of
from gatekeeper.deploy.target import Blockers, end_backends, read_state
from gatekeeper.errors import DatabaseError, Interrupted, ProbeError
from gatekeeper.lineage import applied_at
from gatekeeper.model import Direction, Revision
from gatekeeper.postgres.activity import Blocker
from gatekeeper.postgres.difference import compare
from gatekeeper.probe.model import Fate, ProbeRun, RequestedStep
from gatekeeper.reporters import words

# lock_not_available and deadlock_detected: what was in the way may be gone a moment later.
_PASSING = ("55P03", "40P01")
_LONGEST_PAUSE_SECONDS = 30.0
# A server that was killed needs a while to be itself again. Who interrupts waits for nothing.
PATIENCE_SECONDS = 120.0
_PATIENCE_INTERRUPTED_SECONDS = 4.0


class Left(enum.Enum):
    """What a run that did not end well has left on the target."""

    UNCHANGED = "unchanged"  # proven: version, catalog and the fate of each transaction
    APPLIED = "applied"  # all of it is there
    IN_PART = "in part"
    UNKNOWN = "unknown"  # the target does not tell


class ApplyFailed(StepFailed):
    """The revisions did not run to their end; `left` is what is there of them.

    `signal` is what stopped it, where that was a person or the runner.
    """

    def __init__(
        self,
        what: str,
        *,
        where: str | None,
        fix: str | None,
        details: Mapping[str, Any],
        left: Left,
        signal: Interrupted | None,
    ) -> None:
        super().__init__(what, where=where, fix=fix, details=details)
        self.left = left
        self.signal = signal

    @property
    def is_unchanged(self) -> bool:
        return self.left is Left.UNCHANGED


@dataclass(frozen=True)
class Applied:
    """All revisions have run; `lines` tell it to people."""

    statements: int
    retries: int
    seconds: float
    lines: tuple[str, ...]


def apply_upgrade(
    deployment: Deployment,
    access: Access,
    revisions: Sequence[Revision],
    before: TargetState,
    told: Journal,
    patience_seconds: float = PATIENCE_SECONDS,
) -> Applied:
    """Upgrade the target by the revisions, which are in the order of execution.

    `before` is what the target held when the deploy began: where it is another now, nothing is
    done. `told` gets each statement as it begins and as it ends, in JSON's words. A target that
    is not there after a failure is waited for with patience.
    """
    work = _Work(deployment, access, revisions, Direction.UPGRADE, before, told)
    return work.do(patience_seconds)


def apply_downgrade(
    deployment: Deployment,
    access: Access,
    revisions: Sequence[Revision],
    before: TargetState,
    told: Journal,
    patience_seconds: float = PATIENCE_SECONDS,
) -> Applied:
    """Take the revisions, which are in the order of the upgrade, back from the target.

    `before` is what it holds now; of the revisions only those that are there are taken back.
    """
    work = _Work(deployment, access, revisions, Direction.DOWNGRADE, before, told)
    return work.do(patience_seconds)


# --- The work ------------------------------------------------------------------------


@dataclass(frozen=True)
class _Failure:
    """Why a run did not end well."""

    what: str
    where: str | None = None
    fix: str | None = None
    sqlstate: str | None = None


@dataclass(frozen=True)
class _Found:
    """What a look at the target has shown after a failure.

    `is_at_revision` says that nothing is there but what the version table tells.
    """

    left: Left
    versions: frozenset[str] = frozenset()
    differences: tuple[str, ...] = ()
    committed: tuple[Ran, ...] = ()
    in_doubt: tuple[Ran, ...] = ()
    is_at_revision: bool = False
    why_unknown: str | None = None


class _Work:
    """The steps that lead the target from where it is to the revisions of `aim`."""

    def __init__(
        self,
        deployment: Deployment,
        access: Access,
        revisions: Sequence[Revision],
        direction: Direction,
        before: TargetState,
        told: Journal,
    ) -> None:
        release = deployment.release
        is_upgrade = direction is Direction.UPGRADE
        self.deployment = deployment
        self.access = access
        self.revisions = revisions
        self.before = before
        self.aim = frozenset(release.to_revisions if is_upgrade else release.from_revisions)
        in_order = revisions if is_upgrade else tuple(reversed(revisions))
        self.steps = [RequestedStep(each.revision, direction) for each in in_order]
        self.told = told
        self.attempt = 0
        self.statements = 0
        self.committed: tuple[Ran, ...] = ()
        self.waited_for: dict[int, Blocker] = {}
        self.seen = Seen(deployment, told, access.target.password)

    def do(self, patience_seconds: float) -> Applied:
        """Run the steps; where that does not end well, raise what is there of them."""
        try:
            return self._do(patience_seconds)
        except Interrupted as signal:  # further ones are not heard
            found = self._look(_PATIENCE_INTERRUPTED_SECONDS)
            raise self._failed(_Failure(signal.what), found, signal) from signal

    def _do(self, patience_seconds: float) -> Applied:
        started = time.monotonic()
        self._require_as_before()
        versions, in_the_way = self.before.versions, ""
        while True:
            self.attempt += 1
            self.seen = Seen(self.deployment, self.told, self.access.target.password)
            failure = self._run(self._remaining(versions))
            self.statements += self.seen.count
            if failure is None:
                break
            found = self._look(patience_seconds)
            is_passing = failure.sqlstate in _PASSING and found.is_at_revision
            is_last = self.attempt >= self.deployment.environment.lock_attempts
            if not is_passing or is_last:
                raise self._failed(failure, found, None)
            versions, self.committed = found.versions, found.committed
            in_the_way = self._in_the_way()
            self._pause()
        seconds = time.monotonic() - started
        revisions = words.count(len(self.steps), "revision")
        statements = words.count(self.statements, "statement")
        lines = [f"{revisions}, {statements}, {seconds:.1f} s"]
        if self.attempt > 1:
            lines.append(f"for want of a lock it was begun {self.attempt} times{in_the_way}")
        return Applied(self.statements, self.attempt - 1, seconds, tuple(lines))

    def _require_as_before(self) -> None:
        """Raise where somebody else has changed the target since the deploy began."""
        now = self._read()
        changed = [str(each) for each in compare(self.before.catalog, now.catalog)]
        if now.versions != self.before.versions:
            changed.insert(0, f"it stands at {name_revisions(now.versions)}")
        if changed:
            raise ApplyFailed(
                "the target is not what it was when the deploy began, and nothing was done to "
                f"it: {join_some(changed)}",
                where=f"{self.deployment.target.host}:{self.deployment.target.port}",
                fix="See who changes it, then start the deploy anew.",
                details={"left": Left.UNCHANGED.value, "differences": changed},
                left=Left.UNCHANGED,
                signal=None,
            )

    def _remaining(self, versions: frozenset[str]) -> list[RequestedStep]:
        """Return the steps that a database at these versions has still before it."""
        return [step for step in self.steps if not self._is_done(step, versions)]

    def _is_done(self, step: RequestedStep, versions: frozenset[str]) -> bool:
        is_there = step.revision in applied_at(versions, self.revisions)
        return is_there is (step.direction is Direction.UPGRADE)

    def _run(self, steps: Sequence[RequestedStep]) -> _Failure | None:
        """Run steps in one go; return why that did not end well."""
        name = session_name(self.deployment.target)
        self.waited_for = {}
        try:
            with Blockers(self.deployment.target, name) as blockers:
                try:
                    ran = self.access.probe.run(
                        self.access.target,
                        steps,
                        OBSERVE,
                        told=self.seen.hear,
                        has_limit=False,
                    )
                finally:
                    self.waited_for = {each.pid: each for each in blockers.take()}
            failure = self._failure_of(ran)
        except (ProbeError, DatabaseError) as error:
            failure = _Failure(error.what, error.where, error.fix)
        except OSError as error:
            failure = _Failure(f"the record cannot be written: {error.strerror}")
        self.seen.is_cut_off = failure is not None and _is_of_connection(failure.sqlstate)
        return failure

    def _failure_of(self, ran: ProbeRun) -> _Failure | None:
        error = next((step.error for step in ran.steps if step.error is not None), ran.error)
        if error is not None:
            where = None if error.path is None else f"{error.path}:{error.line}"
            return _Failure(describe_failure(error), where, None, error.sqlstate)
        versions = self._read().versions
        statements = (each for step in ran.steps for each in step.statements)
        is_open = any(
            s.fate is Fate.OPEN and trace_of(s.sql) is not Trace.NOTHING for s in statements
        )
        if versions == self.aim and not is_open:
            return None
        why = "leaves a transaction open, which was rolled back" if is_open else "commits nothing"
        if not ran.fn_calls:
            why = "runs no migrations"
        return _Failure(
            f"env.py ends without an error and {why}",
            "env.py",
            "Let env.py commit: `with context.begin_transaction(): context.run_migrations()`.",
        )

    def _pause(self) -> None:
        """Wait before the next attempt, longer each time."""
        longest = min(2.0 ** (self.attempt - 1), _LONGEST_PAUSE_SECONDS)
        seconds = longest * random.uniform(0.5, 1.0)
        self.deployment.tell(
            f"no lock within {self.deployment.environment.lock_timeout_seconds} s"
            f"{self._in_the_way()}; again in {seconds:.1f} s"
        )
        time.sleep(seconds)

    # --- What is there ---------------------------------------------------------------

    def _look(self, patience_seconds: float) -> _Found:
        """End what is left of the run, then look at the target, which may have to come up."""
        deadline = time.monotonic() + patience_seconds
        while True:
            try:
                end_backends(self.deployment.target, session_name(self.deployment.target))
                return self._compare(self._read())
            except DatabaseError as error:
                if time.monotonic() > deadline:
                    return _Found(Left.UNKNOWN, why_unknown=error.what)
            except StepFailed as error:  # a session that does not end may still commit
                return _Found(Left.UNKNOWN, why_unknown=error.what)
            time.sleep(0.5)

    def _compare(self, now: TargetState) -> _Found:
        fates = self.seen.fates()
        committed = (*self.committed, *(each for each in fates if each.is_committed))
        in_doubt = tuple(each for each in fates if each.is_committed is None)
        differences = tuple(str(each) for each in compare(self.before.catalog, now.catalog))
        has_moved = now.versions != self.before.versions
        is_hidden = any(each.trace is Trace.UNSEEN for each in (*committed, *in_doubt))
        if now.versions == self.aim:
            left = Left.APPLIED
        elif has_moved or differences or is_hidden:
            left = Left.IN_PART
        else:
            left = Left.UNCHANGED
        loose = self._loose((*committed, *in_doubt), now.versions)
        is_at_revision = left is Left.UNCHANGED or (has_moved and not loose)
        return _Found(left, now.versions, differences, committed, in_doubt, is_at_revision)

    def _loose(self, ran: Sequence[Ran], versions: frozenset[str]) -> tuple[Ran, ...]:
        """Return what is there of steps that the version table does not count as done."""
        return tuple(each for each in ran if not self._is_done(each.step, versions))

    def _read(self) -> TargetState:
        return read_state(self.deployment.target, version_tables_of(self.access.probe), None)

    # --- What is said ----------------------------------------------------------------

    def _failed(self, failure: _Failure, found: _Found, signal: Interrupted | None) -> ApplyFailed:
        what, fix = hide(self.access.target.password, failure.what), failure.fix
        if failure.sqlstate in _PASSING:
            times = "" if self.attempt == 1 else f", {self.attempt} times"
            what += f"{times}{self._in_the_way()}"
            fix = (
                "Start it again when what blocks is gone, or end that: `SELECT "
                "pg_terminate_backend(PID);`. More patience: `lock_timeout_seconds` and "
                "`lock_attempts` of the environment."
            )
        if found.left is Left.UNKNOWN:
            fix = "When it answers again, look: `gatekeeper status`, and start the deploy again."
        elif found.left is Left.IN_PART:
            is_upgrade = self.steps[0].direction is Direction.UPGRADE
            again = "deploy anew" if is_upgrade else "rollback again"
            fix = (
                "Finish by hand what is there in part, or take it back, so that the target is "
                f"what its version says. Then start the {again}."
            )
        return ApplyFailed(
            f"{what}. {self._tell(found)}",
            where=failure.where,
            fix=fix,
            details={
                "left": found.left.value,
                "revisions": sorted(found.versions),
                "differences": list(found.differences),
                "committed": [each.told for each in found.committed],
                "in_doubt": [each.told for each in found.in_doubt],
                "attempts": self.attempt,
                "blockers": [each.sentence for each in self.waited_for.values()],
            },
            left=found.left,
            signal=signal,
        )

    def _tell(self, found: _Found) -> str:
        named = name_revisions(found.versions)
        if found.left is Left.UNKNOWN:
            return f"What it left on the target is not known: {found.why_unknown}"
        if found.left is Left.UNCHANGED:
            return (
                f"The target is as before: it stands at {named}, its catalog is the same, and "
                "nothing of it was committed"
            )
        if found.left is Left.APPLIED:
            return f"All of it is on the target, which stands at {named}"
        told = [f"The target stands at {named}"]
        loose = self._loose((*found.committed, *found.in_doubt), found.versions)
        for name in dict.fromkeys(each.step.revision for each in loose):
            of_it = [each for each in loose if each.step.revision == name]
            done = [each.told for each in of_it if each.is_committed]
            open_ = [each.told for each in of_it if not each.is_committed]
            if done:
                told.append(f"of {name} this is committed: {join_some(done)}")
            if open_:
                told.append(
                    f"of {name} this may have been done, all of it or half: {join_some(open_)}"
                )
        if found.differences:
            told.append(f"since the deploy began it differs in: {join_some(found.differences)}")
        return "; ".join(told)

    def _in_the_way(self) -> str:
        if not self.waited_for:
            return ""
        return f"; in the way was {join_some([b.sentence for b in self.waited_for.values()])}"


def _is_of_connection(sqlstate: str | None) -> bool:
    """Tell whether a failure is not the server's word on the statement itself."""
    return sqlstate is None or sqlstate.startswith(("08", "57P"))
