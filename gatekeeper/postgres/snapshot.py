"""A snapshot of a database's catalog that can be compared to the letter.

`pg_dump --schema-only` says the same, in several times the time and as one text.
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
from collections.abc import Iterator, KeysView, Mapping
from dataclasses import dataclass

from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class

from gatekeeper.postgres.catalog import (
    COMMENTS,
    SESSION,
    Family,
    catalog_query,
    list_families,
    list_shared_families,
    presence_query,
)
from gatekeeper.postgres.deparsed import settle
from gatekeeper.postgres.roles import Roles

ObjectKey = tuple[str, str]

_TABLES = frozenset({"table", "foreign table"})
_RELATIONS = _TABLES | {"view", "materialized view", "index", "sequence"}
_NAME = r'(?:"[^"]+"|[^\s".(]+)'
_REFERENCES = re.compile(rf"^FOREIGN KEY .*\) REFERENCES ({_NAME}\.{_NAME})\(")
_OWNER = "gatekeeper_owner"
_INDEX_CONSTRAINTS = ("PRIMARY KEY", "UNIQUE", "EXCLUDE")

# An object as PostgreSQL tells it: family, table, the values of the family's attributes as a
# JSON array, comment, and the columns of a table in their order, in place of numbers that
# count dropped ones. Equal rows are equal objects.
Row = tuple[Family, str | None, str, str | None, tuple[str, ...] | None]


class Objects(Mapping[ObjectKey, Mapping[str, str]]):
    """The attributes of each object, read when they are first asked for.

    Most objects of a snapshot are only ever compared, which their rows are enough for.
    """

    def __init__(self, rows: Mapping[ObjectKey, Row]) -> None:
        self._rows = rows
        self._read: dict[ObjectKey, Mapping[str, str]] = {}

    def __getitem__(self, key: ObjectKey) -> Mapping[str, str]:
        if key not in self._read:
            self._read[key] = _read(key[1], *self._rows[key])
        return self._read[key]

    def __iter__(self) -> Iterator[ObjectKey]:
        return iter(sorted(self._rows))

    def __len__(self) -> int:
        return len(self._rows)

    def keys(self) -> KeysView[ObjectKey]:
        """Return the keys in no order; a dictionary's own are quick to subtract."""
        return self._rows.keys()


def _read(
    name: str,
    family: Family,
    table: str | None,
    values: str,
    comment: str | None,
    columns: tuple[str, ...] | None,
) -> Mapping[str, str]:
    """Return the attributes that are not NULL."""
    told = {"table": table}
    told.update(zip(family.attributes, json.loads(values), strict=True))
    told["comment"] = comment
    if columns is not None:
        told["column order"] = json.dumps([column[len(name) + 1 :] for column in columns])
    return {attribute: value for attribute, value in told.items() if value is not None}


@dataclass(frozen=True)
class Snapshot:
    """The user's part of a catalog: (object type, qualified name) → what is told of it."""

    rows: Mapping[ObjectKey, Row]

    @functools.cached_property
    def objects(self) -> Mapping[ObjectKey, Mapping[str, str]]:
        """The attributes of each object.

        The attribute `table` names the table that an object belongs to. An attribute that
        is not there has its default. Names are qualified but not quoted:
        `public.users.email`.
        """
        return Objects(self.rows)

    def without_owners(self) -> Snapshot:
        """Return it without owners and privileges, which are others on another server."""
        rows = {
            key: _without(row, ("owner", "privileges"))
            for key, row in self.rows.items()
            if key[0] != "default privileges"
        }
        return Snapshot(rows)

    @functools.cached_property
    def fingerprints(self) -> Mapping[str, str]:
        """A digest of each object, owners and privileges apart: `table public.users` → hex.

        Right for the same database at another moment (`differing`), where of the first only
        these were written down. With both snapshots at hand `difference.compare` says how an
        object differs; a database elsewhere differs in what `postgres.likeness` leaves out.
        """
        return {
            " ".join(key): hashlib.sha256(repr(row[1:]).encode()).hexdigest()[:16]
            for key, row in sorted(self.without_owners().rows.items())
        }

    @functools.cached_property
    def relations(self) -> frozenset[str]:
        """The qualified names of all tables, views, indexes and sequences."""
        names = {name for object_type, name in self.rows if object_type in _RELATIONS}
        for key in self.rows:
            object_type, name = key
            if object_type == "constraint" and is_index_constraint(self.objects[key]):
                table = self.objects[key]["table"]
                names.add(f"{table.split('.')[0]}.{name.removeprefix(f'{table}.')}")
        return frozenset(names)

    @functools.cached_property
    def enums(self) -> Mapping[str, tuple[str, ...]]:
        """The labels of each enum type in their order."""
        return {
            name: read_labels(self.objects["enum", name])
            for object_type, name in sorted(self.rows)
            if object_type == "enum"
        }

    def columns_beyond(self, other: Snapshot) -> Mapping[str, bool]:
        """Each column that the other has not, with whether an INSERT has to give it a value."""
        new = sorted(self.rows.keys() - other.rows.keys())
        return {name: self._is_required(name) for kind, name in new if kind == "column"}

    def _is_required(self, column: str) -> bool:
        attributes = self.objects["column", column]
        domain = self.objects.get(("domain", attributes["type"].replace('"', "")), {})
        return (
            attributes["nullable"] == "false"
            and not attributes.keys() & {"default", "identity", "generated"}
            and "default" not in domain
        )

    @functools.cached_property
    def partitions(self) -> Mapping[str, str]:
        """Each table that inherits, with the first that it inherits from."""
        tables = (name for name in self._of_type("table", "foreign table"))
        inherits = ((name, self._table(name).get("inherits")) for name in tables)
        return {name: i.split(", ")[0].replace('"', "") for name, i in inherits if i is not None}

    @functools.cached_property
    def foreign_keys(self) -> frozenset[tuple[str, str]]:
        """The relations that foreign keys tie: the referencing one and the referenced one."""
        constraints = (self.objects["constraint", n] for n in self._of_type("constraint"))
        return frozenset(
            (attributes["table"], found[1].replace('"', ""))
            for attributes in constraints
            if "table" in attributes
            if (found := _REFERENCES.search(attributes["definition"])) is not None
        )

    def _of_type(self, *types: str) -> list[str]:
        return [name for object_type, name in self.rows if object_type in types]

    def _table(self, name: str) -> Mapping[str, str]:
        return self.objects.get(("table", name)) or self.objects["foreign table", name]


