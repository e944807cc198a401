"""Every new revision upgrades.

What it finds

A new revision whose `upgrade` raised while it was rehearsed, and a file of the script
directory that Alembic could not load or place: a syntax error, a `down_revision` that no
file has, two files with one revision identifier, a cycle.

Why it matters

A deploy stops where the upgrade stops. With a transaction for the whole upgrade everything
is rolled back and the release is late; with `autocommit_block` or a transaction for each
revision the database stays half way between two releases.

When it is fine

Never: a revision that fails on a database shaped like production's fails there too.

How to fix

Run the revision against a database that is at the base's head and has rows in its tables.
A constraint that the rows do not meet needs the rows corrected first, in a revision before.

Example

    def upgrade():
        op.add_column("orders", sa.Column("currency", sa.Text(), nullable=False))

    def downgrade():
        op.drop_column("orders", "currency")

Instead

    def upgrade():
        op.add_column(
            "orders",
            sa.Column("currency", sa.Text(), nullable=False, server_default="EUR"),
        )

    def downgrade():
        op.drop_column("orders", "currency")
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from gatekeeper.checks.observed import at_error, find_upgrade, raised, tell_unfinished
from gatekeeper.checks.paste import execute, quote_name
from gatekeeper.checks.privileges import WHY, delegate, is_denied
from gatekeeper.extensions import extension_of, missing_role
from gatekeeper.model import (
    Basis,
    Check,
    CheckContext,
    Finding,
    Needs,
    Outcome,
    RehearsedRevision,
    Revision,
    RevisionProblem,
    Skipped,
    Step,
    StepError,
)

CHECK = Check("upgrade-fails", "Every new revision upgrades", "upgrade", Needs.REHEARSAL)


def find(context: CheckContext) -> Iterator[Finding | Skipped]:
    yield from (_at_problem(problem) for problem in context.changes.problems)
    if context.rehearsal is None:
        return
    for revision in context.changes.to_rehearse:
        deploy = find_upgrade(context, revision)
        alone = context.rehearsal.of(revision.revision)
        if isinstance(deploy, Step) and deploy.outcome is Outcome.FAILED:
            yield _at_deploy(context, revision, deploy, alone)
        elif alone is not None and alone.upgrade.outcome is Outcome.FAILED:
            yield _at_upgrade(context, revision, alone.upgrade)
        elif isinstance(deploy, Skipped):
            yield deploy
        elif (unfinished := tell_unfinished(deploy)) is not None:
            yield unfinished


def _at_problem(problem: RevisionProblem) -> Finding:
    return Finding(
        check=CHECK.id,
        message=problem.message,
        remedy=problem.remedy,
        basis=Basis.READ,
        revision=problem.revision,
        path=problem.path,
        line=problem.line,
        end_line=problem.line,
    )


def _at_deploy(
    context: CheckContext, revision: Revision, step: Step, alone: RehearsedRevision | None
) -> Finding:
    if alone is None or alone.upgrade.outcome is not Outcome.COMPLETED:
        return _at_upgrade(context, revision, step)
    message = (
        f"`{revision.revision}` failed when the new revisions ran in one go, though it runs "
        f"alone: {raised(step)}"
    )
    remedy = (
        "The new revisions share a transaction or its locks. Set "
        "`transaction_per_migration=True` in `context.configure(…)` of env.py, or put what "
        "has to be committed first into `with op.get_context().autocommit_block():`."
    )
    return at_error(CHECK, revision, step, message, remedy)


def _at_upgrade(context: CheckContext, revision: Revision, step: Step) -> Finding:
    message = f"The upgrade of `{revision.revision}` failed: {raised(step)}"
    if is_denied(context, step):
        return at_error(CHECK, revision, step, message + WHY, delegate(step))
    return at_error(CHECK, revision, step, message, _remedy(step.error))


def _remedy(error: StepError | None) -> str:
    if error is None:
        return _REMEDY
    extension = extension_of(error)
    if extension is not None:
        return (
            f"Make the extension in this revision or one before it: "
            f"`op.execute('CREATE EXTENSION IF NOT EXISTS \"{extension}\"')`. Where production "
            "has it already, name it in the policy file: "
            f"`project: {{extensions: [{extension}]}}`"
        )
    if (lacking := missing_role(error)) is not None:
        return (
            "Make the role in this revision or one before it. Where production has it already, "
            f"put `CREATE ROLE {quote_name(lacking)};` into a file, and that into the policy file: "
            "`project: {bootstrap: roles.sql}`"
        )
    if (role := _ROLE_EXISTS.match(error.message)) is not None:
        make = f"DO $$BEGIN CREATE ROLE {quote_name(role[1])}; EXCEPTION WHEN duplicate_object "
        return (
            "Roles belong to the server, for all its databases: this one was there before the "
            "run, or an earlier revision makes it. Make it only where it is missing:\n\n"
            f"    {execute(make + 'THEN NULL; END$$')}"
        )
    return _REMEDIES.get(error.sqlstate or "", _REMEDY)


_ROLE_EXISTS = re.compile('role "(.+)" already exists')
_REMEDY = (
    "Run `alembic upgrade head` on a database that is at the base's head and holds rows, and "
    "correct the revision until it passes."
)
# By PostgreSQL's SQLSTATE: manual, appendix A.
_REMEDIES = {
    "23502": "Rows hold NULL there: give the column a `server_default`, or fill it before "
    "`op.alter_column(…, nullable=False)`.",
    "23505": "Rows repeat the value: make them unique in a revision before this one.",
    "23503": "Rows refer to what does not exist: correct them in a revision before this one.",
    "23514": "Rows break the condition: correct them in a revision before this one.",
    "25001": "Put the call into `with op.get_context().autocommit_block():`, in a revision of "
    "its own.",
    "2BP01": "Drop or change what depends on it first; the message names it.",
    "42710": "It exists already: create an ENUM type once, and name it elsewhere as "
    '`postgresql.ENUM(…, name="…", create_type=False)`.',
    "55P04": "Add the label in `with op.get_context().autocommit_block():`, in a revision "
    "before the one that uses it.",
}
