"""What a work tree is to a database on one's own machine: a release of all that is pending."""

from __future__ import annotations

from gatekeeper.deploy.model import Release, ReleasedRevision
from gatekeeper.deploy.phrases import name_revisions
from gatekeeper.deploy.status import Status
from gatekeeper.model import ChangeSet, Revision
from gatekeeper.reporters import words


def make_local_release(changes: ChangeSet, status: Status) -> Release:
    """Return the release that brings a database to the heads of the work tree.

    It was rehearsed by nobody, so it holds nothing against the target. Where what is pending
    cannot be told it has no revision; preflight refuses a target that stands there.
    """
    return Release(
        tag="work tree",
        commit=changes.head or "",
        previous=None,
        verdict="pass",
        project=changes.project,
        from_revisions=status.revisions,
        to_revisions=changes.head_heads,
        revisions=tuple(map(_pending, status.pending or ())),
        window=(),
        obstacles=(),
        content_hash=changes.content_hash,
        is_rehearsed=False,
        server_major=None,
        catalog_before=None,
        catalog_after=None,
        attestations=(),
    )


def render_pending(release: Release) -> str:
    """Return where the database stands and what is pending there, as a person reads it."""
    lines = [f"The database stands at {name_revisions(release.from_revisions)}."]
    if release.revisions:
        count = words.count(len(release.revisions), "revision")
        lines.append(f"{count} to the head, {words.listed(release.to_revisions)}:")
    lines += [
        f"  {words.one_line(f'{each.revision} {each.message} ({each.path})')}"
        for each in release.revisions
    ]
    return "\n".join(lines) + "\n"


def _pending(revision: Revision) -> ReleasedRevision:
    return ReleasedRevision(
        revision=revision.revision,
        down_revisions=revision.down_revisions,
        message=revision.message,
        path=revision.path,
        seconds=0.0,
        is_transactional=False,
        obstacle="it was not rehearsed",
        loses=(),
    )
