"""Indexes are built and dropped concurrently.

What it finds

`CREATE INDEX` or `DROP INDEX` without CONCURRENTLY on a relation that existed before the
change, in an upgrade.

Why it matters

Building an index takes SHARE on the table: reads go on, every INSERT, UPDATE and DELETE
waits until the index is complete. Dropping one takes ACCESS EXCLUSIVE: reads wait too, and
so does all that queues up behind while a long transaction keeps the lock from being had.

When it is fine

On a table that the same change makes or drops. On a partitioned table PostgreSQL refuses
CONCURRENTLY; `CREATE INDEX … ON ONLY` is therefore no finding.

How to fix

Give the index a revision of its own, and build it in an `autocommit_block`: CONCURRENTLY
cannot run inside a transaction. On a partitioned table make the index `ON ONLY` the parent,
build one CONCURRENTLY on every partition, then `ALTER INDEX … ATTACH PARTITION …`.
Manual: https://www.postgresql.org/docs/current/sql-createindex.html

Example

    def upgrade():
        op.create_index("ix_orders_customer_id", "orders", ["customer_id"])

    def downgrade():
        op.drop_index("ix_orders_customer_id", table_name="orders")

Instead

    def upgrade():
        with op.get_context().autocommit_block():
            op.create_index(
                "ix_orders_customer_id",
                "orders",
                ["customer_id"],
                postgresql_concurrently=True,
                if_not_exists=True,
            )

    def downgrade():
        with op.get_context().autocommit_block():
            op.drop_index(
                "ix_orders_customer_id",
                table_name="orders",
                postgresql_concurrently=True,
                if_exists=True,
            )
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from gatekeeper.checks.names import Names, dropped_by_change, find_before, names_of
from gatekeeper.checks.observed import (
    Seen,
    at_statement,
    changes_of,
    in_words,
    is_named,
    join_some,
    locks_on,
    own_statements,
    relations_before,
    tell_unseen,
    upgrades,
)
from gatekeeper.checks.paste import autocommit_block
from gatekeeper.checks.written import method_of, read_calls
from gatekeeper.lock_modes import LockMode
from gatekeeper.model import (
    Basis,
    Check,
    CheckContext,
    Difference,
    DifferenceKind,
    Direction,
    Finding,
    Needs,
    Revision,
    Skipped,
    Statement,
)
from gatekeeper.sql import Kind, is_same_name, make_concurrent, mentions

CHECK = Check(
    "index-not-concurrent", "Indexes are built and dropped concurrently", "locks", Needs.REHEARSAL
)


def find(context: CheckContext) -> Iterator[Finding | Skipped]:
    earlier: tuple[Seen, ...] = ()
    for each in upgrades(context):
        if isinstance(each, Skipped):
            yield each
            continue
        revision, step = each
        statements = own_statements(revision, step)
        names = names_of(context, revision)
        gone = dropped_by_change(context, revision, names)
        for position, seen in enumerate(statements):
            if seen.parsed.concurrently:
                continue
            if seen.parsed.kind is Kind.CREATE_INDEX and not seen.parsed.only:
                relation = find_before(_table_named(seen), names)
            elif seen.parsed.kind is Kind.DROP_INDEX:
                relation = _table_of(context, revision, seen, names)
            else:
                continue
            if relation is not None and relation not in gone:
                yield _at_index(revision, (*earlier, *statements[: position + 1]), relation)
        if not context.changes.is_audit:  # there each revision ran by itself
            earlier += tuple(s for s in statements if s.statement.transaction is not None)
        yield from _unexplained(context, revision, statements, names)
        if (unseen := tell_unseen(context, revision, step)) is not None:
            yield unseen


def _table_named(seen: Seen) -> str:
    """Return the table on which an index is built; the lock tells what the search path found."""
    written = seen.parsed.relations[0]
    locks = seen.statement.locks or ()
    locked = {lock.relation for lock in locks if is_same_name(written, lock.relation)}
    return locked.pop() if len(locked) == 1 else written


def _table_of(context: CheckContext, revision: Revision, seen: Seen, names: Names) -> str | None:
    """Return the table of a dropped index, by the catalog's change or by the lock on it."""
    before = relations_before(context, revision)
    index = seen.parsed.names[0]
    for difference in changes_of(context, revision):
        missing = difference.object_type == "index" and difference.kind is DifferenceKind.MISSING
        if missing and difference.relation and is_same_name(index, difference.name):
            return find_before(difference.relation, names)
    for lock in locks_on(seen.statement, before):
        if lock.mode is LockMode.ACCESS_EXCLUSIVE and not is_named(
            lock.relation, seen.parsed.names
        ):
            return lock.relation
    return None


