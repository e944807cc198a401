from __future__ import annotations

import datetime as dt

import pytest

from gatekeeper.model import CheckResult, Severity, Status, Verdict
from gatekeeper.reporters.checklist import Mark, Row, read_checklist
from tests.reporters.samples import CHECKS, SAMPLES, a_finding, a_report

TODAY = dt.date(2026, 11, 24)
RUNS, DRIFT = CHECKS[0], CHECKS[-1]
FAILS = a_finding("upgrade-fails", "It\nfails.")


@pytest.mark.parametrize(
    ("result", "row"),
    [
        (
            CheckResult(RUNS, Severity.ERROR, Status.PASSED),
            Row(Mark.PASSED, "Every upgrade runs", "observed"),
        ),
        (
            CheckResult(CHECKS[4], Severity.ERROR, Status.PASSED),
            Row(Mark.PASSED, "Every revision has a downgrade", "read"),
        ),
        (
            CheckResult(DRIFT, Severity.WARNING, Status.SKIPPED, "no `target_metadata`"),
            Row(Mark.NOT_RUN, "Models match the schema", "no `target_metadata`"),
        ),
        (
            CheckResult(DRIFT, Severity.WARNING, Status.SKIPPED),
            Row(Mark.NOT_RUN, "Models match the schema", "the reason is not known"),
        ),
        (
            CheckResult(DRIFT, Severity.WARNING, Status.ERRORED, "it took too long"),
            Row(Mark.UNKNOWN, "Models match the schema", "it took too long"),
        ),
        (
            CheckResult(DRIFT, Severity.WARNING, Status.FAILED),
            Row(Mark.WARNING, "Models match the schema", "no finding tells more"),
        ),
        (
            CheckResult(RUNS, Severity.ERROR, Status.FAILED, "it raised"),
            Row(Mark.FAILED, "Every upgrade runs", "it raised"),
        ),
    ],
)
def test_the_row_of_a_check(result: CheckResult, row: Row) -> None:
    report = a_report(Verdict.PASS, checks=(result,))
    assert read_checklist(report, TODAY) == (row,)


def test_a_check_that_failed_and_could_not_see_all_has_two_rows() -> None:
    result = CheckResult(RUNS, Severity.ERROR, Status.FAILED, "`c003` was not upgraded")
    report = a_report(Verdict.FAIL, checks=(result,), findings=(FAILS,))
    assert read_checklist(report, TODAY) == (
        Row(Mark.FAILED, "Every upgrade runs", "It fails.", FAILS),
        Row(Mark.NOT_RUN, "Every upgrade runs", "in part: `c003` was not upgraded"),
    )


def test_checks_that_share_a_reason_share_a_row() -> None:
    results = [CheckResult(c, Severity.ERROR, Status.SKIPPED, "no server") for c in CHECKS[:2]]
    report = a_report(Verdict.PASS, checks=tuple(results))
    assert read_checklist(report, TODAY) == (
        Row(Mark.NOT_RUN, "Every upgrade runs · Every downgrade runs", "no server"),
    )


@pytest.mark.parametrize("sample", SAMPLES)
def test_rows_stand_in_the_order_of_their_marks(sample: str) -> None:
    marks = [row.mark for row in read_checklist(SAMPLES[sample](), TODAY)]
    assert marks == sorted(marks, key=list(Mark).index)
