"""A workflow that uses the action, run by `act` on a runner's stand-in."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.e2e.repository import (
    CLEAN,
    WITHOUT_DOWNGRADE,
    Repository,
    make_repository,
    pull_request_event,
)
from tests.e2e.runner import put_workflows, run_act
from tests.github.server import GitHubServer

pytestmark = [pytest.mark.container, pytest.mark.slow, pytest.mark.xdist_group("container")]

# The later step proves that outputs and report files reach the job outside the container.
WORKFLOW = """\
on: pull_request
jobs:
  migrations:
    runs-on: ubuntu-latest
    permissions:
      contents: read
      pull-requests: write
    steps:
      - uses: ./.action
        id: gate
        with:
          database-url: {database_url}
          github-token: token-of-the-job
          fail-on: never
      - run: |
          echo "verdict <$VERDICT> changed <$CHANGED> heads <$HEADS> comment <$COMMENT>"
          jq --raw-output '"report " + .verdict' "$REPORT"
        env:
          VERDICT: ${{{{ steps.gate.outputs.verdict }}}}
          CHANGED: ${{{{ steps.gate.outputs.changed }}}}
          HEADS: ${{{{ steps.gate.outputs.head-revisions }}}}
          COMMENT: ${{{{ steps.gate.outputs.comment-url }}}}
          REPORT: ${{{{ steps.gate.outputs.report }}}}
"""


def run_workflow(
    act: str, image: str, folder: Path, repository: Repository, workflow: str, api_url: str
) -> subprocess.CompletedProcess[str]:
    """Run the workflow; the action in it is ours, on the image that was built already."""
    put_workflows(repository.path, image, {"gate.yml": workflow})
    return run_act(
        act, folder, repository.path, "pull_request", pull_request_event(repository), api_url
    )


@pytest.mark.parametrize(
    ("revision", "verdict"),
    [
        pytest.param(CLEAN, "pass", id="clean"),
        pytest.param(WITHOUT_DOWNGRADE, "fail", id="without downgrade"),
    ],
)
def test_a_workflow_uses_the_action(
    act: str,
    image: str,
    service: str,
    github: GitHubServer,
    tmp_path: Path,
    revision: str,
    verdict: str,
) -> None:
    repository = make_repository(tmp_path / "shop", revision)
    workflow = WORKFLOW.format(database_url=service)
    done = run_workflow(act, image, tmp_path, repository, workflow, github.url)
    assert done.returncode == 0, done.stdout + done.stderr
    (comment,) = github.comments
    assert f"verdict <{verdict}> changed <true> heads <b002> comment <{comment['html_url']}>" in (
        done.stdout
    )
    assert f"report {verdict}" in done.stdout
    assert "token-of-the-job" not in done.stdout + done.stderr
    assert comment["body"].startswith("<!-- gatekeeper:default -->\n")
