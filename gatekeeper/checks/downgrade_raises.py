"""Every new revision can be rolled back.

What it finds

A new revision whose `downgrade` does nothing but raise.

Why it matters

It is honest: nobody believes in a way back that is none. Yet a release with it can be taken
back only by its backup, and that should be a decision.

When it is fine

Where the upgrade destroys what cannot be made again. Then a waiver with the reason turns
this check green and keeps the reason where the next reader looks:

    # gatekeeper: allow[downgrade-raises] the old totals were wrong; nothing to go back to
    def downgrade():
        raise RuntimeError("the old totals are gone")

How to fix

Write the reverse of `upgrade`, or waive the finding with the reason.

Example

    def upgrade():
        op.drop_column("orders", "note")

    def downgrade():
        raise RuntimeError("the notes are gone")

Instead

    def upgrade():
        op.alter_column("orders", "note", new_column_name="remark")

    def downgrade():
        op.alter_column("orders", "remark", new_column_name="note")
"""

from __future__ import annotations

from collections.abc import Iterator

from gatekeeper.checks.observed import at_function
from gatekeeper.model import Basis, Body, Check, CheckContext, Direction, Finding, Needs, Skipped

CHECK = Check(
    "downgrade-raises", "Every new revision can be rolled back", "downgrade", Needs.SOURCE
)


def find(context: CheckContext) -> Iterator[Finding | Skipped]:
    for revision in context.changes.to_rehearse:
        if revision.downgrade is not None and revision.downgrade.body is Body.RAISES:
            yield at_function(
                CHECK,
                revision,
                Direction.DOWNGRADE,
                f"The downgrade of `{revision.revision}` only raises, so it cannot be rolled back",
                "Write the reverse of `upgrade()`; where there is none, put the reason above "
                "`def downgrade():`\n\n"
                "    # gatekeeper: allow[downgrade-raises] the reason",
                basis=Basis.READ,
            )
