from __future__ import annotations

import pytest

from gatekeeper.checks import add_column_not_null_no_default
from gatekeeper.model import Outcome, StepError
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
        "Give the column a `server_default`, for example:\n\n"
        '    op.add_column("orders", sa.Column("currency", …, nullable=False, server_default=…))'
    ]
