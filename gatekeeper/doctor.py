"""What in this environment would stop the main job, looked at one thing after the other.

Nothing is judged by the policy here: these are the grounds on which a check stands, and the
user's own database where it is named.
"""

from __future__ import annotations

import contextlib
import enum
import json
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from gatekeeper.checks import multiple_heads
from gatekeeper.checks.labels import track_types
from gatekeeper.checks.observed import Seen, own_statements
from gatekeeper.directories import open_run_directory
from gatekeeper.errors import (
    ConfigError,
    DatabaseError,
    ExitCode,
    GatekeeperError,
    MissingModule,
    ProbeError,
)
from gatekeeper.git import (
    Repository,
    Tree,
    choose_base,
    find_repository,
    open_tree,
    relative_folder,
)
from gatekeeper.model import (
    ChangeSet,
    CheckContext,
    Condition,
    Diagnosis,
    Finding,
    Learned,
    Outcome,
    Project,
    Revision,
    ServerSource,
    Step,
    StepError,
)
from gatekeeper.pipeline import KNOWN
from gatekeeper.policy.load import FILE_NAME, find_policy, load_policy
from gatekeeper.policy.model import ProjectSettings
from gatekeeper.postgres.servers import Server, open_server
from gatekeeper.postgres.snapshot import Snapshot
from gatekeeper.postgres.target import TargetState, reach_target, read_target
from gatekeeper.preparing import (
    choose_interpreter,
    copy_files,
    read_preparation,
    read_project_hook,
    stand_in,
    with_settings,
    without_env,
)
from gatekeeper.probe.hook import Hook
from gatekeeper.probe.placeholders import names_database
from gatekeeper.probe.protocol import Interpreter, Launch, ProbeDrift
from gatekeeper.probe.workspace import private_folders
from gatekeeper.rehearsal.base import base_of, create_models, find_stood_for, refuse_bootstrap
from gatekeeper.rehearsal.baseline import resolve_stamp
from gatekeeper.rehearsal.databases import Databases
from gatekeeper.rehearsal.drift import find_unknown, list_tables
from gatekeeper.rehearsal.ground import Preparation, open_ground
from gatekeeper.rehearsal.history import history_remedy, run_history
from gatekeeper.rehearsal.stage import Stage, describe, open_stage
from gatekeeper.rehearsal.stairway import ancestors
from gatekeeper.request import Request, Surroundings
from gatekeeper.revisions.changes import read_change_set
from gatekeeper.revisions.discover import choose_project
from gatekeeper.sql import Kind, ParsedStatement, mentions, plain_name, statements_of

T = TypeVar("T")

TARGET_OPTION = "--target-url"

_NAMES_SHOWN = 8
_DUPLICATE_OBJECT = "42710"  # SQLSTATE, manual, appendix A
_LIBRARIES = ("alembic", "sqlalchemy")
_SOURCES = {
    ServerSource.SERVICE: "the server that was given; it may create databases",
    ServerSource.INSTALLED: "installed here, started for each run",
    ServerSource.EMBEDDED: "of the extra `embedded`, started for each run",
}


class Subject(enum.Enum):
    """What is looked at, in this order."""

    REPOSITORY = "Git repository"
    PROJECT = "Alembic project"
    REVISIONS = "Revision files"
    HEADS = "One head"
    POLICY = "Policy"
    SERVER = "PostgreSQL"
    PYTHON = "The project's Python"
    ENVIRONMENT = "env.py"
    URL = "Database URL"
    HISTORY = "History"
    MODELS = "Models"
    TARGET = "Your database"
    TARGET_REVISION = "Its revision"
    TARGET_PENDING = "Its pending revisions"
    TARGET_TYPES = "Its ENUM types"


