"""Alembic and SQLAlchemy, imported before the project's folders can hide them."""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any

from .installed import version_of


def import_libraries(request: dict[str, Any]) -> None:
    """Import Alembic and SQLAlchemy before the project's folders can hide them.

    Projects have folders called `alembic`, `types` or `logging`.
    """
    sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry) != own_folder()]
    for name, floor in (("alembic", (1, 7)), ("sqlalchemy", (1, 4))):
        module = importlib.import_module(name)
        if version_of(module) < floor:
            wanted = ".".join(str(part) for part in floor)
            raise ImportError(f"{name} {module.__version__} is too old: {wanted} is needed")
    for name in ("alembic.command", "alembic.config", "alembic.script", "alembic.autogenerate"):
        importlib.import_module(name)
    repository, checkout = request["repository"], request["checkout"]
    if repository is not None:  # an editable installation leads to the user's own copy
        sys.path[:] = [moved(entry, repository, checkout) for entry in sys.path]
    # The user's own copy is out of sight, so the interpreter has left its folders out.
    sys.path += [path for path in request["editable_paths"] if path not in sys.path]
    sys.path[:0] = request["import_paths"]


def own_folder() -> str:
    return os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def moved(path: str, repository: str, checkout: str) -> str:
    inside = path == repository or path.startswith(repository + os.sep)
    if not inside or path.startswith(sys.prefix + os.sep):
        return path
    return checkout + path[len(repository) :]
