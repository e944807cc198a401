from __future__ import annotations

import pytest

from gatekeeper.checks import downgrade_raises
from gatekeeper.model import Basis, Body, Change, ChangedRevision, ChangeSet, Function
from tests.build import a_change_set, a_revision
from tests.checks.ask import a_finding, adding, ask

RAISES = a_revision(downgrade=Function(23, 24, Body.RAISES))


@pytest.mark.parametrize(
    "changes",
    [
        adding(),
        pytest.param(adding(downgrade=Function(23, 24, Body.EMPTY)), id="empty"),
        pytest.param(adding(downgrade=None), id="missing"),
        pytest.param(a_change_set(ChangedRevision(RAISES, Change.UNCHANGED)), id="merged before"),
    ],
)
def test_clean(changes: ChangeSet) -> None:
    assert ask(downgrade_raises, changes) == ([], [])


def test_raises() -> None:
    expected = a_finding(
        "downgrade-raises",
        "The downgrade of `b002` only raises, so it cannot be rolled back",
        23,
        basis=Basis.READ,
    )
    assert ask(downgrade_raises, a_change_set(RAISES)) == ([expected], [])
