"""The plan of a release as a page: what a person wants to know before they say yes."""

from __future__ import annotations

from gatekeeper.model import Statement
from gatekeeper.release import told
from gatekeeper.release.plan import Plan, PlannedRevision
from gatekeeper.reporters import gfm, words
from gatekeeper.reporters.markdown import render_attestations
from gatekeeper.reporters.script import join_statements


def render_page(plan: Plan) -> str:
    """Return plan.md."""
    parts = [
        f"# Release {gfm.code(plan.tag)}: the database",
        gfm.inline(told.verdict(plan)),
        gfm.inline(told.extent(plan)),
    ]
    if not plan.revisions:
        return "\n\n".join(parts) + "\n"
    parts += [
        gfm.table(told.HEAD, ("---",) * len(told.HEAD), map(_row, plan.revisions)),
        *(_section(section) for section in told.sections(plan)),
        *_attestations(plan),
        _script("SQL of the upgrade", plan.upgrade_statements),
        _script("SQL of the way back", plan.downgrade_statements),
        gfm.inline(f"{words.where(plan.report)}."),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _row(planned: PlannedRevision) -> tuple[str, ...]:
    revision = planned.revision
    name = f"{gfm.code(revision.revision)} {gfm.inline(revision.message)}"
    return (name, *map(gfm.inline, told.cells(planned)))


def _section(section: told.Section) -> str:
    title = "" if section.title is None else f"## {section.title}\n\n"
    items = "\n".join(f"- {gfm.inline(item)}" for item in section.items)
    return title + "\n\n".join(part for part in (section.sentence, items) if part)


def _attestations(plan: Plan) -> list[str]:
    lines = render_attestations(plan.report)
    return [f"## Yours to confirm\n\n{lines}"] if lines else []


def _script(title: str, statements: tuple[Statement, ...]) -> str:
    return gfm.folded(title, gfm.fence(join_statements(statements), "sql")) if statements else ""
