"""A new ENUM label is committed before it is used.

What it finds

An upgrade that failed because it used a label of an ENUM type in the transaction that added
it, in the same revision or in one of the same deploy.

Why it matters

PostgreSQL refuses a label that is not committed yet ("unsafe use of new value"), unless the
type itself is new. On an empty test database, where one transaction makes type and label,
everything is green; the deploy fails.

When it is fine

Never: the deploy stops there.

How to fix

Add the label in an `autocommit_block`, in a revision of its own. If the revision that uses
it is part of the same deploy, that is enough: the block commits what is before it.
Manual: https://www.postgresql.org/docs/current/sql-altertype.html

Example

    def upgrade():
        op.execute("ALTER TYPE ticketstatus ADD VALUE 'lost'")
        op.execute("UPDATE orders SET status = 'lost' WHERE id = 1")

    def downgrade():
        op.execute("UPDATE orders SET status = 'open' WHERE status = 'lost'")

Instead

    def upgrade():
        with op.get_context().autocommit_block():
            op.execute("ALTER TYPE ticketstatus ADD VALUE IF NOT EXISTS 'lost'")

    def downgrade():
        pass
"""

from __future__ import annotations

from collections.abc import Iterator

from gatekeeper.checks.observed import (
    at_error,
    find_upgrade,
    own_statements,
    raised,
    tell_unfinished,
)
from gatekeeper.model import (
    Check,
    CheckContext,
    Finding,
    Needs,
    Revision,
    Skipped,
    Step,
)
from gatekeeper.sql import Kind

CHECK = Check(
    "enum-add-then-use", "A new ENUM label is committed before it is used", "data", Needs.REHEARSAL
)

_UNSAFE_USE = "55P04"  # unsafe_new_enum_value_usage


def find(context: CheckContext) -> Iterator[Finding | Skipped]:
    if context.rehearsal is None:
        return
    adds: list[tuple[str, str]] = []
    for revision in context.changes.to_rehearse:
        deploy = find_upgrade(context, revision)
        if isinstance(deploy, Skipped):
            yield deploy
            continue
        adds += [
            (revision.revision, f"op.execute({each.statement.sql!r})")
            for each in own_statements(revision, deploy)
            if each.parsed.kind is Kind.ADD_LABEL and each.statement.in_transaction
        ]
        alone = context.rehearsal.of(revision.revision)
        steps = (deploy, alone.upgrade) if alone else (deploy,)
        failed = [step for step in steps if step.error and step.error.sqlstate == _UNSAFE_USE]
        if failed:
            yield _at_use(revision, failed[0], adds)
        elif (unfinished := tell_unfinished(deploy)) is not None:
            yield unfinished


def _at_use(revision: Revision, step: Step, adds: list[tuple[str, str]]) -> Finding:
    where = ", ".join(dict.fromkeys(f"`{name}`" for name, _ in adds)) or "the same transaction"
    calls = "\n".join(f"        {call}" for _, call in adds) or "        op.execute(…)"
    return at_error(
        CHECK,
        revision,
        step,
        f"`{revision.revision}` used a label that {where} had added and not committed: "
        f"{raised(step)}",
        "In a revision before the one that uses the label:\n\n"
        f"    with op.get_context().autocommit_block():\n{calls}",
    )
