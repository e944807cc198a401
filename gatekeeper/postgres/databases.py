"""Ephemeral databases: made empty or as a clone, marked as ours, and dropped."""

from __future__ import annotations

import contextlib
import difflib
import secrets
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import psycopg2
from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class

from gatekeeper.errors import DatabaseError
from gatekeeper.postgres.roles import Login
from gatekeeper.postgres.servers import Server, quote

# Returns the marker of the database that a session is in, or NULL. It is a setting where
# we may make one; for that PostgreSQL asks more than CREATEDB, a comment only ownership.
MARKER_QUERY = """
SELECT coalesce(
    nullif(pg_catalog.current_setting('gatekeeper.marker', true), ''),
    pg_catalog.shobj_description(oid, 'pg_database')
) FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()
"""

_END_SECONDS = 5


@dataclass(frozen=True)
class Database:
    """A database of this run.

    `MARKER_QUERY` gives `marker` in every session of it; a session where it does not is one
    of another database, which the project must not touch. `owner` is whom migrations run
    as, None where that is the administrator.
    """

    server: Server
    name: str
    marker: str = field(repr=False)
    owner: Login | None = None

    def connect(self, autocommit: bool = True) -> Connection:
        """Open a connection, with the roles that are the database's; the caller closes it."""
        self.server.use_roles_of(self.name)
        return self.server.connect(self.name, autocommit)

    @contextlib.contextmanager
    def session(self, autocommit: bool = True) -> Iterator[Connection]:
        """Yield a connection that is closed with the block; what goes wrong is said."""
        with contextlib.closing(self.connect(autocommit)) as connection, self.telling():
            yield connection

    @contextlib.contextmanager
    def telling(self) -> Iterator[None]:
        """Turn psycopg2's errors inside the block into `DatabaseError`."""
        try:
            yield
        except psycopg2.Error as error:
            raise self.server.lost(error) from error


@contextlib.contextmanager
def open_database(
    server: Server, template: Database | None = None, extensions: Sequence[str] = ()
) -> Iterator[Database]:
    """Yield a new database that is dropped when the block ends."""
    database = create_database(server, template, extensions)
    try:
        yield database
    finally:
        drop_database(database)


def create_database(
    server: Server, template: Database | None = None, extensions: Sequence[str] = ()
) -> Database:
    """Return a new database: a clone of the template, else an empty one.

    A template must have no session; those that it has are ended.
    """
    if template is not None:
        server.use_roles_of(template.name)
        end_backends(template)
    database = Database(
        server,
        server.next_database_name(),
        secrets.token_hex(16),
        owner=None if template is None else template.owner,
    )
    name = quote(server, database.name)
    # template0 and not template1: nothing that somebody installed there, and never a
    # session that would stand in the way.
    source = quote(server, "template0" if template is None else template.name)
    owner = "" if database.owner is None else f" OWNER {quote(server, database.owner.name)}"
    server.administer(f"CREATE DATABASE {name} TEMPLATE {source}{owner}")
    # On majors 15 and newer this clones by WAL: 12 ms for an empty database, 30 ms for 100
    # tables and 115 ms for 400, where STRATEGY file_copy takes 42, 50 and 80.
    mark(database)
    if template is not None:
        _copy_settings(template, database)
        server.copy_roles(template.name, database.name)
    if extensions:
        try:
            _create_extensions(database, extensions)
        except DatabaseError:
            drop_database(database)
            raise
    return database


def mark(database: Database) -> None:
    """Let every session of a database show its marker."""
    # A clone does not take over the settings and the comment of its template.
    name = quote(database.server, database.name)
    try:
        database.server.administer(
            f"ALTER DATABASE {name} SET gatekeeper.marker = %s", database.marker
        )
    except DatabaseError as error:
        if not isinstance(error.__cause__, psycopg2.errors.InsufficientPrivilege):
            raise
        database.server.administer(f"COMMENT ON DATABASE {name} IS %s", database.marker)


def unmark(database: Database) -> None:
    """Take the marker off a database that stays."""
    name = quote(database.server, database.name)
    ((comment,),) = database.server.administer(
        "SELECT pg_catalog.shobj_description(oid, 'pg_database') FROM pg_catalog.pg_database"
        " WHERE datname = %s",
        database.name,
    )
    if comment == database.marker:
        database.server.administer(f"COMMENT ON DATABASE {name} IS NULL")
    else:
        database.server.administer(f"ALTER DATABASE {name} RESET gatekeeper.marker")


