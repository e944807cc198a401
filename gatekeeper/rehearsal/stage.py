"""Where a rehearsal takes place: databases of this run and the probe that acts on them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from gatekeeper.lineage import tips
from gatekeeper.model import Direction, Learned, Outcome, Revision, Step, StepError
from gatekeeper.postgres.databases import Database, create_database, drop_database
from gatekeeper.postgres.observation import (
    OBSERVE,
    Relations,
    find_relations,
    invalid_indexes,
    read_relations,
    read_version_tables,
)
from gatekeeper.postgres.scripts import run_script
from gatekeeper.postgres.servers import Server
from gatekeeper.postgres.snapshot import Snapshot, take_snapshot
from gatekeeper.probe.attempts import Attempt
from gatekeeper.probe.model import Launch, Origin, ProbeRun, RequestedStep, Target
from gatekeeper.probe.runner import Probe, open_probe
from gatekeeper.rehearsal.databases import UNKNOWN, Databases, names_of, seed_of, target_of
from gatekeeper.rehearsal.facts import steps_of, with_postconditions
from gatekeeper.rehearsal.ground import FROM_MODELS, Ground

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class


@dataclass(frozen=True)
class Ran:
    """The steps of one run of env.py, on each of its databases.

    `error` is what env.py raised outside of any step.
    """

    steps: tuple[tuple[Step, ...], ...]
    error: StepError | None

    @property
    def failure(self) -> StepError | None:
        """The first error of the run, None where it ended well."""
        failed = (s.error for steps in self.steps for s in steps if s.outcome is Outcome.FAILED)
        return next(failed, self.error)

    def blamed_steps(self) -> tuple[tuple[Step, ...], ...]:
        """Return the steps, with an error outside of any of them as the last one's."""
        if self.error is None or self.failure is not self.error:
            return self.steps
        return tuple(_blame(steps, self.error) for steps in self.steps)

    @property
    def has_moved(self) -> bool:
        """Whether the version tables show another session what the run did."""
        return all(step.version_moved for steps in self.steps for step in steps)


def _blame(steps: tuple[Step, ...], error: StepError) -> tuple[Step, ...]:
    blamed = max(i for i, s in enumerate(steps) if i == 0 or s.seconds)
    failed = replace(steps[blamed], outcome=Outcome.FAILED, reason=None, error=error)
    return (*steps[:blamed], failed, *steps[blamed + 1 :])


