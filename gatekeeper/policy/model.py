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
    """How a target is backed up; `command` is set in the mode of that name only.

    With several `jobs` the dump is a folder. Of a database above `largest_gb` (any size where
    it is None) nothing is restored: a restored copy is given.
    """

    mode: BackupMode = BackupMode.REQUIRED
    command: str | None = None
    jobs: int = 1
    largest_gb: int | None = None


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
class ErrorCounter:
    """What answers with the number of errors so far: exactly one of `command` and `url`.

    More than `most` new ones are too many.
    """

    most: int
    command: str | None = None
    url: str | None = None


@dataclass(frozen=True)
class Watch:
    """How long a target is watched after a deploy, and what is not borne meanwhile."""

    minutes: int
    lock_wait_seconds: int = 30
    query_seconds: int = 60
    connections_percent: int = 90
    replication_lag_seconds: int = 30
    errors: tuple[ErrorCounter, ...] = ()


@dataclass(frozen=True)
class Notification:
    """Who gets a deploy's record: a command, an address, or the address in a variable.

    Exactly one of the three is set. An address of a chat is a secret: it is in a variable.
    """

    command: str | None = None
    url: str | None = None
    variable: str | None = None


@dataclass(frozen=True)
class Maintenance:
    """The commands that switch maintenance on before, and off after a deploy."""

    on: str
    off: str


@dataclass(frozen=True)
class Environment:
    """A place that releases are deployed to.

    `differences_accepted` lets a target differ from what a release was rehearsed from. The
    upgrade waits `lock_timeout_seconds` for a lock, and is tried `lock_attempts` times.
    """

    backup: Backup = Backup()
    on_failure: OnFailure = OnFailure.AUTO
    differences_accepted: bool = False
    lock_timeout_seconds: int = 5
    lock_attempts: int = 10
    smoke_test: tuple[str, ...] = ()
    health: tuple[HealthProbe, ...] = ()
    watch: Watch | None = None
    maintenance: Maintenance | None = None
    row_counts: tuple[str, ...] = ()
    notify: tuple[Notification, ...] = ()


@dataclass(frozen=True)
class Policy:
    """A policy file and all that it extends; later overrides win over earlier ones."""

    checks: Mapping[str, CheckSetting]
    overrides: tuple[Override, ...] = ()
    postgres: str | None = None
    attestations: tuple[Attestation, ...] = ()
    project: ProjectSettings = ProjectSettings()
    environments: Mapping[str, Environment] = field(default_factory=dict)
