"""What `gatekeeper doctor` found: a line for each thing, then what to do about it."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from gatekeeper.model import Condition, Diagnosis
from gatekeeper.reporters import words
from gatekeeper.reporters.context import RenderContext
from gatekeeper.reporters.terminal import code_text, print_remedy, to_text

_MARK = {
    Condition.OK: ("✓", "green"),
    Condition.PROBLEM: ("✗", "bold red"),
    Condition.NOT_LOOKED_AT: ("–", "dim"),
}


def render_diagnoses(diagnoses: Sequence[Diagnosis], context: RenderContext) -> str:
    """Return the text for a terminal of the context's width."""
    return to_text(context, lambda console: _print(console, diagnoses))


def _print(console: Console, diagnoses: Sequence[Diagnosis]) -> None:
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(ratio=1, overflow="fold")
    for each in diagnoses:
        mark, style = _MARK[each.condition]
        table.add_row(
            Text(f"{mark} {each.condition.value}", style=style),
            each.subject,
            code_text(words.one_line(each.detail)),
        )
    console.print(table)
    for each in diagnoses:
        if each.remedy is not None:
            console.print()
            console.print(Text(each.subject, style="bold"))
            print_remedy(console, each.remedy)
    problems = sum(each.condition is Condition.PROBLEM for each in diagnoses)
    console.print()
    if problems:
        console.print(f"{words.count(problems, 'problem')} to mend.", style="bold")
    else:
        console.print("Nothing stops `gatekeeper check` here.", style="bold")
