"""A revision makes one change, wholly or not at all.

What it finds

A new revision that

- can be left half applied: it sends COMMIT, ROLLBACK or BEGIN, calls `commit()` or
  `rollback()`, or has an `autocommit_block` beside other operations;
- changes the schema and, beside it, rows of a table that it does not create;
- changes relations that have nothing to do with each other. Relations tied by a foreign key
  or named in one statement belong together; an index, a constraint and an ENUM type belong
  to their table. `max_relations` says how many unrelated ones are allowed.

Why it matters

What was committed stays when the rest fails, while `alembic_version` still names the
revision before: the next try dies with "already exists". Two changes in one revision can
only be taken back together, and hold the locks of both for as long as both take.

When it is fine

A revision that consists of an `autocommit_block` alone; operations that can all be run
again (`if_not_exists=True`, `if_exists=True`); filling a table that the revision creates;
the first revision of a history.

How to fix

Make a revision of each part: schema first, rows second, what needs `autocommit_block` by
itself.

Example

    def upgrade():
        op.add_column("orders", sa.Column("currency", sa.Text(), nullable=True))
        op.add_column("customers", sa.Column("name", sa.Text(), nullable=True))

    def downgrade():
        op.drop_column("customers", "name")
        op.drop_column("orders", "currency")

Instead

    def upgrade():
        op.add_column("orders", sa.Column("currency", sa.Text(), nullable=True))

    def downgrade():
        op.drop_column("orders", "currency")
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import replace

from gatekeeper.checks.observed import (
    Seen,
    at_function,
    at_statement,
    join_some,
    own_statements,
    upgrades,
)
from gatekeeper.checks.relatives import group_relations
from gatekeeper.checks.written import method_of, read_calls, receiver_of
from gatekeeper.model import (
    Basis,
    Check,
    CheckContext,
    Direction,
    Finding,
    Needs,
    Option,
    Revision,
    Skipped,
)
from gatekeeper.sql import Kind, find_name, plain_name, shorten

CHECK = Check(
    "not-atomic",
    "A revision makes one change, wholly or not at all",
    "upgrade",
    Needs.REHEARSAL,
    (Option("max_relations", 1, "how many unrelated relations one revision may change"),),
)


def find(context: CheckContext) -> Iterator[Finding | Skipped]:
    ended = set()
    for revision in context.changes.to_rehearse:
        if (written := _ends_transaction(revision)) is not None:
            ended.add(revision.revision)
            yield written
    for each in upgrades(context):
        if isinstance(each, Skipped):
            yield each
            continue
        revision, step = each
        seen = own_statements(revision, step)
        if revision.revision not in ended:
            yield from _sends_transaction_control(revision, seen)
        yield from _leaves_half(revision, seen)
        yield from _changes_rows_too(revision, seen)
        if revision.down_revisions:
            yield from _changes_unrelated(revision, seen, int(context.options["max_relations"]))


def _ends_transaction(revision: Revision) -> Finding | None:
    """Find a call of `commit()` or `rollback()`, but for one on a savepoint."""
    savepoints = _savepoints(revision)
    for direction in Direction:
        for call in read_calls(revision, direction):
            name = method_of(call)
            if name in ("commit", "rollback") and receiver_of(call) not in savepoints:
                finding = at_function(
                    CHECK,
                    revision,
                    direction,
                    f"`{ast.unparse(call)}` ends the transaction that Alembic holds: what precedes "
                    "it stays if the rest fails",
                    f"Remove the call of `{name}()`. What needs a transaction of its own goes into "
                    "`with op.get_context().autocommit_block():`, in a revision of its own.",
                    basis=Basis.READ,
                )
                return replace(finding, line=call.lineno, end_line=call.end_lineno)
    return None


def _savepoints(revision: Revision) -> frozenset[str]:
    """Return the names that the file gives to `begin_nested()`."""
    names = []
    for node in ast.walk(ast.parse(revision.source)):
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Call() as call):
                names.append((name, call))
            case ast.withitem(context_expr=ast.Call() as call, optional_vars=ast.Name(id=name)):
                names.append((name, call))
    return frozenset(name for name, call in names if method_of(call) == "begin_nested")


def _sends_transaction_control(revision: Revision, seen: tuple[Seen, ...]) -> Iterator[Finding]:
    for each in seen:
        if each.parsed.kind is Kind.TRANSACTION:
            yield at_statement(
                CHECK,
                revision,
                each.statement,
                f"`{each.parsed.transaction}` in the middle of `{revision.revision}`: what "
                "precedes it stays if the rest fails",
                "Remove it. What cannot run inside a transaction goes into "
                "`with op.get_context().autocommit_block():`, in a revision of its own.",
            )
            return


def _leaves_half(revision: Revision, seen: tuple[Seen, ...]) -> Iterator[Finding]:
    changing = [each for each in seen if _changes_something(each)]
    outside = [each for each in changing if not each.statement.in_transaction]
    if len({each.statement.in_transaction for each in changing}) < 2:
        return
    if all(each.parsed.if_exists for each in changing):
        return
    yield at_statement(
        CHECK,
        revision,
        outside[0].statement,
        f"`{shorten(outside[0].statement.sql, 60)}` ran outside the transaction of the other "
        f"operations of `{revision.revision}`: if one of them fails, the others stay",
        "Give the `autocommit_block` a revision of its own: `alembic revision -m "
        f'"{revision.message} (2)"`. Then each of the two is applied wholly or not at all.',
    )


def _changes_something(seen: Seen) -> bool:
    return bool(seen.parsed.changes_schema or seen.parsed.changes_rows)


def _changes_rows_too(revision: Revision, seen: tuple[Seen, ...]) -> Iterator[Finding]:
    created = {
        plain_name(name)
        for each in seen
        if each.parsed.kind is Kind.CREATE_TABLE
        for name in each.parsed.relations
    }
    schema = [each for each in seen if each.parsed.changes_schema]
    rows = [
        each
        for each in seen
        if each.parsed.changes_rows and {plain_name(n) for n in each.parsed.relations} - created
    ]
    if not schema or not rows:
        return
    later = max(schema[0], rows[0], key=lambda each: each.statement.ordinal)
    relation = rows[0].parsed.relations[0]
    yield at_statement(
        CHECK,
        revision,
        later.statement,
        f"`{revision.revision}` changes the schema (`{shorten(schema[0].statement.sql, 50)}`) "
        f"and rows of `{relation}` (`{shorten(rows[0].statement.sql, 50)}`) together",
        "Leave the schema here and change the rows in a revision after it, so that no lock of "
        "the schema change is held while the rows are written.",
        relation=relation,
    )


def _changes_unrelated(
    revision: Revision, seen: tuple[Seen, ...], max_relations: int
) -> Iterator[Finding]:
    groups = group_relations(seen)
    if len(groups) <= max_relations:
        return
    names = [f"`{group[0]}`" for group in groups]
    second = groups[max_relations][0]
    for each in seen:
        touched = [plain_name(name) for name in each.parsed.relations]
        if each.parsed.changes_schema and second in touched:
            yield at_statement(
                CHECK,
                revision,
                each.statement,
                f"`{revision.revision}` changes {len(groups)} unrelated relations: "
                f"{join_some(names)}",
                "Make a revision of each: they can then be rolled back one by one, and neither "
                "holds its locks while the other works. A change that belongs together is "
                "allowed by `not-atomic: {max_relations: " + f"{len(groups)}}}` in the policy.",
                relation=find_name(second, _locked(seen)) or second,
            )
            return


def _locked(seen: tuple[Seen, ...]) -> frozenset[str]:
    return frozenset(lock.relation for each in seen for lock in each.statement.locks or ())
