"""What autogenerate would still change, in words."""

from __future__ import annotations

import importlib
import re
from collections.abc import Collection, Iterator
from typing import Any


def metadatas_of(context: Any) -> list[Any]:
    """Return the metadata that env.py gave, as a list; empty ones count."""
    given = context.opts.get("target_metadata")
    if given is None:
        return []
    return list(given) if isinstance(given, (list, tuple)) else [given]


def read_drift(context: Any, version_tables: Collection[str]) -> list[str]:
    """Return autogenerate's operations as sentence fragments with the user's names.

    That a version table is in no model is no drift; Alembic itself leaves out only the one
    of the schema that it works with.
    """
    autogenerate = importlib.import_module("alembic.autogenerate")
    given = context.opts["target_metadata"]
    script = autogenerate.produce_migrations(context, given)
    schema = context.connection.dialect.default_schema_name
    operations = list(flatten(script.upgrade_ops))
    dropped = {table_of(each) for each in operations if is_drop(each)}
    return [
        sentence
        for operation in operations
        if operation_is_told(operation, dropped, version_tables)
        for sentence in tell_operation(operation, schema)
    ]


def flatten(operations: Any) -> Iterator[Any]:
    for operation in operations.ops:
        if hasattr(operation, "ops"):
            yield from flatten(operation)
        else:
            yield operation


def operation_is_told(operation: Any, dropped: set[Any], version_tables: Collection[str]) -> bool:
    """Tell whether an operation says something that no other one does.

    The version tables are Alembic's own, and with a table go its indexes.
    """
    table = table_of(operation)
    if table is not None and table[1] in version_tables:
        return False
    return is_drop(operation) or table not in dropped


def is_drop(operation: Any) -> bool:
    return type(operation).__name__ == "DropTableOp"


def table_of(operation: Any) -> Any:
    """Return schema and name of the table that an operation works on, None without one."""
    name = getattr(operation, "table_name", None)
    return None if name is None else (getattr(operation, "schema", None), name)


def tell_operation(operation: Any, default_schema: str) -> list[str]:
    to_diff = getattr(operation, "to_diff_tuple", None)
    if to_diff is None:  # an operation of a plug-in
        words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(operation).__name__)
        return [words.lower()]
    diff = to_diff()
    diffs = diff if isinstance(diff, list) else [diff]
    return [tell_diff(one, default_schema) for one in diffs]


def tell_diff(diff: Any, default_schema: str) -> str:
    """Return one of autogenerate's differences in words, such as "add column public.a.b"."""
    kind = diff[0]
    if kind.startswith("modify_"):
        _, schema, table, column, _, old, new = diff
        thing = kind[len("modify_") :]
        what = f"{schema or default_schema}.{table}.{column}"
        return f"change {thing} of column {what} from {tell_value(old)} to {tell_value(new)}"
    verb, _, thing = kind.partition("_")
    verb = "drop" if verb == "remove" else verb
    if kind in ("add_column", "remove_column"):
        _, schema, table, column = diff
        return f"{verb} column {schema or default_schema}.{table}.{column.name}"
    element = diff[1]
    if thing in ("table", "table_comment"):
        what = "table" if thing == "table" else "comment of table"
        return f"{verb} {what} {element.schema or default_schema}.{element.name}"
    table = getattr(element, "table", None)
    if table is None:
        return f"{verb} {thing.replace('_', ' ')}"
    name = element.name or "(" + ", ".join(column.name for column in element.columns) + ")"
    words = {"fk": "foreign key", "constraint": tell_constraint(element)}.get(thing, thing)
    return f"{verb} {words} {name} on {table.schema or default_schema}.{table.name}"


def tell_constraint(constraint: Any) -> str:
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(constraint).__name__)
    return words.lower()


def tell_value(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "null" if value else "not null"
    argument = getattr(value, "arg", value)
    return str(getattr(argument, "text", argument))
