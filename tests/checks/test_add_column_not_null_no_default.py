from __future__ import annotations

from typing import Any

import pytest

from gatekeeper.checks import add_column_not_null_no_default
from gatekeeper.model import Difference, DifferenceKind, Outcome, Statement, StepError
from tests.build import a_rehearsal, a_rehearsed, a_statement, a_step
from tests.checks.ask import BEFORE, a_finding, adding, ask, remedies, sent

SQL = "ALTER TABLE orders ADD COLUMN currency TEXT NOT NULL"


@pytest.mark.parametrize(
    "sql",
    [
        "ALTER TABLE orders ADD COLUMN currency TEXT",
        "ALTER TABLE orders ADD COLUMN currency TEXT DEFAULT 'EUR' NOT NULL",
        "ALTER TABLE orders ADD COLUMN n bigserial NOT NULL",
        "ALTER TABLE orders ADD COLUMN n int NOT NULL GENERATED ALWAYS AS IDENTITY",
        "ALTER TABLE orders ADD COLUMN n int NOT NULL GENERATED ALWAYS AS (id * 2) STORED",
        "ALTER TABLE orders ALTER COLUMN note SET NOT NULL",
        pytest.param("ALTER TABLE parcels ADD COLUMN n int NOT NULL", id="a new table"),
        pytest.param("CREATE TABLE parcels (n int NOT NULL)", id="a new table's own"),
    ],
)
def test_clean(sql: str) -> None:
    rehearsal = sent(a_statement(sql))
    assert ask(add_column_not_null_no_default, adding(), rehearsal) == ([], [])


MESSAGE = (
    "`public.orders.currency` is added NOT NULL without a server default{sql}: it fails where the "
    "table holds rows, and so do the INSERTs of the release that is still running"
)


@pytest.mark.parametrize(
    "sql", [SQL, "ALTER TABLE public.orders ADD currency text PRIMARY KEY, ADD note2 text"]
)
def test_added(sql: str) -> None:
    findings, skipped = ask(add_column_not_null_no_default, adding(), sent(a_statement(sql)))
    shown = sql if len(sql) <= 60 else sql[:59] + "…"
    expected = a_finding(
        "add-column-not-null-no-default",
        MESSAGE.format(sql=f" (`{shown}`)"),
        statement=1,
        relation="public.orders",
    )
    assert (findings, skipped) == ([expected], [])


def test_where_rows_made_it_fail() -> None:
    error = StepError("NotNullViolation", "…", "23502", SQL, "migrations/versions/b002.py", 17)
    step = a_step("b002", outcome=Outcome.FAILED, error=error)
    rehearsal = a_rehearsal(a_rehearsed(upgrade=step), relations_before=BEFORE)
    expected = a_finding("add-column-not-null-no-default", MESSAGE.format(sql=""), 17)
    assert ask(add_column_not_null_no_default, adding(), rehearsal) == (
        [expected],
        ["the upgrade of `b002` failed"],
    )
    assert remedies(add_column_not_null_no_default, adding(), rehearsal) == [
        "Give the column a `server_default`, and leave it until every release that runs knows the "
        "column, for example:\n\n"
        '    op.add_column("orders", sa.Column("currency", …, nullable=False, server_default=…))'
    ]


BLOCK = "DO $$ BEGIN EXECUTE 'ALTER TABLE orders ADD currency text NOT NULL'; END $$"
RENAME = Difference(DifferenceKind.MISSING, "column", "public.orders.old", "public.orders")


@pytest.mark.parametrize(
    ("sql", "required"),
    [
        (SQL, {"public.orders.currency": False}),  # the default is the domain's
        ("ALTER TABLE orders RENAME note TO currency", {"public.orders.currency": True}),
        (BLOCK, {"public.orders.currency": False}),
        ("CREATE TABLE parcels (n int NOT NULL)", {"public.parcels.n": True}),
    ],
)
def test_the_catalog_has_the_last_word(sql: str, required: dict[str, bool]) -> None:
    rehearsal = sent(a_statement(sql), stairway={"new_columns": required})
    assert ask(add_column_not_null_no_default, adding(), rehearsal) == ([], [])


