"""The rows of the user's tables: their number, their digest, and how far sequences are.

Of a partitioned table all rows count as its own, so its partitions are passed over. Left out
are the members of extensions, whose rows come with the extension, and foreign tables.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class

# What a value looks like as a text depends on these. A policy must raise an error instead of
# hiding rows from us.
SESSION = """
SELECT pg_catalog.set_config(name, value, true) FROM (VALUES
    ('search_path', 'pg_catalog'), ('row_security', 'off'), ('timezone', 'UTC'),
    ('datestyle', 'ISO, MDY'), ('intervalstyle', 'postgres'), ('extra_float_digits', '1'),
    ('bytea_output', 'hex'), ('lc_monetary', 'C'), ('xmlbinary', 'base64')
) setting (name, value);
"""

# A table that others inherit from is asked for its own rows alone, for the others tell theirs.
# Generated columns follow from the others. The order of the columns is not told: one that is
# dropped and made again comes last.
_TABLES = """
SELECT n.nspname || '.' || c.relname, c.relispartition,
    format('%s%I.%I', CASE c.relkind WHEN 'r' THEN 'ONLY ' END, n.nspname, c.relname),
    (SELECT string_agg(format('%I', attname), ', ' ORDER BY attname COLLATE "C")
        FROM pg_attribute
        WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped AND attgenerated = '')
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND c.oid >= 16384
AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
AND NOT EXISTS (
    SELECT FROM pg_depend
    WHERE classid = 'pg_class'::regclass AND objid = c.oid AND deptype = 'e'
)
ORDER BY 1
"""

# Where it will go on from; a sequence that was never asked has no last value.
_SEQUENCES = """
SELECT schemaname || '.' || sequencename, last_value * sign(increment_by)::int8
FROM pg_sequences WHERE last_value IS NOT NULL
"""


@dataclass(frozen=True)
class _Table:
    """A table as it is asked for its rows: what to select from and its columns, quoted."""

    name: str
    is_partition: bool
    source: str
    columns: str | None = field(repr=False)


def count_rows(
    connection: Connection,
    tables: Collection[str] = (),
    ignore: Collection[str] = frozenset(),
) -> Mapping[str, int]:
    """Return the exact number of rows of tables, those of the whole database by default.

    Names may be qualified; one that is not stands for the table that the search path finds,
    else for those of all schemas. A table that is not there is not in the answer.
    """
    counted = {}
    with connection.cursor() as cursor:
        for table in _choose(connection, tables, ignore):
            cursor.execute(f"{SESSION} SELECT count(*) FROM {table.source}")
            counted[table.name] = (cursor.fetchone() or (0,))[0]
    return counted


def row_digests(connection: Connection, names: Collection[str] = ()) -> Mapping[str, str]:
    """Return a digest of all rows of each table, those of the whole database by default.

    Equal rows have an equal digest, whatever their order, and on any server. Names are those
    that `count_rows` takes. In a transaction its settings are others until its end.
    """
    tables = _choose(connection, names, frozenset())
    return {t.name: digest_rows(connection, t.source, t.columns or "") for t in tables}


def digest_rows(connection: Connection, source: str, columns: str, condition: str = "true") -> str:
    """Return the number and a digest of the rows that meet a condition, as `row_digests` does.

    All of it is SQL, whose names PostgreSQL has quoted. Values count by what they look like: of
    many types `=` is not there or tells only of a size.
    """
    # UTF-8 whatever the database's encoding; of SQL_ASCII nobody knows what the bytes mean.
    is_unknown = connection.info.parameter_status("server_encoding") == "SQL_ASCII"
    encoding = "SQL_ASCII" if is_unknown else "UTF8"
    text = f"convert_to(ROW({columns})::text, '{encoding}')"
    with connection.cursor() as cursor:
        cursor.execute(
            # Sums of two parts: they do not depend on the order, and do not cancel equal rows
            # out as an exclusive or would.
            f"{SESSION} SELECT count(*), coalesce(sum(('x' || left(hash, 16))::bit(64)::int8), 0),"
            " coalesce(sum(('x' || right(hash, 16))::bit(64)::int8), 0)"
            f" FROM (SELECT encode(sha256({text}), 'hex') AS hash FROM {source} WHERE {condition}"
            # It is computed once for a row and not once for each sum (no subquery that is
            # pulled up).
            " OFFSET 0) hashed"
        )
        return " ".join(map(str, cursor.fetchone() or ()))


def read_sequences(connection: Connection) -> Mapping[str, int]:
    """Return how far each sequence has come that was ever asked; a larger number is further.

    One that went back would give again what is in its table already.
    """
    with connection.cursor() as cursor:
        cursor.execute(SESSION + _SEQUENCES)
        return dict(cursor.fetchall())


def _choose(
    connection: Connection, names: Collection[str], ignore: Collection[str]
) -> tuple[_Table, ...]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_catalog.current_schemas(false)::text[]")
        ((schemas,),) = cursor.fetchall()
        cursor.execute(SESSION + _TABLES)
        tables = [_Table(*row) for row in cursor.fetchall()]
    if not names:
        return tuple(t for t in tables if not t.is_partition and t.name not in ignore)
    return tuple(t for name in names for t in _named(tables, name, schemas))


def _named(tables: Collection[_Table], name: str, schemas: Sequence[str]) -> tuple[_Table, ...]:
    """Return the table of a name: the first that the search path finds, else those anywhere."""
    by_name = {t.name: t for t in tables}
    found = [by_name[f"{s}.{name}"] for s in schemas if f"{s}.{name}" in by_name]
    if name in by_name or found:
        return (by_name.get(name) or found[0],)
    return tuple(t for t in tables if t.name.partition(".")[2] == name)
