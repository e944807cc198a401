"""A PostgreSQL server for a rehearsal: one that is given, or one of our own for this run."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import re
import secrets
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg2
import sqlalchemy.engine
import sqlalchemy.exc
from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class
from psycopg2.extensions import quote_ident

from gatekeeper.errors import ConfigError, DatabaseError
from gatekeeper.model import ServerInfo, ServerSource
from gatekeeper.postgres.clusters import Cluster, run_cluster
from gatekeeper.postgres.installations import (
    OLDEST_MAJOR,
    Account,
    Installation,
    choose_account,
    choose_installation,
    find_installations,
)
from gatekeeper.postgres.roles import NOTE, Login, Roles
from gatekeeper.postgres.server_wide import ServerWide

DATABASE_PREFIX = "gatekeeper_"

_STARTING_UP_SECONDS = 10

# Of libpq (manual, section 34.1.2); a URL for another driver has others, such as `ssl`.
_TLS_PARAMETERS = ("sslmode", "sslrootcert", "sslcert", "sslkey", "sslpassword", "sslcrl")


@dataclass(frozen=True)
class Server:
    """A running server that databases may be created on.

    `parameters` are what else a client needs to connect, such as `sslmode`. `account` is
    whom a server of our own runs under, None where that is ourselves. `run_id` is in the
    names of all databases of this run, of whose roles `roles` knows; `wide` knows what
    their migrations have done beyond them.
    """

    info: ServerInfo
    host: str
    port: int
    user: str
    password: str = field(repr=False)
    maintenance_database: str
    run_id: str
    roles: Roles
    parameters: Mapping[str, str] = field(default_factory=dict, repr=False)
    wide: ServerWide = field(default_factory=ServerWide, repr=False)
    account: Account | None = None
    cluster: Cluster | None = field(default=None, repr=False)
    _administration: list[Connection] = field(default_factory=list, repr=False)
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1), repr=False)

    def connect(self, database: str, autocommit: bool = True) -> Connection:
        """Open a connection to one of the server's databases; the caller closes it."""
        parameters: dict[str, Any] = {**self.parameters}
        try:
            connection: Connection = psycopg2.connect(
                host=self.host,
                port=self.port,
                user=self.user,
                password=self.password,
                dbname=database,
                connect_timeout=10,
                # A connection that waits for hours is to be noticed where it has broken, and
                # not to be forgotten by what stands between.
                keepalives_idle=30,
                keepalives_interval=10,
                keepalives_count=3,
                tcp_user_timeout=30_000,
                application_name=f"{DATABASE_PREFIX}{self.run_id}",
                **parameters,
            )
        except psycopg2.OperationalError as error:
            raise self.lost(error) from error
        connection.autocommit = autocommit
        return connection

    def administer(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """Run a statement of server administration and return its rows, if it has any.

        All go through one connection, which is kept for the whole run and tells other
        runs that this one is alive.
        """
        had_one = bool(self._administration)
        try:
            return self._administer(sql, values)
        except psycopg2.Error as error:
            # A migration may have ended all sessions of its role, this one among them.
            if not had_one or not self._administration[0].closed:
                raise self.lost(error) from error
        self.close()
        try:
            return self._administer(sql, values)
        except psycopg2.Error as error:
            raise self.lost(error) from error

    def _administer(self, sql: str, values: tuple[object, ...]) -> list[tuple[Any, ...]]:
        if not self._administration:
            self._administration.append(self.connect(self.maintenance_database))
        with self._administration[0].cursor() as cursor:
            cursor.execute(sql, values or None)
            return [] if cursor.description is None else cursor.fetchall()

    def use_roles_of(self, database: str) -> None:
        """Make what all databases share, roles first, that of a database of this run."""
        self.wide.look(self.administer, self.roles.is_superuser)
        before = self.roles.in_use
        self.roles.enter(self.administer, database)
        if self.roles.in_use != before:
            self.wide.switch(self.administer, self._quote, before, self.roles.in_use)

    def copy_roles(self, template: str, clone: str) -> None:
        """Give a clone, which was made just now, the roles of its template."""
        self.roles.copy(self.administer, template, clone)
        self.wide.copy(self.administer, clone)

    def claim(self, texts: Iterable[str]) -> None:
        """Take note of what statements have done to what all databases of a server share."""
        texts = list(texts)
        self.roles.claim(self.administer, texts)
        self.wide.claim(self.administer, texts)

    def make_role(self, name: str, options: str = "NOLOGIN") -> None:
        """Make a role that all databases of this run have; it is dropped with the run."""
        self.administer(f"CREATE ROLE {quote(self, name)} {options}")
        if not self.roles.is_superuser:
            self.administer(f"GRANT {quote(self, name)} TO CURRENT_USER")
        self.roles.adopt(self.administer, name)

    def _quote(self, identifier: str) -> str:
        return quote(self, identifier)

    def next_database_name(self) -> str:
        """Return a name that no other database of this server has."""
        return f"{DATABASE_PREFIX}{self.run_id}_{next(self._numbers)}"

    def close(self) -> None:
        """Close the connection of `administer`."""
        for connection in self._administration:
            connection.close()
        self._administration.clear()

    def lost(self, error: psycopg2.Error) -> DatabaseError:
        """Return the error to raise where a connection failed, broke or was refused."""
        where = f"{self.host}:{self.port}"
        if not isinstance(error, (psycopg2.OperationalError, psycopg2.InterfaceError)):
            return DatabaseError(
                f"PostgreSQL refused what a rehearsal needs: {_one_line(error)}",
                where=where,
                fix="See what the migrations change of the server, its roles and databases.",
            )
        if self.cluster is None and re.search("FATAL: .*(auth|role|pg_hba)", str(error)):
            return DatabaseError(
                f"PostgreSQL let nobody in: {_one_line(error)}",
                where=where,
                fix="Correct the user and password of `--database-url` "
                "(`GATEKEEPER_DATABASE_URL`): `postgresql://user:password@host:5432/postgres`.",
            )
        if self.cluster is None:
            return DatabaseError(
                f"PostgreSQL did not answer: {_one_line(error)}",
                where=where,
                fix="See that the server of `--database-url` runs and accepts connections.",
            )
        if self.cluster.has_ended:
            return DatabaseError(
                f"the PostgreSQL server of this run ended. Its last words:\n"
                f"{self.cluster.read_log()}",
                where=where,
                fix="Run again; if it was killed for want of memory, give the job more.",
            )
        return DatabaseError(
            f"the PostgreSQL server of this run did not answer: {_one_line(error)}",
            where=where,
            fix="Run again.",
        )


@contextlib.contextmanager
def open_server(
    database_url: str | None,
    *,
    temporary_root: Path | None = None,
    run_as: Account | None = None,
    hidden: Collection[Path] = (),
    production: str | None = None,
) -> Iterator[Server]:
    """Yield the server of the URL, else one of our own that ends with the block.

    `temporary_root` is where a server of our own keeps its files; by default in memory
    where there is room. `run_as` and `hidden`, folders that its programs must not look
    into, count only where we are root. `production` is the major version to prefer.
    """
    with contextlib.ExitStack() as stack:
        if database_url is not None:
            server = stack.enter_context(_use_service(database_url))
        else:
            account = choose_account(run_as)
            installation = choose_installation(find_installations(account), production)
            own = start_server(
                installation, temporary_root=temporary_root, run_as=account, hidden=hidden
            )
            server = stack.enter_context(own)
        yield dataclasses.replace(
            server, info=dataclasses.replace(server.info, production=production)
        )


@contextlib.contextmanager
def start_server(
    installation: Installation,
    *,
    temporary_root: Path | None = None,
    run_as: Account | None = None,
    hidden: Collection[Path] = (),
) -> Iterator[Server]:
    """Yield a new server of the installation; it is gone when the block ends.

    As root `run_as` defaults to the account `postgres` or, without one, `nobody`.
    """
    account = choose_account(run_as)
    with run_cluster(installation, temporary_root, account, hidden) as cluster:
        run_id = secrets.token_hex(6)
        server = Server(
            info=ServerInfo(installation.source, cluster.installation.version),
            host="127.0.0.1",
            port=cluster.port,
            user="postgres",
            password=cluster.password,
            maintenance_database="postgres",
            run_id=run_id,
            roles=_roles_of_run(run_id, ours=None),
            # It has no certificate; a PGSSLMODE of the surroundings must not ask for one.
            parameters={"sslmode": "disable", "gssencmode": "disable"},
            account=account,
            cluster=cluster,
        )
        with contextlib.closing(server):
            yield server


# --- A server that is given ----------------------------------------------------------


@contextlib.contextmanager
def _use_service(database_url: str) -> Iterator[Server]:
    server = _reach_service(database_url)
    try:
        _sweep(server)
        yield server
        _drop_databases(server, f"{DATABASE_PREFIX}{server.run_id}_")
        leave_clean(server)
    except BaseException:
        # What broke the block is what has to be told, not that cleaning failed as well.
        with contextlib.suppress(DatabaseError):
            _drop_databases(server, f"{DATABASE_PREFIX}{server.run_id}_")
            leave_clean(server)
        raise
    finally:
        server.close()


def read_url(database_url: str, option: str) -> Server:
    """Return the server that a URL names, not yet reached; its version is unknown.

    `option` is where a person gave the URL.
    """
    url = parse_url(database_url, option)
    # A list of hosts (`?host=a&host=b`) is for clients that look for the primary.
    host = url.host or _first(url.query.get("host")) or "localhost"
    port = url.port or int(_first(url.query.get("port")) or 5432)
    run_id = secrets.token_hex(6)
    return Server(
        info=ServerInfo(ServerSource.SERVICE, "0"),
        host=host,
        port=port,
        user=url.username or "postgres",
        password=url.password or "",
        maintenance_database=url.database or "postgres",
        run_id=run_id,
        roles=_roles_of_run(run_id, ours=set()),
        parameters={
            name: str(_first(value)) for name, value in url.query.items() if name in _TLS_PARAMETERS
        },
    )


def _roles_of_run(run_id: str, ours: set[int] | None) -> Roles:
    prefix = f"{DATABASE_PREFIX}{run_id}_"
    return Roles(prefix, Login(f"{prefix}owner", secrets.token_hex(16)), ours=ours)


def _reach_service(database_url: str) -> Server:
    server = read_url(database_url, "--database-url")
    where = f"{server.host}:{server.port}"
    connection = _connect_when_started(server)
    major, minor = divmod(connection.server_version, 10_000)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT rolcreatedb OR rolsuper, rolsuper FROM pg_catalog.pg_roles"
            " WHERE rolname = current_user"
        )
        row = cursor.fetchone()
        cursor.execute("SELECT oid::bigint FROM pg_catalog.pg_roles")
        server.roles.others.update(oid for (oid,) in cursor.fetchall())
        # This connection is the sign of life that other runs look for.
        if major >= OLDEST_MAJOR:
            cursor.execute("SET idle_session_timeout = 0")
    server._administration.append(connection)
    if major < OLDEST_MAJOR:
        server.close()
        raise DatabaseError(
            f"the server is PostgreSQL {major}.{minor}; gatekeeper needs {OLDEST_MAJOR} or newer",
            where=where,
            fix="Give `--database-url` a server of the major version that production runs.",
        )
    if row is None or not row[0]:
        server.close()
        raise DatabaseError(
            f'the role "{server.user}" may not create databases',
            where=where,
            fix=f'Let it: `ALTER ROLE "{server.user}" CREATEDB;`, or name another role in '
            "`--database-url`.",
        )
    server.roles.is_superuser = row[1]
    info = ServerInfo(ServerSource.SERVICE, f"{major}.{minor}")
    return dataclasses.replace(server, info=info)


