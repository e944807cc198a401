"""What differs between two catalog snapshots, told as a person would tell it.

Right where both snapshots are at hand and all that they hold counts: before and after a step, a
target and its restored copy. Of what was only written down, values are not known any more:
`Snapshot.fingerprints` then tells what is not as it was in the same database, and `likeness`
whether one elsewhere is what a rehearsal left, which to the letter it never is.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

from gatekeeper.model import Difference, DifferenceKind
from gatekeeper.postgres.snapshot import ObjectKey, Snapshot, read_labels

Attributes = Mapping[str, str]
Objects = Mapping[ObjectKey, Attributes]

_TABLE_TYPES = ("table", "view", "materialized view", "foreign table")

# The worst first: what holds rows, what keeps them right, what works on them, the rest.
_ORDER = (
    *_TABLE_TYPES,
    "column",
    "constraint",
    "index",
    "sequence",
    "enum",
    "enum label",
    "domain",
    "composite type",
    "range type",
    "type",
    "trigger",
    "function",
    "procedure",
    "aggregate",
    "policy",
    "rule",
    "schema",
    "extension",
)
_LAST = ("column order",)


def compare(before: Snapshot, after: Snapshot) -> tuple[Difference, ...]:
    """Return all that is missing, left or changed after, the worst first.

    What belongs to a table that is missing or left as a whole is not told beside it.
    """
    if before == after:
        return ()
    differences = [
        *_one_sided(DifferenceKind.MISSING, before.objects, after.objects),
        *_one_sided(DifferenceKind.LEFT, after.objects, before.objects),
    ]
    for key in before.rows.keys() & after.rows.keys():
        if before.rows[key] != after.rows[key]:
            differences += _changed(key, before.objects, after.objects)
    return tuple(sorted(differences, key=_sort_key))


def is_of_server(difference: Difference) -> bool:
    """Whether the server makes the difference: another one may have an extension's next version."""
    return difference.object_type == "extension" and difference.attribute == "version"


def _sort_key(difference: Difference) -> tuple[int, str, str, str, str]:
    object_type = difference.object_type
    if object_type in _ORDER:
        rank = _ORDER.index(object_type)
    else:
        rank = len(_ORDER) + (object_type in _LAST)
    attribute = difference.attribute or ""
    return rank, object_type, difference.name, difference.kind.value, attribute


def _one_sided(kind: DifferenceKind, here: Objects, there: Objects) -> Iterator[Difference]:
    for key in here.keys() - there.keys():
        object_type, name = key
        if not _is_folded(key, here, there):
            yield Difference(kind, object_type, name, relation=_relation(key, here[key]))


def _relation(key: ObjectKey, attributes: Attributes) -> str | None:
    object_type, name = key
    return name if object_type in _TABLE_TYPES else attributes.get("table")


def _is_folded(key: ObjectKey, here: Objects, there: Objects) -> bool:
    """Return whether another difference tells of the object that only one side has."""
    attributes = here[key]
    for attribute, owner_types in (
        ("table", _TABLE_TYPES),
        ("domain", ("domain",)),
        ("owned by", ("column",)),
        ("server", ("server",)),
        ("attached to", ("index",)),
    ):
        for owner_type in owner_types:
            owner = (owner_type, attributes.get(attribute, ""))
            if owner == key or owner not in here:
                continue
            if owner not in there:
                return True
            if key[0] == "column" and "definition" in here[owner]:
                return here[owner] != there[owner]  # a view's columns follow its definition
            if key[0] == "sequence" and owner_type == "column" and "identity" in attributes:
                return here[owner].get("identity") != there[owner].get("identity")
    return any(parent in here and parent not in there for parent in _inherited_from(key, here))


def _inherited_from(key: ObjectKey, objects: Objects) -> list[ObjectKey]:
    """Return the keys that a column or constraint has in the tables it is inherited from.

    A partition follows its partitioned table: to tell of each would bury the one.
    """
    attributes = objects[key]
    if "inherited" not in attributes:
        return []
    table = attributes["table"]
    object_type, name = key
    return [
        (object_type, f"{parent}.{name[len(table) + 1 :]}")
        for parent in _inherits(table, objects).split(", ")
    ]


def _inherits(table: str | None, objects: Objects) -> str:
    return objects.get(("table", table or ""), {}).get("inherits", "")


def _changed(key: ObjectKey, here: Objects, there: Objects) -> Iterator[Difference]:
    object_type, name = key
    before, after = here[key], there[key]
    relation = _relation(key, before)
    parents = [
        (here[parent], there[parent])
        for parent in _inherited_from(key, here)
        if parent in here and parent in there
    ]
    for attribute in sorted(before.keys() | after.keys()):
        was, is_ = before.get(attribute), after.get(attribute)
        if was == is_:
            continue
        if any(b.get(attribute) == was and a.get(attribute) == is_ for b, a in parents):
            continue
        if attribute == "labels":
            yield from _changed_labels(name, read_labels(before), read_labels(after))
        elif attribute == "column order":
            columns = _common(json.loads(was or "[]"), json.loads(is_ or "[]"))
            if columns is not None:
                yield Difference(
                    DifferenceKind.CHANGED, "column order", name, name, "order", *columns
                )
        elif attribute == "not-null constraint" and before["nullable"] != after["nullable"]:
            continue  # only the name of what `nullable` tells
        elif attribute == "inherited" and _inherits(relation, here) != _inherits(relation, there):
            continue  # follows from the table's own `inherits`
        else:
            yield Difference(
                DifferenceKind.CHANGED, object_type, name, relation, attribute, was, is_
            )


def _changed_labels(enum: str, before: Sequence[str], after: Sequence[str]) -> Iterator[Difference]:
    for label in before:
        if label not in after:
            yield Difference(DifferenceKind.MISSING, "enum label", f"{enum}.{label}")
    for label in after:
        if label not in before:
            yield Difference(DifferenceKind.LEFT, "enum label", f"{enum}.{label}")
    order = _common(before, after)
    if order is not None:
        yield Difference(DifferenceKind.CHANGED, "enum", enum, None, "label order", *order)


def _common(before: Sequence[str], after: Sequence[str]) -> tuple[str, str] | None:
    """Return both orders of what is on both sides, None where they are the same."""
    first = [item for item in before if item in after]
    second = [item for item in after if item in before]
    return None if first == second else (", ".join(first), ", ".join(second))
