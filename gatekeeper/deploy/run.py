"""One process that carries a release out or takes it back: what it holds and has learned."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from gatekeeper.deploy.access import open_access, version_tables_of
from gatekeeper.deploy.apply import ApplyFailed
from gatekeeper.deploy.journal import Journal, Noted
from gatekeeper.deploy.model import (
    Access,
    Backup,
    Deployment,
    DeployOutcome,
    Proof,
    StepName,
    TargetState,
)
from gatekeeper.deploy.past import Past
from gatekeeper.deploy.statements import Loose
from gatekeeper.deploy.target import Hold, end_backends, read_state
from gatekeeper.errors import GatekeeperError, Interrupted
from gatekeeper.git import Repository
from gatekeeper.model import ChangeSet, Revision
from gatekeeper.postgres.difference import compare
from gatekeeper.postgres.new_values import read_new_values
from gatekeeper.postgres.snapshot import differing
from gatekeeper.postgres.target import look_at
from gatekeeper.probe.model import VersionTable
from gatekeeper.rehearsal.stage import Stage

AGAIN = "Start it again with the same `--record`: it goes on from here."
_READ_SECONDS = 3600  # for what a failed deploy has left in large tables


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


class Run:
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

    def end_left(self) -> None:
        """End the sessions of killed processes: ours, and those of the project's code."""
        for name in self.left_by:
            for session in (name, name.removesuffix("_work")):
                end_backends(self.deployment.target, session)

    @property
    def has_begun_back(self) -> bool:
        """Whether somebody before this process may have begun to take the target back."""
        return self.left is not None and StepName.ROLLBACK in self.left.begun

    def read_new(self) -> Mapping[tuple[str, str], str]:
        """Return digests of what the target's new tables and columns hold."""
        assert self.proof is not None
        made = compare(self.proof.before.catalog, self.proof.after.catalog)
        with look_at(self.deployment.target, statement_seconds=_READ_SECONDS) as connection:
            return read_new_values(connection, made)

    @contextlib.contextmanager
    def step(self, name: StepName, **values: Any) -> Iterator[Noted]:
        """Announce a step and write it down; yield where it is noted."""
        self.deployment.tell(name.value)
        with self.journal.step(name, **values) as noted:
            yield noted

    def open_stage(self) -> None:
        """Start the project's env.py beside an ephemeral server of the target's major."""
        with look_at(self.deployment.target) as connection:
            major = connection.server_version // 10_000
        self.stage = self.stack.enter_context(self.means.open_stage(major))

    def note(self, statement: Mapping[str, Any]) -> None:
        """Put a statement on the target into the journal."""
        self.journal.write("statement", **statement)

    def read(self) -> TargetState:
        """Return what the target holds now."""
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
            return told_of(self.before)
        assert self.past is not None
        return self.past.details(StepName.PREFLIGHT)

    def backup_told(self) -> str:
        """Say where the backup is, for a person who has to go on by hand."""
        if self.backup is None or self.backup.path is None:
            return "There is no backup of this deploy."
        return f"The backup is {self.backup.path}."


def told_of(state: TargetState) -> dict[str, Any]:
    """Return a state as the journal keeps it."""
    return {
        "revisions": sorted(state.versions),
        "catalog": dict(state.catalog.fingerprints),
        "rows": dict(state.rows),
    }


def is_as(state: TargetState, told: Mapping[str, Any]) -> bool:
    """Whether version and catalog are what they were; rows may come and go meanwhile."""
    return sorted(state.versions) == told["revisions"] and not differing_from(state, told)


def differing_from(state: TargetState, told: Mapping[str, Any]) -> list[str]:
    """Return the objects that are not what they were."""
    return differing(told["catalog"], state.catalog.fingerprints)


def signal_of(error: GatekeeperError) -> Interrupted | None:
    """Return the signal that is behind an error, if one is."""
    if isinstance(error, ApplyFailed):
        return error.signal
    return error if isinstance(error, Interrupted) else None