def parse_url(database_url: str, option: str) -> sqlalchemy.engine.URL:
    """Return the parts of a URL of PostgreSQL; `option` is where a person gave it."""
    fix = "Write it as `postgresql://user:password@host:5432/postgres`."
    try:
        # A secret that was stored with `echo` ends with a newline.
        url = sqlalchemy.engine.make_url(database_url.strip())
        int(_first(url.query.get("port")) or 0)
    except (sqlalchemy.exc.ArgumentError, ValueError):
        # The URL itself is not repeated: it may hold a password. Nor is the cause chained.
        raise ConfigError("the database URL cannot be read", where=option, fix=fix) from None
    if url.drivername.split("+")[0] not in ("postgres", "postgresql"):
        raise ConfigError(
            f"the database URL is one of {url.drivername}, not of PostgreSQL",
            where=option,
            fix=fix,
        )
    if "@" in (url.host or ""):  # what is read as the host is the end of the password
        raise ConfigError(
            "the database URL has an `@` too many",
            where=option,
            fix="Write `@` in the user or password as `%40`, `:` as `%3A`, `/` as `%2F`.",
        )
    return url


def _first(value: str | tuple[str, ...] | None) -> str | None:
    if isinstance(value, tuple):
        return value[0]
    return value


def _connect_when_started(server: Server) -> Connection:
    """Connect, with patience only for a server that says it is starting up."""
    deadline = time.monotonic() + _STARTING_UP_SECONDS
    while True:
        try:
            return server.connect(server.maintenance_database)
        except DatabaseError as error:
            # libpq gives no SQLSTATE for a refused connection, only this text.
            if "the database system is starting up" not in error.what:
                raise
            if time.monotonic() > deadline:
                raise
        time.sleep(0.1)


