"""A new ENUM label is committed before it is used.

What it finds

An upgrade that failed because it used a label of an ENUM type in the transaction that added
it, in the same revision or in one of the same deploy.

Why it matters

PostgreSQL refuses a label that is not committed yet ("unsafe use of new value"), unless the
type itself is new. On an empty test database, where one transaction makes type and label,
everything is green; the deploy fails.

When it is fine

Never: the deploy stops there.

How to fix

Add the label in an `autocommit_block`, in a revision of its own. If the revision that uses
it is part of the same deploy, that is enough: the block commits what is before it.
Manual: https://www.postgresql.org/docs/current/sql-altertype.html

Example

    def upgrade():
        op.execute("ALTER TYPE ticketstatus ADD VALUE 'lost'")
        op.execute("UPDATE orders SET status = 'lost' WHERE id = 1")

    def downgrade():
        op.execute("UPDATE orders SET status = 'open' WHERE status = 'lost'")

Instead

    def upgrade():
        with op.get_context().autocommit_block():
            op.execute("ALTER TYPE ticketstatus ADD VALUE IF NOT EXISTS 'lost'")

    def downgrade():
        pass
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from gatekeeper.checks.observed import (
    at_error,
    find_upgrade,
    own_statements,
    raised,
    tell_unfinished,
)
from gatekeeper.checks.paste import autocommit_block
from gatekeeper.model import (
    Check,
    CheckContext,
    Finding,
    Needs,
    Revision,
    Skipped,
    Step,
)
from gatekeeper.sql import Kind, make_repeatable, plain_name

CHECK = Check(
    "enum-add-then-use", "A new ENUM label is committed before it is used", "data", Needs.REHEARSAL
)

_UNSAFE_USE = "55P04"  # unsafe_new_enum_value_usage
_LABEL_OF_TYPE = re.compile(r'"(?P<label>.+?)" of enum type (?P<type>\S+)')


@dataclass(frozen=True)
class _Added:
    revision: str
    type: str
    label: str
    sql: str


def find(context: CheckContext) -> Iterator[Finding | Skipped]:
    if context.rehearsal is None:
        return
    adds: list[_Added] = []
    for revision in context.changes.to_rehearse:
        deploy = find_upgrade(context, revision)
        if isinstance(deploy, Skipped):
            yield deploy
            continue
        adds += _uncommitted(revision, deploy)
        alone = context.rehearsal.of(revision.revision)
        steps = (deploy, alone.upgrade) if alone else (deploy,)
        failed = [step for step in steps if step.error and step.error.sqlstate == _UNSAFE_USE]
        if failed:
            yield _at_use(revision, failed[0], adds)
        elif (unfinished := tell_unfinished(deploy)) is not None:
            yield unfinished


def _uncommitted(revision: Revision, step: Step) -> Iterator[_Added]:
    for each in own_statements(revision, step):
        statement, parsed = each.statement, each.parsed
        is_open = statement.in_transaction and statement.committed is not True
        if parsed.kind is Kind.ADD_LABEL and is_open:
            name = plain_name(parsed.names[0])
            yield _Added(revision.revision, name, parsed.labels[0], statement.sql)


def _at_use(revision: Revision, step: Step, adds: list[_Added]) -> Finding:
    adds = [each for each in adds if _is_meant(each, step)]
    where = ", ".join(dict.fromkeys(f"`{each.revision}`" for each in adds))
    remedy = (
        "Add the label in `with op.get_context().autocommit_block():`, in a revision before the "
        "one that uses it."
    )
    if statements := [sql for each in adds for sql in make_repeatable(each.sql)]:
        block = autocommit_block(dict.fromkeys(statements))
        remedy = f"In a revision before the one that uses the label:\n\n{block}"
    return at_error(
        CHECK,
        revision,
        step,
        f"`{revision.revision}` used a label that {where or 'the same transaction'} had added and "
        f"not committed: {raised(step)}",
        remedy,
    )


def _is_meant(added: _Added, step: Step) -> bool:
    """Tell whether the error is about that label; one in another language names none."""
    about = _LABEL_OF_TYPE.search(step.error.message) if step.error else None
    if about is None:
        return True
    bare = added.type.rpartition(".")[2]
    meant = about["type"].replace('"', "").rpartition(".")[2]
    return added.label == about["label"] and bare == meant
