from __future__ import annotations

import pytest

from gatekeeper.checks import downgrade_missing
from gatekeeper.model import (
    Basis,
    Body,
    Change,
    ChangedRevision,
    ChangeSet,
    Function,
)
from tests.build import a_change_set, a_revision
from tests.checks.ask import a_finding, adding, ask, remedies

MISSING = a_revision(downgrade=None)


@pytest.mark.parametrize(
    "changes",
    [
        adding(),
        a_change_set(),
        pytest.param(adding(downgrade=Function(23, 24, Body.EMPTY)), id="empty"),
        pytest.param(adding(downgrade=Function(23, 24, Body.RAISES)), id="raises"),
        pytest.param(a_change_set(ChangedRevision(MISSING, Change.RENAMED)), id="renamed"),
        pytest.param(a_change_set(ChangedRevision(MISSING, Change.DELETED)), id="deleted"),
    ],
)
def test_clean(changes: ChangeSet) -> None:
    assert ask(downgrade_missing, changes) == ([], [])


@pytest.mark.parametrize("change", [Change.ADDED, Change.MODIFIED])
def test_missing(change: Change) -> None:
    changes = a_change_set(ChangedRevision(MISSING, change))
    expected = a_finding(
        "downgrade-missing",
        "`b002` has no `downgrade` function, so it cannot be rolled back",
        8,
        basis=Basis.READ,
    )
    assert ask(downgrade_missing, changes) == ([expected], [])
    assert remedies(downgrade_missing, changes, None) == [
        "Add a `downgrade()` that undoes `upgrade()`; where there is no way back, say why:"
        "\n\n    # gatekeeper: allow[downgrade-raises] the reason\n"
        "    def downgrade():\n"
        '        raise RuntimeError("b002 cannot be undone: …")'
    ]