def _sweep(server: Server) -> None:
    """Drop the databases that killed runs have left on the server, and their roles."""
    # The databases first: a run connects before it creates one.
    names = _list_databases(server, DATABASE_PREFIX)
    owners = server.administer(
        "SELECT rolname FROM pg_catalog.pg_roles WHERE rolname ~ '^gatekeeper_[0-9a-f]{12}_owner$'"
    )
    rows = server.administer("SELECT DISTINCT application_name FROM pg_catalog.pg_stat_activity")
    alive = {application_name for (application_name,) in rows}

    def is_left(name: str) -> bool:
        return name.rpartition("_")[0] not in alive

    noted = _list_noted_roles(server, [name for name in names if is_left(name)])
    for name in filter(is_left, names):
        # Another run may be sweeping the same one; what is left, the next run drops.
        with contextlib.suppress(DatabaseError):
            _drop(server, name)
    for name in (*noted, *(owner for (owner,) in owners if is_left(owner))):
        with contextlib.suppress(DatabaseError):
            server.administer(f"DROP ROLE IF EXISTS {quote(server, name)}")


def _list_noted_roles(server: Server, databases: Collection[str]) -> list[str]:
    """Return the roles of which runs have noted in their databases that they made them."""
    rows = server.administer(
        "SELECT r.rolname FROM pg_catalog.pg_database d"
        " JOIN pg_catalog.pg_db_role_setting s ON s.setdatabase = d.oid"
        " JOIN pg_catalog.pg_roles a ON a.oid = s.setrole AND a.rolname = current_user,"
        " pg_catalog.unnest(s.setconfig) setting, pg_catalog.pg_roles r"
        " WHERE d.datname = ANY (%s) AND pg_catalog.split_part(setting, '=', 1) = %s"
        " AND r.oid::text = ANY (pg_catalog.string_to_array("
        "pg_catalog.split_part(setting, '=', 2), ','))",
        list(databases),
        NOTE,
    )
    return [name for (name,) in rows]


