"""What the role of the target must be allowed so that the release can be applied.

Both are read from the rehearsal: the objects that are made, changed or dropped in it, and
the locks that only an owner's statements take.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from gatekeeper.deploy.model import Release
from gatekeeper.lock_modes import LockMode

_RELATIONS = ("table", "view", "materialized view", "foreign table", "sequence")
_TYPES = ("enum", "domain", "composite type", "range type")
# Of a table, and its owner's. To make a trigger needs a privilege that others may have.
_PARTS = ("column", "constraint", "policy", "rule")
_IN_SCHEMAS = (*_RELATIONS, *_TYPES, "index", "function", "procedure", "aggregate")
# CREATE INDEX, VALIDATE CONSTRAINT. Stronger ones are also taken on tables that are not
# altered, such as those that the foreign keys of a dropped table lead to.
_OF_OWNERS = (LockMode.SHARE, LockMode.SHARE_UPDATE_EXCLUSIVE)


@dataclass(frozen=True)
class Needs:
    """What a release needs: `owned` are relations and types whose owner the role has to be.

    It has to be able to create in `schemas`; `makes_schema` says that it makes some itself.
    """

    owned: frozenset[str]
    schemas: frozenset[str]
    extensions: frozenset[str]
    makes_schema: bool


def read_needs(release: Release) -> Needs:
    """Return what the revisions of a release need, as far as the rehearsal shows it."""
    before, after = release.catalog_before or {}, release.catalog_after or {}
    made = after.keys() - before.keys()
    altered = {told for told in before if before[told] != after.get(told)} if after else set()
    locked = {
        lock.relation
        for revision in release.revisions
        for lock in revision.locks
        if lock.mode in _OF_OWNERS
    }
    new_schemas = set(_names(made, ("schema",)))
    schemas = {name.split(".")[0] for name in _names(made, _IN_SCHEMAS)}
    return Needs(
        owned=frozenset(
            {*_names(altered, (*_RELATIONS, *_TYPES)), *_tables_of({*made, *altered}, before)}
            | locked
        ),
        schemas=frozenset(schemas - new_schemas),
        extensions=frozenset(_names(made, ("extension",))),
        makes_schema=bool(new_schemas),
    )


def _names(traits: Iterable[str], kinds: tuple[str, ...]) -> Iterator[str]:
    for told in traits:
        for kind in kinds:
            if told.startswith(f"{kind} "):
                yield told.removeprefix(f"{kind} ")


def _tables_of(traits: Iterable[str], before: Mapping[str, str]) -> Iterator[str]:
    """Yield the tables, of those that there were before, that parts belong to."""
    tables = set(_names(before, _RELATIONS))
    for part in _names(traits, _PARTS):
        words = part.split(".")
        yield from (
            table for end in range(2, len(words)) if (table := ".".join(words[:end])) in tables
        )
