"""Where a project's env.py expects to be run: working directory and import paths."""

from __future__ import annotations

from pathlib import Path

from gatekeeper.model import Project


def working_directory(checkout: Path, project: Project) -> Path:
    """Return the folder that a relative script location starts from, or one above it.

    A script directory with its ini in it (Flask-Migrate makes one) is used from one folder
    up. A package folder as working directory hides modules of the standard library
    (`app/types.py`, `app/logging/`).
    """
    start = checkout / project.path
    if start == checkout / project.script_location:
        start = _above(start, checkout)
    return _outside_packages(start, checkout)


def import_paths(checkout: Path, project: Project) -> tuple[Path, ...]:
    """Return the folders to put in front of `sys.path`, none of them a package."""
    working = working_directory(checkout, project)
    env_root = _outside_packages(_above(checkout / project.script_location, checkout), checkout)
    candidates = [env_root, working, checkout / project.path, checkout]
    candidates += [folder / "src" for folder in candidates if (folder / "src").is_dir()]
    paths = [folder for folder in candidates if not (folder / "__init__.py").exists()]
    return tuple(dict.fromkeys(paths))


def _above(folder: Path, checkout: Path) -> Path:
    return folder if folder == checkout else folder.parent


def _outside_packages(folder: Path, checkout: Path) -> Path:
    while (folder / "__init__.py").exists() and folder != checkout:
        folder = folder.parent
    return folder
