from __future__ import annotations

from dataclasses import replace

import pytest

from gatekeeper.errors import ExitCode
from gatekeeper.model import Condition, Diagnosis
from gatekeeper.reporters.diagnoses import render_diagnoses
from tests.reporters.samples import CONTEXT

OK = Diagnosis("Policy", Condition.OK, "the built-in `recommended`")
HINT = Diagnosis("Database URL", Condition.OK, "`DB` is unset", "Set it:\n\n    export DB=…")
PROBLEM = Diagnosis(
    "One head",
    Condition.PROBLEM,
    "There are 2 heads:\n`a`, `b`",
    'Run:\n\n    alembic merge -m "merge heads" a b',
    ExitCode.FAIL,
)
SKIPPED = Diagnosis("Models", Condition.NOT_LOOKED_AT, "“One head” has a problem")

NOTHING = """\
✓ ok  Policy  the built-in `recommended`

Nothing stops `gatekeeper check` here.
"""
ALL = """\
✓ ok             Policy        the built-in `recommended`
✓ ok             Database URL  `DB` is unset
✗ problem        One head      There are 2 heads: `a`, `b`
– not looked at  Models        “One head” has a problem

Database URL
    How to fix
    Set it:
        export DB=…

One head
    How to fix
    Run:
        alembic merge -m "merge heads" a b

1 problem to mend.
"""


@pytest.mark.parametrize(
    ("diagnoses", "text"), [((OK,), NOTHING), ((OK, HINT, PROBLEM, SKIPPED), ALL)]
)
def test_whole_text(diagnoses: tuple[Diagnosis, ...], text: str) -> None:
    assert render_diagnoses(diagnoses, CONTEXT) == text


def test_what_a_project_says_does_not_reach_the_terminal_as_it_is() -> None:
    nasty = replace(PROBLEM, detail="\x1b]0;x\x07[bold]y[/bold]", remedy="\x1b[2J")
    text = render_diagnoses((nasty,), CONTEXT)
    assert "\x1b" not in text
    assert "[bold]y[/bold]" in text
