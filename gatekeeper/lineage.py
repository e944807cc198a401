"""Which revisions build on which. Pure.

Two relations are told apart: what has to be applied before a revision, to which `depends_on`
counts like `down_revision`, and the line that a revision carries on, to which it does not.
A name that a history has no revision for is in what is found, and nothing is known below it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from gatekeeper.model import Revision


def next_below(revision: Revision) -> tuple[str, ...]:
    """Return what a revision names as applied before it; `depends_on` counts."""
    return (*revision.down_revisions, *revision.depends_on)


def ancestors(revision: str, history: Iterable[Revision]) -> frozenset[str]:
    """Return all that is applied before a revision, without itself; `depends_on` counts."""
    return applied_at((revision,), history) - {revision}


def applied_at(versions: Iterable[str], history: Iterable[Revision]) -> frozenset[str]:
    """Return all that is applied to a database that stands at these revisions.

    They themselves are, and `depends_on` counts.
    """
    return frozenset(_reach(versions, history, next_below))


def not_applied(versions: Iterable[str], history: Iterable[Revision]) -> tuple[Revision, ...]:
    """Return what a database at these revisions still lacks, in order; `depends_on` counts."""
    history = tuple(history)
    applied = applied_at(versions, history)
    return tuple(r for r in history if r.revision not in applied)


def line_of(head: str, history: Iterable[Revision]) -> tuple[str, ...]:
    """Return a head and all that it carries on, nearest first; `depends_on` does not count."""
    return _reach((head,), history, lambda revision: revision.down_revisions)


def tips(revisions: Iterable[Revision]) -> frozenset[str]:
    """Return those of the revisions that no other of them builds on; `depends_on` counts."""
    revisions = tuple(revisions)
    built_on = {name for revision in revisions for name in next_below(revision)}
    return frozenset(revision.revision for revision in revisions) - built_on


def _reach(
    names: Iterable[str],
    history: Iterable[Revision],
    below: Callable[[Revision], tuple[str, ...]],
) -> tuple[str, ...]:
    """Return the names and all that is below them, each once, nearest first."""
    known = {revision.revision: revision for revision in history}
    found = dict.fromkeys(names)
    waiting = list(found)
    for name in waiting:  # it grows as it is walked
        for each in below(known[name]) if name in known else ():
            if each not in found:
                found[each] = None
                waiting.append(each)
    return tuple(found)
