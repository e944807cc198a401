"""Every new revision upgrades again after its downgrade.

What it finds

A new revision whose `upgrade` raised the second time: it was run, taken back by its own
`downgrade`, and run again.

Why it matters

After a rollback the next deploy runs the same upgrade once more. What the downgrade forgot,
most often an ENUM type, stops it: `type "…" already exists`.

When it is fine

Never while the downgrade is meant to be used.

How to fix

Let `downgrade` remove everything that `upgrade` makes. Dropping a table or a column does
not drop the ENUM type that SQLAlchemy made for it.

Example

    def upgrade():
        op.create_table(
            "parcels",
            sa.Column("id", sa.BigInteger(), primary_key=True),
            sa.Column("size", sa.Enum("small", "large", name="parcelsize")),
        )

    def downgrade():
        op.drop_table("parcels")

Instead

    def upgrade():
        op.create_table(
            "parcels",
            sa.Column("id", sa.BigInteger(), primary_key=True),
            sa.Column("size", sa.Enum("small", "large", name="parcelsize")),
        )

    def downgrade():
        op.drop_table("parcels")
        op.execute("DROP TYPE IF EXISTS parcelsize")
"""

from __future__ import annotations

from collections.abc import Iterator

from gatekeeper.checks.observed import (
    at_error,
    join_some,
    raised,
    stairways,
    tell_unfinished,
)
from gatekeeper.checks.paste import autocommit_block, block, execute, quote_name
from gatekeeper.checks.undo import undo
from gatekeeper.model import (
    Check,
    CheckContext,
    Difference,
    DifferenceKind,
    Finding,
    Needs,
    Outcome,
    RehearsedRevision,
    Skipped,
    Step,
)
from gatekeeper.sql import make_repeatable

CHECK = Check(
    "reupgrade-fails",
    "Every new revision upgrades again after its downgrade",
    "upgrade",
    Needs.REHEARSAL,
)


def find(context: CheckContext) -> Iterator[Finding | Skipped]:
    for rehearsed in stairways(context):
        if isinstance(rehearsed, Skipped):
            yield rehearsed
        elif rehearsed.reupgrade.outcome is Outcome.FAILED:
            yield _at_reupgrade(rehearsed)
        elif (unfinished := tell_unfinished(rehearsed.reupgrade, "second upgrade")) is not None:
            yield unfinished


def _at_reupgrade(rehearsed: RehearsedRevision) -> Finding:
    step, name = rehearsed.reupgrade, rehearsed.revision.revision
    left = [d for d in rehearsed.round_trip or () if d.kind is DifferenceKind.LEFT]
    message = f"The second upgrade of `{name}` failed: {raised(step)}"
    if left:
        forgotten = join_some([f"{each.object_type} `{each.name}`" for each in left])
        message += f". Its downgrade left {forgotten}"
    if (rows := _tell_rows(step)) is not None:
        message += f". {rows}"
    return at_error(CHECK, rehearsed.revision, step, message, _remedy(step, left))


# SQLSTATEs of constraints that rows break, and of those that one row more breaks.
_BROKEN = ("23502", "23503", "23514")
_REPEATED = ("23505", "23P01")


def _tell_rows(step: Step) -> str | None:
    """Say which rows stopped the second upgrade, None where it was something else.

    The first one met the same constraint, and no row that breaks it.
    """
    error = step.error
    if error is None or error.sqlstate not in (*_BROKEN, *_REPEATED):
        return None
    if (error.relation or "").startswith("pg_catalog."):
        return None  # a type or table that is there already, made by two at a time
    rows = "rows" if error.relation is None else f"rows in `{error.relation}`"
    if error.sqlstate in _REPEATED:
        broken = "" if error.constraint is None else f" that break `{error.constraint}`"
        return f"Its downgrade left {rows}{broken}"
    what = "" if error.constraint is None else f": they break `{error.constraint}`"
    return f"Its downgrade left other {rows} than there were before{what}"


def _remedy(step: Step, left: list[Difference]) -> str:
    sql = step.error.sql if step.error else None
    if labels := make_repeatable(sql or ""):
        return (
            "PostgreSQL cannot remove a label, so let the upgrade accept one that is there:\n\n"
            f"{autocommit_block(labels)}"
        )
    if drops := undo(left):
        return f"Add to the end of `downgrade()`:\n\n{block(drops)}"
    if step.error is not None and step.error.sqlstate in _REPEATED:
        rows = execute(f"DELETE FROM {quote_name(step.error.relation or 'the_table')} WHERE …")
        return (
            "Delete in `downgrade()` the rows that `upgrade()` inserts, or let `upgrade()` accept "
            f"those that are there (`INSERT … ON CONFLICT DO NOTHING`):\n\n    {rows}"
        )
    return (
        "Let `downgrade()` remove everything that `upgrade()` makes, rows included, so that "
        "`upgrade()` finds what it found the first time."
    )
