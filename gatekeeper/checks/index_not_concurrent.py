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

from collections.abc import Iterator

from gatekeeper.checks.observed import (
    Seen,
    at_statement,
    dropped_tables,
    is_named,
    locks_on,
    own_statements,
    relations_before,
    upgrades,
)
from gatekeeper.lock_modes import LockMode
from gatekeeper.model import (
    Basis,
    Check,
    CheckContext,
    DifferenceKind,
    Finding,
    Needs,
    Revision,
    Skipped,
)
from gatekeeper.sql import Kind, find_name, is_same_name

CHECK = Check(
    "index-not-concurrent", "Indexes are built and dropped concurrently", "locks", Needs.REHEARSAL
)


def find(context: CheckContext) -> Iterator[Finding | Skipped]:
    for each in upgrades(context):
        if isinstance(each, Skipped):
            yield each
            continue
        revision, step = each
        statements = own_statements(revision, step)
        gone = dropped_tables(statements)
        for position, seen in enumerate(statements):
            if seen.parsed.concurrently:
                continue
            if seen.parsed.kind is Kind.CREATE_INDEX and not seen.parsed.only:
                relation = find_name(seen.parsed.relations[0], relations_before(context, revision))
            elif seen.parsed.kind is Kind.DROP_INDEX:
                relation = _table_of(context, revision, seen)
            else:
                continue
            if relation is not None and not is_named(relation, gone):
                yield _at_index(revision, statements[: position + 1], relation)


def _table_of(context: CheckContext, revision: Revision, seen: Seen) -> str | None:
    """Return the table of a dropped index, by the lock on it or by the catalog's change."""
    before = relations_before(context, revision)
    index = seen.parsed.names[0]
    for lock in locks_on(seen.statement, before):
        if lock.mode is LockMode.ACCESS_EXCLUSIVE and not is_same_name(index, lock.relation):
            return lock.relation
    rehearsed = context.rehearsal.of(revision.revision) if context.rehearsal else None
    for difference in (rehearsed.changes if rehearsed else None) or ():
        missing = difference.object_type == "index" and difference.kind is DifferenceKind.MISSING
        if missing and difference.relation and is_same_name(index, difference.name):
            return find_name(difference.relation, before)
    return None


def _at_index(revision: Revision, seen: tuple[Seen, ...], relation: str) -> Finding:
    """Return the finding on the last of these statements; the others tell what it ran under."""
    statement, parsed = seen[-1].statement, seen[-1].parsed
    verb = parsed.kind.value
    index = parsed.names[0] if parsed.names else None
    own = [lock for lock in statement.locks or () if lock.mode.blocks]
    held = [
        lock.mode
        for each in seen
        for lock in each.statement.locks or ()
        if lock.mode.blocks and is_same_name(lock.relation, relation)
    ]
    if any(is_same_name(lock.relation, relation) for lock in own):
        mode = max(lock.mode for lock in own if is_same_name(lock.relation, relation))
        verbs = ("took", "blocked", "ended")
    elif statement.locks is not None and held:
        mode, verbs = max(held), ("ran under", "blocked", "ended")
    else:
        mode = LockMode.SHARE if parsed.kind is Kind.CREATE_INDEX else LockMode.ACCESS_EXCLUSIVE
        verbs = ("will take", "will block", "ends")
    is_partitioned = len(own) > 1 and parsed.kind is Kind.CREATE_INDEX
    return at_statement(
        CHECK,
        revision,
        statement,
        f"`{verb}`{f' `{index}`' if index else ''} on `{relation}` {verbs[0]} {mode.manual_name} "
        f"and {verbs[1]} {mode.blocks} until the transaction {verbs[2]}",
        _remedy(verb, index, relation, is_partitioned=is_partitioned),
        basis=Basis.READ if verbs[0] == "will take" else Basis.OBSERVED,
        relation=relation,
    )


def _remedy(verb: str, index: str | None, relation: str, *, is_partitioned: bool) -> str:
    name = (index or "ix_…").rpartition(".")[2]
    if is_partitioned:
        return (
            f"A partitioned table takes no CONCURRENTLY. Use `CREATE INDEX {name} ON ONLY "
            f"{relation} (…)`, then `CREATE INDEX CONCURRENTLY` on every partition, then "
            f"`ALTER INDEX {name} ATTACH PARTITION …` for each."
        )
    schema, _, table = relation.rpartition(".")
    where = f', schema="{schema}"' if schema not in ("", "public") else ""
    call = (
        f'op.create_index("{name}", "{table}", […]{where}, postgresql_concurrently=True, '
        "if_not_exists=True)"
        if verb == "CREATE INDEX"
        else f'op.drop_index("{name}", table_name="{table}"{where}, '
        "postgresql_concurrently=True, if_exists=True)"
    )
    return (
        "In a revision of its own:\n\n"
        f"    with op.get_context().autocommit_block():\n        {call}"
    )
