"""What stands in the tables and columns that an upgrade has made, which a downgrade drops.

Held against what a rehearsal put there it tells whether anybody has written to them since.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class

from gatekeeper.model import Difference, DifferenceKind
from gatekeeper.postgres.rows import SESSION, digest_rows, row_digests

# What a row shows that nobody gave a value; other defaults are not called to find it out.
_CONSTANT = re.compile(r"(?:'(?:[^']|'')*'|-?[\d.]+|true|false)(?:::[\w .\"()\[\]]+)?")

_FIND = """
SELECT format('%%I.%%I', n.nspname, c.relname), format('%%I', a.attname),
    format_type(a.atttypid, a.atttypmod), pg_get_expr(d.adbin, d.adrelid)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND NOT a.attisdropped AND a.attgenerated = ''
LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
WHERE n.nspname || '.' || c.relname = %(table)s AND c.relkind IN ('r', 'p')
AND a.attname = %(column)s
"""


def read_new_values(
    connection: Connection, made: Iterable[Difference]
) -> Mapping[tuple[str, str], str]:
    """Return a digest of what was written to each table and column that is new.

    The key is the object's type and name. Values of a column that are its default, as far as
    that is a constant, were written by nobody. Equal values have an equal digest on any
    server. In a transaction its settings are others until its end.
    """
    digests = {}
    for each in made:
        if each.kind is not DifferenceKind.LEFT:
            continue
        digest = None
        if each.object_type == "table":
            digest = row_digests(connection, (each.name,)).get(each.name)
        elif each.object_type == "column":
            digest = _read_column(connection, each.relation or "", each.name)
        if digest is not None:
            digests[each.object_type, each.name] = digest
    return digests


def _read_column(connection: Connection, table: str, name: str) -> str | None:
    """Return the digest of a column's values, None where there is nothing to lose."""
    with connection.cursor() as cursor:
        column = name.removeprefix(f"{table}.")
        cursor.execute(SESSION + _FIND, {"table": table, "column": column})
        found = cursor.fetchone()
    if found is None:
        return None
    source, quoted, type_, default = found
    # As texts: not every type has an `=`, and NULLs in a composite value are no NULL.
    written = f"{quoted}::text IS NOT NULL"
    if default is not None and _CONSTANT.fullmatch(default):
        written = f"{quoted}::text IS DISTINCT FROM CAST({default} AS {type_})::text"
    return digest_rows(connection, source, quoted, written)
