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

pytestmark = [pytest.mark.container, pytest.mark.slow]

PASSWORD = "x7-of-the-target"
POLICY = """\
version: 1
environments:
  staging:
    smoke_test: ["echo smoke of $GATEKEEPER_TAG"]
"""
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


def test_a_pushed_tag_is_rehearsed_and_deployed(
    act: str, image: str, service: str, target: str, github: GitHubServer, tmp_path: Path
) -> None:
    repository = tmp_path / "shop"
    releases = {"v1.0.0": BASE, "v1.1.0": CLEAN}
    make_releases(repository, releases, {".gatekeeper.yml": POLICY})
    put_workflows(repository, image, {"gate.yml": CALLER, "deploy.yml": our_workflow(service)})
    secrets = tmp_path / "secrets"
    secrets.write_text(f"GITHUB_TOKEN=token-of-the-job\nSTAGING_DATABASE_URL={target}\n")
    options = ("--secret-file", str(secrets), "--workflows", ".github/workflows/gate.yml")
    for number, tag in enumerate(releases, 1):
        git(repository, "checkout", "--quiet", tag)
        git(repository, "clean", "--quiet", "-ffdX", "gatekeeper-report")  # as actions/checkout
        event = tag_event(repository, tag)
        github.shas[tag] = event["after"]
        release = github.add_release(PERSON, tag, "Notes.")
        done = run_act(act, tmp_path, repository, "push", event, github.url, options)
        log = done.stdout + done.stderr
        assert done.returncode == 0, log
        assert "outcome <deployed>" in log
        assert PASSWORD not in log
        assert release["body"].startswith("Notes.\n\n<!-- gatekeeper:plan:default:begin -->\n")
        assert len(github.deployments) == number
        shown = github.deployments[-1]
        assert (shown["ref"], shown["environment"]) == (tag, "staging")
        statuses = github.statuses[shown["id"]]
        assert [status["state"] for status in statuses] == ["in_progress", "success"]
        assert {status["log_url"] for status in statuses} == {
            "https://github.com/octo/shop/actions/runs/1/attempts/1"
        }
        record = read_record(repository)
        assert (record["outcome"], record["tag"]) == ("deployed", tag)
        assert git(repository, "status", "--porcelain") == ""
        if number == 1:
            query(target, "INSERT INTO users SELECT generate_series(1, 1000)")
    assert query(target, "SELECT version_num FROM alembic_version") == [("b002",)]
    assert query(target, "SELECT count(*), count(nickname) FROM users") == [(1000, 0)]
    assert record["from_revisions"] == ["a001"]
    assert not any(PASSWORD in text for text in texts_below(repository / "gatekeeper-report"))


def read_record(repository: Path) -> Any:
    return json.loads((repository / "gatekeeper-report" / "record" / "record.json").read_text())


def texts_below(folder: Path) -> Iterator[str]:
    for path in folder.rglob("*"):
        if path.is_file():
            yield path.read_bytes().decode("utf-8", "replace")
