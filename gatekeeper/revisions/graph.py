"""The order of revisions, on Alembic's own RevisionMap. No I/O.

Alembic stops with the first thing that is wrong in a graph, often with a bare `KeyError`.
Here each such thing becomes a `RevisionProblem`, and the rest is ordered without it.
"""

from __future__ import annotations

import graphlib
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, replace

from alembic.script.revision import Revision as AlembicRevision
from alembic.script.revision import RevisionError, RevisionMap

from gatekeeper.model import Revision, RevisionProblem

_NEW_ID = "Give one of them a new identifier: `alembic revision` makes one, or edit `revision`."


@dataclass(frozen=True)
class Graph:
    """Revisions in an order in which they can run, and what keeps Alembic from using them.

    `revisions` holds one of each identifier; what they depend on are identifiers, also where a
    branch label is written. `heads` are those that no other revises; a revision that is only
    depended on stays a head.
    """

    revisions: tuple[Revision, ...]
    heads: tuple[str, ...]
    problems: tuple[RevisionProblem, ...]


def build_graph(revisions: Iterable[Revision]) -> Graph:
    """Return the revisions in graph order; of two with one identifier the first counts.

    The order is the same at each run: a line is followed to its end before the next one
    starts, and lines start in the order of their paths.
    """
    problems: list[RevisionProblem] = []
    first = _first(revisions, problems)
    usable = _usable(first, problems)
    by_label = _by_label(usable, problems)
    refused = first.keys() - usable.keys()
    parents = {
        r.revision: _parents(r, usable, by_label, refused, problems) for r in usable.values()
    }
    order = _sort(usable, parents, problems)
    ordered = tuple(_without_labels(usable[revision], usable, by_label) for revision in order)
    return Graph(ordered, _heads(ordered, parents), tuple(problems))


def _first(revisions: Iterable[Revision], problems: list[RevisionProblem]) -> dict[str, Revision]:
    """Return the first revision of each identifier."""
    first: dict[str, Revision] = {}
    for revision in revisions:
        other = first.setdefault(revision.revision, revision)
        if other is not revision:
            what = f"The revision identifier `{revision.revision}` is also that of `{other.path}`."
            problems.append(_problem(revision, what, _NEW_ID))
    return first


def _usable(first: Mapping[str, Revision], problems: list[RevisionProblem]) -> dict[str, Revision]:
    """Return the revisions whose identifiers Alembic accepts, sorted by path."""
    usable = {}
    for revision in sorted(first.values(), key=lambda r: r.path):
        try:
            AlembicRevision.verify_rev_id(revision.revision)
        except RevisionError as error:
            remedy = "Use letters, digits and underscores, here and in what refers to it."
            problems.append(_problem(revision, f"{error}.", remedy))
        else:
            usable[revision.revision] = revision
    return usable


def _by_label(
    usable: Mapping[str, Revision], problems: list[RevisionProblem]
) -> dict[str, Revision]:
    """Return the revision of each branch label; a label belongs to one revision."""
    by_label: dict[str, Revision] = {}
    for revision in usable.values():
        for label in revision.branch_labels:
            other = by_label.setdefault(label, usable.get(label, revision))
            if other is not revision:
                what = f"The branch label `{label}` is taken by `{other.revision}` ({other.path})."
                remedy = "Keep the label at the first revision of its branch only."
                problems.append(_problem(revision, what, remedy))
    return by_label


@dataclass(frozen=True)
class _Parents:
    """What a revision comes after, as far as it exists: identifiers, labels resolved."""

    down_revisions: tuple[str, ...]
    depends_on: tuple[str, ...]

    def without(self, revision: str) -> _Parents:
        return _Parents(
            tuple(r for r in self.down_revisions if r != revision),
            tuple(r for r in self.depends_on if r != revision),
        )


def _parents(
    revision: Revision,
    usable: Mapping[str, Revision],
    by_label: Mapping[str, Revision],
    refused: Set[str],
    problems: list[RevisionProblem],
) -> _Parents:
    def known(name: str, field: str) -> bool:
        if name in usable or (field == "depends_on" and name in by_label):
            return True
        if name in refused:
            return False
        what = f"`{revision.revision}` names `{name}` in `{field}`, but no file has that revision."
        remedy = f"Restore the file of `{name}`, or name an existing revision in `{field}`."
        problems.append(_problem(revision, what, remedy))
        return False

    down = tuple(r for r in revision.down_revisions if known(r, "down_revision"))
    names = tuple(r for r in revision.depends_on if known(r, "depends_on"))
    return _Parents(down, tuple(n if n in usable else by_label[n].revision for n in names))


def _without_labels(
    revision: Revision, usable: Mapping[str, Revision], by_label: Mapping[str, Revision]
) -> Revision:
    """Return the revision with identifiers in place of the branch labels that it depends on."""
    labels = {name for name in revision.depends_on if name not in usable and name in by_label}
    depends_on = (by_label[n].revision if n in labels else n for n in revision.depends_on)
    return replace(revision, depends_on=tuple(depends_on)) if labels else revision


def _sort(
    usable: Mapping[str, Revision],
    parents: dict[str, _Parents],
    problems: list[RevisionProblem],
) -> list[str]:
    """Return the identifiers in order; each cycle is told and cut until there is none."""
    while True:
        sorter = graphlib.TopologicalSorter(
            {r: (*parents[r].down_revisions, *parents[r].depends_on) for r in usable}
        )
        try:
            sorter.prepare()
            break
        except graphlib.CycleError as error:
            # Each of the list comes after the one before it; the first is also the last.
            cycle = error.args[1][1:]
            at = min(range(len(cycle)), key=lambda n: usable[cycle[n]].path)
            revision, before = cycle[at], cycle[at - 1]
            round_trip = " → ".join(f"`{r}`" for r in (*cycle[at:], *cycle[:at], revision))
            what = f"The revisions come after each other in a circle: {round_trip}."
            remedy = "Correct `down_revision` or `depends_on` of the one that was edited last."
            problems.append(_problem(usable[revision], what, remedy))
            parents[revision] = parents[revision].without(before)
    order: list[str] = []
    waiting: list[str] = []
    while sorter.is_active():
        waiting.extend(reversed(sorter.get_ready()))
        order.append(waiting.pop())
        sorter.done(order[-1])
    return order


def _heads(ordered: tuple[Revision, ...], parents: Mapping[str, _Parents]) -> tuple[str, ...]:
    """Return the heads as Alembic counts them, in graph order."""
    nodes = [
        AlembicRevision(
            r.revision,
            parents[r.revision].down_revisions,
            parents[r.revision].depends_on or None,
        )
        for r in ordered
    ]
    heads = RevisionMap(lambda: nodes).heads
    return tuple(r.revision for r in ordered if r.revision in heads)


def _problem(revision: Revision, message: str, remedy: str) -> RevisionProblem:
    return RevisionProblem(revision.path, revision.line, message, remedy, revision.revision)
