"""The requests of one process."""

from __future__ import annotations

import gc
import importlib
import os
import re
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

from .answers import Answers
from .commands import CommandFailed, NoCommand, run_command
from .create_all import create_all
from .drift import metadatas_of, read_drift
from .environment import Environment
from .failures import chain_of, is_clean_exit
from .flask_app import NoFlaskApp
from .hook import HookError
from .libraries import import_libraries
from .loops import way_wanted
from .places import Places
from .redirection import Redirection, database_of, origin_of
from .settings import is_validation, settings_leading_to, settings_named, settings_unset
from .steps import Steps
from .turns import Turns
from .variables import add_names, record_absent_variables
from .watch import Watch


class Session:
    """Serves the requests of one process."""

    def __init__(self, answers: Answers) -> None:
        self.answers = answers
        self.absent: list[str] = []
        self.lost: list[BaseException] = []
        self.turns = Turns()

    def start(self, request: dict[str, Any]) -> dict[str, Any]:
        """Load the project and run env.py without a step."""
        self._meet(request)
        facts: dict[str, Any] = {"fn_calls": 0, "databases": []}
        try:
            self._install(request)
            self._keep_lost_errors()
            self.turns.install()
            self.environment.prepare()
            self._run(self._look(facts), dont_mutate=True)
        except BaseException as error:  # noqa: BLE001  # a stranger's code raises anything
            if facts["fn_calls"] == 0 or not is_clean_exit(error):
                return self._failure(error)
        if facts["fn_calls"] == 0:
            return self._failure(next(iter(self.lost), None))
        gc.freeze()  # the application stays; later collections need not look through it
        facts["kind"] = "started"
        facts["origins"] = self.redirection.origins
        facts["absent_variables"] = self._absent()
        facts["other_dialects"] = self.redirection.other_dialects
        facts["notes"] = [*self.redirection.notes, *self.environment.notes]
        facts["version_tables"] = sorted(self.environment.version_tables)
        return facts

    def bootstrap(self, request: dict[str, Any]) -> dict[str, Any]:
        """Run the bootstrap command, or that function of the hook; the process is used up."""
        self._meet(request)
        try:
            self._install(request)
            os.chdir(request["working_directory"])
            if request["command"] is not None:
                run_command(request["command"])
            else:
                self.environment.load_hook()
                assert self.environment.hook is not None
                self.environment.hook.bootstrap(self.redirection.url())
        except BaseException as error:  # noqa: BLE001  # a stranger's code raises anything
            if not is_clean_exit(error):
                return self._failure(error)
        return {"kind": "done"}

    def _meet(self, request: dict[str, Any]) -> None:
        self.places = Places(request["checkout"])
        self.watch = Watch(self.answers, self.places)
        self.redirection = Redirection(request["prefers_async"], request["checkout"])
        self.redirection.aim(request["target"])
        self.environment = Environment(request, self.redirection, self.places)

    def _install(self, request: dict[str, Any]) -> None:
        """From here on connections are redirected and watched."""
        gc.disable()  # libraries make no garbage worth the search, and nothing is given back
        import_libraries(request)
        gc.freeze()
        gc.enable()
        self.absent = record_absent_variables()
        self.redirection.install()
        self.watch.install()
        self.watch.active = True

    def _keep_lost_errors(self) -> None:
        """Keep what ends a thread: env.py itself may go on without the migrations of it."""
        original = threading.excepthook

        def excepthook(thread: Any) -> None:
            if thread.exc_value is not None:
                self.lost.append(thread.exc_value)
            original(thread)

        threading.excepthook = excepthook

    def _look(self, facts: dict[str, Any]) -> Callable[..., Any]:
        """Return a step function that yields no step and notes what env.py configured."""

        def look(heads: Any, context: Any) -> list[Any]:
            facts["fn_calls"] += 1
            origin = origin_of(context.connection)
            if origin is not None and origin not in facts["databases"]:
                facts["databases"].append(origin)
            facts["python"] = ".".join(str(part) for part in sys.version_info[:3])
            facts["alembic"] = importlib.import_module("alembic").__version__
            facts["sqlalchemy"] = importlib.import_module("sqlalchemy").__version__
            facts["dialect"] = context.dialect.name
            facts["driver"] = context.dialect.driver
            facts["version_table"] = context.version_table
            self.environment.version_tables.add(context.version_table)
            facts["version_table_schema"] = context.version_table_schema
            facts["has_target_metadata"] = bool(metadatas_of(context))
            facts["transaction_per_migration"] = bool(context._transaction_per_migration)
            facts["transactional_ddl"] = bool(context.impl.transactional_ddl)
            if self.environment.is_plain:
                self._know_revisions()
            try:
                self.environment.find_versions()
            except BaseException as error:  # revision files run when loaded
                if not self._is_revision_at_fault(error):
                    raise
                note = "the revision files could not all be loaded"
                self.environment.notes.append(note)
            return []

        return look

    def _is_revision_at_fault(self, error: BaseException) -> bool:
        """Tell a broken revision file from an environment that lacks something."""
        self._know_revisions()
        place = self.places.of_traceback(error)
        if place is None or not self.places.is_revision(place[0]):
            return False
        if isinstance(error, ModuleNotFoundError) and error.name is not None:
            return self.places.has_module(error.name)
        return not self._variables_named(error)

    def _know_revisions(self) -> None:
        folders = self.environment.launch["version_folders"]
        self.places.set_version_folders({os.path.realpath(folder) for folder in folders})

    def _failure(self, error: BaseException | None) -> dict[str, Any]:
        missing = None
        for link in () if error is None else chain_of(error):
            if isinstance(link, ModuleNotFoundError):
                missing = link.name
        path, is_at_home = self._path_denied(error)
        fault = self._fault(error, missing)
        if fault == "other" and path is not None:
            fault = "home file" if is_at_home else "closed path"
        return {
            "kind": "failed",
            "fault": fault,
            "error": None if error is None else self.watch.describe(error),
            "module": missing,
            "variables": [] if error is None else self._variables_named(error),
            "absent_variables": self._absent(),
            "other_dialects": self.redirection.other_dialects,
            "drivers": self.redirection.drivers,
            "path": path,
            "arguments": self.environment.arguments_unset(error),
            "question": self.watch.question,
        }

    def _absent(self) -> list[str]:
        """Return the variables that the project has looked for in vain, so or so."""
        add_names(self.absent, settings_unset())
        return list(self.absent)

    def _path_denied(self, error: BaseException | None) -> tuple[str | None, bool]:
        """Return a path outside the checkout that the code could not have.

        One in the home directory is told relative to it.
        """
        home = os.path.realpath(os.path.expanduser("~"))
        for link in () if error is None else chain_of(error):
            if not isinstance(link, OSError) or not isinstance(link.filename, str):
                continue
            path = os.path.realpath(link.filename)
            if path.startswith(home + os.sep):
                return os.path.relpath(path, home), True
            if not path.startswith(self.places.checkout + os.sep):
                return path, False
        return None, False

    def _fault(self, error: BaseException | None, missing: str | None) -> str:
        if error is None:
            return "never connected"
        if isinstance(error, NoCommand):
            return "no command"
        if isinstance(error, (CommandFailed, HookError)):
            return "broken promise"
        if missing is not None:
            return "missing module"
        is_about_one = any(isinstance(e, KeyError) or is_validation(e) for e in chain_of(error))
        if is_about_one and self._variables_named(error):
            return "missing variable"
        if self.environment.demands_argument(error):
            return "missing argument"
        text = " ".join(f"{type(link).__name__}: {link}" for link in chain_of(error))
        if "application context" in text or isinstance(error, NoFlaskApp):
            return "no application context" if self.environment.app is None else "other"
        if self.environment.wants_connection(error):
            return "no connection"
        if "requires an async driver" in text:
            return "async driver"
        loop = way_wanted(text)
        if loop is not None:
            return loop
        if self.redirection.other_dialects:
            return "other dialect"
        is_exit = isinstance(error, SystemExit) and not is_clean_exit(error)
        if is_exit or re.search("secret", text, re.I):
            return "secret"
        return "other"

    def _variables_named(self, error: BaseException) -> list[dict[str, Any]]:
        """Return the variables whose absence an error is about."""
        named: list[dict[str, Any]] = []
        for link in chain_of(error):
            if isinstance(link, KeyError) and link.args and link.args[0] in self.absent:
                named.append(_as_text(link.args[0]))
            elif is_validation(link):
                named.extend(settings_named(link))
        path, is_at_home = self._path_denied(error)
        if not named and path is not None and not is_at_home:
            named = settings_leading_to(path)
        if not named and not isinstance(error, ModuleNotFoundError):
            words = set(re.findall(r"\b[A-Z][A-Z0-9_]{3,}\b", str(error)))
            named = [_as_text(name) for name in self.absent if name in words]
        return list({variable["name"]: variable for variable in named}.values())

    def _run(self, function: Callable[..., Any], dont_mutate: bool) -> None:
        try:
            self.environment.run(function, dont_mutate)
        finally:
            signal.alarm(0)  # env.py's own time limit ends with its process
            self.watch.finish()
            self.redirection.dispose()
            gc.collect()

    def run(self, request: dict[str, Any]) -> dict[str, Any]:
        """Execute steps in one run of env.py, as `alembic upgrade heads` would."""
        self.redirection.aim(request["target"])
        self.redirection.other_dialects = []
        self.turns.is_simultaneous = False
        self.watch.reset(request["observe"], request["is_told"], request["at_once"])
        count = len(self.redirection.targets)
        steps = Steps(self.environment, self.watch, request["steps"], count)
        error = None
        try:
            self._run(steps.function, dont_mutate=False)
        except BaseException as raised:  # noqa: BLE001  # a stranger's code raises anything
            error = steps.place(raised)
        return {
            "kind": "done",
            "error": error,
            "unavailable": steps.unavailable,
            "simultaneous": self.turns.is_simultaneous,
            "databases": steps.databases,
            "fates": {str(number): fate for number, fate in self.watch.fates.items()},
            "omitted": {str(step): count for step, count in self.watch.omitted.items()},
            "other_dialects": self.redirection.other_dialects,
        }

    def stamp(self, request: dict[str, Any]) -> dict[str, Any]:
        """Set the version table without running anything."""
        revisions = tuple(request["revisions"])

        def steps(heads: Any, context: Any) -> Any:
            return self.environment.script._stamp_revs(revisions or "base", heads)

        return self._simple(request, steps, dont_mutate=False)

    def heads(self, request: dict[str, Any]) -> dict[str, Any]:
        """Return the revisions at which env.py finds the databases."""
        found: list[str] = []

        def note(heads: Any, context: Any) -> list[Any]:
            found.extend(heads)
            return []

        answer = self._simple(request, note, dont_mutate=True)
        return {**answer, "heads": list(dict.fromkeys(found))}

    def create_all(self, request: dict[str, Any]) -> dict[str, Any]:
        """Make what the models of env.py describe, and stamp it.

        Both in one run: where env.py commits each migration, only a step is committed.
        """
        made = {"tables": 0}
        revisions = tuple(request["revisions"])

        def create(heads: Any, context: Any) -> Any:
            made["tables"] += create_all(context)
            return self.environment.script._stamp_revs(revisions, heads)

        return {**self._simple(request, create, dont_mutate=False), **made}

    def drift(self, request: dict[str, Any]) -> dict[str, Any]:
        """Ask autogenerate what it would change, with env.py's own options."""
        wanted: dict[int, list[str]] = {}
        names = self.environment.version_tables

        def compare(heads: Any, context: Any) -> list[Any]:
            if metadatas_of(context):
                operations = wanted.setdefault(database_of(context.connection), [])
                operations.extend(o for o in read_drift(context, names) if o not in operations)
            return []

        answer = self._simple(request, compare, dont_mutate=True)
        answer["operations"] = [wanted.get(n) for n in range(len(self.redirection.targets))]
        return answer

    def _simple(
        self, request: dict[str, Any], function: Callable[..., Any], dont_mutate: bool
    ) -> dict[str, Any]:
        self.redirection.aim(request["target"])
        self.watch.reset(None)
        calls = []

        def counted(heads: Any, context: Any) -> Any:
            calls.append(heads)
            return function(heads, context)

        error = None
        try:
            self._run(counted, dont_mutate)
        except BaseException as raised:  # noqa: BLE001  # a stranger's code raises anything
            if not is_clean_exit(raised):
                error = self.watch.describe(raised)
        return {"kind": "done", "error": error, "fn_calls": len(calls)}


def _as_text(name: str) -> dict[str, Any]:
    return {"name": name, "kind": "text", "scheme": None}
