"""Finds the Python that has a project's dependencies, without running it.

The checkout may hold an interpreter of its author's making; what is found here is only
ever started by `sandbox.py`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from gatekeeper.errors import ConfigError
from gatekeeper.probe.model import Interpreter

ENVIRONMENT_FOLDERS = (".venv", "venv")
POETRY_SECONDS = 30


def find_interpreter(
    project_dir: Path,
    repository_root: Path,
    python_option: str | None,
    environ: Mapping[str, str],
) -> Interpreter | None:
    """Return the first that is there: the option, an environment beside the project."""
    if python_option is not None:
        return _named(python_option, environ)
    for candidate in _candidates(project_dir, repository_root, environ):
        if _is_executable(candidate.path):
            return candidate
    return None


def is_own_active(environ: Mapping[str, str]) -> bool:
    """Tell whether gatekeeper runs in the environment that the person has activated."""
    active = environ.get("VIRTUAL_ENV")
    return active is not None and Path(active).resolve() == Path(sys.prefix).resolve()


def own_interpreter(reason: str) -> Interpreter:
    """Return the one that runs gatekeeper itself."""
    return Interpreter(Path(sys.executable), reason)


def editable_folders(interpreter: Path) -> Iterator[Path]:
    """Yield the folders that editable installations add to an environment's path."""
    for packages in interpreter.parent.parent.glob("lib/python*/site-packages"):
        for file in sorted(packages.glob("*.pth")):
            for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
                if line.startswith("/") and Path(line).is_dir():
                    yield Path(line).resolve()


def _named(option: str, environ: Mapping[str, str]) -> Interpreter:
    path = Path(option)
    if os.sep not in option:
        found = shutil.which(option, path=environ.get("PATH"))
        path = path if found is None else Path(found)
    elif path.is_dir():
        path = _python_of(path)
    if not _is_executable(path):
        raise ConfigError(
            f"there is no interpreter at {path}",
            where=f"--python {option}",
            fix="Give the path of a `python` that has the project's dependencies, such as "
            "`--python .venv/bin/python`.",
        )
    return Interpreter(path.absolute(), "given by --python")


def _candidates(
    project_dir: Path, repository_root: Path, environ: Mapping[str, str]
) -> Iterator[Interpreter]:
    folders = [project_dir, *_between(project_dir, repository_root)]
    for folder in dict.fromkeys(folders):
        for name in ENVIRONMENT_FOLDERS:
            where = "the project" if folder == project_dir else "the repository"
            yield Interpreter(_python_of(folder / name), f"found as {name} of {where}")
    active = environ.get("VIRTUAL_ENV")
    if active is not None and not is_own_active(environ):
        yield Interpreter(_python_of(Path(active)), "the active environment ($VIRTUAL_ENV)")
    for folder in dict.fromkeys(folders):
        if (folder / "poetry.lock").is_file():
            environment = _ask_poetry(folder, environ)
            if environment is not None:
                yield Interpreter(_python_of(environment), "the project's Poetry environment")


def _between(project_dir: Path, repository_root: Path) -> Iterator[Path]:
    """Yield the folders above the project up to the repository's root."""
    for folder in project_dir.parents:
        if folder == repository_root or repository_root in folder.parents:
            yield folder


def _ask_poetry(folder: Path, environ: Mapping[str, str]) -> Path | None:
    """Return the environment that Poetry keeps for a project elsewhere, None without one.

    Plug-ins are off: the checkout could bring its own. So is everything secret.
    """
    poetry = shutil.which("poetry", path=environ.get("PATH"))
    if poetry is None:
        return None
    wanted = ("PATH", "HOME", "LANG", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME")
    places = ("POETRY_VIRTUALENVS_", "POETRY_HOME", "POETRY_CACHE_DIR", "POETRY_CONFIG_DIR")
    passed = {
        name: value for name, value in environ.items() if name in wanted or name.startswith(places)
    }
    try:
        answer = subprocess.run(
            [poetry, "--no-plugins", "--no-interaction", "env", "info", "--path"],
            cwd=folder,
            env=passed,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=POETRY_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return None
    path = answer.stdout.strip()
    return Path(path) if answer.returncode == 0 and path else None


def _python_of(environment: Path) -> Path:
    return (environment / "bin" / "python").absolute()


def _is_executable(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)
