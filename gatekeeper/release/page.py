"""The plan of a release as a page: what a person wants to know before they say yes."""

from __future__ import annotations

from gatekeeper.lock_modes import LockMode
from gatekeeper.model import NotRehearsed, Outcome, Statement, Step, Verdict
from gatekeeper.release.plan import Plan, PlannedRevision
from gatekeeper.reporters import gfm, words
from gatekeeper.reporters.markdown import render_attestations
from gatekeeper.reporters.script import join_statements

_HEAD = ("Revision", "Upgrade", "Holds up", "Drops", "If it fails", "Way back")
_RULE = ("---",) * len(_HEAD)


def render_page(plan: Plan) -> str:
    """Return plan.md."""
    changes = plan.report.changes
    since = (
        "in the first release" if plan.previous is None else f"since {words.code(plan.previous)}"
    )
    parts = [
        f"# Release {gfm.code(plan.tag)}: the database",
        gfm.inline(_verdict(plan)),
        gfm.inline(
            f"{words.count(len(plan.revisions), 'revision')} {since}, from "
            f"{_heads(changes.base_heads)} to {_heads(changes.head_heads)}, commit "
            f"{plan.commit[:7]}."
        ),
    ]
    if not plan.revisions:
        return "\n\n".join(parts) + "\n"
    parts += [
        gfm.table(_HEAD, _RULE, map(_row, plan.revisions)),
        "## Maintenance window",
        _listed("None is needed.", "Needed, because:", plan.window),
        "## Way back",
        _listed("The downgrade was seen to lead back.", "Not proven:", plan.obstacles),
        _listed(
            "",
            "It drops what was written to these since the upgrade:",
            [name for planned in plan.revisions for name in planned.way_back.loses],
        ),
        *_attestations(plan),
        _script("SQL of the upgrade", plan.upgrade_statements),
        _script("SQL of the way back", plan.downgrade_statements),
        gfm.inline(f"{words.where(plan.report)}."),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _verdict(plan: Plan) -> str:
    report = plan.report
    if isinstance(report.rehearsal, NotRehearsed) and report.verdict is Verdict.PASS:
        return "The release has no migration."
    if report.verdict is Verdict.PASS:
        return f"Rehearsed without an error; the upgrade took {words.seconds(plan.seconds)} there."
    return f"Not to be deployed. {words.heading(report)}. {words.summary(report)}"


def _row(planned: PlannedRevision) -> tuple[str, ...]:
    revision = planned.revision
    back = planned.way_back
    return (
        f"{gfm.code(revision.revision)} {gfm.inline(revision.message)}",
        _told(planned.upgrade),
        gfm.inline(", ".join(_blocked(planned.upgrade)) or "nothing"),
        gfm.inline(words.listed(planned.drops) if planned.drops else "nothing"),
        _left_by_failure(planned),
        "proven" if back.obstacle is None else "not proven",
    )


def _left_by_failure(planned: PlannedRevision) -> str:
    if planned.upgrade.outcome is not Outcome.COMPLETED:
        return "not seen"
    return "nothing is left" if planned.is_transactional else "a part may be left"


def _told(step: Step) -> str:
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


def _heads(heads: tuple[str, ...]) -> str:
    return words.listed(heads, 4) if heads else "an empty database"


def _listed(none: str, some: str, sentences: tuple[str, ...] | list[str]) -> str:
    if not sentences:
        return none
    return f"{some}\n\n" + "\n".join(f"- {gfm.inline(sentence)}" for sentence in sentences)


def _attestations(plan: Plan) -> list[str]:
    lines = render_attestations(plan.report)
    return [f"## Yours to confirm\n\n{lines}"] if lines else []


def _script(title: str, statements: tuple[Statement, ...]) -> str:
    return gfm.folded(title, gfm.fence(join_statements(statements), "sql")) if statements else ""
