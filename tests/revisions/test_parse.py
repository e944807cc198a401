from __future__ import annotations

from dataclasses import replace

import pytest

from gatekeeper.model import Body, Function, Revision, RevisionProblem
from gatekeeper.revisions.parse import is_revision_file, parse_revision, same_code

PATH = "migrations/versions/b002.py"
HEADER = 'revision = "b002"\ndown_revision = "a001"\n'
PLAIN = Revision(
    revision="b002",
    down_revisions=("a001",),
    depends_on=(),
    branch_labels=(),
    message="",
    path=PATH,
    line=1,
    upgrade=None,
    downgrade=None,
    source="",
)
TEMPLATE = '''"""add users

Revision ID: b002
Revises: a001
"""
from typing import Sequence, Union

from alembic import op


# revision identifiers, used by Alembic.
revision: str = 'b002'
down_revision: Union[str, Sequence[str], None] = 'a001'
branch_labels: Union[str, Sequence[str], None] = None
depends_on: Union[str, Sequence[str], None] = None


def upgrade() -> None:
    """Upgrade schema."""
    op.add_column("users", None)


def downgrade() -> None:
    """Downgrade schema."""
    pass
'''


def parse(text: str | bytes) -> Revision | RevisionProblem:
    return parse_revision(PATH, text.encode() if isinstance(text, str) else text)


def test_the_file_that_alembic_writes() -> None:
    assert parse(TEMPLATE) == Revision(
        revision="b002",
        down_revisions=("a001",),
        depends_on=(),
        branch_labels=(),
        message="add users",
        path=PATH,
        line=12,
        upgrade=Function(18, 20, Body.CODE),
        downgrade=Function(23, 25, Body.EMPTY),
        source=TEMPLATE,
    )


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        (HEADER, {}),
        ('revision = "b002"\ndown_revision = None\n', {"down_revisions": ()}),
        ('revision = "b002"\ndown_revision = ("a", "b")\n', {"down_revisions": ("a", "b")}),
        ('revision = "b002"\ndown_revision = ["a"]\n', {"down_revisions": ("a",)}),
        ('revision = "b002"\ndown_revision = ()\n', {"down_revisions": ()}),
        ('revision = "b" "002"\ndown_revision = ("a0"\n  "01")\n', {}),
        ('revision, down_revision = "b002", "a001"\n', {}),
        ('revision = first = "b002"\ndown_revision = "a001"\n', {}),
        (f'{HEADER}depends_on = "x"\n', {"depends_on": ("x",)}),
        (f'{HEADER}depends_on: tuple = ("x", "y")\n', {"depends_on": ("x", "y")}),
        (f'{HEADER}branch_labels = ("pay",)\n', {"branch_labels": ("pay",)}),
        (f'{HEADER}branch_labels = "pay"\n', {"branch_labels": ("pay",)}),
        (f"{HEADER}branch_labels: str\n", {}),
        pytest.param(
            f'"""Titel\nmore"""\n{HEADER}', {"message": "Titel", "line": 3}, id="docstring"
        ),
        pytest.param(f'revision = "old"\n{HEADER}', {"line": 2}, id="the last assignment counts"),
    ],
)
def test_identifiers(text: str, fields: dict[str, object]) -> None:
    assert parse(text) == replace(PLAIN, source=text, **fields)


