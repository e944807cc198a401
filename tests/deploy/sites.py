"""Releases of small projects that are about to be applied to a target."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gatekeeper.deploy.access import open_access, version_tables_of
from gatekeeper.deploy.model import Access, Deployment, TargetState
from gatekeeper.deploy.target import read_state
from gatekeeper.model import Revision
from gatekeeper.policy.model import Environment
from gatekeeper.postgres.servers import Server
from tests.build import a_revision
from tests.deploy.deployments import a_deployment
from tests.deploy.stages import a_stage
from tests.live import live_revision

# What a target at a001 holds, beside the version table.
BASE = (
    "CREATE TABLE users (id integer PRIMARY KEY, name text)",
    "INSERT INTO users SELECT n, 'user ' || n FROM generate_series(1, 5) n",
    "CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY)",
    "INSERT INTO alembic_version VALUES ('a001')",
)


@dataclass(frozen=True)
class Site:
    """A release that is about to be applied to a target at a001.

    `journal` gets the statements, `told` the progress.
    """

    deployment: Deployment
    access: Access
    revisions: tuple[Revision, ...]
    journal: list[dict[str, Any]] = field(default_factory=list)
    told: list[str] = field(default_factory=list)

    def read(self) -> TargetState:
        return read_state(self.deployment.target, version_tables_of(self.access.probe))


@contextlib.contextmanager
def a_site(
    server: Server,
    target: Server,
    folder: Path,
    upgrades: Mapping[str, str | tuple[str, str]],
    files: Mapping[str, str] | None = None,
    **environment: Any,
) -> Iterator[Site]:
    """Yield a release of revisions on top of a001, with the bodies of their functions."""
    names = ("a001", *upgrades)
    bodies = {"a001": ("pass", "pass"), **upgrades}
    revisions = {}
    for down, name in zip((None, *names), names, strict=False):
        body = bodies[name]
        up, back = (body, "pass") if isinstance(body, str) else body
        revisions[f"migrations/versions/{name}.py"] = live_revision(name, down, up, back)
    told: list[str] = []
    with a_stage(server, folder / "checkout", {**revisions, **(files or {})}) as stage:
        deployment = a_deployment(
            folder,
            Environment(**environment),
            target,
            told=told,
            to_revisions=(names[-1],),
        )
        access = open_access(deployment, stage)
        chain = tuple(a_revision(name, down) for down, name in itertools.pairwise(names))
        yield Site(deployment, access, chain, told=told)
