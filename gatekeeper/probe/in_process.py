"""Runs env.py in the project's interpreter: redirected, watched, one request a line.

This file is started as a path and imports nothing of gatekeeper's: only the standard
library and the project's own Alembic (1.7 or newer) and SQLAlchemy (1.4 or newer), on
Python 3.8 or newer. Requests come in on what was standard input, answers leave on what
was standard output; the project gets neither. `protocol.py` is the other side.
"""

# Frames, tracebacks and Alembic hold paths as strings, and so does this file.
# ruff: noqa: PTH100, PTH113, PTH118, PTH120, PTH123, PTH206, PTH208

from __future__ import annotations

import argparse
import ast
import asyncio
import contextlib
import gc
import importlib
import importlib.util
import json
import os
import re
import reprlib
import resource
import socket
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any

# The same text as `gatekeeper.postgres.databases.MARKER_QUERY`.
MARKER_QUERY = """
SELECT coalesce(
    nullif(pg_catalog.current_setting('gatekeeper.marker', true), ''),
    pg_catalog.shobj_description(oid, 'pg_database')
) FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()
"""
STATEMENTS_KEPT = 10_000  # a step
SQL_KEPT = 1_000_000  # characters
MESSAGE_KEPT = 8_000
PARAMETERS_KEPT = 300
NAMES_KEPT = 500
ORIGINS_KEPT = 20
OPEN_FILES = 4096

SYNC_DRIVERS = ("psycopg2", "psycopg", "pg8000")
ASYNC_DRIVERS = ("asyncpg", "psycopg")
ASYNC_DRIVERS_ANYWHERE = ("asyncpg", "aiosqlite", "aiomysql", "asyncmy")

# Everything that says where to connect, as whom and how safely; what else a driver is
# given (adapters, options, timeouts) stays.
WHERE_TO = (
    "host",
    "hostaddr",
    "port",
    "user",
    "password",
    "passfile",
    "dbname",
    "database",
    "dsn",
    "service",
    "unix_sock",
    "target_session_attrs",
    "channel_binding",
    "gssencmode",
    "krbsrvname",
    "require_auth",
    "direct_tls",
    "load_balance_hosts",
)

# The key under which a connection remembers where it would have gone.
ORIGIN = "gatekeeper origin"

IDLE, IN_TRANSACTION, FAILED_TRANSACTION = "idle", "in transaction", "failed"


class Refused(RuntimeError):
    """A connection that would not have led to the ephemeral database."""


