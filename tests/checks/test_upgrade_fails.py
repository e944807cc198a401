from __future__ import annotations

from dataclasses import replace

import pytest

from gatekeeper.checks import upgrade_fails
from gatekeeper.model import (
    Basis,
    ChangeSet,
    Finding,
    Outcome,
    Rehearsal,
    RevisionProblem,
    Step,
    StepError,
)
from tests.build import a_change_set, a_rehearsal, a_rehearsed, a_revision, a_statement, a_step
from tests.checks.ask import a_finding, adding, ask, remedies, sent

ERROR = StepError(
    type="NotNullViolation",
    message='column "currency" of relation "orders" contains null values\nLINE 1: ALTER\n   ^\n'
    "HINT:  Try again.",
    sqlstate="23502",
    sql="ALTER TABLE orders ADD COLUMN currency TEXT NOT NULL",
    path="migrations/versions/b002.py",
    line=15,
)
FAILED = a_step("b002", outcome=Outcome.FAILED, error=ERROR)
SKIPPED = a_step("b002", outcome=Outcome.SKIPPED, reason="`a002` failed before it")
PROBLEM = RevisionProblem("migrations/versions/c.py", 3, "Two files say `b002`", "Rename one")


@pytest.mark.parametrize(
    ("changes", "rehearsal", "skipped"),
    [
        pytest.param(adding(), sent(), [], id="upgrades"),
        pytest.param(adding(), None, [], id="nothing ran"),
        pytest.param(a_change_set(), a_rehearsal(), [], id="nothing is new"),
        pytest.param(
            adding(),
            a_rehearsal(a_rehearsed(upgrade=SKIPPED)),
            ["the upgrade of `b002` was not run: `a002` failed before it"],
            id="not run",
        ),
        pytest.param(adding(), a_rehearsal(), ["`b002` was not rehearsed"], id="left out"),
        pytest.param(
            a_change_set(a_revision("c003")),
            a_rehearsal(a_rehearsed(upgrade=FAILED), deploy=(a_step("c003"),)),
            [],
            id="another revision's failure",
        ),
    ],
)
def test_clean(changes: ChangeSet, rehearsal: Rehearsal | None, skipped: list[str]) -> None:
    assert ask(upgrade_fails, changes, rehearsal) == ([], skipped)


FAILURE = 'NotNullViolation: column "currency" of relation "orders" contains null values'


@pytest.mark.parametrize(
    ("step", "stairway", "expected"),
    [
        pytest.param(
            FAILED,
            FAILED,
            a_finding("upgrade-fails", f"The upgrade of `b002` failed: {FAILURE}", 15),
            id="both",
        ),
        pytest.param(
            a_step("b002"),
            FAILED,
            a_finding("upgrade-fails", f"The upgrade of `b002` failed: {FAILURE}", 15),
            id="alone only",
        ),
        pytest.param(
            FAILED,
            a_step("b002"),
            a_finding(
                "upgrade-fails",
                "`b002` failed when the new revisions ran in one go, though it runs alone: "
                f"{FAILURE}",
                15,
            ),
            id="in one go only",
        ),
        pytest.param(
            replace(FAILED, error=replace(ERROR, path=None, line=None)),
            FAILED,
            a_finding("upgrade-fails", f"The upgrade of `b002` failed: {FAILURE}", 14),
            id="somewhere else: the function's line",
        ),
        pytest.param(
            a_step(
                "b002",
                a_statement(ERROR.sql or "", end_line=19, ordinal=1),
                outcome=Outcome.FAILED,
                error=ERROR,
            ),
            FAILED,
            a_finding(
                "upgrade-fails",
                f"The upgrade of `b002` failed: {FAILURE}",
                statement=1,
                end_line=19,
            ),
            id="the statement was recorded",
        ),
    ],
)
def test_failures(step: Step, stairway: Step, expected: Finding) -> None:
    rehearsal = a_rehearsal(a_rehearsed(upgrade=stairway), deploy=(step,))
    assert ask(upgrade_fails, adding(), rehearsal) == ([expected], [])


@pytest.mark.parametrize("rehearsal", [None, sent()])
def test_a_file_that_alembic_cannot_load(rehearsal: Rehearsal | None) -> None:
    changes = a_change_set(a_revision(), problems=(PROBLEM,))
    expected = Finding(
        check="upgrade-fails",
        message="Two files say `b002`",
        remedy="",
        basis=Basis.READ,
        path="migrations/versions/c.py",
        line=3,
        end_line=3,
    )
    assert ask(upgrade_fails, changes, rehearsal) == ([expected], [])
    assert remedies(upgrade_fails, changes, rehearsal) == ["Rename one"]


def test_the_remedy_follows_the_error() -> None:
    rehearsal = a_rehearsal(a_rehearsed(upgrade=FAILED))
    assert remedies(upgrade_fails, adding(), rehearsal) == [
        "Rows hold NULL there: give the column a `server_default`, or fill it before "
        "`op.alter_column(…, nullable=False)`."
    ]


def test_the_remedy_for_a_role_that_is_there_tells_whose_roles_are() -> None:
    error = replace(ERROR, message='role "web-app" already exists', sqlstate="42710")
    rehearsal = a_rehearsal(a_rehearsed(upgrade=replace(FAILED, error=error)))
    assert remedies(upgrade_fails, adding(), rehearsal) == [
        "Roles belong to the server, for all its databases: this one was there before the run, or "
        "an earlier revision makes it. Make it only where it is missing:\n\n"
        """    op.execute('DO $$BEGIN CREATE ROLE "web-app"; EXCEPTION WHEN duplicate_object """
        """THEN NULL; END$$')"""
    ]
