from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gatekeeper.checks import index_not_concurrent
from gatekeeper.lock_modes import LockMode
from gatekeeper.model import (
    Basis,
    Difference,
    DifferenceKind,
    Finding,
    Lock,
    Outcome,
    Statement,
)
from tests.build import a_change_set, a_rehearsal, a_rehearsed, a_revision, a_statement, a_step
from tests.checks.ask import BEFORE, a_downgrade, a_finding, adding, ask, remedies, sent

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
    ("transaction", "is_audit", "verbs"),
    [
        pytest.param(1, False, "ran under ACCESS EXCLUSIVE and blocked reads and writes", id="one"),
        pytest.param(2, False, "will take SHARE and will block writes", id="two"),
        pytest.param(1, True, "will take SHARE and will block writes", id="an audit"),
    ],
)
def test_the_lock_of_an_earlier_revision(transaction: int, is_audit: bool, verbs: str) -> None:
    ddl = a_statement("ALTER TABLE orders ADD a int", locks=EXCLUSIVE, transaction=1)
    build = a_statement(CREATE, "c003", transaction=transaction)
    revisions = (
        a_rehearsed(upgrade=a_step("b002", ddl), relations_before=BEFORE),
        a_rehearsed(
            a_revision("c003", "b002"), upgrade=a_step("c003", build), relations_before=BEFORE
        ),
    )
    changes = a_change_set(*(r.revision for r in revisions), is_audit=is_audit)
    rehearsal = a_rehearsal(*revisions, relations_before=BEFORE)
    findings, _ = ask(index_not_concurrent, changes, rehearsal)
    ends = "ended" if "ran" in verbs else "ends"
    message = f"`CREATE INDEX` `ix_orders_note` on `public.orders` {verbs} until the transaction "
    assert [f.message for f in findings] == [message + ends]


HIDDEN = a_statement("-- sent past SQLAlchemy: not seen", is_unseen=True)
MADE = Difference(DifferenceKind.LEFT, "index", "public.ix_new", "public.orders")
DO = "DO $$ BEGIN CREATE INDEX ix_new ON orders (note); END $$"


def test_an_index_that_a_function_builds() -> None:
    """The body is not run where it is written, but where the function is called."""
    rehearsal = sent(
        a_statement("CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'CREATE INDEX ix_new …'"),
        a_statement("SELECT f()", locks=SHARE),
        stairway={"changes": (MADE,)},
    )
    findings, _ = ask(index_not_concurrent, adding(), rehearsal)
    assert [finding.statement for finding in findings] == [2]


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        (replace(HIDDEN, locks=a_statement("", locks=SHARE).locks), "a statement sent past SQLAlc"
         "hemy"),
        (a_statement(DO, locks=SHARE), f"`{DO}`"),
    ],
)  # fmt: skip
def test_an_index_that_no_text_builds(statement: Statement, words: str) -> None:
    """The catalog shows the index, and the lock that only building one takes."""
    expected = a_finding(
        "index-not-concurrent",
        f"The index `public.ix_new` on `public.orders` was built by {words}, which took SHARE and "
        "blocked writes until the transaction ended",
        statement=1,
        relation="public.orders",
    )
    findings, _ = ask(
        index_not_concurrent, adding(), sent(statement, stairway={"changes": (MADE,)})
    )
    assert findings == [expected]


@pytest.mark.parametrize(
    ("statements", "skipped"),
    [
        (
            (HIDDEN,),
            [
                "how the index `public.ix_new` was built was not seen",
                "`b002` ran a statement sent past SQLAlchemy",
            ],
        ),
        pytest.param(
            (a_statement("ALTER TABLE orders ADD a int", locks=EXCLUSIVE), a_statement(DO)),
            ["how the index `public.ix_new` was built was not seen"],
            id="under a lock held before",
        ),
        pytest.param(
            (),
            [
                "how the index `public.ix_new` was built was not seen",
                "what changed the schema in `b002` was not seen",
            ],
            id="on a connection of its own",
        ),
        pytest.param((a_statement("ALTER INDEX i RENAME TO ix_new"),), [], id="renamed"),
        pytest.param(
            (a_statement("ALTER TABLE p ATTACH PARTITION orders DEFAULT"),), [], id="attached"
        ),
    ],
)
def test_an_index_that_nobody_saw(statements: tuple[Statement, ...], skipped: list[str]) -> None:
    rehearsal = sent(*statements, stairway={"changes": (MADE,)})
    assert ask(index_not_concurrent, adding(), rehearsal) == ([], skipped)


def test_each_index_of_a_drop_is_named() -> None:
    statement = a_statement("DROP INDEX ix_orders_note, ix2", locks=EXCLUSIVE)
    findings, _ = ask(index_not_concurrent, adding(), sent(statement))
    assert findings[0].message.startswith("`DROP INDEX` `ix_orders_note`, `ix2` on `public.orders`")


def test_a_text_of_several_statements_shows_the_locks_of_all() -> None:
    both = a_statement(f"{DROP}; CREATE INDEX a ON orders (b)", locks=EXCLUSIVE)
    locks = (*(both.locks or ()), Lock("public.orders", LockMode.SHARE))
    findings, _ = ask(index_not_concurrent, adding(), sent(replace(both, locks=locks)))
    assert [("took SHARE and blocked writes" in f.message) for f in findings] == [False, True]


IN_BLOCK = "In a revision of its own:\n\n    with op.get_context().autocommit_block():\n"
WITH_COLUMN = (
    "\n" * 12 + "def upgrade():\n\n"
    '    op.add_column("orders", sa.Column("note", sa.Text(), index=True))\n'
)


@pytest.mark.parametrize(
    ("statement", "remedy"),
    [
        (
            a_statement(CREATE, locks=SHARE),
            f'{IN_BLOCK}        op.execute("CREATE INDEX CONCURRENTLY ix_orders_note ON orders '
            '(note)")',
        ),
        (
            a_statement(
                "SELECT 1; CREATE UNIQUE INDEX ix ON orders (lower(note)) WHERE note <> ':x'"
            ),
            f'{IN_BLOCK}        op.execute("CREATE UNIQUE INDEX CONCURRENTLY ix ON orders '
            "(lower(note)) WHERE note <> '\\\\:x'\")",
        ),
        (
            a_statement('DROP INDEX "A", b', locks=EXCLUSIVE),
            f"{IN_BLOCK}        op.execute('DROP INDEX CONCURRENTLY \"A\"')\n"
            '        op.execute("DROP INDEX CONCURRENTLY b")',
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


def test_a_columns_own_index() -> None:
    changes = adding(source=WITH_COLUMN)
    (remedy,) = remedies(index_not_concurrent, changes, sent(a_statement(CREATE, locks=SHARE)))
    assert remedy.startswith(f"Remove `index=True` from the column. {IN_BLOCK}")
