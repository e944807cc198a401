"""The plan of a release as the person at the terminal reads it."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from gatekeeper.model import Attestation, Direction, NotRehearsed, Outcome, Verdict
from gatekeeper.release.plan import Plan, make_plan
from gatekeeper.release.terminal import render
from tests.build import (
    a_change_set,
    a_rehearsal,
    a_rehearsed,
    a_revision,
    a_statement,
    a_step,
)
from tests.reporters.samples import CONTEXT, a_report

FOLDER = Path("my plans/plan")
REVISION = a_revision("b002", "a001", message="add *email* to <users> | all")
SKIPPED = a_step("b002", direction=Direction.DOWNGRADE, outcome=Outcome.SKIPPED, reason="it raises")
LOCKED = a_statement("ALTER TABLE users ADD email text", locks={"public.users": "ACCESS_EXCLUSIVE"})
REHEARSED = a_rehearsed(
    REVISION,
    upgrade=a_step("b002", LOCKED, seconds=1.3, ended_transaction=False),
    downgrade=SKIPPED,
)
REPORT = a_report(
    Verdict.PASS,
    changes=a_change_set(REVISION),
    rehearsal=a_rehearsal(REHEARSED),
    attestations=(Attestation("team-notified", "Team notified", ("production",), ticked=False),),
    seconds=2.5,
)
PLAN = replace(
    make_plan(REPORT, "v1.1.0", "2" * 40, "v1.0.0"),
    window=("it rewrites `public.users`",),
)
TEXT = """\
Release `v1.1.0`: the database
Rehearsed without an error; the upgrade took 1.3 s there.
1 revision since `v1.0.0`, from `a001` to `b002`, commit 2222222.

`b002` add *email* to <users> | all
    Upgrade: 1.3 s · Holds up: reads and writes of `public.users` · Drops: nothing · If it fails:
    nothing is left · Way back: not proven

Maintenance window
    Needed, because:
    - it rewrites `public.users`

Way back
    Not proven:
    - `b002`: its downgrade was not run: it raises

Yours to confirm, each by `--attested ID` of the deploy
    ID             What           Needed for
    team-notified  Team notified  production

Rehearsed on PostgreSQL 17.5 (installed), from `a001` to `b002`, commit 2222222, 2.5 s.
The plan, its SQL and the report are in my plans/plan.
It is carried out by:
    gatekeeper deploy --environment NAME --plan 'my plans/plan/plan.json' --record DIR
"""
UNTOUCHED = make_plan(
    a_report(
        Verdict.PASS,
        changes=a_change_set(),
        rehearsal=NotRehearsed("no revision is new", is_failure=False),
        findings=(),
    ),
    "v1.2.0",
    "3" * 40,
    None,
)
TEXT_OF_UNTOUCHED = """\
Release `v1.2.0`: the database
The release has no migration.
0 revisions in the first release, from `a001` to `a001`, commit 3333333.

The plan, its SQL and the report are in my plans/plan.
It is carried out by:
    gatekeeper deploy --environment NAME --plan 'my plans/plan/plan.json' --record DIR
"""
TEXTS = [
    pytest.param(PLAN, TEXT, id="a revision"),
    pytest.param(UNTOUCHED, TEXT_OF_UNTOUCHED, id="no revision"),
]


@pytest.mark.parametrize(("plan", "text"), TEXTS)
def test_whole_text(plan: Plan, text: str) -> None:
    assert render(plan, CONTEXT, FOLDER) == text


@pytest.mark.parametrize(("plan", "text"), TEXTS)
def test_colour_adds_only_colour(plan: Plan, text: str) -> None:
    coloured = render(plan, replace(CONTEXT, color=True), FOLDER)
    plain = re.sub(r"\x1b\[[0-9;]*m", "", coloured)
    assert plain != coloured
    assert [line.rstrip() for line in plain.split("\n")] == text.split("\n")


def test_what_is_to_be_given_to_a_deploy_is_never_cut() -> None:
    item = Attestation("runbook-" + "and-more-" * 4 + "read", "It was " + "read " * 20, (), False)
    plan = replace(PLAN, report=replace(REPORT, attestations=(item,)))
    assert f"    {item.id}  It was" in render(plan, replace(CONTEXT, width=70), FOLDER)


def test_what_is_not_to_be_deployed_is_not_offered() -> None:
    failed = replace(PLAN, report=replace(REPORT, verdict=Verdict.FAIL))
    text = render(failed, CONTEXT, FOLDER)
    assert text.split("\n")[1].startswith("Not to be deployed. ")
    assert text.endswith("\nThe plan, its SQL and the report are in my plans/plan.\n")
