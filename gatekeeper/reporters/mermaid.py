"""Pictures that GitHub draws: the graph of revisions and the timeline of blocking locks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from gatekeeper.lineage import line_of
from gatekeeper.model import Change, ChangeSet, Rehearsal, Revision, Statement, Step
from gatekeeper.reporters import words

_MAX_NODES = 30
_MAX_BARS = 40


@dataclass(frozen=True)
class Picture:
    """The source of a picture and how many things did not fit in."""

    source: str
    left_out: int


def _label(text: str, limit: int = 50) -> str:
    """Return text without anything that Mermaid could take for syntax."""
    text = words.clipped(words.one_line(text), limit)
    return "".join(c if c.isalnum() or c in " ._/…-" else " " for c in text).strip() or "-"


def draw_graph(changes: ChangeSet) -> Picture | None:
    """Return the graph above the heads' common history; None with a single head.

    Nor is there one where the heads are those of several histories.
    """
    if changes.sections:
        return None
    heads = changes.merged_heads if len(changes.merged_heads) > 1 else changes.head_heads
    if len(heads) < 2:
        return None
    revisions = {r.revision: r for r in (*changes.base_history, *changes.head_history)}
    nodes = _nodes(revisions, heads)
    drawn = nodes[:_MAX_NODES]
    numbers = {revision: f"n{i}" for i, revision in enumerate(drawn)}
    new = {c.revision.revision for c in changes.revisions if c.change is Change.ADDED}
    lines = ["graph LR"]
    for revision in drawn:
        note = " · new" if revision in new else ""
        note += " · head" if revision in heads else ""
        lines.append(f'    {numbers[revision]}["{_label(revision)}{note}"]')
    for revision in drawn:
        downs = revisions[revision].down_revisions if revision in revisions else ()
        lines += [
            f"    {numbers[down]} --> {numbers[revision]}" for down in downs if down in numbers
        ]
    return Picture("\n".join(lines), len(nodes) - len(drawn))


def _nodes(revisions: dict[str, Revision], heads: Iterable[str]) -> list[str]:
    """Return what is not below every head, newest first, and where it branches off."""
    below = [line_of(head, revisions.values()) for head in heads]
    common = frozenset(below[0]).intersection(*below[1:])
    own = list(dict.fromkeys(r for each in below for r in each if r not in common))
    fork = [d for r in own if r in revisions for d in revisions[r].down_revisions if d in common]
    return own + list(dict.fromkeys(fork))


def draw_locks(rehearsal: Rehearsal) -> Picture | None:
    """Return the timeline of the deploy pass's blocking locks; None where there are none.

    Statements are laid end to end. A lock taken in a transaction is drawn to the end of its
    revision's step, a lock of a statement outside one to the end of the statement.
    """
    bars: dict[str, list[str]] = {}
    drawn = left_out = 0
    started = 0.0
    for step in rehearsal.deploy:
        ended = started + max(step.seconds, sum(s.seconds for s in step.statements))
        for statement, begin in _with_times(step, started):
            end = ended if statement.in_transaction else begin + statement.seconds
            for lock in statement.locks or ():
                if lock.mode.blocks is None:
                    continue
                if drawn == _MAX_BARS:
                    left_out += 1
                    continue
                drawn += 1
                title = f"{lock.mode.manual_name} - {_label(step.revision, 20)}"
                if statement.line is not None:
                    title += f" line {statement.line}"
                first, last = round(begin * 1000), max(round(end * 1000), round(begin * 1000) + 1)
                bars.setdefault(lock.relation, []).append(f"    {title} :crit, {first}, {last}")
        started = ended
    if not bars:
        return None
    axis = "%S.%L s" if started < 60 else "%H:%M:%S"
    lines = ["gantt", "    dateFormat x", f"    axisFormat {axis}"]
    for relation, of_relation in bars.items():
        lines += [f"    section {_label(relation)}", *of_relation]
    return Picture("\n".join(lines), left_out)


def _with_times(step: Step, started: float) -> Iterable[tuple[Statement, float]]:
    for statement in step.statements:
        yield statement, started
        started += statement.seconds
