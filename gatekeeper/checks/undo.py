"""What a downgrade still has to do so that no difference is left."""

from __future__ import annotations

from collections.abc import Iterable

from gatekeeper.checks.observed import is_accepted
from gatekeeper.checks.paste import (
    drop_column,
    drop_constraint,
    drop_index,
    drop_table,
    execute,
    quote_name,
    quote_text,
)
from gatekeeper.model import Difference, DifferenceKind

_SHOWN = 12  # lines of a block

# What depends on others goes before them.
_ORDER = (
    "trigger", "policy", "rule", "view", "materialized view", "index", "constraint", "column",
    "foreign table", "table", "sequence", "function", "procedure", "enum", "domain",
    "composite type", "range type", "type", "schema",
)  # fmt: skip
_DROPPED_BY_NAME = {
    "view": "VIEW",
    "materialized view": "MATERIALIZED VIEW",
    "foreign table": "FOREIGN TABLE",
    "sequence": "SEQUENCE",
    "enum": "TYPE",
    "composite type": "TYPE",
    "range type": "TYPE",
    "type": "TYPE",
    "domain": "DOMAIN",
    "schema": "SCHEMA",
}


def undo(differences: Iterable[Difference]) -> tuple[str, ...]:
    """Return the calls that remove what is left and give back what differs, in that order.

    What is missing is named in comments: a difference does not hold its definition.
    """
    wanted = [each for each in differences if not is_accepted(each)]
    left = [each for each in wanted if each.kind is DifferenceKind.LEFT]
    left.sort(key=lambda d: _ORDER.index(d.object_type) if d.object_type in _ORDER else -1)
    others = [each for each in wanted if each.kind is not DifferenceKind.LEFT]
    roles = [quote_name(each.name) for each in left if each.object_type == "role"]
    left = [each for each in left if each.object_type != "role"]
    calls = [*map(_remove, left), *map(_restore, others)]
    for role in roles:  # which what is removed before may have been granted to
        calls += execute(f"DROP OWNED BY {role}"), execute(f"DROP ROLE {role}")
    if len(calls) > _SHOWN:
        return (*calls[:_SHOWN], f"# and {len(calls) - _SHOWN} more")
    return tuple(calls)


def _remove(left: Difference) -> str:
    relation = left.relation or ""
    bare = left.name.removeprefix(f"{relation}.")
    match left.object_type:
        case "column":
            return drop_column(relation, bare)
        case "constraint" if relation:
            return drop_constraint(relation, bare)
        case "index" if relation:
            return drop_index(relation, left.name)
        case "table":
            return drop_table(left.name)
        case "trigger" | "policy" | "rule" if relation:
            word = left.object_type.upper()
            on = quote_name(relation)
            return execute(f"DROP {word} IF EXISTS {quote_name(bare)} ON {on}")
        case "function" | "procedure":
            return execute(f"DROP {left.object_type.upper()} IF EXISTS {left.name}")
        case _ if left.object_type in _DROPPED_BY_NAME:
            word = _DROPPED_BY_NAME[left.object_type]
            return execute(f"DROP {word} IF EXISTS {quote_name(left.name)}")
        case _:
            return f"# remove the {left.object_type} {left.name}"


def _restore(difference: Difference) -> str:
    thing = f"{difference.object_type} {difference.name}"
    if difference.kind is DifferenceKind.MISSING:
        return f"# make the {thing} again"
    if difference.attribute == "comment" and difference.object_type in _COMMENTED:
        text = "NULL" if difference.before is None else quote_text(difference.before)
        return execute(
            f"COMMENT ON {difference.object_type.upper()} {_named(difference)} IS {text}"
        )
    if difference.object_type == "column" and difference.relation is not None:
        action = _column_action(difference)
        if action is not None:
            column = quote_name(difference.name.removeprefix(f"{difference.relation}."))
            table = quote_name(difference.relation)
            return execute(f"ALTER TABLE {table} ALTER COLUMN {column} {action.format(column)}")
    before = "none" if difference.before is None else difference.before
    return f"# give the {thing} its {difference.attribute} back: {' '.join(before.split())}"


_COMMENTED = ("table", "column", "view", "materialized view", "index", "sequence", "schema")


def _named(difference: Difference) -> str:
    if difference.object_type != "column" or difference.relation is None:
        return quote_name(difference.name)
    column = difference.name.removeprefix(f"{difference.relation}.")
    return f"{quote_name(difference.relation)}.{quote_name(column)}"


def _column_action(difference: Difference) -> str | None:
    before = difference.before
    match difference.attribute:
        case "nullable":
            return "SET NOT NULL" if before == "false" else "DROP NOT NULL"
        case "default":
            return "DROP DEFAULT" if before is None else f"SET DEFAULT {_plain(before)}"
        case "type" if before is not None:
            return f"TYPE {_plain(before)} USING {{}}::{_plain(before)}"
        case _:
            return None


def _plain(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")
