"""No index is left invalid.

What it finds

An index that is invalid after the upgrade, or after a revision's downgrade, and was not
before.

Why it matters

`CREATE INDEX CONCURRENTLY` that fails leaves an index which PostgreSQL maintains on every
write and uses for nothing; a UNIQUE one does not guard anything. A second run with IF NOT
EXISTS finds the name taken and reports success.

When it is fine

Never after the whole upgrade. An index `ON ONLY` a partitioned table is invalid until every
partition's index is attached; attach them in the same change.

How to fix

Drop what an earlier try may have left right before the index is built, in the same
`autocommit_block`, and let a failure be a failure.
Manual: https://www.postgresql.org/docs/current/sql-createindex.html

Example

    def upgrade():
        with op.get_context().autocommit_block():
            try:
                op.execute("CREATE UNIQUE INDEX CONCURRENTLY uq_orders_status ON orders (status)")
            except sa.exc.IntegrityError:
                pass

    def downgrade():
        op.execute("DROP INDEX IF EXISTS uq_orders_status")

Instead

    def upgrade():
        with op.get_context().autocommit_block():
            op.execute("DROP INDEX CONCURRENTLY IF EXISTS ix_orders_status")
            op.execute("CREATE INDEX CONCURRENTLY ix_orders_status ON orders (status)")

    def downgrade():
        with op.get_context().autocommit_block():
            op.execute("DROP INDEX CONCURRENTLY IF EXISTS ix_orders_status")
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from gatekeeper.checks.observed import (
    at_function,
    at_statement,
    find_upgrade,
    own_statements,
    tell_unfinished,
)
from gatekeeper.model import Check, CheckContext, Finding, Needs, Revision, Skipped, Step
from gatekeeper.sql import Kind, is_same_name

CHECK = Check("invalid-index-left", "No index is left invalid", "upgrade", Needs.REHEARSAL)


def find(context: CheckContext) -> Iterator[Finding | Skipped]:
    if context.rehearsal is None:
        return
    for revision in context.changes.to_rehearse:
        deploy = find_upgrade(context, revision)
        if isinstance(deploy, Skipped):
            yield deploy
            continue
        alone = context.rehearsal.of(revision.revision)
        steps = (deploy,) if alone is None else (deploy, alone.downgrade)
        reported: set[str] = set()
        for step in steps:
            for index in step.invalid_indexes or ():
                is_begun = context.changes.is_audit and _is_built_on_only(revision, step, index)
                if index not in reported and not is_begun:
                    reported.add(index)
                    yield _at_index(revision, step, index)
        if not reported and (unfinished := tell_unfinished(deploy)) is not None:
            yield unfinished


def _is_built_on_only(revision: Revision, step: Step, index: str) -> bool:
    """Tell whether an index waits for those of the partitions, which a later revision attaches.

    An audit sees each revision alone, and not what there is after the last of them.
    """
    return any(
        seen.parsed.only and any(is_same_name(name, index) for name in seen.parsed.names)
        for seen in own_statements(revision, step)
    )


def _at_index(revision: Revision, step: Step, index: str) -> Finding:
    message = (
        f"The {step.direction.value} of `{revision.revision}` left the index `{index}` invalid: "
        "it costs every write and serves no query"
    )
    remedy = (
        "Right before the index is built, in the same `autocommit_block`:\n\n"
        f'    op.execute("DROP INDEX CONCURRENTLY IF EXISTS {index}")\n\n'
        "and let an error of the build stop the upgrade."
    )
    for seen in own_statements(revision, step):
        built = seen.parsed.kind is Kind.CREATE_INDEX
        if built and any(is_same_name(name, index) for name in seen.parsed.names):
            return at_statement(CHECK, revision, seen.statement, message, remedy, relation=index)
    return replace(at_function(CHECK, revision, step.direction, message, remedy), relation=index)
