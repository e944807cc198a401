"""The step of a workflow on a pushed tag: the release is rehearsed, its plan is posted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gatekeeper.postgres.servers import Server
from tests.build_git import GitRepository, a_repository
from tests.github.server import PERSON, GitHubServer
from tests.github.step import push_tag
from tests.live import a_table, live_project, live_revision, server_url

pytestmark = [pytest.mark.postgres, pytest.mark.slow]

V = "migrations/versions"
ADD_EMAIL = 'op.add_column("users", sa.Column("email", sa.Text))'
DROP_EMAIL = 'op.drop_column("users", "email")'
POLICY = """\
version: 1
attestations:
  - {id: team-told, title: The team was told, required_for: [staging], asked: release}
"""
BEGIN = "<!-- gatekeeper:plan:default:begin -->"


@pytest.fixture
def shop(tmp_path: Path) -> GitRepository:
    repository = a_repository(
        tmp_path / "shop",
        {
            **live_project(),
            ".gatekeeper.yml": POLICY,
            f"{V}/a001.py": live_revision("a001", None, *a_table("users")),
        },
    )
    repository.git("tag", "v1.0.0")
    repository.commit({f"{V}/a002.py": live_revision("a002", "a001", ADD_EMAIL, DROP_EMAIL)})
    repository.git("tag", "--annotate", "--message", "The second", "v1.1.0")
    repository.commit({f"{V}/a003.py": live_revision("a003", "a002", "1/0")})
    repository.git("tag", "v1.2.0")
    return repository


def test_a_pushed_tag_is_rehearsed_and_its_plan_is_posted(
    shop: GitRepository, server: Server, github: GitHubServer, clean_environment: dict[str, str]
) -> None:
    """What a person ticks in the release's body stays ticked, and is in the evidence."""
    release = github.add_release(PERSON, "v1.1.0", "Notes.")
    inputs = {"database-url": server_url(server)}
    ended = push_tag(shop, github, clean_environment, "v1.1.0", inputs)
    assert ended.code == 0, ended.log
    names = ("verdict", "revisions", "plan", "evidence")
    assert {name: ended.outputs[name] for name in names} == {
        "verdict": "pass",
        "revisions": "a002",
        "plan": "gatekeeper-report/plan.json",
        "evidence": "gatekeeper-report/evidence.json",
    }
    plan = json.loads((shop.root / ended.outputs["plan"]).read_text(encoding="utf-8"))
    assert (plan["tag"], plan["previous"]) == ("v1.1.0", "v1.0.0")
    page = (shop.root / "gatekeeper-report" / "plan.md").read_text(encoding="utf-8")
    assert ended.summary == page
    assert release["body"].startswith(f"Notes.\n\n{BEGIN}\n# Release `v1.1.0`: the database\n")
    box = "The team was told (needed for staging) <!-- gatekeeper:attest:team-told -->"
    assert f"- [ ] {box}" in release["body"]
    assert shop.git("status", "--porcelain") == ""

    release["body"] = release["body"].replace("- [ ]", "- [x]")
    assert push_tag(shop, github, clean_environment, "v1.1.0", inputs).code == 0
    assert f"- [x] {box}" in release["body"]
    assert github.sent("POST") == 0


def test_a_release_that_fails_fails_the_job(
    shop: GitRepository, server: Server, github: GitHubServer, clean_environment: dict[str, str]
) -> None:
    inputs = {"database-url": server_url(server), "mode": "release"}
    ended = push_tag(shop, github, clean_environment, "v1.2.0", inputs)
    assert (ended.code, ended.outputs["verdict"]) == (1, "fail")
    assert ended.summary.startswith("# Release `v1.2.0`: the database\n\nNot to be deployed.")
    assert "### ❌ Migrations: " in ended.summary


def test_the_input_base_names_the_release_before(
    shop: GitRepository, server: Server, github: GitHubServer, clean_environment: dict[str, str]
) -> None:
    inputs = {"database-url": server_url(server), "mode": "release", "base": "v0.9"}
    ended = push_tag(shop, github, clean_environment, "v1.1.0", inputs)
    assert (ended.code, ended.outputs["verdict"]) == (2, "undetermined")
    assert "git knows no tag `v0.9`" in ended.log
