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
    foreign_keys_before,
    join_some,
    own_statements,
    qualify,
    relations_before,
    tell_opaque,
    tell_unseen,
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
from gatekeeper.sql import Kind, plain_name, shorten

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
        if (written := _ends_transaction(context, revision)) is not None:
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
        yield from _changes_rows_too(context, revision, seen)
        if revision.down_revisions:
            yield from _changes_unrelated(context, revision, seen)
        before = relations_before(context, revision)
        unknown = tell_unseen(context, revision, step) or tell_opaque(seen, before)
        if unknown is not None:
            yield unknown


def _ends_transaction(context: CheckContext, revision: Revision) -> Finding | None:
    """Find a call of `commit()` or `rollback()` on the connection that Alembic holds.

    Where it ran, what was seen counts: a Session's `commit()` leaves an outer transaction
    alone. Else it is read from the names, without savepoints, sessions, other connections.
    """
    others = _other_connections(revision)
    for direction in Direction:
        has_ended = _has_ended(context, revision, direction)
        for call in read_calls(revision, direction):
            name = method_of(call)
            if name not in ("commit", "rollback") or has_ended is False:
                continue
            if receiver_of(call) in others or _makes_another(_receiver(call)):
                continue
            seen = has_ended is True
            finding = at_function(
                CHECK,
                revision,
                direction,
                f"`{ast.unparse(call)}` {'ended' if seen else 'ends'} the transaction that Alembic "
                "holds: what precedes it stays if the rest fails",
                f"Remove the call of `{name}()`. What needs a transaction of its own goes into "
                "`with op.get_context().autocommit_block():`, in a revision of its own.",
                basis=Basis.OBSERVED if seen else Basis.READ,
            )
            return replace(finding, line=call.lineno, end_line=call.end_lineno)
    return None


def _has_ended(context: CheckContext, revision: Revision, direction: Direction) -> bool | None:
    """Tell whether a step was seen to end Alembic's transaction, None where none was seen."""
    if context.rehearsal is None:
        return None
    alone = context.rehearsal.of(revision.revision)
    steps = [step for step in context.rehearsal.deploy if step.revision == revision.revision]
    steps += [] if alone is None else [alone.upgrade, alone.downgrade]
    seen = {step.ended_transaction for step in steps if step.direction is direction} - {None}
    return None if not seen else True in seen


_OTHER = (
    "begin_nested", "connect", "raw_connection", "Session", "AsyncSession", "sessionmaker",
    "scoped_session",
)  # fmt: skip


def _other_connections(revision: Revision) -> frozenset[str]:
    """Return the names that the file gives to savepoints, sessions and connections."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(revision.source)):
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=made):
                pass
            case ast.withitem(context_expr=made, optional_vars=ast.Name(id=name)):
                pass
            case _:
                continue
        function = made.func if isinstance(made, ast.Call) else None
        if _makes_another(made) or (isinstance(function, ast.Name) and function.id in names):
            names.add(name)
    return frozenset(names)


def _makes_another(made: ast.expr | None) -> bool:
    """Tell whether an expression makes a savepoint, a session or a connection of its own."""
    if not isinstance(made, ast.Call):
        return False
    function = made.func
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", None)
    return name in _OTHER


def _receiver(call: ast.Call) -> ast.expr | None:
    return call.func.value if isinstance(call.func, ast.Attribute) else None


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


def _changes_rows_too(
    context: CheckContext, revision: Revision, seen: tuple[Seen, ...]
) -> Iterator[Finding]:
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
    relation = qualify(context, revision, rows[0].parsed.relations[0])
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
    context: CheckContext, revision: Revision, seen: tuple[Seen, ...]
) -> Iterator[Finding]:
    max_relations = int(context.options["max_relations"])
    alone = context.rehearsal.of(revision.revision) if context.rehearsal else None
    partitions = alone.partitions_before if alone else {}
    groups = group_relations(seen, foreign_keys_before(context, revision), partitions)
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
                relation=qualify(context, revision, second),
            )
            return
