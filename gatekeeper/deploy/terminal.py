"""The record of a deploy, or of a rollback, for the person at the terminal who waits for it."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from gatekeeper.deploy.model import DeployOutcome, StepName, StepOutcome, StepRecord
from gatekeeper.deploy.record import Record
from gatekeeper.reporters import words
from gatekeeper.reporters.context import RenderContext
from gatekeeper.reporters.terminal import code_text, indented, print_remedy, to_text

_MARK = {
    StepOutcome.PASSED: ("✓", "green"),
    StepOutcome.FAILED: ("✗", "bold red"),
    StepOutcome.SKIPPED: ("–", "dim"),
}
_STYLE = {DeployOutcome.DEPLOYED: "bold green", DeployOutcome.STOPPED: "bold red"}
# Each step is a table of its own, with lines in between; their columns are as wide.
_OUTCOMES = max(len(outcome.value) for outcome in StepOutcome) + 2
_STEPS = max(len(step.value) for step in StepName)
_SECONDS = len("under 1 ms")


def render(record: Record, context: RenderContext, page: Path | None) -> str:
    """Return the text for a terminal; `page` is where the record lies, None where nowhere."""
    return to_text(context, lambda console: _print_record(console, record, page))


def _print_record(console: Console, record: Record, page: Path | None) -> None:
    where = f"{words.code(record.tag)} on {words.code(record.environment)}"
    console.print(code_text(f"{where}: {record.outcome.value}"), style="bold")
    console.print(code_text(record.leads))
    console.print()
    for step in record.steps:
        _print_step(console, step, is_told=step is record.failed)
    console.print()
    # What it comes to stands at the end, where one looks when it is over.
    console.print(Text(record.came_of_it, style=_STYLE.get(record.outcome, "bold yellow")))
    if record.failure is not None:
        console.print(code_text(record.failure.sentence))
        for what, fix in record.failure.problems:
            console.print()
            console.print(code_text(f"✗ {what}."))
            print_remedy(console, fix)
    if record.to_do is not None:
        print_remedy(console, record.to_do, "Next")
    if page is not None:
        console.print()
        console.print(code_text(f"The record is {page}"), style="dim", soft_wrap=True)


def _print_step(console: Console, step: StepRecord, is_told: bool) -> None:
    """Print a step with what it said; what it failed by is told at the end, where `is_told`."""
    mark, style = _MARK[step.outcome]
    is_skipped = step.outcome is StepOutcome.SKIPPED
    reason = "" if step.reason is None else words.one_line(step.reason)
    line = Table.grid(padding=(0, 2, 0, 0), expand=True)
    line.add_column(width=_OUTCOMES)
    line.add_column(width=_STEPS)
    line.add_column(width=_SECONDS, justify="right")
    line.add_column(ratio=1, overflow="fold")
    line.add_row(
        Text(f"{mark} {step.outcome.value}", style=style),
        step.step.value,
        "" if is_skipped else words.seconds(step.seconds),
        code_text("see below" if is_told else reason if is_skipped else ""),
    )
    console.print(line)
    if reason and not is_told and not is_skipped:
        console.print(indented(code_text(reason)))
    if not (is_told and step.details.get("problems")):
        for text in step.output:
            console.print(indented(code_text(text)))
