"""What people would say of a revision, on a real server: each situation and its findings."""

from __future__ import annotations

from pathlib import Path

import pytest

from gatekeeper.model import Report, Severity, Verdict
from gatekeeper.postgres.servers import Server
from tests.live import (
    ALEMBIC_INI,
    ASYNC_ENV_PY,
    ENV_PY,
    Files,
    check_change,
    live_project,
    live_revision,
)

pytestmark = [pytest.mark.postgres, pytest.mark.slow]

V = "migrations/versions"
BASE = {
    f"{V}/a001.py": live_revision(
        "a001",
        None,
        """
        op.execute("CREATE TYPE mood AS ENUM ('ok', 'sad')")
        op.execute("CREATE TABLE t (id int PRIMARY KEY, note text NOT NULL DEFAULT 'x', "
                   "mood mood, size int)")
        op.execute("CREATE UNIQUE INDEX t_note ON t (note) WHERE size > 0")
        op.execute("INSERT INTO t VALUES (1, 'one', 'ok', 1), (2, 'two', 'sad', 2)")
        """,
        "op.drop_table('t')",
    )
}
HARMLESS = {"missing-lock-timeout", "not-atomic", "index-not-concurrent", "table-rewrite"}


def check(root: Path, server: Server, upgrade: str, downgrade: str) -> Report:
    change: Files = {f"{V}/b001.py": live_revision("b001", "a001", upgrade, downgrade)}
    return check_change(root, server, BASE, change)


def told(report: Report) -> list[tuple[str, str, str | None, str]]:
    """Return check, severity, revision and message of what is about the way back."""
    return [
        (f.check, (f.severity or Severity.ERROR).name.lower(), f.revision, f.message)
        for f in report.findings
        if f.check not in HARMLESS
    ]


ADD = 'op.add_column("t", sa.Column("c", sa.Text))'
REFUSALS = {
    "an error of Python's": 'raise NotImplementedError("no way back")',
    "a bare class": "raise RuntimeError",
    "an error with a cause": 'raise Exception("no") from ValueError("why")',
    "a docstring before it": '"""There is none."""\nraise RuntimeError("no")',
    "a message before it": 'msg = "no way back"\nraise RuntimeError(msg)',
    "an assertion": 'assert False, "no way back"',
}


@pytest.mark.parametrize("downgrade", REFUSALS.values(), ids=REFUSALS)
def test_a_refusal_is_deliberate(downgrade: str, tmp_path: Path, server: Server) -> None:
    report = check(tmp_path, server, ADD, downgrade)
    message = "The downgrade of `b001` only raises, so it cannot be rolled back"
    assert told(report) == [("downgrade-raises", "error", "b001", message)]


