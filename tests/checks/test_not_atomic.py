from __future__ import annotations

from typing import Any

import pytest

from gatekeeper.checks import not_atomic
from gatekeeper.model import Basis, Finding, Outcome, Statement
from tests.build import a_revision, a_statement
from tests.checks.ask import a_finding, adding, ask, sent

ORDERS = {"public.orders": "ACCESS_EXCLUSIVE"}
CUSTOMERS = {"public.customers": "ACCESS_EXCLUSIVE"}
BOTH = {**ORDERS, **CUSTOMERS}


def of(*sql: str, **fields: Any) -> tuple[Statement, ...]:
    return tuple(a_statement(text, **fields) for text in sql)


CLEAN = {
    "nothing": of(),
    "one table": of("ALTER TABLE orders ADD a int", "ALTER TABLE orders ADD b int"),
    "the same, qualified": of(
        "ALTER TABLE orders ADD a int", "ALTER TABLE public.orders ADD b int"
    ),
    "two tables tied by a foreign key": of(
        "CREATE TABLE a (id int PRIMARY KEY)", "CREATE TABLE b (a int REFERENCES a)"
    ),
    "tied later": of(
        "CREATE TABLE a (id int PRIMARY KEY)",
        "CREATE TABLE b (a int)",
        "ALTER TABLE b ADD FOREIGN KEY (a) REFERENCES a",
    ),
    "two tables around a third": of(
        "CREATE TABLE a (o bigint REFERENCES orders)", "CREATE TABLE b (o bigint REFERENCES orders)"
    ),
    "an index of the table": of("CREATE TABLE a (id int)", "CREATE INDEX i ON a (id)"),
    "an enum of the table": of(
        "CREATE TYPE mood AS ENUM ('a')", "ALTER TABLE orders ADD COLUMN m mood"
    ),
    "two tables with one new enum": of(
        "CREATE TYPE mood AS ENUM ('a')", "CREATE TABLE a (m mood)", "CREATE TABLE b (m mood)"
    ),
    "a renamed table": of("ALTER TABLE orders RENAME TO o2", "ALTER TABLE o2 ADD a int"),
    "a dropped foreign key locks both": (
        a_statement("ALTER TABLE orders DROP CONSTRAINT fk", locks=BOTH),
        a_statement("DROP TABLE customers", locks=CUSTOMERS),
    ),
    "a dropped index of the table": (
        a_statement("DROP INDEX ix_orders_note", locks=ORDERS),
        a_statement("ALTER TABLE orders DROP COLUMN note", locks=ORDERS),
    ),
    "a view of the table": of("ALTER TABLE orders ADD a int", "CREATE VIEW v AS TABLE orders"),
    "an extension and a table": of("CREATE EXTENSION citext", "CREATE TABLE a (b citext)"),
    "a table that is filled": of("CREATE TABLE a (id int)", "INSERT INTO a VALUES (1)"),
    "filled from another": of("CREATE TABLE a (id bigint)", "INSERT INTO a SELECT id FROM orders"),
    "rows of two tables": of("UPDATE orders SET a = 1", "DELETE FROM customers"),
    "settings and looks": of(
        "SET LOCAL lock_timeout = '4s'", "SELECT 1 FROM customers", "ALTER TABLE orders ADD a int"
    ),
    "a savepoint": of("SAVEPOINT a", "ALTER TABLE orders ADD a int", "RELEASE SAVEPOINT a"),
    "an autocommit_block alone": of(
        "DROP INDEX CONCURRENTLY IF EXISTS ix_orders_note",
        "CREATE INDEX CONCURRENTLY ix_orders_note ON orders (note)",
        in_transaction=False,
        locks=None,
    ),
    "an autocommit_block beside a setting": (
        a_statement("SET lock_timeout = '4s'"),
        a_statement("ALTER TYPE mood ADD VALUE 'c'", in_transaction=False),
    ),
    "everything can be run again": (
        a_statement("ALTER TABLE orders ADD COLUMN IF NOT EXISTS a int"),
        a_statement(
            "CREATE INDEX CONCURRENTLY IF NOT EXISTS i ON orders (a)", in_transaction=False
        ),
    ),
    "a temporary table to work with": of(
        "CREATE TEMP TABLE t (id int)",
        "CREATE INDEX ON t (id)",
        "INSERT INTO t SELECT id FROM orders",
        "CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "UPDATE orders SET note = 1 FROM t",
        "DROP TABLE t",
    ),
    "not the revision's own": (
        a_statement("ALTER TABLE orders ADD a int"),
        a_statement("UPDATE alembic_version SET version_num = 'b002'", path=None),
        a_statement("INSERT INTO log VALUES (1)", path="migrations/env.py"),
    ),
}


