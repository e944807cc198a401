"""No table that holds rows is rewritten.

What it finds

A statement of an upgrade that gave a relation which existed before new files: PostgreSQL
wrote every row and every index anew. How many rows the rehearsal had does not matter.

Why it matters

All that time ACCESS EXCLUSIVE is held: nobody reads or writes the table. It takes as long as
the table is large, and needs as much space again.

When it is fine

On a small table; on one that the same change makes or drops; `TRUNCATE` writes nothing.

How to fix

Add a new column, let the application write both, fill it in batches, and switch in a later
release. A longer `varchar`, `varchar` to `text` and a larger precision of `numeric` do not
rewrite; a smaller one, `integer` to `bigint` and a volatile default do.
Manual: https://www.postgresql.org/docs/current/sql-altertable.html#SQL-ALTERTABLE-NOTES

Example

    def upgrade():
        op.alter_column("orders", "total", type_=sa.Numeric(12, 2))

    def downgrade():
        op.alter_column("orders", "total", type_=sa.Numeric())

Instead

    def upgrade():
        op.add_column("orders", sa.Column("total_rounded", sa.Numeric(12, 2)))

    def downgrade():
        op.drop_column("orders", "total_rounded")
"""

from __future__ import annotations

from collections.abc import Iterator

from gatekeeper.checks.names import Names, dropped_by_change, find_before, names_of
from gatekeeper.checks.observed import (
    Seen,
    at_statement,
    in_words,
    is_named,
    own_statements,
    tell_unexplained,
    upgrades,
)
from gatekeeper.checks.paste import execute
from gatekeeper.model import Basis, Check, CheckContext, Finding, Needs, Revision, Skipped
from gatekeeper.sql import Kind

CHECK = Check("table-rewrite", "No table that holds rows is rewritten", "locks", Needs.REHEARSAL)


def find(context: CheckContext) -> Iterator[Finding | Skipped]:
    for each in upgrades(context):
        if isinstance(each, Skipped):
            yield each
            continue
        revision, step = each
        names = names_of(context, revision)
        gone = dropped_by_change(context, revision, names)
        seen = own_statements(revision, step)
        told: set[tuple[int, str]] = set()
        for each_seen in _most_telling_first(seen):
            for relation, basis in _rewritten(each_seen, names):
                place = (each_seen.statement.ordinal, relation)
                if place not in told and relation not in gone:
                    told.add(place)
                    yield _at_rewrite(revision, each_seen, relation, basis)
        yield from _unknown(seen, names)
        if (unexplained := tell_unexplained(context, revision, step)) is not None:
            yield unexplained


def _most_telling_first(seen: tuple[Seen, ...]) -> list[Seen]:
    """Order what one text holds so that the statement which names the relation comes first."""
    return sorted(
        seen,
        key=lambda s: (
            s.statement.ordinal,
            not any(is_named(relation, s.parsed.relations) for relation in s.statement.rewrites),
        ),
    )


def _rewritten(seen: Seen, names: Names) -> Iterator[tuple[str, Basis]]:
    """Yield what a statement rewrote, or will by its text where nobody could watch it."""
    if seen.parsed.kind is Kind.DELETE:  # TRUNCATE gives new files and writes nothing
        return
    for relation in seen.statement.rewrites:
        if relation in names.values():
            yield relation, Basis.OBSERVED
    if seen.statement.locks is None and seen.parsed.kind in (Kind.VACUUM_FULL, Kind.CLUSTER):
        for name in seen.parsed.relations:
            if (known := find_before(name, names)) is not None:
                yield known, Basis.READ


def _unknown(seen: tuple[Seen, ...], names: Names) -> Iterator[Skipped]:
    for each in seen:
        parsed = each.parsed
        names_none = parsed.kind in (Kind.VACUUM_FULL, Kind.CLUSTER) and not parsed.relations
        alters = parsed.kind is Kind.ALTER_TABLE and find_before(parsed.relations[0], names)
        is_block = parsed.changes_schema is None and parsed.kind is not Kind.SELECT
        if each.statement.locks is None and (names_none or alters or is_block):
            yield Skipped(f"whether {in_words(each.statement)} rewrote a table was not observed")


def _at_rewrite(revision: Revision, seen: Seen, relation: str, basis: Basis) -> Finding:
    verb = "rewrote" if basis is Basis.OBSERVED else "will rewrite"
    return at_statement(
        CHECK,
        revision,
        seen.statement,
        f"{in_words(seen.statement)} {verb} `{relation}` and its indexes under ACCESS EXCLUSIVE: "
        "nobody reads or writes it until every row is written anew",
        _remedy(seen, relation),
        basis=basis,
        relation=relation,
    )


def _remedy(seen: Seen, relation: str) -> str:
    if seen.parsed.kind is Kind.REFRESH:
        call = execute(f"REFRESH MATERIALIZED VIEW CONCURRENTLY {seen.parsed.relations[0]}")
        return f"With a UNIQUE index on the view, which it needs, readers go on:\n\n    {call}"
    small = f" Where `{relation}` is small, waive it with its size."
    if seen.parsed.added_columns:
        return (
            "Add the column as nullable and without the default, set the default in a statement "
            f"of its own, and fill the old rows in batches.{small}"
        )
    if seen.parsed.retyped_columns or seen.parsed.changes_schema is None:
        return (
            "Add a new column with what is wanted, let the application write both, fill it in "
            f"batches, and drop the old one in a later release.{small}"
        )
    return (
        f"Take it out of the migrations and run it when nobody needs `{relation}`, or let a tool "
        f"copy the table while it is used, such as pg_repack.{small}"
    )
