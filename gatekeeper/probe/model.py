"""The nouns of the probe: what is asked of it, and what it tells."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from gatekeeper.model import Direction, Project, StepError, Way
from gatekeeper.probe.hook import Hook
from gatekeeper.probe.plain import PlainEnvironment


@dataclass(frozen=True)
class Origin:
    """Where a connection would have gone without the redirection; no credentials."""

    dialect: str
    host: str | None
    port: str | None
    database: str | None


@dataclass(frozen=True)
class Target:
    """An ephemeral database, or the real one that a release goes to.

    `marker` is what `SHOW gatekeeper.marker` answers in an ephemeral one. A real one has none:
    it has the `identity` that `IDENTITY_QUERY` of the redirection answers in it, and is for
    `run`, `heads` and `drift` alone. `tls` has libpq's parameters beside `sslmode`, with the
    texts of files in place of their names. `settings` are set on every connection.

    Where env.py migrates several databases, `others` holds one for each further of them;
    `origin` is the one that a target stands for. Whatever comes from elsewhere is the
    first one's.
    """

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    database: str
    marker: str | None = field(repr=False)
    sslmode: str | None = None
    origin: Origin | None = None
    others: tuple[Target, ...] = ()
    identity: str | None = None
    tls: Mapping[str, str] = field(default_factory=dict, repr=False)
    settings: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        proofs = [p for each in (self, *self.others) for p in (each.marker, each.identity) if p]
        if len(proofs) != 1 + len(self.others) or (self.others and self.identity):
            raise ValueError("a target shows a marker or else its identity")


@dataclass(frozen=True)
class Interpreter:
    """The Python that has the project's dependencies and how it was found.

    `made_from` is the file or command whose dependencies it has by gatekeeper. With
    `is_undeclared` nothing says what they are, and gatekeeper's own Python stands in.
    """

    path: Path
    reason: str
    made_from: str | None = None
    is_undeclared: bool = False


@dataclass(frozen=True)
class Launch:
    """What has to be known to run a project's environment.

    `checkout` is a throw-away copy of the repository: the project's code may write into
    it, and it is given to the account that runs it. `repository` is where the user's own
    copy lies; import paths that an editable installation points there are turned to
    `checkout`. `environment` is the policy's `project.env`; of gatekeeper's own `environ`
    a few harmless variables are passed on. `ways`, `arguments` (Alembic's `-x`) and
    `home_files` are what else the policy says; values of `environment` and `home_files` may
    hold placeholders. With `plain` an env.py of ours takes the place of the project's. The
    file of the `hook` is in the checkout.
    """

    interpreter: Interpreter
    checkout: Path
    project: Project
    repository: Path | None = None
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)
    ways: tuple[Way, ...] = ()
    arguments: Mapping[str, str] = field(default_factory=dict)
    home_files: Mapping[str, str] = field(default_factory=dict, repr=False)
    timeout_seconds: float = 600.0
    plain: PlainEnvironment | None = None
    hook: Hook | None = None

    @property
    def has_own_app(self) -> bool:
        """Whether the hook runs env.py in an application of its own."""
        return self.hook is not None and "around" in self.hook.functions


@dataclass(frozen=True)
class RequestedStep:
    revision: str
    direction: Direction


@dataclass(frozen=True)
class ProbeFacts:
    """What a run of env.py without any step showed.

    `fn_calls` counts how often env.py ran migrations (more than once where it loops over
    schemas), `databases` on which different ones; one without a name is that of a URL that
    was not set. `version_table` is the last one, `version_tables` names all of them.
    `other_dialects` are those of connections that were not PostgreSQL's. `notes` says how
    the project was run, one line each.
    """

    python: str
    alembic: str
    sqlalchemy: str
    dialect: str
    driver: str
    version_table: str
    version_table_schema: str | None
    has_target_metadata: bool
    transaction_per_migration: bool
    transactional_ddl: bool
    fn_calls: int
    origins: tuple[Origin, ...]
    absent_variables: tuple[str, ...]
    other_dialects: tuple[str, ...]
    notes: tuple[str, ...] = ()
    databases: tuple[Origin, ...] = ()
    version_tables: tuple[str, ...] = ()


class Fate(enum.Enum):
    """What became of the transaction in which a statement ran."""

    COMMITTED = "committed"
    ROLLED_BACK = "rolled back"
    OPEN = "open"  # neither, when env.py had come to its end


@dataclass(frozen=True)
class ProbeStatement:
    """One statement as SQLAlchemy sent it.

    `path` is relative to the checkout (absolute outside it). `connection` and
    `transaction` number what the statement ran on: two statements with the same
    `transaction` share their locks. Outside a transaction (driver autocommit) that is
    None. `observed` holds the rows of the observation query; None where it was not or
    could not be asked. `executions` is above 1 for an executemany. `fate` is None for an
    autocommit statement that failed.
    """

    ordinal: int
    sql: str
    parameters: str | None
    path: str | None
    line: int | None
    end_line: int | None
    connection: int
    transaction: int | None
    seconds: float
    rows: int | None
    executions: int
    observed: tuple[tuple[str | None, ...], ...] | None
    fate: Fate | None
    failed: bool = False


@dataclass(frozen=True)
class Begun:
    """A statement that is about to run; `in_transaction` says that another has to commit it.

    A long one is cut off: its end tells all of it.
    """

    sql: str
    path: str | None
    line: int | None
    in_transaction: bool


@dataclass(frozen=True)
class ProbeStep:
    """What came of one requested step; `statements` are in order of execution.

    Neither started nor completed: an earlier step failed, or env.py ran no migrations.
    `already_applied`: the environment itself had brought the database past it.
    `omitted` counts statements beyond those that are kept.
    """

    revision: str
    direction: Direction
    started: bool
    completed: bool
    seconds: float
    statements: tuple[ProbeStatement, ...]
    error: StepError | None = None
    already_applied: bool = False
    omitted: int = 0


@dataclass(frozen=True)
class VersionTable:
    """Where env.py has Alembic keep the revision; without a schema the search path tells."""

    schema: str | None
    name: str


@dataclass(frozen=True)
class ProbeRun:
    """One run of env.py on one database: as many steps as were requested, in that order.

    `error` is one outside any step (connecting, the commit at the end, env.py's own
    code), whichever database it is of. `environment_statements` are those outside any
    step, and within one those for the version table. `others` tells the same of the
    target's other databases, in their order.
    """

    steps: tuple[ProbeStep, ...]
    error: StepError | None
    environment_statements: tuple[ProbeStatement, ...]
    fn_calls: int
    other_dialects: tuple[str, ...] = ()
    version_tables: tuple[VersionTable, ...] = ()
    others: tuple[ProbeRun, ...] = ()

    @property
    def each(self) -> tuple[ProbeRun, ...]:
        return (self, *self.others)


@dataclass(frozen=True)
class ProbeDrift:
    """What autogenerate would change; `operations` is None without `target_metadata`.

    `others` tells the same of the target's other databases, in their order.
    """

    operations: tuple[str, ...] | None
    others: tuple[ProbeDrift, ...] = ()

    @property
    def each(self) -> tuple[ProbeDrift, ...]:
        return (self, *self.others)


@dataclass(frozen=True)
class Unavailable:
    """A revision that needs what is not installed: a module, or a project's file that failed.

    `source` is the line of the revision that asks for it.
    """

    revision: str
    lacks: str
    path: str
    line: int
    source: str


class Fault(enum.Enum):
    """Why the environment could not be started, as far as it decides what to try next."""

    MISSING_MODULE = "missing module"
    MISSING_VARIABLE = "missing variable"
    OTHER_DIALECT = "other dialect"
    NEVER_CONNECTED = "never connected"
    ASYNC_DRIVER = "async driver"
    NO_CONNECTION = "no connection"
    NO_APP_CONTEXT = "no application context"
    WORKER_THREAD = "worker thread"
    THREAD = "thread"
    RUNNING_LOOP = "running loop"
    MISSING_ARGUMENT = "missing argument"
    CLOSED_PATH = "closed path"
    HOME_FILE = "home file"
    SECRET = "secret"
    NO_COMMAND = "no command"
    BROKEN_PROMISE = "broken promise"
    OTHER = "other"


class Kind(enum.Enum):
    """What a missing variable is parsed as."""

    TEXT = "text"
    SECRET = "secret"
    BOOL = "bool"
    INT = "int"
    FLOAT = "float"
    URL = "url"
    EMAIL = "email"
    FOLDER = "folder"
    OTHER = "other"


@dataclass(frozen=True)
class Wanted:
    """A variable that a failure asks for; `scheme` is a URL's where only some will do."""

    name: str
    kind: Kind = Kind.TEXT
    scheme: str | None = None


@dataclass(frozen=True)
class Question:
    """A query and where it was sent; `rows` is None where the driver does not tell."""

    sql: str
    path: str
    line: int
    rows: int | None


@dataclass(frozen=True)
class StartFailure:
    """A dry run that failed: the error and what was seen on the way.

    `module` is the name that could not be imported; `variables` are the recorded absent
    environment variables that the error names. `path` is a file or folder outside the
    checkout that could not be had, in the home directory relative to it. `arguments` are
    those of `-x` that env.py reads and nobody has given. `question` is what the project's
    code last asked of the database.
    """

    fault: Fault
    error: StepError | None
    module: str | None
    variables: tuple[Wanted, ...]
    absent_variables: tuple[str, ...]
    other_dialects: tuple[str, ...]
    drivers: tuple[str, ...]
    path: str | None = None
    arguments: tuple[str, ...] = ()
    question: Question | None = None
