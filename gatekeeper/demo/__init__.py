"""A small shop with a history and a risky pull request, as a real git repository.

`shop/` holds what `main` has, `change/` what the pull request adds to it.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from gatekeeper.errors import ConfigError

_FILES = Path(__file__).parent
_IDENTITY = ("-c", "user.name=gatekeeper", "-c", "user.email=gatekeeper@example.org")


def make_demo_repository(directory: Path) -> None:
    """Make the shop's repository in an empty directory, on the branch `ticket-states`."""
    _git(directory, "init", "--quiet", "--initial-branch=main")
    _commit(directory, "shop", "The shop as it runs in production")
    _git(directory, "switch", "--quiet", "--create", "ticket-states")
    _commit(directory, "change", "Rework ticket states")


def _commit(directory: Path, files: str, message: str) -> None:
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(_FILES / files, directory, dirs_exist_ok=True, ignore=ignore)
    _git(directory, "add", "--all")
    _git(directory, *_IDENTITY, "commit", "--quiet", "--no-verify", "--message", message)


def _git(directory: Path, *arguments: str) -> None:
    try:
        subprocess.run(("git", *arguments), cwd=directory, check=True, capture_output=True)
    except FileNotFoundError as error:
        raise ConfigError("git is not installed", fix="Install git and run again.") from error
