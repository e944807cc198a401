"""How env.py is run: its Config, its Connection, its application."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import re
from collections.abc import Callable, Iterator
from typing import Any

from .flask_app import find_flask_app, flask_config
from .hook import Hook
from .installed import version_of
from .loops import run_in
from .places import Places
from .redirection import Redirection
from .unavailable import loading_all

# How an entry of a mapping is read in source.
ITEM = r"""\s*(?:\.get\(|\.pop\(|\[)\s*["']([\w-]+)["']"""


class Environment:
    """The project's script directory and how its env.py is run.

    The application is imported once and env.py is executed anew for each request, as
    Alembic does it. So are the files of the revisions that a request runs.
    """

    def __init__(self, launch: dict[str, Any], redirection: Redirection, places: Places) -> None:
        self.launch = launch
        self.redirection = redirection
        self.places = places
        self.app: Any = None
        self.hook: Hook | None = None
        self.notes: list[str] = []
        self.version_tables: set[str] = set()  # the names of all that were used
        self._script: Any = None
        self._known_revisions: Any = None

    @property
    def script(self) -> Any:
        return self._script

    @property
    def is_plain(self) -> bool:
        """Whether the env.py is gatekeeper's, for want of the project's dependencies."""
        return self.launch["configure"] is not None

    def prepare(self) -> None:
        """Load the hook, make the application's Flask object where env.py needs one."""
        ignore_commands(self.notes)
        self.load_hook()
        if self.launch["flask"] is not None:
            self.app = find_flask_app(self.launch, self.redirection.url(), self.notes)

    def load_hook(self) -> None:
        if self.launch["hook"] is not None:
            self.hook = Hook(self.launch["hook"])

    def run(self, function: Callable[..., Any], dont_mutate: bool) -> None:
        """Execute env.py; Alembic calls `function(heads, context)` for the steps."""
        os.chdir(self.launch["working_directory"])

        def run_env() -> None:
            run_in(self.launch["loop"], lambda: self._run_here(function, dont_mutate))

        if self.hook is None:
            run_env()
        else:
            self.hook.around(run_env)

    def _run_here(self, function: Callable[..., Any], dont_mutate: bool) -> None:
        config = self._make_config()
        if self._script is None:
            self._make_version_folders()
            script_module = importlib.import_module("alembic.script")
            self._script = script_module.ScriptDirectory.from_config(config)
        environment = importlib.import_module("alembic.runtime.environment")
        application = contextlib.nullcontext() if self.app is None else self.app.app_context()
        with contextlib.ExitStack() as stack:
            stack.enter_context(application)
            if self.launch["gives_connection"]:
                stack.enter_context(self._given_connection(config))
            stack.enter_context(
                environment.EnvironmentContext(
                    config,
                    self._script,
                    fn=function,
                    as_sql=False,
                    starting_rev=None,
                    destination_rev="heads",
                    tag=None,
                    dont_mutate=dont_mutate,
                )
            )
            self._script.run_env()

    def _make_version_folders(self) -> None:
        """Make what git does not keep when it is empty; some Alembics fail without it."""
        for folder in self.launch["version_folders"]:
            with contextlib.suppress(OSError):  # Alembic then says what is not there
                os.makedirs(folder, exist_ok=True)

    def find_versions(self) -> None:
        """Learn the folders of the revisions; env.py may set them at run time."""
        if self.script.revision_map is self._known_revisions:
            return
        with loading_all(self.places) if self.is_plain else contextlib.nullcontext():
            revisions = list(self.script.walk_revisions())
        folders = {os.path.dirname(os.path.realpath(script.path)) for script in revisions}
        self.places.set_version_folders(folders)
        self._known_revisions = self.script.revision_map

    def _make_config(self) -> Any:
        if self.hook is not None and self.hook.alembic_config is not None:
            return self._completed(self.hook.make_config())
        launch = self.launch
        config_class = importlib.import_module("alembic.config").Config
        file, section = launch["config"], launch["section"]
        options: dict[str, Any] = {"ini_section": section}
        if file is not None and file.endswith(".toml"):
            if version_of(importlib.import_module("alembic")) >= (1, 16):
                options["toml_file"] = file
            file = None
        config = config_class(file, **options)
        if launch["flask"] is not None and self.app is not None:
            flask_config(config, self.app)
        config.set_main_option("script_location", escape(launch["script_location"]))
        if launch["version_locations"]:
            config.set_main_option("path_separator", "os")
            config.set_main_option("version_path_separator", "os")
            joined = os.pathsep.join(launch["version_locations"])
            config.set_main_option("version_locations", escape(joined))
        config.cmd_opts = self._command_options()
        if self.is_plain:
            config.attributes["configure"] = launch["configure"]
        self._fill_urls(config)
        return config

    def _completed(self, config: Any) -> Any:
        """Return the hook's Config with what it leaves out."""
        if not config.get_main_option("script_location"):
            config.set_main_option("script_location", escape(self.launch["script_location"]))
        if config.cmd_opts is None:
            config.cmd_opts = self._command_options()
        return config

    def _command_options(self) -> argparse.Namespace:
        return argparse.Namespace(
            cmd=(importlib.import_module("alembic.command").upgrade, ["revision"], []),
            x=[f"{name}={value}" for name, value in self.launch["arguments"].items()],
            sql=False,
            tag=None,
            name=self.launch["section"],
            revision="heads",
            autogenerate=False,
            config=self.launch["config"],
            raiseerr=True,
        )

    def _fill_urls(self, config: Any) -> None:
        """Give the URL options that env.py asks for a value where they have no usable one."""
        driver = "asyncpg" if self.redirection.prefers_async else None
        url = self.redirection.url(driver)
        source = self._source()
        names = ["sqlalchemy.url", *re.findall(r"""["']([\w.]*(?:url|uri|dsn))["']""", source)]
        for name in dict.fromkeys(names):
            if driver is not None or not is_postgresql_url(option_of(config, name)):
                config.set_main_option(name, escape(url))
            if re.search(r"attributes\s*(?:\.get\(|\[)\s*[\"']" + re.escape(name), source):
                config.attributes[name] = url

    def _source(self) -> str:
        with open(os.path.join(self.launch["script_location"], "env.py"), "rb") as file:
            return file.read().decode("utf-8", "replace")

    def _connection_names(self) -> list[str]:
        """Return the attributes of the Config in which env.py looks for a Connection."""
        read = r"""attributes\s*(?:\.(?:get|pop)\(|\[)\s*["'](\w*conn\w*)["']"""
        return list(dict.fromkeys(re.findall(read, self._source())))

    def wants_connection(self, error: BaseException) -> bool:
        """Tell whether env.py fails for want of a Connection that its caller should give."""
        names = self._connection_names()
        if isinstance(error, KeyError) and error.args:
            return error.args[0] in names
        return bool(names) and re.search("connection|NoneType", str(error), re.I) is not None

    def arguments_unset(self, error: BaseException | None) -> list[str]:
        """Return the arguments of `-x` that are not given: those demanded, else all read."""
        source = self._source()
        if "get_x_argument" not in source:
            return []
        names = re.findall(r"get_x_argument\([^()]*\)" + ITEM, source)
        for variable in re.findall(r"(\w+)\s*=\s*[\w.]*get_x_argument\(", source):
            names += re.findall(r"\b" + variable + ITEM, source)
        unset = [name for name in dict.fromkeys(names) if name not in self.launch["arguments"]]
        return [name for name in unset if demands(error, name)] or unset

    def demands_argument(self, error: BaseException) -> bool:
        return any(demands(error, name) for name in self.arguments_unset(error))

    @contextlib.contextmanager
    def _given_connection(self, config: Any) -> Iterator[None]:
        """Give env.py a Connection as a caller would, who also commits and closes it."""
        sqlalchemy = importlib.import_module("sqlalchemy")
        null_pool = importlib.import_module("sqlalchemy.pool").NullPool
        engine = sqlalchemy.create_engine(self.redirection.url(), poolclass=null_pool, future=True)
        with engine.connect() as connection:
            for name in self._connection_names():
                config.attributes[name] = connection
            yield
            if not connection.closed:
                connection.commit()


def demands(error: BaseException | None, argument: str) -> bool:
    """Tell whether an error is about an argument of `-x` that is missing."""
    if isinstance(error, KeyError):
        return bool(error.args) and error.args[0] == argument
    return error is not None and re.search(rf"-x\s*\W?{argument}\b", str(error)) is not None


def escape(value: str) -> str:
    return value.replace("%", "%%")


def option_of(config: Any, name: str) -> str | None:
    configparser = importlib.import_module("configparser")
    try:
        value = config.get_main_option(name)
    except configparser.Error:  # an interpolation that names what is not there
        return None
    return None if value is None else str(value)


def is_postgresql_url(value: str | None) -> bool:
    return value is not None and re.match(r"postgres(ql)?(\+\w+)?://", value) is not None


def ignore_commands(notes: list[str]) -> None:
    """Keep an application that migrates when it is imported from doing so."""
    command = importlib.import_module("alembic.command")
    for name in ("upgrade", "downgrade", "stamp"):

        def ignored(*args: Any, _name: str = name, **options: Any) -> None:
            note = f"the application's own call of alembic.command.{_name} was ignored"
            if note not in notes:
                notes.append(note)

        ignored.__name__ = name  # env.py may ask which command runs
        setattr(command, name, ignored)
