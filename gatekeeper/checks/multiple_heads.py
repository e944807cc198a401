"""There is one head after merging.

What it finds

More than one head, counted after the merge with the current tip of the base branch. Two
pull requests that each add a revision to the same head are found here, not at the deploy.

Why it matters

`alembic upgrade head` refuses to run with several heads, and `upgrade heads` applies them in
an order that differs from one database to the next.

When it is fine

Where a project keeps several branches on purpose: heads that the base had already and that
each go on by themselves are no finding. In an audit, heads with branch labels of their own
are none.

How to fix

Let the new revision follow the other head (`down_revision`), or merge the two:
`alembic merge -m "merge heads" HEAD1 HEAD2`.

Example

    # b002_add_note.py                    # c003_add_email.py, on the base branch
    revision = "b002"                     revision = "c003"
    down_revision = "a001"                down_revision = "a001"

Instead

    # b002_add_note.py
    revision = "b002"
    down_revision = "c003"
"""

from __future__ import annotations

from collections.abc import Iterator

from gatekeeper.lineage import line_of
from gatekeeper.model import (
    Basis,
    ChangeSet,
    Check,
    CheckContext,
    Finding,
    Needs,
    Revision,
    Skipped,
)

CHECK = Check("multiple-heads", "There is one head after merging", "history", Needs.SOURCE)


def find(context: CheckContext) -> Iterator[Finding | Skipped]:
    changes = context.changes
    if len(changes.merged_heads) < 2 or not changes.revisions or _are_on_purpose(changes):
        return
    history = {each.revision: each for each in changes.head_history}
    new = {each.revision for each in changes.to_rehearse}
    ours = [history[head] for head in changes.merged_heads if head in history and head in new]
    heads = [_name_head(head, history, changes) for head in changes.merged_heads]
    tip = "" if changes.base_tip is None else f" after merging `{changes.base_tip}`"
    first = ours[0] if ours else None
    yield Finding(
        check=CHECK.id,
        message=f"There are {len(heads)} heads{tip}: {', '.join(heads)}",
        remedy=_remedy(changes, first),
        basis=Basis.READ,
        revision=first.revision if first else None,
        path=first.path if first else None,
        line=first.line if first else None,
        end_line=first.line if first else None,
    )


def _name_head(head: str, history: dict[str, Revision], changes: ChangeSet) -> str:
    if head in history:
        return f"`{head}` ({history[head].path})"
    return f"`{head}` (new on `{changes.base_tip}`)"


def _remedy(changes: ChangeSet, ours: Revision | None) -> str:
    merge = f'alembic merge -m "merge heads" {" ".join(changes.merged_heads)}'
    there = {each.revision for each in changes.head_history}
    first = ""
    if not there.issuperset(changes.merged_heads):
        first = f"Merge `{changes.base_tip or changes.base}` into this branch first. "
    if ours is None or len(changes.merged_heads) != 2:
        return f"{first}Run:\n\n    {merge}"
    other = next(head for head in changes.merged_heads if head != ours.revision)
    return f'{first}In {ours.path} write `down_revision = "{other}"`, or run:\n\n    {merge}'


def _are_on_purpose(changes: ChangeSet) -> bool:
    """Tell whether each head carries on a head of its own that the base had already."""
    history = {each.revision: each for each in changes.head_history}
    lines = [frozenset(line_of(head, changes.head_history)) for head in changes.merged_heads]
    if not changes.base_heads:
        labels = [{label for name in line for label in _labels(name, history)} for line in lines]
        return all(
            own - set().union(*(other for other in labels if other is not own)) for own in labels
        )
    if len(lines) > len(changes.base_heads):
        return False
    bases = frozenset(changes.base_heads)
    # A head that only the tip has cannot be traced; it may carry on a head that is left over.
    known = [line & bases for line in lines if line & history.keys()]
    return all(len(heads) == 1 for heads in known) and len(set().union(*known)) == len(known)


def _labels(revision: str, history: dict[str, Revision]) -> tuple[str, ...]:
    return history[revision].branch_labels if revision in history else ()
