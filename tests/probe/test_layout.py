"""Working directory and import paths of a project."""

from __future__ import annotations

from pathlib import Path

import pytest

from gatekeeper.model import Project
from gatekeeper.probe.layout import import_paths, working_directory


def a_checkout(root: Path, *files: str) -> Path:
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).touch()
    return root


@pytest.mark.parametrize(
    ("files", "fields", "working", "paths"),
    [
        pytest.param(
            ["alembic.ini", "migrations/env.py"],
            {"config": "alembic.ini", "script_location": "migrations"},
            ".",
            ["."],
            id="the usual",
        ),
        pytest.param(
            ["services/shop/alembic.ini", "services/shop/migrations/env.py"],
            {
                "path": "services/shop",
                "config": "services/shop/alembic.ini",
                "script_location": "services/shop/migrations",
            },
            "services/shop",
            ["services/shop", "."],
            id="one of several",
        ),
        pytest.param(
            ["shop/__init__.py", "shop/db/__init__.py", "shop/db/alembic.ini", "shop/db/m/env.py"],
            {"path": "shop/db", "config": "shop/db/alembic.ini", "script_location": "shop/db/m"},
            ".",
            ["."],
            id="in a package",
        ),
        pytest.param(
            ["alembic.ini", "src/shop/__init__.py", "src/shop/migrations/env.py"],
            {"config": "alembic.ini", "script_location": "src/shop/migrations"},
            ".",
            ["src", "."],
            id="src folder",
        ),
        pytest.param(
            ["migrations/alembic.ini", "migrations/env.py", "shop/__init__.py"],
            {
                "config": "migrations/alembic.ini",
                "script_location": "migrations",
                "flask_migrate": True,
            },
            ".",
            ["."],
            id="Flask-Migrate",
        ),
        pytest.param(
            ["migrations/alembic.ini", "migrations/env.py", "shop/__init__.py"],
            {"path": "migrations", "config": "migrations/alembic.ini"},
            ".",
            [".", "migrations"],
            id="ini in the script directory",
        ),
        pytest.param(
            ["alembic.ini", "env.py"],
            {"config": "alembic.ini", "script_location": "."},
            ".",
            ["."],
            id="script directory is the repository",
        ),
        pytest.param(
            ["conf/alembic.ini", "migrations/env.py", "shop/__init__.py"],
            {"config": "conf/alembic.ini"},
            ".",
            ["."],
            id="ini in a folder of its own",
        ),
    ],
)
def test_layout(files, fields, working, paths, tmp_path):
    checkout = a_checkout(tmp_path, *files)
    usual = {"path": ".", "section": "alembic", "script_location": "migrations"}
    values = {**usual, "version_locations": (), **fields}
    project = Project(**values)
    assert working_directory(checkout, project) == checkout / working
    assert list(import_paths(checkout, project)) == [checkout / path for path in paths]
