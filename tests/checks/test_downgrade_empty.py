from __future__ import annotations

from typing import Any

import pytest

from gatekeeper.checks import downgrade_empty
from gatekeeper.model import (
    Basis,
    Body,
    Difference,
    DifferenceKind,
    Finding,
    Function,
    Outcome,
    Rehearsal,
    Severity,
)
from tests.build import a_change_set, a_rehearsal, a_rehearsed, a_revision, a_statement, a_step
from tests.checks.ask import a_finding, adding, ask, remedies

EMPTY = Function(23, 24, Body.EMPTY)
COLUMN = Difference(DifferenceKind.LEFT, "column", "public.orders.currency", "public.orders")

LABEL = Difference(DifferenceKind.LEFT, "enum label", "public.mood.c")


def rehearsed(*sql: str, rows: int | None = 2, **fields: Any) -> Rehearsal:
    statements = [a_statement(text, rows=rows) for text in sql]
    stairway = a_rehearsed(upgrade=a_step("b002", *statements), **fields)
    return a_rehearsal(stairway)


def upgrade(*lines: str) -> str:
    return "def upgrade():\n" + "".join(f"    {line}\n" for line in lines)


@pytest.mark.parametrize(
    ("fields", "rehearsal", "skipped"),
    [
        pytest.param({}, rehearsed(changes=(COLUMN,)), [], id="not empty"),
        pytest.param({"downgrade": None}, rehearsed(changes=(COLUMN,)), [], id="missing"),
        pytest.param({"downgrade": EMPTY}, rehearsed(), [], id="a merge point"),
        pytest.param({"downgrade": EMPTY}, rehearsed("SELECT 1 FROM orders"), [], id="only looked"),
        pytest.param(
            {"downgrade": EMPTY}, rehearsed("DELETE FROM orders", rows=0), [], id="no row changed"
        ),
        pytest.param(
            {"downgrade": EMPTY, "upgrade": Function(14, 15, Body.EMPTY)}, None, [], id="both empty"
        ),
        pytest.param(
            {"downgrade": EMPTY, "source": upgrade("tools.fill(op.get_bind())")},
            None,
            ["what the upgrade of `b002` changes cannot be read"],
            id="unreadable",
        ),
        pytest.param(
            {"downgrade": EMPTY, "source": upgrade("op.execute(build_sql())")},
            None,
            ["what the upgrade of `b002` changes cannot be read"],
            id="computed SQL",
        ),
    ],
)
def test_clean(fields: dict[str, Any], rehearsal: Rehearsal | None, skipped: list[str]) -> None:
    assert ask(downgrade_empty, adding(**fields), rehearsal) == ([], skipped)


@pytest.mark.parametrize(
    ("source", "rehearsal", "expected"),
    [
        pytest.param(
            "",
            rehearsed("ALTER TABLE orders ADD c int", changes=(COLUMN,), round_trip=(COLUMN,)),
            a_finding(
                "downgrade-empty",
                "The downgrade of `b002` is empty, but its upgrade changed the schema; afterwards "
                "column `public.orders.currency` is left",
                23,
            ),
            id="observed",
        ),
        pytest.param(
            "",
            rehearsed("UPDATE orders SET total = 0"),
            a_finding(
                "downgrade-empty",
                "The downgrade of `b002` is empty, but its upgrade changed rows",
                23,
                severity=Severity.NOTICE,
            ),
            id="rows only",
        ),
        pytest.param(
            "",
            rehearsed("ALTER TYPE mood ADD VALUE 'c'", changes=(LABEL,), round_trip=(LABEL,)),
            a_finding(
                "downgrade-empty",
                "The downgrade of `b002` is empty, but its upgrade changed the schema; afterwards "
                "enum label `public.mood.c` is left",
                23,
                severity=Severity.NOTICE,
            ),
            id="a label only",
        ),
        pytest.param(
            upgrade('op.add_column("orders", c)'),
            None,
            a_finding(
                "downgrade-empty",
                "The downgrade of `b002` is empty, but its upgrade changes the schema",
                23,
                basis=Basis.READ,
            ),
            id="read",
        ),
        pytest.param(
            upgrade('op.execute(sa.text("DROP TABLE orders"))'),
            a_rehearsal(a_rehearsed(upgrade=a_step("b002", outcome=Outcome.FAILED), changes=None)),
            a_finding(
                "downgrade-empty",
                "The downgrade of `b002` is empty, but its upgrade changes the schema",
                23,
                basis=Basis.READ,
            ),
            id="read where the upgrade failed",
        ),
        pytest.param(
            upgrade('op.execute("DELETE FROM orders")', "op.bulk_insert(t, [])"),
            None,
            a_finding(
                "downgrade-empty",
                "The downgrade of `b002` is empty, but its upgrade changes rows",
                23,
                basis=Basis.READ,
                severity=Severity.NOTICE,
            ),
            id="rows only, read",
        ),
        pytest.param(
            upgrade("op.execute(\"ALTER TYPE mood ADD VALUE 'c'\")"),
            None,
            a_finding(
                "downgrade-empty",
                "The downgrade of `b002` is empty, but its upgrade changes labels of an ENUM type",
                23,
                basis=Basis.READ,
                severity=Severity.NOTICE,
            ),
            id="a label only, read",
        ),
        pytest.param(
            upgrade("op.execute(\"ALTER TYPE mood ADD VALUE 'c'\")", 'op.add_column("o", c)'),
            None,
            a_finding(
                "downgrade-empty",
                "The downgrade of `b002` is empty, but its upgrade changes the schema",
                23,
                basis=Basis.READ,
            ),
            id="a label and a column, read",
        ),
    ],
)
def test_empty(source: str, rehearsal: Rehearsal | None, expected: Finding) -> None:
    revision = a_revision(downgrade=EMPTY, source=source)
    assert ask(downgrade_empty, a_change_set(revision), rehearsal) == ([expected], [])


REFUSAL = (
    "\n\n    # gatekeeper: allow[downgrade-raises] the reason\n"
    "    def downgrade():\n"
    '        raise RuntimeError("b002 cannot be undone: …")'
)


@pytest.mark.parametrize(
    ("left", "remedy"),
    [
        (
            COLUMN,
            "Write the reverse of `upgrade()`:\n\n    def downgrade():\n"
            '        op.drop_column("orders", "currency")\n\n'
            "Where there is no way back, say why:",
        ),
        (LABEL, "Write the reverse of `upgrade()`; where there is no way back, say why:"),
    ],
)
def test_the_remedy_can_be_pasted(left: Difference, remedy: str) -> None:
    rehearsal = rehearsed("ALTER …", changes=(left,), round_trip=(left,))
    changes = adding(downgrade=EMPTY)
    assert remedies(downgrade_empty, changes, rehearsal) == [remedy + REFUSAL]
