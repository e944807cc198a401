"""What a migration is seen to do: locks and rewrites from inside its transaction, the rest
from a connection of our own.

A lock is visible to every session, but the new file of a rewritten table only to its own
transaction until that commits. So the probe runs `OBSERVE` on the migration's connection
after each statement, and `interpret` tells what the statement has added.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from psycopg2 import sql
from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class

from gatekeeper.lock_modes import LockMode
from gatekeeper.model import Lock

# One row for each lock, and one with NULLs in its place where there is none. A relation
# dropped in this transaction keeps its lock but has no name any more. Object identifiers
# below 16384 are PostgreSQL's own. All names are qualified, for a migration may have set
# any search path. No percent sign and no parameter: every driver sends it as it is.
OBSERVE = """
SELECT
    (extract(epoch FROM pg_catalog.current_setting('lock_timeout')::interval) * 1000)
        ::bigint::text AS lock_timeout_ms,
    (extract(epoch FROM pg_catalog.current_setting('statement_timeout')::interval) * 1000)
        ::bigint::text AS statement_timeout_ms,
    pg_catalog.pg_current_xact_id_if_assigned()::text AS transaction_id,
    own.virtualtransaction::text AS virtual_transaction,
    held.relation::text AS relation_oid,
    held.mode::text AS mode,
    held.relfilenode::text AS filenode,
    held.name::text AS relation
FROM (
    SELECT virtualtransaction FROM pg_catalog.pg_locks
    WHERE pid = pg_catalog.pg_backend_pid() AND locktype = 'virtualxid' LIMIT 1
) own
LEFT JOIN (
    SELECT l.relation, l.mode, c.relfilenode, n.nspname || '.' || c.relname AS name
    FROM pg_catalog.pg_locks l
    LEFT JOIN pg_catalog.pg_class c ON c.oid = l.relation
    LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE l.locktype = 'relation' AND l.pid = pg_catalog.pg_backend_pid() AND l.granted
    AND l.relation >= 16384 AND l.mode <> 'AccessShareLock'
    AND (n.nspname IS NULL OR n.nspname !~ '^pg_')
) held ON true
ORDER BY held.relation, held.mode
"""

ObservedRow = Sequence[str | None]

_READ_RELATIONS = """
SELECT c.oid, n.nspname || '.' || c.relname, c.relfilenode, c.relkind::text,
    tn.nspname || '.' || t.relname,
    c.relkind IN ('r', 'm') AND pg_catalog.pg_relation_size(c.oid) > 0
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_index i ON i.indexrelid = c.oid
LEFT JOIN pg_catalog.pg_class t ON t.oid = i.indrelid
LEFT JOIN pg_catalog.pg_namespace tn ON tn.oid = t.relnamespace
WHERE c.oid >= 16384 AND c.relkind <> 'c' AND n.nspname !~ '^pg_'
"""

_HAVE_ROWS_OF_THEIR_OWN = ("r", "m")  # table, materialized view


@dataclass(frozen=True)
class Relation:
    """A relation as it was before a run.

    `kind` is `pg_class.relkind`; `table` the table of an index. `has_rows` is an
    estimate: there is a page of it.
    """

    name: str
    filenode: int
    kind: str
    table: str | None
    has_rows: bool


Relations = Mapping[int, Relation]


@dataclass(frozen=True)
class Observed:
    """What one statement added, and what is needed to tell that of the next.

    `locks` are those on relations that existed before the run; a lock taken again in the
    same transaction is not new. `rewrites` names tables and materialized views that have
    got a new file. `in_transaction` is None where nothing tells: a statement that neither
    wrote nor holds a lock may be in a transaction or not.
    """

    locks: tuple[Lock, ...]
    rewrites: tuple[str, ...]
    lock_timeout_ms: int
    statement_timeout_ms: int
    in_transaction: bool | None
    virtual_transaction: str = field(repr=False)
    held: frozenset[tuple[int, str]] = field(repr=False)
    seen_files: frozenset[tuple[int, int]] = field(repr=False)


def read_relations(connection: Connection) -> Relations:
    """Return all relations of the user's, by their object identifier."""
    with connection.cursor() as cursor:
        cursor.execute(_READ_RELATIONS)
        return {oid: Relation(*values) for oid, *values in cursor.fetchall()}


