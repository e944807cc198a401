from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from gatekeeper.errors import PublishError
from gatekeeper.github.deployments import (
    Announced,
    DeploymentState,
    begin_deployment,
    tell_state,
)
from tests.github.server import ACTIONS, ANOTHER_APP, Fault, GitHubServer
from tests.github.test_client import a_client

COMMIT = "5" * 40
RUN = "https://github.com/octo/shop/actions/runs/99"
ANNOUNCED = Announced(
    tag="v1.2.0",
    commit=COMMIT,
    environment="staging",
    environment_url="https://staging.example.org",
    run_id="99",
    repository_url="https://github.com/octo/shop",
    log_url=f"{RUN}/attempts/1",
)


def test_a_deployment_is_made(github: GitHubServer) -> None:
    assert begin_deployment(a_client(github), ANNOUNCED) == 2000
    (made,) = github.deployments
    names = ("ref", "sha", "task", "environment", "description", "payload")
    assert {name: made[name] for name in names} == {
        "ref": "v1.2.0",
        "sha": COMMIT,
        "task": "deploy",
        "environment": "staging",
        "description": "Migrations of v1.2.0",
        "payload": {"run": "99"},
    }


def test_a_run_has_one_deployment(github: GitHubServer) -> None:
    for _ in range(2):
        assert begin_deployment(a_client(github), ANNOUNCED) == 2000
    assert len(github.deployments) == 1


def test_the_deployment_of_a_job_that_is_bound_to_an_environment_is_taken(
    github: GitHubServer,
) -> None:
    """GitHub makes one by itself; only its log says which run it is of."""
    own = github.add_deployment(ACTIONS, "v1.2.0", environment="staging", payload="")
    github.add_status(ACTIONS, own["id"], state="in_progress", log_url=f"{RUN}/job/7")
    assert begin_deployment(a_client(github), ANNOUNCED) == own["id"]
    assert len(github.deployments) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("deployment", "log_url"),
    [
        pytest.param({}, f"{RUN}0/job/7", id="another run"),
        pytest.param({}, "", id="no log"),
        pytest.param({"environment": "production"}, f"{RUN}/job/7", id="another environment"),
        pytest.param({"payload": {"run": "98"}}, None, id="another run of ours"),
        pytest.param({"payload": "99"}, None, id="another's text"),
    ],
)
def test_anothers_deployment_is_left_alone(
    github: GitHubServer, deployment: dict[str, Any], log_url: str | None
) -> None:
    fields = {"environment": "staging", **deployment}
    other = github.add_deployment(ANOTHER_APP, "v1.2.0", **fields)
    if log_url is not None:
        github.add_status(ANOTHER_APP, other["id"], state="in_progress", log_url=log_url)
    assert begin_deployment(a_client(github), ANNOUNCED) == 2001


def test_the_deployment_of_another_commit_is_left_alone(github: GitHubServer) -> None:
    github.shas["v1.1.0"] = "4" * 40
    github.add_deployment(ACTIONS, "v1.1.0", environment="staging", payload={"run": "99"})
    assert begin_deployment(a_client(github), ANNOUNCED) == 2001


@pytest.mark.slow
def test_a_deployment_whose_answer_was_lost_is_not_made_twice(github: GitHubServer) -> None:
    github.faults = [Fault("POST", 502, performs=True)]
    assert begin_deployment(a_client(github), ANNOUNCED) == 2000
    assert len(github.deployments) == 1


@pytest.mark.slow
@pytest.mark.parametrize("performs", [True, False])
def test_the_states_are_told_once_each(github: GitHubServer, performs: bool) -> None:
    client = a_client(github)
    number = begin_deployment(client, ANNOUNCED)
    tell_state(client, number, ANNOUNCED, DeploymentState.IN_PROGRESS, "Applying")
    github.faults = [Fault("POST", 502, performs=performs, path="/statuses")]
    tell_state(client, number, ANNOUNCED, DeploymentState.FAILURE, f"rolled-back:\n{'x' * 140}")
    assert github.states() == ["in_progress", "failure"]
    names = ("description", "log_url", "environment", "environment_url")
    assert [{name: status[name] for name in names} for status in github.statuses[number]] == [
        {
            "description": description,
            "log_url": f"{RUN}/attempts/1",
            "environment": "staging",
            "environment_url": "https://staging.example.org",
        }
        for description in ("Applying", f"rolled-back: {'x' * 125} …")
    ]


@pytest.mark.slow
def test_a_state_needs_no_address_of_what_is_deployed(github: GitHubServer) -> None:
    announced = dataclasses.replace(ANNOUNCED, environment_url=None)
    client = a_client(github)
    tell_state(
        client, begin_deployment(client, announced), announced, DeploymentState.SUCCESS, "deployed"
    )
    assert github.statuses[2000][0]["environment_url"] == ""


def test_a_token_that_may_not_deploy_is_told(github: GitHubServer) -> None:
    with pytest.raises(PublishError) as caught:
        begin_deployment(a_client(github, "job-of-fork"), ANNOUNCED)
    assert str(caught.value) == (
        "deployment on octo/shop: GitHub answered 403: Resource not accessible by integration\n"
        "Give the job `permissions: {deployments: write}`, or the input `github-token`."
    )


def test_a_github_that_fails_is_told(github: GitHubServer) -> None:
    github.faults = [Fault("GET", 503, times=99)]
    with pytest.raises(PublishError) as caught:
        begin_deployment(a_client(github), ANNOUNCED)
    assert str(caught.value) == (
        "deployment on octo/shop: GitHub answered 503\n"
        "The deploy goes on without it; the record is in the report folder."
    )
