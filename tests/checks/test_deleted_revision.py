from __future__ import annotations

import pytest

from gatekeeper.checks import deleted_revision
from gatekeeper.model import Basis, Change, ChangedRevision
from tests.build import a_change_set, a_revision
from tests.checks.ask import a_finding, ask, remedies

DELETED = a_change_set(ChangedRevision(a_revision(), Change.DELETED, a_revision()))


@pytest.mark.parametrize(
    "change", [Change.ADDED, Change.MODIFIED, Change.RENAMED, Change.UNCHANGED]
)
def test_clean(change: Change) -> None:
    changes = a_change_set(ChangedRevision(a_revision(), change))
    assert ask(deleted_revision, changes) == ([], [])


def test_deleted() -> None:
    expected = a_finding(
        "deleted-revision",
        "`b002` was merged before and this change deletes it (migrations/versions/b002.py); a "
        "database that stands at it cannot be upgraded any more",
        None,
        basis=Basis.READ,
    )
    assert ask(deleted_revision, DELETED) == ([expected], [])
    assert remedies(deleted_revision, DELETED, None) == [
        "Put it back, and undo what it does in a new revision:\n\n"
        "    git checkout 111111111111 -- migrations/versions/b002.py"
    ]
