from __future__ import annotations

import pytest

from gatekeeper.checks import downgrade_fails
from gatekeeper.model import Body, Direction, Finding, Function, Outcome, Revision, Step, StepError
from tests.build import a_change_set, a_rehearsal, a_rehearsed, a_revision, a_step
from tests.checks.ask import a_downgrade, a_finding, ask, remedies

ERROR = StepError(
    type="UndefinedObject",
    message='constraint "ck" of relation "orders" does not exist',
    sqlstate="42704",
    sql="ALTER TABLE orders DROP CONSTRAINT ck",
    path="migrations/versions/b002.py",
    line=25,
)
NO_NAME = StepError(
    "CompileError",
    "Can't emit DROP CONSTRAINT: it has no name",
    None,
    None,
    "migrations/versions/b002.py",
    25,
)
FAILED = a_downgrade(outcome=Outcome.FAILED, error=ERROR)


def of_body(body: Body) -> Revision:
    return a_revision(downgrade=Function(23, 24, body))


@pytest.mark.parametrize(
    ("revision", "step", "skipped"),
    [
        (a_revision(), a_downgrade(), []),
        pytest.param(
            of_body(Body.RAISES), FAILED, ["`b002` refuses its downgrade on purpose"], id="raises"
        ),
        pytest.param(a_revision(downgrade=None), FAILED, ["`b002` has no downgrade"], id="missing"),
        pytest.param(
            a_revision(),
            a_step("b002", direction=Direction.DOWNGRADE, outcome=Outcome.SKIPPED, reason="why"),
            ["the downgrade of `b002` was not run: why"],
            id="not run",
        ),
    ],
)
def test_clean(revision: Revision, step: Step, skipped: list[str]) -> None:
    rehearsal = a_rehearsal(a_rehearsed(revision, downgrade=step))
    assert ask(downgrade_fails, a_change_set(revision), rehearsal) == ([], skipped)


@pytest.mark.parametrize(
    ("revision", "step", "expected"),
    [
        (
            a_revision(),
            FAILED,
            a_finding(
                "downgrade-fails",
                "The downgrade of `b002` failed: UndefinedObject: "
                'constraint "ck" of relation "orders" does not exist',
                25,
            ),
        ),
        pytest.param(
            of_body(Body.EMPTY),
            a_downgrade(outcome=Outcome.FAILED, reason="timed out"),
            a_finding("downgrade-fails", "The downgrade of `b002` failed: timed out", 23),
            id="without an error",
        ),
    ],
)
def test_failures(revision: Revision, step: Step, expected: Finding) -> None:
    rehearsal = a_rehearsal(a_rehearsed(revision, downgrade=step))
    assert ask(downgrade_fails, a_change_set(revision), rehearsal) == ([expected], [])


def test_an_unnamed_constraint_has_a_remedy_of_its_own() -> None:
    revision = a_revision()
    step = a_downgrade(outcome=Outcome.FAILED, error=NO_NAME)
    rehearsal = a_rehearsal(a_rehearsed(revision, downgrade=step))
    assert remedies(downgrade_fails, a_change_set(revision), rehearsal) == [
        "Name the constraint in `upgrade()` and `downgrade()`, or give the models' MetaData a "
        "`naming_convention`; `op.drop_constraint(None, …)` cannot be run."
    ]
