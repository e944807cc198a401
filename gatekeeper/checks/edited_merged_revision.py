"""Merged revisions stay as they are.

What it finds

A revision that the base has already and whose code the change alters: the body of `upgrade`
or `downgrade`, `down_revision`, anything that runs. Comments, docstrings, formatting and
the file's name are free.

Why it matters

A database that ran the revision never runs it again. From then on databases differ by the
day on which they were upgraded, and Alembic keeps no checksum that would tell.

When it is fine

Where no database has run the revision yet, or the edit changes nothing that it does: waive
it with that reason.

How to fix

Put the revision back and write a new one that makes the difference.

Example

    # a001_create_orders.py, on the base branch already
    def upgrade():
    -   op.create_table("orders", sa.Column("total", sa.Numeric()))
    +   op.create_table("orders", sa.Column("total", sa.Numeric(), nullable=False))

Instead

    # b002_require_total.py, a new revision
    def upgrade():
        op.alter_column("orders", "total", nullable=False)
"""

from __future__ import annotations

from collections.abc import Iterator

from gatekeeper.checks.written import functions_code
from gatekeeper.model import (
    Basis,
    Change,
    ChangedRevision,
    Check,
    CheckContext,
    Finding,
    Needs,
    Revision,
    Skipped,
)

CHECK = Check(
    "edited-merged-revision", "Merged revisions stay as they are", "history", Needs.SOURCE
)


def find(context: CheckContext) -> Iterator[Finding | Skipped]:
    for changed in context.changes.revisions:
        if changed.change is Change.MODIFIED and changed.before is not None:
            edits = _list_edits(changed.before, changed.revision)
            if edits:
                base = context.changes.base or "BASE"
                yield _at_revision(changed, changed.before, base, edits)


def _at_revision(
    changed: ChangedRevision, before: Revision, base: str, edits: list[tuple[str, int]]
) -> Finding:
    revision = changed.revision
    parts, line = ", ".join(text for text, _ in edits), edits[0][1]
    message = f"`{revision.revision}` was merged before and this change edits its {parts}"
    return Finding(
        check=CHECK.id,
        message=message,
        remedy="Put it back and make the difference in a new revision:\n\n"
        f"    git checkout {base[:12]} -- {before.path}\n"
        '    alembic revision -m "…"',
        basis=Basis.READ,
        revision=revision.revision,
        path=revision.path,
        line=line,
        end_line=line,
    )


def _list_edits(before: Revision, after: Revision) -> list[tuple[str, int]]:
    """Return what was edited, in words and with its line."""
    edits: list[tuple[str, int]] = []
    old, new = functions_code(before.source), functions_code(after.source)
    if before.down_revisions != after.down_revisions:
        edits.append((f"`down_revision` ({_names(before)} → {_names(after)})", after.line))
    for name, function in (("upgrade", after.upgrade), ("downgrade", after.downgrade)):
        if old.get(name) != new.get(name):
            edits.append((f"`{name}`", after.line if function is None else function.line))
    others = sorted(
        name
        for name in old.keys() | new.keys()
        if name not in ("upgrade", "downgrade", "down_revision") and old.get(name) != new.get(name)
    )
    words = ("other code", "imports")
    edits.extend((name if name in words else f"`{name}`", after.line) for name in others)
    return edits


def _names(revision: Revision) -> str:
    return ", ".join(revision.down_revisions) or "None"