# What has to be well before a thing can be looked at.
_NEEDS = {
    Subject.REPOSITORY: (),
    Subject.PROJECT: (Subject.REPOSITORY,),
    Subject.REVISIONS: (Subject.PROJECT,),
    Subject.HEADS: (Subject.REVISIONS,),
    Subject.POLICY: (Subject.PROJECT,),
    Subject.SERVER: (),
    Subject.PYTHON: (Subject.PROJECT, Subject.POLICY),
    # Alembic loads all revisions before it does anything.
    Subject.ENVIRONMENT: (Subject.REVISIONS, Subject.POLICY, Subject.SERVER, Subject.PYTHON),
    Subject.URL: (Subject.ENVIRONMENT,),
    Subject.HISTORY: (Subject.ENVIRONMENT,),
    Subject.MODELS: (Subject.HISTORY,),
    Subject.TARGET: (),
    Subject.TARGET_REVISION: (Subject.TARGET, Subject.ENVIRONMENT),
    Subject.TARGET_PENDING: (Subject.TARGET_REVISION,),
    Subject.TARGET_TYPES: (Subject.TARGET_REVISION, Subject.HISTORY),
}
_OF_TARGET = (Subject.TARGET_REVISION, Subject.TARGET_PENDING, Subject.TARGET_TYPES)


class _Problem(Exception):
    """What a look ended with; carries what is wrong, what to do and whose affair it is."""

    def __init__(
        self, detail: str, remedy: str, exit_code: ExitCode = ExitCode.UNDETERMINED
    ) -> None:
        super().__init__(detail)
        self.detail, self.remedy, self.exit_code = detail, remedy, exit_code


@dataclass(frozen=True)
class _Seen(Generic[T]):
    """What a look gave, and its line; `hint` is for what is well and lacks something else."""

    value: T
    detail: str
    hint: str | None = None


class _Chart:
    """The diagnoses so far."""

    def __init__(self) -> None:
        self._noted: dict[Subject, Diagnosis] = {}

    def look(self, subject: Subject, step: Callable[[], _Seen[T]]) -> T | None:
        """Take a step and return what it gave; None where it met a problem."""
        try:
            seen = step()
        except MissingModule as error:
            is_ours = error.module.partition(".")[0] in _LIBRARIES
            self._note_error(Subject.PYTHON if is_ours else subject, error)
        except (ConfigError, DatabaseError, ProbeError) as error:
            self._note_error(subject, error)
        except _Problem as error:
            self._note(subject, Condition.PROBLEM, error.detail, error.remedy, error.exit_code)
        else:
            self._note(subject, Condition.OK, seen.detail, seen.hint)
            return seen.value
        return None

    def pass_over(self, subject: Subject, reason: str) -> None:
        """Note that a thing is not looked at."""
        self._note(subject, Condition.NOT_LOOKED_AT, reason)

    def finish(self, subjects: Sequence[Subject]) -> tuple[Diagnosis, ...]:
        """Return the diagnoses of the subjects; what was not come to says what is in the way."""
        return tuple(
            self._noted.get(subject)
            or Diagnosis(
                subject.value,
                Condition.NOT_LOOKED_AT,
                f"“{self._obstacle(subject).value}” has a problem",
            )
            for subject in subjects
        )

    def _obstacle(self, subject: Subject) -> Subject:
        """Return what kept a subject from being looked at, by way of all that it needs."""
        for need in _NEEDS[subject]:
            noted = self._noted.get(need)
            if noted is None:
                return self._obstacle(need)
            if noted.condition is Condition.PROBLEM:
                return need
        return subject

    def _note_error(self, subject: Subject, error: GatekeeperError) -> None:
        what = error.what if error.where is None else f"{error.where}: {error.what}"
        self._note(subject, Condition.PROBLEM, what, error.fix, error.exit_code)

    def _note(
        self,
        subject: Subject,
        condition: Condition,
        detail: str,
        remedy: str | None = None,
        exit_code: ExitCode = ExitCode.PASS,
    ) -> None:
        self._noted[subject] = Diagnosis(subject.value, condition, detail, remedy, exit_code)


@dataclass(frozen=True)
class _Source:
    """The project as its files tell it; `changes` is None where they cannot be read."""

    repository: Repository
    tree: Tree
    project: Project
    changes: ChangeSet | None
    rules: _Rules | None


@dataclass(frozen=True)
class _Python:
    """The Python that runs the revisions; `lacking` is why it is not the project's."""

    interpreter: Interpreter
    lacking: ProbeError | None = None


@dataclass(frozen=True)
class _Rules:
    """What the policy says of the project, None of it unknown to this version."""

    settings: ProjectSettings
    preparation: Preparation
    hook: Hook | None


