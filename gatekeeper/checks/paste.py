"""Code for remedies, such as a person can paste into a revision."""

from __future__ import annotations

import re
from collections.abc import Iterable

_BIND = re.compile(r"(?<![:\w\\]):(?=\w+(?!:))")


def execute(sql: str) -> str:
    """Return the call of `op.execute` that sends this text, whatever quotes are in it."""
    text = _BIND.sub(r"\\:", sql)  # `op.execute` takes `:name` for a parameter
    if '"' in text or "\\" in text or "\n" in text:
        return f"op.execute({text!r})"
    return f'op.execute("{text}")'


def drop_column(relation: str, column: str) -> str:
    """Return the call that drops a column; `relation` may be qualified."""
    schema, _, table = relation.rpartition(".")
    return f'op.drop_column("{table}", "{column}"{in_schema(schema)})'


def drop_table(relation: str) -> str:
    schema, _, table = relation.rpartition(".")
    return f'op.drop_table("{table}"{in_schema(schema)})'


def drop_index(relation: str, index: str) -> str:
    schema, _, table = relation.rpartition(".")
    return f'op.drop_index("{index.rpartition(".")[2]}", table_name="{table}"{in_schema(schema)})'


def drop_constraint(relation: str, constraint: str) -> str:
    schema, _, table = relation.rpartition(".")
    return f'op.drop_constraint("{constraint}", "{table}"{in_schema(schema)})'


def quote_name(name: str) -> str:
    """Return a name as SQL wants it; all that precedes the first dot is its schema."""
    return ".".join(
        part if _PLAIN.fullmatch(part) else f'"{part}"' for part in name.split(".", maxsplit=1)
    )


def quote_text(text: str) -> str:
    """Return a text as a literal of SQL."""
    return "'" + text.replace("'", "''") + "'"


_PLAIN = re.compile(r"[a-z_][a-z0-9_$]*")


def in_schema(schema: str) -> str:
    """Return the keyword that names a schema, "" for `public` and for none."""
    return f', schema="{schema}"' if schema not in ("", "public") else ""


def block(calls: Iterable[str], indent: int = 4) -> str:
    """Return the calls one below the other, indented."""
    return "\n".join(f"{' ' * indent}{call}" for call in calls)


def autocommit_block(statements: Iterable[str]) -> str:
    """Return an `autocommit_block` that sends the statements."""
    calls = block((execute(sql) for sql in statements), 8)
    return f"    with op.get_context().autocommit_block():\n{calls}"
