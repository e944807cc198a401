"""Makes what the models describe, where no revision makes it."""

from __future__ import annotations

import importlib
from typing import Any

from .drift import metadatas_of


def create_all(context: Any) -> int:
    """Create schemas and tables of env.py's metadata; return how many tables there are.

    What is no MetaData in a list of them is left out, as autogenerate would not take it.
    """
    sqlalchemy = importlib.import_module("sqlalchemy")
    metadatas = [m for m in metadatas_of(context) if isinstance(m, sqlalchemy.MetaData)]
    connection = context.connection
    quote = connection.dialect.identifier_preparer.quote
    schemas = [t.schema for m in metadatas for t in m.tables.values() if t.schema]
    for schema in dict.fromkeys(schemas):
        connection.execute(sqlalchemy.text(f"CREATE SCHEMA IF NOT EXISTS {quote(schema)}"))
    for metadata in metadatas:
        metadata.create_all(connection)
    return len({table.key for metadata in metadatas for table in metadata.tables.values()})
