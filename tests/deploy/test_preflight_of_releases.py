"""Releases as they are rehearsed meet no problem on a database that its owner has upgraded."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gatekeeper.deploy.model import Deployment
from gatekeeper.deploy.plan_file import read_release
from gatekeeper.deploy.preflight import examine_release, examine_target
from gatekeeper.deploy.target import read_state
from gatekeeper.git import open_tree
from gatekeeper.policy.model import Environment
from gatekeeper.postgres.databases import open_database
from gatekeeper.postgres.likeness import find_unlike
from gatekeeper.postgres.servers import Server
from gatekeeper.probe.model import VersionTable
from gatekeeper.releasing import rehearse_release
from gatekeeper.request import Request, Surroundings
from gatekeeper.revisions.changes import read_change_set
from gatekeeper.revisions.discover import choose_project
from tests.build_git import GitRepository
from tests.databases import execute, url_of
from tests.deploy.shop.project import HEADS, TAGS, make_shop
from tests.deploy.targets import an_ordinary_target
from tests.live import NOW, server_url
from tests.servers import on_every_server

pytestmark = [pytest.mark.postgres, pytest.mark.slow, on_every_server()]

# One that adds a column, one that builds an index concurrently, one that rewrites a table.
RELEASES = ("v1.1.0", "v1.2.0", "v2.0.0")
VERSIONS = (VersionTable("public", "alembic_version"),)


def upgrade(shop: GitRepository, url: str, to: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "alembic", "upgrade", to],
        cwd=shop.root,
        env={**os.environ, "DATABASE_URL": url, "PYTHONPATH": "."},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr


def release_of(shop: GitRepository, server: Server, tag: str, folder: Path) -> Path:
    """Write plan and evidence of the release that is checked out; return the plan."""
    folder.mkdir()
    request = Request(directory=shop.root, database_url=server_url(server))
    surroundings = Surroundings(os.environ, NOW, lambda step: None)
    for name, text in rehearse_release(request, tag, None, None, surroundings).files.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder / "plan.json"


def test_the_shop_of_an_ordinary_role(server: Server, tmp_path: Path) -> None:
    shop = make_shop(tmp_path / "shop")
    with open_database(server) as database, an_ordinary_target(database) as target:
        execute(database, f"ALTER ROLE {target.user} SET search_path = public")
        url = url_of(database, target.user, target.password)
        for tag in RELEASES:
            shop.git("checkout", "--quiet", tag)
            upgrade(shop, url, HEADS[TAGS[TAGS.index(tag) - 1]])
            release = read_release(release_of(shop, server, tag, tmp_path / tag))
            tree = open_tree(shop.value, None)
            project = choose_project(tree, ".", None, None, None)
            changes = read_change_set(shop.value, project, None, tree, audit=True)
            said: list[str] = []
            deployment = Deployment(
                release,
                "staging",
                Environment(),
                target,
                tmp_path / "record",
                {},
                said.append,
                lambda: NOW,
            )
            assert examine_release(deployment, changes) == ()
            before = read_state(target, VERSIONS)
            assert examine_target(deployment, shop.value, changes, before) == (), tag
            rewrites = [text for text in said if "anew" in text]
            assert bool(rewrites) is (tag == "v2.0.0")
            upgrade(shop, url, "head")
            assert release.catalog_after is not None
            assert find_unlike(release.catalog_after, read_state(target, VERSIONS).catalog) == ()
