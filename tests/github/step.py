"""`gatekeeper action` as a process: the step of a workflow, without a container."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.build_git import GitRepository
from tests.github.server import GitHubServer
from tests.github.test_commands import outputs_read

EVENTS = Path(__file__).parent / "events"


@dataclass(frozen=True)
class Ended:
    """A step that came to its end, and what it left behind."""

    code: int
    log: str
    outputs: dict[str, str]
    summary: str


def tag_pushed(repository: GitRepository, tag: str) -> dict[str, Any]:
    """Return GitHub's example of a pushed tag, pointed at this one."""
    event: dict[str, Any] = json.loads((EVENTS / "push_tag.json").read_text(encoding="utf-8"))
    commit = repository.git("rev-parse", f"{tag}^{{commit}}")
    event["repository"]["full_name"] = "octo/shop"
    return {**event, "ref": f"refs/tags/{tag}", "after": commit}


def push_tag(
    repository: GitRepository,
    github: GitHubServer,
    environment: Mapping[str, str],
    tag: str,
    inputs: Mapping[str, str],
    meanwhile: Callable[[subprocess.Popen[str]], None] = lambda process: None,
) -> Ended:
    """Run the step on a pushed tag, which is checked out; `inputs` are those of the step.

    `meanwhile` is called with the process once that is started.
    """
    repository.git("checkout", "--quiet", tag)
    event = tag_pushed(repository, tag)
    github.shas[tag] = event["after"]
    folder = repository.root.parent / "runner"
    folder.mkdir(exist_ok=True)
    (folder / "event.json").write_text(json.dumps(event), encoding="utf-8")
    for name in ("output", "summary"):
        (folder / name).write_text("", encoding="utf-8")
    variables = {
        "GITHUB_EVENT_NAME": "push",
        "GITHUB_EVENT_PATH": str(folder / "event.json"),
        "GITHUB_SHA": event["after"],
        "GITHUB_REF": event["ref"],
        "GITHUB_REPOSITORY": "octo/shop",
        "GITHUB_API_URL": github.url,
        "GITHUB_RUN_ID": "99",
        "GITHUB_WORKSPACE": str(repository.root),
        "GITHUB_OUTPUT": str(folder / "output"),
        "GITHUB_STEP_SUMMARY": str(folder / "summary"),
        "INPUT_GITHUB-TOKEN": "token-of-the-job",
        **{f"INPUT_{name.upper()}": value for name, value in inputs.items()},
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "gatekeeper", "action"],
        cwd=repository.root,
        env={**environment, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    with process:
        meanwhile(process)
        log, _ = process.communicate()
    return Ended(
        code=process.returncode,
        log=log,
        outputs=outputs_read((folder / "output").read_text(encoding="utf-8")),
        summary=(folder / "summary").read_text(encoding="utf-8"),
    )
