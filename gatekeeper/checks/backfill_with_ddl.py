"""Rows are not changed while a schema change holds its locks.

What it finds

An upgrade that changed rows in a transaction in which a schema change before it, in the same
revision or in an earlier one, had taken a lock that blocks reads or writes of a relation
that existed before.

Why it matters

Locks are kept until the transaction ends. An `ADD COLUMN` of a millisecond that is followed
by an UPDATE of ten minutes keeps ACCESS EXCLUSIVE for ten minutes.

When it is fine

Filling a table that the revision makes with rows written out in it. Where the tables of the
rehearsal hold no rows nothing shows, and the check says so: give it rows with `project.seed`.

How to fix

Change the rows in a revision after this one, with a transaction for each revision
(`transaction_per_migration=True`), in batches where there are many.

Example

    def upgrade():
        op.add_column("orders", sa.Column("currency", sa.Text(), nullable=True))
        op.execute("UPDATE orders SET currency = 'EUR'")

    def downgrade():
        op.drop_column("orders", "currency")

Instead

    def upgrade():
        op.execute("UPDATE orders SET note = '' WHERE note IS NULL")

    def downgrade():
        op.execute("UPDATE orders SET note = NULL WHERE note = ''")
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from gatekeeper.checks.observed import (
    Seen,
    at_statement,
    blocking_lock,
    own_statements,
    relations_before,
    tell_opaque,
    tell_unseen,
    upgrades,
)
from gatekeeper.model import Check, CheckContext, Finding, Lock, Needs, Revision, Skipped, Statement
from gatekeeper.sql import Kind, find_name, plain_name, shorten

CHECK = Check(
    "backfill-with-ddl",
    "Rows are not changed while a schema change holds its locks",
    "locks",
    Needs.REHEARSAL,
)


def find(context: CheckContext) -> Iterator[Finding | Skipped]:
    held: _Held | None = None
    for each in upgrades(context):
        if isinstance(each, Skipped):
            yield each
            continue
        revision, step = each
        before = relations_before(context, revision)
        created: set[str] = set()
        statements = own_statements(revision, step)
        if context.changes.is_audit or (held is not None and held.statement.transaction is None):
            held = None  # each revision ran by itself, or nobody knows in which transaction
        is_found = False
        without_rows: tuple[Seen, _Held] | None = None
        for seen in statements:
            if seen.parsed.kind is Kind.CREATE_TABLE:
                created |= {plain_name(name) for name in seen.parsed.relations}
            if held is not None and not _is_kept(held, seen):
                held = None
            if held is not None and _is_about_rows(seen, created, before):
                if seen.statement.rows == 0:
                    without_rows = without_rows or (seen, held)
                elif seen.parsed.changes_rows and not is_found:
                    is_found = True
                    yield _at_rows(revision, seen.statement, held)
            elif seen.parsed.changes_schema and held is None and seen.statement.in_transaction:
                lock = blocking_lock(seen, before)
                held = None if lock is None else _Held(seen.statement, lock)
        if without_rows is not None and not is_found:
            yield _without_rows(*without_rows)
        unknown = tell_unseen(context, revision, step) or tell_opaque(statements, before)
        if unknown is not None:
            yield unknown


@dataclass(frozen=True)
class _Held:
    """A lock that blocks others, and the statement since which it is held."""

    statement: Statement
    lock: Lock


def _is_kept(held: _Held, seen: Seen) -> bool:
    """Tell whether the lock is still held when a statement runs."""
    if not seen.statement.in_transaction or seen.parsed.kind is Kind.TRANSACTION:
        return False
    numbers = (held.statement.transaction, seen.statement.transaction)
    return None in numbers or numbers[0] == numbers[1]


def _is_about_rows(seen: Seen, created: set[str], before: Collection[str]) -> bool:
    """Tell whether a statement changes rows, or reads some that a loop may change after it."""
    if seen.parsed.kind is Kind.SELECT:
        return any(find_name(name, before) for name in seen.parsed.relations)
    names = {plain_name(name) for name in seen.parsed.relations}
    return bool(seen.parsed.changes_rows and (names - created or seen.parsed.references))


def _without_rows(seen: Seen, held: _Held) -> Skipped:
    verb = "found" if seen.parsed.kind is Kind.SELECT else "changed"
    return Skipped(
        f"`{shorten(seen.statement.sql, 50)}` {verb} no row here: how many are changed under "
        f"{held.lock.mode.manual_name} of `{held.lock.relation}` where there are rows is not known"
    )


def _at_rows(revision: Revision, statement: Statement, held: _Held) -> Finding:
    rows = "rows" if statement.rows is None or statement.rows < 0 else f"{statement.rows} rows"
    rows = "1 row" if statement.rows == 1 else rows
    lock, ddl = held.lock, f"`{shorten(held.statement.sql, 50)}`"
    remedy = (
        "Move the rows' change into a revision after this one, and set "
        "`transaction_per_migration=True` in `context.configure(…)` of env.py, so that the locks "
        "are given back in between."
    )
    if held.statement.revision != revision.revision:
        ddl = f"{ddl} (`{held.statement.revision}`)"
        remedy = (
            "Set `transaction_per_migration=True` in `context.configure(…)` of env.py, so that "
            "the locks are given back between the revisions."
        )
    return at_statement(
        CHECK,
        revision,
        statement,
        f"`{shorten(statement.sql, 50)}` changed {rows} while {lock.mode.manual_name} of {ddl} was "
        f"held on `{lock.relation}` and blocked {lock.mode.blocks}",
        remedy,
        relation=lock.relation,
    )
