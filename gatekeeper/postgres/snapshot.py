"""A snapshot of a database's catalog that can be compared to the letter.

`pg_dump --schema-only` says the same, in several times the time and as one text.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class

from gatekeeper.postgres.catalog import (
    COLUMN_NUMBER,
    COMMENTS,
    SESSION,
    catalog_query,
    list_families,
    presence_query,
)

ObjectKey = tuple[str, str]

_RELATIONS = frozenset({"table", "foreign table", "view", "materialized view", "index", "sequence"})
_INDEX_CONSTRAINTS = ("PRIMARY KEY", "UNIQUE", "EXCLUDE")


@dataclass(frozen=True)
class Snapshot:
    """The user's part of a catalog: (object type, qualified name) → its attributes.

    The attribute `table` names the table that an object belongs to. An attribute that is
    not there has its default. Names are qualified but not quoted: `public.users.email`.
    """

    objects: Mapping[ObjectKey, Mapping[str, str]]

    @property
    def relations(self) -> frozenset[str]:
        """The qualified names of all tables, views, indexes and sequences."""
        names = {name for object_type, name in self.objects if object_type in _RELATIONS}
        for (object_type, name), attributes in self.objects.items():
            if object_type == "constraint" and is_index_constraint(attributes):
                table = attributes["table"]
                names.add(f"{table.split('.')[0]}.{name.removeprefix(f'{table}.')}")
        return frozenset(names)

    @property
    def enums(self) -> Mapping[str, tuple[str, ...]]:
        """The labels of each enum type in their order."""
        return {
            name: read_labels(attributes)
            for (object_type, name), attributes in self.objects.items()
            if object_type == "enum"
        }


def is_index_constraint(attributes: Mapping[str, str]) -> bool:
    """Return whether a constraint has an index of the same name."""
    return attributes["definition"].startswith(_INDEX_CONSTRAINTS)


def read_labels(attributes: Mapping[str, str]) -> tuple[str, ...]:
    """Return the labels that an enum's attributes hold."""
    return tuple(json.loads(attributes["labels"]))


def take_snapshot(connection: Connection, ignore: frozenset[str] = frozenset()) -> Snapshot:
    """Return the catalog that the connection sees.

    `ignore` names tables to leave out with all that belongs to them: Alembic's version
    table. In a transaction the search path is another one until its end.
    """
    families = list_families(connection.server_version // 10_000)
    with connection.cursor() as cursor:
        cursor.execute(presence_query(families))
        present = cursor.fetchone() or ()
        families = tuple(f for f, is_present in zip(families, present, strict=True) if is_present)
        cursor.execute(SESSION + catalog_query(families))
        rows = cursor.fetchall()
    names = [tuple(family.attributes) for family in families]
    comment_family = families.index(COMMENTS)
    comments = {}
    objects: dict[ObjectKey, dict[str, str]] = {}
    keys: dict[tuple[int, int, int], ObjectKey] = {}
    for family, object_type, name, catalog, oid, column, *values in rows:
        if family == comment_family:
            comments[int(values[0]), oid, column] = name
            continue
        attributes = {
            attribute: value
            for attribute, value in zip(names[family], values, strict=False)
            if value is not None
        }
        if name in ignore or attributes.get("table") in ignore:
            continue
        objects[object_type, name] = attributes
        keys[catalog, oid, column] = (object_type, name)
    for place, comment in comments.items():
        if place in keys:
            objects[keys[place]]["comment"] = comment
    _order_columns(objects)
    return Snapshot(dict(sorted(objects.items())))


def _order_columns(objects: dict[ObjectKey, dict[str, str]]) -> None:
    """Tell the columns' order of their table, in place of numbers that count dropped ones."""
    numbers: dict[str, list[tuple[int, str]]] = {}
    for (object_type, name), attributes in objects.items():
        if object_type == "column":
            table = attributes["table"]
            number = int(attributes.pop(COLUMN_NUMBER))
            numbers.setdefault(table, []).append((number, name[len(table) + 1 :]))
    for (object_type, name), attributes in objects.items():
        if object_type in ("table", "foreign table") and name in numbers:
            attributes["column order"] = json.dumps([c for _, c in sorted(numbers[name])])
