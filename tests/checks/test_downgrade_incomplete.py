from __future__ import annotations

from typing import Any

import pytest

from gatekeeper.checks import downgrade_incomplete
from gatekeeper.model import (
    Body,
    Difference,
    DifferenceKind,
    Function,
    Outcome,
    Revision,
    Severity,
)
from tests.build import a_change_set, a_rehearsal, a_rehearsed, a_revision
from tests.checks.ask import a_downgrade, a_finding, adding, ask, remedies

LEFT, MISSING, CHANGED = DifferenceKind.LEFT, DifferenceKind.MISSING, DifferenceKind.CHANGED
TYPE = Difference(LEFT, "type", "public.parcelsize")
INDEX = Difference(MISSING, "index", "public.ix_orders_note", "public.orders")
NOT_NULL = Difference(
    CHANGED, "column", "public.orders.note", "public.orders", "not null", "true", "false"
)
ORDER = Difference(CHANGED, "column order", "public.orders", None, "order", "a, b", "b, a")
EXTENSION = Difference(LEFT, "extension", "citext")
LABEL = Difference(LEFT, "enum label", "public.ticketstatus.lost")
LABEL_GONE = Difference(MISSING, "enum label", "public.ticketstatus.open")


@pytest.mark.parametrize(
    ("revision", "stairway", "skipped"),
    [
        (a_revision(), {}, []),
        (
            a_revision(downgrade=None),
            {"round_trip": None},
            ["`b002` has no downgrade to compare"],
        ),
        (
            a_revision(downgrade=Function(23, 24, Body.RAISES)),
            {"round_trip": None},
            ["`b002` has no downgrade to compare"],
        ),
        (
            a_revision(downgrade=Function(23, 24, Body.EMPTY)),
            {"round_trip": (TYPE,), "changes": (TYPE,)},
            ["the downgrade of `b002` is empty"],
        ),
        (a_revision(downgrade=Function(23, 24, Body.EMPTY)), {}, []),
        (
            a_revision(),
            {"round_trip": None, "downgrade": a_downgrade(outcome=Outcome.FAILED)},
            ["the downgrade of `b002` failed"],
        ),
    ],
)
def test_clean(revision: Revision, stairway: dict[str, Any], skipped: list[str]) -> None:
    rehearsal = a_rehearsal(a_rehearsed(revision, **stairway))
    assert ask(downgrade_incomplete, a_change_set(revision), rehearsal) == ([], skipped)


@pytest.mark.parametrize(
    ("differences", "message", "severity"),
    [
        ((TYPE,), "type `public.parcelsize` is left", None),
        (
            (ORDER, INDEX, NOT_NULL),
            "index `public.ix_orders_note` is missing, column `public.orders.note`: not null was "
            "`true`, is `false`, column order `public.orders`: order was `a, b`, is `b, a`",
            None,
        ),
        ((LABEL_GONE,), "enum label `public.ticketstatus.open` is missing", None),
        (
            (EXTENSION, LABEL),
            "extension `citext` is left, enum label `public.ticketstatus.lost` is left",
            Severity.NOTICE,
        ),
        (
            (ORDER,),
            "column order `public.orders`: order was `a, b`, is `b, a`",
            Severity.NOTICE,
        ),
        (
            tuple(Difference(LEFT, "table", f"public.t{n}") for n in range(10)),
            "table `public.t0` is left, table `public.t1` is left, table `public.t2` is left, "
            "table `public.t3` is left, table `public.t4` is left, table `public.t5` is left, "
            "table `public.t6` is left, table `public.t7` is left and 2 more",
            None,
        ),
    ],
)
def test_incomplete(
    differences: tuple[Difference, ...], message: str, severity: Severity | None
) -> None:
    rehearsal = a_rehearsal(a_rehearsed(round_trip=differences))
    expected = a_finding(
        "downgrade-incomplete",
        f"After the upgrade and downgrade of `b002`: {message}",
        23,
        severity=severity,
    )
    assert ask(downgrade_incomplete, adding(), rehearsal) == ([expected], [])


def test_the_remedy_for_a_type_can_be_pasted() -> None:
    rehearsal = a_rehearsal(a_rehearsed(round_trip=(TYPE,)))
    assert remedies(downgrade_incomplete, adding(), rehearsal) == [
        "Add to the end of `downgrade()`:\n\n"
        '    op.execute("DROP TYPE IF EXISTS public.parcelsize")'
    ]
