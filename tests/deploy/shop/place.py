"""Where the shop runs: its database and its owner, and gatekeeper as a workflow calls it."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psycopg2
from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class

from gatekeeper.postgres.databases import Database
from tests.build_git import GitRepository
from tests.databases import url_of
from tests.deploy.targets import an_owner


@dataclass(frozen=True)
class Place:
    """A repository and the database that its releases are deployed to, with an owner of its own.

    `folder` gets plans, records and the folder of the shop's switch.
    """

    repository: GitRepository
    folder: Path
    url: str = field(repr=False)
    password: str = field(repr=False)
    environment: Mapping[str, str] = field(repr=False)

    @property
    def control(self) -> Path:
        return self.folder / "control"

    def connect(self) -> Connection:
        return psycopg2.connect(self.url)

    @contextlib.contextmanager
    def session(self) -> Iterator[Connection]:
        with contextlib.closing(self.connect()) as connection:
            connection.autocommit = True
            yield connection

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        with self.session() as connection, connection.cursor() as cursor:
            cursor.execute(query)
            return cursor.fetchall()

    def migrate(self, tag: str) -> None:
        """Check a tag out and bring the database there as people did it before."""
        self.repository.git("checkout", "--quiet", tag)
        subprocess.run(
            [sys.executable, "-m", "alembic", "upgrade", "head"],
            cwd=self.repository.root,
            env={**self.environment, "PYTHONPATH": "."},
            check=True,
            capture_output=True,
        )

    def with_variables(self, **variables: str) -> Place:
        """Return the place with these variables in the environment of gatekeeper."""
        return replace(self, environment={**self.environment, **variables})

    def release(self, tag: str) -> subprocess.CompletedProcess[str]:
        """Check a tag out and write its plan."""
        self.repository.git("checkout", "--quiet", tag)
        return self.run("release", "--output", str(self.folder / f"plan-{tag}"))

    def start_deploy(
        self, tag: str, *options: str, record: str | None = None, environment: str = "staging"
    ) -> subprocess.Popen[str]:
        """Start the deploy of a planned release; its record is that of the tag by default."""
        return self.start(
            "deploy",
            *("--environment", environment),
            *("--plan", str(self.folder / f"plan-{tag}" / "plan.json")),
            *("--record", str(self.record_of(record or tag))),
            *options,
        )

    def deploy(
        self, tag: str, *options: str, record: str | None = None, environment: str = "staging"
    ) -> subprocess.CompletedProcess[str]:
        started = self.start_deploy(tag, *options, record=record, environment=environment)
        return _end(started)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "gatekeeper", *arguments],
            cwd=self.repository.root,
            env=dict(self.environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return _end(self.start(*arguments))

    def record_of(self, name: str) -> Path:
        return self.folder / f"record-{name}"

    def read_record(self, name: str) -> Any:
        return json.loads((self.record_of(name) / "record.json").read_text(encoding="utf-8"))


def _end(started: subprocess.Popen[str]) -> subprocess.CompletedProcess[str]:
    output, errors = started.communicate()
    return subprocess.CompletedProcess(started.args, started.returncode, output, errors)


@contextlib.contextmanager
def open_place(
    repository: GitRepository, database: Database, environment: Mapping[str, str], folder: Path
) -> Iterator[Place]:
    """Yield the place; the role that owns the database is no superuser, and goes with it."""
    control = folder / "control"
    control.mkdir()
    with an_owner(database, "shop") as (name, password):
        url = url_of(database, name, password)
        variables = {
            "GATEKEEPER_TARGET_URL": url,
            "DATABASE_URL": url,
            "SHOP_CONTROL": str(control),
            "SHOP_PYTHON": sys.executable,
        }
        yield Place(repository, folder, url, password, {**environment, **variables})
