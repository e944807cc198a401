"""What stands in the tables and columns that an upgrade has made, which a downgrade drops.

Held against what a rehearsal put there it tells whether anybody has written to them since.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class

from gatekeeper.model import Difference, DifferenceKind

# What a row shows that nobody gave a value; other defaults are not called to find it out.
_CONSTANT = re.compile(r"(?:'(?:[^']|'')*'|-?[\d.]+|true|false|NULL)(?:::[\w .()\[\]]+)?")

_FIND = """
SELECT pg_catalog.format('%%I.%%I', n.nspname, c.relname), pg_catalog.quote_ident(a.attname),
    pg_catalog.pg_get_expr(d.adbin, d.adrelid)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attname = %(column)s
    AND NOT a.attisdropped AND a.attgenerated = ''
LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
WHERE n.nspname || '.' || c.relname = %(table)s AND c.relkind IN ('r', 'p')
"""
_DIGEST = (
    "pg_catalog.count(*) || ' ' || coalesce(pg_catalog.sum("
    "pg_catalog.hashtextextended({value}::text, 0)::numeric), 0)"
)


def read_new_values(
    connection: Connection, made: Iterable[Difference]
) -> Mapping[tuple[str, str], str]:
    """Return a digest of what was written to each table and column that is new.

    The key is the object's type and name. Values of a column that are its default, as far as
    that is a constant, were written by nobody.
    """
    digests = {}
    for each in made:
        is_column = each.object_type == "column"
        if each.kind is not DifferenceKind.LEFT or each.object_type not in ("table", "column"):
            continue
        table = (each.relation or "") if is_column else each.name
        column = each.name.removeprefix(f"{table}.") if is_column else None
        digest = _read(connection, table, column)
        if digest is not None:
            digests[each.object_type, each.name] = digest
    return digests


def _read(connection: Connection, table: str, column: str | None) -> str | None:
    """Return the digest of a table or column, None where there is nothing to lose."""
    with connection.cursor() as cursor:
        cursor.execute(_FIND, {"table": table, "column": column})
        found = cursor.fetchone()
        if found is None or (column is not None and found[1] is None):
            return None
        source, quoted, default = found
        if column is None:
            query = f"SELECT {_DIGEST.format(value='t')} FROM {source} t"
        else:
            written = f"{quoted} IS NOT NULL"
            if default is not None and _CONSTANT.fullmatch(default):
                written = f"{quoted} IS DISTINCT FROM ({default})"
            query = f"SELECT {_DIGEST.format(value=quoted)} FROM {source} WHERE {written}"
        cursor.execute(query)
        ((digest,),) = cursor.fetchall()
    return str(digest)
