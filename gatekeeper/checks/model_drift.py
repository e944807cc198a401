"""The models match the migrated schema.

What it finds

What `alembic revision --autogenerate` would still change after the new revisions, and would
not have changed at the base. Everything is told in one finding.

Why it matters

The code expects a column that no revision makes, or a revision makes what no model knows.
The first breaks the release, the second is dropped by the next autogenerate.

When it is fine

What autogenerate cannot know (partitions, objects of another team) belongs into env.py's
`include_object`. What differed at the base already is not counted.

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
from gatekeeper.model import Basis, Check, CheckContext, Finding, Needs, Skipped

CHECK = Check("model-drift", "The models match the migrated schema", "models", Needs.REHEARSAL)


def find(context: CheckContext) -> Iterator[Finding | Skipped]:
    if context.rehearsal is None:
        return
    drift = context.rehearsal.drift
    if isinstance(drift, Skipped):
        yield drift
    elif drift.operations:
        last = context.changes.to_rehearse[-1:]
        yield Finding(
            check=CHECK.id,
            message="After the upgrade autogenerate would still: "
            + join_some([f"`{operation}`" for operation in drift.operations]),
            remedy="Take it over into the new revision; this shows the operations:\n\n"
            '    alembic revision --autogenerate -m "models"',
            basis=Basis.OBSERVED,
            revision=last[0].revision if last else None,
            path=last[0].path if last else None,
            line=last[0].line if last else None,
            end_line=last[0].line if last else None,
        )