@dataclass(frozen=True)
class _Migrated:
    """Empty databases after the whole history, and how they got there."""

    databases: Databases
    steps: tuple[Step, ...]
    snapshots: tuple[Snapshot, ...]


def examine(
    request: Request, target_url: str | None, surroundings: Surroundings
) -> tuple[Diagnosis, ...]:
    """Return what was found, in the order in which the main job needs it.

    `target_url` is the user's own database, which is only read.
    """
    chart = _Chart()
    with contextlib.ExitStack() as stack:
        source = _examine_files(chart, request)
        surroundings.progress("Starting PostgreSQL")
        root = None if source is None else source.repository.root
        hidden = private_folders(root, surroundings.environ)
        server = chart.look(
            Subject.SERVER,
            lambda: _see_server(
                stack.enter_context(open_server(request.database_url, hidden=hidden))
            ),
        )
        stage = None
        if source is not None:
            stage = _examine_environment(chart, stack, request, surroundings, source, server)
        changes = None if source is None else source.changes
        migrated = None
        if stage is not None and changes is not None:
            surroundings.progress("Running the history on an empty database")
            migrated = _examine_runs(chart, stage, changes)
        if target_url is None:
            chart.pass_over(Subject.TARGET, f"no `{TARGET_OPTION}` is given")
            return chart.finish([each for each in Subject if each not in _OF_TARGET])
        surroundings.progress("Looking at your database")
        target = chart.look(Subject.TARGET, lambda: _see_target(target_url))
        if stage is not None and changes is not None and target is not None:
            _examine_target(chart, target, stage, changes, migrated)
    return chart.finish(tuple(Subject))


def exit_code(diagnoses: Sequence[Diagnosis]) -> ExitCode:
    """Return the exit code of the whole: a migration at fault counts before what is unknown."""
    codes = {each.exit_code for each in diagnoses}
    order = (ExitCode.ASKED_WRONGLY, ExitCode.FAIL, ExitCode.UNDETERMINED)
    return next((code for code in order if code in codes), ExitCode.PASS)


# --- Files ---------------------------------------------------------------------------


def _examine_files(chart: _Chart, request: Request) -> _Source | None:
    files = chart.look(Subject.REPOSITORY, lambda: _see_repository(request))
    if files is None:
        return None
    repository, tree = files
    project = chart.look(Subject.PROJECT, lambda: _see_project(request, repository, tree))
    if project is None:
        return None
    changes = chart.look(Subject.REVISIONS, lambda: _see_revisions(repository, project, tree))
    if changes is not None:
        chart.look(Subject.HEADS, lambda: _see_heads(changes))
    rules = chart.look(Subject.POLICY, lambda: _see_policy(request, repository, project, tree))
    return _Source(repository, tree, project, changes, rules)


def _see_repository(request: Request) -> _Seen[tuple[Repository, Tree]]:
    repository = find_repository(request.directory)
    tree = open_tree(repository, None)
    base = choose_base(repository, request.base, request.event_base, None)
    told = "there is no commit yet" if base is None else f"a change is compared with `{base.name}`"
    return _Seen((repository, tree), told)


def _see_project(request: Request, repository: Repository, tree: Tree) -> _Seen[Project]:
    project = choose_project(
        tree,
        relative_folder(repository, request.directory),
        request.project,
        request.config,
        _one_section(request.section),
    )
    told = f"`{project.script_location}`"
    return _Seen(project, told if project.config is None else f"{told}, by `{project.config}`")


def _one_section(sections: tuple[str, ...]) -> str | None:
    if len(sections) > 1:
        raise ConfigError(
            "several sections are given, and the doctor looks at one history",
            where="--section",
            fix="Run it once for each section.",
        )
    return sections[0] if sections else None


def _see_revisions(repository: Repository, project: Project, tree: Tree) -> _Seen[ChangeSet]:
    """Return the whole history: what is new is of no account here."""
    changes = read_change_set(repository, project, None, tree, audit=True)
    if changes.problems:
        told = [f"{p.path}:{p.line}: {p.message}" for p in changes.problems[:_NAMES_SHOWN]]
        remedies = dict.fromkeys(p.remedy for p in changes.problems[:_NAMES_SHOWN])
        raise _Problem(" ".join(told), "\n\n".join(remedies), ExitCode.FAIL)
    return _Seen(changes, _count(len(changes.head_history), "revision"))


