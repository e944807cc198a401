"""The plan of a release for the person at the terminal who made it; plan.md has its SQL too."""

from __future__ import annotations

import shlex
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from gatekeeper.model import Verdict
from gatekeeper.release import told
from gatekeeper.release.plan import Plan, PlannedRevision
from gatekeeper.reporters import words
from gatekeeper.reporters.context import RenderContext
from gatekeeper.reporters.terminal import code_text, indented, to_text

_STYLE = {
    Verdict.PASS: "bold green",
    Verdict.FAIL: "bold red",
    Verdict.UNDETERMINED: "bold magenta",
}


def render(plan: Plan, context: RenderContext, folder: Path) -> str:
    """Return the text for a terminal; `folder` is where the plan lies."""
    return to_text(context, lambda console: _print_plan(console, plan, folder))


def _print_plan(console: Console, plan: Plan, folder: Path) -> None:
    console.print(code_text(f"Release {words.code(plan.tag)}: the database"), style="bold")
    console.print(code_text(words.one_line(told.verdict(plan))), style=_STYLE[plan.report.verdict])
    console.print(code_text(told.extent(plan)))
    console.print()
    if plan.revisions:
        for planned in plan.revisions:
            _print_revision(console, planned)
        for section in told.sections(plan):
            _print_section(console, section)
        if plan.report.attestations:
            _print_attestations(console, plan)
        console.print()
        console.print(code_text(f"{words.where(plan.report)}."), style="dim")
    console.print(code_text(f"The plan, its SQL and the report are in {folder}."), soft_wrap=True)
    if plan.report.verdict is Verdict.PASS:
        console.print("It is carried out by:")
        file = shlex.quote(str(folder / "plan.json"))
        command = f"gatekeeper deploy --environment NAME --plan {file} --record DIR"
        console.print(Text(f"    {command}", style="cyan"), soft_wrap=True)


def _print_revision(console: Console, planned: PlannedRevision) -> None:
    revision = planned.revision
    name = words.one_line(f"{words.code(revision.revision)} {revision.message}")
    console.print(code_text(name), style="bold")
    cells = zip(told.HEAD[1:], told.cells(planned), strict=True)
    console.print(indented(code_text(" · ".join(f"{head}: {cell}" for head, cell in cells))))


def _print_section(console: Console, section: told.Section) -> None:
    if section.title is not None:
        console.print()
        console.print(Text(section.title, style="bold"))
    console.print(indented(Text(section.sentence)))
    for item in section.items:
        console.print(indented(code_text(f"- {words.one_line(item)}")))


def _print_attestations(console: Console, plan: Plan) -> None:
    console.print()
    console.print(Text("Yours to confirm, each by `--attested ID` of the deploy", style="bold"))
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("ID", no_wrap=True)  # it is there to be copied
    table.add_column("What")
    table.add_column("Needed for")
    for each in plan.report.attestations:
        table.add_row(*map(Text, (each.id, each.title, ", ".join(each.required_for) or "nothing")))
    console.print(indented(table))
