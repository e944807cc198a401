"""The SQL of the deploy pass as a script."""

from __future__ import annotations

from dataclasses import replace

from gatekeeper.model import NotRehearsed
from gatekeeper.reporters.script import render_upgrade
from tests.build import a_rehearsal, a_rehearsed, a_statement, a_step
from tests.reporters.samples import SAMPLES

REPORT = SAMPLES["all_passed"]()


def test_statements_stand_under_their_origin() -> None:
    step = a_step(
        "b002",
        a_statement("CREATE TABLE a ()", line=15),
        a_statement("UPDATE a SET x = %(x)s;", line=None, parameters="{'x': 1}"),
    )
    report = replace(REPORT, rehearsal=a_rehearsal(a_rehearsed(), deploy=(step,)))
    assert render_upgrade(report) == (
        "-- b002 line 15\nCREATE TABLE a ();\n\n"
        "-- b002\n-- parameters: {'x': 1}\nUPDATE a SET x = %(x)s;\n"
    )


def test_where_nothing_ran_there_is_no_script() -> None:
    nothing = replace(REPORT, rehearsal=a_rehearsal(a_rehearsed(), deploy=()))
    untouched = replace(REPORT, rehearsal=NotRehearsed("no revision is new", is_failure=False))
    assert (render_upgrade(nothing), render_upgrade(untouched)) == (None, None)