@dataclass
class Stage:
    """One state of the project's code, its probe, and databases to run it on."""

    ground: Ground
    _stack: contextlib.ExitStack
    _probe: Probe | None = field(default=None, repr=False)
    _unused: tuple[Database, ...] = field(default=(), repr=False)
    _left_open: dict[str, Connection] = field(default_factory=dict, repr=False)
    _version_tables: set[str] = field(default_factory=set, repr=False)

    @property
    def server(self) -> Server:
        return self.ground.server

    @property
    def origins(self) -> tuple[Origin, ...]:
        """Where env.py would have gone, for each database that it migrates."""
        return self.probe.facts.databases or (UNKNOWN,)

    @property
    def database_names(self) -> tuple[str, ...]:
        """The names of the databases that env.py would have gone to."""
        return names_of(self.origins)

    @property
    def probe(self) -> Probe:
        assert self._probe is not None
        return self._probe

    @property
    def notes(self) -> tuple[str, ...]:
        """How the project was run, one line each; the first is its interpreter's."""
        ground = self.ground
        needed = {
            "extension": ground.added_extensions,
            "role": ground.added_roles,
            "schema": ground.added_schemas,
        }
        added = (
            f"the history needs the {kind} {name}: made"
            for kind, names in needed.items()
            for name in names
        )
        return (*self.probe.facts.notes, *added, *self.ground.notes)

    @property
    def learned(self) -> Learned:
        is_new = self.ground.is_of_models and not self.ground.preparation.from_models
        return replace(
            self.probe.learned,
            extensions=self.added_extensions,
            bootstrap=FROM_MODELS if is_new else None,
        )

    @property
    def added_extensions(self) -> tuple[str, ...]:
        return self.ground.added_extensions

    def add_extension(self, extension: str) -> None:
        """Let every database from now on have the extension, as if the policy said so."""
        self.ground.add_extension(extension)
        self._unused = ()

    def add_schema(self, name: str) -> None:
        """Let every database from now on have an empty schema."""
        self.ground.add_schema(name)
        self._unused = ()

    def new_databases(self) -> Databases:
        """Return prepared and stamped databases; they last as long as the stage."""
        databases = self.bootstrapped()
        self._unused = ()
        if self.ground.stamp:
            self.probe.stamp(databases.target, self.ground.stamp)
        return databases

    def bootstrapped(self) -> Databases:
        """Return what `new_databases` will return, before it is stamped."""
        self._unused = self._unused or self._create(len(self.origins))
        return Databases(self.origins, self._unused)

    def begin_anew(self) -> None:
        """Forget what was made before the ground took other databases to begin with."""
        self._unused = ()

    def versions(self, databases: Databases) -> frozenset[str]:
        """Return the revisions at which env.py finds databases."""
        return self.probe.heads(databases.target)

    def version_tables(self, databases: Databases) -> frozenset[str]:
        """Return the version tables that hold a revision, in whichever schema they are."""
        filled: set[str] = set()
        for database in databases.each:
            with database.session() as connection:
                found = find_relations(connection, *self._version_tables, "alembic_version")
                filled.update(
                    name
                    for name in found
                    if any(read_version_tables(connection, *name.split(".", 1)) or ())
                )
        return frozenset(filled)

    def clone(self, databases: Databases) -> Databases:
        """Return a copy of databases; it lasts as long as the stage."""
        self._close()
        clones = tuple(create_database(self.server, each) for each in databases.each)
        self.server.roles.join(*(clone.name for clone in clones))
        return replace(databases, each=self._keep(clones))

    def snapshot(self, databases: Databases) -> tuple[Snapshot, ...]:
        """Return each catalog without Alembic's version tables, in whichever schema they are."""
        return tuple(map(self._snapshot, databases.each))

    def _snapshot(self, database: Database) -> Snapshot:
        with contextlib.closing(self._connect(database)) as connection, database.telling():
            ignore = find_relations(connection, *self._version_tables)
            return take_snapshot(connection, ignore, self.server.roles)

    def run(
        self,
        databases: Databases,
        revisions: Sequence[Revision],
        direction: Direction,
        observe: str | None = OBSERVE,
        is_told: bool = True,
        has_limit: bool = True,
    ) -> Ran:
        """Run the revisions in this order in one go and say what could be seen.

        Without `observe` no locks are, without `is_told` not where a statement comes from: what
        only leads up to the base is not judged, and one transaction around a long history holds
        thousands of locks. Without `has_limit` it may take as long as it needs.

        What it saw that with stays open for the snapshot that mostly follows: a new
        connection knows nothing of the catalog, which costs more than to read it.
        """
        self._close()
        with contextlib.ExitStack() as stack:
            stack.callback(self._close)
            looks = [self._look(database) for database in databases.each]
            requested = [RequestedStep(r.revision, direction) for r in revisions]
            answer = self.probe.run(
                databases.target, requested, observe, is_told=is_told, has_limit=has_limit
            )
            answers = answer.each
            ran_well = (s for a in answers for p in a.steps for s in p.statements if not s.failed)
            self.server.claim(s.sql for s in ran_well)
            self._version_tables.update(t.name for one in answers for t in one.version_tables)
            not_started = _why_not_started(answers)
            steps = tuple(
                steps_of(on_one, revisions, look.relations, not_started, self._version_tables)
                for on_one, look in zip(answers, looks, strict=True)
            )
            ran = Ran(steps, answer.error)
            if ran.failure is not None:
                return ran
            steps = tuple(
                self._conclude(look, on_one, told, revisions)
                for look, on_one, told in zip(looks, steps, answers, strict=True)
            )
            stack.pop_all()
        return Ran(steps, None)

    def _look(self, database: Database) -> _Look:
        """Return what is there before a run; the connection is kept."""
        connection = self._left_open[database.name] = database.connect()
        with database.telling():
            return _Look(database, read_relations(connection), set(invalid_indexes(connection)))

    def _conclude(
        self,
        look: _Look,
        steps: tuple[Step, ...],
        answer: ProbeRun,
        revisions: Sequence[Revision],
    ) -> tuple[Step, ...]:
        """Return the steps on a database with what another session sees after them."""
        connection = self._left_open[look.database.name]
        gone = steps[0].direction is Direction.DOWNGRADE
        with look.database.telling():
            versions = [
                each
                for table in answer.version_tables
                for each in read_version_tables(connection, table.schema, table.name)
                or (frozenset(),)
            ]
            return with_postconditions(
                steps,
                versions=versions,
                expected=frozenset() if gone else tips(revisions),
                unexpected=frozenset(s.revision for s in steps) if gone else frozenset(),
                invalid_indexes=sorted(set(invalid_indexes(connection)) - look.invalid_indexes),
            )

    def seed(self, databases: Databases) -> None:
        """Run the seed on each database, or for each that has one the file with its name."""
        seed = self.ground.preparation.seed
        if seed is None:
            return
        for database, name in zip(databases.each, self.database_names, strict=True):
            file = seed_of(seed, name)
            if file == seed or file.is_file():
                run_script(database, file)

    def drop(self, databases: Databases) -> None:
        """Drop databases that are not needed any more before the stage's end."""
        for database in databases.each:
            drop_database(database)

    def _connect(self, database: Database) -> Connection:
        return self._left_open.pop(database.name, None) or database.connect()

    def _close(self) -> None:
        while self._left_open:
            self._left_open.popitem()[1].close()

    def _create(self, count: int = 1) -> tuple[Database, ...]:
        """Return so many prepared databases of one state."""
        return self._keep(self.ground.new_databases(count))

    def _keep(self, databases: tuple[Database, ...]) -> tuple[Database, ...]:
        for database in databases:
            self._stack.callback(drop_database, database)
        return databases


