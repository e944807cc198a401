"""Merged revisions stay in the history.

What it finds

A revision that the base has and that the change removes.

Why it matters

A database that stands at the removed revision cannot be upgraded any more: `Can't locate
revision identified by …`. Nothing in the repository tells how it came to be.

When it is fine

Where the history is squashed and every database is past the squashed part. A file that is
gone holds no waiver, so say it in the policy:
`overrides: [{revisions: [a001], checks: {deleted-revision: off}}]`.

How to fix

Put the file back. To take back what it does, write a new revision that undoes it.

Example

    git rm migrations/versions/a001_create_orders.py

Instead

    alembic revision -m "drop orders"
"""

from __future__ import annotations

from collections.abc import Iterator

from gatekeeper.model import Basis, Change, Check, CheckContext, Finding, Needs, Skipped

CHECK = Check("deleted-revision", "Merged revisions stay in the history", "history", Needs.SOURCE)


def find(context: CheckContext) -> Iterator[Finding | Skipped]:
    base = (context.changes.base or "BASE")[:12]
    for changed in context.changes.revisions:
        if changed.change is not Change.DELETED:
            continue
        revision = changed.revision
        yield Finding(
            check=CHECK.id,
            message=f"`{revision.revision}` was merged before and this change deletes it "
            f"({revision.path}); a database that stands at it cannot be upgraded any more",
            remedy="Put it back, and undo what it does in a new revision:\n\n"
            f"    git checkout {base} -- {revision.path}",
            basis=Basis.READ,
            revision=revision.revision,
            path=revision.path,
        )
