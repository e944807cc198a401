"""A new NOT NULL column has a server default.

What it finds

`ADD COLUMN … NOT NULL` without a server default on a relation that existed before, in an
upgrade.

Why it matters

It fails on the first table that holds a row. On an empty one it succeeds, and then every
INSERT of the release that is still running fails, because it does not know the column.
`default=` of SQLAlchemy is not known to the database; `server_default=` is.

When it is fine

On a table that the same change makes; for an identity, a serial or a generated column.

How to fix

Give the column a `server_default` (from PostgreSQL 11 on a constant one does not rewrite the
table), or add it as nullable, fill it, and set NOT NULL in a later release.

Example

    def upgrade():
        op.add_column("orders", sa.Column("currency", sa.Text(), nullable=False))

    def downgrade():
        op.drop_column("orders", "currency")

Instead

    def upgrade():
        op.add_column(
            "orders",
            sa.Column("currency", sa.Text(), nullable=False, server_default="EUR"),
        )

    def downgrade():
        op.drop_column("orders", "currency")
"""

from __future__ import annotations

from collections.abc import Iterator

from gatekeeper.checks.observed import (
    at_error,
    at_statement,
    own_statements,
    relations_before,
    upgrades,
)
from gatekeeper.model import (
    Basis,
    Check,
    CheckContext,
    Finding,
    Needs,
    Revision,
    Skipped,
    Statement,
    Step,
)
from gatekeeper.sql import ParsedStatement, find_name, shorten, statements_of

CHECK = Check(
    "add-column-not-null-no-default",
    "A new NOT NULL column has a server default",
    "data",
    Needs.REHEARSAL,
)


def find(context: CheckContext) -> Iterator[Finding | Skipped]:
    for each in upgrades(context):
        if isinstance(each, Skipped):
            yield each
            continue
        revision, step = each
        before = relations_before(context, revision)
        sent = [(seen.statement, seen.parsed) for seen in own_statements(revision, step)]
        for statement, parsed in [*sent, *_failed(step)]:
            relation = find_name(parsed.relations[0], before) if parsed.added_columns else None
            if relation is None:
                continue
            for column in parsed.added_columns:
                if column.not_null and not column.has_default:
                    yield _at_column(revision, step, statement, relation, column.name)


def _failed(step: Step) -> list[tuple[None, ParsedStatement]]:
    """Return the statement that a step failed at, where it was not recorded as sent."""
    sql = step.error.sql if step.error else None
    if sql is None or any(statement.sql == sql for statement in step.statements):
        return []
    return [(None, parsed) for parsed in statements_of(sql)]


def _at_column(
    revision: Revision, step: Step, statement: Statement | None, relation: str, column: str
) -> Finding:
    schema, _, table = relation.rpartition(".")
    where = f', schema="{schema}"' if schema not in ("", "public") else ""
    sql = f" (`{shorten(statement.sql, 60)}`)" if statement else ""
    message = (
        f"`{relation}.{column}` is added NOT NULL without a server default{sql}: it fails where "
        "the table holds rows, and so do the INSERTs of the release that is still running"
    )
    remedy = (
        "Give the column a `server_default`, for example:\n\n"
        f'    op.add_column("{table}", sa.Column("{column}", …, nullable=False, '
        f"server_default=…){where})"
    )
    if statement is None:
        return at_error(CHECK, revision, step, message, remedy)
    return at_statement(
        CHECK, revision, statement, message, remedy, basis=Basis.OBSERVED, relation=relation
    )