def leave_clean(server: Server) -> tuple[str, ...]:
    """Take back what migrations did to the server itself; return what there is to say.

    The databases of the run are gone by then, and what its roles owned with them.
    """
    is_superuser = server.roles.is_superuser
    server.wide.restore(server.administer, server._quote, is_superuser)
    left = []
    for name in server.roles.list_made(server.administer):
        try:
            server.administer(f"DROP ROLE IF EXISTS {quote(server, name)}")
        except DatabaseError as error:
            left.append(f"the role {name} is left on the server: {error.what}")
    unclear = (
        f"the role {name} came up on the server meanwhile and is left: it may be another's"
        for name in sorted(server.roles.unclear)
    )
    return (*server.wide.tell(server.administer, is_superuser), *left, *unclear)


def _drop_databases(server: Server, prefix: str) -> None:
    for name in _list_databases(server, prefix):
        _drop(server, name)


def _list_databases(server: Server, prefix: str) -> list[str]:
    rows = server.administer(
        "SELECT datname FROM pg_catalog.pg_database"
        " WHERE pg_catalog.starts_with(datname, %s)"
        " AND datname ~ '^gatekeeper_[0-9a-f]{12}_[0-9]+$'"
        " AND pg_catalog.pg_has_role(datdba, 'USAGE') ORDER BY oid",
        prefix,
    )
    return [name for (name,) in rows]


def _drop(server: Server, name: str) -> None:
    server.administer(f"DROP DATABASE IF EXISTS {quote(server, name)} WITH (FORCE)")


def quote(server: Server, identifier: str) -> str:
    """Return an identifier as it is written in SQL."""
    if not server._administration:
        server.administer("SELECT 1")
    return quote_ident(identifier, server._administration[0])


def _one_line(error: psycopg2.Error) -> str:
    return " ".join(str(error).split())
