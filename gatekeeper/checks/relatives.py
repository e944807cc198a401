"""Which relations that a revision changes belong together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from gatekeeper.checks.observed import Seen
from gatekeeper.lock_modes import LockMode
from gatekeeper.sql import Kind, find_name, is_same_name, plain_name

_OWN_RELATION = (Kind.CREATE_TABLE, Kind.ALTER_TABLE, Kind.DROP_TABLE, Kind.CREATE_INDEX)


def group_relations(
    seen: Iterable[Seen],
    foreign_keys: Iterable[tuple[str, str]] = (),
    partitions: Mapping[str, str] | None = None,
) -> tuple[tuple[str, ...], ...]:
    """Return the relations whose schema is changed, grouped by what ties them together.

    Tied are: the relations of one statement, those of a query that moves rows, a table and
    the ENUM types of its columns, a name before and after a rename, what one statement
    locks against writes (dropping a foreign key locks both its sides), and, of what was
    there before, the two sides of one of the `foreign_keys` and the `partitions` of one
    table. So are the tables of one name that one call changes in several schemas, such as
    those of tenants. A dropped index and a type alone
    have no relation in their text; its lock tells the index's table.
    """
    seen = tuple(seen)
    types = {plain_name(name) for each in seen for name in _types_of(each)}
    in_text = Counter(each.statement.ordinal for each in seen)
    ties = [tie for each in seen if (tie := _tie(each, types, in_text[each.statement.ordinal]))]
    changed = dict.fromkeys(name for each in seen for name in _changed(each))
    ties += [
        {one, other}
        for referencing, referenced in foreign_keys
        for one in changed
        for other in changed
        if is_same_name(one, referencing) and is_same_name(other, referenced)
    ]
    ties += [{name, _whole(name, partitions or {})} for name in changed]
    ties += _of_one_call(seen)
    groups: list[set[str]] = []
    for tie in ties:
        apart = [group for group in groups if not group & tie]
        groups = [*apart, tie.union(*(group for group in groups if group & tie))]
    found: dict[frozenset[str], list[str]] = {}
    for name in changed:
        home = next((frozenset(group) for group in groups if name in group), frozenset({name}))
        found.setdefault(home, []).append(name)
    return tuple(tuple(names) for names in found.values())


def _of_one_call(seen: Iterable[Seen]) -> list[set[str]]:
    calls: dict[tuple[str | None, int, str], set[str]] = {}
    for each in seen:
        if each.statement.line is not None:
            for name in _changed(each):
                key = (each.statement.path, each.statement.line, name.rpartition(".")[2])
                calls.setdefault(key, set()).add(name)
    return list(calls.values())


def _whole(name: str, partitions: Mapping[str, str]) -> str:
    """Return the table of which a table is a partition, at whatever depth."""
    seen: set[str] = set()
    while (part := find_name(name, partitions)) is not None and part not in seen:
        seen.add(part)
        name = partitions[part]
    return plain_name(name)


def _changed(seen: Seen) -> list[str]:
    parsed = seen.parsed
    if not parsed.changes_schema:
        return []
    if parsed.kind is Kind.DROP_INDEX:
        indexes = {plain_name(name) for name in parsed.names}
        locked = [plain_name(lock.relation) for lock in seen.statement.locks or ()]
        return [name for name in locked if name not in indexes][:1]
    own = parsed.relations if parsed.kind in _OWN_RELATION else parsed.relations[:1]
    return [plain_name(name) for name in own]


def _types_of(seen: Seen) -> tuple[str, ...]:
    kinds = (Kind.CREATE_ENUM, Kind.CREATE_TYPE, Kind.ADD_LABEL, Kind.RENAME_TYPE, Kind.DROP_TYPE)
    return seen.parsed.names if seen.parsed.kind in kinds else ()


def _tie(seen: Seen, types: set[str], in_text: int) -> set[str]:
    """Return the names that one statement ties together; types are marked as such.

    Where its text holds several statements, the locks are those of all of them.
    """
    parsed = seen.parsed
    if not parsed.changes_schema and not parsed.changes_rows:
        return set()
    names = {plain_name(name) for name in (*parsed.relations, *parsed.references)}
    names |= {f"type {plain_name(name)}" for name in parsed.types if plain_name(name) in types}
    if parsed.kind is Kind.RENAME_TYPE and parsed.new_name is not None:
        names |= {f"type {plain_name(name)}" for name in (*parsed.names, parsed.new_name)}
    elif parsed.new_name is not None:
        schema = parsed.relations[0].rpartition(".")[0]
        names.add(plain_name(f"{schema}.{parsed.new_name}" if schema else parsed.new_name))
    names |= {
        plain_name(lock.relation)
        for lock in (seen.statement.locks or () if in_text == 1 else ())
        if lock.mode >= LockMode.SHARE
    }
    return names
