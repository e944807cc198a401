"""A server and marked databases for the probe's tests, and launches of small projects."""

from __future__ import annotations

import itertools
import os
import pwd
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg2
import pytest

from gatekeeper.model import Project
from gatekeeper.probe.protocol import Interpreter, Launch, Target

PROJECTS = Path(__file__).parent.parent / "projects"
BINARIES = Path("/usr/lib/postgresql/15/bin")
# The interpreter whose environment runs the projects; another one tests old libraries.
PYTHON = Path(os.environ.get("PROBE_TEST_PYTHON", sys.executable))

NewTarget = Callable[[], Target]


class ProbeServer:
    """An ephemeral PostgreSQL and a way to look into its databases."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._numbers = itertools.count(1)

    def new_target(self) -> Target:
        name, marker = f"probe_{next(self._numbers)}", secrets.token_hex(8)
        self.execute("postgres", f"CREATE DATABASE {name}")
        self.execute("postgres", f"ALTER DATABASE {name} SET gatekeeper.marker = '{marker}'")
        return Target("127.0.0.1", self.port, "gatekeeper", "secret-word", name, marker)

    def execute(self, database: str, sql: str) -> list[tuple[object, ...]]:
        connection = psycopg2.connect(
            host="127.0.0.1",
            port=self.port,
            user="gatekeeper",
            password="secret-word",
            dbname=database,
        )
        connection.autocommit = True
        try:
            with connection.cursor() as cursor:
                cursor.execute(sql)
                return [] if cursor.description is None else cursor.fetchall()
        finally:
            connection.close()

    def wait_for_end_of_backends(self, database: str) -> None:
        """Return once no session is left; a backend ends a moment after its client."""
        deadline = time.monotonic() + 5
        query = f"SELECT state, query FROM pg_stat_activity WHERE datname = '{database}'"
        while left := self.execute("postgres", query):
            assert time.monotonic() < deadline, left


@pytest.fixture(scope="session")
def probe_server() -> Iterator[ProbeServer]:
    if not BINARIES.is_dir():
        pytest.skip("PostgreSQL 15 is not installed")
    as_user = {}
    if os.geteuid() == 0:
        entry = pwd.getpwnam("postgres")
        as_user = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    folder = Path(tempfile.mkdtemp(prefix="probe-tests-"))
    if as_user:
        os.chown(folder, as_user["user"], as_user["group"])
    data, password = folder / "data", folder / "password"
    password.write_text("secret-word")
    password.chmod(0o644)
    with socket.socket() as probing:
        probing.bind(("127.0.0.1", 0))
        port = probing.getsockname()[1]
    run = [BINARIES / "initdb", "-D", data, "-U", "gatekeeper", "--no-sync", "-E", "UTF8"]
    run += ["--locale=C", "--auth=scram-sha-256", f"--pwfile={password}"]
    subprocess.run(run, check=True, capture_output=True, cwd=folder, **as_user)
    options = ["-c", "fsync=off", "-c", f"unix_socket_directories={folder}", "-p", str(port)]
    options += ["-c", "max_connections=100", "-h", "127.0.0.1"]
    server = subprocess.Popen(
        [BINARIES / "postgres", "-D", data, *options],
        cwd=folder,
        stderr=subprocess.PIPE,
        **as_user,
    )
    assert server.stderr is not None
    for line in server.stderr:
        if b"ready to accept connections" in line:
            break
    server.stderr.close()
    yield ProbeServer(port)
    server.terminate()
    server.wait()
    shutil.rmtree(folder)


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