def _unexplained(
    context: CheckContext, revision: Revision, seen: tuple[Seen, ...], names: Names
) -> Iterator[Finding | Skipped]:
    """Yield what there is to say of new indexes that no statement's text builds."""
    for each in changes_of(context, revision):
        is_new = each.object_type == "index" and each.kind is DifferenceKind.LEFT
        relation = find_before(each.relation or "", names)
        if not is_new or relation is None or _is_written(each, seen):
            continue
        builder = _builder(seen, relation)
        if builder is None:
            yield Skipped(f"how the index `{each.name}` was built was not seen")
            continue
        yield at_statement(
            CHECK,
            revision,
            builder,
            f"The index `{each.name}` on `{relation}` was built by {in_words(builder)}, which took "
            "SHARE and blocked writes until the transaction ended",
            "Build it by `CREATE INDEX CONCURRENTLY` through `op.execute(…)`, in "
            "`with op.get_context().autocommit_block():`, in a revision of its own.",
            relation=relation,
        )


def _builder(seen: tuple[Seen, ...], relation: str) -> Statement | None:
    """Return the statement of unknown content that took SHARE: only building an index does."""
    for each in seen:
        locks = locks_on(each.statement, (relation,))
        if each.parsed.changes_schema is None and LockMode.SHARE in [lock.mode for lock in locks]:
            return each.statement
    return None


def _is_written(index: Difference, seen: tuple[Seen, ...]) -> bool:
    """Tell whether a statement that can be read builds, renames or attaches the index."""
    bare = index.name.rpartition(".")[2]
    for parsed, sql in ((s.parsed, s.statement.sql) for s in seen):
        if parsed.changes_schema is None or parsed.kind is Kind.CREATE_FUNCTION:
            continue
        if mentions(sql, bare) or "PARTITION" in sql.upper():
            return True
        if parsed.kind is Kind.CREATE_INDEX and not parsed.names:
            return True
    return False


def _at_index(revision: Revision, seen: tuple[Seen, ...], relation: str) -> Finding:
    """Return the finding on the last of these statements; the others tell what it ran under."""
    statement, parsed = seen[-1].statement, seen[-1].parsed
    own = [lock for lock in statement.locks or () if lock.mode.blocks]
    on_table = [lock.mode for lock in own if is_same_name(lock.relation, relation)]
    held = [
        lock.mode
        for each in seen
        if each.statement.transaction == statement.transaction
        for lock in each.statement.locks or ()
        if lock.mode.blocks and is_same_name(lock.relation, relation)
    ]
    wanted = LockMode.SHARE if parsed.kind is Kind.CREATE_INDEX else LockMode.ACCESS_EXCLUSIVE
    if on_table:
        # A text of several statements shows the locks of all of them.
        mode = wanted if wanted in on_table else max(on_table)
        verbs = ("took", "blocked", "ended")
    elif statement.locks is not None and held:
        mode, verbs = max(held), ("ran under", "blocked", "ended")
    else:
        mode, verbs = wanted, ("will take", "will block", "ends")
    names = join_some([f"`{name}`" for name in parsed.names])
    is_partitioned = len(own) > 1 and parsed.kind is Kind.CREATE_INDEX
    return at_statement(
        CHECK,
        revision,
        statement,
        f"`{parsed.kind.value}`{f' {names}' if names else ''} on `{relation}` {verbs[0]} "
        f"{mode.manual_name} and {verbs[1]} {mode.blocks} until the transaction {verbs[2]}",
        _remedy(revision, seen[-1], relation, is_partitioned=is_partitioned),
        basis=Basis.READ if verbs[0] == "will take" else Basis.OBSERVED,
        relation=relation,
    )


def _remedy(revision: Revision, seen: Seen, relation: str, *, is_partitioned: bool) -> str:
    if is_partitioned:
        name = seen.parsed.names[0] if seen.parsed.names else "ix_…"
        return (
            f"A partitioned table takes no CONCURRENTLY. Use `CREATE INDEX {name} ON ONLY "
            f"{relation} (…)`, then `CREATE INDEX CONCURRENTLY` on every partition, then "
            f"`ALTER INDEX {name} ATTACH PARTITION …` for each."
        )
    statements = make_concurrent(seen.statement.sql, seen.parsed)
    if not statements:
        return (
            "Write it with CONCURRENTLY, in `with op.get_context().autocommit_block():`, in a "
            "revision of its own."
        )
    removed = "Remove `index=True` from the column. " if _is_of_column(revision, seen) else ""
    return f"{removed}In a revision of its own:\n\n{autocommit_block(statements)}"


def _is_of_column(revision: Revision, seen: Seen) -> bool:
    """Tell whether the index comes with a column: `add_column(…, Column(…, index=True))`."""
    calls = [
        call
        for call in read_calls(revision, Direction.UPGRADE)
        if method_of(call) == "add_column" and call.lineno == seen.statement.line
    ]
    nodes = [node for call in calls for node in ast.walk(call)]
    return any(isinstance(node, ast.keyword) and node.arg == "index" for node in nodes)
