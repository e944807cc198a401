"""From a pushed tag to a deployed database: the workflow that users call, run by `act`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg2
import pytest
import yaml

from tests.e2e import engine
from tests.e2e.repository import BASE, CLEAN, git, make_releases, tag_event
from tests.e2e.runner import put_workflows, run_act
from tests.github.server import PERSON, GitHubServer

pytestmark = [pytest.mark.container, pytest.mark.slow, pytest.mark.xdist_group("container")]

PASSWORD = "x7-of-the-target"
POLICY = """\
version: 1
environments:
  staging:
    smoke_test: ['test "$GATEKEEPER_TAG" != v1.2.0']
"""
NOTES = (
    CLEAN.partition("def upgrade")[0].replace("b002", "c003").replace("a001", "b002")
    + """\
def upgrade():
    op.create_table("notes", sa.Column("id", sa.Integer, primary_key=True))


def downgrade():
    op.drop_table("notes")
"""
)
RELEASES = {"v1.0.0": BASE, "v1.1.0": CLEAN, "v1.2.0": NOTES}
# The caller, as the README shows it. Its second job proves that the outcome is handed on.
CALLER = """\
on: {push: {tags: ["v*"]}}
permissions: {}
jobs:
  staging:
    permissions: {contents: write, deployments: write}
    uses: ./.github/workflows/deploy.yml
    with:
      environment: staging
    secrets:
      GATEKEEPER_TARGET_URL: ${{ secrets.STAGING_DATABASE_URL }}
  after:
    needs: staging
    runs-on: ubuntu-24.04
    permissions: {}
    steps:
      - run: echo "outcome <$OUTCOME>"
        env:
          OUTCOME: ${{ needs.staging.outputs.outcome }}
"""


@pytest.fixture(scope="module")
def target() -> Iterator[str]:
    """The URL of the database to deploy to, on a server of its own."""
    reason = engine.missing("postgres:17")
    if reason is not None:
        pytest.skip(reason)
    with engine.postgres_server(PASSWORD) as url:
        yield url


def our_workflow(database_url: str) -> str:
    """Return deploy.yml as act can run it.

    Actions of GitHub's cannot be had offline, and act binds the checkout into each job, so
    that files need not be handed on. It knows neither `$/` nor `queue`.
    """
    text = (engine.ROOT / ".github" / "workflows" / "deploy.yml").read_text(encoding="utf-8")
    workflow: dict[Any, Any] = yaml.safe_load(text)
    for job in workflow["jobs"].values():
        del job["services"]
        job.get("concurrency", {}).pop("queue", None)
        job["steps"] = [s for s in job["steps"] if not s["uses"].startswith("actions/")]
        for step in job["steps"]:
            assert step["uses"] == "$/"
            step["uses"] = "./.action"
            step["with"]["database-url"] = database_url
    return yaml.safe_dump({"on": workflow.pop(True), **workflow}, sort_keys=False)


def query(url: str, text: str) -> list[tuple[Any, ...]]:
    connection = psycopg2.connect(url)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(text)
            return cursor.fetchall() if cursor.description else []
    finally:
        connection.close()


class Releases:
    """A repository with its releases, each of which is pushed as a tag in its turn."""

    def __init__(self, folder: Path, image: str, database_url: str, target: str) -> None:
        self.folder, self.path, self.target = folder, folder / "shop", target
        make_releases(self.path, RELEASES, {".gatekeeper.yml": POLICY})
        ours = our_workflow(database_url)
        put_workflows(self.path, image, {"gate.yml": CALLER, "deploy.yml": ours})
        secrets = folder / "secrets"
        secrets.write_text(f"GITHUB_TOKEN=token-of-the-job\nSTAGING_DATABASE_URL={target}\n")
        self.options = ("--secret-file", str(secrets), "--workflows", ".github/workflows/gate.yml")

    def push(self, act: str, github: GitHubServer, tag: str) -> tuple[int, str]:
        """Push a tag; return how the workflow ended and its log."""
        git(self.path, "checkout", "--quiet", tag)
        git(self.path, "clean", "--quiet", "-ffdX", "gatekeeper-report")  # as actions/checkout
        event = tag_event(self.path, tag)
        github.shas[tag] = event["after"]
        github.add_release(PERSON, tag, "Notes.")
        done = run_act(act, self.folder, self.path, "push", event, github.url, self.options)
        log = done.stdout + done.stderr
        assert PASSWORD not in log
        assert not any(PASSWORD in text for text in texts_below(self.path / "gatekeeper-report"))
        assert git(self.path, "status", "--porcelain") == ""
        return done.returncode, log

    def record(self) -> Any:
        path = self.path / "gatekeeper-report" / "record" / "record.json"
        return json.loads(path.read_text(encoding="utf-8"))


def test_pushed_tags_are_rehearsed_and_deployed(
    act: str, image: str, service: str, target: str, github: GitHubServer, tmp_path: Path
) -> None:
    """Two releases, and a third whose smoke test fails: it is taken back, with every row."""
    releases = Releases(tmp_path, image, service, target)
    for number, tag in enumerate(("v1.0.0", "v1.1.0")):
        code, log = releases.push(act, github, tag)
        assert (code, "outcome <deployed>" in log) == (0, True), log
        body = github.releases[number]["body"]
        assert body.startswith("Notes.\n\n<!-- gatekeeper:plan:default:begin -->\n")
        assert (releases.record()["outcome"], releases.record()["tag"]) == ("deployed", tag)
        if number == 0:
            query(target, "INSERT INTO users SELECT generate_series(1, 1000)")
    assert query(target, "SELECT version_num FROM alembic_version") == [("b002",)]
    assert query(target, "SELECT count(*), count(nickname) FROM users") == [(1000, 0)]

    code, log = releases.push(act, github, "v1.2.0")
    assert (code, "outcome <" in log) == (1, False), log
    assert releases.record()["outcome"] == "rolled-back"
    assert query(target, "SELECT version_num FROM alembic_version") == [("b002",)]
    assert query(target, "SELECT count(*) FROM users") == [(1000,)]

    assert [
        (shown["ref"], shown["environment"], [s["state"] for s in github.statuses[shown["id"]]])
        for shown in github.deployments
    ] == [
        ("v1.0.0", "staging", ["in_progress", "success"]),
        ("v1.1.0", "staging", ["in_progress", "success"]),
        ("v1.2.0", "staging", ["in_progress", "failure"]),
    ]
    logs = {s["log_url"] for statuses in github.statuses.values() for s in statuses}
    assert logs == {"https://github.com/octo/shop/actions/runs/1/attempts/1"}


def texts_below(folder: Path) -> Iterator[str]:
    for path in folder.rglob("*"):
        if path.is_file():
            yield path.read_bytes().decode("utf-8", "replace")
