"""Every new revision downgrades.

What it finds

A new revision whose `downgrade` raised right after its own upgrade. A downgrade that is
missing or that only raises is told by `downgrade-missing` and `downgrade-raises` alone.

Why it matters

The downgrade is the way back when a release has to be taken back. It is run for the first
time in the worst hour; a wrong name or a wrong order shows then.

When it is fine

Never: a downgrade that cannot run should say so by `raise` with a reason.

How to fix

Undo in the reverse order what the upgrade did, and give every constraint and index a name:
`op.drop_constraint(None, …)`, as autogenerate writes it, cannot be run.

Example

    def upgrade():
        op.add_column("orders", sa.Column("currency", sa.Text(), nullable=True))
        op.create_check_constraint("ck_orders_currency", "orders", "length(currency) = 3")

    def downgrade():
        op.drop_column("orders", "currency")
        op.drop_constraint("ck_orders_currency", "orders")

Instead

    def upgrade():
        op.add_column("orders", sa.Column("currency", sa.Text(), nullable=True))
        op.create_check_constraint("ck_orders_currency", "orders", "length(currency) = 3")

    def downgrade():
        op.drop_constraint("ck_orders_currency", "orders")
        op.drop_column("orders", "currency")
"""

from __future__ import annotations

from collections.abc import Iterator

from gatekeeper.checks.observed import at_error, raised, stairways, tell_unfinished
from gatekeeper.checks.privileges import WHY, delegate, is_denied
from gatekeeper.model import (
    Body,
    Check,
    CheckContext,
    Finding,
    Needs,
    Outcome,
    RehearsedRevision,
    Skipped,
)

CHECK = Check("downgrade-fails", "Every new revision downgrades", "downgrade", Needs.REHEARSAL)


def find(context: CheckContext) -> Iterator[Finding | Skipped]:
    for rehearsed in stairways(context):
        if isinstance(rehearsed, Skipped):
            yield rehearsed
            continue
        name = rehearsed.revision.revision
        function = rehearsed.revision.downgrade
        if function is None:
            yield Skipped(f"`{name}` has no downgrade", cause="no downgrade")
        elif function.body is Body.RAISES:
            yield Skipped(f"`{name}` refuses its downgrade on purpose", cause="refused")
        elif rehearsed.downgrade.outcome is Outcome.FAILED:
            yield _at_downgrade(context, rehearsed)
        elif (unfinished := tell_unfinished(rehearsed.downgrade)) is not None:
            yield unfinished


def _at_downgrade(context: CheckContext, rehearsed: RehearsedRevision) -> Finding:
    step, name = rehearsed.downgrade, rehearsed.revision.revision
    message = f"The downgrade of `{name}` failed: {raised(step)}"
    if is_denied(context, step):
        return at_error(CHECK, rehearsed.revision, step, message + WHY, delegate(step))
    remedy = (
        f"Correct `downgrade()` until `alembic upgrade {name}` and `alembic downgrade -1` both "
        "pass; it undoes the upgrade's operations in the reverse order."
    )
    if step.error is not None and "has no name" in step.error.message:
        remedy = (
            "Name the constraint in `upgrade()` and `downgrade()`, or give the models' MetaData a "
            "`naming_convention`; `op.drop_constraint(None, …)` cannot be run."
        )
    return at_error(CHECK, rehearsed.revision, step, message, remedy)
