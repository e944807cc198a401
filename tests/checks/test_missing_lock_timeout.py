from __future__ import annotations

from typing import Any

import pytest

from gatekeeper.checks import missing_lock_timeout
from gatekeeper.model import Difference, DifferenceKind, Finding, Statement
from tests.build import a_change_set, a_rehearsal, a_rehearsed, a_revision, a_statement, a_step
from tests.checks.ask import BEFORE, a_finding, adding, ask, sent

ADD = "ALTER TABLE orders ADD COLUMN currency TEXT"
BLOCKING = {"public.orders": "ACCESS_EXCLUSIVE"}


@pytest.mark.parametrize(
    ("statement", "skipped"),
    [
        (a_statement(ADD, locks=BLOCKING, lock_timeout_ms=4000), []),
        (a_statement(ADD, locks=()), []),
        pytest.param(
            a_statement("UPDATE orders SET a = 1", locks={"public.orders": "ROW_EXCLUSIVE"}),
            [],
            id="a lock that blocks nobody",
        ),
        pytest.param(
            a_statement("VALIDATE", locks={"public.orders": "SHARE_UPDATE_EXCLUSIVE"}),
            [],
            id="VALIDATE CONSTRAINT",
        ),
        pytest.param(
            a_statement(ADD, locks={"public.parcels": "ACCESS_EXCLUSIVE"}),
            [],
            id="a table that the change made",
        ),
        pytest.param(
            a_statement(
                "UPDATE alembic_version SET version_num = 'b002'", locks=BLOCKING, path="env.py"
            ),
            [],
            id="not the revision's own",
        ),
        pytest.param(
            a_statement(
                "CREATE INDEX CONCURRENTLY i ON orders (a)",
                in_transaction=False,
                locks=None,
                lock_timeout_ms=None,
            ),
            [],
            id="concurrently, unobserved",
        ),
        pytest.param(
            a_statement("ALTER TYPE mood ADD VALUE 'x'", in_transaction=False, locks=None),
            [],
            id="a type, unobserved",
        ),
        pytest.param(
            a_statement("VACUUM orders", in_transaction=False, locks=None), [], id="VACUUM"
        ),
        pytest.param(
            a_statement("SELECT date_trunc('day', now())", in_transaction=False, locks=None),
            [],
            id="a query",
        ),
        pytest.param(
            a_statement("CREATE EXTENSION citext", in_transaction=False, locks=None),
            [],
            id="no relation",
        ),
        pytest.param(
            a_statement("VACUUM FULL orders", in_transaction=False, locks=None),
            ["the locks of `VACUUM FULL orders` were not observed"],
            id="VACUUM FULL",
        ),
        pytest.param(
            a_statement("REINDEX INDEX i", in_transaction=False, locks=None),
            ["the locks of `REINDEX INDEX i` were not observed"],
            id="REINDEX",
        ),
        pytest.param(
            a_statement("DO 'BEGIN END'", in_transaction=False, locks=None),
            ["the locks of `DO 'BEGIN END'` were not observed"],
            id="what a block does is unknown",
        ),
        pytest.param(
            a_statement(ADD, in_transaction=False, locks=None),
            [f"the locks of `{ADD}` were not observed"],
            id="unobserved",
        ),
        pytest.param(
            a_statement(ADD, locks=BLOCKING, lock_timeout_ms=None),
            [f"the locks of `{ADD}` were not observed"],
            id="the setting was not observed",
        ),
    ],
)
def test_clean(statement: Statement, skipped: list[str]) -> None:
    assert ask(missing_lock_timeout, adding(), sent(statement)) == ([], skipped)


def blocked(sql: str, mode: str, relation: str, what: str, **fields: Any) -> Finding:
    return a_finding(
        "missing-lock-timeout",
        f"`{sql}` took {mode} on `{relation}` and blocked {what} with no `lock_timeout` in force; "
        "while it waits for the lock, everybody who comes later waits too",
        relation=relation,
        **fields,
    )


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        pytest.param(
            (a_statement(ADD, locks=BLOCKING), a_statement("ALTER …", locks=BLOCKING)),
            blocked(ADD, "ACCESS EXCLUSIVE", "public.orders", "reads and writes", statement=1),
            id="one a revision",
        ),
        pytest.param(
            (
                a_statement("SET lock_timeout = 0"),
                a_statement("CREATE INDEX i ON orders (a)", locks={"public.orders": "SHARE"}),
            ),
            blocked("CREATE INDEX i ON orders (a)", "SHARE", "public.orders", "writes",
                    statement=2),
            id="SHARE",
        ),
        pytest.param(
            (
                a_statement(
                    "DROP INDEX ix_orders_note",
                    locks={"public.ix_orders_note": "ACCESS_EXCLUSIVE", **BLOCKING},
                ),
            ),
            blocked("DROP INDEX ix_orders_note", "ACCESS EXCLUSIVE", "public.orders",
                    "reads and writes", statement=1),
            id="the table rather than its index",
        ),
        pytest.param(
            (
                a_statement(
                    "CREATE TABLE p (o int REFERENCES orders)",
                    locks={"public.p": "ACCESS_EXCLUSIVE", "public.orders": "SHARE_ROW_EXCLUSIVE"},
                ),
            ),
            blocked("CREATE TABLE p (o int REFERENCES orders)", "SHARE ROW EXCLUSIVE",
                    "public.orders", "writes", statement=1),
            id="the other side of a foreign key",
        ),
    ],
)  # fmt: skip
def test_blocking(statements: tuple[Statement, ...], expected: Finding) -> None:
    assert ask(missing_lock_timeout, adding(), sent(*statements)) == ([expected], [])


def test_what_was_sent_past_sqlalchemy_is_told_by_its_locks() -> None:
    statement = a_statement("-- sent past SQLAlchemy: not seen", locks=BLOCKING, is_unseen=True)
    expected = a_finding(
        "missing-lock-timeout",
        "A statement sent past SQLAlchemy took ACCESS EXCLUSIVE on `public.orders` and blocked "
        "reads and writes with no `lock_timeout` in force; while it waits for the lock, everybody "
        "who comes later waits too",
        statement=1,
        relation="public.orders",
    )
    assert ask(missing_lock_timeout, adding(), sent(statement)) == ([expected], [])


def test_a_schema_that_nobody_was_seen_to_change() -> None:
    column = Difference(DifferenceKind.LEFT, "column", "public.orders.a", "public.orders")
    rehearsal = sent(stairway={"changes": (column,)})
    unseen = "what changed the schema in `b002` was not seen"
    assert ask(missing_lock_timeout, adding(), rehearsal) == ([], [unseen])


def test_an_audit_counts_what_the_predecessors_made() -> None:
    """In an audit the base is empty; what was there is what each stairway found."""
    step = a_step("b002", a_statement(ADD, locks=BLOCKING))
    stairway = a_rehearsed(upgrade=step, relations_before=BEFORE)
    changes = a_change_set(a_revision(), is_audit=True)
    findings, _ = ask(missing_lock_timeout, changes, a_rehearsal(stairway))
    assert [each.relation for each in findings] == ["public.orders"]
