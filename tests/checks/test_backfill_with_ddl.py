from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gatekeeper.checks import backfill_with_ddl
from gatekeeper.model import Finding, Rehearsal, Statement
from tests.build import a_change_set, a_rehearsal, a_rehearsed, a_revision, a_statement, a_step
from tests.checks.ask import BEFORE, a_finding, adding, ask, sent

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
        pytest.param((CREATE, a_statement("INSERT INTO p VALUES (1)")), id="a new table's rows"),
        pytest.param((ADD, a_statement("SELECT 1 FROM orders", rows=1)), id="rows that are read"),
        pytest.param((ADD, a_statement("SELECT 1 FROM pg_class", rows=0)), id="the catalog"),
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


@pytest.mark.parametrize(
    ("sql", "verb"),
    [("UPDATE orders SET a = 1", "changed"), ("SELECT id FROM orders", "found")],
)
def test_a_table_without_rows_shows_nothing(sql: str, verb: str) -> None:
    """Nor does a loop over its rows, which sends nothing then."""
    skipped = (
        f"`{sql}` {verb} no row here: how many are changed under ACCESS EXCLUSIVE of "
        "`public.orders` where there are rows is not known"
    )
    statements = (ADD, a_statement(sql, rows=0))
    assert ask(backfill_with_ddl, adding(), sent(*statements)) == ([], [skipped])


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


LATER = a_statement("UPDATE orders SET a = 1", "c003", rows=25, transaction=1)
FIRST = replace(ADD, transaction=1)
TWO = a_change_set(a_revision(), a_revision("c003", "b002"))


def in_two_revisions(ddl: Statement, fill: Statement) -> Rehearsal:
    revisions = (
        a_rehearsed(upgrade=a_step("b002", ddl)),
        a_rehearsed(a_revision("c003", "b002"), upgrade=a_step("c003", fill)),
    )
    return a_rehearsal(*revisions, relations_before=BEFORE)


def test_rows_of_a_later_revision_in_the_same_transaction() -> None:
    expected = a_finding(
        "backfill-with-ddl",
        "`UPDATE orders SET a = 1` changed 25 rows while ACCESS EXCLUSIVE of `ALTER TABLE orders "
        "ADD a int` (`b002`) was held on `public.orders` and blocked reads and writes",
        statement=1,
        revision="c003",
        path="migrations/versions/c003.py",
        relation="public.orders",
    )
    assert ask(backfill_with_ddl, TWO, in_two_revisions(FIRST, LATER)) == ([expected], [])


@pytest.mark.parametrize(
    ("ddl", "fill", "fields"),
    [
        (FIRST, replace(LATER, transaction=2), {}),
        (ADD, replace(LATER, transaction=None), {}),
        pytest.param(FIRST, LATER, {"is_audit": True}, id="an audit runs each by itself"),
    ],
)
def test_each_revision_has_a_transaction(
    ddl: Statement, fill: Statement, fields: dict[str, Any]
) -> None:
    changes = replace(TWO, **fields)
    rehearsal = in_two_revisions(ddl, fill)
    revisions = tuple(replace(r, relations_before=BEFORE) for r in rehearsal.revisions)
    rehearsal = replace(rehearsal, revisions=revisions)
    assert ask(backfill_with_ddl, changes, rehearsal) == ([], [])


def test_the_table_is_named_rather_than_its_index() -> None:
    drop = a_statement(
        "DROP INDEX ix_orders_note",
        locks={"public.ix_orders_note": "ACCESS_EXCLUSIVE", **EXCLUSIVE},
    )
    findings, _ = ask(backfill_with_ddl, adding(), sent(drop, FILL))
    assert [f.relation for f in findings] == ["public.orders"]
