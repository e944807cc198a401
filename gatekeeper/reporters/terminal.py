"""The checklist for a terminal, in the words of the comment."""

from __future__ import annotations

import io
from collections.abc import Callable

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from gatekeeper.model import (
    Finding,
    Outcome,
    Rehearsal,
    Report,
    Severity,
    Step,
    Verdict,
)
from gatekeeper.reporters import remedies, words
from gatekeeper.reporters.checklist import Mark, Row, read_checklist
from gatekeeper.reporters.context import RenderContext

_MIN_WIDTH = 60
_MAX_PASSED = 8
_MAX_FINDINGS = 100
_MAX_REVISIONS = 40
_INDENT = 4

_STYLE = {
    Mark.FAILED: "bold red",
    Mark.UNKNOWN: "bold magenta",
    Mark.WARNING: "bold yellow",
    Mark.NOTICE: "blue",
    Mark.YOURS: "bold cyan",
    Mark.TICKED: "cyan",
    Mark.WAIVED: "dim yellow",
    Mark.PASSED: "green",
    Mark.NOT_RUN: "dim",
}
_VERDICT = {
    Verdict.PASS: ("✓", "bold green"),
    Verdict.FAIL: ("✗", "bold red"),
    Verdict.UNDETERMINED: ("?", "bold magenta"),
}


def render(report: Report, context: RenderContext) -> str:
    """Return the text for a terminal of the context's width."""
    return to_text(context, lambda console: _print_report(console, report, context))


def to_text(context: RenderContext, printing: Callable[[Console], None]) -> str:
    """Return what is printed to a console of the context's width and colour."""
    buffer = io.StringIO()
    console = Console(
        file=buffer,
        width=max(context.width, _MIN_WIDTH),
        force_terminal=context.color,
        color_system="standard" if context.color else None,
        no_color=not context.color,
        markup=False,
        emoji=False,
        highlight=False,
        legacy_windows=False,
        _environ={},
    )
    printing(console)
    return "\n".join(line.rstrip() for line in buffer.getvalue().split("\n"))


def _print_report(console: Console, report: Report, context: RenderContext) -> None:
    sign, style = _VERDICT[report.verdict]
    console.print(Text(f"{sign} {words.heading(report)}", style=style))
    console.print(code_text(words.summary(report)))
    since = words.since_last(report, context.previous)
    if since is not None:
        console.print(since)
    console.print()
    if not words.is_untouched(report):
        rows = read_checklist(report, context.now.date())
        _print_findings(console, report, [(r, r.finding) for r in rows if r.finding is not None])
        _print_rows(console, [row for row in rows if row.finding is None])
    if isinstance(report.rehearsal, Rehearsal):
        _print_revisions(console, report, report.rehearsal)
        _print_notes(console, report.rehearsal.project)
    if report.to_save is not None:
        _print_block(console, report.to_save)
    console.print(code_text(words.where(report, context.head_sha)), style="dim")
    if context.waiver_url is not None and report.verdict is Verdict.FAIL:
        console.print(Text(f"How to waive a finding: {context.waiver_url}"), soft_wrap=True)


def _print_findings(console: Console, report: Report, rows: list[tuple[Row, Finding]]) -> None:
    """Print findings with their exact place; errors with their remedy, each remedy once."""
    told: set[str] = set()
    for row, finding in rows[:_MAX_FINDINGS]:
        console.print(_titled(row))
        place = _place(finding)
        if place:
            console.print(Text(" " * _INDENT) + place, soft_wrap=True)
        console.print(indented(code_text(row.detail)))
        severe = finding.waiver is None and words.severity_of(report, finding) is Severity.ERROR
        if severe and finding.remedy.strip() and finding.remedy not in told:
            told.add(finding.remedy)
            print_remedy(console, finding.remedy)
        console.print()
    if len(rows) > _MAX_FINDINGS:
        left = words.count(len(rows) - _MAX_FINDINGS, "more finding")
        console.print(f"{left} not listed here; `--format json` has all.\n")


