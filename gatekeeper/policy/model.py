"""The nouns of the policy file. No I/O."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

from gatekeeper.model import Attestation, Severity, Way

OptionValue = int | str | bool


@dataclass(frozen=True)
class CheckSetting:
    """What the policy says of one check; `options` holds only what the policy sets."""

    severity: Severity
    options: Mapping[str, OptionValue]


@dataclass(frozen=True)
class Override:
    """Other severities for some revisions; exactly one of the three selectors is set."""

    checks: Mapping[str, Severity]
    paths: tuple[str, ...] = ()
    revisions: tuple[str, ...] = ()
    before: str | None = None


@dataclass(frozen=True)
class ProjectSettings:
    """What the project's code needs in order to run; everything may be missing.

    `without_dependencies` lets the revisions run without env.py where nothing installs them.
    `places` has the file and the line where each key stands.
    """

    python: str | None = None
    install: str | None = None
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    start: tuple[Way, ...] = ()
    x: Mapping[str, str] = field(default_factory=dict)
    home: Mapping[str, str] = field(default_factory=dict, repr=False)
    timeout_minutes: int | None = None
    extensions: tuple[str, ...] = ()
    bootstrap: str | None = None
    stamp: str | None = None
    role: str | None = None
    seed: str | None = None
    hook: str | None = None
    without_dependencies: bool = False
    places: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)


class BackupMode(enum.Enum):
    REQUIRED = "required"
    OFF = "off"
    COMMAND = "command"


@dataclass(frozen=True)
class Backup:
    """How a target is backed up; `command` is set in the mode of that name only."""

    mode: BackupMode = BackupMode.REQUIRED
    command: str | None = None


class OnFailure(enum.Enum):
    """What a deploy does about a failure; AUTO takes the way that has been proven."""

    STOP = "stop"
    DOWNGRADE = "downgrade"
    RESTORE = "restore"
    AUTO = "auto"


@dataclass(frozen=True)
class HealthProbe:
    """An address that answers with this HTTP status while the application is well."""

    url: str
    status: int


@dataclass(frozen=True)
class Watch:
    """How long a target is watched after a deploy, and which lock wait is too long."""

    minutes: int
    lock_wait_seconds: int


@dataclass(frozen=True)
class Maintenance:
    """The commands that switch maintenance on before, and off after a deploy."""

    on: str
    off: str


@dataclass(frozen=True)
class Environment:
    """A place that releases are deployed to."""

    backup: Backup = Backup()
    on_failure: OnFailure = OnFailure.AUTO
    smoke_test: tuple[str, ...] = ()
    health: tuple[HealthProbe, ...] = ()
    watch: Watch | None = None
    maintenance: Maintenance | None = None
    row_counts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Policy:
    """A policy file and all that it extends; later overrides win over earlier ones."""

    checks: Mapping[str, CheckSetting]
    overrides: tuple[Override, ...] = ()
    postgres: str | None = None
    attestations: tuple[Attestation, ...] = ()
    project: ProjectSettings = ProjectSettings()
    environments: Mapping[str, Environment] = field(default_factory=dict)
