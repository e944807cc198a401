"""What gatekeeper asks of the probe and what the probe answers, as values and as JSON.

One JSON object a line in either direction. The answers come from a process in which a
stranger's code runs: each field is checked, and a line that does not fit is a
`ProtocolError`, never a default.
"""

from __future__ import annotations

import dataclasses
import enum
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from gatekeeper.model import Direction, Project, StepError, Way
from gatekeeper.probe.hook import Hook
from gatekeeper.probe.plain import PlainEnvironment

T = TypeVar("T")


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


class ProtocolError(Exception):
    """A line of the probe that is not what was agreed; carries what was wrong with it."""


def encode(message: Mapping[str, Any]) -> bytes:
    """Return one line of the protocol."""
    return json.dumps(message, ensure_ascii=True).encode() + b"\n"


def ephemeral_message(target: Target) -> dict[str, Any]:
    """Return the target of a request that no real database may get."""
    if target.identity is not None:
        raise ValueError("this request is for ephemeral databases alone")
    return target_message(target)


def target_message(target: Target) -> dict[str, Any]:
    return {
        "host": target.host,
        "port": target.port,
        "user": target.user,
        "password": target.password,
        "database": target.database,
        "marker": target.marker,
        "identity": target.identity,
        "sslmode": target.sslmode,
        "tls": dict(target.tls),
        "settings": dict(target.settings),
        "origin": None if target.origin is None else dataclasses.asdict(target.origin),
        "others": [target_message(other) for other in target.others],
    }


def step_messages(steps: Sequence[RequestedStep]) -> list[dict[str, str]]:
    return [{"revision": s.revision, "direction": s.direction.value} for s in steps]


def decode(line: bytes) -> dict[str, Any]:
    """Return the object of one line."""
    try:
        message = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"not JSON: {line[:200]!r}") from error
    if not isinstance(message, dict):
        raise ProtocolError(f"not an object: {line[:200]!r}")
    return message


def read(message: Mapping[str, Any], key: str, kind: type[T]) -> T:
    """Return a field of exactly that type (an int does for a float, a bool does not)."""
    value = optional(message, key, kind)
    if value is None:
        raise ProtocolError(f"{key} is missing")
    return value


def optional(message: Mapping[str, Any], key: str, kind: type[T]) -> T | None:
    value = message.get(key)
    if value is None:
        return None
    if kind is float and type(value) is int:
        value = _as_float(key, value)
    if isinstance(value, float) and not math.isfinite(value):
        raise ProtocolError(f"{key} is no finite number")
    if type(value) is not kind:
        raise ProtocolError(f"{key} is {type(value).__name__}, not {kind.__name__}")
    return value


def _as_float(key: str, value: int) -> float:
    try:
        return float(value)
    except OverflowError as error:
        raise ProtocolError(f"{key} is no finite number") from error


def read_texts(message: Mapping[str, Any], key: str) -> tuple[str, ...]:
    values = read(message, key, list)
    if not all(isinstance(value, str) for value in values):
        raise ProtocolError(f"{key} holds something else than text")
    return tuple(values)


def read_facts(message: Mapping[str, Any]) -> ProbeFacts:
    return ProbeFacts(
        python=read(message, "python", str),
        alembic=read(message, "alembic", str),
        sqlalchemy=read(message, "sqlalchemy", str),
        dialect=read(message, "dialect", str),
        driver=read(message, "driver", str),
        version_table=read(message, "version_table", str),
        version_table_schema=optional(message, "version_table_schema", str),
        has_target_metadata=read(message, "has_target_metadata", bool),
        transaction_per_migration=read(message, "transaction_per_migration", bool),
        transactional_ddl=read(message, "transactional_ddl", bool),
        fn_calls=read(message, "fn_calls", int),
        origins=tuple(_read_origin(entry) for entry in read(message, "origins", list)),
        absent_variables=_read_names(message, "absent_variables"),
        other_dialects=read_texts(message, "other_dialects"),
        notes=read_texts(message, "notes"),
        databases=tuple(_read_origin(entry) for entry in read(message, "databases", list)),
        version_tables=read_texts(message, "version_tables"),
    )


def read_version_tables(message: Mapping[str, Any]) -> tuple[VersionTable, ...]:
    tables = []
    for entry in read(message, "version_tables", list):
        match entry:
            case [str() | None as schema, str(name)]:
                tables.append(VersionTable(schema, name))
            case _:
                raise ProtocolError(f"{entry!r} names no version table")
    return tuple(tables)


def read_drift(message: Mapping[str, Any], count: int) -> ProbeDrift:
    """Return what autogenerate would change in each of so many databases."""
    drifts = []
    for entry in read_list(message, "operations", count):
        told = {} if entry is None else {"operations": entry}
        drifts.append(ProbeDrift(read_texts(told, "operations") if told else None))
    return dataclasses.replace(drifts[0], others=tuple(drifts[1:]))


def read_list(message: Mapping[str, Any], key: str, count: int) -> list[Any]:
    """Return a list of exactly so many entries."""
    entries = read(message, key, list)
    if len(entries) != count:
        raise ProtocolError(f"{key} has {len(entries)} entries, not {count}")
    return entries


