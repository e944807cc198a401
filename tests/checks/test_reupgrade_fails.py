from __future__ import annotations

from dataclasses import replace

import pytest

from gatekeeper.checks import reupgrade_fails
from gatekeeper.model import (
    Difference,
    DifferenceKind,
    Finding,
    Outcome,
    RehearsedRevision,
    Step,
    StepError,
)
from tests.build import a_rehearsal, a_rehearsed, a_step
from tests.checks.ask import a_finding, adding, ask, remedies

ERROR = StepError(
    "DuplicateObject",
    'type "parcelsize" already exists',
    "42710",
    "CREATE TYPE parcelsize AS ENUM ('s')",
    "migrations/versions/b002.py",
    16,
)
FAILED = a_step("b002", outcome=Outcome.FAILED, error=ERROR)


def refused(sqlstate: str, relation: str | None, constraint: str | None) -> Step:
    """Return a second upgrade that a constraint stopped."""
    path = "migrations/versions/b002.py"
    error = StepError("Error", "refused", sqlstate, "INSERT", path, 16, relation, constraint)
    return a_step("b002", outcome=Outcome.FAILED, error=error)


TYPE_LEFT = Difference(DifferenceKind.LEFT, "type", "public.parcelsize")
COLUMN_MISSING = Difference(DifferenceKind.MISSING, "column", "public.orders.note")


@pytest.mark.parametrize(
    ("rehearsed", "skipped"),
    [
        (a_rehearsed(), []),
        pytest.param(a_rehearsed(round_trip=(TYPE_LEFT,)), [], id="left, but it runs again"),
        (
            a_rehearsed(reupgrade=a_step("b002", outcome=Outcome.SKIPPED, reason="no downgrade")),
            ["the second upgrade of `b002` was not run: no downgrade"],
        ),
    ],
)
def test_clean(rehearsed: RehearsedRevision, skipped: list[str]) -> None:
    assert ask(reupgrade_fails, adding(), a_rehearsal(rehearsed)) == ([], skipped)


@pytest.mark.parametrize(
    ("rehearsed", "expected"),
    [
        pytest.param(
            a_rehearsed(reupgrade=FAILED, round_trip=(TYPE_LEFT, COLUMN_MISSING)),
            a_finding(
                "reupgrade-fails",
                'The second upgrade of `b002` failed: DuplicateObject: type "parcelsize" already '
                "exists. Its downgrade left type `public.parcelsize`",
                16,
            ),
            id="a type is left",
        ),
        pytest.param(
            a_rehearsed(reupgrade=FAILED),
            a_finding(
                "reupgrade-fails",
                'The second upgrade of `b002` failed: DuplicateObject: type "parcelsize" already '
                "exists",
                16,
            ),
            id="neither schema nor rows tell why",
        ),
        pytest.param(
            a_rehearsed(reupgrade=refused("23505", "public.t", "t_pkey")),
            a_finding(
                "reupgrade-fails",
                "The second upgrade of `b002` failed: Error: refused. Its downgrade left rows in "
                "`public.t` that break `t_pkey`",
                16,
            ),
            id="rows are left",
        ),
        pytest.param(
            a_rehearsed(reupgrade=refused("23505", None, None), round_trip=(TYPE_LEFT,)),
            a_finding(
                "reupgrade-fails",
                "The second upgrade of `b002` failed: Error: refused. Its downgrade left type "
                "`public.parcelsize`. Its downgrade left rows",
                16,
            ),
            id="rows are left, and more",
        ),
        pytest.param(
            a_rehearsed(reupgrade=refused("23502", "public.t", None)),
            a_finding(
                "reupgrade-fails",
                "The second upgrade of `b002` failed: Error: refused. Its downgrade left other "
                "rows in `public.t` than there were before",
                16,
            ),
            id="rows were changed",
        ),
        pytest.param(
            a_rehearsed(reupgrade=refused("23505", "pg_catalog.pg_type", "pg_type_typname")),
            a_finding("reupgrade-fails", "The second upgrade of `b002` failed: Error: refused", 16),
            id="rows of the catalog",
        ),
    ],
)
def test_failures(rehearsed: RehearsedRevision, expected: Finding) -> None:
    assert ask(reupgrade_fails, adding(), a_rehearsal(rehearsed)) == ([expected], [])


def test_the_remedy_drops_the_type_that_is_left() -> None:
    rehearsed = a_rehearsed(reupgrade=FAILED, round_trip=(TYPE_LEFT,))
    assert remedies(reupgrade_fails, adding(), a_rehearsal(rehearsed)) == [
        "Add to the end of `downgrade()`:\n\n"
        '    op.execute("DROP TYPE IF EXISTS public.parcelsize")'
    ]


def test_the_remedy_accepts_a_label_that_stays() -> None:
    error = replace(ERROR, sql="ALTER TYPE mood ADD VALUE 'meh' AFTER 'ok'")
    rehearsed = a_rehearsed(reupgrade=a_step("b002", outcome=Outcome.FAILED, error=error))
    assert remedies(reupgrade_fails, adding(), a_rehearsal(rehearsed)) == [
        "PostgreSQL cannot remove a label, so let the upgrade accept one that is there:\n\n"
        "    with op.get_context().autocommit_block():\n"
        "        op.execute(\"ALTER TYPE mood ADD VALUE IF NOT EXISTS 'meh' AFTER 'ok'\")"
    ]


def test_the_remedy_deletes_the_rows_that_are_left() -> None:
    rehearsed = a_rehearsed(reupgrade=refused("23505", "public.t", "t_pkey"))
    assert remedies(reupgrade_fails, adding(), a_rehearsal(rehearsed)) == [
        "Delete in `downgrade()` the rows that `upgrade()` inserts, or let `upgrade()` accept "
        "those that are there (`INSERT … ON CONFLICT DO NOTHING`):\n\n"
        '    op.execute("DELETE FROM public.t WHERE …")'
    ]