def _see_heads(changes: ChangeSet) -> _Seen[None]:
    for finding in multiple_heads.find(CheckContext(changes, None, {})):
        if isinstance(finding, Finding):
            raise _Problem(finding.message, finding.remedy, ExitCode.FAIL)
    return _Seen(None, _listed(changes.head_heads) or "the history is empty")


def _see_policy(
    request: Request, repository: Repository, project: Project, tree: Tree
) -> _Seen[_Rules]:
    root = repository.root
    file = request.policy or find_policy(root / project.path, root)
    policy = load_policy(file, KNOWN, root if request.policy is None else None)
    hook = read_project_hook(tree, policy.project)
    preparation = read_preparation(request, repository, policy.project, hook)
    told = "the built-in `recommended`" if file is None else f"`{file.name}`"
    return _Seen(_Rules(policy.project, preparation, hook), told)


# --- What runs -----------------------------------------------------------------------


def _see_server(server: Server) -> _Seen[Server]:
    return _Seen(server, f"{server.info.version}, {_SOURCES[server.info.source]}")


def _examine_environment(
    chart: _Chart,
    stack: contextlib.ExitStack,
    request: Request,
    surroundings: Surroundings,
    source: _Source,
    server: Server | None,
) -> Stage | None:
    """Return the stage on which the project has come up; it lasts as long as the stack."""
    rules = source.rules
    if rules is None:
        return None
    python = chart.look(
        Subject.PYTHON, lambda: _see_interpreter(request, surroundings, source, rules)
    )
    if python is None or server is None or source.changes is None:
        return None
    surroundings.progress("Starting the project's environment")
    directory = stack.enter_context(open_run_directory("gatekeeper-run-"))
    directory.chmod(0o711)  # the account of the probe passes through it

    def usual(name: str) -> Launch:
        checkout = copy_files(source.tree, directory / name, rules.hook)
        root = source.repository.root
        launch = Launch(python.interpreter, checkout, source.project, root, hook=rules.hook)
        return with_settings(launch, request, rules.settings, surroundings)

    def launch() -> Launch:
        settled = usual("head")
        return settled if python.lacking is None else without_env(settled, python.lacking)

    def open_prepared(changes: ChangeSet) -> Stage:
        ground = stack.enter_context(
            open_ground(server, rules.preparation, lambda: usual("bootstrap"))
        )
        ground.stamp = resolve_stamp(rules.preparation, *base_of(changes))
        stage = stack.enter_context(open_stage(ground, launch))
        refuse_bootstrap(changes, stage)
        return stage

    changes = source.changes
    stage = chart.look(Subject.ENVIRONMENT, lambda: _see_stage(open_prepared(changes)))
    if stage is not None and stage.probe.is_plain:
        chart.pass_over(Subject.URL, _WITHOUT_ENV)
        chart.pass_over(Subject.MODELS, _WITHOUT_ENV)
    elif stage is not None:
        told = stage.probe.facts.notes[0]  # now with the versions of its libraries
        chart.look(Subject.PYTHON, lambda: _Seen(None, told))
        chart.look(Subject.URL, lambda: _see_url(stage, rules.settings, surroundings.environ))
    return stage


def _see_interpreter(
    request: Request, surroundings: Surroundings, source: _Source, rules: _Rules
) -> _Seen[_Python]:
    try:
        interpreter = choose_interpreter(
            request,
            surroundings,
            source.repository,
            source.tree,
            source.project,
            rules.settings,
        )
    except ProbeError as error:
        if not rules.settings.without_dependencies:
            raise
        told = f"{error.brief}; the revisions run without env.py, as the policy allows"
        return _Seen(_Python(stand_in(), error), told, error.fix)
    return _Seen(_Python(interpreter), f"{interpreter.path}: {interpreter.reason}")


_WITHOUT_ENV = "env.py does not run without the project's dependencies"


