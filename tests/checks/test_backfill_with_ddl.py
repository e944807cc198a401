from __future__ import annotations

import pytest

from gatekeeper.checks import backfill_with_ddl
from gatekeeper.model import Finding, Statement
from tests.build import a_statement
from tests.checks.ask import a_finding, adding, ask, sent

EXCLUSIVE = {"public.orders": "ACCESS_EXCLUSIVE"}
ADD = a_statement("ALTER TABLE orders ADD a int", locks=EXCLUSIVE)
FILL = a_statement("UPDATE orders SET a = 1", rows=25)
CREATE = a_statement(
    "CREATE TABLE p (o bigint REFERENCES orders)", locks={"public.orders": "SHARE_ROW_EXCLUSIVE"}
)


@pytest.mark.parametrize(
    "statements",
    [
        (ADD,),
        (FILL,),
        pytest.param((FILL, ADD), id="rows first: the lock comes after"),
        pytest.param((ADD, a_statement("UPDATE orders SET a = 1", rows=0)), id="no row"),
        pytest.param((CREATE, a_statement("INSERT INTO p VALUES (1)")), id="a new table's rows"),
        pytest.param(
            (ADD, a_statement("SELECT 1", in_transaction=False), FILL), id="given back in between"
        ),
        pytest.param((ADD, a_statement("COMMIT"), FILL), id="committed in between"),
        pytest.param(
            (a_statement("COMMENT ON TABLE orders IS ''", locks={"public.orders":
             "SHARE_UPDATE_EXCLUSIVE"}), FILL), id="a lock that blocks nobody"
        ),
        pytest.param(
            (a_statement("LOCK TABLE orders", locks=EXCLUSIVE), FILL), id="a lock by hand"
        ),
    ],
)  # fmt: skip
def test_clean(statements: tuple[Statement, ...]) -> None:
    assert ask(backfill_with_ddl, adding(), sent(*statements)) == ([], [])


def filled(message: str) -> Finding:
    return a_finding("backfill-with-ddl", message, statement=2, relation="public.orders")


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        (
            (ADD, a_statement("DELETE FROM orders", rows=1)),
            filled(
                "`DELETE FROM orders` changed 1 row while ACCESS EXCLUSIVE of `ALTER TABLE orders "
                "ADD a int` was held on `public.orders` and blocked reads and writes"
            ),
        ),
        (
            (ADD, FILL, FILL),
            filled(
                "`UPDATE orders SET a = 1` changed 25 rows while ACCESS EXCLUSIVE of `ALTER TABLE "
                "orders ADD a int` was held on `public.orders` and blocked reads and writes"
            ),
        ),
        (
            (CREATE, a_statement("INSERT INTO p SELECT id FROM orders")),
            filled(
                "`INSERT INTO p SELECT id FROM orders` changed rows while SHARE ROW EXCLUSIVE of "
                "`CREATE TABLE p (o bigint REFERENCES orders)` was held on `public.orders` and "
                "blocked writes"
            ),
        ),
    ],
)
def test_filled(statements: tuple[Statement, ...], expected: Finding) -> None:
    assert ask(backfill_with_ddl, adding(), sent(*statements)) == ([expected], [])


def test_a_block_that_changes_rows_is_not_passed() -> None:
    sql = "DO 'BEGIN UPDATE orders SET a = 1; END'"
    block = a_statement(sql, locks={"public.orders": "ROW_EXCLUSIVE"})
    skipped = [f"what `{sql}` changed is not in its text"]
    assert ask(backfill_with_ddl, adding(), sent(ADD, block)) == ([], skipped)