@pytest.mark.parametrize(
    "statements",
    [
        (
            a_statement("ALTER TABLE orders ADD currency text"),
            a_statement("ALTER TABLE orders ALTER currency SET NOT NULL"),
        ),
        (a_statement("ALTER TABLE orders ADD currency text NOT NULL DEFAULT NULL::text"),),
        (a_statement(BLOCK),),
        (
            a_statement(
                "-- sent past SQLAlchemy: not seen",
                is_unseen=True,
                locks={"public.orders": "ACCESS_EXCLUSIVE"},
            ),
        ),
    ],
)
def test_the_catalog_shows_what_no_text_does(statements: tuple[Statement, ...]) -> None:
    """It is NOT NULL without a default in the end, whatever the statements say."""
    new = {"public.orders.currency": True}
    findings, skipped = ask(
        add_column_not_null_no_default, adding(), sent(*statements, stairway={"new_columns": new})
    )
    assert [(f.statement, f.relation) for f in findings] == [(1, "public.orders")]
    assert skipped == []


@pytest.mark.parametrize(
    "statements",
    [
        (
            a_statement("ALTER TABLE orders ADD currency text"),
            a_statement("UPDATE public.orders SET currency = 'EUR'"),
            a_statement("ALTER TABLE orders ALTER currency SET NOT NULL"),
        ),
        (
            a_statement("ALTER TABLE orders ADD currency text NOT NULL DEFAULT 'EUR'"),
            a_statement("ALTER TABLE orders ALTER currency DROP DEFAULT"),
        ),
    ],
)
def test_what_rows_get_before_it_is_not_null(statements: tuple[Statement, ...]) -> None:
    stairway = {"new_columns": {"public.orders.currency": True}}
    rehearsal = sent(*statements, stairway=stairway)
    assert ask(add_column_not_null_no_default, adding(), rehearsal) == ([], [])


ADD = a_statement("ALTER TABLE orders ADD currency text")
SET = a_statement("ALTER TABLE orders ALTER currency SET NOT NULL")
UNSEEN = (
    "whether the rows get a value for `public.orders.currency` was not seen: "
    "`SELECT id FROM orders` found none here"
)


@pytest.mark.parametrize(
    ("statements", "lines", "skipped"),
    [
        pytest.param(
            (ADD, a_statement("SELECT id FROM orders", rows=0), SET), [], [UNSEEN], id="no row"
        ),
        pytest.param(
            (ADD, a_statement("SELECT id FROM orders", rows=2), SET), [1], [], id="left empty"
        ),
        pytest.param(
            (ADD, a_statement("SELECT id FROM customers", rows=0), SET), [1], [], id="other rows"
        ),
        pytest.param(
            (a_statement("SELECT id FROM orders", rows=0), ADD, SET), [2], [], id="before"
        ),
        pytest.param(
            (a_statement(SQL), a_statement("SELECT id FROM orders", rows=0)), [1], [], id="at once"
        ),
    ],
)
def test_a_loop_over_the_rows_of_an_empty_table(
    statements: tuple[Statement, ...], lines: list[int], skipped: list[str]
) -> None:
    """A loop that fills the column sends nothing where there are no rows."""
    stairway = {"new_columns": {"public.orders.currency": True}}
    findings, unknown = ask(
        add_column_not_null_no_default, adding(), sent(*statements, stairway=stairway)
    )
    assert ([f.statement for f in findings], unknown) == (lines, skipped)


def test_a_column_that_nobody_saw() -> None:
    stairway: dict[str, Any] = {"new_columns": {"public.orders.currency": True}}
    skipped = ["how the column `public.orders.currency` was added was not seen"]
    rehearsal = sent(stairway=stairway)
    assert ask(add_column_not_null_no_default, adding(), rehearsal) == ([], skipped)
    stairway["changes"] = (RENAME,)
    rehearsal = sent(a_statement("DO 'RENAME old TO currency'"), stairway=stairway)
    assert ask(add_column_not_null_no_default, adding(), rehearsal) == ([], skipped)


def test_a_renamed_table_is_still_the_one_from_before() -> None:
    rehearsal = sent(
        a_statement("ALTER TABLE orders RENAME TO purchases"),
        a_statement("ALTER TABLE purchases ADD a int NOT NULL"),
        a_statement("CREATE TABLE orders (id int)"),
        a_statement("ALTER TABLE orders ADD b int NOT NULL"),
    )
    findings, _ = ask(add_column_not_null_no_default, adding(), rehearsal)
    assert [(f.statement, f.relation) for f in findings] == [(2, "public.orders")]
