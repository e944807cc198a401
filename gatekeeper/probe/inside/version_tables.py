"""Where Alembic keeps the revision."""

from __future__ import annotations

from typing import Any

from .transactions import IDLE, transaction_state

# A text without parameters is the same for every driver.
FIND = """
SELECT n.nspname::text FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid = pg_catalog.to_regclass('{}')
"""


def version_table_of(context: Any) -> list[str | None]:
    """Return schema and name of the version table that a context works with.

    Where env.py names no schema, the search path of the session decides.
    """
    schema = context.version_table_schema
    if schema is None:
        schema = _find_schema(context.connection, context.version_table)
    return [schema, context.version_table]


def _find_schema(connection: Any, name: str) -> str | None:
    fairy = connection.connection
    dbapi = getattr(fairy, "dbapi_connection", None) or fairy.connection
    was_idle = transaction_state(dbapi) == IDLE
    quoted = '"' + name.replace('"', '""').replace("'", "''") + '"'
    cursor = dbapi.cursor()
    try:
        cursor.execute(FIND.format(quoted.replace("%", "%%")))
        row = cursor.fetchone()
    finally:
        cursor.close()
    if was_idle:
        dbapi.rollback()  # this look leaves no transaction behind
    return None if row is None else str(row[0])
