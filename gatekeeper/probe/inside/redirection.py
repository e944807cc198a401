"""Where connections go: to the database that a request names, or nowhere."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import weakref
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from .drivers import ASYNC_DRIVERS, ASYNC_DRIVERS_ANYWHERE, SYNC_DRIVERS, DriverFinder
from .encryption import encrypted
from .installed import is_installed, sqlalchemy_version

# The same text as `gatekeeper.postgres.databases.MARKER_QUERY`.
MARKER_QUERY = """
SELECT coalesce(
    nullif(pg_catalog.current_setting('gatekeeper.marker', true), ''),
    pg_catalog.shobj_description(oid, 'pg_database')
) FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()
"""
# The same text as `gatekeeper.postgres.target.IDENTITY_QUERY`. Names are qualified, for a role
# may have any search path; no percent sign, for any driver.
IDENTITY_QUERY = """
SELECT pg_catalog.concat(system_identifier, '/', oid)
FROM pg_catalog.pg_control_system(), pg_catalog.pg_database
WHERE datname = pg_catalog.current_database()
"""
ORIGINS_KEPT = 20
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
# The key under which it remembers to which of the target's databases it leads.
DATABASE = "gatekeeper database"
# The key under which it remembers the identity of the real database that it leads to.
IDENTITY = "gatekeeper identity"
# The key under which it remembers that its session is set up.
SETTLED = "gatekeeper settled"


class Refused(RuntimeError):
    """A connection that would not have led to the database of the request."""


class Redirection:
    """Sends every connection that SQLAlchemy makes to a target, or refuses it.

    There is one target for each database that env.py migrates; what else it connects to is
    the first one's.
    The listeners sit on the `Engine` class, so engines that exist already and those of
    async engines are covered; `creator=` and `pool=`, which would go past them, are taken
    out of the arguments of `create_engine`, and the marker catches what is left.
    """

    def __init__(self, prefers_async: bool, checkout: str) -> None:
        self.targets: list[dict[str, Any]] = []
        self.prefers_async = prefers_async
        self.checkout = os.path.realpath(checkout)
        self.origins: list[dict[str, str | None]] = []
        self.other_dialects: list[str] = []
        self.drivers: list[str] = []
        self.notes: list[str] = []
        self.engines: weakref.WeakSet[Any] = weakref.WeakSet()
        # The addresses of all first targets: variables and options keep an old one.
        self._own: set[tuple[str, str, str]] = set()
        # Where engines of another dialect would have gone, by their dialect's object.
        self._others: weakref.WeakKeyDictionary[Any, dict[str, str | None]]
        self._others = weakref.WeakKeyDictionary()
        self._first_origins: weakref.WeakKeyDictionary[Any, dict[str, str | None]]
        self._first_origins = weakref.WeakKeyDictionary()

    @property
    def target(self) -> dict[str, Any]:
        return self.targets[0]

    def aim(self, target: dict[str, Any]) -> None:
        """Send what is connected from now on to the target, or to one of its others."""
        self.targets = [target, *target["others"]]
        self._own.update(map(_address, self.targets))

    def install(self) -> None:
        sqlalchemy = importlib.import_module("sqlalchemy")
        with contextlib.suppress(ImportError):  # without greenlet there is no asyncio
            importlib.import_module("sqlalchemy.ext.asyncio")
        engine_class = importlib.import_module("sqlalchemy.engine").Engine
        event = importlib.import_module("sqlalchemy.event")
        event.listen(engine_class, "do_connect", self._on_do_connect)
        event.listen(engine_class, "connect", self._on_connect, insert=True)
        event.listen(engine_class, "engine_connect", self._on_engine_connect)
        event.listen(engine_class, "before_cursor_execute", self._on_execute)
        sys.meta_path.insert(0, DriverFinder(self.redirect))
        replace_everywhere(sqlalchemy.create_engine, self._wrap_create_engine)
        replace_everywhere(sqlalchemy.engine_from_config, self._wrap_from_config)
        asynchronous = sys.modules.get("sqlalchemy.ext.asyncio")
        from_config = getattr(asynchronous, "async_engine_from_config", None)
        if from_config is not None:
            replace_everywhere(from_config, self._wrap_from_config)

    def url(self, driver: str | None = None) -> str:
        """Return the target as a URL, for options and variables that need one.

        That of a real database has no password: `_lead` gives it to the driver alone.
        """
        scheme = "postgresql" if driver is None else "postgresql+" + driver
        target = self.target
        host = f"[{target['host']}]" if ":" in target["host"] else quote(target["host"], "")
        user, database = quote(target["user"], ""), quote(target["database"], "")
        password = "" if target["identity"] is not None else ":" + target["password"]
        return f"{scheme}://{user}{password}@{host}:{target['port']}/{database}"

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
        named, driver = driver, self._usable_driver(driver, is_async)
        if url is not None and backend in ("postgresql", "postgres"):
            self._note_driver(named, driver)
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

    def _note_driver(self, named: str | None, taken: str | None) -> None:
        """Note a driver that is not there: another one ends transactions in its own way."""
        if named is None or is_installed(named):
            return
        note = f"{named}, the driver that the project names, is not installed: {taken} was taken"
        if taken != named and note not in self.notes:
            self.notes.append(note)

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
            "database": None if database is None else self._in_checkout(str(database)),
        }
        if _address(origin) in self._own:
            return {**origin, "host": None, "port": None, "database": None}
        if origin not in self.origins and len(self.origins) < ORIGINS_KEPT:
            self.origins.append(origin)
        return origin

    def _in_checkout(self, database: str) -> str:
        """Return a file as it is in every copy of the project, any other name as it is."""
        path = os.path.realpath(database)
        if os.path.isabs(database) and path.startswith(self.checkout + os.sep):
            return os.path.relpath(path, self.checkout)
        return database

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
        if origin["host"] is None:
            # SQLAlchemy 1.4 keeps what `_lead` writes and gives it again for the next one.
            origin = self._first_origins.get(dialect, origin)
        self._first_origins[dialect] = origin
        if conn_rec is not None:
            conn_rec.info[ORIGIN] = origin
        self._lead(cparams, dialect.driver, self._target_of(origin))
        if isinstance(cargs, list):
            del cargs[:]

    def redirect(self, parameters: dict[str, Any], driver: str) -> None:
        """Make a driver's connection parameters lead to a target.

        Those that SQLAlchemy gives the driver do already.
        """
        there = {
            "host": parameters.get("host"),
            "port": parameters.get("port"),
            "database": parameters.get("dbname", parameters.get("database")),
        }
        for target in self.targets:
            if _address(target) == _address(there):
                return self._lead(parameters, driver, target)
        origin = self._note_origin("postgresql", **there)
        return self._lead(parameters, driver, self._target_of(origin))

    def _target_of(self, origin: dict[str, str | None]) -> dict[str, Any]:
        """Return the target that stands for an origin; for an unknown one the first does."""
        written = _with_port(origin)
        return next((t for t in self.targets if t["origin"] == written), self.target)

    def _lead(self, parameters: dict[str, Any], driver: str, target: dict[str, Any]) -> None:
        for key in list(parameters):
            if key in WHERE_TO or key.startswith("ssl"):
                del parameters[key]
        is_libpq = driver.startswith("psycopg")
        for key in ("host", "port", "user", "password"):
            parameters[key] = target[key]
        parameters["dbname" if is_libpq else "database"] = target["database"]
        encrypted(parameters, driver, target)
        name = target["settings"].get("application_name")
        if name is not None and driver == "asyncpg":
            given = parameters.get("server_settings") or {}
            parameters["server_settings"] = {**given, "application_name": name}
        elif name is not None:
            parameters["application_name"] = name

    def _on_connect(self, dbapi_connection: Any, connection_record: Any) -> None:
        """Refuse a server that does not show what it should; runs before the app's listeners."""
        module = type(dbapi_connection).__module__
        if module.startswith("sqlite3"):
            raise Refused("a connection to sqlite instead of PostgreSQL was refused")
        is_real = self.target["identity"] is not None
        proof, query = ("identity", IDENTITY_QUERY) if is_real else ("marker", MARKER_QUERY)
        cursor = dbapi_connection.cursor()
        try:
            cursor.execute(query)
            shown = cursor.fetchone()[0]
        finally:
            cursor.close()
        dbapi_connection.rollback()
        number = next((n for n, t in enumerate(self.targets) if t[proof] == shown), None)
        if shown is None or number is None:
            dbapi_connection.close()
            name = "target" if is_real else "ephemeral one"
            raise Refused(f"a connection led to a database that is not the {name} and was refused")
        connection_record.info[DATABASE] = number
        connection_record.info[IDENTITY] = self.target["identity"]
        if self.targets[number]["settings"]:
            _set(dbapi_connection, self.targets[number]["settings"])

    def _on_engine_connect(self, conn: Any, *branch: Any) -> None:
        """Set once more what a listener of the application may have set when it connected."""
        settings = self.target["settings"]
        if settings and not conn.info.get(SETTLED):
            conn.info[SETTLED] = True
            fairy = conn.connection
            _set(getattr(fairy, "dbapi_connection", None) or fairy.connection, settings)

    def _on_execute(self, conn: Any, *statement: Any) -> None:
        """Refuse a connection that was kept from a request for another kind of database."""
        if conn.info.get(IDENTITY) != self.target["identity"]:
            raise Refused("a connection was kept that leads to another database, and was refused")


def _set(dbapi_connection: Any, settings: dict[str, str]) -> None:
    """Set what counts until the session's end, committed: a rollback would take it back."""
    cursor = dbapi_connection.cursor()
    try:
        for name, value in settings.items():
            name, value = (text.replace("'", "''") for text in (name, value))
            cursor.execute(f"SELECT pg_catalog.set_config('{name}', '{value}', false)")
    finally:
        cursor.close()
    dbapi_connection.commit()


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


def origin_of(connection: Any) -> dict[str, str | None] | None:
    """Return where a connection would have gone; PostgreSQL's port written out."""
    origin: dict[str, str | None] | None = connection.info.get(ORIGIN)
    return None if origin is None else _with_port(origin)


def database_of(connection: Any) -> int:
    """Return to which of the target's databases a connection leads, by number."""
    return int(connection.info[DATABASE])


def _with_port(origin: dict[str, str | None]) -> dict[str, str | None]:
    if origin["host"] is not None and origin["dialect"] == "postgresql":
        return {**origin, "port": origin["port"] or "5432"}
    return origin


def _address(place: dict[str, Any]) -> tuple[str, str, str]:
    return str(place["host"]), str(place["port"]), str(place["database"])
