from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gatekeeper.checks import enum_drop_unguarded
from gatekeeper.model import (
    Body,
    Difference,
    DifferenceKind,
    Direction,
    Finding,
    Function,
    Outcome,
    Rehearsal,
    Statement,
    StepError,
)
from tests.build import a_rehearsal, a_rehearsed, a_statement, a_step
from tests.checks.ask import a_downgrade, a_finding, adding, ask, remedies, sent

ENUMS = {"public.ticketstatus": ("open", "closed", "lost")}
DROP = "DROP TYPE ticketstatus"
LOOK = "SELECT pg_catalog.pg_type.typname FROM pg_catalog.pg_type WHERE typname = %(typname_1)s"


def of(*sql: str, **fields: Any) -> tuple[Statement, ...]:
    return tuple(a_statement(text, **fields) for text in sql)


def swap(*first: str, using: str = "status::text::ticketstatus") -> tuple[Statement, ...]:
    return of(
        *first,
        "ALTER TYPE ticketstatus RENAME TO ticketstatus_old",
        "CREATE TYPE ticketstatus AS ENUM ('open', 'closed')",
        f"ALTER TABLE orders ALTER COLUMN status TYPE ticketstatus USING {using}",
        "DROP TYPE IF EXISTS ticketstatus_old",
    )


CLEAN = {
    "nothing": of(),
    "IF EXISTS": of("ALTER TABLE orders DROP COLUMN status", "DROP TYPE IF EXISTS ticketstatus"),
    "checkfirst, by its parameter": (
        a_statement(LOOK, parameters="{'typname_1': 'ticketstatus'}"),
        a_statement("DROP TYPE ticketstatus"),
    ),
    "asked by hand": of("SELECT 1 FROM pg_type WHERE typname = 'ticketstatus'", DROP),
    "a composite type": of("CREATE TYPE pair AS (a int)", "DROP TYPE pair"),
    "another DROP": of("DROP TABLE orders CASCADE", "DROP DOMAIN d CASCADE"),
    "a swap that keeps the labels": of(
        "ALTER TYPE ticketstatus RENAME TO ticketstatus_old",
        "CREATE TYPE ticketstatus AS ENUM ('open', 'closed', 'lost', 'new')",
        "ALTER TABLE orders ALTER COLUMN status TYPE ticketstatus USING status::text::ticketstatus",
        "DROP TYPE IF EXISTS ticketstatus_old",
    ),
    "a swap whose rows were moved": swap("UPDATE orders SET status = 'open' WHERE status = 'lost'"),
    "a swap whose rows were looked at": swap("SELECT 1 FROM orders WHERE status = 'lost'"),
    "a swap guarded by a block": swap("DO $$ BEGIN END $$"),
    "a swap that maps": swap(
        using="CASE status WHEN 'lost' THEN 'closed' ELSE status::text END::ticketstatus"
    ),
    "text into an ENUM": of(
        "CREATE TYPE mood AS ENUM ('a')",
        "ALTER TABLE orders ALTER COLUMN note TYPE mood USING note::mood",
    ),
}


@pytest.mark.parametrize("statements", CLEAN.values(), ids=CLEAN.keys())
def test_clean(statements: tuple[Statement, ...]) -> None:
    assert ask(enum_drop_unguarded, adding(), sent(*statements, enums_before=ENUMS)) == ([], [])


def test_checkfirst_asks_from_the_same_line() -> None:
    look, drop = a_statement(LOOK, ordinal=1), a_statement(DROP, ordinal=2)
    step = a_step("b002", look, drop)
    rehearsal = a_rehearsal(a_rehearsed(upgrade=step))
    assert ask(enum_drop_unguarded, adding(), rehearsal) == ([], [])


@pytest.mark.parametrize(
    ("call", "is_guarded"),
    [
        ('sa.Enum(name="ticketstatus").drop(bind, checkfirst=True)', True),
        ('sa.Enum(name="ticketstatus").drop(bind, True)', True),
        ('postgresql.ENUM(name="ticketstatus").drop(bind)', True),
        ('sa.Enum(name="ticketstatus").drop(bind)', False),
        ('postgresql.ENUM(name="ticketstatus").drop(bind, checkfirst=False)', False),
    ],
)
def test_checkfirst_as_it_is_written(call: str, is_guarded: bool) -> None:
    source = "\n" * 13 + f"def upgrade():\n    {call}\n"
    findings, _ = ask(enum_drop_unguarded, adding(source=source), sent(*of(DROP)))
    assert (findings == []) is is_guarded


