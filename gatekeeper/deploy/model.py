"""The nouns of a deploy: the release that it carries out, its steps, what came of them."""

from __future__ import annotations

import datetime as dt
import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gatekeeper.errors import ExitCode, GatekeeperError
from gatekeeper.model import Attestation, Lock, Project
from gatekeeper.policy.model import Environment
from gatekeeper.postgres.servers import Server
from gatekeeper.postgres.snapshot import Snapshot
from gatekeeper.probe.model import Target as ProbeTarget
from gatekeeper.probe.runner import Probe


class StepName(enum.Enum):
    """The steps of the runbook, in their order."""

    PREFLIGHT = "preflight"
    BACKUP = "backup"
    RESTORE_REHEARSAL = "restore-rehearsal"
    MAINTENANCE_ON = "maintenance-on"
    APPLY = "apply"
    VERIFY = "verify"
    SMOKE_TEST = "smoke-test"
    WATCH = "watch"
    ROLLBACK = "rollback"
    MAINTENANCE_OFF = "maintenance-off"


class StepOutcome(enum.Enum):
    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


class DeployOutcome(enum.Enum):
    """What became of the target."""

    DEPLOYED = "deployed"  # upgraded and verified, or there was nothing to do
    REFUSED = "refused"  # it was not touched
    UNCHANGED = "unchanged"  # apply failed; it is proven to be as before
    ROLLED_BACK = "rolled-back"  # by downgrade, proven
    RESTORED = "restored"  # from the backup, proven
    STOPPED = "stopped"  # a person is needed

    @property
    def exit_code(self) -> ExitCode:
        if self is DeployOutcome.DEPLOYED:
            return ExitCode.PASS
        return ExitCode.UNDETERMINED if self is DeployOutcome.STOPPED else ExitCode.FAIL


class StepFailed(GatekeeperError):
    """A step of the runbook did not reach what it is for; the deploy goes on from there.

    `details` is what the record keeps of it.
    """

    exit_code = ExitCode.FAIL

    def __init__(
        self,
        what: str,
        *,
        where: str | None = None,
        fix: str | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(what, where=where, fix=fix)
        self.details = details or {}


@dataclass(frozen=True)
class ReleasedRevision:
    """One revision of a release, as its rehearsal saw it.

    `is_transactional` says that all its statements ran in transactions, so that a failure
    leaves nothing of it. `obstacle` is why its downgrade is not proven, `loses` what that drops
    with all that was written there since. `locks` are those that it took on relations which
    were there before. `waits_for_all` says that something in it (CONCURRENTLY) waits for the
    end of all transactions that have begun before.
    """

    revision: str
    down_revisions: tuple[str, ...]
    message: str
    path: str
    seconds: float
    is_transactional: bool
    obstacle: str | None
    loses: tuple[str, ...]
    rewrites: tuple[str, ...] = ()
    locks: tuple[Lock, ...] = ()
    waits_for_all: bool = False


@dataclass(frozen=True)
class Release:
    """A release as its plan and evidence tell it; `previous` is None for the first one.

    `catalog_before` and `catalog_after` are the rehearsal's traits (`postgres.likeness`), None
    where there is nothing to compare. `server_major` is that of the rehearsal's server.
    `window` holds the reasons for a maintenance window.
    """

    tag: str
    commit: str
    previous: str | None
    verdict: str
    project: Project
    from_revisions: tuple[str, ...]
    to_revisions: tuple[str, ...]
    revisions: tuple[ReleasedRevision, ...]
    window: tuple[str, ...]
    obstacles: tuple[str, ...]
    content_hash: str
    is_rehearsed: bool
    server_major: int | None
    catalog_before: Mapping[str, str] | None
    catalog_after: Mapping[str, str] | None
    attestations: tuple[Attestation, ...]


@dataclass(frozen=True)
class Deployment:
    """What a deploy is asked for, and with what.

    `target` is the server of the target's URL, its `maintenance_database` the target itself.
    `folder` is the record's; `tell` announces progress to a person. `environ` is ours, from
    which the team's commands get their variables. `ticked` are the attestations that a person
    has ticked.
    """

    release: Release
    name: str
    environment: Environment
    target: Server
    folder: Path
    environ: Mapping[str, str] = field(repr=False)
    tell: Callable[[str], None]
    now: Callable[[], dt.datetime]
    ticked: frozenset[str] = frozenset()


@dataclass(frozen=True)
class TargetState:
    """What the target holds at one moment: Alembic's version(s), the catalog without owners
    and privileges, and the number of rows of each table that is counted."""

    versions: frozenset[str]
    catalog: Snapshot
    rows: Mapping[str, int]


@dataclass(frozen=True)
class Backup:
    """A backup that was made, and what the target held at that very moment.

    `path` is None where the team's own command keeps it elsewhere. `state` is that of the
    transaction which the dump was made in; None where that is not known.
    """

    path: Path | None
    size_bytes: int | None
    sha256: str | None
    state: TargetState | None


@dataclass(frozen=True)
class Proof:
    """What upgrade and downgrade did to a restored copy of the target.

    `obstacle` is why the way back is not proven to lose nothing: None where it led back to
    the same catalog and the same rows. `new_values` tells what the upgrade itself wrote to the
    tables and columns that it made, which the way back drops.
    """

    before: TargetState
    after: TargetState
    seconds: float
    obstacle: str | None
    new_values: Mapping[tuple[str, str], str] = field(default_factory=dict)


@dataclass(frozen=True)
class Access:
    """The project's code, started, and the target as it is to connect to it."""

    probe: Probe
    target: ProbeTarget


@dataclass(frozen=True)
class StepRecord:
    """What became of a step. `output` are lines without secrets, `details` JSON values."""

    step: StepName
    outcome: StepOutcome
    reason: str | None
    started: dt.datetime
    seconds: float
    output: tuple[str, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)
