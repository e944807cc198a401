"""Where a rehearsal takes place: databases of this run and the probe that acts on them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from gatekeeper.model import Direction, Outcome, Revision, Step, StepError
from gatekeeper.postgres.databases import Database, create_database, drop_database
from gatekeeper.postgres.observation import (
    OBSERVE,
    find_relations,
    invalid_indexes,
    read_relations,
    read_versions,
)
from gatekeeper.postgres.scripts import run_script
from gatekeeper.postgres.servers import Server
from gatekeeper.postgres.snapshot import Snapshot, take_snapshot
from gatekeeper.probe.protocol import Launch, ProbeRun, RequestedStep, Target
from gatekeeper.probe.runner import Probe, open_probe
from gatekeeper.rehearsal.facts import steps_of, tips, with_postconditions

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class


@dataclass(frozen=True)
class Preparation:
    """What every ephemeral database gets before any revision, from the policy.

    `bootstrap` and `seed` are SQL files: the first runs in the empty database, after
    which it is stamped with `stamp`; the second once the base is reached.
    """

    extensions: tuple[str, ...] = ()
    bootstrap: Path | None = None
    stamp: str | None = None
    seed: Path | None = None


@dataclass(frozen=True)
class Ran:
    """The steps of one run of env.py; `error` is what it raised outside of any step."""

    steps: tuple[Step, ...]
    error: StepError | None

    @property
    def failure(self) -> StepError | None:
        """The first error of the run, None where it ended well."""
        failed = (s.error for s in self.steps if s.outcome is Outcome.FAILED)
        return next(failed, self.error)

    def blamed_steps(self) -> tuple[Step, ...]:
        """Return the steps, with an error outside of any of them as the last one's."""
        if self.error is None or any(s.outcome is Outcome.FAILED for s in self.steps):
            return self.steps
        blamed = max(i for i, s in enumerate(self.steps) if i == 0 or s.seconds)
        failed = replace(self.steps[blamed], outcome=Outcome.FAILED, reason=None, error=self.error)
        return (*self.steps[:blamed], failed, *self.steps[blamed + 1 :])

    @property
    def has_moved(self) -> bool:
        """Whether the version table shows another session what the run did."""
        return all(step.version_moved for step in self.steps)