@pytest.mark.parametrize(
    ("rehearsal", "fields", "skipped"),
    [
        pytest.param(
            sent(stairway={"downgrade": a_downgrade(outcome=Outcome.FAILED)}),
            {"downgrade": Function(23, 24, Body.RAISES)},
            [],
            id="the downgrade refuses",
        ),
        pytest.param(
            sent(stairway={"downgrade": a_downgrade(outcome=Outcome.FAILED)}),
            {},
            ["the downgrade of `b002` failed"],
            id="the downgrade failed",
        ),
        pytest.param(
            sent(step={"outcome": Outcome.FAILED}),
            {},
            ["the upgrade of `b002` failed"],
            id="the upgrade failed",
        ),
        pytest.param(a_rehearsal(), {}, ["`b002` was not rehearsed"], id="not rehearsed"),
    ],
)
def test_what_did_not_run_is_said(
    rehearsal: Rehearsal, fields: dict[str, Any], skipped: list[str]
) -> None:
    assert ask(enum_drop_unguarded, adding(**fields), rehearsal) == ([], skipped)


STATUS = Difference(DifferenceKind.MISSING, "column", "public.orders.status", "public.orders")
NOTE = Difference(DifferenceKind.MISSING, "column", "public.orders.note", "public.orders")


def found(message: str, **fields: Any) -> Finding:
    return a_finding("enum-drop-unguarded", message, **fields)


NO_GUARD = (
    "`DROP TYPE ticketstatus` has no guard: it fails on a database where the type is gone already"
)
FINDINGS = {
    "no guard": (of(DROP), {}, found(NO_GUARD, statement=1)),
    "a type that nothing is known of": (
        of("DROP TYPE s.mood"),
        {},
        found(NO_GUARD.replace("ticketstatus", "s.mood"), statement=1),
    ),
    "a look at another type": (
        of("SELECT 1 FROM pg_type WHERE typname = 'mood'", DROP),
        {},
        found(NO_GUARD, statement=2),
    ),
    "CASCADE in spite of IF EXISTS": (
        of("DROP TYPE IF EXISTS ticketstatus CASCADE"),
        {"stairway": {"changes": (STATUS,)}},
        found(
            "`DROP TYPE ticketstatus CASCADE` dropped the column `public.orders.status` with its "
            "values",
            statement=1,
        ),
    ),
    "CASCADE beside a column dropped by name": (
        of("ALTER TABLE orders DROP COLUMN note", "DROP TYPE ticketstatus CASCADE"),
        {"stairway": {"changes": (NOTE, STATUS)}},
        found(
            "`DROP TYPE ticketstatus CASCADE` dropped the column `public.orders.status` with its "
            "values",
            statement=2,
        ),
    ),
    "CASCADE with nothing left to drop": (
        of("DROP TYPE ticketstatus CASCADE"),
        {},
        found("`DROP TYPE ticketstatus CASCADE` drops every column that uses it", statement=1),
    ),
    "in a downgrade": (
        of("CREATE TYPE mood AS ENUM ('a')"),
        {"stairway": {"downgrade": a_downgrade(a_statement("DROP TYPE mood"))}},
        found(NO_GUARD.replace("ticketstatus", "mood"), statement=1),
    ),
    "a swap without a look at the rows": (
        swap(),
        {},
        found(
            "The new type of `public.orders.status` lacks the label 'lost'; a row that "
            "holds it stops the revision",
            statement=3,
            relation="public.orders",
        ),
    ),
    "a swap in the other order": (
        of(
            "CREATE TYPE ticketstatus_new AS ENUM ('open')",
            "ALTER TABLE orders ALTER status TYPE ticketstatus_new USING NULL",
            "DROP TYPE IF EXISTS ticketstatus",
            "ALTER TYPE ticketstatus_new RENAME TO ticketstatus",
        ),
        {},
        found(
            "The new type of `public.orders.status` lacks the label 'closed', 'lost'; a "
            "row that holds it stops the revision",
            statement=2,
            relation="public.orders",
        ),
    ),
    "a downgrade that takes back a label": (
        of("ALTER TYPE ticketstatus ADD VALUE 'new'"),
        {
            "stairway": {
                "downgrade": a_downgrade(
                    *of(
                        "ALTER TYPE ticketstatus RENAME TO old",
                        "CREATE TYPE ticketstatus AS ENUM ('open', 'closed', 'lost')",
                        "ALTER TABLE orders ALTER status TYPE ticketstatus USING NULL",
                        "DROP TYPE IF EXISTS old",
                    )
                )
            }
        },
        found(
            "The new type of `public.orders.status` lacks the label 'new'; a row that "
            "holds it stops the revision",
            statement=3,
            relation="public.orders",
        ),
    ),
}


