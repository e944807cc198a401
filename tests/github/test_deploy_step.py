"""The step of a workflow that deploys: what GitHub shows of it, and what it leaves behind."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from gatekeeper.postgres.databases import Database
from tests.build_git import GitRepository, a_repository
from tests.databases import url_of
from tests.deploy.addresses import Web, serving
from tests.github.server import PERSON, GitHubServer
from tests.github.step import Ended, push_tag
from tests.github.test_commands import commands_obeyed
from tests.live import a_table, live_project, live_revision, server_url

pytestmark = [pytest.mark.postgres, pytest.mark.slow]

V = "migrations/versions"
ADD_EMAIL = 'op.add_column("users", sa.Column("email", sa.Text))'
DROP_EMAIL = 'op.drop_column("users", "email")'
# What a backup needs beside the server is told by tests/deploy; the container has it all.
POLICY = """\
version: 1
attestations:
  - {id: team-told, title: The team was told, required_for: [production], asked: release}
environments:
  staging: {backup: off, health: [{url: "%s", status: 200}]}
  production: {backup: off}
"""
RUN = "https://github.com/octo/shop/actions/runs/99/attempts/1"


@pytest.fixture
def application() -> Iterator[Web]:
    """What is deployed, and asked how it is."""
    with serving() as web:
        web.url("/health", (200, "well"))
        yield web


@pytest.fixture
def shop(tmp_path: Path, application: Web) -> GitRepository:
    """Two releases of a project that has two environments."""
    repository = a_repository(
        tmp_path / "shop",
        {
            **live_project(),
            ".gatekeeper.yml": POLICY % application.url("/health"),
            f"{V}/a001.py": live_revision("a001", None, *a_table("users")),
        },
    )
    repository.git("tag", "v1.0.0")
    repository.commit({f"{V}/a002.py": live_revision("a002", "a001", ADD_EMAIL, DROP_EMAIL)})
    repository.git("tag", "v1.1.0")
    return repository


class Workflow:
    """The steps of a job, one after the other, on one database to deploy to."""

    def __init__(
        self,
        shop: GitRepository,
        github: GitHubServer,
        environment: dict[str, str],
        target: Database,
    ) -> None:
        self.shop, self.github, self.environment, self.target = shop, github, environment, target

    def release(self, tag: str) -> None:
        inputs = {"database-url": self.database_url}
        ended = push_tag(self.shop, self.github, self.environment, tag, inputs)
        assert ended.code == 0, ended.log

    def deploy(
        self,
        tag: str,
        inputs: Mapping[str, str] | None = None,
        meanwhile: Callable[[subprocess.Popen[str]], None] = lambda process: None,
    ) -> Ended:
        given = {"mode": "deploy", "environment": "staging", "target-url": url_of(self.target)}
        given |= {"database-url": self.database_url, **(inputs or {})}
        return push_tag(self.shop, self.github, self.environment, tag, given, meanwhile)

    @property
    def database_url(self) -> str:
        return server_url(self.target.server)

    def versions(self) -> list[str]:
        with self.target.session() as connection, connection.cursor() as cursor:
            cursor.execute("SELECT version_num FROM alembic_version")
            return [name for (name,) in cursor.fetchall()]

    def record(self, ended: Ended) -> Any:
        return json.loads((self.shop.root / ended.outputs["record"]).read_text(encoding="utf-8"))

    def clean(self) -> None:
        """Leave nothing of another release, as actions/checkout does."""
        self.shop.git("clean", "--quiet", "-ffdX")


@pytest.fixture
def workflow(
    shop: GitRepository,
    github: GitHubServer,
    clean_environment: dict[str, str],
    database: Database,
) -> Workflow:
    return Workflow(shop, github, clean_environment, database)


def test_a_release_is_deployed_and_shown(workflow: Workflow, application: Web) -> None:
    workflow.release("v1.0.0")
    hidden = workflow.shop.root / "gatekeeper-report" / ".gitignore"
    hidden.unlink()  # an artifact that is handed on has no hidden files
    ended = workflow.deploy("v1.0.0", {"env": "API_TOKEN=hush-1\nLEVEL=3"})
    assert ended.code == 0, ended.log
    folder = "gatekeeper-report"
    assert ended.outputs == {
        "verdict": "pass",
        "outcome": "deployed",
        "plan": f"{folder}/plan.json",
        "evidence": f"{folder}/evidence.json",
        "record": f"{folder}/record/record.json",
        "summary": f"{folder}/record/record.md",
    }
    record = workflow.record(ended)
    assert (record["outcome"], record["environment"]) == ("deployed", "staging")
    assert workflow.versions() == ["a001"]
    page = (workflow.shop.root / ended.outputs["summary"]).read_text(encoding="utf-8")
    assert ended.summary == page
    (shown,) = workflow.github.deployments
    assert (shown["ref"], shown["environment"]) == ("v1.0.0", "staging")
    names = ("state", "description", "log_url", "environment_url")
    assert [[s[name] for name in names] for s in workflow.github.statuses[2000]] == [
        ["in_progress", "v1.0.0 is being deployed", RUN, application.base],
        ["success", "deployed", RUN, application.base],
    ]
    assert_no_secret_is_told(workflow, ended)


def assert_no_secret_is_told(workflow: Workflow, ended: Ended) -> None:
    """Masked is the whole address and the password; nothing else of the log or files has it."""
    password = workflow.target.server.password
    assert password
    masked = {line for line in ended.log.splitlines() if line.startswith("::add-mask::")}
    url = url_of(workflow.target)
    secrets = (url, password, "token-of-the-job", "hush-1")
    assert {f"::add-mask::{secret}" for secret in secrets} == masked
    shown = [line for line in ended.log.splitlines() if line not in masked]
    assert [line for line in shown if password in line] == []
    for path in (workflow.shop.root / "gatekeeper-report").rglob("*"):
        assert not path.is_file() or password.encode() not in path.read_bytes(), path


def test_the_inputs_count_more_than_the_policy(workflow: Workflow) -> None:
    """A smoke test that fails, and the way back that the step asks for."""
    workflow.release("v1.0.0")
    assert workflow.deploy("v1.0.0").code == 0
    workflow.clean()
    workflow.release("v1.1.0")
    inputs = {"smoke-test": "echo ::error::made up; exit 4", "on-failure": "downgrade"}
    ended = workflow.deploy("v1.1.0", inputs)
    assert (ended.code, ended.outputs["outcome"]) == (1, "rolled-back"), ended.log
    assert ended.outputs["verdict"] == "fail"
    assert workflow.versions() == ["a001"]
    states = [status["state"] for status in workflow.github.statuses[2001]]
    assert states == ["in_progress", "failure"]
    obeyed = commands_obeyed(ended.log)
    errors = [line for line in obeyed if line.startswith("::error")]
    assert len(errors) == 1
    assert errors[0].startswith("::error title=Not deployed%3A rolled-back::smoke-test: ")


def test_a_cancelled_deploy_shows_what_it_came_to(workflow: Workflow) -> None:
    """It is taken up again by the same folder of the record."""
    workflow.release("v1.0.0")
    journal = workflow.shop.root / "gatekeeper-report" / "record" / "journal.jsonl"

    def cancel(process: subprocess.Popen[str]) -> None:
        deadline = time.monotonic() + 120
        while not journal.exists() or '"smoke-test"' not in journal.read_text(encoding="utf-8"):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)

    ended = workflow.deploy("v1.0.0", {"smoke-test": "sleep 1000"}, cancel)
    assert (ended.code, ended.outputs["outcome"]) == (130, "stopped"), ended.log
    assert ended.outputs["verdict"] == "undetermined"
    assert workflow.record(ended)["outcome"] == "stopped"
    assert workflow.github.states() == ["in_progress", "error"]
    assert ended.summary.startswith("# `v1.0.0` on `staging`: stopped\n")
    ended = workflow.deploy("v1.0.0")
    assert (ended.code, ended.outputs["outcome"]) == (0, "deployed"), ended.log
    assert workflow.github.states() == ["in_progress", "error", "in_progress", "success"]


def test_what_people_ticked_in_the_release_lets_it_through(workflow: Workflow) -> None:
    body = workflow.github.add_release(PERSON, "v1.0.0", "Notes.")
    workflow.release("v1.0.0")
    ended = workflow.deploy("v1.0.0", {"environment": "production"})
    assert (ended.code, ended.outputs["outcome"]) == (1, "refused"), ended.log
    assert "The team was told" in ended.summary
    body["body"] = body["body"].replace("- [ ]", "- [x]")
    ended = workflow.deploy("v1.0.0", {"environment": "production"})
    assert (ended.code, ended.outputs["outcome"]) == (0, "deployed"), ended.log
    assert workflow.github.states() == ["in_progress", "failure", "in_progress", "success"]


@pytest.mark.parametrize(
    ("url", "masked"),
    [
        ("postgresql://u:p%40ss@db/shop", ["p%40ss", "p@ss"]),
        ("postgresql://db/shop?user=u&password=hush", ["hush"]),
        pytest.param("postgresql://[db/shop", [], id="no address"),
    ],
)
def test_the_target_is_masked_before_anything_is_done(
    workflow: Workflow, url: str, masked: list[str]
) -> None:
    ended = workflow.deploy("v1.0.0", {"target-url": url, "database-url": ""})
    assert "there is no plan to carry out" in ended.log
    lines = [line for line in ended.log.splitlines() if line.startswith("::add-mask::")]
    secrets = ["token-of-the-job", url, *masked]
    assert lines == [f"::add-mask::{secret.replace('%', '%25')}" for secret in secrets]


@pytest.mark.parametrize(
    ("inputs", "code", "said"),
    [
        pytest.param(
            {},
            2,
            "gatekeeper-report/plan.json: there is no plan to carry out%0ARun the action with "
            "`mode: release` first.",
            id="no plan",
        ),
        pytest.param(
            {"report-dir": "migrations"},
            2,
            "migrations/plan.json: there is no plan",
            id="elsewhere",
        ),
    ],
)
def test_what_cannot_begin_is_said_and_not_shown(
    workflow: Workflow, inputs: dict[str, str], code: int, said: str
) -> None:
    ended = workflow.deploy("v1.0.0", inputs)
    assert (ended.code, ended.outputs) == (code, {"verdict": "undetermined"})
    assert said in ended.log
    assert workflow.github.deployments == []


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        pytest.param(
            {"target-url": ""},
            "`GATEKEEPER_TARGET_URL` does not say",
            id="no target",
        ),
        pytest.param(
            {"environment": "stagin"},
            "the policy knows no environment `stagin`",
            id="no such place",
        ),
    ],
)
def test_what_a_deploy_needs_is_asked_for(
    workflow: Workflow, inputs: dict[str, str], said: str
) -> None:
    workflow.release("v1.0.0")
    ended = workflow.deploy("v1.0.0", inputs)
    assert (ended.code, ended.outputs) == (2, {"verdict": "undetermined"})
    assert said in ended.log
    assert workflow.github.deployments == []


def test_a_deploy_that_github_does_not_show_goes_on(workflow: Workflow) -> None:
    workflow.release("v1.0.0")
    ended = workflow.deploy("v1.0.0", {"github-token": "job-of-fork"})
    assert (ended.code, ended.outputs["outcome"]) == (0, "deployed"), ended.log
    assert "::warning title=GitHub shows nothing of the deploy::" in ended.log
    assert workflow.github.deployments == []
