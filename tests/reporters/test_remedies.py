from __future__ import annotations

import pytest

from gatekeeper.reporters.remedies import Block, read_blocks

PROSE = [
    "Give the revision a downgrade.",
    "downgrade",
    "True, always",
    "Create it with `postgresql_concurrently=True` inside `op.get_context().autocommit_block()`.",
    "SET NOT NULL scans the table; validate a CHECK first.",
    "git is not needed for this.",
    "a" * 20 + "(" * 5000,
    "\0",
]


@pytest.mark.parametrize("text", PROSE)
def test_prose_stays_prose(text: str) -> None:
    assert {block.language for block in read_blocks(text)} == {None}


def test_an_empty_remedy_has_no_block() -> None:
    assert read_blocks(" \n\n ") == ()


@pytest.mark.parametrize(
    ("remedy", "blocks"),
    [
        ('op.drop_index("ix")', [Block("python", 'op.drop_index("ix")')]),
        (
            "def downgrade() -> None:\n    pass\n\nx = 1",
            [Block("python", "def downgrade() -> None:\n    pass\n\nx = 1")],
        ),
        (
            "# gatekeeper: allow[downgrade-raises] data is merged",
            [Block("python", "# gatekeeper: allow[downgrade-raises] data is merged")],
        ),
        ('op.execute("\\d")', [Block("python", 'op.execute("\\d")')]),
        (
            'In the block:\n\n    op.create_index("ix", "t", […])\n\nand stop.',
            [
                Block(None, "In the block:"),
                Block("python", 'op.create_index("ix", "t", […])'),
                Block(None, "and stop."),
            ],
        ),
        ("DROP TYPE IF EXISTS s;", [Block("sql", "DROP TYPE IF EXISTS s;")]),
        (
            "-- first\nALTER TABLE a\n  ADD b int;",
            [Block("sql", "-- first\nALTER TABLE a\n  ADD b int;")],
        ),
        ("alembic merge heads", [Block("sh", "alembic merge heads")]),
        (
            "git fetch origin main\ngit rebase origin/main",
            [Block("sh", "git fetch origin main\ngit rebase origin/main")],
        ),
        ("Do it:\nop.f()", [Block(None, "Do it:"), Block("python", "op.f()")]),
        (
            "Do it:\n\n    op.f()\n    op.g()\n\nThen rest.",
            [Block(None, "Do it:"), Block("python", "op.f()\nop.g()"), Block(None, "Then rest.")],
        ),
        (
            "Put:\n\n    [alembic]\n    url = %(here)s",
            [Block(None, "Put:"), Block("text", "[alembic]\nurl = %(here)s")],
        ),
        (
            'Save:\n\n    project:\n      env:\n        NAME: "{database_url}"',
            [
                Block(None, "Save:"),
                Block("text", 'project:\n  env:\n    NAME: "{database_url}"'),
            ],
        ),
        ("Do it:\n\n```python\nop.f()\n```", [Block(None, "Do it:"), Block("python", "op.f()")]),
    ],
)
def test_blocks(remedy: str, blocks: list[Block]) -> None:
    assert list(read_blocks(remedy)) == blocks
