from __future__ import annotations

import pytest

from gatekeeper.checks import enum_add_then_use
from gatekeeper.model import ChangeSet, Finding, Outcome, Rehearsal, StepError
from tests.build import a_change_set, a_rehearsal, a_rehearsed, a_revision, a_statement, a_step
from tests.checks.ask import a_finding, adding, ask, remedies, sent

USE = "UPDATE orders SET status = 'lost'"
UNSAFE = 'unsafe use of new value "lost" of enum type ticketstatus'
AS_SENT = (
    f"{UNSAFE}\nLINE 1: UPDATE orders SET status = 'lost'\n                                   ^"
)
ERROR = StepError(
    "UnsafeNewEnumValueUsage", AS_SENT, "55P04", USE, "migrations/versions/b002.py", 16
)
ADD = a_statement("ALTER TYPE ticketstatus ADD VALUE 'lost'", committed=False)
OUTSIDE = a_statement("ALTER TYPE ticketstatus ADD VALUE 'lost'", in_transaction=False)
NOT_MEANT = (
    a_statement("ALTER TYPE ticketstatus ADD VALUE 'found'", committed=False),
    a_statement("ALTER TYPE mood ADD VALUE 'lost'", committed=False),
    a_statement("ALTER TYPE ticketstatus ADD VALUE 'lost'", committed=True),
)
FAILED = a_step("b002", *NOT_MEANT, ADD, outcome=Outcome.FAILED, error=ERROR)
OTHER = a_step("b002", outcome=Outcome.FAILED)


@pytest.mark.parametrize(
    ("rehearsal", "skipped"),
    [
        (sent(ADD), []),
        (sent(OUTSIDE, a_statement(USE)), []),
        pytest.param(a_rehearsal(a_rehearsed(upgrade=OTHER)), ["the upgrade of `b002` failed"],
                     id="another failure"),
    ],
)  # fmt: skip
def test_clean(rehearsal: Rehearsal, skipped: list[str]) -> None:
    assert ask(enum_add_then_use, adding(), rehearsal) == ([], skipped)


def used(where: str) -> Finding:
    return a_finding(
        "enum-add-then-use",
        f"`b002` used a label that {where} had added and not committed: "
        f"UnsafeNewEnumValueUsage: {UNSAFE}",
        16,
    )


TWO = a_change_set(a_revision("a002"), a_revision())
BEFORE = a_step("a002", a_statement(ADD.sql, "a002", committed=False))
COMMITTED = a_step("a002", a_statement(ADD.sql, "a002", committed=True))


@pytest.mark.parametrize(
    ("changes", "rehearsal", "expected"),
    [
        pytest.param(
            adding(), a_rehearsal(a_rehearsed(upgrade=FAILED)), used("`b002`"), id="one revision"
        ),
        pytest.param(
            TWO,
            a_rehearsal(
                a_rehearsed(a_revision("a002"), upgrade=BEFORE),
                a_rehearsed(),
                deploy=(BEFORE, a_step("b002", outcome=Outcome.FAILED, error=ERROR)),
            ),
            used("`a002`"),
            id="two revisions in one transaction",
        ),
        pytest.param(
            TWO,
            a_rehearsal(
                a_rehearsed(a_revision("a002"), upgrade=COMMITTED),
                a_rehearsed(),
                deploy=(COMMITTED, FAILED),
            ),
            used("`b002`"),
            id="what was committed is not to blame",
        ),
        pytest.param(
            adding(),
            a_rehearsal(
                a_rehearsed(), deploy=(a_step("b002", outcome=Outcome.FAILED, error=ERROR),)
            ),
            used("the same transaction"),
            id="added by other means",
        ),
    ],
)
def test_used(changes: ChangeSet, rehearsal: Rehearsal, expected: Finding) -> None:
    assert ask(enum_add_then_use, changes, rehearsal) == ([expected], [])


def test_the_remedy_can_be_pasted() -> None:
    rehearsal = a_rehearsal(a_rehearsed(upgrade=FAILED))
    assert remedies(enum_add_then_use, adding(), rehearsal) == [
        "In a revision before the one that uses the label:\n\n"
        "    with op.get_context().autocommit_block():\n"
        "        op.execute(\"ALTER TYPE ticketstatus ADD VALUE IF NOT EXISTS 'lost'\")"
    ]
