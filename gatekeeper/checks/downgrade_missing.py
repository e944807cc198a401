"""Every new revision has a downgrade.

What it finds

A new revision without a `downgrade` function.

Why it matters

`alembic downgrade` stops with an AttributeError at such a revision, and with it every way
back past it. A deploy that has to be taken back is then left to the backup.

When it is fine

Where there is no way back, say so: a `downgrade` that raises with the reason is judged by
`downgrade-raises` and can be waived.

How to fix

Write `downgrade` as the reverse of `upgrade`, last operation first.

Example

    def upgrade():
        op.add_column("orders", sa.Column("currency", sa.Text(), nullable=True))

Instead

    def upgrade():
        op.add_column("orders", sa.Column("currency", sa.Text(), nullable=True))

    def downgrade():
        op.drop_column("orders", "currency")
"""

from __future__ import annotations

from collections.abc import Iterator

from gatekeeper.checks.observed import at_function
from gatekeeper.model import Basis, Check, CheckContext, Direction, Finding, Needs, Skipped

CHECK = Check("downgrade-missing", "Every new revision has a downgrade", "downgrade", Needs.SOURCE)


def find(context: CheckContext) -> Iterator[Finding | Skipped]:
    for revision in context.changes.to_rehearse:
        if revision.downgrade is None:
            yield at_function(
                CHECK,
                revision,
                Direction.DOWNGRADE,
                f"`{revision.revision}` has no `downgrade` function, so it cannot be rolled back",
                "Add a `downgrade()` that undoes `upgrade()`; where there is no way back, say why:"
                "\n\n    # gatekeeper: allow[downgrade-raises] the reason\n"
                "    def downgrade():\n"
                f'        raise RuntimeError("{revision.revision} cannot be undone: …")',
                basis=Basis.READ,
            )