@pytest.mark.parametrize(
    ("text", "downgrade"),
    [
        ("", None),
        ("def downgrade():\n    op.drop_table('t')\n", Function(3, 4, Body.CODE)),
        ("async def downgrade():\n    await run()\n", Function(3, 4, Body.CODE)),
        ("@wrapped\ndef downgrade(op, tables):\n    pass\n", Function(4, 5, Body.EMPTY)),
        ("def downgrade(): pass\n", Function(3, 3, Body.EMPTY)),
        ("def downgrade(): ...\n", Function(3, 3, Body.EMPTY)),
        ("def downgrade():\n    '''Nothing.'''\n", Function(3, 4, Body.EMPTY)),
        ("def downgrade():\n    '''No.'''\n    # none\n    return\n", Function(3, 6, Body.EMPTY)),
        ("def downgrade():\n    return None\n", Function(3, 4, Body.EMPTY)),
        ("def downgrade():\n    return op.drop_table('t')\n", Function(3, 4, Body.CODE)),
        ("def downgrade():\n    1\n    None\n", Function(3, 5, Body.EMPTY)),
        ("def downgrade():\n    return\n    op.drop_table('t')\n", Function(3, 5, Body.EMPTY)),
        ("def downgrade(): raise NotImplementedError\n", Function(3, 3, Body.RAISES)),
        (
            "def downgrade():\n    '''No.'''\n    # no\n    raise RuntimeError('no')\n",
            Function(3, 6, Body.RAISES),
        ),
        (
            "def downgrade():\n    msg = 'no'\n    raise RuntimeError(msg)\n",
            Function(3, 5, Body.RAISES),
        ),
        (
            "def downgrade():\n    msg = f'{revision} is ' + WHY\n    raise RuntimeError(msg)\n",
            Function(3, 5, Body.RAISES),
        ),
        (
            "def downgrade():\n    from shop.errors import OneWay\n    raise OneWay(revision)\n",
            Function(3, 5, Body.RAISES),
        ),
        (
            "def downgrade():\n    logger.error('no way %s', revision)\n    raise RuntimeError\n",
            Function(3, 5, Body.RAISES),
        ),
        ("def downgrade():\n    print('no way back')\n", Function(3, 4, Body.EMPTY)),
        ("def downgrade():\n    logging.info('no way')\n    pass\n", Function(3, 5, Body.EMPTY)),
        ("def downgrade():\n    print(op.drop_table('t'))\n", Function(3, 4, Body.CODE)),
        ("def downgrade():\n    undo.warning('t')\n", Function(3, 4, Body.CODE)),
        ("def downgrade():\n    raise E('no') from None\n", Function(3, 4, Body.RAISES)),
        ("def downgrade():\n    assert False, 'no'\n", Function(3, 4, Body.RAISES)),
        ("def downgrade():\n    assert op.get_bind()\n", Function(3, 4, Body.CODE)),
        ("def downgrade():\n    x = 1\n", Function(3, 4, Body.EMPTY)),
        ("def downgrade():\n    x = op.drop_table('t')\n", Function(3, 4, Body.CODE)),
        (
            "def downgrade():\n    op.drop_table('t')\n    raise RuntimeError\n",
            Function(3, 5, Body.CODE),
        ),
        ("def downgrade():\n    if x: raise RuntimeError\n", Function(3, 4, Body.CODE)),
        ("from x import downgrade\n", Function(3, 3, Body.CODE)),
        ("from x import undo as downgrade\n", Function(3, 3, Body.CODE)),
        ("from x import *\n", Function(3, 3, Body.CODE)),
        ("downgrade = upgrade\n", Function(3, 3, Body.CODE)),
        ("downgrade: object = lambda: None\n", Function(3, 3, Body.CODE)),
        ("if x:\n    def downgrade():\n        pass\n", Function(4, 5, Body.EMPTY)),
        ("try:\n    import x\nexcept E:\n    def downgrade(): pass\n", Function(6, 6, Body.EMPTY)),
        ("class A:\n    def downgrade(self): pass\n", None),
    ],
)
def test_what_a_function_consists_of(text: str, downgrade: Function | None) -> None:
    found = parse(HEADER + text)
    assert isinstance(found, Revision)
    assert found.downgrade == downgrade


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('"""naïve"""\n'.encode() + HEADER.encode(), "naïve"),
        (b'\xef\xbb\xbf"""bom"""\n' + HEADER.encode(), "bom"),
        ('# coding: latin-1\n"""naïve"""\n'.encode("latin-1") + HEADER.encode(), "naïve"),
        (f'"""dos"""\n{HEADER}'.replace("\n", "\r\n").encode(), "dos"),
        (b'"""an escape: \\d"""\n' + HEADER.encode(), "an escape: \\d"),
    ],
)
def test_encodings(content: bytes, message: str) -> None:
    found = parse(content)
    assert isinstance(found, Revision)
    assert found.message == message
    assert "\r" not in found.source


NO_REVISION = (
    "The file sets no `revision`, so Alembic refuses to load the whole script directory.",
    'Set `revision = "…"`, or move a file that is no revision out of the folder.',
    None,
)


def not_literal(name: str, kind: str, revision: str | None) -> tuple[str, str, str | None]:
    return (
        f"`{name}` is not {kind} that can be read without running the file.",
        f'Write it out: `{name} = "…"`.',
        revision,
    )


