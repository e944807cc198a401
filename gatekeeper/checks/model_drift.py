"""The models match the migrated schema.

What it finds

What `alembic revision --autogenerate` would still change after the new revisions, and would
not have changed at the base. Everything is told in one finding.

Why it matters

The code expects a column that no revision makes, or a revision makes what no model knows.
The first breaks the release, the second is dropped by the next autogenerate.

When it is fine

What differed at the base already is not counted, nor are partitions. What autogenerate is
not to know (tables of another team) belongs into env.py's `include_object`. Of tables whose
models env.py does not import nothing is known: the check says how many, and skips them.

How to fix

Run `alembic revision --autogenerate`, and take over what is missing into the new revision.

Example

    # models.py                           # no revision adds it
    class Order(Base):
        currency: Mapped[str]

Instead

    # b002_add_currency.py
    def upgrade():
        op.add_column("orders", sa.Column("currency", sa.Text(), nullable=True))
"""

from __future__ import annotations

from collections.abc import Iterator

from gatekeeper.checks.observed import join_some
from gatekeeper.model import Basis, Check, CheckContext, Finding, Needs, Revision, Skipped

CHECK = Check("model-drift", "The models match the migrated schema", "models", Needs.REHEARSAL)


def find(context: CheckContext) -> Iterator[Finding | Skipped]:
    if context.rehearsal is None:
        return
    drift = context.rehearsal.drift
    if isinstance(drift, Skipped):
        yield drift
        return
    if drift.unknown:
        yield Skipped(
            f"env.py's `target_metadata` lacks {len(drift.unknown)} of {drift.tables} tables, so "
            "nothing is known of their models ("
            + join_some([f"`{name}`" for name in drift.unknown])
            + "): import the models in env.py, above `target_metadata`"
        )
    if drift.operations:
        place = _at_fault(context, drift.operations)
        yield Finding(
            check=CHECK.id,
            message="After the upgrade autogenerate would still: "
            + join_some([f"`{operation}`" for operation in drift.operations]),
            remedy=_remedy(drift.operations),
            basis=Basis.OBSERVED,
            revision=place.revision if place else None,
            path=place.path if place else None,
            line=place.line if place else None,
            end_line=place.line if place else None,
        )


def _at_fault(context: CheckContext, operations: tuple[str, ...]) -> Revision | None:
    """Return the last new revision that changed what is told, else its table, else the last."""
    words = {word for operation in operations for word in operation.split()}
    near: Revision | None = None
    for revision in reversed(context.changes.to_rehearse):
        seen = None if context.rehearsal is None else context.rehearsal.of(revision.revision)
        for change in () if seen is None else seen.changes or ():
            table = change.relation or change.name
            is_told = table in words
            if change.name in words or (is_told and change.name.rpartition(".")[2] in words):
                return revision
            is_told = is_told or any(word.startswith(f"{table}.") for word in words)
            near = near or (revision if is_told else None)
    return near or next(reversed(context.changes.to_rehearse), None)


def _remedy(operations: tuple[str, ...]) -> str:
    remedy = (
        "Take it over into the new revision; this shows the operations:\n\n"
        '    alembic revision --autogenerate -m "models"'
    )
    if any(operation.startswith("drop table ") for operation in operations):
        return (
            "A table that is to stay needs its model imported in env.py, above "
            f"`target_metadata`. {remedy}"
        )
    return remedy
