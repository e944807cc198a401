"""The Flask application that Flask-Migrate's env.py finds as `current_app`."""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
from typing import Any


class NoFlaskApp(LookupError):
    """No application with Flask-Migrate in the whole project."""


def flask_config(config: Any, app: Any) -> None:
    """Give env.py what `flask db` would: the arguments of the application's Migrate."""
    migrate = app.extensions["migrate"]
    configure = getattr(getattr(migrate, "migrate", None), "call_configure_callbacks", None)
    if configure is not None:
        configure(config)


def find_flask_app(launch: dict[str, Any], url: str, notes: list[str]) -> Any:
    """Return a Flask application that has a Migrate, the project's own or a bare one."""
    flask = importlib.import_module("flask")
    default = flask.Flask.default_config
    flask.Flask.default_config = type(default)({**default, "SQLALCHEMY_DATABASE_URI": url})
    modules = flask_modules(launch["import_paths"])
    if launch["flask"] == "bare":
        return bare_app(flask, modules, url, notes)
    cli = importlib.import_module("flask.cli")
    named = os.environ.get("FLASK_APP")
    if named:
        package = re.match(r"(\w+)(?!.*\.py\b)", named)
        if package is not None and importlib.util.find_spec(package.group(1)) is None:
            raise NoFlaskApp(f"FLASK_APP is {named}, and no module {package.group(1)} is there")
        return require_migrate(cli.ScriptInfo(app_import_path=named).load_app())
    error: BaseException | None = None
    for name in modules:
        try:
            app = cli.find_best_app(importlib.import_module(name))
        except cli.NoAppException as no_app:
            error = error or no_app
            continue
        if "migrate" in app.extensions:
            notes.append(f"Flask application found in {name}")
            return app
    raise error or NoFlaskApp("no module makes a Flask application with Flask-Migrate")


def require_migrate(app: Any) -> Any:
    if "migrate" not in app.extensions:
        raise NoFlaskApp("the Flask application of FLASK_APP has no Flask-Migrate")
    return app


def flask_modules(import_paths: list[str]) -> list[str]:
    """Return the names of modules that make a Migrate, an application or a database.

    Tests make applications, too, and need packages that the project does not run with.
    """
    found: list[tuple[int, str]] = []
    for root in import_paths:
        for folder, folders, files in os.walk(root):
            folders[:] = [
                name
                for name in sorted(folders)
                if name not in ("tests", "test")
                and os.path.isfile(os.path.join(folder, name, "__init__.py"))
            ]
            for file in sorted(files):
                is_test = file == "conftest.py" or file.startswith("test_")
                if file.endswith(".py") and not is_test:
                    rank = _flask_rank(os.path.join(folder, file))
                    if rank:
                        found.append((rank, _module_name(root, folder, file)))
    return list(dict.fromkeys(name for _, name in sorted(found)))


def _flask_rank(path: str) -> int:
    with open(path, "rb") as file:
        source = file.read(200_000)
    patterns = (rb"\bMigrate\(", rb"Flask\w*\(", rb"\bcreate_app\b", rb"\bSQLAlchemy\(")
    for rank, pattern in enumerate(patterns, start=1):
        if re.search(pattern, source):
            return rank
    return 0


def _module_name(root: str, folder: str, file: str) -> str:
    parts = [part for part in os.path.relpath(folder, root).split(os.sep) if part != "."]
    if file != "__init__.py":
        parts.append(file[:-3])
    return ".".join(parts)


def bare_app(flask: Any, modules: list[str], url: str, notes: list[str]) -> Any:
    """Return an application of ours around the project's SQLAlchemy object."""
    database_class = importlib.import_module("flask_sqlalchemy").SQLAlchemy
    migrate_class = importlib.import_module("flask_migrate").Migrate
    for name in modules:
        module = importlib.import_module(name)
        for value in list(vars(module).values()):
            if isinstance(value, database_class):
                app = flask.Flask("gatekeeper")
                app.config["SQLALCHEMY_DATABASE_URI"] = url
                value.init_app(app)
                migrate_class(app, value)
                notes.append(f"a bare Flask application was made around {name}")
                return app
    raise NoFlaskApp("no module holds a SQLAlchemy object of Flask-SQLAlchemy")