@pytest.mark.parametrize(
    ("text", "line", "expected"),
    [
        ("", 1, NO_REVISION),
        ("def helper(): pass\n", 1, NO_REVISION),
        ("from x import *\n", 1, NO_REVISION),
        (
            '\nrevision = "b002"\n',
            2,
            (
                "The file sets no `down_revision`, which Alembic asks for.",
                'Set `down_revision = "…"` to the revision before, or to `None` for the first one.',
                None,
            ),
        ),
        (
            'revision = make()\ndown_revision = "a001"\n',
            1,
            not_literal("revision", "a string", None),
        ),
        (
            'revision = 12\ndown_revision = "a001"\n',
            1,
            not_literal("revision", "a string", None),
        ),
        (
            'from x import revision\ndown_revision = "a001"\n',
            1,
            not_literal("revision", "a string", None),
        ),
        (
            'revision = "b002"\ndown_revision = f"{BASE}"\n',
            2,
            not_literal("down_revision", "a string, a tuple of strings or `None`", "b002"),
        ),
        (
            'revision = "b002"\ndown_revision = ("a", None)\n',
            2,
            not_literal("down_revision", "a string, a tuple of strings or `None`", "b002"),
        ),
        (
            "revision, down_revision = make()\n",
            1,
            not_literal("revision", "a string", None),
        ),
    ],
)
def test_what_is_no_revision(text: str, line: int, expected: tuple[str, str, str | None]) -> None:
    assert parse(text) == RevisionProblem(PATH, line, *expected)


@pytest.mark.parametrize(
    ("content", "line", "message"),
    [
        (b"x = (\n", 1, " cannot parse the file: '(' was never closed."),
        (b"x = 1\ny = = 2\n", 2, " cannot parse the file: invalid syntax."),
        (b"x = '\0'\n", 1, " cannot parse the file: source code string cannot contain null bytes."),
        (b"# coding: no-such\n", 1, " cannot parse the file: unknown encoding: no-such."),
    ],
)
def test_what_cannot_be_parsed(content: bytes, line: int, message: str) -> None:
    problem = parse(content)
    assert isinstance(problem, RevisionProblem)
    assert problem.line == line
    assert problem.message.startswith("Python 3.")
    assert problem.message.endswith(message)


def test_a_syntax_error_may_be_a_newer_pythons_syntax() -> None:
    problem = parse("x = = 1\n")
    assert isinstance(problem, RevisionProblem)
    assert "If a newer Python accepts it: gatekeeper reads revisions with " in problem.remedy


def test_a_file_in_another_encoding() -> None:
    assert parse(b"a = 1\nb = 2\n# na\xefve\n") == RevisionProblem(
        PATH,
        3,
        "The file is not utf-8: byte 0xef cannot be decoded.",
        "Save it as UTF-8, or name its encoding in the first line: `# -*- coding: latin-1 -*-`.",
    )


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("b002_add.py", True),
        ("2026-01-01_add.py", True),
        ("__init__.py", False),
        (".#b002.py", False),
        ("b002.pyc", False),
        ("b002.py.bak", False),
        ("README", False),
    ],
)
def test_names_of_revision_files(name: str, expected: bool) -> None:
    assert is_revision_file(name) is expected


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ("x = 1\n", "x = 1\n", True),
        ("x = 1  # one\n", "\n\nx=1\n", True),
        ("f('a', 1)\n", 'f(\n    "a",\n    1,\n)\n', True),
        ('"""old"""\nx = 1\n', '"""new\n\nRevises: a\n"""\nx = 1\n', True),
        ('"""old"""\nx = 1\n', "x = 1\n", True),
        ("def f():\n    '''a'''\n", "def f():\n    pass\n", True),
        ("class A:\n    '''a'''\n    x = 1\n", "class A:\n    x = 1\n", True),
        ("x = u'a'\n", "x = 'a'\n", True),
        ("x = 'a' 'b'\n", "x = 'ab'\n", True),
        ("x = 1\n", "x = 2\n", False),
        ("down_revision = 'a'\n", "down_revision = 'b'\n", False),
        ("x: int = 1\n", "x = 1\n", False),
        ("f()\n'text'\n", "f()\n'other'\n", False),
        ("f(1)\nf(2)\n", "f(2)\nf(1)\n", False),
        ("x = (\n", "x = (\n", True),
        ("x = (\n", "x =  (\n", False),
    ],
)
def test_same_code(a: str, b: str, expected: bool) -> None:
    assert same_code(a, b) is expected
    assert same_code(b, a) is expected
