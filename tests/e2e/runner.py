"""Workflows as `act` runs them, on a stand-in for GitHub's runner."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from tests.e2e import engine

RUNNER = "runner:latest"


def put_workflows(repository: Path, image: str, workflows: Mapping[str, str]) -> None:
    """Put workflows into a checkout where git does not see them, and our action to `.action`.

    The action runs on the image that was built already.
    """
    action = yaml.safe_load((engine.ROOT / "action.yml").read_text(encoding="utf-8"))
    action["runs"]["image"] = f"docker://{image}"
    (repository / ".action").mkdir(exist_ok=True)
    (repository / ".action" / "action.yml").write_text(yaml.safe_dump(action))
    folder = repository / ".github" / "workflows"
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in workflows.items():
        (folder / name).write_text(text)
    (repository / ".git" / "info" / "exclude").write_text(".action\n.github\n")


def run_act(
    act: str,
    folder: Path,
    repository: Path,
    event_name: str,
    event: Mapping[str, Any],
    api_url: str,
    options: Sequence[str] = (),
) -> subprocess.CompletedProcess[str]:
    """Run what the event starts, in the checkout itself."""
    path = folder / "event.json"
    path.write_text(json.dumps(event))
    home = folder / "home"
    home.mkdir(exist_ok=True)
    platforms = [f"--platform={name}={RUNNER}" for name in ("ubuntu-latest", "ubuntu-24.04")]
    command = [
        *(act, event_name, "--eventpath", str(path)),
        # act sets GITHUB_API_URL itself; only its own option overrules that.
        *("--env", f"GITHUB_API_URL={api_url}"),
        *("--bind", "--pull=false", "--network", "host", *platforms, *options),
    ]
    return subprocess.run(
        command,
        cwd=repository,
        env={**os.environ, "HOME": str(home), "XDG_CACHE_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