class Answers:
    """The descriptor that leads back to gatekeeper; silent in forked children."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lock = threading.Lock()
        self._pid = os.getpid()

    def send(self, message: dict[str, Any]) -> None:
        if os.getpid() != self._pid:
            return
        line = json.dumps(message).encode() + b"\n"
        with self._lock:
            while line:
                line = line[os.write(self._descriptor, line) :]


# --- Where connections go ------------------------------------------------------------


class Redirection:
    """Sends every connection that SQLAlchemy makes to the target, or refuses it.

    The listeners sit on the `Engine` class, so engines that exist already and those of
    async engines are covered; `creator=` and `pool=`, which would go past them, are taken
    out of the arguments of `create_engine`, and the marker catches what is left.
    """

    def __init__(self, prefers_async: bool) -> None:
        self.target: dict[str, Any] = {}
        self.prefers_async = prefers_async
        self.origins: list[dict[str, str | None]] = []
        self.other_dialects: list[str] = []
        self.drivers: list[str] = []
        self.engines: weakref.WeakSet[Any] = weakref.WeakSet()
        # Where engines of another dialect would have gone, by their dialect's object.
        self._others: weakref.WeakKeyDictionary[Any, dict[str, str | None]]
        self._others = weakref.WeakKeyDictionary()

    def install(self) -> None:
        sqlalchemy = importlib.import_module("sqlalchemy")
        with contextlib.suppress(ImportError):  # without greenlet there is no asyncio
            importlib.import_module("sqlalchemy.ext.asyncio")
        engine_class = importlib.import_module("sqlalchemy.engine").Engine
        event = importlib.import_module("sqlalchemy.event")
        event.listen(engine_class, "do_connect", self._on_do_connect)
        event.listen(engine_class, "connect", self._on_connect, insert=True)
        sys.meta_path.insert(0, DriverFinder(self))
        replace_everywhere(sqlalchemy.create_engine, self._wrap_create_engine)
        replace_everywhere(sqlalchemy.engine_from_config, self._wrap_from_config)
        asynchronous = sys.modules.get("sqlalchemy.ext.asyncio")
        from_config = getattr(asynchronous, "async_engine_from_config", None)
        if from_config is not None:
            replace_everywhere(from_config, self._wrap_from_config)

    def url(self, driver: str | None = None) -> str:
        """Return the target as a URL, for options and variables that need one."""
        scheme = "postgresql" if driver is None else "postgresql+" + driver
        target = self.target
        return (
            f"{scheme}://{target['user']}:{target['password']}"
            f"@{target['host']}:{target['port']}/{target['database']}"
        )

    def dispose(self) -> None:
        """Leave no pooled connection behind, also none of a loop that has ended."""
        for engine in list(self.engines):
            if getattr(engine.dialect, "is_async", False):
                _forget_pool(engine)
            else:
                engine.dispose()

    def _wrap_create_engine(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def create_engine(*args: Any, **options: Any) -> Any:
            given = args[0] if args else options.pop("url", None)
            url, other = self._rewrite(given, options)
            engine = original(url, **options)
            with contextlib.suppress(TypeError):  # a mock engine has no weak references
                self.engines.add(engine)
                if other is not None:
                    self._others[engine.dialect] = other
            return engine

        return create_engine

    def _wrap_from_config(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def engine_from_config(
            configuration: Any, prefix: str = "sqlalchemy.", **options: Any
        ) -> Any:
            if "url" not in options and not configuration.get(prefix + "url"):
                configuration = dict(configuration)
                configuration[prefix + "url"] = self.url()
            return original(configuration, prefix, **options)

        return engine_from_config

    def _rewrite(
        self, given: Any, options: dict[str, Any]
    ) -> tuple[Any, dict[str, str | None] | None]:
        """Return the URL to use and, of another dialect, where the given one leads."""
        make_url = importlib.import_module("sqlalchemy.engine").make_url
        argument_error = importlib.import_module("sqlalchemy.exc").ArgumentError
        for way_around in ("creator", "async_creator", "pool"):
            options.pop(way_around, None)
        try:
            url = None if given is None else make_url(given)
        except argument_error:
            url = None
        backend, driver = _split_driver(url)
        is_async = bool(options.get("_is_async")) or driver in ASYNC_DRIVERS_ANYWHERE
        driver = self._usable_driver(driver, is_async)
        if url is not None and backend in ("postgresql", "postgres"):
            return url if driver is None else url.set(drivername="postgresql+" + driver), None
        other = None if backend is None else self._note_other(backend, url)
        for meant_for_the_other in ("connect_args", "module", "native_datetime"):
            options.pop(meant_for_the_other, None)
        pool_class = options.get("poolclass")
        if getattr(pool_class, "__name__", "") in ("SingletonThreadPool", "StaticPool"):
            del options["poolclass"]
        return make_url(self.url(driver)), other

    def _usable_driver(self, named: str | None, is_async: bool) -> str | None:
        """Return the driver to use: the named one where it is there and can do it.

        A synchronous driver is not changed into an asynchronous one unless the engine is
        asynchronous: its arguments would be refused.
        """
        is_async = is_async or self.prefers_async
        kinds = list(ASYNC_DRIVERS if is_async else SYNC_DRIVERS)
        if sqlalchemy_version() < (2, 0):
            kinds.remove("psycopg")
        if named is None and not is_async:
            named = "psycopg" if sqlalchemy_version() >= (2, 1) else "psycopg2"
        if named is not None and is_installed(named) and (not is_async or named in kinds):
            return named
        return next((kind for kind in kinds if is_installed(kind)), named)

    def _note_other(self, backend: str, url: Any) -> dict[str, str | None]:
        if backend not in self.other_dialects:
            self.other_dialects.append(backend)
        return self._note_origin(backend, url.host, url.port, url.database)

    def _note_origin(
        self, dialect: str, host: Any, port: Any, database: Any
    ) -> dict[str, str | None]:
        if isinstance(host, (list, tuple)):
            host = ",".join(str(one) for one in host)
        origin = {
            "dialect": dialect,
            "host": None if host is None else str(host),
            "port": None if port is None else str(port),
            "database": None if database is None else str(database),
        }
        ours = [str(self.target[key]) for key in ("host", "port", "database")]
        if [origin["host"], origin["port"], origin["database"]] == ours:
            return {**origin, "host": None, "port": None, "database": None}
        if origin not in self.origins and len(self.origins) < ORIGINS_KEPT:
            self.origins.append(origin)
        return origin

    def _on_do_connect(self, dialect: Any, conn_rec: Any, cargs: Any, cparams: Any) -> None:
        if dialect.name != "postgresql":
            if dialect.name not in self.other_dialects:
                self.other_dialects.append(dialect.name)
            raise Refused(f"a connection to {dialect.name} instead of PostgreSQL was refused")
        if dialect.driver not in self.drivers:
            self.drivers.append(dialect.driver)
        origin = self._others.get(dialect) or self._note_origin(
            "postgresql",
            cparams.get("host"),
            cparams.get("port"),
            cparams.get("dbname", cparams.get("database")),
        )
        if conn_rec is not None:
            conn_rec.info[ORIGIN] = origin
        self.redirect(cparams, dialect.driver)
        if isinstance(cargs, list):
            del cargs[:]

    def redirect(self, parameters: dict[str, Any], driver: str) -> None:
        """Make a driver's connection parameters lead to the target."""
        for key in list(parameters):
            if key in WHERE_TO or key.startswith("ssl"):
                del parameters[key]
        target = self.target
        is_libpq = driver.startswith("psycopg")
        for key in ("host", "port", "user", "password"):
            parameters[key] = target[key]
        parameters["dbname" if is_libpq else "database"] = target["database"]
        if target["sslmode"] is not None and driver != "pg8000":
            parameters["sslmode" if is_libpq else "ssl"] = target["sslmode"]

    def _on_connect(self, dbapi_connection: Any, connection_record: Any) -> None:
        """Refuse a server that does not show the marker; runs before the app's listeners."""
        module = type(dbapi_connection).__module__
        if module.startswith("sqlite3"):
            raise Refused("a connection to sqlite instead of PostgreSQL was refused")
        cursor = dbapi_connection.cursor()
        try:
            cursor.execute(MARKER_QUERY)
            shown = cursor.fetchone()[0]
        finally:
            cursor.close()
        dbapi_connection.rollback()
        if shown != self.target["marker"]:
            dbapi_connection.close()
            raise Refused(
                "a connection led to a database that is not the ephemeral one and was refused"
            )


