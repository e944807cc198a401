from __future__ import annotations

from typing import Any

import pytest

from gatekeeper.checks import table_rewrite
from gatekeeper.model import Basis, Statement
from tests.build import a_statement
from tests.checks.ask import a_finding, adding, ask, remedies, sent

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


UNWATCHED: dict[str, Any] = {"in_transaction": False, "locks": None}


@pytest.mark.parametrize(
    ("statement", "skipped"),
    [
        (a_statement("VACUUM orders", **UNWATCHED), []),
        (a_statement("ALTER TABLE parcels ADD a int", **UNWATCHED), []),
        (
            a_statement("ALTER TABLE orders ADD a int", **UNWATCHED),
            ["whether `ALTER TABLE orders ADD a int` rewrote a table was not observed"],
        ),
        (
            a_statement("VACUUM FULL", **UNWATCHED),
            ["whether `VACUUM FULL` rewrote a table was not observed"],
        ),
    ],
)
def test_what_was_not_watched(statement: Statement, skipped: list[str]) -> None:
    assert ask(table_rewrite, adding(), sent(statement)) == ([], skipped)


def test_what_is_certain_without_watching() -> None:
    expected = a_finding(
        "table-rewrite",
        "`VACUUM FULL orders` will rewrite `public.orders` and its indexes under ACCESS EXCLUSIVE: "
        "nobody reads or writes it until every row is written anew",
        statement=1,
        relation="public.orders",
        basis=Basis.READ,
    )
    statement = a_statement("VACUUM FULL orders", **UNWATCHED)
    assert ask(table_rewrite, adding(), sent(statement)) == ([expected], [])


@pytest.mark.parametrize(
    ("sql", "remedy"),
    [
        (SQL, "Add a new column with what is wanted"),
        ("SELECT 1; ALTER TABLE orders ADD a float DEFAULT random()", "Add the column as nullable"),
        ("ALTER TABLE orders SET UNLOGGED", "Take it out of the migrations"),
        ("CLUSTER orders USING i", "Take it out of the migrations"),
        (
            "REFRESH MATERIALIZED VIEW public.orders",
            "With a UNIQUE index on the view, which it needs, readers go on:\n\n"
            '    op.execute("REFRESH MATERIALIZED VIEW CONCURRENTLY public.orders")',
        ),
    ],
)
def test_remedies(sql: str, remedy: str) -> None:
    statement = a_statement(sql, rewrites=("public.orders",))
    (found,) = remedies(table_rewrite, adding(), sent(statement))
    assert found.startswith(remedy)


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
