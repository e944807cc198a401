"""A backup's surroundings for tests: who is deployed to, and the project that is rehearsed."""

from __future__ import annotations

import contextlib
import os
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from gatekeeper.deploy.clients import find_clients
from gatekeeper.deploy.model import Deployment
from gatekeeper.policy.model import Backup, BackupMode, Environment
from gatekeeper.postgres.databases import Database
from gatekeeper.postgres.servers import Server
from gatekeeper.probe.interpreter import own_interpreter
from gatekeeper.probe.model import Launch, VersionTable
from gatekeeper.rehearsal.ground import Preparation, open_ground
from gatekeeper.rehearsal.stage import Stage, open_stage
from tests.build import PROJECT
from tests.deploy.deployments import a_deployment
from tests.live import live_project, live_revision

FOLDER = "migrations/versions"
VERSIONS = (VersionTable(None, "alembic_version"),)

# A target at `a001`, and the project that it is of.
SHOP = (
    "CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY)",
    "INSERT INTO alembic_version VALUES ('a001')",
    "CREATE TABLE users (id int PRIMARY KEY, name text)",
    "INSERT INTO users SELECT n, 'user ' || n FROM generate_series(1, 20) n",
)
FILES = {f"{FOLDER}/a001.py": live_revision("a001", None)}


def deploy_to(
    target: Server,
    folder: Path,
    *,
    environ: Mapping[str, str] | None = None,
    told: list[str] | None = None,
    **environment: Any,
) -> Deployment:
    """Return the deployment of `b002` to a target, with the record in a folder."""
    return a_deployment(
        folder,
        Environment(**{"backup": Backup(), **environment}),
        target,
        environ={"PATH": os.environ["PATH"], **(environ or {})},
        told=told,
    )


@contextlib.contextmanager
def a_stage(
    server: Server,
    checkout: Path,
    files: Mapping[str, str],
    preparation: Preparation | None = None,
) -> Iterator[Stage]:
    """Yield a project of these revision files, started on a rehearsal's server."""
    for name, content in {**live_project(), **files}.items():
        assert isinstance(content, str)
        path = checkout / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(content), encoding="utf-8")

    def launch() -> Launch:
        return Launch(own_interpreter("that of the tests"), checkout, PROJECT)

    with (
        open_ground(server, preparation or Preparation(), launch) as ground,
        open_stage(ground, launch) as stage,
    ):
        yield stage


def own_dump(target: Database, options: str) -> Backup:
    """Return the backup of a team whose own command dumps a target with such options."""
    pg_dump = find_clients(target.server.info.major).bin / "pg_dump"
    command = f'{pg_dump} {options} > "$GATEKEEPER_BACKUP_FILE"'
    return Backup(mode=BackupMode.COMMAND, command=command)