class DriverFinder:
    """Redirects connections that are made with a driver itself, past SQLAlchemy.

    The driver's functions are replaced when the project imports it.
    """

    def __init__(self, redirection: Redirection) -> None:
        self._redirection = redirection
        self._looking_for: set[str] = set()
        self._patches = {
            "psycopg2": self._patch_psycopg2,
            "psycopg": self._patch_psycopg,
            "asyncpg": self._patch_asyncpg,
        }

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        patch = self._patches.get(name)
        if patch is None or name in self._looking_for:
            return None
        self._looking_for.add(name)
        try:
            spec = importlib.util.find_spec(name)
        finally:
            self._looking_for.discard(name)
        if spec is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module

        def exec_module(module: Any) -> None:
            execute(module)
            patch(module)

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]  # this import only
        return spec

    def _patch_psycopg2(self, psycopg2: Any) -> None:
        original, parse = psycopg2.connect, psycopg2.extensions.parse_dsn

        def connect(
            dsn: Any = None,
            connection_factory: Any = None,
            cursor_factory: Any = None,
            **given: Any,
        ) -> Any:
            parameters = {**({} if dsn is None else parse(dsn)), **given}
            self._redirection.redirect(parameters, "psycopg2")
            return original(None, connection_factory, cursor_factory, **parameters)

        psycopg2.connect = connect

    def _patch_psycopg(self, psycopg: Any) -> None:
        parse = importlib.import_module("psycopg.conninfo").conninfo_to_dict

        def redirected(original: Any) -> Any:
            def connect(cls: Any, conninfo: str = "", **given: Any) -> Any:
                parameters = {**parse(conninfo), **given}
                self._redirection.redirect(parameters, "psycopg")
                return original(cls, **parameters)

            return connect

        for connection_class in (psycopg.Connection, psycopg.AsyncConnection):
            connect = redirected(connection_class.connect.__func__)
            connection_class.connect = classmethod(connect)
        psycopg.connect = psycopg.Connection.connect

    def _patch_asyncpg(self, asyncpg: Any) -> None:
        connection: Any = importlib.import_module("asyncpg.connection")
        original = connection.connect

        def connect(dsn: Any = None, **given: Any) -> Any:
            self._redirection.redirect(given, "asyncpg")
            return original(**given)

        connection.connect = asyncpg.connect = connect


def _forget_pool(engine: Any) -> None:
    """Give an async engine a new pool; its connections belong to a loop that has ended."""
    if sqlalchemy_version() >= (1, 4, 33):
        engine.dispose(close=False)
    else:
        engine.pool = engine.pool.recreate()


def _split_driver(url: Any) -> tuple[str | None, str | None]:
    if url is None:
        return None, None
    backend, _, driver = url.drivername.partition("+")
    return backend, driver or None


def replace_everywhere(original: Any, wrap: Callable[[Any], Any]) -> None:
    """Put a wrapped function wherever a module of SQLAlchemy re-exports the original."""
    wrapped = wrap(original)
    wrapped.__doc__, wrapped.__wrapped__ = original.__doc__, original
    for name, module in list(sys.modules.items()):
        if name.split(".")[0] in ("sqlalchemy", "sqlmodel"):
            for attribute, value in list(vars(module).items()):
                if value is original:
                    setattr(module, attribute, wrapped)


def sqlalchemy_version() -> tuple[int, ...]:
    return version_of(importlib.import_module("sqlalchemy"))


def version_of(module: Any) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", module.__version__)[:3])


def is_installed(module: str) -> bool:
    return module in sys.modules or importlib.util.find_spec(module) is not None


# --- What the environment lacks ------------------------------------------------------


def record_absent_variables() -> list[str]:
    """Return a list that grows by the name of each variable that is read and not set.

    `os.getenv`, `.get` and `in` all come through `__getitem__`.
    """
    absent: list[str] = []
    mapping = type(os.environ)
    original = mapping.__getitem__

    def getitem(self: Any, key: Any) -> Any:
        try:
            return original(self, key)
        except KeyError:
            if isinstance(key, str) and key not in absent and len(absent) < NAMES_KEPT:
                absent.append(key)
            raise

    mapping.__getitem__ = getitem  # type: ignore[method-assign]  # the point of it
    return absent


# --- From a stack to a line ----------------------------------------------------------


class Places:
    """Tells the project's own files, and the folders of revisions among them."""

    def __init__(self, checkout: str) -> None:
        self.checkout = os.path.realpath(checkout)
        self.version_folders: set[str] = set()
        self.revision_file: str | None = None
        self._kinds: dict[str, str] = {}
        self._ends: dict[str, dict[int, int]] = {}

    def set_version_folders(self, folders: set[str]) -> None:
        if folders != self.version_folders:
            self.version_folders = folders
            self._kinds.clear()

    def of_stack(self, frame: Any) -> tuple[str, int] | None:
        """Return file and line of the innermost frame that says most, going outward."""
        frames = []
        while frame is not None:
            filename = frame.f_code.co_filename
            if filename == self.revision_file:
                return filename, frame.f_lineno
            if self._kind(filename) != "library":
                frames.append((filename, frame.f_lineno))
            frame = frame.f_back
        return self._choose(frames)

    def of_traceback(self, error: BaseException) -> tuple[str, int] | None:
        """Return file and line of the innermost frame of a traceback that says most."""
        frames: list[tuple[str, int]] = []
        traceback = error.__traceback__
        while traceback is not None:
            filename = traceback.tb_frame.f_code.co_filename
            if self._kind(filename) != "library":
                frames.insert(0, (filename, traceback.tb_lineno))
            traceback = traceback.tb_next
        if isinstance(error, SyntaxError) and error.filename and error.lineno:
            frames.insert(0, (error.filename, error.lineno))
        return self._choose(frames)

    def _choose(self, frames: list[tuple[str, int]]) -> tuple[str, int] | None:
        """Take the revision's own frame, else one of the revisions' folders, else the first."""
        for filename, line in frames:
            if filename == self.revision_file:
                return filename, line
        for filename, line in frames:
            if self._kind(filename) == "revision":
                return filename, line
        return frames[0] if frames else None

    def _kind(self, filename: str) -> str:
        kind = self._kinds.get(filename)
        if kind is None:
            path = os.path.realpath(filename)
            inside = path.startswith(self.checkout + os.sep)
            if not inside or "site-packages" in path or filename.startswith("<"):
                kind = "library"
            elif os.path.dirname(path) in self.version_folders:
                kind = "revision"
            else:
                kind = "project"
            self._kinds[filename] = kind
        return kind

    def is_revision(self, filename: str) -> bool:
        return self._kind(filename) == "revision"

    def has_module(self, name: str) -> bool:
        """Tell whether the checkout holds a module or package of that name somewhere."""
        top = name.split(".")[0]
        for folder, folders, files in os.walk(self.checkout):
            folders[:] = [f for f in folders if not f.startswith(".") and f != "site-packages"]
            if top + ".py" in files or (top in folders and _holds_python(folder, top)):
                return True
        return False

    def relative(self, filename: str) -> str:
        path = os.path.realpath(filename)
        if path.startswith(self.checkout + os.sep):
            path = os.path.relpath(path, self.checkout)
        return path.replace(os.sep, "/")

    def end_line(self, filename: str, line: int) -> int:
        """Return the last line of the call that begins on a line, or that holds it."""
        ends = self._ends.get(filename)
        if ends is None:
            ends = self._ends[filename] = _call_ends(filename)
        return ends.get(line, line)


