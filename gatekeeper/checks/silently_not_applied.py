"""What a revision does is really applied.

What it finds

A step that ended without an error although the version table did not move, what it wrote
was rolled back, or its transaction is still open at the end of env.py.

Why it matters

The deploy is green, the exit code is 0, and the database is the old one. The release then
runs on a schema that does not exist. `op.get_bind().commit()` in a revision does that, and
so does an env.py that sends a statement before `context.configure()` and never commits.

When it is fine

Never.

How to fix

Leave the transaction to Alembic. What needs its own transaction belongs into
`with op.get_context().autocommit_block():`. In env.py call `context.run_migrations()` inside
`with context.begin_transaction():`, and `connection.commit()` after the last statement before
`context.configure()`; or set what has to be set by `connect_args`.

Example

    def upgrade():
        op.add_column("orders", sa.Column("currency", sa.Text(), nullable=True))
        op.get_bind().commit()

    def downgrade():
        op.drop_column("orders", "currency")

Instead

    def upgrade():
        op.add_column("orders", sa.Column("currency", sa.Text(), nullable=True))

    def downgrade():
        op.drop_column("orders", "currency")
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
from gatekeeper.checks.written import method_of, read_calls
from gatekeeper.model import Check, CheckContext, Finding, Needs, Outcome, Revision, Skipped, Step
from gatekeeper.sql import Kind

CHECK = Check(
    "silently-not-applied",
    "What a revision does is really applied",
    "upgrade",
    Needs.REHEARSAL,
)


def find(context: CheckContext) -> Iterator[Finding | Skipped]:
    if context.rehearsal is None:
        return
    for revision in context.changes.to_rehearse:
        deploy = find_upgrade(context, revision)
        if isinstance(deploy, Skipped):
            yield deploy
            continue
        alone = context.rehearsal.of(revision.revision)
        steps = (deploy,) if alone is None else (deploy, alone.upgrade, alone.downgrade)
        found = [(step, what) for step in steps if (what := _not_applied(step)) is not None]
        if found:
            yield _at_step(revision, *found[0])
        elif (unknown := _unknown(deploy)) is not None:
            yield unknown


def _not_applied(step: Step) -> str | None:
    if step.outcome is not Outcome.COMPLETED:
        return None
    if step.committed is False:
        return "nothing of it was committed"
    if step.left_open:
        return "its transaction was still open when env.py came to its end"
    if step.version_moved is False:
        return "the version table did not move"
    return None


def _unknown(step: Step) -> Skipped | None:
    if None in (step.version_moved, step.committed) and step.outcome is Outcome.COMPLETED:
        what = f"what the {step.direction.value} of `{step.revision}` left was not seen"
        return Skipped(what, cause="not seen")
    return tell_unfinished(step)


def _at_step(revision: Revision, step: Step, what: str) -> Finding:
    direction = step.direction
    finding = at_function(
        CHECK,
        revision,
        direction,
        f"The {direction.value} of `{revision.revision}` ended without an error, but {what}",
        "In env.py let Alembic begin and commit the transaction:\n\n"
        "    with context.begin_transaction():\n        context.run_migrations()\n\n"
        "Where it does: call `connection.commit()` after the last statement that precedes "
        "`context.configure(…)`, or set such things by `connect_args` of the engine.",
    )
    for call in read_calls(revision, direction):
        if (name := method_of(call)) in ("commit", "rollback"):
            return replace(
                finding,
                line=call.lineno,
                end_line=call.end_lineno,
                remedy=f"Remove the call of `{name}()`: Alembic ends the transaction. What needs "
                "one of its own goes into `with op.get_context().autocommit_block():`.",
            )
    for seen in own_statements(revision, step):
        if seen.parsed.kind is Kind.TRANSACTION:
            remedy = (
                f"Remove `{seen.parsed.transaction}`: Alembic ends the transaction. What needs "
                "one of its own goes into `with op.get_context().autocommit_block():`."
            )
            return at_statement(CHECK, revision, seen.statement, finding.message, remedy)
    return finding