@dataclass
class Stage:
    """One state of the project's code, its probe, and databases to run it on."""

    server: Server
    preparation: Preparation
    _stack: contextlib.ExitStack
    _probe: Probe | None = field(default=None, repr=False)
    _unused: Database | None = field(default=None, repr=False)
    _left_open: tuple[Database, Connection] | None = field(default=None, repr=False)

    @property
    def database_name(self) -> str:
        """The name of the database that env.py would have gone to, ours if it is unknown."""
        names = [o.database for o in self.probe.facts.origins if o.database]
        return names[0] if names else "postgres"

    @property
    def probe(self) -> Probe:
        assert self._probe is not None
        return self._probe

    def new_database(self) -> Database:
        """Return an empty, prepared database; it lasts as long as the stage."""
        if self._unused is not None:
            database, self._unused = self._unused, None
            return database
        database = self._create()
        self._stamp(database)
        return database

    def clone(self, database: Database) -> Database:
        """Return a copy of a database; it lasts as long as the stage."""
        self._close()
        clone = create_database(self.server, database)
        self._stack.callback(drop_database, clone)
        return clone

    def snapshot(self, database: Database) -> Snapshot:
        """Return the catalog without Alembic's version table, in whichever schema it is."""
        with contextlib.closing(self._connect(database)) as connection, database.telling():
            ignore = find_relations(connection, self.probe.facts.version_table)
            return take_snapshot(connection, ignore, self.server.roles)

    def run(
        self,
        database: Database,
        revisions: Sequence[Revision],
        direction: Direction,
        observe: str | None = OBSERVE,
    ) -> Ran:
        """Run the revisions in this order in one go and say what could be seen.

        Without `observe` no locks are: what only leads up to the base is not judged, and
        one transaction around a long history holds thousands of them.

        What it saw that with stays open for the snapshot that mostly follows: a new
        connection knows nothing of the catalog, which costs more than to read it.
        """
        facts = self.probe.facts
        self._close()
        with contextlib.ExitStack() as stack:
            connection = stack.enter_context(contextlib.closing(database.connect()))
            stack.enter_context(database.telling())
            relations = read_relations(connection)
            invalid_before = set(invalid_indexes(connection))
            requested = [RequestedStep(r.revision, direction) for r in revisions]
            answer = self.probe.run(target_of(database), requested, observe)
            sent = (s.sql for step in answer.steps for s in step.statements)
            self.server.claim_roles(sent)
            not_started = _why_not_started(answer)
            steps = steps_of(answer, revisions, relations, not_started, facts.version_table)
            ran = Ran(steps, answer.error)
            if ran.failure is not None:
                return ran
            gone = direction is Direction.DOWNGRADE
            steps = with_postconditions(
                ran.steps,
                versions=read_versions(connection, facts.version_table_schema, facts.version_table)
                or frozenset(),
                expected=frozenset() if gone else tips(revisions),
                unexpected=frozenset(r.revision for r in revisions) if gone else frozenset(),
                invalid_indexes=sorted(set(invalid_indexes(connection)) - invalid_before),
            )
            stack.pop_all()
            self._left_open = (database, connection)
        return Ran(steps, None)

    def seed(self, database: Database) -> None:
        if self.preparation.seed is not None:
            self._run_script(database, self.preparation.seed)

    def _run_script(self, database: Database, script: Path) -> None:
        run_script(database, script)
        self.server.claim_roles([script.read_text(encoding="utf-8", errors="replace")])

    def _connect(self, database: Database) -> Connection:
        if self._left_open is not None and self._left_open[0] is database:
            connection, self._left_open = self._left_open[1], None
            return connection
        return database.connect()

    def _close(self) -> None:
        if self._left_open is not None:
            self._left_open[1].close()
            self._left_open = None

    def _create(self) -> Database:
        database = create_database(self.server, None, self.preparation.extensions)
        self._stack.callback(drop_database, database)
        if self.preparation.bootstrap is not None:
            self._run_script(database, self.preparation.bootstrap)
        return database

    def _stamp(self, database: Database) -> None:
        if self.preparation.stamp is not None:
            self.probe.stamp(target_of(database), [self.preparation.stamp])


@contextlib.contextmanager
def open_stage(
    server: Server, preparation: Preparation, launch: Callable[[], Launch]
) -> Iterator[Stage]:
    """Yield a stage on which the project's environment has come up."""
    with contextlib.ExitStack() as stack:
        stage = Stage(server, preparation, stack)
        stack.callback(stage._close)
        databases: list[Database] = []

        def new_target() -> Target:
            databases.append(stage._create())
            return target_of(databases[-1])

        stage._probe = stack.enter_context(open_probe(launch(), new_target))
        # The environment came up on the last of them; nothing has been run on it yet.
        stage._stamp(databases[-1])
        stage._unused = databases[-1]
        yield stage


def target_of(database: Database) -> Target:
    """Return where a request to the probe goes, once the server's roles are the database's."""
    server = database.server
    server.use_roles_of(database.name)
    return Target(
        host=server.host,
        port=server.port,
        user=server.user,
        password=server.password,
        database=database.name,
        marker=database.marker,
        sslmode=server.parameters.get("sslmode"),
    )


def describe(error: StepError) -> str:
    """Return an error as one sentence with its place."""
    place = f"{error.path}:{error.line}: " if error.path is not None else ""
    return f"{place}{error.type}: {error.message}"


def _why_not_started(run: ProbeRun) -> str:
    failed = next((s for s in run.steps if s.error is not None), None)
    if failed is not None:
        return f"{failed.revision} failed before"
    if run.fn_calls == 0:
        return "env.py ran no migrations"
    return "env.py ended before" if run.error is None else describe(run.error)