def _holds_python(folder: str, name: str) -> bool:
    return any(entry.endswith(".py") for entry in os.listdir(os.path.join(folder, name)))


def _call_ends(filename: str) -> dict[int, int]:
    try:
        with open(filename, "rb") as file:
            tree = ast.parse(file.read())
    except (OSError, SyntaxError, ValueError):
        return {}
    starts: dict[int, int] = {}
    inside: dict[int, int] = {}
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    # Wide calls first, so that a line inside keeps the narrowest call around it.
    calls.sort(key=lambda call: call.lineno - (call.end_lineno or call.lineno))
    for call in calls:
        end = call.end_lineno or call.lineno
        starts[call.lineno] = max(end, starts.get(call.lineno, 0))
        for line in range(call.lineno + 1, end + 1):
            inside[line] = end
    return {**inside, **starts}


# --- What goes over the connections --------------------------------------------------


class Wire:
    """One driver connection and the transaction that is open on it."""

    def __init__(self, number: int, dbapi: Any) -> None:
        self.number = number
        self.dbapi = dbapi  # also keeps its id from being used again
        self.transaction: int | None = None
        self.last_transaction: int | None = None
        self.aborted_by: Failure | None = None


class Failure:
    """A database error when it was first seen."""

    def __init__(self, original: BaseException, wrapped: Any, report: dict[str, Any]) -> None:
        self.original = original
        self.wrapped = wrapped
        self.report = report

    def is_behind(self, error: BaseException) -> bool:
        known = (self.original, self.wrapped)
        return any(
            link is one or getattr(link, "orig", None) is self.original
            for link in chain_of(error)
            for one in known
        )


