from __future__ import annotations

from typing import Any

import pytest

from gatekeeper.checks import edited_merged_revision
from gatekeeper.model import Basis, Change, ChangedRevision
from tests.build import a_change_set, a_revision
from tests.checks.ask import a_finding, ask, remedies

SOURCE = '''"""Create orders."""
import sqlalchemy as sa
from alembic import op
down_revision = "a001"
def upgrade():
    op.drop_table("a")
def downgrade():
    op.create_table("a")
'''
BEFORE = a_revision(source=SOURCE)


@pytest.mark.parametrize("change", [Change.ADDED, Change.RENAMED, Change.DELETED, Change.UNCHANGED])
def test_clean(change: Change) -> None:
    edited = a_revision(source=SOURCE.replace("drop_table", "rename_table"))
    changes = a_change_set(ChangedRevision(edited, change, BEFORE))
    assert ask(edited_merged_revision, changes) == ([], [])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("def upgrade()", "def upgrade() -> None"),
        ("down_revision =", "down_revision: str | None ="),
        (
            "import sqlalchemy as sa\nfrom alembic import op",
            "from typing import Union\nfrom alembic import op\nimport sqlalchemy as sa",
        ),
        ("import sqlalchemy as sa\n", ""),
    ],
)
def test_what_does_nothing_is_no_edit(old: str, new: str) -> None:
    """Annotations, the order of imports, and imports that nothing uses."""
    edited = a_revision(source=SOURCE.replace(old, new))
    changes = a_change_set(ChangedRevision(edited, Change.MODIFIED, BEFORE))
    assert ask(edited_merged_revision, changes) == ([], [])


@pytest.mark.parametrize(
    ("old", "new", "fields", "edits", "line"),
    [
        ('op.drop_table("a")', 'op.drop_table("b")', {}, "`upgrade`", 14),
        ('op.create_table("a")', "pass", {}, "`downgrade`", 23),
        (
            '= "a001"',
            '= "z001"',
            {"down_revisions": ("z001",)},
            "`down_revision` (a001 → z001)",
            8,
        ),
        ('"a")', '"b")', {}, "`upgrade`, `downgrade`", 14),
        ("def upgrade", "TABLE = 1\ndef upgrade", {}, "`TABLE`", 8),
        ("def upgrade", "os.umask(0)\ndef upgrade", {}, "other code", 8),
        ("from alembic", "from ours", {}, "imports", 8),
    ],
)
def test_edits(old: str, new: str, fields: dict[str, Any], edits: str, line: int) -> None:
    edited = a_revision(source=SOURCE.replace(old, new), **fields)
    changes = a_change_set(ChangedRevision(edited, Change.MODIFIED, BEFORE))
    expected = a_finding(
        "edited-merged-revision",
        f"`b002` was merged before and this change edits its {edits}",
        line,
        basis=Basis.READ,
    )
    assert ask(edited_merged_revision, changes) == ([expected], [])


def test_the_remedy_puts_the_file_back() -> None:
    edited = a_revision(source=SOURCE.replace('"a"', '"b"'))
    changes = a_change_set(ChangedRevision(edited, Change.MODIFIED, BEFORE))
    assert remedies(edited_merged_revision, changes, None) == [
        "Put it back and make the difference in a new revision:\n\n"
        "    git checkout 111111111111 -- migrations/versions/b002.py\n"
        '    alembic revision -m "…"'
    ]