# Statements that give a clone what CREATE DATABASE does not take from the template. Each is
# one transaction: the value of the setting is that of the session only until its end.
_COPY_SETTINGS = """
SELECT pg_catalog.format(
    'SELECT pg_catalog.set_config(%%L, %%L, true); ALTER %%s SET %%s FROM CURRENT',
    name, pg_catalog.substr(setting, pg_catalog.strpos(setting, '=') + 1),
    CASE WHEN s.setrole = 0 THEN pg_catalog.format('DATABASE %%I', clone)
        ELSE pg_catalog.format('ROLE %%I IN DATABASE %%I', r.rolname, clone) END,
    (SELECT pg_catalog.string_agg(pg_catalog.quote_ident(part), '.')
        FROM pg_catalog.unnest(pg_catalog.string_to_array(name, '.')) part)
)
FROM (SELECT %s AS template, %s AS clone) given
JOIN pg_catalog.pg_database d ON d.datname = template
JOIN pg_catalog.pg_db_role_setting s ON s.setdatabase = d.oid
LEFT JOIN pg_catalog.pg_roles r ON r.oid = s.setrole,
pg_catalog.unnest(s.setconfig) setting, pg_catalog.split_part(setting, '=', 1) name
WHERE NOT pg_catalog.starts_with(name, 'gatekeeper.')
UNION ALL
SELECT pg_catalog.format('REVOKE ALL ON DATABASE %%I FROM PUBLIC', %s)
FROM pg_catalog.pg_database WHERE datname = %s AND datacl IS NOT NULL
UNION ALL
SELECT pg_catalog.format('GRANT %%s ON DATABASE %%I TO %%s%%s', privilege_type, %s,
    CASE WHEN grantee = 0 THEN 'PUBLIC' ELSE grantee::pg_catalog.regrole::text END,
    CASE WHEN is_grantable THEN ' WITH GRANT OPTION' END)
FROM pg_catalog.pg_database, pg_catalog.aclexplode(datacl)
WHERE datname = %s AND grantee <> datdba
"""


def _copy_settings(template: Database, clone: Database) -> None:
    names = (template.name, clone.name, *(clone.name, template.name) * 2)
    for (statement,) in clone.server.administer(_COPY_SETTINGS, *names):
        clone.server.administer(statement)


def drop_database(database: Database) -> None:
    """Drop a database and end its sessions; one that is gone already is fine."""
    server, name = database.server, quote(database.server, database.name)
    is_template = "SELECT FROM pg_catalog.pg_database WHERE datname = %s AND datistemplate"
    if server.administer(is_template, database.name):  # a migration can make it one
        server.administer(f"ALTER DATABASE {name} IS_TEMPLATE false")
    server.administer(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
    server.roles.forget(database.name)


def end_backends(database: Database) -> int:
    """End all sessions of a database and return how many there were."""
    # PostgreSQL's own ways to wait for their end look only every 100 ms.
    deadline = time.monotonic() + _END_SECONDS
    ended = len(_terminate(database))
    while _terminate(database) and time.monotonic() < deadline:
        time.sleep(0.002)
    return ended


def _terminate(database: Database) -> list[tuple[object, ...]]:
    return database.server.administer(
        "SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity"
        " WHERE datname = %s",
        database.name,
    )


def _available(database: Database) -> list[str]:
    rows = database.server.administer("SELECT name FROM pg_catalog.pg_available_extensions")
    return [str(name) for (name,) in rows]


def _create_extensions(database: Database, extensions: Sequence[str]) -> None:
    with database.session() as connection, connection.cursor() as cursor:
        for extension in extensions:
            name = quote(database.server, extension)
            try:
                cursor.execute(f"CREATE EXTENSION IF NOT EXISTS {name} CASCADE")
            except psycopg2.Error as error:
                info = database.server.info
                near = difflib.get_close_matches(extension, _available(database), n=1)
                hint = f"Did you mean `{near[0]}`? Else give" if near else "Give"
                raise DatabaseError(
                    f'the extension "{extension}" cannot be created on PostgreSQL '
                    f"{info.version} ({info.source.value}): {error.diag.message_primary}",
                    fix=f"{hint} `--database-url` a server that has it, such as a service "
                    "container of an image with the extension.",
                ) from error
