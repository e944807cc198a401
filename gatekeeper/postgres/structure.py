"""The structure of a database as tables for people: what one looks at after a migration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class

# The user's own: neither PostgreSQL's nor those that come with an extension.
_OWN = """
n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND NOT EXISTS (
    SELECT FROM pg_depend
    WHERE classid = 'pg_class'::regclass AND objid = c.oid AND deptype = 'e'
)
"""

_COLUMNS = f"""
SELECT n.nspname || '.' || c.relname, a.attname, format_type(a.atttypid, a.atttypmod)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND {_OWN}
ORDER BY 1, a.attnum
"""

_FOREIGN_KEYS = f"""
SELECT n.nspname || '.' || c.relname, a.attname, fn.nspname || '.' || f.relname, fa.attname
FROM pg_constraint k
JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_class f ON f.oid = k.confrelid JOIN pg_namespace fn ON fn.oid = f.relnamespace
CROSS JOIN LATERAL unnest(k.conkey, k.confkey) WITH ORDINALITY pair (here, there, number)
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = pair.here
JOIN pg_attribute fa ON fa.attrelid = f.oid AND fa.attnum = pair.there
WHERE k.contype = 'f' AND {_OWN}
ORDER BY 1, k.conname, pair.number
"""

_INDEXES = f"""
SELECT n.nspname || '.' || c.relname, x.relname, pg_get_indexdef(i.indexrelid)
FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid JOIN pg_class x ON x.oid = i.indexrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE {_OWN}
ORDER BY 1, 2
"""

# Events as bits of `tgtype` (src/include/catalog/pg_trigger.h).
_TRIGGERS = f"""
SELECT n.nspname || '.' || c.relname, t.tgname, (
    SELECT string_agg(event, ', ')
    FROM (VALUES (4, 'INSERT'), (8, 'DELETE'), (16, 'UPDATE'), (32, 'TRUNCATE')) e (bit, event)
    WHERE t.tgtype & bit <> 0
)
FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE NOT t.tgisinternal AND {_OWN}
ORDER BY 1, 2
"""

_QUERIES = (
    ("Columns", ("table", "column", "type"), _COLUMNS),
    ("Foreign keys", ("table", "column", "foreign table", "foreign column"), _FOREIGN_KEYS),
    ("Indexes", ("table", "index", "definition"), _INDEXES),
    ("Triggers", ("table", "trigger", "events"), _TRIGGERS),
)


@dataclass(frozen=True)
class Table:
    """Rows of text under a title and a head."""

    title: str
    head: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]


def read_structure(connection: Connection) -> tuple[Table, ...]:
    """Return the columns, foreign keys, indexes and triggers of the user's tables.

    In a transaction the search path is another one until its end.
    """
    tables = []
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_catalog.set_config('search_path', 'pg_catalog', true)")
        for title, head, query in _QUERIES:
            cursor.execute(query)
            tables.append(Table(title, head, cursor.fetchall()))
    return tuple(tables)