def _see_stage(stage: Stage) -> _Seen[Stage]:
    """Say what had to be done for env.py; the first note is the interpreter's."""
    told = "; ".join(stage.probe.facts.notes[1:]) or "it comes up as it is"
    return _Seen(stage, told, _to_save(stage.learned))


def _to_save(learned: Learned) -> str | None:
    if learned == Learned():
        return None
    from gatekeeper.policy.saving import render_block  # few projects need it, and slow to load

    lines = [f"    {line}" for line in render_block(learned).splitlines()]
    told = f"With this in `{FILE_NAME}` nothing of it has to be found out again:\n"
    return "\n".join([told, *lines])


def _see_url(stage: Stage, settings: ProjectSettings, environ: Mapping[str, str]) -> _Seen[None]:
    """Say whether `alembic` itself would know where to go; a rehearsal does without."""
    saved = [name for name, text in settings.env.items() if names_database(text)]
    variables = [*saved, *stage.probe.learned.env]
    unset = [name for name in variables if name not in environ]
    if unset:
        example = "postgresql://USER:PASSWORD@localhost:5432/NAME"
        exports = [f"    export {n}={example if n.endswith('URL') else '…'}" for n in unset]
        return _Seen(
            None,
            f"{_listed(unset)} is unset: a rehearsal fills it, `alembic` on your own database "
            "needs it",
            "\n".join(["For your own database, here or in `.env`:\n", *exports]),
        )
    if not variables and any(o.database is None for o in stage.probe.facts.databases):
        return _Seen(
            None,
            "none is set: a rehearsal fills it, `alembic` on your own database needs it",
            "Set `sqlalchemy.url` in the configuration file, or let env.py take it from a "
            'variable:\n\n    config.set_main_option("sqlalchemy.url", '
            'os.environ["DATABASE_URL"])',
        )
    return _Seen(None, "it is set; a rehearsal goes to a database of its own instead")


def _examine_runs(chart: _Chart, stage: Stage, changes: ChangeSet) -> _Migrated | None:
    migrated = chart.look(Subject.HISTORY, lambda: _see_history(stage, changes))
    has_env = not stage.probe.is_plain
    if has_env and (migrated is not None or not stage.probe.facts.has_target_metadata):
        chart.look(Subject.MODELS, lambda: _see_models(stage, migrated))
    return migrated


def _see_history(stage: Stage, changes: ChangeSet) -> _Seen[_Migrated]:
    if stage.ground.preparation.from_models:
        databases, tables = create_models(stage, changes.head_heads)
        told = f"none of it ran: the models made {_count(tables, 'table')}"
        return _Seen(_Migrated(databases, (), stage.snapshot(databases)), told)
    stood_for = find_stood_for(stage, changes.head_history)
    revisions = tuple(r for r in changes.head_history if r.revision not in stood_for)
    steps: tuple[Step, ...] = ()
    if not revisions:
        databases = stage.new_databases()
    else:
        databases, ran = run_history(stage, stage, revisions, is_told=True)
        steps = tuple(step for on_one in ran.steps for step in on_one)
        if ran.failure is not None:
            raise _failed(stage, ran.failure, steps, revisions)
        if not ran.has_moved:
            raise _Problem(
                "env.py comes to its end, and nothing is committed",
                "Let env.py begin and commit the transaction:\n\n"
                "    with context.begin_transaction():\n        context.run_migrations()",
                ExitCode.FAIL,
            )
    on = "an empty database" if stage.ground.is_bare else "what the bootstrap made"
    told = (
        f"{_count(len(revisions), 'revision')} ran on {on}"
        if revisions or stood_for
        else "there is no revision yet"
    )
    added = stage.added_extensions
    if added:
        told += f"; it needs {_listed(added)}, which was made"
    hint = _to_save(Learned(extensions=added))
    return _Seen(_Migrated(databases, steps, stage.snapshot(databases)), told, hint)


