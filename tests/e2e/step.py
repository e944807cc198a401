"""A workflow step that uses the image, started as the runner of GitHub Actions starts it.

As `ContainerActionHandler` of actions/runner does: as root, in a workspace that belongs to
somebody else, with the runner's temporary folder and parts of it mounted, and every path
that an input or variable begins with written as the container sees it.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from tests.e2e.engine import docker
from tests.e2e.repository import Repository, pull_request_event
from tests.github.server import GitHubServer
from tests.github.step import Ended
from tests.github.test_commands import outputs_read

# The step runs as root; whoever owns the workspace, it must be somebody else.
OWNER = os.geteuid() or 4321

State = dict[str, tuple[int, int, int, bytes]]


def runner_temp(folder: Path) -> Path:
    """Return the runner's temporary folder, which lasts for all steps of a test."""
    return folder / "_temp"


def run_step(
    image: str,
    folder: Path,
    repository: Repository,
    github: GitHubServer,
    *,
    user: int = 0,
    environment: Mapping[str, str] | None = None,
    **inputs: str,
) -> Ended:
    """Run the image on the repository; `inputs` are those of the step, with `_` for `-`."""
    temporary = runner_temp(folder)
    home, workflow, commands = (
        temporary / name for name in ("_github_home", "_github_workflow", "_runner_file_commands")
    )
    for path in (home, workflow):
        path.mkdir(parents=True, exist_ok=True)
    if commands.exists():
        shutil.rmtree(commands)
    commands.mkdir()
    (workflow / "event.json").write_text(json.dumps(pull_request_event(repository)))
    (commands / "output").touch()
    (commands / "summary").touch()
    give_to_owner(repository.path)
    give_to_owner(temporary)
    mounts = {  # the innermost last, as the runner adds them
        repository.path: "/github/workspace",
        temporary: "/github/runner_temp",
        home: "/github/home",
        workflow: "/github/workflow",
        commands: "/github/file_commands",
    }
    variables = {
        "GITHUB_ACTIONS": "true",
        "GITHUB_EVENT_NAME": "pull_request",
        "GITHUB_EVENT_PATH": str(workflow / "event.json"),
        "GITHUB_SHA": repository.head,
        "GITHUB_REF": "refs/pull/7/merge",
        "GITHUB_REPOSITORY": "octo/shop",
        "GITHUB_API_URL": github.url,
        "GITHUB_RUN_ID": "99",
        "GITHUB_WORKSPACE": str(repository.path),
        "GITHUB_OUTPUT": str(commands / "output"),
        "GITHUB_STEP_SUMMARY": str(commands / "summary"),
        "HOME": str(home),
        "RUNNER_TEMP": str(temporary),
        "INPUT_GITHUB-TOKEN": "token-of-the-job",
        **{f"INPUT_{name.replace('_', '-').upper()}": value for name, value in inputs.items()},
        **(environment or {}),
    }
    done = docker(
        "run",
        "--rm",
        "--network=host",
        "--workdir=/github/workspace",
        f"--user={user}",
        *(f"--volume={outside}:{inside}" for outside, inside in mounts.items()),
        *(f"--env={name}={_inside(value, mounts)}" for name, value in variables.items()),
        image,
        check=False,
        seconds=300,
    )
    return Ended(
        code=done.returncode,
        log=done.stdout + done.stderr,
        outputs=outputs_read((commands / "output").read_text(encoding="utf-8")),
        summary=(commands / "summary").read_text(encoding="utf-8"),
    )


def _inside(value: str, mounts: Mapping[Path, str]) -> str:
    for outside, inside in reversed(mounts.items()):
        if value == str(outside) or value.startswith(f"{outside}/"):
            return inside + value.removeprefix(str(outside))
    return value


def give_to_owner(folder: Path) -> None:
    if os.geteuid() != OWNER:
        for path in (folder, *folder.rglob("*")):
            os.chown(path, OWNER, OWNER, follow_symlinks=False)


def state_of(folder: Path, *left_out: str) -> State:
    """Return mode, owner and content of all that lies in a folder, but for what is left out."""
    found = {}
    for path in folder.rglob("*"):
        name = path.relative_to(folder)
        if name.parts[0] in left_out:
            continue
        status = path.lstat()
        content = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
        found[str(name)] = (status.st_mode, status.st_uid, status.st_gid, content)
    return found
