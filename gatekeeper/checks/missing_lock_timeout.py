"""A lock that blocks others is waited for with a limit.

What it finds

An upgrade that took a lock which blocks reads or writes of a relation that existed before,
while no `lock_timeout` was in force.

Why it matters

A lock that cannot be had at once is waited for, and everybody who comes later waits behind
it, readers included. One long report is enough for an `ADD COLUMN` of a millisecond to
stop the site. With `lock_timeout` the migration gives up instead, and can be tried again.

When it is fine

Where the limit is set elsewhere: in env.py, for the role, for the database. That is seen,
and is no finding.

How to fix

Set it once for all revisions in env.py, by the engine's
`connect_args={"options": "-c lock_timeout=4000"}`, or in the revision by
`op.execute("SET LOCAL lock_timeout = '4s'")`.
Manual: https://www.postgresql.org/docs/current/runtime-config-client.html

Example

    def upgrade():
        op.add_column("orders", sa.Column("currency", sa.Text(), nullable=True))

    def downgrade():
        op.drop_column("orders", "currency")

Instead

    def upgrade():
        op.execute("SET LOCAL lock_timeout = '4s'")
        op.add_column("orders", sa.Column("currency", sa.Text(), nullable=True))

    def downgrade():
        op.execute("SET LOCAL lock_timeout = '4s'")
        op.drop_column("orders", "currency")
"""

from __future__ import annotations

from collections.abc import Iterator

from gatekeeper.checks.names import Names, names_of
from gatekeeper.checks.observed import (
    at_statement,
    blocking_lock,
    in_words,
    own_statements,
    relations_before,
    tell_unexplained,
    upgrades,
)
from gatekeeper.model import (
    Check,
    CheckContext,
    Finding,
    Lock,
    Needs,
    Revision,
    Skipped,
    Statement,
)
from gatekeeper.sql import Kind, ParsedStatement, find_name

CHECK = Check(
    "missing-lock-timeout",
    "A lock that blocks others is waited for with a limit",
    "locks",
    Needs.REHEARSAL,
)


def find(context: CheckContext) -> Iterator[Finding | Skipped]:
    for each in upgrades(context):
        if isinstance(each, Skipped):
            yield each
            continue
        revision, step = each
        before = relations_before(context, revision)
        names = names_of(context, revision)
        unseen: Skipped | None = None
        for seen in own_statements(revision, step):
            statement = seen.statement
            lock = blocking_lock(seen, before)
            if lock is not None and statement.lock_timeout_ms == 0:
                yield _at_lock(revision, statement, lock)
                break
            is_unknown = lock is not None and statement.lock_timeout_ms is None
            if is_unknown or (statement.locks is None and _may_block(seen.parsed, names)):
                unseen = Skipped(f"the locks of {in_words(statement)} were not observed")
        else:
            unseen = unseen or tell_unexplained(context, revision, step)
            if unseen is not None:
                yield unseen


def _may_block(parsed: ParsedStatement, before: Names) -> bool:
    """Tell whether a statement whose locks were not seen may block a relation of `before`."""
    if parsed.concurrently or (parsed.changes_schema is False and parsed.kind not in _LOCKING):
        return False
    if parsed.changes_schema is None:
        return parsed.kind is not Kind.SELECT
    if parsed.kind in _LOCKING and not (parsed.relations or parsed.names):
        return True  # all tables
    names = (*parsed.relations, *parsed.references)
    by_name = any(find_name(name, before) is not None for name in names)
    by_index = parsed.kind in (Kind.DROP_INDEX, Kind.REINDEX) and bool(parsed.names)
    return by_name or by_index or parsed.cascade


_LOCKING = (Kind.VACUUM_FULL, Kind.CLUSTER, Kind.REINDEX, Kind.REFRESH)


def _at_lock(revision: Revision, statement: Statement, lock: Lock) -> Finding:
    return at_statement(
        CHECK,
        revision,
        statement,
        f"{in_words(statement)} took {lock.mode.manual_name} on `{lock.relation}` and "
        f"blocked {lock.mode.blocks} with no `lock_timeout` in force; while it waits for the "
        "lock, everybody who comes later waits too",
        "At the start of `upgrade()`:\n\n"
        "    op.execute(\"SET LOCAL lock_timeout = '4s'\")\n\n"
        "or once for all revisions where env.py makes the engine:\n\n"
        '    connect_args={"options": "-c lock_timeout=4000"}',
        relation=lock.relation,
    )
