from __future__ import annotations

import pytest

from gatekeeper.checks import silently_not_applied
from gatekeeper.model import Finding, Outcome, Step
from tests.build import a_rehearsal, a_rehearsed, a_statement, a_step
from tests.checks.ask import a_downgrade, a_finding, adding, ask, numbered, remedies

GOOD = a_step("b002")
COMMITS = 'def upgrade():\n    op.add_column("t", c)\n    op.get_bind().commit()\n'


@pytest.mark.parametrize(
    ("deploy", "downgrade", "skipped"),
    [
        (GOOD, a_downgrade(), []),
        pytest.param(
            a_step("b002", outcome=Outcome.FAILED, version_moved=None, committed=None),
            a_downgrade(),
            ["the upgrade of `b002` failed"],
            id="it said that it failed",
        ),
        pytest.param(
            a_step("b002", version_moved=None),
            a_downgrade(),
            ["what the upgrade of `b002` left was not seen"],
            id="not looked at",
        ),
    ],
)
def test_clean(deploy: Step, downgrade: Step, skipped: list[str]) -> None:
    rehearsal = a_rehearsal(a_rehearsed(downgrade=downgrade), deploy=(deploy,))
    assert ask(silently_not_applied, adding(source=COMMITS), rehearsal) == ([], skipped)


@pytest.mark.parametrize(
    ("deploy", "downgrade", "source", "expected"),
    [
        (
            a_step("b002", version_moved=False),
            a_downgrade(),
            "",
            a_finding(
                "silently-not-applied",
                "The upgrade of `b002` ended without an error, but the version table did not move",
            ),
        ),
        (
            a_step("b002", version_moved=False, committed=False),
            a_downgrade(),
            COMMITS,
            a_finding(
                "silently-not-applied",
                "The upgrade of `b002` ended without an error, but nothing of it was committed",
                3,
            ),
        ),
        (
            a_step("b002", left_open=True),
            a_downgrade(),
            "",
            a_finding(
                "silently-not-applied",
                "The upgrade of `b002` ended without an error, but its transaction was still open "
                "when env.py came to its end",
            ),
        ),
        (
            GOOD,
            a_downgrade(committed=False),
            "",
            a_finding(
                "silently-not-applied",
                "The downgrade of `b002` ended without an error, but nothing of it was committed",
                23,
            ),
        ),
    ],
)
def test_green_but_nothing_happened(
    deploy: Step, downgrade: Step, source: str, expected: Finding
) -> None:
    rehearsal = a_rehearsal(a_rehearsed(downgrade=downgrade), deploy=(deploy,))
    assert ask(silently_not_applied, adding(source=source), rehearsal) == ([expected], [])


def test_an_env_py_without_a_transaction_is_thought_of() -> None:
    rehearsal = a_rehearsal(a_rehearsed(upgrade=a_step("b002", committed=False)))
    (remedy,) = remedies(silently_not_applied, adding(), rehearsal)
    begin = "    with context.begin_transaction():\n        context.run_migrations()\n"
    assert begin in remedy
    assert "call `connection.commit()` after the last statement" in remedy


def test_a_transaction_ended_by_text_is_named() -> None:
    statements = numbered(a_statement("ALTER TABLE orders ADD a int"), a_statement("ROLLBACK"))
    rehearsal = a_rehearsal(a_rehearsed(upgrade=a_step("b002", *statements, committed=False)))
    expected = a_finding(
        "silently-not-applied",
        "The upgrade of `b002` ended without an error, but nothing of it was committed",
        statement=2,
    )
    assert ask(silently_not_applied, adding(), rehearsal) == ([expected], [])
    (remedy,) = remedies(silently_not_applied, adding(), rehearsal)
    assert remedy.startswith("Remove `ROLLBACK`: Alembic ends the transaction.")
