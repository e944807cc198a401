"""No table that holds rows is rewritten.

What it finds

A statement of an upgrade that gave a relation which existed before new files: PostgreSQL
wrote every row and every index anew.

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

from gatekeeper.checks.observed import (
    at_statement,
    dropped_tables,
    is_named,
    own_statements,
    relations_before,
    upgrades,
)
from gatekeeper.model import Check, CheckContext, Finding, Needs, Revision, Skipped, Statement
from gatekeeper.sql import Kind, find_name, shorten

CHECK = Check("table-rewrite", "No table that holds rows is rewritten", "locks", Needs.REHEARSAL)


def find(context: CheckContext) -> Iterator[Finding | Skipped]:
    for each in upgrades(context):
        if isinstance(each, Skipped):
            yield each
            continue
        revision, step = each
        before = relations_before(context, revision)
        seen = own_statements(revision, step)
        gone = dropped_tables(seen)
        rewritten = {
            (statement, relation)
            for statement, parsed in ((s.statement, s.parsed) for s in seen)
            for relation in statement.rewrites
            if parsed.kind is not Kind.DELETE
            and find_name(relation, before) is not None
            and not is_named(relation, gone)
        }
        for statement, relation in sorted(rewritten, key=lambda pair: (pair[0].ordinal, pair[1])):
            yield _at_rewrite(revision, statement, relation)


def _at_rewrite(revision: Revision, statement: Statement, relation: str) -> Finding:
    return at_statement(
        CHECK,
        revision,
        statement,
        f"`{shorten(statement.sql, 60)}` rewrote `{relation}` and its indexes under ACCESS "
        "EXCLUSIVE: nobody reads or writes it until every row is written anew",
        "Add a new column with what is wanted, let the application write both, fill it in "
        f"batches, and drop the old one in a later release. Where `{relation}` is small, waive "
        "it with its size.",
        relation=relation,
    )
