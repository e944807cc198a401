"""A downgrade undoes what the upgrade did.

What it finds

A new revision whose `downgrade` is empty (`pass`, `...` or only a docstring) although its
`upgrade` changes the schema. Where the upgrade changes rows only, or only what PostgreSQL
or people leave behind anyway (a label of an ENUM type, an extension), a notice.

Why it matters

An empty downgrade succeeds: the version table goes back, the schema stays. From then on
neither the version nor the models tell what the database is, and the next upgrade fails
with "already exists".

When it is fine

In a revision that changes nothing, such as one that merges heads; in one that only corrects
rows which nobody wants to be wrong again.

How to fix

Write the reverse of `upgrade`. Where there is none, `raise` with the reason.

Example

    def upgrade():
        op.add_column("orders", sa.Column("currency", sa.Text(), nullable=True))

    def downgrade():
        pass

Instead

    def upgrade():
        op.add_column("orders", sa.Column("currency", sa.Text(), nullable=True))

    def downgrade():
        op.drop_column("orders", "currency")
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import replace

from gatekeeper.checks.observed import at_function, is_accepted, name_differences, own_statements
from gatekeeper.checks.paste import block
from gatekeeper.checks.undo import undo
from gatekeeper.checks.written import method_of, read_calls, receiver_of, text_of
from gatekeeper.model import (
    Basis,
    Body,
    Check,
    CheckContext,
    Direction,
    Finding,
    Needs,
    RehearsedRevision,
    Revision,
    Severity,
    Skipped,
)
from gatekeeper.sql import Kind, statements_of

CHECK = Check(
    "downgrade-empty", "A downgrade undoes what the upgrade did", "downgrade", Needs.SOURCE
)


class _Changes(enum.Enum):
    NOTHING = "nothing"
    ROWS = "rows"
    LABELS = "labels of an ENUM type"
    SCHEMA = "the schema"


def find(context: CheckContext) -> Iterator[Finding | Skipped]:
    for revision in context.changes.to_rehearse:
        if revision.downgrade is None or revision.downgrade.body is not Body.EMPTY:
            continue
        rehearsed = context.rehearsal.of(revision.revision) if context.rehearsal else None
        if rehearsed is not None and rehearsed.changes is not None:
            yield from _judge(revision, _observe(rehearsed), rehearsed)
        elif (changes := _read(revision)) is None:
            yield Skipped(f"what the upgrade of `{revision.revision}` changes cannot be read")
        else:
            yield from _judge(revision, changes, None)


def _observe(rehearsed: RehearsedRevision) -> _Changes:
    if rehearsed.changes:
        return _Changes.SCHEMA
    seen = own_statements(rehearsed.revision, rehearsed.upgrade)
    changed_rows = any(s.parsed.changes_rows and s.statement.rows != 0 for s in seen)
    return _Changes.ROWS if changed_rows else _Changes.NOTHING


_NO_OPERATIONS = frozenset({"get_bind", "get_context", "f", "inline_literal"})


def _read(revision: Revision) -> _Changes | None:
    """Return what an upgrade changes as far as its calls tell; None if they do not."""
    if revision.upgrade is None or revision.upgrade.body is Body.EMPTY:
        return _Changes.NOTHING
    changes: set[_Changes | None] = set()
    for call in read_calls(revision, Direction.UPGRADE):
        method = method_of(call)
        if method == "execute":
            changes.add(_read_sql(text_of(call)))
        elif receiver_of(call) == "op" and method not in _NO_OPERATIONS:
            changes.add(_Changes.ROWS if method == "bulk_insert" else _Changes.SCHEMA)
    if _Changes.SCHEMA in changes:
        return _Changes.SCHEMA
    if None in changes or not changes:
        return None
    return _Changes.LABELS if _Changes.LABELS in changes else _Changes.ROWS


def _read_sql(text: str | None) -> _Changes | None:
    parsed = statements_of(text or "DO ''")
    if any(each.changes_schema and each.kind is not Kind.ADD_LABEL for each in parsed):
        return _Changes.SCHEMA
    if any(each.kind is Kind.ADD_LABEL for each in parsed):
        return _Changes.LABELS
    return _Changes.ROWS if any(each.changes_rows for each in parsed) else None


def _judge(
    revision: Revision, changes: _Changes, rehearsed: RehearsedRevision | None
) -> Iterator[Finding]:
    if changes is _Changes.NOTHING:
        return
    name = revision.revision
    verb = "changes" if rehearsed is None else "changed"
    message = f"The downgrade of `{name}` is empty, but its upgrade {verb} {changes.value}"
    if rehearsed is not None and rehearsed.round_trip:
        message += f"; afterwards {name_differences(rehearsed.round_trip)}"
    finding = at_function(
        CHECK,
        revision,
        Direction.DOWNGRADE,
        message,
        _remedy(name, undo((rehearsed.round_trip if rehearsed else None) or ())),
        basis=Basis.READ if rehearsed is None else Basis.OBSERVED,
    )
    left = rehearsed.round_trip if rehearsed else None
    is_mild = changes is not _Changes.SCHEMA or (left and all(is_accepted(each) for each in left))
    yield replace(finding, severity=Severity.NOTICE) if is_mild else finding


def _remedy(name: str, calls: tuple[str, ...]) -> str:
    reverse = "Write the reverse of `upgrade()`; where there is no way back, say why:"
    if any(not call.startswith("#") for call in calls):
        reverse = (
            "Write the reverse of `upgrade()`:\n\n"
            f"    def downgrade():\n{block(calls, 8)}\n\n"
            "Where there is no way back, say why:"
        )
    return (
        f"{reverse}\n\n"
        "    # gatekeeper: allow[downgrade-raises] the reason\n"
        "    def downgrade():\n"
        f'        raise RuntimeError("{name} cannot be undone: …")'
    )
