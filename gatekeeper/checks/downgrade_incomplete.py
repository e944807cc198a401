"""A downgrade restores the schema.

What it finds

A new revision after whose upgrade and downgrade the schema is not what it was before. One
finding names everything that is left, missing or different. Another order of columns, an
extension that stays and a label of an ENUM type that stays are notices: PostgreSQL offers
no better, or people accept it.

Why it matters

The old release runs on a schema that nobody has tested: an index that is no longer unique,
a NOT NULL that is gone. And the next upgrade trips over what was left.

When it is fine

Where the upgrade removes what should never have been there. Waive it with the reason.

How to fix

Compare `downgrade` with `upgrade` for each thing the finding names. Dropping a table does
not drop its ENUM types; `op.alter_column` has to give back `existing_nullable` and
`server_default`; an index has its WHERE and its `unique=True`.

Example

    def upgrade():
        op.create_index("ix_orders_note", "orders", ["note"])
        op.execute("COMMENT ON TABLE orders IS 'placed by customers'")

    def downgrade():
        op.drop_index("ix_orders_note")

Instead

    def upgrade():
        op.create_index("ix_orders_note", "orders", ["note"])
        op.execute("COMMENT ON TABLE orders IS 'placed by customers'")

    def downgrade():
        op.execute("COMMENT ON TABLE orders IS NULL")
        op.drop_index("ix_orders_note")
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from gatekeeper.checks.observed import (
    at_function,
    is_accepted,
    name_differences,
    stairways,
    tell_unfinished,
)
from gatekeeper.checks.paste import block
from gatekeeper.checks.undo import undo
from gatekeeper.model import (
    Body,
    Check,
    CheckContext,
    Difference,
    Direction,
    Finding,
    Needs,
    RehearsedRevision,
    Severity,
    Skipped,
)

CHECK = Check(
    "downgrade-incomplete", "A downgrade restores the schema", "downgrade", Needs.REHEARSAL
)


def find(context: CheckContext) -> Iterator[Finding | Skipped]:
    for rehearsed in stairways(context):
        if isinstance(rehearsed, Skipped):
            yield rehearsed
            continue
        name, function = rehearsed.revision.revision, rehearsed.revision.downgrade
        if function is None or function.body is Body.RAISES:
            yield Skipped(f"`{name}` has no downgrade to compare", cause="no downgrade")
        elif function.body is Body.EMPTY and rehearsed.changes:
            yield Skipped(f"the downgrade of `{name}` is empty", cause="empty downgrade")
        elif rehearsed.round_trip is None:
            unfinished = tell_unfinished(rehearsed.upgrade) or tell_unfinished(rehearsed.downgrade)
            yield unfinished or Skipped(f"the schema around `{name}` was not compared")
        elif rehearsed.round_trip:
            yield _at_downgrade(rehearsed, rehearsed.round_trip)


def _at_downgrade(rehearsed: RehearsedRevision, differences: tuple[Difference, ...]) -> Finding:
    ordered = sorted(differences, key=is_accepted)
    name = rehearsed.revision.revision
    finding = at_function(
        CHECK,
        rehearsed.revision,
        Direction.DOWNGRADE,
        f"After the upgrade and downgrade of `{name}`: {name_differences(ordered)}",
        _remedy(ordered),
    )
    if all(is_accepted(each) for each in differences):
        return replace(finding, severity=Severity.NOTICE)
    return finding


def _remedy(differences: list[Difference]) -> str:
    if all(is_accepted(each) for each in differences):
        return "Nothing has to be done: PostgreSQL has no clean way back here."
    return f"Add to the end of `downgrade()`:\n\n{block(undo(differences))}"