@pytest.mark.parametrize("statements", CLEAN.values(), ids=CLEAN.keys())
def test_clean(statements: tuple[Statement, ...]) -> None:
    assert ask(not_atomic, adding(), sent(*statements)) == ([], [])


TWO = (
    a_statement("ALTER TABLE orders ADD a int", locks=ORDERS),
    a_statement("CREATE INDEX i ON customers (email)", locks={"public.customers": "SHARE"}),
)


def test_as_many_relations_as_the_policy_allows() -> None:
    assert ask(not_atomic, adding(), sent(*TWO), max_relations=2) == ([], [])


def test_the_first_revision_may_create_everything() -> None:
    revision = a_revision(down=None)
    rehearsal = sent(*of("CREATE TABLE a ()", "CREATE TABLE b ()"), revision=revision)
    assert ask(not_atomic, adding(down=None), rehearsal) == ([], [])


def test_a_failed_upgrade_is_not_judged_to_its_end() -> None:
    rehearsal = sent(step={"outcome": Outcome.FAILED})
    assert ask(not_atomic, adding(), rehearsal) == ([], ["the upgrade of `b002` failed"])


def found(message: str, **fields: Any) -> Finding:
    return a_finding("not-atomic", message, **fields)


FINDINGS = {
    "two unrelated relations": (
        TWO,
        found(
            "`b002` changes 2 unrelated relations: `orders`, `customers`",
            statement=2,
            relation="public.customers",
        ),
    ),
    "two new tables": (
        of("CREATE TABLE a ()", "CREATE TABLE s.b ()"),
        found("`b002` changes 2 unrelated relations: `a`, `s.b`", statement=2, relation="s.b"),
    ),
    "COMMIT": (
        of("ALTER TABLE orders ADD a int", "COMMIT", "ALTER TABLE orders ADD b int"),
        found(
            "`COMMIT` in the middle of `b002`: what precedes it stays if the rest fails",
            statement=2,
        ),
    ),
    "COMMIT within a text": (
        of("ALTER TABLE orders ADD a int; COMMIT; BEGIN"),
        found(
            "`COMMIT` in the middle of `b002`: what precedes it stays if the rest fails",
            statement=1,
        ),
    ),
    "two relations in one text": (
        (a_statement("ALTER TABLE orders ADD a int; ALTER TABLE customers ADD a int", locks=BOTH),),
        found(
            "`b002` changes 2 unrelated relations: `orders`, `customers`",
            statement=1,
            relation="public.customers",
        ),
    ),
    "autocommit_block beside others": (
        (
            a_statement("ALTER TABLE orders ADD a int"),
            a_statement(
                "CREATE INDEX CONCURRENTLY i ON orders (a)", in_transaction=False, locks=None
            ),
        ),
        found(
            "`CREATE INDEX CONCURRENTLY i ON orders (a)` ran outside the transaction of the other "
            "operations of `b002`: if one of them fails, the others stay",
            statement=2,
        ),
    ),
    "schema, then rows": (
        of("ALTER TABLE orders ADD a int", "UPDATE orders SET a = 1"),
        found(
            "`b002` changes the schema (`ALTER TABLE orders ADD a int`) and rows of "
            "`public.orders` (`UPDATE orders SET a = 1`) together",
            statement=2,
            relation="public.orders",
        ),
    ),
    "rows, then schema": (
        of("DELETE FROM orders", "SELECT 1", "ALTER TABLE orders ADD UNIQUE (note)"),
        found(
            "`b002` changes the schema (`ALTER TABLE orders ADD UNIQUE (note)`) and rows of "
            "`public.orders` (`DELETE FROM orders`) together",
            statement=3,
            relation="public.orders",
        ),
    ),
}


@pytest.mark.parametrize(("statements", "expected"), FINDINGS.values(), ids=FINDINGS.keys())
def test_not_atomic(statements: tuple[Statement, ...], expected: Finding) -> None:
    assert ask(not_atomic, adding(), sent(*statements)) == ([expected], [])


