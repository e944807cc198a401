"""What revisions need of the project, where its dependencies are not installed."""

from __future__ import annotations

import ast
import contextlib
import importlib
import linecache
import os
import types
from collections.abc import Iterator
from typing import Any

from .failures import chain_of, sqlstate_of
from .places import Places

# What SQLAlchemy 2 raises for code of 1.4, and either of them for a name that it has not.
OF_VERSIONS = ("ObjectNotExecutableError", "ArgumentError", "AttributeError", "TypeError")
FIELDS = ("revision", "down_revision", "depends_on", "branch_labels")


def lacks(error: BaseException, places: Places) -> str | None:
    """Return what an error is for want of: a module, a file of the project's, a version.

    None where it is the revision's own doing, or the database's.
    """
    chain = list(chain_of(error))
    if any(sqlstate_of(link) is not None for link in chain):
        return None
    for link in chain:
        if isinstance(link, ImportError) and link.name is not None:
            return link.name
    for link in chain:
        file = places.project_file_of(link)
        if file is not None:
            return file
    if type(error).__name__ in OF_VERSIONS and places.ends_in_library(error):
        return "the project's own versions of SQLAlchemy and Alembic"
    return None


def report(error: BaseException, places: Places, revision: str) -> dict[str, Any] | None:
    """Return what a revision lacks and the line that asks for it."""
    lacking = lacks(error, places)
    place = places.of_traceback(error)
    if lacking is None or place is None:
        return None
    return {
        "revision": revision,
        "lacks": lacking,
        "path": places.relative(place[0]),
        "line": place[1],
        "source": linecache.getline(*place).strip()[:200],
    }


@contextlib.contextmanager
def loading_all(places: Places) -> Iterator[None]:
    """Let Alembic draw its map of revisions of which some cannot be imported.

    Such a one gets its place in the map from its source; whoever runs it gets the error.
    """
    util: Any = importlib.import_module("alembic.util")
    original = util.load_python_file

    def load(folder: Any, filename: Any) -> Any:
        try:
            return original(folder, filename)
        except Exception as error:
            path = os.path.join(str(folder), str(filename))
            if not places.is_revision(path) or lacks(error, places) is None:
                raise
            return _read(path, error)

    util.load_python_file = load
    try:
        yield
    finally:
        util.load_python_file = original


def _read(path: str, error: Exception) -> types.ModuleType:
    with open(path, "rb") as file:
        tree = ast.parse(file.read())
    module = types.ModuleType(os.path.basename(path)[: -len(".py")], ast.get_docstring(tree))
    module.__file__ = path
    for node in tree.body:
        if not isinstance(node, (ast.Assign, ast.AnnAssign)) or node.value is None:
            continue
        for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
            if isinstance(target, ast.Name) and target.id in FIELDS:
                try:
                    setattr(module, target.id, ast.literal_eval(node.value))
                except ValueError:
                    raise error from None
    return module
