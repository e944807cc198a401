from __future__ import annotations

from typing import Any

import pytest

from gatekeeper.checks import multiple_heads
from gatekeeper.model import Basis, Change, ChangedRevision, ChangeSet, Revision
from tests.build import a_change_set, a_revision
from tests.checks.ask import a_finding, adding, ask, remedies

A, X, Y = a_revision("a001", None), a_revision("x001"), a_revision("y001")
LABELLED_X = a_revision("x001", branch_labels=("x",))
LABELLED_Y = a_revision("y001", branch_labels=("y",))


def of_history(*new: Revision, base: tuple[Revision, ...] = (A,), **fields: Any) -> ChangeSet:
    return a_change_set(*new, base_history=base, head_history=(*base, *new), **fields)


@pytest.mark.parametrize(
    "changes",
    [
        adding(),
        pytest.param(a_change_set(merged_heads=("x", "y")), id="not of this change"),
        pytest.param(
            of_history(
                a_revision("x002", "x001"),
                base=(A, X, Y),
                base_heads=("x001", "y001"),
                merged_heads=("x002", "y001"),
            ),
            id="two branches at the base, one goes on",
        ),
        pytest.param(
            of_history(
                a_revision("x002", "x001"),
                base=(A, X, Y),
                base_heads=("x001", "y001"),
                merged_heads=("x002", "y002"),
            ),
            id="the tip carries on the other branch",
        ),
        pytest.param(
            of_history(
                A,
                LABELLED_X,
                LABELLED_Y,
                base=(),
                base_heads=(),
                merged_heads=("x001", "y001"),
                is_audit=True,
            ),
            id="labelled branches in an audit",
        ),
        pytest.param(
            of_history(
                a_revision("m001", None, down_revisions=("x001", "y001")),
                base=(A, X, Y),
                base_heads=("x001", "y001"),
                merged_heads=("m001",),
            ),
            id="a merge point",
        ),
    ],
)
def test_clean(changes: ChangeSet) -> None:
    assert ask(multiple_heads, changes) == ([], [])


TWO = "`b002` (migrations/versions/b002.py)"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param(
            adding().__class__(**{**adding().__dict__, "merged_heads": ("b002", "c003")}),
            f"There are 2 heads after merging `main`: {TWO}, `c003` (new on `main`)",
            id="the base went on",
        ),
        pytest.param(
            a_change_set(
                a_revision(), a_revision("b003"), merged_heads=("b002", "b003"), base_tip=None
            ),
            f"There are 2 heads: {TWO}, `b003` (migrations/versions/b003.py)",
            id="both are ours",
        ),
        pytest.param(
            of_history(
                a_revision("b002", "x001"),
                base=(A, X, Y),
                base_heads=("x001", "y001"),
                merged_heads=("b002", "y001", "z001"),
            ),
            f"There are 3 heads after merging `main`: {TWO}, `y001` (migrations/versions/y001.py), "
            "`z001` (new on `main`)",
            id="one more than the base had",
        ),
        pytest.param(
            of_history(
                A,
                X,
                a_revision("b002", "a001"),
                base=(),
                base_heads=(),
                merged_heads=("b002", "x001"),
                base_tip=None,
                is_audit=True,
            ),
            f"There are 2 heads: {TWO}, `x001` (migrations/versions/x001.py)",
            id="an audit",
        ),
    ],
)
def test_heads(changes: ChangeSet, message: str) -> None:
    expected = a_finding("multiple-heads", message, 8, basis=Basis.READ)
    assert ask(multiple_heads, changes) == ([expected], [])


def test_a_deleted_merge_point_leaves_two_heads() -> None:
    merge = a_revision("m001", None, down_revisions=("x001", "y001"))
    changes = a_change_set(
        ChangedRevision(merge, Change.DELETED),
        base_history=(A, X, Y, merge),
        head_history=(A, X, Y),
        base_heads=("m001",),
        merged_heads=("x001", "y001"),
    )
    expected = a_finding(
        "multiple-heads",
        "There are 2 heads after merging `main`: `x001` (migrations/versions/x001.py), `y001` "
        "(migrations/versions/y001.py)",
        None,
        basis=Basis.READ,
        revision=None,
        path=None,
    )
    assert ask(multiple_heads, changes) == ([expected], [])


def test_the_remedy_names_the_other_head() -> None:
    """One that only the tip has is unknown here until the tip is merged."""
    changes = a_change_set(a_revision(), merged_heads=("b002", "c003"))
    here = (
        'In migrations/versions/b002.py write `down_revision = "c003"`, or run:\n\n'
        '    alembic merge -m "merge heads" b002 c003'
    )
    assert remedies(multiple_heads, changes, None) == [
        f"Merge `main` into this branch first. {here}"
    ]
    both = a_change_set(a_revision("c003"), a_revision(), merged_heads=("b002", "c003"))
    assert remedies(multiple_heads, both, None) == [here]
