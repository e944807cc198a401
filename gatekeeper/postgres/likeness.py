"""Whether a database elsewhere is what a rehearsal began with, or ended with.

Held against each other are traits: a digest of each object, for servers of one major version.
They leave out what is another thing on every server and no work of a migration: owners and
privileges, where and how a table is stored, what an administrator tunes, replicates or
installs beside the schema. What differs beyond that was changed by hand, or by another program.

Right where a release's evidence is held against a target. `difference.compare` and
`Snapshot.fingerprints` would tell of all that is left out here; they are for a database and
itself at another moment, or its copy, where none of that may differ unseen.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from gatekeeper.postgres.catalog import Family
from gatekeeper.postgres.snapshot import ObjectKey, Row, Snapshot

# Of the server, of a role, or of this database alone.
_OF_THE_PLACE = (
    *("role", "database", "setting"),
    *("default privileges", "user mapping", "subscription"),
)
# More of these than in the rehearsal have reasons of their own: tools, replication.
_OF_ADMINISTRATORS = (
    *("extension", "publication", "event trigger", "foreign-data wrapper", "server"),
    *("language", "access method", "cast", "transform"),
)
# The version and place of an extension and the comment on `public` say nothing.
_ONLY_PRESENCE = ("extension", "schema", "publication")
# An index that is invalid is told as such.
_NOT_COMPARED = (
    *("owner", "privileges", "valid", "index valid", "clustered on", "replica identity"),
    *("tablespace", "index tablespace", "index options", "TOAST options", "storage"),
    *("compression", "statistics target", "statistics targets"),
)
# Where extensions are by default, and where some hosts keep all of them.
_SCHEMA_OF_HOSTS = "extensions"
_PLACES_OF_EXTENSIONS = ("public", _SCHEMA_OF_HOSTS)
_TABLES = ("table", "foreign table", "view", "materialized view")
_PARTS = ("column", "constraint", "trigger", "policy", "rule")


def read_traits(snapshot: Snapshot) -> Mapping[str, str]:
    """Return a digest of each object, by its type and name: `table public.users` → hex.

    Partitions come and go with the rows that they hold: they have none.
    """
    partitions = {
        name
        for kind, name in snapshot.rows
        if kind in _TABLES and "partition bound" in snapshot.objects[kind, name]
    }
    qualifier = _qualifier(snapshot)
    return {
        " ".join(key): _digest(key, row, qualifier)
        for key, row in sorted(snapshot.rows.items())
        if key[0] not in _OF_THE_PLACE and not {key[1], row[1]} & partitions
    }


def find_unlike(
    expected: Mapping[str, str], snapshot: Snapshot, also: Iterable[str] = ()
) -> tuple[str, ...]:
    """Return in which objects a database is not as expected, a phrase for each.

    A schema that is neither in the expected traits nor in `also`, other traits, is another
    program's, with all that is in it. What belongs to a table is not told beside it.
    """
    there = read_traits(snapshot)
    schemas = {told.removeprefix("schema ") for told in (*expected, *also) if _is_schema(told)}
    schemas.discard(_SCHEMA_OF_HOSTS)
    strange = [
        (key, row)
        for key, row in sorted(snapshot.rows.items())
        if (told := " ".join(key)) in there and told not in expected
        if key[0] not in _OF_ADMINISTRATORS and key[1].split(".")[0] in schemas
    ]
    new = {name for (kind, name), _ in strange if kind in _TABLES}
    missing = sorted(expected.keys() - there.keys())
    changed = (told for told in sorted(expected.keys() & there) if expected[told] != there[told])
    return (
        *(f"`{told}` is missing" for told in _without_parts(missing)),
        *(f"`{' '.join(key)}` is not expected" for key, row in strange if row[1] not in new),
        *(f"`{told}` is another one" for told in changed),
    )


def _is_schema(told: str) -> bool:
    return told.startswith("schema ")


def _without_parts(told: Sequence[str]) -> Iterator[str]:
    """Yield what is no part of a table that is among it."""
    gone = [
        each.removeprefix(f"{kind} ")
        for each in told
        for kind in _TABLES
        if each.startswith(f"{kind} ")
    ]
    for each in told:
        if not any(each.startswith(f"{part} {name}.") for part in _PARTS for name in gone):
            yield each


def _qualifier(snapshot: Snapshot) -> re.Pattern[str]:
    """Return what names a schema that an extension is in, which is another one elsewhere.

    A column's type is `extensions.citext` here and `public.citext` there.
    """
    places = {
        snapshot.objects[kind, name]["schema"]
        for kind, name in snapshot.rows
        if kind == "extension"
    }
    names = sorted(places.union(_PLACES_OF_EXTENSIONS))
    return re.compile(rf"(?<![\w.])(?:{'|'.join(map(re.escape, names))})\.")


def _digest(key: ObjectKey, row: Row, qualifier: re.Pattern[str]) -> str:
    family, table, values, comment, _ = row
    if key[0] in _ONLY_PRESENCE:
        return "there"
    values = qualifier.sub("", values)
    told = (table, dict(_traits(key[0], family, values)), comment)
    return hashlib.sha256(repr(told).encode()).hexdigest()[:16]


def _traits(object_type: str, family: Family, values: str) -> Iterator[tuple[str, str]]:
    for attribute, value in zip(family.attributes, json.loads(values), strict=True):
        if value is None or attribute in _NOT_COMPARED:
            continue
        if attribute == "options" and object_type != "view":
            continue  # of a view they say with whose rights it reads
        if attribute == "not-null constraint":
            # Its name is of a time when the table or the server's version was another.
            for word in ("NO INHERIT", "NOT VALID"):
                if f" {word}" in value:
                    yield attribute, word
            continue
        yield attribute, value