class Watch:
    """Sends one line for each statement while a request runs."""

    def __init__(self, answers: Answers, places: Places) -> None:
        self.answers = answers
        self.places = places
        self.active = False
        self._parameters = reprlib.Repr()
        for limit in ("maxdict", "maxlist", "maxtuple"):
            setattr(self._parameters, limit, 20)
        for limit in ("maxstring", "maxother"):
            setattr(self._parameters, limit, 100)
        self.reset(None)

    def install(self) -> None:
        engine_class = importlib.import_module("sqlalchemy.engine").Engine
        event = importlib.import_module("sqlalchemy.event")
        event.listen(engine_class, "before_cursor_execute", self._before)
        event.listen(engine_class, "after_cursor_execute", self._after)
        event.listen(engine_class, "handle_error", self._on_error)
        event.listen(engine_class, "commit", self._on_commit)
        event.listen(engine_class, "rollback", self._on_rollback)
        event.listen(engine_class, "rollback_savepoint", self._on_rollback_savepoint)
        on_reset = self._on_reset if sqlalchemy_version() >= (2, 0) else self._on_reset_1
        event.listen(engine_class, "reset", on_reset)

    def reset(self, observe: str | None) -> None:
        self.observe = observe
        self.step: int | None = None
        self.fates: dict[int, str] = {}
        self.failures: list[Failure] = []
        self.omitted: dict[int, int] = {}
        self._kept: dict[int | None, int] = {}
        self._ordinal = 0
        self._transactions = 0
        self._wires: dict[int, Wire] = {}
        self._running: dict[int, dict[str, Any]] = {}

    def finish(self) -> None:
        """Note what is still open and end it, so that nothing outlives the request."""
        for wire in self._wires.values():
            if wire.transaction is not None:
                self.fates[wire.transaction] = "open"
            _abandon(wire.dbapi)
            wire.dbapi = None

    def _wire(self, conn: Any) -> Wire:
        fairy = conn.connection
        dbapi = getattr(fairy, "dbapi_connection", None) or fairy.connection
        wire = self._wires.get(id(dbapi))
        if wire is None:
            wire = self._wires[id(dbapi)] = Wire(len(self._wires) + 1, dbapi)
        return wire

    def _before(
        self, conn: Any, cursor: Any, statement: Any, parameters: Any, context: Any, many: Any
    ) -> None:
        if not self.active:
            return
        place = self.places.of_stack(sys._getframe(1))
        # With `insertmanyvalues` the event says "many" of one statement with all values.
        sets = parameters if many and isinstance(parameters, (list, tuple)) else [parameters]
        shown = self._parameters.repr(sets[0]) if parameters else None
        self._running[id(cursor)] = {
            "place": place,
            "parameters": None if shown is None else shown[:PARAMETERS_KEPT],
            "executions": len(sets),
            "began": time.perf_counter(),
        }

    def _after(
        self, conn: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: Any
    ) -> None:
        running = self._running.pop(id(cursor), None)
        if running is None:
            return
        seconds = time.perf_counter() - running["began"]
        wire = self._wire(conn)
        transaction = self._settle(wire, statement)
        observed = None
        is_streaming = getattr(context, "_is_server_side", False)
        if self.observe is not None and wire.transaction is not None and not is_streaming:
            observed = self._observe(wire)
        rows = getattr(cursor, "rowcount", -1)
        rows = rows if isinstance(rows, int) and rows >= 0 else None
        self._send(running, wire, statement, transaction, seconds, rows, observed, False)

    def _observe(self, wire: Wire) -> list[list[str | None]]:
        cursor = wire.dbapi.cursor()
        try:
            cursor.execute(self.observe)
            return [[None if v is None else str(v) for v in row] for row in cursor.fetchall()]
        finally:
            cursor.close()

    def _send(
        self,
        running: dict[str, Any],
        wire: Wire,
        sql: str,
        transaction: int | None,
        seconds: float,
        rows: int | None,
        observed: list[list[str | None]] | None,
        failed: bool,
    ) -> None:
        self._ordinal += 1
        kept = self._kept[self.step] = self._kept.get(self.step, 0) + 1
        if kept > STATEMENTS_KEPT:
            if self.step is not None:
                self.omitted[self.step] = kept - STATEMENTS_KEPT
            return
        place = running["place"]
        self.answers.send(
            {
                "kind": "statement",
                "step": self.step,
                "ordinal": self._ordinal,
                "sql": sql[:SQL_KEPT],
                "parameters": running["parameters"],
                "path": None if place is None else self.places.relative(place[0]),
                "line": None if place is None else place[1],
                "end_line": None if place is None else self.places.end_line(*place),
                "connection": wire.number,
                "transaction": transaction,
                "seconds": seconds,
                "rows": rows,
                "executions": running["executions"],
                "observed": observed,
                "failed": failed,
            }
        )

    def _settle(self, wire: Wire, sql: str) -> int | None:
        """Return the transaction in which a statement ran, and follow its end.

        Migrations also end transactions by text (`op.execute("COMMIT")`), of which
        SQLAlchemy knows nothing; the driver's own state tells.
        """
        before = wire.transaction
        state = transaction_state(wire.dbapi)
        verb = transaction_verb(sql)
        if before is not None and (verb is not None or state == IDLE):
            rolled_back = verb == "rollback" or wire.aborted_by is not None
            self._end(wire, "rolled back" if rolled_back else "committed")
        if state != IDLE and verb is None and wire.transaction is None:
            self._transactions += 1
            wire.transaction = self._transactions
        return before if before is not None else wire.transaction

    def _end(self, wire: Wire, fate: str) -> None:
        if wire.transaction is not None:
            self.fates[wire.transaction] = fate
            wire.last_transaction, wire.transaction = wire.transaction, None
        wire.aborted_by = None

    def _on_commit(self, conn: Any) -> None:
        if self.active:
            wire = self._wire(conn)
            failed = transaction_state(wire.dbapi) == FAILED_TRANSACTION
            self._end(wire, "rolled back" if failed else "committed")

    def _on_rollback(self, conn: Any) -> None:
        if self.active:
            self._end(self._wire(conn), "rolled back")

    def _on_rollback_savepoint(self, conn: Any, name: Any, context: Any) -> None:
        if self.active:
            self._wire(conn).aborted_by = None

    def _on_reset(self, dbapi_connection: Any, record: Any, reset_state: Any) -> None:
        self._on_reset_1(dbapi_connection, record)

    def _on_reset_1(self, dbapi_connection: Any, record: Any) -> None:
        """A pool takes a connection back and rolls back what was left open on it."""
        wire = self._wires.get(id(dbapi_connection))
        if wire is not None:
            self._end(wire, "rolled back")

    def _on_error(self, context: Any) -> None:
        if not self.active:
            return
        place = self.places.of_stack(sys._getframe(1))
        report = self._database_report(context.original_exception, context.statement, place)
        failure = Failure(context.original_exception, context.sqlalchemy_exception, report)
        self.failures.append(failure)
        if context.connection is None:  # no connection came about
            return
        wire = self._wire(context.connection)
        cursor = getattr(context.execution_context, "cursor", None)
        running = self._running.pop(id(cursor), None)
        if running is not None:
            seconds = time.perf_counter() - running["began"]
            state = transaction_state(wire.dbapi)
            if state != IDLE and wire.transaction is None:
                self._transactions += 1
                wire.transaction = self._transactions
            sql = context.statement
            self._send(running, wire, sql, wire.transaction, seconds, None, None, True)
        elif wire.transaction is None and wire.last_transaction is not None:
            self.fates[wire.last_transaction] = "rolled back"  # the COMMIT was refused
        if wire.aborted_by is None and wire.transaction is not None:
            wire.aborted_by = failure

    def _database_report(
        self, original: BaseException, sql: Any, place: tuple[str, int] | None
    ) -> dict[str, Any]:
        cause = original.__cause__
        if cause is not None and type(cause).__module__.startswith("asyncpg"):
            original = cause  # SQLAlchemy's adapter puts the class into the message
        return {
            "type": type(original).__name__,
            "message": str(original).strip()[:MESSAGE_KEPT],
            "sqlstate": sqlstate_of(original),
            "sql": None if sql is None else str(sql)[:SQL_KEPT],
            "path": None if place is None else self.places.relative(place[0]),
            "line": None if place is None else place[1],
        }

    def describe(self, error: BaseException) -> dict[str, Any]:
        """Return the error that matters: the one that aborted the transaction, if any.

        "Current transaction is aborted" only follows from an earlier error.
        """
        behind = next((f for f in reversed(self.failures) if f.is_behind(error)), None)
        aborted_by = next((w.aborted_by for w in self._wires.values() if w.aborted_by), None)
        if behind is not None:
            if behind.report["sqlstate"] == "25P02" and aborted_by is not None:
                return aborted_by.report
            return behind.report
        if type(error).__name__ == "PendingRollbackError" and aborted_by is not None:
            return aborted_by.report
        place = self.places.of_traceback(error)
        if sqlstate_of(error) is not None:  # from a raw cursor, which SQLAlchemy never saw
            return self._database_report(error, None, place)
        return {
            "type": type(error).__name__,
            "message": (str(error) or type(error).__name__)[:MESSAGE_KEPT],
            "sqlstate": None,
            "sql": None,
            "path": None if place is None else self.places.relative(place[0]),
            "line": None if place is None else place[1],
        }


