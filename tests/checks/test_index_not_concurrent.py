from __future__ import annotations

from typing import Any

import pytest

from gatekeeper.checks import index_not_concurrent
from gatekeeper.model import Basis, Difference, DifferenceKind, Finding, Outcome, Statement
from tests.build import a_statement
from tests.checks.ask import a_downgrade, a_finding, adding, ask, remedies, sent

CREATE = "CREATE INDEX ix_orders_note ON orders (note)"
DROP = "DROP INDEX ix_orders_note"
SHARE = {"public.orders": "SHARE"}
EXCLUSIVE = {"public.orders": "ACCESS_EXCLUSIVE"}
GONE = Difference(DifferenceKind.MISSING, "index", "public.ix_orders_note", "public.orders")


@pytest.mark.parametrize(
    ("statements", "fields", "skipped"),
    [
        ((a_statement("CREATE INDEX CONCURRENTLY i ON orders (note)", locks=None),), {}, []),
        ((a_statement("DROP INDEX CONCURRENTLY IF EXISTS ix_orders_note", locks=None),), {}, []),
        pytest.param(
            (a_statement("CREATE TABLE p (a int)"), a_statement("CREATE INDEX i ON p (a)")),
            {},
            [],
            id="a new table",
        ),
        pytest.param((a_statement("DROP INDEX i_new"),), {}, [], id="an index of this change"),
        pytest.param(
            (
                a_statement(DROP, locks=EXCLUSIVE),
                a_statement("DROP TABLE orders", locks=EXCLUSIVE),
            ),
            {},
            [],
            id="the table goes too",
        ),
        pytest.param(
            (a_statement("CREATE INDEX i ON ONLY orders (note)", locks=SHARE),),
            {},
            [],
            id="the first step on a partitioned table",
        ),
        pytest.param(
            (a_statement("ALTER TABLE orders ADD UNIQUE (note)", locks=EXCLUSIVE),),
            {},
            [],
            id="a constraint's index",
        ),
        pytest.param(
            (),
            {"stairway": {"downgrade": a_downgrade(a_statement(DROP, locks=EXCLUSIVE))}},
            [],
            id="in a downgrade",
        ),
        pytest.param(
            (), {"step": {"outcome": Outcome.FAILED}}, ["the upgrade of `b002` failed"], id="failed"
        ),
    ],
)
def test_clean(
    statements: tuple[Statement, ...], fields: dict[str, Any], skipped: list[str]
) -> None:
    assert ask(index_not_concurrent, adding(), sent(*statements, **fields)) == ([], skipped)


@pytest.mark.parametrize(
    ("statements", "fields", "expected"),
    [
        (
            (a_statement(CREATE, locks=SHARE),),
            {},
            a_finding(
                "index-not-concurrent",
                "`CREATE INDEX` `ix_orders_note` on `public.orders` took SHARE and blocked writes "
                "until the transaction ended",
                statement=1,
                relation="public.orders",
            ),
        ),
        pytest.param(
            (a_statement("CREATE UNIQUE INDEX ON orders (note)", locks=None),),
            {},
            a_finding(
                "index-not-concurrent",
                "`CREATE INDEX` on `public.orders` will take SHARE and will block writes until "
                "the transaction ends",
                statement=1,
                relation="public.orders",
                basis=Basis.READ,
            ),
            id="read where it was not observed",
        ),
        (
            (a_statement(DROP, locks={"public.ix_orders_note": "ACCESS_EXCLUSIVE", **EXCLUSIVE}),),
            {},
            a_finding(
                "index-not-concurrent",
                "`DROP INDEX` `ix_orders_note` on `public.orders` took ACCESS EXCLUSIVE and "
                "blocked reads and writes until the transaction ended",
                statement=1,
                relation="public.orders",
            ),
        ),
        pytest.param(
            (a_statement("ALTER TABLE orders ADD a int", locks=EXCLUSIVE), a_statement(CREATE)),
            {},
            a_finding(
                "index-not-concurrent",
                "`CREATE INDEX` `ix_orders_note` on `public.orders` ran under ACCESS EXCLUSIVE and "
                "blocked reads and writes until the transaction ended",
                statement=2,
                relation="public.orders",
            ),
            id="under an earlier statement's lock",
        ),
        pytest.param(
            (a_statement("SET x = 1"), a_statement(DROP, locks=None)),
            {"stairway": {"changes": (GONE,)}},
            a_finding(
                "index-not-concurrent",
                "`DROP INDEX` `ix_orders_note` on `public.orders` will take ACCESS EXCLUSIVE and "
                "will block reads and writes until the transaction ends",
                statement=2,
                relation="public.orders",
                basis=Basis.READ,
            ),
            id="known from the catalog",
        ),
    ],
)
def test_blocking(
    statements: tuple[Statement, ...], fields: dict[str, Any], expected: Finding
) -> None:
    assert ask(index_not_concurrent, adding(), sent(*statements, **fields)) == ([expected], [])


@pytest.mark.parametrize(
    ("statement", "remedy"),
    [
        (
            a_statement(CREATE, locks=SHARE),
            "In a revision of its own:\n\n"
            "    with op.get_context().autocommit_block():\n"
            '        op.create_index("ix_orders_note", "orders", […], '
            "postgresql_concurrently=True, if_not_exists=True)",
        ),
        (
            a_statement(DROP, locks=EXCLUSIVE),
            "In a revision of its own:\n\n"
            "    with op.get_context().autocommit_block():\n"
            '        op.drop_index("ix_orders_note", table_name="orders", '
            "postgresql_concurrently=True, if_exists=True)",
        ),
        (
            a_statement(CREATE, locks={**SHARE, "public.orders_2026": "SHARE"}),
            "A partitioned table takes no CONCURRENTLY. Use `CREATE INDEX ix_orders_note ON ONLY "
            "public.orders (…)`, then `CREATE INDEX CONCURRENTLY` on every partition, then "
            "`ALTER INDEX ix_orders_note ATTACH PARTITION …` for each.",
        ),
    ],
)
def test_remedies(statement: Statement, remedy: str) -> None:
    assert remedies(index_not_concurrent, adding(), sent(statement)) == [remedy]