@pytest.mark.parametrize(
    ("statements", "fields", "expected"), FINDINGS.values(), ids=FINDINGS.keys()
)
def test_unguarded(
    statements: tuple[Statement, ...], fields: dict[str, Any], expected: Finding
) -> None:
    rehearsal = sent(*statements, enums_before=ENUMS, **fields)
    assert ask(enum_drop_unguarded, adding(), rehearsal) == ([expected], [])


IN_USE = """cannot drop type ticketstatus because other objects depend on it
DETAIL:  column status of table orders depends on type ticketstatus
HINT:  Use DROP ... CASCADE to drop the dependent objects too."""


@pytest.mark.parametrize("direction", [Direction.UPGRADE, Direction.DOWNGRADE])
def test_a_column_still_uses_the_type(direction: Direction) -> None:
    error = StepError("DependentObjectsStillExist", IN_USE, "2BP01", DROP,
                      "migrations/versions/b002.py", 25)  # fmt: skip
    step = a_step("b002", a_statement(DROP, line=25, end_line=25), direction=direction,
                  outcome=Outcome.FAILED, error=error)  # fmt: skip
    stairway = a_rehearsed(**{direction.value: step})
    expected = found(
        "`DROP TYPE ticketstatus` failed: `orders.status` still uses the type", statement=1
    )
    expected = replace(expected, line=25, end_line=25)
    assert ask(enum_drop_unguarded, adding(), a_rehearsal(stairway)) == ([expected], [])


def test_the_remedy_names_the_column() -> None:
    rehearsal = sent(*of("DROP TYPE ticketstatus CASCADE"), stairway={"changes": (STATUS,)})
    assert remedies(enum_drop_unguarded, adding(), rehearsal) == [
        "Drop the columns by name, then the type, so that nothing else can go with it:\n\n"
        '    op.drop_column("orders", "status")\n'
        '    op.execute("DROP TYPE IF EXISTS ticketstatus")'
    ]


MOOD = Difference(DifferenceKind.MISSING, "enum", "public.ticketstatus")
LABEL = Difference(DifferenceKind.MISSING, "enum label", "public.ticketstatus.lost")
CASCADE = "DO 'BEGIN DROP TYPE ticketstatus CASCADE; END'"


@pytest.mark.parametrize(
    "statements",
    [of(CASCADE), of("ALTER TYPE ticketstatus SET SCHEMA s2", "DROP SCHEMA s2 CASCADE")],
)
def test_a_type_that_went_along(statements: tuple[Statement, ...]) -> None:
    """The text says how, the catalog says what went with it."""
    rehearsal = sent(*statements, stairway={"changes": (MOOD, STATUS)})
    expected = found(
        f"`{statements[-1].sql}` dropped the type `ticketstatus` and with it the column "
        "`public.orders.status` with its values",
        statement=len(statements),
    )
    assert ask(enum_drop_unguarded, adding(), rehearsal) == ([expected], [])


@pytest.mark.parametrize(
    ("statements", "difference", "skipped"),
    [
        (of("DO 'BEGIN DROP TYPE IF EXISTS ticketstatus; END'"), MOOD,
         ["how the enum `public.ticketstatus` was dropped was not seen"]),
        (of("SELECT tidy()"), LABEL,
         ["how the enum label `public.ticketstatus.lost` was dropped was not seen"]),
        ((), MOOD, ["how the enum `public.ticketstatus` was dropped was not seen"]),
        (of("DROP SCHEMA s CASCADE"), MOOD, []),
        (of("SELECT tidy()", "DROP TYPE IF EXISTS ticketstatus"), MOOD, []),
        (of("DO 'BEGIN END'"), NOTE, []),
    ],
)  # fmt: skip
def test_what_was_not_seen_is_not_passed(
    statements: tuple[Statement, ...], difference: Difference, skipped: list[str]
) -> None:
    rehearsal = sent(*statements, enums_before=ENUMS, stairway={"changes": (difference,)})
    assert ask(enum_drop_unguarded, adding(), rehearsal) == ([], skipped)


def test_the_remedy_of_a_swap_maps_the_labels() -> None:
    rehearsal = sent(*swap(), enums_before=ENUMS)
    assert remedies(enum_drop_unguarded, adding(), rehearsal) == [
        "Map the rows that hold it where the type is changed, each label to the one that it "
        "becomes (here 'open'):\n\n"
        '    op.execute("ALTER TABLE orders ALTER COLUMN status TYPE ticketstatus USING CASE '
        "status::text WHEN 'lost' THEN 'open' ELSE status::text END::ticketstatus\")"
    ]