def chain_of(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what it was raised from, outermost first."""
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__ or link.__context__


def sqlstate_of(error: BaseException) -> str | None:
    for link in (error, error.__cause__):
        for attribute in ("sqlstate", "pgcode"):
            code = getattr(link, attribute, None)
            if isinstance(code, str) and len(code) == 5:
                return code
        details = link.args[0] if link is not None and link.args else None
        if isinstance(details, dict) and isinstance(details.get("C"), str):  # pg8000
            return str(details["C"])
    return None


def transaction_state(dbapi: Any) -> str:
    """Return what the driver says of the connection's transaction."""
    driver = getattr(dbapi, "_connection", dbapi)  # SQLAlchemy's async adapters
    status = getattr(getattr(driver, "info", None), "transaction_status", None)
    if status is not None:  # libpq's PQtransactionStatus
        return {0: IDLE, 3: FAILED_TRANSACTION}.get(int(status), IN_TRANSACTION)
    asks = getattr(driver, "is_in_transaction", None)  # asyncpg
    if asks is not None:
        return IN_TRANSACTION if asks() else IDLE
    status = getattr(driver, "_transaction_status", None)  # pg8000: the protocol's letter
    if isinstance(status, bytes):
        return {b"I": IDLE, b"E": FAILED_TRANSACTION}.get(status, IN_TRANSACTION)
    return IDLE if getattr(dbapi, "autocommit", False) else IN_TRANSACTION


FIRST_VERB = re.compile(
    r"(?:\s|--[^\n]*\n|/\*.*?\*/)*(commit|end|rollback|abort)\b(?!\s+(?:to|prepared|work\s+to))",
    re.IGNORECASE | re.DOTALL,
)
LATER_VERB = re.compile(r";\s*(commit|rollback)\b(?!\s+(?:to|prepared))", re.IGNORECASE)


def transaction_verb(sql: str) -> str | None:
    """Return "commit" or "rollback" where a text ends the transaction."""
    match = FIRST_VERB.match(sql)
    if match is None and "$" not in sql:  # a function body may hold such words
        match = LATER_VERB.search(sql)
    if match is None:
        return None
    return "commit" if match.group(1).lower() in ("commit", "end") else "rollback"


def _abandon(dbapi: Any) -> None:
    """Close a driver connection that was kept; the loop of an async one has ended."""
    driver = getattr(dbapi, "_connection", None)
    transport = getattr(driver, "_transport", None)
    if transport is not None:  # asyncpg
        with contextlib.suppress(OSError, TypeError):  # closed already; uvloop's
            transport.get_extra_info("socket").shutdown(socket.SHUT_RDWR)
        return
    pgconn = getattr(driver, "pgconn", None)
    if pgconn is not None:  # psycopg, asynchronous
        pgconn.finish()
        return
    with contextlib.suppress(Exception):  # each driver has its own "already closed"
        dbapi.close()


# --- Running env.py ------------------------------------------------------------------


class MissingFunction(AttributeError):
    """A revision without the function that a step needs."""


class Environment:
    """The project's script directory and how its env.py is run.

    The application is imported once and env.py is executed anew for each request, as
    Alembic does it. So are the files of the revisions that a request runs.
    """

    def __init__(self, launch: dict[str, Any], redirection: Redirection) -> None:
        self.launch = launch
        self.redirection = redirection
        self.app: Any = None
        self.notes: list[str] = []
        self._script: Any = None

    @property
    def script(self) -> Any:
        return self._script

    def prepare(self) -> None:
        """Make the application's Flask object where env.py needs one."""
        ignore_commands(self.notes)
        if self.launch["flask"] is not None:
            self.app = find_flask_app(self.launch, self.redirection.url(), self.notes)

    def run(self, function: Callable[..., Any], dont_mutate: bool) -> None:
        """Execute env.py; Alembic calls `function(heads, context)` for the steps."""
        os.chdir(self.launch["working_directory"])
        config = self._make_config()
        if self._script is None:
            script_module = importlib.import_module("alembic.script")
            self._script = script_module.ScriptDirectory.from_config(config)
        environment = importlib.import_module("alembic.runtime.environment")
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        application = contextlib.nullcontext() if self.app is None else self.app.app_context()
        try:
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
        finally:
            asyncio.set_event_loop(None)
            loop.close()

    def _make_config(self) -> Any:
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
        config.cmd_opts = argparse.Namespace(
            cmd=(importlib.import_module("alembic.command").upgrade, ["revision"], []),
            x=[],
            sql=False,
            tag=None,
            name=section,
            revision="heads",
            autogenerate=False,
            config=launch["config"],
            raiseerr=True,
        )
        self._fill_urls(config)
        return config

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


# --- Flask ---------------------------------------------------------------------------


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


# --- Requests ------------------------------------------------------------------------


class Session:
    """Serves the requests of one process."""

    def __init__(self, answers: Answers) -> None:
        self.answers = answers
        self.absent: list[str] = []
        self._known_revisions: Any = None

    def start(self, request: dict[str, Any]) -> dict[str, Any]:
        """Load the project and run env.py without a step."""
        self.places = Places(request["checkout"])
        self.watch = Watch(self.answers, self.places)
        self.redirection = Redirection(request["prefers_async"])
        self.redirection.target = request["target"]
        self.environment = Environment(request, self.redirection)
        facts: dict[str, Any] = {"fn_calls": 0, "databases": []}
        try:
            import_libraries(request)
            self.absent = record_absent_variables()
            self.redirection.install()
            self.watch.install()
            self.watch.active = True
            self.environment.prepare()
            self._run(self._look(facts), dont_mutate=True)
        except BaseException as error:  # noqa: BLE001  # a stranger's code raises anything
            if facts["fn_calls"] == 0 or not is_clean_exit(error):
                return self._failure(error)
        if facts["fn_calls"] == 0:
            return self._failure(None)
        gc.freeze()  # the application stays; later collections need not look through it
        facts["kind"] = "started"
        facts["origins"] = self.redirection.origins
        facts["absent_variables"] = list(self.absent)
        facts["other_dialects"] = self.redirection.other_dialects
        facts["notes"] = self.environment.notes
        return facts

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
            facts["version_table_schema"] = context.version_table_schema
            facts["has_target_metadata"] = bool(metadatas_of(context))
            facts["transaction_per_migration"] = bool(context._transaction_per_migration)
            facts["transactional_ddl"] = bool(context.impl.transactional_ddl)
            try:
                self._find_versions()
            except BaseException as error:  # revision files run when loaded
                if not self._is_revision_at_fault(error):
                    raise
                note = "the revision files could not all be loaded"
                self.environment.notes.append(note)
            return []

        return look

    def _find_versions(self) -> None:
        """Learn the folders of the revisions; env.py may set them at run time."""
        script = self.environment.script
        if script.revision_map is self._known_revisions:
            return
        revisions = list(script.walk_revisions())
        folders = {os.path.dirname(os.path.realpath(script.path)) for script in revisions}
        self.places.set_version_folders(folders)
        self._known_revisions = script.revision_map

    def _is_revision_at_fault(self, error: BaseException) -> bool:
        """Tell a broken revision file from an environment that lacks something."""
        folders = self.environment.launch["version_folders"]
        self.places.set_version_folders({os.path.realpath(folder) for folder in folders})
        place = self.places.of_traceback(error)
        if place is None or not self.places.is_revision(place[0]):
            return False
        if isinstance(error, ModuleNotFoundError) and error.name is not None:
            return self.places.has_module(error.name)
        return not self._variables_named(error)

    def _failure(self, error: BaseException | None) -> dict[str, Any]:
        missing = None
        for link in () if error is None else chain_of(error):
            if isinstance(link, ModuleNotFoundError):
                missing = link.name
        answer = {
            "kind": "failed",
            "fault": self._fault(error, missing),
            "error": None if error is None else self.watch.describe(error),
            "module": missing,
            "variables": [] if error is None else self._variables_named(error),
            "absent_variables": list(self.absent),
            "other_dialects": self.redirection.other_dialects,
            "drivers": self.redirection.drivers,
        }
        return answer

    def _fault(self, error: BaseException | None, missing: str | None) -> str:
        if error is None:
            return "never connected"
        if missing is not None:
            return "missing module"
        is_about_one = any(isinstance(e, KeyError) or is_validation(e) for e in chain_of(error))
        if is_about_one and self._variables_named(error):
            return "missing variable"
        text = " ".join(str(link) for link in chain_of(error))
        if "application context" in text or isinstance(error, NoFlaskApp):
            return "no application context" if self.environment.app is None else "other"
        if self.environment.wants_connection(error):
            return "no connection"
        if "requires an async driver" in text:
            return "async driver"
        if "event loop" in text or "AnyIO" in text:
            return "event loop"
        if self.redirection.other_dialects:
            return "other dialect"
        return "other"

    def _variables_named(self, error: BaseException) -> list[str]:
        """Return the variables whose absence an error is about, by name."""
        names: list[str] = []
        for link in chain_of(error):
            if isinstance(link, KeyError) and link.args and link.args[0] in self.absent:
                names.append(link.args[0])
            elif is_validation(link):
                names.extend(settings_named(link))
        if not names and not isinstance(error, ModuleNotFoundError):
            words = set(re.findall(r"\b[A-Z][A-Z0-9_]{3,}\b", str(error)))
            names = [name for name in self.absent if name in words]
        return list(dict.fromkeys(names))

    def _run(self, function: Callable[..., Any], dont_mutate: bool) -> None:
        try:
            self.environment.run(function, dont_mutate)
        finally:
            self.watch.finish()
            self.redirection.dispose()
            gc.collect()

    def run(self, request: dict[str, Any]) -> dict[str, Any]:
        """Execute steps in one run of env.py, as `alembic upgrade heads` would."""
        self.redirection.target = request["target"]
        self.redirection.other_dialects = []
        self.watch.reset(request["observe"])
        steps = Steps(self, request["steps"])
        error = None
        try:
            self._run(steps.function, dont_mutate=False)
        except BaseException as raised:  # noqa: BLE001  # a stranger's code raises anything
            error = steps.place(raised)
        return {
            "kind": "done",
            "error": error,
            "fn_calls": steps.fn_calls,
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

    def drift(self, request: dict[str, Any]) -> dict[str, Any]:
        """Ask autogenerate what it would change, with env.py's own options."""
        operations: list[str] = []
        seen = {"metadata": False}

        def compare(heads: Any, context: Any) -> list[Any]:
            if metadatas_of(context):
                seen["metadata"] = True
                operations.extend(read_drift(context))
            return []

        answer = self._simple(request, compare, dont_mutate=True)
        answer["operations"] = list(dict.fromkeys(operations)) if seen["metadata"] else None
        return answer

    def _simple(
        self, request: dict[str, Any], function: Callable[..., Any], dont_mutate: bool
    ) -> dict[str, Any]:
        self.redirection.target = request["target"]
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


class Steps:
    """The requested steps, fed to Alembic one by one."""

    def __init__(self, session: Session, requested: list[dict[str, str]]) -> None:
        self.session = session
        self.watch = session.watch
        self.requested = requested
        self.fn_calls = 0
        self.active: int | None = None
        self.failed: BaseException | None = None
        self._began = 0.0

    def function(self, heads: Any, context: Any) -> Iterator[Any]:
        self.fn_calls += 1
        session, script = self.session, self.session.environment.script
        session._find_versions()
        current = set(heads)
        migration = importlib.import_module("alembic.runtime.migration")
        for index, request in enumerate(self.requested):
            revision = script.get_revision(request["revision"])
            is_upgrade = request["direction"] == "upgrade"
            if is_upgrade and is_applied(script, revision, current):
                self.watch.answers.send({"kind": "applied", "step": index})
                continue
            is_again = not is_upgrade and self.fn_calls > 1
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

    def _begin(self, index: int) -> None:
        self.active = index
        self.failed = None
        self._began = time.perf_counter()
        self.watch.answers.send({"kind": "begin", "step": index})

    def _end(self, error: dict[str, Any] | None) -> None:
        self.watch.answers.send(
            {
                "kind": "end",
                "step": self.active,
                "completed": error is None,
                "seconds": time.perf_counter() - self._began,
                "error": error,
            }
        )
        self.active = None

    def _watched(self, revision: Any, name: str) -> Callable[..., None]:
        """Return the revision's function, from a fresh import of its file."""
        places, watch, index = self.session.places, self.watch, self.active

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


def origin_of(connection: Any) -> dict[str, str | None] | None:
    """Return where a connection would have gone; PostgreSQL's port written out."""
    origin: dict[str, str | None] | None = connection.info.get(ORIGIN)
    if origin is not None and origin["host"] is not None and origin["dialect"] == "postgresql":
        return {**origin, "port": origin["port"] or "5432"}
    return origin


def is_clean_exit(error: BaseException) -> bool:
    """Tell an env.py that ends with `sys.exit()` from one that fails."""
    return isinstance(error, SystemExit) and error.code in (None, 0)


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


def is_validation(error: BaseException) -> bool:
    """Tell pydantic's ValidationError, of either major, without importing it."""
    return type(error).__name__ == "ValidationError" and callable(getattr(error, "errors", None))


def settings_named(error: Any) -> list[str]:
    """Return the variables of a settings class for whose absence pydantic complains."""
    names = []
    for entry in error.errors():
        if entry.get("type") in ("missing", "value_error.missing") and entry.get("loc"):
            names.append((settings_prefix(error) + str(entry["loc"][0])).upper())
    return names


def settings_prefix(error: Any) -> str:
    model = getattr(error, "model", None)  # pydantic 1
    if model is not None:
        return str(getattr(model.__config__, "env_prefix", ""))
    base = getattr(sys.modules.get("pydantic_settings"), "BaseSettings", None)
    todo = [] if base is None else [base]
    while todo:
        candidate = todo.pop()
        if candidate.__name__ == error.title:
            return str(candidate.model_config.get("env_prefix", ""))
        todo.extend(candidate.__subclasses__())
    return ""


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
    return os.path.dirname(os.path.abspath(__file__))


def moved(path: str, repository: str, checkout: str) -> str:
    inside = path == repository or path.startswith(repository + os.sep)
    if not inside or path.startswith(sys.prefix + os.sep):
        return path
    return checkout + path[len(repository) :]


# --- Drift ---------------------------------------------------------------------------


def metadatas_of(context: Any) -> list[Any]:
    """Return the metadata that env.py gave, as a list; empty ones count."""
    given = context.opts.get("target_metadata")
    if given is None:
        return []
    return list(given) if isinstance(given, (list, tuple)) else [given]


def read_drift(context: Any) -> list[str]:
    """Return autogenerate's operations as sentence fragments with the user's names."""
    autogenerate = importlib.import_module("alembic.autogenerate")
    given = context.opts["target_metadata"]
    script = autogenerate.produce_migrations(context, given)
    schema = context.connection.dialect.default_schema_name
    return [
        sentence
        for operation in flatten(script.upgrade_ops)
        if not drops_version_table(operation, context)
        for sentence in tell_operation(operation, schema)
    ]


def flatten(operations: Any) -> Iterator[Any]:
    for operation in operations.ops:
        if hasattr(operation, "ops"):
            yield from flatten(operation)
        else:
            yield operation


def drops_version_table(operation: Any, context: Any) -> bool:
    if type(operation).__name__ != "DropTableOp":
        return False
    return bool(operation.table_name == context.version_table)


def tell_operation(operation: Any, default_schema: str) -> list[str]:
    to_diff = getattr(operation, "to_diff_tuple", None)
    if to_diff is None:  # an operation of a plug-in
        words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(operation).__name__)
        return [words.lower()]
    diff = to_diff()
    diffs = diff if isinstance(diff, list) else [diff]
    return [tell_diff(one, default_schema) for one in diffs]


def tell_diff(diff: Any, default_schema: str) -> str:
    """Return one of autogenerate's differences in words, such as "add column public.a.b"."""
    kind = diff[0]
    if kind.startswith("modify_"):
        _, schema, table, column, _, old, new = diff
        thing = kind[len("modify_") :]
        what = f"{schema or default_schema}.{table}.{column}"
        return f"change {thing} of column {what} from {tell_value(old)} to {tell_value(new)}"
    verb, _, thing = kind.partition("_")
    verb = "drop" if verb == "remove" else verb
    if kind in ("add_column", "remove_column"):
        _, schema, table, column = diff
        return f"{verb} column {schema or default_schema}.{table}.{column.name}"
    element = diff[1]
    if thing in ("table", "table_comment"):
        what = "table" if thing == "table" else "comment of table"
        return f"{verb} {what} {element.schema or default_schema}.{element.name}"
    table = getattr(element, "table", None)
    if table is None:
        return f"{verb} {thing.replace('_', ' ')}"
    name = element.name or "(" + ", ".join(column.name for column in element.columns) + ")"
    words = {"fk": "foreign key", "constraint": tell_constraint(element)}.get(thing, thing)
    return f"{verb} {words} {name} on {table.schema or default_schema}.{table.name}"


def tell_constraint(constraint: Any) -> str:
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(constraint).__name__)
    return words.lower()


def tell_value(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "null" if value else "not null"
    argument = getattr(value, "arg", value)
    return str(getattr(argument, "text", argument))


# --- The process ---------------------------------------------------------------------


def main() -> None:
    requests = os.fdopen(os.dup(0), "rb")
    answers = Answers(os.dup(1))
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)  # what the project prints goes where its errors go
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    session = Session(answers)
    for line in requests:
        request = json.loads(line)
        if request["kind"] == "finish":
            break
        answers.send(getattr(session, request["kind"])(request))
    answers.send({"kind": "finished"})
    os._exit(0)  # threads that the project left behind don't hold it up


if __name__ == "__main__":
    main()