def _failed(
    stage: Stage, failure: StepError, steps: Sequence[Step], revisions: Sequence[Revision]
) -> _Problem:
    """Return why the history does not run, in words of its own for an ENUM type."""
    created = statements_of(failure.sql or "")
    enum_type = next((p for p in created if p.kind is Kind.CREATE_ENUM), None)
    if failure.sqlstate != _DUPLICATE_OBJECT or enum_type is None:
        return _Problem(describe(failure), history_remedy(stage, failure), ExitCode.FAIL)
    plain = plain_name(enum_type.names[0])
    done = [step for step in steps if step.outcome is Outcome.COMPLETED]
    makers = [
        revision.revision
        for revision, seen in _statements(done, revisions)
        if seen.parsed.kind is Kind.CREATE_ENUM and plain_name(seen.parsed.names[0]) == plain
    ]
    made_by = f"; `{makers[-1]}` has made it" if makers else ""
    return _Problem(
        f"{failure.path}:{failure.line}: the ENUM type `{plain}` is created and exists already "
        f"at that point (DuplicateObject){made_by}",
        "Create it once. Where it is there already, only name it:\n\n"
        f"    {_enum_call(enum_type, ', create_type=False')}\n\n"
        "Where it may be there, ask first:\n\n"
        f"    {_enum_call(enum_type)}.create(op.get_bind(), checkfirst=True)",
        ExitCode.FAIL,
    )


def _enum_call(created: ParsedStatement, more: str = "") -> str:
    """Return the type that a CREATE TYPE makes, as it is written in a revision."""
    schema, _, name = plain_name(created.names[0]).rpartition(".")
    place = f", schema={json.dumps(schema)}" if schema else ""
    labels = "".join(f"{json.dumps(label, ensure_ascii=False)}, " for label in created.labels)
    return f"postgresql.ENUM({labels}name={json.dumps(name)}{place}{more})"


def _statements(
    steps: Sequence[Step], revisions: Sequence[Revision]
) -> Iterator[tuple[Revision, Seen]]:
    """Yield what the revisions sent in those of the steps that are theirs."""
    for revision in revisions:
        for step in steps:
            if step.revision == revision.revision:
                for seen in own_statements(revision, step):
                    yield revision, seen


def _see_models(stage: Stage, migrated: _Migrated | None) -> _Seen[None]:
    """Compare the tables of the models with those that the history makes."""
    drifts: tuple[ProbeDrift, ...] = ()
    if migrated is not None:
        drifts = stage.probe.drift(migrated.databases.target).each
    if migrated is None or all(drift.operations is None for drift in drifts):
        raise _Problem(
            "env.py gives no `target_metadata`: autogenerate is blind",
            _IMPORT_MODELS,
            ExitCode.FAIL,
        )
    tables: list[str] = []
    unknown: list[str] = []
    for snapshot, drift in zip(migrated.snapshots, drifts, strict=True):
        own = list_tables(snapshot)
        tables += own
        unknown += find_unknown(own, drift.operations or ())
    if unknown:
        raise _Problem(
            f"`target_metadata` lacks {len(unknown)} of "
            f"{_count(len(tables), 'table')}: autogenerate is blind for {_listed(unknown)}",
            f"{_IMPORT_MODELS}\n\nA table that is to go is dropped by a revision.",
            ExitCode.FAIL,
        )
    return _Seen(
        None, f"autogenerate misses none of {_count(len(tables), 'table')} in `target_metadata`"
    )


_IMPORT_MODELS = """\
Import the modules of all models in env.py, above `target_metadata`; importing `Base` alone
defines no table:

    import YOUR_PACKAGE.models
    target_metadata = YOUR_PACKAGE.models.Base.metadata"""


# --- The user's own database ---------------------------------------------------------


def _see_target(url: str) -> _Seen[Server]:
    server, major = reach_target(url, TARGET_OPTION)
    return _Seen(server, f"PostgreSQL {major}; it is only read")


def _examine_target(
    chart: _Chart,
    target: Server,
    stage: Stage,
    changes: ChangeSet,
    migrated: _Migrated | None,
) -> None:
    facts = stage.probe.facts
    state = chart.look(
        Subject.TARGET_REVISION,
        lambda: _see_version(
            read_target(target, facts.version_table_schema, facts.version_table),
            facts.version_table,
            changes,
        ),
    )
    if state is None:
        return
    pending = _pending(state, changes)
    chart.look(Subject.TARGET_PENDING, lambda: _see_pending(pending, changes))
    if migrated is not None:
        steps = migrated.steps
        chart.look(Subject.TARGET_TYPES, lambda: _see_types(state, steps, pending))