ROWS = 'op.execute("UPDATE t SET note = upper(note)")'
CASES: dict[str, tuple[str, str, list[tuple[str, str, str | None, str]]]] = {
    "nothing wrong": (ADD, 'op.drop_column("t", "c")', []),
    "a merge that does nothing": ("pass", "pass", []),
    "empty though the schema changed": (
        ADD,
        "pass",
        [
            (
                "reupgrade-fails",
                "error",
                "b001",
                'The second upgrade of `b001` failed: DuplicateColumn: column "c" of relation "t" '
                "already exists. Its downgrade left column `public.t.c`",
            ),
            (
                "downgrade-empty",
                "error",
                "b001",
                "The downgrade of `b001` is empty, but its upgrade changed the schema; afterwards "
                "column `public.t.c` is left",
            ),
        ],
    ),
    "empty, and only rows changed": (
        ROWS,
        "pass",
        [
            (
                "downgrade-empty",
                "notice",
                "b001",
                "The downgrade of `b001` is empty, but its upgrade changed rows",
            )
        ],
    ),
    "the first database error": (
        ADD,
        """
        try:
            op.drop_column("t", "nowhere")
        except Exception:
            pass
        op.drop_column("t", "c")
        """,
        [
            (
                "downgrade-fails",
                "error",
                "b001",
                'The downgrade of `b001` failed: UndefinedColumn: column "nowhere" of relation '
                '"t" does not exist',
            )
        ],
    ),
    "a constraint without a name": (
        'op.create_check_constraint("ck", "t", "size > 0")',
        'op.drop_constraint(None, "t")',
        [
            (
                "downgrade-fails",
                "error",
                "b001",
                "The downgrade of `b001` failed: CompileError: Can't emit DROP CONSTRAINT for "
                "constraint Constraint(); it has no name",
            )
        ],
    ),
    "another schema": (
        'op.drop_index("t_note")\nop.alter_column("t", "note", server_default=None)',
        'op.create_index("t_note", "t", ["note"])',
        [
            (
                "downgrade-incomplete",
                "error",
                "b001",
                "After the upgrade and downgrade of `b001`: column `public.t.note`: default was "
                "`'x'::text`, is none, index `public.t_note`: definition was `CREATE UNIQUE INDEX "
                "t_note ON public.t USING btree (note) WHERE (size > 0)`, is `CREATE INDEX t_note "
                "ON public.t USING btree (note)`",
            )
        ],
    ),
    "column order only": (
        'op.drop_column("t", "mood")',
        'op.execute("ALTER TABLE t ADD mood mood")',
        [
            (
                "downgrade-incomplete",
                "notice",
                "b001",
                "After the upgrade and downgrade of `b001`: column order `public.t`: order was "
                "`id, note, mood, size`, is `id, note, size, mood`",
            )
        ],
    ),
    "an extension is left": (
        'op.execute("CREATE EXTENSION IF NOT EXISTS citext")\n' + ADD,
        'op.drop_column("t", "c")',
        [
            (
                "downgrade-incomplete",
                "notice",
                "b001",
                "After the upgrade and downgrade of `b001`: extension `citext` is left",
            )
        ],
    ),
    "a label is left": (
        "op.execute(\"ALTER TYPE mood ADD VALUE IF NOT EXISTS 'meh'\")",
        "op.execute(\"SELECT 'a label cannot be removed'\")",
        [
            (
                "downgrade-incomplete",
                "notice",
                "b001",
                "After the upgrade and downgrade of `b001`: enum label `public.mood.meh` is left",
            )
        ],
    ),
    "rows are left that a key refuses": (
        "op.execute(\"INSERT INTO t VALUES (3, 'three')\")",
        'op.execute("SELECT 1")',
        [
            (
                "reupgrade-fails",
                "error",
                "b001",
                "The second upgrade of `b001` failed: UniqueViolation: duplicate key value "
                'violates unique constraint "t_pkey" DETAIL: Key (id)=(3) already exists. Its '
                "downgrade left rows in `public.t` that break `t_pkey`",
            )
        ],
    ),
    "rows are left that a new constraint refuses": (
        'op.create_check_constraint("ck", "t", "size > 0")',
        'op.drop_constraint("ck", "t")\nop.execute("UPDATE t SET size = -1")',
        [
            (
                "reupgrade-fails",
                "error",
                "b001",
                'The second upgrade of `b001` failed: CheckViolation: check constraint "ck" of '
                'relation "t" is violated by some row. Its downgrade left other rows in '
                "`public.t` than there were before: they break `ck`",
            )
        ],
    ),
    "a type is left": (
        "op.create_table('u', sa.Column('m', sa.Enum('a', 'b', name='u_mood')))",
        "op.drop_table('u')",
        [
            (
                "reupgrade-fails",
                "error",
                "b001",
                'The second upgrade of `b001` failed: DuplicateObject: type "u_mood" already '
                "exists. Its downgrade left enum `public.u_mood`",
            ),
            (
                "downgrade-incomplete",
                "error",
                "b001",
                "After the upgrade and downgrade of `b001`: enum `public.u_mood` is left",
            ),
        ],
    ),
}


@pytest.mark.parametrize(("upgrade", "downgrade", "expected"), CASES.values(), ids=CASES)
def test_classification(
    upgrade: str,
    downgrade: str,
    expected: list[tuple[str, str, str | None, str]],
    tmp_path: Path,
    server: Server,
) -> None:
    report = check(tmp_path, server, upgrade, downgrade)
    assert told(report) == expected
    is_failure = any(severity == "error" for _, severity, _, _ in expected)
    assert report.verdict is (Verdict.FAIL if is_failure else Verdict.PASS)


@pytest.mark.parametrize("driver", ["psycopg", "pg8000", "asyncpg"])
def test_rows_that_are_left_are_told_with_every_driver(
    driver: str, tmp_path: Path, server: Server
) -> None:
    upgrade = "op.execute(\"INSERT INTO t VALUES (3, 'three')\")"
    project = live_project(
        ini=ALEMBIC_INI.replace("psycopg2", driver),
        env=ASYNC_ENV_PY if driver == "asyncpg" else ENV_PY,
    )
    change: Files = {
        f"{V}/b001.py": live_revision("b001", "a001", upgrade, 'op.execute("SELECT 1")')
    }
    report = check_change(tmp_path, server, {**project, **BASE}, change)
    ((check, _, _, message),) = told(report)
    assert check == "reupgrade-fails"
    assert message.endswith(". Its downgrade left rows in `public.t` that break `t_pkey`")


def test_the_revision_at_fault_is_named_and_not_its_parent(tmp_path: Path, server: Server) -> None:
    """Walking down step by step would stumble over b002 while it takes back b003."""
    change: Files = {
        f"{V}/b001.py": live_revision("b001", "a001", ADD, 'op.drop_column("t", "c")'),
        f"{V}/b002.py": live_revision(
            "b002",
            "b001",
            'op.create_index("t_c", "t", ["c"])\nop.add_column("t", sa.Column("d", sa.Text))',
            'op.drop_column("t", "d")',
        ),
        f"{V}/b003.py": live_revision(
            "b003",
            "b002",
            'op.drop_column("t", "d")',
            'op.add_column("t", sa.Column("d", sa.Text))',
        ),
    }
    report = check_change(tmp_path, server, BASE, change)
    assert [(f[0], f[1], f[2]) for f in told(report)] == [
        ("reupgrade-fails", "error", "b002"),
        ("downgrade-incomplete", "error", "b002"),
    ]
