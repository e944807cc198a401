"""What speaks against a migration: in a server's state, its sessions, the rights of a role.

A role that is no superuser does not see since when other roles' transactions run, nor how
far replicas are behind: `pg_read_all_stats` lets it. What it cannot see is not told.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class

from gatekeeper.lock_modes import LockMode
from gatekeeper.model import Lock
from gatekeeper.postgres.activity import Session, without_values

_PATH = "SELECT pg_catalog.set_config('search_path', 'pg_catalog', true);"

# Sizes as they were last counted: to ask for them now would wait for locks.
_STANDING = """
SELECT current_user, current_setting('server_version_num')::int / 10000, pg_is_in_recovery(),
    current_setting('default_transaction_read_only') = 'on',
    pg_has_role(current_user, 'pg_read_all_stats', 'USAGE'),
    pg_database_size(current_database()) - (
        SELECT coalesce(sum(greatest(relpages, 0)::int8), 0)
            * current_setting('block_size')::int8 FROM pg_class WHERE relkind = 'i'
    )
"""

_LONG_TRANSACTIONS = """
SELECT a.pid, coalesce(a.usename, ''), coalesce(a.application_name, ''),
    coalesce(a.query, ''), extract(epoch FROM clock_timestamp() - a.xact_start)::float8,
    coalesce(a.state, ''), ARRAY(
        SELECT DISTINCT l.mode || ' ' || n.nspname || '.' || c.relname
        FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
        JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE l.pid = a.pid AND l.granted AND l.locktype = 'relation' AND l.database = a.datid
        AND c.oid >= 16384 AND l.mode <> 'SIReadLock' ORDER BY 1
    )
FROM pg_stat_activity a
WHERE a.datname = current_database() AND a.pid <> pg_backend_pid()
AND a.backend_type = 'client backend'
AND a.xact_start < clock_timestamp() - make_interval(secs => %s)
ORDER BY a.xact_start
"""

_PREPARED = """
SELECT gid, owner::text, extract(epoch FROM clock_timestamp() - prepared)::float8
FROM pg_prepared_xacts
WHERE database = current_database() AND prepared < clock_timestamp() - make_interval(secs => %s)
ORDER BY prepared
"""

_OF_OTHERS = """
SELECT n.nspname || '.' || c.relname, pg_get_userbyid(c.relowner)::text
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname || '.' || c.relname = ANY (%(names)s::text[])
AND NOT pg_has_role(c.relowner, 'USAGE')
UNION
SELECT n.nspname || '.' || t.typname, pg_get_userbyid(t.typowner)::text
FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
WHERE n.nspname || '.' || t.typname = ANY (%(names)s::text[])
AND NOT pg_has_role(t.typowner, 'USAGE')
ORDER BY 1
"""

_CLOSED_SCHEMAS = """
SELECT nspname::text FROM pg_namespace
WHERE nspname = ANY (%s::text[]) AND NOT has_schema_privilege(oid, 'CREATE') ORDER BY 1
"""

# Roles by which hosts let people make extensions that are not trusted.
_EXTENSIONS = """
SELECT name, EXISTS (SELECT FROM pg_available_extensions e WHERE e.name = wanted.name),
    EXISTS (
        SELECT FROM pg_available_extension_versions v WHERE v.name = wanted.name
        AND (NOT v.superuser OR v.trusted)
    ) OR (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) OR EXISTS (
        SELECT FROM pg_roles WHERE rolname IN ('rds_superuser', 'cloudsqlsuperuser',
            'alloydbsuperuser', 'azure_pg_admin', 'supabase_admin')
    )
