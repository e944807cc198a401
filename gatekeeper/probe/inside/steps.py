"""The requested steps, fed to Alembic one by one."""

from __future__ import annotations

import importlib
import os
import time
from collections.abc import Callable, Iterator
from typing import Any

from . import unavailable
from .environment import Environment
from .failures import is_clean_exit
from .redirection import database_of
from .version_tables import version_table_of
from .watch import Watch


class MissingFunction(AttributeError):
    """A revision without the function that a step needs."""


class Steps:
    """The requested steps, fed to Alembic one by one, on each database that env.py asks for.

    `databases` says for each how often that was, and which version tables it has.
    """

    def __init__(
        self,
        environment: Environment,
        watch: Watch,
        requested: list[dict[str, str]],
        database_count: int,
    ) -> None:
        self.environment = environment
        self.watch = watch
        self.requested = requested
        self.databases: list[dict[str, Any]] = [
            {"fn_calls": 0, "version_tables": []} for _ in range(database_count)
        ]
        self.active: int | None = None
        self.failed: BaseException | None = None
        self.unavailable: dict[str, Any] | None = None
        self._database = 0
        self._began = 0.0

    def function(self, heads: Any, context: Any) -> Iterator[Any]:
        self._database = database_of(context.connection)
        told = self.databases[self._database]
        told["fn_calls"] += 1
        version_table = version_table_of(context)
        self.environment.version_tables.add(context.version_table)
        if version_table not in told["version_tables"]:
            told["version_tables"].append(version_table)
        script = self.environment.script
        self.environment.find_versions()
        current = set(heads)
        migration = importlib.import_module("alembic.runtime.migration")
        for index, request in enumerate(self.requested):
            revision = script.get_revision(request["revision"])
            is_upgrade = request["direction"] == "upgrade"
            if is_upgrade and is_applied(script, revision, current):
                self._send("applied", index)
                continue
            is_again = not is_upgrade and told["fn_calls"] > 1
            if is_again and not is_applied(script, revision, current):
                continue  # env.py runs migrations twice on one version table
            self._begin(index)
            step = migration.RevisionStep.__new__(migration.RevisionStep)
            step.revision_map = script.revision_map
            step.revision = revision
            step.is_upgrade = is_upgrade
            step.migration_fn = self._watched(revision, request["direction"])
            yield step
            self._end(None)
            below = set(step.from_revisions)
            current = (current - below) | set(step.to_revisions)
        self.watch.answers.flush()

    def _begin(self, index: int) -> None:
        self.active = index
        self.failed = None
        self._began = time.perf_counter()
        self._send("begin", index)

    def _end(self, error: dict[str, Any] | None) -> None:
        if self.active is None:
            return  # steps that run at the same time; nothing is believed of them
        seconds = time.perf_counter() - self._began
        is_completed = error is None
        told = {"completed": is_completed, "seconds": seconds, "error": error}
        # What follows at once is the next one's beginning or the end of all.
        self._send("end", self.active, may_wait=is_completed, **told)
        self.active = None

    def _send(self, kind: str, step: int | None, may_wait: bool = False, **more: Any) -> None:
        message = {"kind": kind, "step": step, "database": self._database, **more}
        self.watch.answers.send(message, may_wait)

    def _watched(self, revision: Any, name: str) -> Callable[..., None]:
        """Return the revision's function, from a fresh import of its file."""
        places, watch, index = self.watch.places, self.watch, self.active

        def migrate(**options: Any) -> None:
            places.revision_file = revision.path
            watch.step = index
            try:
                function = getattr(load_fresh(revision), name, None)
                if function is None:
                    raise MissingFunction(f"revision {revision.revision} has no {name} function")
                function(**options)
            except BaseException as error:
                self.failed = error
                if self.environment.is_plain:
                    self.unavailable = unavailable.report(error, places, revision.revision)
                report = watch.describe(error)
                if isinstance(error, MissingFunction):
                    report["path"], report["line"] = places.relative(revision.path), None
                self._end(report)
                raise
            finally:
                places.revision_file = None
                watch.step = None

        return migrate

    def place(self, error: BaseException) -> dict[str, Any] | None:
        """Return an error that belongs to no step; one that does is given to its step.

        What env.py raises after a step has failed only passes that failure on.
        """
        if self.failed is not None:
            return None
        if is_clean_exit(error):
            return None
        report = self.watch.describe(error)
        if self.active is None:
            return report
        self._end(report)
        return None


def load_fresh(revision: Any) -> Any:
    """Return the revision's module, executed anew as a process of its own would."""
    if not revision.path.endswith(".py"):
        return revision.module
    util = importlib.import_module("alembic.util")
    return util.load_python_file(*os.path.split(revision.path))


def is_applied(script: Any, revision: Any, heads: set[str]) -> bool:
    """Tell whether a revision lies at or below the heads; env.py may have stamped."""
    is_next = heads.issuperset(as_tuple(revision.down_revision)) and revision.revision not in heads
    if is_next and (revision.down_revision is not None or not heads):
        return False
    todo, seen = list(heads), set()
    while todo:
        name = todo.pop()
        if name in seen:
            continue
        seen.add(name)
        script_revision = script.get_revision(name)
        if script_revision.revision == revision.revision:
            return True
        todo.extend(as_tuple(script_revision.down_revision))
        todo.extend(as_tuple(script_revision.dependencies))
    return False


def as_tuple(value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    return (value,) if isinstance(value, str) else tuple(value)