def read_object(entry: object) -> Mapping[str, Any]:
    if not isinstance(entry, dict):
        raise ProtocolError(f"{type(entry).__name__} where an object was agreed")
    return entry


def _read_origin(entry: object) -> Origin:
    message = read_object(entry)
    return Origin(
        dialect=read(message, "dialect", str),
        host=optional(message, "host", str),
        port=optional(message, "port", str),
        database=optional(message, "database", str),
    )


# Of an object in the project's memory, in its `repr`: another one at each run.
_ADDRESS = re.compile(r" at 0x[0-9a-f]{6,}(?=>)")


def read_error(entry: object) -> StepError | None:
    if entry is None:
        return None
    message = read_object(entry)
    return StepError(
        type=read(message, "type", str),
        message=_ADDRESS.sub("", read(message, "message", str)),
        sqlstate=optional(message, "sqlstate", str),
        sql=optional(message, "sql", str),
        path=optional(message, "path", str),
        line=optional(message, "line", int),
        relation=optional(message, "relation", str),
        constraint=optional(message, "constraint", str),
    )


def read_unavailable(message: Mapping[str, Any]) -> Unavailable | None:
    entry = message.get("unavailable")
    if entry is None:
        return None
    told = read_object(entry)
    return Unavailable(
        revision=read(told, "revision", str),
        lacks=read(told, "lacks", str),
        path=read(told, "path", str),
        line=read(told, "line", int),
        source=read(told, "source", str),
    )


def read_start_failure(message: Mapping[str, Any]) -> StartFailure:
    return StartFailure(
        fault=_read_enum(Fault, read(message, "fault", str)),
        error=read_error(message.get("error")),
        module=optional(message, "module", str),
        variables=tuple(_read_wanted(entry) for entry in read(message, "variables", list)),
        absent_variables=_read_names(message, "absent_variables"),
        other_dialects=read_texts(message, "other_dialects"),
        drivers=read_texts(message, "drivers"),
        path=optional(message, "path", str),
        arguments=read_texts(message, "arguments"),
        question=_read_question(message.get("question")),
    )


def _read_question(entry: object) -> Question | None:
    if entry is None:
        return None
    message = read_object(entry)
    return Question(
        sql=read(message, "sql", str),
        path=read(message, "path", str),
        line=read(message, "line", int),
        rows=optional(message, "rows", int),
    )


def _read_names(message: Mapping[str, Any], key: str) -> tuple[str, ...]:
    return tuple(_as_name(name) for name in read_texts(message, key))


def _as_name(name: str) -> str:
    """Return the name of a variable, which may stand in an environment and in a sentence."""
    if not re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", name):
        raise ProtocolError(f"{name!r} names no variable")
    return name


def _read_wanted(entry: object) -> Wanted:
    message = read_object(entry)
    return Wanted(
        name=_as_name(read(message, "name", str)),
        kind=_read_enum(Kind, read(message, "kind", str)),
        scheme=optional(message, "scheme", str),
    )


def read_statement(message: Mapping[str, Any], fate: Fate | None) -> ProbeStatement:
    observed = optional(message, "observed", list)
    return ProbeStatement(
        ordinal=read(message, "ordinal", int),
        sql=read(message, "sql", str),
        parameters=optional(message, "parameters", str),
        path=optional(message, "path", str),
        line=optional(message, "line", int),
        end_line=optional(message, "end_line", int),
        connection=read(message, "connection", int),
        transaction=optional(message, "transaction", int),
        seconds=read(message, "seconds", float),
        rows=optional(message, "rows", int),
        executions=read(message, "executions", int),
        observed=None if observed is None else tuple(_read_row(row) for row in observed),
        fate=fate,
        failed=read(message, "failed", bool),
    )


def read_begun(message: Mapping[str, Any]) -> Begun:
    return Begun(
        sql=read(message, "sql", str),
        path=optional(message, "path", str),
        line=optional(message, "line", int),
        in_transaction=read(message, "in_transaction", bool),
    )


def _read_row(row: object) -> tuple[str | None, ...]:
    if not isinstance(row, list) or not all(v is None or isinstance(v, str) for v in row):
        raise ProtocolError("observed holds something else than rows of text")
    return tuple(row)


E = TypeVar("E", bound=enum.Enum)


def _read_enum(kind: type[E], value: str) -> E:
    try:
        return kind(value)
    except ValueError as error:
        raise ProtocolError(f"{value!r} is no {kind.__name__}") from error


def read_fate(value: object) -> Fate:
    return _read_enum(Fate, value) if isinstance(value, str) else _refuse_fate(value)


def read_fates(message: Mapping[str, Any]) -> dict[int, Fate]:
    """Return what became of each transaction, by its number."""
    fates = {}
    for number, fate in read(message, "fates", dict).items():
        if not re.fullmatch("[0-9]{1,18}", number):
            raise ProtocolError(f"{number!r} numbers no transaction")
        fates[int(number)] = read_fate(fate)
    return fates


def _refuse_fate(value: object) -> Fate:
    raise ProtocolError(f"{value!r} is no Fate")
