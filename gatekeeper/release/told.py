"""What a person is told of a plan, on the page and at the terminal alike."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gatekeeper.lock_modes import LockMode
from gatekeeper.model import NotRehearsed, Outcome, Step, Verdict
from gatekeeper.release.plan import Plan, PlannedRevision
from gatekeeper.reporters import words

HEAD = ("Revision", "Upgrade", "Holds up", "Drops", "If it fails", "Way back")


@dataclass(frozen=True)
class Section:
    """A sentence on the plan and what it counts; without a title it goes with the one before."""

    title: str | None
    sentence: str
    items: tuple[str, ...] = ()


def verdict(plan: Plan) -> str:
    """Return whether the release may be deployed, and what speaks against it."""
    report = plan.report
    if isinstance(report.rehearsal, NotRehearsed) and report.verdict is Verdict.PASS:
        return "The release has no migration."
    if report.verdict is Verdict.PASS:
        return f"Rehearsed without an error; the upgrade took {words.seconds(plan.seconds)} there."
    return f"Not to be deployed. {words.heading(report)}. {words.summary(report)}"


def extent(plan: Plan) -> str:
    """Return how much the release adds to the one before it, and from where to where it leads."""
    changes = plan.report.changes
    since = (
        "in the first release" if plan.previous is None else f"since {words.code(plan.previous)}"
    )
    return (
        f"{words.count(len(plan.revisions), 'revision')} {since}, from "
        f"{_heads(changes.base_heads)} to {_heads(changes.head_heads)}, commit {plan.commit[:7]}."
    )


def cells(planned: PlannedRevision) -> tuple[str, ...]:
    """Return what stands below `HEAD` for a revision, but for its name."""
    return (
        _took(planned.upgrade),
        ", ".join(_blocked(planned.upgrade)) or "nothing",
        words.listed(planned.drops) if planned.drops else "nothing",
        _left_by_failure(planned),
        "proven" if planned.way_back.obstacle is None else "not proven",
    )


def sections(plan: Plan) -> Iterator[Section]:
    """Yield what there is to know beside the revisions."""
    yield Section(
        "Maintenance window",
        "Needed, because:" if plan.window else "None is needed.",
        plan.window,
    )
    yield Section(
        "Way back",
        "Not proven:" if plan.obstacles else "The downgrade was seen to lead back.",
        plan.obstacles,
    )
    loses = tuple(name for planned in plan.revisions for name in planned.way_back.loses)
    if loses:
        yield Section(None, "It drops what was written to these since the upgrade:", loses)


def _took(step: Step) -> str:
    if step.outcome is Outcome.COMPLETED:
        return words.seconds(step.seconds)
    return str(step.outcome.value)


def _blocked(step: Step) -> list[str]:
    """Return the relations that a step keeps others from, each with its strongest lock."""
    strongest: dict[str, LockMode] = {}
    for lock in (lock for s in step.statements for lock in s.locks or ()):
        if lock.mode.blocks is not None:
            strongest[lock.relation] = max(lock.mode, strongest.get(lock.relation, lock.mode))
    return [f"{mode.blocks} of {words.code(name)}" for name, mode in strongest.items()]


def _left_by_failure(planned: PlannedRevision) -> str:
    if planned.upgrade.outcome is not Outcome.COMPLETED:
        return "not seen"
    return "nothing is left" if planned.is_transactional else "a part may be left"


def _heads(heads: tuple[str, ...]) -> str:
    return words.listed(heads, 4) if heads else "an empty database"