def _see_version(state: TargetState, version_table: str, changes: ChangeSet) -> _Seen[TargetState]:
    heads = " ".join(changes.head_heads)
    tables = [name for kind, name in sorted(state.snapshot.rows) if kind == "table"]
    if not state.versions:
        if tables and changes.head_history:
            raise _Problem(
                f"it has {_count(len(tables), 'table')} and nothing in `{version_table}`: "
                "Alembic would begin with the first revision",
                "If the tables are what the history makes, say so; else name another database:"
                f"\n\n    alembic stamp {heads}",
            )
        return _Seen(state, "nothing is applied yet")
    known = {r.revision for r in changes.head_history}
    unknown = sorted(state.versions - known)
    if unknown:
        raise _Problem(
            f"it is ahead of the repository: it stands at {_listed(unknown)}, which no file has",
            "Fetch the branch that has it, and work on that:\n\n"
            f"    git fetch --all\n    git log --all --oneline -S {shlex.quote(unknown[0])}"
            f" -- {shlex.quote(changes.project.script_location)}\n\n"
            "If no branch has it and the schema is what this history makes, stamp it:\n\n"
            f"    alembic stamp --purge {heads}",
        )
    return _Seen(state, _listed(sorted(state.versions)))


def _pending(state: TargetState, changes: ChangeSet) -> tuple[Revision, ...]:
    """Return what is not applied, in the order in which it would be."""
    history = changes.head_history
    at = [r for r in history if r.revision in (state.versions or ())]
    applied = {r.revision for r in at}.union(*(ancestors(r, history) for r in at))
    return tuple(r for r in history if r.revision not in applied)


def _see_pending(pending: Sequence[Revision], changes: ChangeSet) -> _Seen[None]:
    if not pending:
        return _Seen(None, "none")
    heads = "heads" if len(changes.head_heads) > 1 else "head"
    raise _Problem(
        f"it is not up to date: {_listed(r.revision for r in pending)}",
        f"See where it stands and apply them:\n\n    alembic current\n    alembic upgrade {heads}"
        "\n\nIf the schema has them already, made by hand or by `create_all`, stamp it:\n\n"
        f"    alembic stamp {heads}",
    )


def _see_types(
    state: TargetState, steps: Sequence[Step], pending: Sequence[Revision]
) -> _Seen[None]:
    """Hold what the pending revisions create against the types that are there."""
    there = track_types(state.snapshot.enums, ())
    has_asked = False  # SQLAlchemy's `checkfirst` is a query of pg_type
    for revision, seen in _statements(steps, pending):
        is_creation = seen.parsed.kind is Kind.CREATE_ENUM
        if is_creation and not has_asked and plain_name(seen.parsed.names[0]) in there:
            name = seen.parsed.names[0]
            raise _Problem(
                f"`{revision.revision}` creates the ENUM type `{plain_name(name)}` ("
                f"{seen.statement.path}:{seen.statement.line}), which "
                "is there already: it would end with DuplicateObject",
                "See which columns have the type:\n\n"
                "    SELECT attrelid::regclass, attname FROM pg_attribute"
                f" WHERE atttypid = '{name}'::regtype AND NOT attisdropped;\n\n"
                "If none has, drop it; without CASCADE, which would drop the columns as well:\n\n"
                f"    DROP TYPE IF EXISTS {name};\n\n"
                "Or let the revision ask first, and its columns only name the type:\n\n"
                f"    {_enum_call(seen.parsed)}.create(op.get_bind(), checkfirst=True)\n"
                f"    sa.Column(…, {_enum_call(seen.parsed, ', create_type=False')})",
            )
        there = track_types(there, (seen,))
        has_asked = seen.parsed.kind is Kind.SELECT and mentions(seen.statement.sql, "pg_type")
    return _Seen(None, "none is in the way" if pending else "nothing is pending")


# --- Words ---------------------------------------------------------------------------


def _count(number: int, noun: str) -> str:
    return f"{number} {noun if number == 1 else noun + 's'}"


def _listed(names: Iterable[str]) -> str:
    quoted = [f"`{name}`" for name in names]
    more = len(quoted) - _NAMES_SHOWN
    return ", ".join(quoted[:_NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")
