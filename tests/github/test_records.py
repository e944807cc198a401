"""What GitHub shows of a deploy, and that GitHub has no say in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from gatekeeper.github.deployments import DeploymentState
from gatekeeper.github.records import RecordTexts, ShownDeploy, publish_record
from gatekeeper.model import Verdict
from tests.github.server import Fault, GitHubServer
from tests.github.test_act import a_context
from tests.github.test_client import a_client
from tests.github.test_commands import commands_obeyed, outputs_read
from tests.github.test_deployments import ANNOUNCED

PAGE = "# `v1.2.0` on `staging`: rolled-back\n\n::error::made up by a smoke test\n"


def a_record(workspace: Path, verdict: Verdict, outcome: str, why: str | None) -> RecordTexts:
    record = workspace / "gatekeeper-report" / "record"
    files = {"record": record / "record.json", "summary": record / "record.md"}
    return RecordTexts(verdict, outcome, PAGE, why, files)


@pytest.mark.parametrize(
    ("verdict", "outcome", "why", "log"),
    [
        (Verdict.PASS, "deployed", None, []),
        (
            Verdict.FAIL,
            "rolled-back",
            "smoke-test: it failed",
            ["::error title=Not deployed%3A rolled-back::smoke-test: it failed"],
        ),
        (
            Verdict.UNDETERMINED,
            "stopped",
            None,
            ["::error title=Not deployed%3A stopped::See the record."],
        ),
    ],
)
def test_the_record_is_published(
    tmp_path: Path, verdict: Verdict, outcome: str, why: str | None, log: list[str]
) -> None:
    context = a_context(tmp_path)
    written = publish_record(a_record(context.workspace, verdict, outcome, why), context)
    assert commands_obeyed(written) == ["::group::Record", "::endgroup::", *log]
    assert outputs_read((tmp_path / "output").read_text(encoding="utf-8")) == {
        "verdict": verdict.value,
        "outcome": outcome,
        "record": "gatekeeper-report/record/record.json",
        "summary": "gatekeeper-report/record/record.md",
    }
    assert (tmp_path / "summary").read_text(encoding="utf-8") == PAGE


@pytest.mark.slow
def test_a_deploy_is_shown_while_it_goes_on_and_when_it_has_ended(github: GitHubServer) -> None:
    shown = ShownDeploy(a_client(github))
    assert shown.begin(ANNOUNCED) == ""
    assert github.states() == ["in_progress"]
    assert shown.tell(DeploymentState.SUCCESS, "deployed") == ""
    assert github.states() == ["in_progress", "success"]


def test_without_a_token_nothing_is_shown() -> None:
    shown = ShownDeploy(None)
    assert shown.begin(ANNOUNCED) == ""
    assert shown.tell(DeploymentState.SUCCESS, "deployed") == ""


def test_what_has_not_begun_does_not_end(github: GitHubServer) -> None:
    assert ShownDeploy(a_client(github)).tell(DeploymentState.ERROR, "no plan") == ""
    assert github.requests == []


def test_a_github_that_refuses_is_told_once(github: GitHubServer) -> None:
    shown = ShownDeploy(a_client(github, "job-of-fork"))
    assert shown.begin(ANNOUNCED) == (
        "::warning title=GitHub shows nothing of the deploy::deployment on octo/shop: GitHub "
        "answered 403: Resource not accessible by integration%0AGive the job `permissions: "
        "{deployments: write}`, or the input `github-token`.\n"
    )
    assert shown.tell(DeploymentState.ERROR, "stopped") == ""


@pytest.mark.slow
def test_a_state_that_is_not_shown_is_told(github: GitHubServer) -> None:
    shown = ShownDeploy(a_client(github))
    shown.begin(ANNOUNCED)
    github.faults = [Fault("POST", 503, times=99)]
    assert shown.tell(DeploymentState.FAILURE, "unchanged") == (
        "::warning title=GitHub does not show `failure`::deployment on octo/shop: GitHub answered "
        "503%0AThe deploy goes on without it; the record is in the report folder.\n"
    )