@dataclass(frozen=True)
class _Look:
    """What is in a database before a run."""

    database: Database
    relations: Relations
    invalid_indexes: set[str]


@contextlib.contextmanager
def open_stage(
    ground: Ground, launch: Callable[[], Launch], first: Attempt | None = None
) -> Iterator[Stage]:
    """Yield a stage on which the project's environment has come up; `first` is tried first."""
    with contextlib.ExitStack() as stack:
        stage = Stage(ground, stack)
        stack.callback(stage._close)

        def new_target() -> Target:
            stage._unused = stage._create()
            return target_of(stage._unused[0])

        stage._probe = stack.enter_context(open_probe(launch(), new_target, first))
        stage._version_tables.update(stage.probe.facts.version_tables)
        if len(stage.origins) > 1:
            stage._unused = ()  # what env.py itself does was all done on one
        yield stage


def describe(error: StepError) -> str:
    """Return an error as one sentence with its place."""
    place = f"{error.path}:{error.line}: " if error.path is not None else ""
    return f"{place}{error.type}: {error.message}"


def _why_not_started(runs: Sequence[ProbeRun]) -> str:
    failed = next((s for run in runs for s in run.steps if s.error is not None), None)
    if failed is not None:
        return f"{failed.revision} failed before"
    if not any(run.fn_calls for run in runs):
        return "env.py ran no migrations"
    already = [s.revision for run in runs for s in run.steps if s.already_applied]
    if already:
        named = ", ".join(dict.fromkeys(already))
        return f"{named} counted as applied already when env.py began"
    if runs[0].error is not None:
        return describe(runs[0].error)
    return "env.py ended before"
