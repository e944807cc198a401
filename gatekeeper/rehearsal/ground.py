"""What every ephemeral database begins with: prepared once, then cloned."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from gatekeeper.errors import DatabaseError
from gatekeeper.postgres.databases import Database, create_database, drop_database
from gatekeeper.postgres.owners import hand_over, make_owner
from gatekeeper.postgres.scripts import restore_script
from gatekeeper.postgres.servers import Server, quote
from gatekeeper.probe.bootstrap import ProjectBootstrap, run_bootstrap
from gatekeeper.probe.model import Launch, Target
from gatekeeper.rehearsal.databases import target_of

FROM_MODELS = "models"  # as a bootstrap: what the models of env.py describe


@dataclass(frozen=True)
class Preparation:
    """What every ephemeral database gets before any revision, from the policy.

    `bootstrap` are SQL files and what the project's code does, in this order; after it
    the database is stamped with `stamp`, a revision or `heads`. With `from_models` the
    models of env.py make the base instead of its revisions. `seed` is an SQL file for
    the base once it is reached; `{database}` in its name stands for a database's original
    one. With `is_restricted` all revisions run as a role that owns the database and may no
    more. `places` has file and line of the policy's keys.
    """

    extensions: tuple[str, ...] = ()
    bootstrap: tuple[Path | ProjectBootstrap, ...] = ()
    from_models: bool = False
    stamp: str | None = None
    seed: Path | None = None
    is_restricted: bool = False
    places: Mapping[str, str] = field(default_factory=dict)

    def where(self, key: str) -> str:
        """Return where the policy says it, as exactly as it is known."""
        return self.places.get(key, f"project.{key}")


class Ground:
    """Makes databases that are alike; what prepares them runs when the first is asked for.

    `stamp` is what each of them is still to be stamped with; `notes` says, for people,
    what the databases begin with; `added_extensions` are those that nobody had named.
    """

    def __init__(
        self,
        server: Server,
        preparation: Preparation,
        launch: Callable[[], Launch],
        stack: contextlib.ExitStack,
    ) -> None:
        self.server = server
        self.preparation = preparation
        self.stamp: tuple[str, ...] = ()
        self.notes: tuple[str, ...] = ()
        self.added_extensions: tuple[str, ...] = ()
        self.added_roles: tuple[str, ...] = ()
        self.added_schemas: tuple[str, ...] = ()
        self._launch = launch
        self._stack = stack
        self._templates: tuple[Database, ...] = ()
        self._is_of_models = False
        self._not_from_empty: str | None = None

    @property
    def is_of_models(self) -> bool:
        """Whether the databases begin with what models describe."""
        return self._is_of_models

    @property
    def why_of_models(self) -> str:
        """Why models had to make the base, to be put behind an error; empty without a reason."""
        if self._not_from_empty is None:
            return ""
        return f". The history does not start from an empty database: {self._not_from_empty}"

    @property
    def is_bare(self) -> bool:
        """Whether the databases begin empty."""
        return not self.preparation.bootstrap and not self._is_of_models

    def new_databases(self, count: int) -> tuple[Database, ...]:
        """Return so many prepared databases of one state, which the caller drops."""
        if not self._templates and self.preparation.bootstrap:
            self._templates = (self._prepare(),)
        if not self._templates:
            made = [self._empty() for _ in range(count)]
        else:
            templates = (*self._templates, *(self._templates[-1:] * count))[:count]
            made = [create_database(self.server, template) for template in templates]
        self.server.roles.join(*(database.name for database in made))
        if self.preparation.is_restricted:
            owner = make_owner(self.server)
            made = [d if d.owner is not None else hand_over(d, owner) for d in made]
        return tuple(made)

    def take(self, databases: Sequence[Database], note: str, because: str | None) -> None:
        """Let all further databases begin as these, which models have made.

        `because` is the error of the history that they stand for, None where it was not tried.
        """
        made = [create_database(self.server, database) for database in databases]
        for database in made:
            self._stack.callback(drop_database, database)
        self.server.roles.join(*(database.name for database in made))
        self._templates = tuple(made)
        self._is_of_models = True
        self._not_from_empty = because
        self.stamp = ()
        self.notes = (*self.notes, note)

    def can_add(self, extension: str) -> bool:
        """Whether the server offers an extension that the databases do not have yet."""
        if extension in self.preparation.extensions or self._is_of_models:
            return False
        query = "SELECT FROM pg_catalog.pg_available_extensions WHERE name = %s"
        return bool(self.server.administer(query, extension))

    def add_extension(self, extension: str) -> None:
        """Let every database from now on have the extension, as if the policy said so."""
        self.added_extensions = (*self.added_extensions, extension)
        there = self.preparation.extensions
        self.preparation = replace(self.preparation, extensions=(*there, extension))
        self._templates = ()

    def add_role(self, name: str) -> None:
        """Let the server have a role for as long as the run lasts; it may do nothing."""
        self.added_roles = (*self.added_roles, name)
        try:
            self.server.make_role(name)
        except DatabaseError as error:
            raise DatabaseError(
                f'the role "{name}", which the history needs, cannot be made: {error.what}',
                fix="Let the user of `--database-url` make roles (CREATEROLE), or leave the "
                "option out: a PostgreSQL of gatekeeper's own needs nothing.",
            ) from error

    def add_schema(self, name: str) -> None:
        """Let every database from now on have an empty schema."""
        self.added_schemas = (*self.added_schemas, name)
        self._templates = ()

    def _empty(self) -> Database:
        database = create_database(self.server, None, self.preparation.extensions)
        if self.added_schemas:
            with database.session() as connection, connection.cursor() as cursor:
                for name in self.added_schemas:
                    cursor.execute(f"CREATE SCHEMA IF NOT EXISTS {quote(self.server, name)}")
        return database

    def _prepare(self) -> Database:
        prepared: Database | None = None
        for step in self.preparation.bootstrap:
            before = prepared

            def new_database(before: Database | None = before) -> Database:
                database = self._empty() if before is None else create_database(self.server, before)
                self._stack.callback(drop_database, database)
                return database

            if isinstance(step, Path):
                prepared = restore_script(step, new_database)
            else:
                prepared = self._run(step, new_database)
        assert prepared is not None
        names = (
            f"`{s.name}`" if isinstance(s, Path) else s.name for s in self.preparation.bootstrap
        )
        self.notes = (f"the databases begin with what {', then '.join(names)} makes",)
        return prepared

    def _run(self, step: ProjectBootstrap, new_database: Callable[[], Database]) -> Database:
        made: list[Database] = []

        def new_target() -> Target:
            made.append(new_database())
            return target_of(made[-1])

        run_bootstrap(self._launch(), step, new_target)
        self.server.claim([])
        return made[-1]


@contextlib.contextmanager
def open_ground(
    server: Server, preparation: Preparation, launch: Callable[[], Launch]
) -> Iterator[Ground]:
    """Yield the ground of a rehearsal; `launch` gives the code that a bootstrap runs in."""
    with contextlib.ExitStack() as stack:
        yield Ground(server, preparation, launch, stack)
