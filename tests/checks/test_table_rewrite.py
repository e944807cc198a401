from __future__ import annotations

import pytest

from gatekeeper.checks import table_rewrite
from gatekeeper.model import Statement
from tests.build import a_statement
from tests.checks.ask import a_finding, adding, ask, sent

SQL = "ALTER TABLE orders ALTER COLUMN total TYPE NUMERIC(12, 2)"
REWRITE = a_statement(SQL, rewrites=("public.orders",))


@pytest.mark.parametrize(
    "statements",
    [
        (a_statement(SQL),),
        pytest.param((a_statement(SQL, rewrites=("public.parcels",)),), id="a new table"),
        pytest.param(
            (a_statement("TRUNCATE orders", rewrites=("public.orders",)),), id="nothing is written"
        ),
        pytest.param((REWRITE, a_statement("DROP TABLE orders")), id="the table goes"),
    ],
)
def test_clean(statements: tuple[Statement, ...]) -> None:
    assert ask(table_rewrite, adding(), sent(*statements)) == ([], [])


@pytest.mark.parametrize("sql", [SQL, f"SET x = 1; {SQL}"])
def test_rewritten(sql: str) -> None:
    statement = a_statement(sql, rewrites=("public.orders",))
    shown = sql if len(sql) <= 60 else sql[:59] + "…"
    expected = a_finding(
        "table-rewrite",
        f"`{shown}` rewrote `public.orders` and its indexes under ACCESS EXCLUSIVE: nobody reads "
        "or writes it until every row is written anew",
        statement=1,
        relation="public.orders",
    )
    assert ask(table_rewrite, adding(), sent(statement)) == ([expected], [])