def test_what_a_foreign_key_ties_belongs_together() -> None:
    keys = frozenset({("public.orders", "public.customers")})
    assert ask(not_atomic, adding(), sent(*TWO, foreign_keys_before=keys)) == ([], [])
    stairway = {"foreign_keys_before": keys}
    assert ask(not_atomic, adding(), sent(*TWO, stairway=stairway)) == ([], [])


def test_a_table_that_both_refer_to_does_not_tie_them() -> None:
    """Else the table of users would tie all there is."""
    keys = frozenset({("public.orders", "public.users"), ("public.customers", "public.users")})
    findings, _ = ask(not_atomic, adding(), sent(*TWO, foreign_keys_before=keys))
    assert len(findings) == 1


def test_partitions_of_one_table_belong_together() -> None:
    parts = {
        "public.orders": "public.o_2026",
        "public.o_2026": "public.all",
        "public.customers": "public.all",
    }
    stairway = {"partitions_before": parts}
    assert ask(not_atomic, adding(), sent(*TWO, stairway=stairway)) == ([], [])


HIDDEN = "`b002` ran a statement sent past SQLAlchemy"
BLOCK = "DO 'BEGIN UPDATE orders SET note = 1; END'"


@pytest.mark.parametrize(
    ("statement", "skipped"),
    [
        (a_statement("-- sent past SQLAlchemy: not seen", is_unseen=True), [HIDDEN]),
        (a_statement("DO 'BEGIN CREATE TYPE m AS ENUM (); END'"), []),
        (
            a_statement(BLOCK, locks={"public.orders": "ROW_EXCLUSIVE"}),
            [f"what `{BLOCK}` changed is not in its text"],
        ),
        (
            a_statement("SELECT archive('orders')", locks=ORDERS),
            ["what `SELECT archive('orders')` changed is not in its text"],
        ),
    ],
)
def test_what_no_text_tells_is_not_passed(statement: Statement, skipped: list[str]) -> None:
    assert ask(not_atomic, adding(), sent(statement)) == ([], skipped)


@pytest.mark.parametrize(
    "source",
    [
        "",
        "def upgrade():\n    op.execute('x')\n",
        "def helper():\n    session.commit()\n",
        "def upgrade():\n    s = bind.begin_nested()\n    s.commit()\n",
        "def upgrade():\n    with bind.begin_nested() as s:\n        s.rollback()\n",
        "def upgrade():\n    with engine.connect() as k:\n        k.commit()\n",
        "def upgrade():\n    s = orm.Session(bind=op.get_bind())\n    s.commit()\n",
        "S = sessionmaker()\ndef upgrade():\n    s = S(bind=op.get_bind())\n    s.commit()\n",
        "def upgrade():\n    engine.raw_connection().commit()\n",
    ],
)
def test_no_transaction_is_ended(source: str) -> None:
    assert ask(not_atomic, adding(source=source), None) == ([], [])


@pytest.mark.parametrize(
    ("source", "call", "line"),
    [
        ("def upgrade():\n    op.get_bind().commit()\n", "op.get_bind().commit()", 2),
        ("def downgrade():\n    pass\n    bind.rollback()\n", "bind.rollback()", 3),
    ],
)
def test_a_transaction_is_ended(source: str, call: str, line: int) -> None:
    """It is read from the file, so that it is found without a rehearsal too."""
    expected = found(
        f"`{call}` ends the transaction that Alembic holds: what precedes it stays if the rest "
        "fails",
        line=line,
        basis=Basis.READ,
    )
    assert ask(not_atomic, adding(source=source), None) == ([expected], [])
    with_commit = sent(*of("COMMIT"))
    assert ask(not_atomic, adding(source=source), with_commit) == ([expected], [])


SOURCE = "def upgrade():\n    handle.commit()\n"


def test_what_was_seen_counts_more_than_what_is_read() -> None:
    """Nobody can read what `handle` is; the version was written in the same transaction."""
    step = {"ended_transaction": False}
    assert ask(not_atomic, adding(source=SOURCE), sent(step=step)) == ([], [])
    expected = found(
        "`handle.commit()` ended the transaction that Alembic holds: what precedes it stays if the "
        "rest fails",
        line=2,
    )
    step = {"ended_transaction": True}
    assert ask(not_atomic, adding(source=SOURCE), sent(step=step)) == ([expected], [])