def find_relations(connection: Connection, *names: str) -> frozenset[str]:
    """Return the qualified names of the user's relations of these names in all schemas."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT n.nspname || '.' || c.relname FROM pg_catalog.pg_class c"
            " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
            " WHERE c.relname = ANY (%s) AND c.oid >= 16384 AND c.relkind <> 'c'"
            " AND n.nspname !~ '^pg_'",
            (list(names),),
        )
        return frozenset(qualified for (qualified,) in cursor.fetchall())


def interpret(
    rows: Sequence[ObservedRow], previous: Observed | None, relations: Relations
) -> Observed:
    """Tell what the statement before this observation added.

    `previous` is what was told at the statement before on the same connection.
    """
    lock_timeout, statement_timeout, transaction_id, virtual_transaction = rows[0][:4]
    held = frozenset(
        (int(oid), mode) for *_, oid, mode, _, _ in rows if oid is not None and mode is not None
    )
    before: frozenset[tuple[int, str]] = frozenset()
    if previous is not None and previous.virtual_transaction == virtual_transaction:
        before = previous.held
    locks = {
        Lock(relations[oid].name, LockMode.from_pg_locks(mode))
        for oid, mode in held - before
        if oid in relations
    }
    files = {
        (int(oid), int(filenode))
        for *_, oid, _, filenode, _ in rows
        if oid is not None and filenode is not None
    }
    # A rollback brings an old file back, so a file is new only when it was never seen.
    seen = _first_files(relations) if previous is None else previous.seen_files
    rewrites = {
        relations[oid].name
        for oid, _ in files - seen
        if oid in relations and relations[oid].kind in _HAVE_ROWS_OF_THEIR_OWN
    }
    return Observed(
        locks=tuple(sorted(locks, key=lambda lock: (-lock.mode, lock.relation))),
        rewrites=tuple(sorted(rewrites)),
        lock_timeout_ms=int(lock_timeout or 0),
        statement_timeout_ms=int(statement_timeout or 0),
        in_transaction=True if transaction_id is not None or held else None,
        virtual_transaction=virtual_transaction or "",
        held=held,
        seen_files=seen | files,
    )


def _first_files(relations: Relations) -> frozenset[tuple[int, int]]:
    return frozenset((oid, relation.filenode) for oid, relation in relations.items())


# --- From a connection of our own ----------------------------------------------------


def invalid_indexes(connection: Connection) -> tuple[str, ...]:
    """Return the qualified names of all indexes that are invalid."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT n.nspname || '.' || c.relname FROM pg_catalog.pg_index i"
            " JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid"
            " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
            " WHERE NOT i.indisvalid AND n.nspname !~ '^pg_' ORDER BY 1"
        )
        return tuple(name for (name,) in cursor.fetchall())


def read_versions(connection: Connection, schema: str | None, table: str) -> frozenset[str] | None:
    """Return the revisions that an Alembic version table holds, None without a table.

    Without a schema it is the table that the search path finds, else those of all other
    schemas together, such as one for each tenant.
    """
    each = read_version_tables(connection, schema, table)
    return frozenset().union(*each) if each else None


def read_version_tables(
    connection: Connection, schema: str | None, table: str
) -> tuple[frozenset[str], ...]:
    """Return the revisions of each version table that a schema and a name may mean."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT n.nspname, c.relname, pg_catalog.pg_table_is_visible(c.oid)"
            " FROM pg_catalog.pg_class c"
            " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
            " JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid"
            " WHERE c.relname = %s AND c.relkind IN ('r', 'p', 'v')"
            " AND a.attname = 'version_num' AND (n.nspname = %s OR %s IS NULL)"
            " AND n.nspname !~ '^pg_' ORDER BY 1",
            (table, schema, schema),
        )
        found = cursor.fetchall()
        if schema is None:
            found = [row for row in found if row[2]] or found
        each = []
        for schema_name, table_name, _ in found:
            cursor.execute(
                sql.SQL("SELECT version_num FROM {}").format(
                    sql.Identifier(schema_name, table_name)
                )
            )
            each.append(frozenset(version for (version,) in cursor.fetchall()))
        return tuple(each)


def find_version_tables(connection: Connection) -> tuple[tuple[str, str], ...]:
    """Return schema and name of all tables that look like one of Alembic's, whatever its name."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT n.nspname, c.relname FROM pg_catalog.pg_class c"
            " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
            " WHERE c.relkind IN ('r', 'p') AND n.nspname !~ '^pg_' AND EXISTS ("
            " SELECT FROM pg_catalog.pg_attribute"
            " WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped"
            " HAVING pg_catalog.count(*) = 1 AND pg_catalog.min(attname::text) = 'version_num'"
            ") ORDER BY 1, 2"
        )
        return tuple(cursor.fetchall())
