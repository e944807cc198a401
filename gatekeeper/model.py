"""The nouns of gatekeeper, in the order in which a run makes them. No I/O.

change set → rehearsal → findings → report. Whatever could not be told has a value of its
own (`None`, `Skipped`, `NotRehearsed`); an empty tuple always means "looked, found none".
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

from gatekeeper.errors import ExitCode
from gatekeeper.lock_modes import LockMode

# --- Revisions and what a change does to them ----------------------------------------


class Body(enum.Enum):
    """What an upgrade or downgrade function consists of, read from its syntax tree."""

    CODE = "code"
    EMPTY = "empty"  # `pass`, `...`, a docstring or nothing that runs
    RAISES = "raises"  # the only statement raises: a deliberate refusal


@dataclass(frozen=True)
class Function:
    """An `upgrade` or `downgrade` function as it stands in a revision file."""

    line: int
    end_line: int
    body: Body


@dataclass(frozen=True)
class Revision:
    """One revision file, parsed and never imported.

    `path` is relative to the repository's root, with forward slashes. `line` is the line
    of the `revision` identifier. A function that does not exist is None.
    """

    revision: str
    down_revisions: tuple[str, ...]
    depends_on: tuple[str, ...]
    branch_labels: tuple[str, ...]
    message: str
    path: str
    line: int
    upgrade: Function | None
    downgrade: Function | None
    source: str = field(repr=False)


class Change(enum.Enum):
    """What a change does to a revision; comments and formatting alone change nothing."""

    ADDED = "added"
    MODIFIED = "modified"
    DELETED = "deleted"
    RENAMED = "renamed"  # another path, the same revision identifier and code
    UNCHANGED = "unchanged"


@dataclass(frozen=True)
class ChangedRevision:
    """A revision at the head and, where it existed, at the base.

    `revision` is the head's state; of a deleted revision it is the base's.
    """

    revision: Revision
    change: Change
    before: Revision | None = None


@dataclass(frozen=True)
class RevisionProblem:
    """A file of the script directory that Alembic could not load or place in the graph."""

    path: str
    line: int
    message: str
    remedy: str
    revision: str | None = None


@dataclass(frozen=True)
class Project:
    """One Alembic script directory and how it was found.

    All paths are relative to the repository's root, with forward slashes; "." is the root
    itself. `config` is None where no configuration file belongs to the script directory.
    """

    path: str
    config: str | None
    section: str
    script_location: str
    version_locations: tuple[str, ...]
    flask_migrate: bool = False
    recursive_version_locations: bool = False


@dataclass(frozen=True)
class ChangeSet:
    """What a change does to one project's revisions.

    `base` and `head` are commit shas; `base` is None for an audit of the whole history,
    `head` is None where the repository has no commit. `dirty` says that the work tree was
    taken and differs from `head`. `revisions` holds what is judged, in graph order
    (deleted ones last); `base_history` and `head_history` are all revisions of either
    side in graph order. `merged_heads` are the heads that merging the base's current tip
    would give; `base_tip` names that tip as a person would (`main`). `sections` names those
    of the configuration file where the histories of several are told as one.
    """

    project: Project
    base: str | None
    head: str | None
    dirty: bool
    base_tip: str | None
    revisions: tuple[ChangedRevision, ...]
    base_history: tuple[Revision, ...]
    head_history: tuple[Revision, ...]
    base_heads: tuple[str, ...]
    head_heads: tuple[str, ...]
    merged_heads: tuple[str, ...]
    problems: tuple[RevisionProblem, ...]
    content_hash: str
    is_audit: bool = False
    sections: tuple[str, ...] = ()

    @property
    def to_rehearse(self) -> tuple[Revision, ...]:
        """The revisions whose code is new: added and modified ones, in graph order."""
        new = (Change.ADDED, Change.MODIFIED)
        return tuple(c.revision for c in self.revisions if c.change in new)


# --- What the rehearsal saw ----------------------------------------------------------


class Direction(enum.Enum):
    UPGRADE = "upgrade"
    DOWNGRADE = "downgrade"


class Outcome(enum.Enum):
    COMPLETED = "completed"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Lock:
    """A lock on a relation that existed before, taken by one statement."""

    relation: str
    mode: LockMode


@dataclass(frozen=True)
class Statement:
    """One SQL statement that a step sent, and what it was seen to do.

    `path` (relative to the repository's root) and `line` are those of the call in the
    revision file, `end_line` the last line of that call. `locks` are the locks that this
    statement added on relations that existed before; None where they could not be
    observed, as outside a transaction. `lock_timeout_ms` is the setting in force when the
    statement ended, 0 for "wait for ever", None where it was not observed.
    `committed` is None where the fate of the statement's transaction is unknown.
    `is_unseen` marks one that stands for what was sent and not recorded: `sql` is a comment
    that says so, the locks and rewrites are what the next statement showed.
    `transaction` numbers the transactions of one run of env.py, each of which keeps its
    locks to its end; None outside a transaction and where it is not known. `database` names
    the database where the report is on several.
    """

    revision: str | None
    direction: Direction
    ordinal: int
    sql: str
    path: str | None
    line: int | None
    end_line: int | None
    in_transaction: bool
    seconds: float
    rows: int | None
    locks: tuple[Lock, ...] | None
    rewrites: tuple[str, ...]
    lock_timeout_ms: int | None
    committed: bool | None
    parameters: str | None = None
    is_unseen: bool = False
    transaction: int | None = None
    database: str | None = None


@dataclass(frozen=True)
class StepError:
    """The first error of a step, as PostgreSQL or Python raised it.

    `sqlstate` is PostgreSQL's five-character code (manual, appendix A); None for an error
    that did not come from the server. `relation` and `constraint` are what the server says
    it is about, where it does.
    """

    type: str
    message: str
    sqlstate: str | None
    sql: str | None
    path: str | None
    line: int | None
    relation: str | None = None
    constraint: str | None = None


@dataclass(frozen=True)
class Step:
    """One revision, executed once in one direction.

    `reason` says why a step was skipped. The post-conditions are None where the step did
    not complete: `version_moved` (the version table holds the step's outcome, seen from
    another session), `committed` (not everything that the step wrote was rolled back or
    left open), `left_open` (a transaction of the step's is still open after env.py came
    to its end), `invalid_indexes` (indexes that became invalid, qualified names).
    `ended_transaction` tells whether a statement ran in another transaction of Alembic's
    connection than the one in which Alembic wrote the version; None where that is unknown.
    `path` is the revision's: two histories may have one identifier.
    """

    revision: str
    direction: Direction
    outcome: Outcome
    reason: str | None = None
    seconds: float = 0.0
    statements: tuple[Statement, ...] = ()
    error: StepError | None = None
    version_moved: bool | None = None
    committed: bool | None = None
    left_open: bool | None = None
    invalid_indexes: tuple[str, ...] | None = None
    ended_transaction: bool | None = None
    path: str | None = None


class DifferenceKind(enum.Enum):
    MISSING = "missing"  # was there before, is not there after
    LEFT = "left"  # was not there before, is there after
    CHANGED = "changed"


@dataclass(frozen=True)
class Difference:
    """One thing in which two catalog snapshots differ.

    `object_type` is PostgreSQL's word ("column", "index", "enum label"), `name` the
    qualified name, `relation` the table it belongs to. `attribute` with `before` and
    `after` tells what changed of an object that is on both sides.
    """

    kind: DifferenceKind
    object_type: str
    name: str
    relation: str | None = None
    attribute: str | None = None
    before: str | None = None
    after: str | None = None
    database: str | None = None  # named where the report is on several

    def __str__(self) -> str:
        where = "" if self.database is None else f"{self.database}: "
        thing = f"{where}{self.object_type} {self.name}"
        if self.kind is not DifferenceKind.CHANGED:
            return f"{thing} is {'missing' if self.kind is DifferenceKind.MISSING else 'left'}"
        before = "none" if self.before is None else self.before
        after = "none" if self.after is None else self.after
        return f"{thing}: {self.attribute} was {before}, is {after}"


@dataclass(frozen=True)
class RehearsedRevision:
    """One revision's stairway: up, down, up, from a clean clone of what precedes it.

    `changes` compares the schema before and after the upgrade, `round_trip` before the
    upgrade and after the downgrade, `second_upgrade` after the first and after the second
    upgrade; each is None where one of its sides does not exist. `new_columns` are the
    columns that the upgrade made, each with whether an INSERT must give it a value (NOT
    NULL without a default); None where the upgrade did not run to its end.
    `partitions_before` are the relations that inherit, each with what it inherits from.
    `variation` is in what two runs of the upgrade from one schema differ; None where there
    were no two.
    """

    revision: Revision
    upgrade: Step
    downgrade: Step
    reupgrade: Step
    changes: tuple[Difference, ...] | None
    round_trip: tuple[Difference, ...] | None
    second_upgrade: tuple[Difference, ...] | None
    relations_before: frozenset[str] = field(default=frozenset(), repr=False)
    foreign_keys_before: frozenset[tuple[str, str]] = field(default=frozenset(), repr=False)
    new_columns: Mapping[str, bool] | None = field(default=None, repr=False)
    partitions_before: Mapping[str, str] = field(default_factory=dict, repr=False)
    variation: tuple[Difference, ...] | None = None


@dataclass(frozen=True)
class Skipped:
    """Something that was not done, and why.

    Where one thing kept many from being done, it is the `cause` of each of them.
    `is_failure` says that it was tried, and that what it would have told is unknown.
    """

    reason: str
    cause: str | None = field(default=None, compare=False)
    is_failure: bool = False


@dataclass(frozen=True)
class Drift:
    """What autogenerate would still change after the upgrade and did not at the base.

    Each entry is one sentence fragment with the user's own names, such as
    "add column public.users.email". `already` counts what differed at the base too.
    `unknown` are those of the schema's `tables` that env.py's metadata lacks, as it did at
    the base: nothing is known of their models.
    """

    operations: tuple[str, ...]
    already: int = 0
    unknown: tuple[str, ...] = ()
    tables: int = 0


class Way(enum.Enum):
    """How env.py is started where the plain way is not enough and no variable says it."""

    ASYNCPG = "asyncpg"  # the URL names the asynchronous driver
    CONNECTION = "connection"  # given in `config.attributes`, as a caller would
    BARE_FLASK_APP = "bare-flask-app"  # around the project's SQLAlchemy object
    WORKER_THREAD = "worker-thread"  # of AnyIO
    THREAD = "thread"  # without a running event loop
    RUNNING_LOOP = "running-loop"  # inside `asyncio.run`
    OTHER_DIALECT = "other-dialect"  # its URL is rewritten, and no variable sets it


@dataclass(frozen=True)
class Learned:
    """What had to be found out to run the project, as the policy's `project:` block takes it.

    The values of `env` and `home` stand for themselves or hold placeholders: nothing in them
    is secret or of this run alone.
    """

    env: Mapping[str, str] = field(default_factory=dict)
    start: tuple[Way, ...] = ()
    home: Mapping[str, str] = field(default_factory=dict)
    extensions: tuple[str, ...] = ()
    bootstrap: str | None = None


class ServerSource(enum.Enum):
    SERVICE = "service"  # given as a URL
    INSTALLED = "installed"  # binaries found on this machine
    EMBEDDED = "embedded"  # binaries of the `embedded` extra


@dataclass(frozen=True)
class ServerInfo:
    """The PostgreSQL server of the rehearsal; `version` as in `17.5`.

    `production` is the major version that the policy says production runs.
    """

    source: ServerSource
    version: str
    production: str | None = None

    @property
    def major(self) -> int:
        return int(self.version.split(".")[0])


@dataclass(frozen=True)
class Rehearsal:
    """What was seen while the new revisions ran.

    `deploy` is the deploy pass in the order of execution: the new revisions in one go,
    with the transactions that env.py chooses. In an audit there is no deploy pass and
    `deploy` holds the stairway's first upgrades. `relations_before` are the qualified
    names of the relations that existed at the base, `foreign_keys_before` their foreign
    keys (the referencing relation, the referenced one). `project` says how the project was
    run (interpreter, variables that had to be set), one line each; `learned` what of that the
    policy file does not say yet. `in_one_go` is in what the
    deploy pass left another schema than the revisions one by one, where none of them varies.
    `env_not_run` is why the project's own env.py did not run, None where it did.
    `is_restricted` says that they ran as a role which owns the database and may no more.
    `catalog_before` and `catalog_after` are the base's catalog and that after the deploy pass:
    `table public.users` → digest, to be compared with a database elsewhere. They are None where
    there is nothing to compare: no release was rehearsed, the models made the base, or there
    were several databases.
    """

    server: ServerInfo
    database: str
    deploy: tuple[Step, ...]
    revisions: tuple[RehearsedRevision, ...]
    drift: Drift | Skipped
    relations_before: frozenset[str] = field(default=frozenset(), repr=False)
    enums_before: Mapping[str, tuple[str, ...]] = field(default_factory=dict, repr=False)
    project: tuple[str, ...] = ()
    seconds: float = 0.0
    foreign_keys_before: frozenset[tuple[str, str]] = field(default=frozenset(), repr=False)
    is_restricted: bool = False
    in_one_go: tuple[Difference, ...] = ()
    env_not_run: str | None = None
    learned: Learned = Learned()
    catalog_before: Mapping[str, str] | None = field(default=None, repr=False)
    catalog_after: Mapping[str, str] | None = field(default=None, repr=False)

    def of(self, revision: str, path: str | None = None) -> RehearsedRevision | None:
        """Return the stairway of a revision, None where it was not rehearsed.

        The path tells which one is meant where the histories of several sections are one.
        """
        named = (r for r in self.revisions if r.revision.revision == revision)
        return next((r for r in named if path in (None, r.revision.path)), None)

    def deployed(self, revision: Revision) -> Step | None:
        """Return the step of a revision in the deploy pass, None where it has none."""
        named = (step for step in self.deploy if step.revision == revision.revision)
        return next((step for step in named if step.path in (None, revision.path)), None)


@dataclass(frozen=True)
class NotRehearsed:
    """There is no rehearsal: nothing called for one, or it could not be held.

    `is_failure` tells the second from the first: what should have been seen is unknown.
    `missing_module` is the one that env.py could not import, `env_not_run` why another one
    had taken its place. `learned` is what had been found out by then.
    """

    reason: str
    is_failure: bool
    server: ServerInfo | None = None
    missing_module: str | None = None
    env_not_run: str | None = None
    learned: Learned = Learned()


# --- Checks, findings and the policy's say -------------------------------------------


class Severity(enum.IntEnum):
    """How much a finding weighs; OFF keeps a check from running."""

    OFF = 0
    NOTICE = 1
    WARNING = 2
    ERROR = 3


class Basis(enum.Enum):
    """Whether a fact was read from source or observed on the server."""

    READ = "read"
    OBSERVED = "observed"


class Needs(enum.Enum):
    """What a check looks at; without a rehearsal the second kind is skipped."""

    SOURCE = "source"
    REHEARSAL = "rehearsal"


@dataclass(frozen=True)
class Option:
    """A setting of a check, as it stands beside `severity` in the policy."""

    name: str
    default: int | str | bool
    meaning: str


@dataclass(frozen=True)
class Check:
    """What is known of a check without running it; `title` says the wanted state."""

    id: str
    title: str
    group: str
    needs: Needs
    options: tuple[Option, ...] = ()


@dataclass(frozen=True)
class CheckContext:
    """All that a check may look at."""

    changes: ChangeSet
    rehearsal: Rehearsal | None
    options: Mapping[str, int | str | bool]


@dataclass(frozen=True)
class Waiver:
    """A comment in a revision file that accepts a finding, with its reason."""

    path: str
    line: int
    checks: tuple[str, ...]
    reason: str
    until: str | None  # ISO date


@dataclass(frozen=True)
class Finding:
    """One thing a check has to say.

    A check leaves `severity` at None; the policy's word then counts. It sets one only to
    weaken it (`Severity.NOTICE` for what people accept). `remedy` is text to paste or to
    follow. `statement` is the ordinal of the statement in its step.
    """

    check: str
    message: str
    remedy: str
    basis: Basis
    revision: str | None = None
    path: str | None = None
    line: int | None = None
    end_line: int | None = None
    statement: int | None = None
    relation: str | None = None
    severity: Severity | None = None
    waiver: Waiver | None = None


@dataclass(frozen=True)
class CheckRun:
    """A check's result before the policy is applied.

    A run with neither findings nor skips has passed. `skipped` holds what the check could
    not look at; `error` is the sentence of a check that broke or could not tell.
    """

    check: Check
    findings: tuple[Finding, ...]
    skipped: tuple[Skipped, ...]
    error: str | None = None


# --- The report ----------------------------------------------------------------------


class Verdict(enum.Enum):
    PASS = "pass"
    FAIL = "fail"
    UNDETERMINED = "undetermined"


class Status(enum.Enum):
    PASSED = "passed"
    FAILED = "failed"
    WAIVED = "waived"
    SKIPPED = "skipped"
    ERRORED = "errored"


@dataclass(frozen=True)
class CheckResult:
    """One line of the checklist."""

    check: Check
    severity: Severity
    status: Status
    reason: str | None = None


@dataclass(frozen=True)
class Attestation:
    """A line of the checklist that only a person can tick.

    One `of_release` is not asked of each change, but once, of the release that is deployed.
    """

    id: str
    title: str
    required_for: tuple[str, ...]
    ticked: bool = False
    of_release: bool = False


@dataclass(frozen=True)
class Report:
    """Everything a reporter may say. `undetermined` says why the verdict is open.

    `to_save` is the policy's `project:` block with which the next run needs one attempt.
    """

    verdict: Verdict
    changes: ChangeSet
    rehearsal: Rehearsal | NotRehearsed
    checks: tuple[CheckResult, ...]
    findings: tuple[Finding, ...]
    attestations: tuple[Attestation, ...] = ()
    undetermined: str | None = None
    seconds: float = 0.0
    to_save: str | None = None

    def findings_of(self, check: str) -> tuple[Finding, ...]:
        return tuple(f for f in self.findings if f.check == check)


# --- What the main job needs ---------------------------------------------------------


class Condition(enum.Enum):
    OK = "ok"
    PROBLEM = "problem"
    NOT_LOOKED_AT = "not looked at"


@dataclass(frozen=True)
class Diagnosis:
    """One thing that the main job needs, as it was found here.

    `detail` says what was found, or why it was not looked at. `remedy` is text to paste or
    to follow; what is well may have one too, for what it lacks for other uses. `exit_code`
    is what a command ends with for its sake.
    """

    subject: str
    condition: Condition
    detail: str
    remedy: str | None = None
    exit_code: ExitCode = ExitCode.PASS
