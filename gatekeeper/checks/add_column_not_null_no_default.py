"""A new NOT NULL column has a server default.

What it finds

A column that an upgrade adds without a server default to a relation which existed before,
and that is NOT NULL afterwards, whichever statements made it so.

Why it matters

It fails on the first table that holds a row. On an empty one it succeeds, and then every
INSERT of the release that is still running fails, because it does not know the column.
`default=` of SQLAlchemy is not known to the database; `server_default=` is.

When it is fine

On a table that the same change makes; for an identity, a serial or a generated column; for
one that is added as nullable and filled before it becomes NOT NULL.

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

from collections.abc import Iterator, Mapping

from gatekeeper.checks.names import Names, find_before, names_of
from gatekeeper.checks.observed import (
    Seen,
    at_error,
    at_statement,
    changes_of,
    in_words,
    locks_on,
    own_statements,
    upgrades,
)
from gatekeeper.checks.paste import in_schema
from gatekeeper.lock_modes import LockMode
from gatekeeper.model import (
    Check,
    CheckContext,
    DifferenceKind,
    Finding,
    Needs,
    Revision,
    Skipped,
    Statement,
    Step,
)
from gatekeeper.sql import Kind, ParsedStatement, find_name, mentions, plain_name, statements_of

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
        names = names_of(context, revision)
        new = _new_columns(context, revision)
        seen = own_statements(revision, step)
        written = set()
        for position, each_seen in enumerate(seen):
            is_filled = _is_filled(each_seen, seen[position:])
            reading = _reading(each_seen, seen[position:])
            for relation, column in _required(each_seen.parsed, names, new, is_filled=is_filled):
                if reading is not None and not _is_not_null(each_seen.parsed, column):
                    yield Skipped(
                        f"whether the rows get a value for `{names[relation]}.{column}` was not "
                        f"seen: {in_words(reading)} found none here"
                    )
                    continue
                yield _at_column(revision, each_seen.statement, names[relation], column)
            written |= {
                f"{find_name(each_seen.parsed.relations[0], names)}.{column.name}"
                for column in each_seen.parsed.added_columns
            }
        for parsed in _failed(step):
            for relation, column in _required(parsed, names, new, is_filled=False):
                message = _message(names[relation], column)
                remedy = _remedy(names[relation], column)
                yield at_error(CHECK, revision, step, message, remedy)
        unwritten = [name for name, is_required in new.items() if is_required]
        unwritten = [name for name in unwritten if name not in written]
        yield from _unexplained(context, revision, seen, unwritten, names)


def _new_columns(context: CheckContext, revision: Revision) -> Mapping[str, bool]:
    rehearsed = context.rehearsal.of(revision.revision) if context.rehearsal else None
    return (rehearsed.new_columns if rehearsed else None) or {}


def _required(
    parsed: ParsedStatement, names: Names, new: Mapping[str, bool], *, is_filled: bool
) -> Iterator[tuple[str, str]]:
    """Yield the columns added to what was there before that are NOT NULL without a default.

    The catalog tells, as far as the text is not better: the default that a column is added
    with, and the rows that fill it, are there when it becomes NOT NULL. Where the catalog
    could not be asked, the text alone counts.
    """
    relation = find_name(parsed.relations[0], names) if parsed.added_columns else None
    for column in parsed.added_columns:
        if relation is None or column.has_default or (is_filled and not column.not_null):
            continue
        if new.get(f"{relation}.{column.name}", column.not_null):
            yield relation, column.name


def _is_filled(adding: Seen, later: tuple[Seen, ...]) -> bool:
    """Tell whether rows of the table are changed after the column is there."""
    tables = {plain_name(name) for name in adding.parsed.relations[:1]}
    return any(
        each.parsed.changes_rows and tables & {plain_name(n) for n in each.parsed.relations}
        for each in later
    )


def _reading(adding: Seen, later: tuple[Seen, ...]) -> Statement | None:
    """Return what looks for rows of the table that a loop would fill, and finds none here."""
    tables = {plain_name(name) for name in adding.parsed.relations[:1]}
    return next(
        (
            each.statement
            for each in later
            if each.parsed.kind is Kind.SELECT
            and tables & {plain_name(n) for n in each.parsed.relations}
            and (each.statement.rows or 0) <= 0
        ),
        None,
    )


def _is_not_null(parsed: ParsedStatement, name: str) -> bool:
    return any(column.not_null for column in parsed.added_columns if column.name == name)


def _failed(step: Step) -> tuple[ParsedStatement, ...]:
    """Return the statement that a step failed at, where it was not recorded as sent."""
    sql = step.error.sql if step.error else None
    if sql is None or any(statement.sql == sql for statement in step.statements):
        return ()
    return statements_of(sql)


def _unexplained(
    context: CheckContext,
    revision: Revision,
    seen: tuple[Seen, ...],
    columns: list[str],
    names: Names,
) -> Iterator[Finding | Skipped]:
    """Yield what there is to say of required columns that no readable statement adds."""
    opaque = [each.statement for each in seen if each.parsed.changes_schema is None]
    if not opaque and any(each.parsed.changes_schema for each in seen):
        return  # a column was renamed, a table inherits one
    lost = {
        each.relation
        for each in changes_of(context, revision)
        if each.object_type == "column" and each.kind is DifferenceKind.MISSING
    }
    for name in columns:
        table, _, column = name.rpartition(".")
        relation = find_before(table, names)
        if relation is None:
            continue
        adding = [each for each in opaque if _may_add(each, column, relation)]
        if adding and table not in lost:
            yield _at_column(revision, adding[0], relation, column)
        else:
            yield Skipped(f"how the column `{name}` was added was not seen")


def _may_add(statement: Statement, column: str, relation: str) -> bool:
    """Tell whether a statement of unknown content names the column, or locks its table so."""
    if not statement.is_unseen:
        return mentions(statement.sql, column)
    return any(lock.mode is LockMode.ACCESS_EXCLUSIVE for lock in locks_on(statement, (relation,)))


def _at_column(revision: Revision, statement: Statement, relation: str, column: str) -> Finding:
    message = _message(relation, column, f" ({in_words(statement)})")
    remedy = _remedy(relation, column)
    return at_statement(CHECK, revision, statement, message, remedy, relation=relation)


def _message(relation: str, column: str, how: str = "") -> str:
    return (
        f"`{relation}.{column}` is added NOT NULL without a server default{how}: it fails where "
        "the table holds rows, and so do the INSERTs of the release that is still running"
    )


def _remedy(relation: str, column: str) -> str:
    schema, _, table = relation.rpartition(".")
    return (
        "Give the column a `server_default`, and leave it until every release that runs knows the "
        "column, for example:\n\n"
        f'    op.add_column("{table}", sa.Column("{column}", …, nullable=False, '
        f"server_default=…){in_schema(schema)})"
    )