def print_remedy(console: Console, remedy: str, title: str = "How to fix") -> None:
    """Print a remedy with its prose wrapped and its code as it is."""
    console.print(indented(Text(title, style="bold")))
    for block in remedies.read_blocks(remedy):
        if block.language is None:
            console.print(indented(code_text(block.text)))
            continue
        for line in block.text.split("\n"):  # never wrapped: it is there to be copied
            console.print(Text(" " * (_INDENT + 4) + line, style="cyan"), soft_wrap=True)


def _print_notes(console: Console, notes: tuple[str, ...]) -> None:
    if notes:
        console.print("How the project was run:")
        for note in notes:
            console.print(indented(code_text(words.one_line(note))), style="dim")
        console.print()


def _print_block(console: Console, block: str) -> None:
    console.print(code_text(words.TO_SAVE))
    for line in block.splitlines():  # never wrapped: it is there to be copied
        console.print(Text(" " * _INDENT + words.visible(line), style="cyan"), soft_wrap=True)
    console.print()


def _print_rows(console: Console, rows: list[Row]) -> None:
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0), expand=False)
    table.add_column(no_wrap=True)
    table.add_column(ratio=3, overflow="fold")
    table.add_column(ratio=4, overflow="fold")
    for row in _shortened(rows):
        table.add_row(_marked(row.mark), code_text(row.title), code_text(row.detail))
    if table.row_count:
        console.print(table)
        console.print()


def _print_revisions(console: Console, report: Report, rehearsal: Rehearsal) -> None:
    """Print one line a revision: up, down, up, and how much there is to say of it."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold", expand=True)
    table.add_column("Revision", no_wrap=True)
    for step in ("up", "down", "up again"):
        table.add_column(step, no_wrap=True, justify="right")
    table.add_column("findings", no_wrap=True)
    table.add_column("", overflow="ellipsis", no_wrap=True, style="dim", ratio=1)
    for rehearsed in rehearsal.revisions[:_MAX_REVISIONS]:
        revision = rehearsed.revision
        found = [f for f in report.findings if f.revision == revision.revision]
        if report.changes.sections:  # two histories may have one identifier
            found = [f for f in found if f.path == revision.path]
        table.add_row(
            words.clipped(words.one_line(revision.revision), 32),
            *map(_step, (rehearsed.upgrade, rehearsed.downgrade, rehearsed.reupgrade)),
            str(len(found)) if found else "none",
            words.one_line(revision.message),
        )
    if table.row_count:
        console.print(table)
        left = len(rehearsal.revisions) - _MAX_REVISIONS
        if left > 0:
            console.print(f"{words.count(left, 'more revision')} not listed here.")
        console.print()


def _step(step: Step) -> str:
    if step.outcome is Outcome.COMPLETED:
        return words.seconds(step.seconds)
    return "failed" if step.outcome is Outcome.FAILED else "not run"


def _shortened(rows: list[Row]) -> list[Row]:
    """Return the rows with the ninth and later passed checks counted in one."""
    passed = [row for row in rows if row.mark is Mark.PASSED]
    if len(passed) <= _MAX_PASSED + 1:
        return rows
    first = rows.index(passed[0])
    more = words.count(len(passed) - _MAX_PASSED, "more check")
    after = rows[first + len(passed) :]
    return [*rows[: first + _MAX_PASSED], Row(Mark.PASSED, more, ""), *after]


def _marked(mark: Mark) -> Text:
    return Text(f"{mark.sign} {mark.word}", style=_STYLE[mark])


def _titled(row: Row) -> Text:
    return Text.assemble(_marked(row.mark), "  ", code_text(row.title))


def _place(finding: Finding) -> Text:
    location = words.location(finding)
    revision = words.one_line(finding.revision or "")
    between = "  " if location and revision else ""
    return Text.assemble((location or "", "underline"), between, revision)


def indented(shown: RenderableType) -> Padding:
    """Return what stands below that which it belongs to."""
    return Padding(shown, (0, 0, 0, _INDENT))


def code_text(text: str) -> Text:
    """Return text with its code set off; the backticks stay, so that it can be copied."""
    parts = words.spans(words.visible(text))
    return Text.assemble(*(((f"`{p}`", "bold") if is_code else p) for p, is_code in parts))
