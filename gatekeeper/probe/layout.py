"""Where a project's env.py expects to be run: working directory and import paths."""

from __future__ import annotations

from pathlib import Path

from gatekeeper.model import Project


def working_directory(checkout: Path, project: Project) -> Path:
    """Return the folder of the configuration file, or the first above that is no package.

    A package folder as working directory hides modules of the standard library
    (`app/types.py`, `app/logging/`).
    """
    start = checkout / project.path
    if project.config is not None:
        start = (checkout / project.config).parent
    elif project.flask_migrate:
        start = (checkout / project.script_location).parent
    # Flask-Migrate keeps its ini beside env.py, and `flask db` is run one folder up.
    if project.flask_migrate and start == checkout / project.script_location:
        start = start.parent
    return _outside_packages(start, checkout)


def import_paths(checkout: Path, project: Project) -> tuple[Path, ...]:
    """Return the folders to put in front of `sys.path`, none of them a package."""
    working = working_directory(checkout, project)
    env_root = _outside_packages((checkout / project.script_location).parent, checkout)
    candidates = [env_root, working, checkout / project.path, checkout]
    candidates += [folder / "src" for folder in candidates if (folder / "src").is_dir()]
    paths = [folder for folder in candidates if not (folder / "__init__.py").exists()]
    return tuple(dict.fromkeys(paths))


def _outside_packages(folder: Path, checkout: Path) -> Path:
    while (folder / "__init__.py").exists() and folder != checkout:
        folder = folder.parent
    return folder
