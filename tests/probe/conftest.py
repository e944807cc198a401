"""A server and marked databases for the probe's tests, and launches of small projects."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gatekeeper.model import Project
from gatekeeper.postgres.databases import open_database
from gatekeeper.postgres.servers import Server
from gatekeeper.probe.model import Interpreter, Launch, Target
from gatekeeper.rehearsal.databases import target_of

PROJECTS = Path(__file__).parent.parent / "projects"
# The interpreter whose environment runs the projects; another one tests old libraries.
PYTHON = Path(os.environ.get("PROBE_TEST_PYTHON", sys.executable))

NewTarget = Callable[[], Target]


class ProbeServer:
    """The ephemeral PostgreSQL and a way to look into its databases."""

    def __init__(self, server: Server, databases: contextlib.ExitStack) -> None:
        self.port, self.user, self.password = server.port, server.user, server.password
        self._server = server
        self._databases = databases

    def new_target(self) -> Target:
        return target_of(self._databases.enter_context(open_database(self._server)))

    def execute(self, database: str, sql: str) -> list[tuple[object, ...]]:
        with (
            contextlib.closing(self._server.connect(database)) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute(sql)
            return [] if cursor.description is None else cursor.fetchall()

    @contextlib.contextmanager
    def holding(self, database: str, sql: str) -> Iterator[None]:
        """Keep a session open that has executed a statement."""
        with contextlib.closing(self._server.connect(database)) as connection:
            connection.cursor().execute(sql)
            yield

    def wait_for_end_of_backends(self, database: str) -> None:
        """Return once no session is left; a backend ends a moment after its client."""
        deadline = time.monotonic() + 5
        query = (
            "SELECT state, query FROM pg_stat_activity"
            f" WHERE datname = '{database}' AND pid <> pg_backend_pid()"
        )
        while left := self.execute(database, query):
            assert time.monotonic() < deadline, left


@pytest.fixture
def probe_server(server: Server) -> Iterator[ProbeServer]:
    with contextlib.ExitStack() as databases:
        yield ProbeServer(server, databases)


def a_project(situation: str, **fields: object) -> Project:
    """Return the usual layout: `alembic.ini` beside `migrations/`."""
    values: dict[str, object] = {
        "path": ".",
        "config": "alembic.ini",
        "section": "alembic",
        "script_location": "migrations",
        "version_locations": ("migrations/versions",),
    }
    return Project(**{**values, **fields})  # type: ignore[arg-type]


@pytest.fixture
def launch(tmp_path: Path) -> Callable[..., Launch]:
    def make(
        situation: str, *, environment: dict[str, str] | None = None, **fields: object
    ) -> Launch:
        checkout = tmp_path / situation
        shutil.copytree(
            PROJECTS / situation, checkout, ignore=shutil.ignore_patterns("__pycache__")
        )
        timeout = fields.pop("timeout_seconds", 60.0)
        return Launch(
            interpreter=Interpreter(PYTHON, "the one of the tests"),
            checkout=checkout,
            project=a_project(situation, **fields),
            environment=environment or {},
            environ=dict(os.environ),
            timeout_seconds=timeout,  # type: ignore[arg-type]
        )

    return make
