"""The record of a deploy as the person at the terminal reads it."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from rich.cells import cell_len

from gatekeeper.deploy.model import DeployOutcome, StepName, StepOutcome
from gatekeeper.deploy.record import Record
from gatekeeper.deploy.terminal import render
from tests.deploy.records import RECORD, REFUSED, step
from tests.reporters.samples import CONTEXT

ANSI = re.compile(r"\x1b\[[0-9;]*m")
PAGE = Path("record/record.md")

DEPLOYED = replace(
    RECORD,
    outcome=DeployOutcome.DEPLOYED,
    from_revisions=(),
    steps=(
        step(StepName.PREFLIGHT, seconds=0.02),
        step(
            StepName.MAINTENANCE_ON,
            StepOutcome.SKIPPED,
            "a window is needed, and the policy has no `maintenance` commands",
        ),
        step(
            StepName.SMOKE_TEST, seconds=75, output=("2 passed | *all* of <them> in my_test [1]",)
        ),
    ),
    next=None,
)
TEXT_OF_DEPLOYED = """\
`v1.1.0` on `staging`: deployed
The release leads from an empty database to `a002`, commit 0123456.

✓ passed   preflight               20 ms
– skipped  maintenance-on                 a window is needed, and the policy has no `maintenance`
                                          commands
✓ passed   smoke-test         1 min 15 s
    2 passed | *all* of <them> in my_test [1]

Deployed and verified.

The record is record/record.md
"""
TEXT_OF_RECORD = """\
`v1.1.0` on `staging`: rolled-back
The release leads from `a001` to `a002`, commit 0123456. Maintenance lasted 10.5 s.

✓ passed   maintenance-on          1.0 s
✓ passed   apply                   0.2 s
    ALTER TABLE a ADD b text
✗ failed   smoke-test              1.0 s  see below
– skipped  watch                          smoke-test failed
✓ passed   maintenance-off         0.5 s

Taken back by downgrade, which was verified.
What failed: smoke-test: `pytest` ended with 1
    Next
    Mend the smoke test.

The record is record/record.md
"""
TEXT_OF_REFUSED = """\
`v1.1.0` on `staging`: refused
The release leads from `a001` to `a002`, commit 0123456.

✗ failed   preflight               1.0 s  see below

Refused. The target was not touched.
What failed: preflight, for 2 reasons.

✗ it is a replica.
    How to fix
    Name the primary.

✗ `ix` is invalid.
    How to fix
    Drop `ix`.

The record is record/record.md
"""
NOTHING_TO_DO = replace(
    DEPLOYED,
    from_revisions=("a001",),
    steps=(
        step(StepName.PREFLIGHT, output=("the target is at the release's head already",)),
        step(StepName.VERIFY, StepOutcome.SKIPPED, "there was nothing to do"),
    ),
)
TEXT_OF_NOTHING = """\
`v1.1.0` on `staging`: deployed
The release leads from `a001` to `a002`, commit 0123456.

✓ passed   preflight               1.0 s
    the target is at the release's head already
– skipped  verify                         there was nothing to do

There was nothing to do: the target stands at the release's head.

The record is record/record.md
"""
STOPPED = replace(
    RECORD,
    outcome=DeployOutcome.STOPPED,
    steps=(
        step(StepName.APPLY, StepOutcome.FAILED, "the server is gone. Start it"),
        step(StepName.ROLLBACK, StepOutcome.FAILED, "the way back is not proven"),
    ),
    next="Find out what is there:\n\n    SELECT 1;",
)
TEXT_OF_STOPPED = """\
`v1.1.0` on `staging`: stopped
The release leads from `a001` to `a002`, commit 0123456.

✗ failed   apply                   1.0 s  see below
✗ failed   rollback                1.0 s
    the way back is not proven

Stopped. A person is needed.
What failed: apply: the server is gone. Start it
    Next
    Find out what is there:
        SELECT 1;

The record is record/record.md
"""
TEXTS = [
    pytest.param(DEPLOYED, TEXT_OF_DEPLOYED, id="deployed"),
    pytest.param(NOTHING_TO_DO, TEXT_OF_NOTHING, id="nothing to do"),
    pytest.param(RECORD, TEXT_OF_RECORD, id="rolled back"),
    pytest.param(REFUSED, TEXT_OF_REFUSED, id="refused"),
    pytest.param(STOPPED, TEXT_OF_STOPPED, id="stopped"),
]


@pytest.mark.parametrize(("record", "text"), TEXTS)
def test_whole_text(record: Record, text: str) -> None:
    assert render(record, CONTEXT, PAGE) == text


@pytest.mark.parametrize(("record", "text"), TEXTS)
def test_colour_adds_only_colour(record: Record, text: str) -> None:
    coloured = render(record, replace(CONTEXT, color=True), PAGE)
    assert ANSI.search(coloured)
    assert [line.rstrip() for line in ANSI.sub("", coloured).split("\n")] == text.split("\n")


@pytest.mark.parametrize("width", [60, 80, 160])
def test_nothing_is_wider_than_the_terminal(width: int) -> None:
    text = render(DEPLOYED, replace(CONTEXT, width=width), PAGE)
    assert max(map(cell_len, text.split("\n"))) <= width


def test_a_record_that_is_not_kept_is_not_named() -> None:
    assert render(DEPLOYED, CONTEXT, None).endswith("\n\nDeployed and verified.\n")


def test_what_a_command_says_does_not_reach_the_terminal_as_it_is() -> None:
    nasty = step(StepName.SMOKE_TEST, output=("\x1b]0;x\x07[bold]y[/bold]",))
    text = render(replace(DEPLOYED, steps=(nasty,)), CONTEXT, PAGE)
    assert "\x1b" not in text
    assert "[bold]y[/bold]" in text