FROM unnest(%s::text[]) wanted (name)
WHERE NOT EXISTS (SELECT FROM pg_extension x WHERE x.extname = wanted.name) ORDER BY 1
"""

# What `pg_dump` reads; it refuses to leave rows out that a policy hides.
_UNREADABLE = """
SELECT n.nspname || '.' || c.relname
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'S') AND c.oid >= 16384 AND c.relpersistence <> 't'
AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
AND NOT EXISTS (
    SELECT FROM pg_depend
    WHERE classid = 'pg_class'::regclass AND objid = c.oid AND deptype = 'e'
) AND (
    NOT has_schema_privilege(n.oid, 'USAGE')
    OR CASE c.relkind WHEN 'S' THEN NOT has_sequence_privilege(c.oid, 'SELECT')
        ELSE NOT has_table_privilege(c.oid, 'SELECT') OR row_security_active(c.oid) END
) ORDER BY 1
"""

# What has to be dropped and made again, with its owner, when a backup is restored in place.
# Members of extensions stay; of what a table brings with it, the table tells.
_UNRESTORABLE = """
SELECT i.type || ' ' || i.identity
FROM (
    SELECT 'pg_class'::regclass AS catalog, oid, relowner AS owner FROM pg_class
    WHERE relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND relpersistence <> 't'
    UNION ALL SELECT 'pg_proc'::regclass, oid, proowner FROM pg_proc
    UNION ALL SELECT 'pg_type'::regclass, t.oid, t.typowner FROM pg_type t
        LEFT JOIN pg_class c ON c.oid = t.typrelid
        WHERE t.typtype IN ('d', 'e', 'r') OR c.relkind = 'c'
    UNION ALL SELECT 'pg_namespace'::regclass, oid, nspowner FROM pg_namespace
    UNION ALL SELECT 'pg_event_trigger'::regclass, oid, evtowner FROM pg_event_trigger
    UNION ALL SELECT 'pg_publication'::regclass, oid, pubowner FROM pg_publication
    UNION ALL SELECT 'pg_foreign_server'::regclass, oid, srvowner FROM pg_foreign_server
) made, LATERAL pg_identify_object(made.catalog, made.oid, 0) i
WHERE made.oid >= 16384 AND NOT pg_has_role(made.owner, 'USAGE')
AND coalesce(i.schema, i.identity) !~ '^pg_'
AND NOT EXISTS (
    SELECT FROM pg_depend
    WHERE classid = made.catalog AND objid = made.oid AND deptype IN ('e', 'i')
) ORDER BY 1
"""

_SIZES = """
SELECT n.nspname || '.' || c.relname, (
    SELECT sum(greatest(relpages, 0)::int8) * current_setting('block_size')::int8 FROM pg_class
    WHERE oid IN (c.oid, c.reltoastrelid)
    OR oid IN (SELECT indexrelid FROM pg_index WHERE indrelid = c.oid)
)::int8
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname || '.' || c.relname = ANY (%s::text[]) AND c.relkind IN ('r', 'm') ORDER BY 1
"""


@dataclass(frozen=True)
class Standing:
    """What the role and the server say of themselves.

    `table_bytes` is about what the database takes without its indexes.
    """

    role: str
    major: int
    is_replica: bool
    is_read_only: bool
    sees_others: bool
    table_bytes: int


@dataclass(frozen=True)
class LongTransaction(Session):
    """A session whose transaction others may have to wait for; its age is the transaction's."""

    state: str
    locks: tuple[Lock, ...]


@dataclass(frozen=True)
class Extension:
    """An extension that is not there yet, and whether the role could make it."""

    name: str
    is_available: bool
    is_allowed: bool


def find_home(connection: Connection) -> str | None:
    """Return the schema that a bare name is made in, None where the search path has none.

    It is asked for before all else: the other questions set another path.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_catalog.current_schema()")
        ((home,),) = cursor.fetchall()
        return None if home is None else str(home)


def read_standing(connection: Connection) -> Standing:
    return Standing(*_ask(connection, _STANDING)[0])


def find_long_transactions(connection: Connection, seconds: float) -> tuple[LongTransaction, ...]:
    """Return the transactions of this database that run for longer, the oldest first."""
    return tuple(
        LongTransaction(pid, user, name, without_values(query), age, state, _locks(locks))
        for pid, user, name, query, age, state, locks in _ask(
            connection, _LONG_TRANSACTIONS, (seconds,)
        )
    )


def _locks(told: Iterable[str]) -> tuple[Lock, ...]:
    pairs = (each.split(" ", 1) for each in told)
    return tuple(Lock(name, LockMode.from_pg_locks(mode)) for mode, name in pairs)


def find_prepared(connection: Connection, seconds: float) -> tuple[tuple[str, str, float], ...]:
    """Return the name, owner and age of each older prepared transaction of this database."""
    return tuple(_ask(connection, _PREPARED, (seconds,)))


def find_of_others(connection: Connection, names: Collection[str]) -> Mapping[str, str]:
    """Return the relations and types among the names that the role cannot alter, with owners."""
    return dict(_ask(connection, _OF_OTHERS, {"names": list(names)}))


def find_closed_schemas(connection: Connection, names: Collection[str]) -> tuple[str, ...]:
    """Return the schemas among the names that the role may not create anything in."""
    return tuple(name for (name,) in _ask(connection, _CLOSED_SCHEMAS, (list(names),)))


def may_create_schemas(connection: Connection) -> bool:
    sql = "SELECT has_database_privilege(current_database(), 'CREATE')"
    return bool(_ask(connection, sql)[0][0])


def find_missing_extensions(
    connection: Connection, names: Collection[str]
) -> tuple[Extension, ...]:
    """Return the extensions among the names that the database does not have."""
    return tuple(Extension(*row) for row in _ask(connection, _EXTENSIONS, (list(names),)))


def find_unreadable(connection: Connection) -> tuple[str, ...]:
    """Return the tables and sequences of which the role cannot read everything."""
    return tuple(name for (name,) in _ask(connection, _UNREADABLE))


def find_unrestorable(connection: Connection) -> tuple[str, ...]:
    """Return what of others the role would have to replace to restore a backup in place."""
    return tuple(told for (told,) in _ask(connection, _UNRESTORABLE))


def read_sizes(connection: Connection, names: Collection[str]) -> Mapping[str, int]:
    """Return about how many bytes tables take, with their indexes."""
    return dict(_ask(connection, _SIZES, (list(names),)))


def _ask(connection: Connection, sql: str, values: Any = None) -> list[tuple[Any, ...]]:
    """Return the answer, whatever the search path finds first."""
    with connection.cursor() as cursor:
        cursor.execute(_PATH + sql, values)
        return cursor.fetchall()