def differing(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """Return the names, in their order, of what two sets of digests do not agree on.

    That is what only one of them has, too. Such sets are a snapshot's fingerprints.
    """
    return sorted(n for n in before.keys() | after.keys() if before.get(n) != after.get(n))


def _without(row: Row, attributes: tuple[str, ...]) -> Row:
    family, table, values, comment, columns = row
    if not any(attribute in family.attributes for attribute in attributes):
        return row
    kept = [
        None if attribute in attributes else value
        for attribute, value in zip(family.attributes, json.loads(values), strict=True)
    ]
    return family, table, json.dumps(kept), comment, columns


def is_index_constraint(attributes: Mapping[str, str]) -> bool:
    """Return whether a constraint has an index of the same name."""
    return attributes["definition"].startswith(_INDEX_CONSTRAINTS)


def read_labels(attributes: Mapping[str, str]) -> tuple[str, ...]:
    """Return the labels that an enum's attributes hold."""
    return tuple(json.loads(attributes["labels"]))


def take_snapshot(
    connection: Connection, ignore: frozenset[str] = frozenset(), roles: Roles | None = None
) -> Snapshot:
    """Return the catalog that the connection sees.

    `ignore` names tables to leave out with all that belongs to them: Alembic's version
    table. With `roles` those of this run are told as well, and the settings and privileges
    of the database; the role of restricted migrations is `gatekeeper_owner` in every run.
    In a transaction the search path is another one until its end.
    """
    families = list_families(connection.server_version // 10_000)
    if roles is not None:
        families += list_shared_families(roles.ours)
    with connection.cursor() as cursor:
        cursor.execute(presence_query(families))
        present = cursor.fetchone() or ()
        families = tuple(f for f, is_present in zip(families, present, strict=True) if is_present)
        cursor.execute(SESSION + catalog_query(families))
        answer = cursor.fetchall()
    comment_family = families.index(COMMENTS)
    comments: dict[tuple[int, int, int], str] = {}
    columns: dict[int, list[tuple[int, str]]] = {}
    for family, object_type, name, _, catalog, oid, column, _ in answer:
        if family == comment_family:
            comments[catalog, oid, column] = name
        elif object_type == "column":
            columns.setdefault(oid, []).append((column, name))
    rows = {}
    for family, object_type, name, table, catalog, oid, column, values in answer:
        if family == comment_family or name in ignore or table in ignore:
            continue
        order = None
        if oid in columns and object_type in _TABLES:
            order = tuple(column_name for _, column_name in sorted(columns[oid]))
        comment = comments.get((catalog, oid, column))
        if roles is not None:
            name = name.replace(roles.owner.name, _OWNER)
            values = values.replace(roles.owner.name, _OWNER)
        rows[object_type, name] = (families[family], table, settle(values), comment, order)
    return Snapshot(rows)
