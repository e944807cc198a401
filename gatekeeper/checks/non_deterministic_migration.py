"""Every run of a revision gives the same schema.

What it finds

A new revision whose `upgrade` was run twice from the same schema and gave two: a time, a
UUID or a random number stands in a column default, in the name of a partition or an index,
or in the text of a CHECK.

Why it matters

Staging and production get different schemas from the same file, and neither is the one that
was tested. A name that nobody can foretell cannot be dropped by the downgrade or by the
next revision; a default that holds the moment of the deploy is mostly a mistake for `now()`.

When it is fine

Never in a schema. Values that rows get (an id, a time of creation) may differ: rows are not
compared here. What stays equal within a rehearsal, such as the month, is not found.

How to fix

Write the value out in the file. Where each row is to have its own, let the database compute
it: `server_default=sa.text("now()")`.

Example

    def upgrade():
        from datetime import datetime

        now = str(datetime.now())
        op.add_column("orders", sa.Column("placed", sa.DateTime(), server_default=now))

    def downgrade():
        op.drop_column("orders", "placed")

Instead

    def upgrade():
        now = sa.text("now()")
        op.add_column("orders", sa.Column("placed", sa.DateTime(), server_default=now))

    def downgrade():
        op.drop_column("orders", "placed")
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import zip_longest

from gatekeeper.checks.observed import (
    at_function,
    at_statement,
    find_upgrade,
    in_words,
    join_some,
    own_statements,
    stairways,
    tell_unfinished,
)
from gatekeeper.model import (
    Check,
    CheckContext,
    Difference,
    DifferenceKind,
    Direction,
    Finding,
    Needs,
    Outcome,
    RehearsedRevision,
    Skipped,
    Statement,
    Step,
)

CHECK = Check(
    "non-deterministic-migration",
    "Every run of a revision gives the same schema",
    "upgrade",
    Needs.REHEARSAL,
)


def find(context: CheckContext) -> Iterator[Finding | Skipped]:
    for rehearsed in stairways(context):
        if isinstance(rehearsed, Skipped):
            yield rehearsed
        elif rehearsed.variation is None:
            name = rehearsed.revision.revision
            yield tell_unfinished(rehearsed.upgrade) or Skipped(
                f"`{name}` was run once from the same schema, not twice", cause="run once"
            )
        elif rehearsed.variation:
            yield _at_upgrade(context, rehearsed, rehearsed.variation)
    if context.rehearsal is not None and context.rehearsal.in_one_go:
        differences = _name(context.rehearsal.in_one_go)
        yield Skipped(
            f"in one go the revisions leave another schema than one by one: {differences}"
        )


def _at_upgrade(
    context: CheckContext, rehearsed: RehearsedRevision, variation: tuple[Difference, ...]
) -> Finding:
    revision = rehearsed.revision
    message = f"Two runs of the upgrade of `{revision.revision}` gave two schemas: "
    message += _name(variation)
    remedy = (
        "Write the value out in the file; where each row is to have its own, let the database "
        'compute it: `server_default=sa.text("now()")` or `sa.text("gen_random_uuid()")`.'
    )
    statement = _find_statement(context, rehearsed)
    if statement is None:
        finding = at_function(CHECK, revision, Direction.UPGRADE, message, remedy)
    else:
        message += f". {in_words(statement)} is another text at each run"
        finding = at_statement(CHECK, revision, statement, message, remedy)
    return replace(finding, relation=variation[0].relation)


def _find_statement(context: CheckContext, rehearsed: RehearsedRevision) -> Statement | None:
    """Return the first statement of a run that reads otherwise in another run."""
    deployed = find_upgrade(context, rehearsed.revision)
    others = [deployed] if isinstance(deployed, Step) else []
    for other in (*others, rehearsed.reupgrade):
        if other.outcome is Outcome.COMPLETED:
            runs = (own_statements(rehearsed.revision, step) for step in (rehearsed.upgrade, other))
            for one, two in zip_longest(*runs):
                if one is None or two is None:
                    break
                is_text = one.statement.sql != two.statement.sql
                if is_text and one.parsed.changes_schema is not False:
                    return one.statement
    return None


def _name(variation: tuple[Difference, ...]) -> str:
    return join_some([_in_words(each) for each in variation], 4)


def _in_words(difference: Difference) -> str:
    thing = f"{difference.object_type} `{difference.name}`"
    if difference.kind is not DifferenceKind.CHANGED:
        return f"{thing} is there after one run only"
    before = "none" if difference.before is None else f"`{difference.before}`"
    after = "none" if difference.after is None else f"`{difference.after}`"
    return f"the {difference.attribute} of {thing} is {before} and {after}"
