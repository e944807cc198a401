"""What other sessions do is told without the values that they do it with."""

from __future__ import annotations

import pytest

from gatekeeper.postgres.activity import Blocker, without_values


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("SELECT name FROM shop", "SELECT name FROM shop"),
        ('SELECT "it\'s 1" FROM t2', 'SELECT "it\'s 1" FROM t2'),
        ("SELECT\n  1;\n", "SELECT ?"),
        ("UPDATE shop SET a = 'x', b = 12.5 WHERE id = $1", None),
        ("SELECT 'it''s', 'secret'", "SELECT ?, ?"),
        (r"SELECT E'it\'s', 'secret'", "SELECT ?, ?"),
        (r"SELECT 'C:\', 'secret'", "SELECT ?, ?"),
        ("SELECT $$it's$$, $a$ $$secret$$ $a$, 'x'", "SELECT ?, ?, ?"),
        ("SELECT 'cut off by the ser", "SELECT ?"),
        (r"SELECT E'cut off after \ ".rstrip(), "SELECT ?"),
        ("SELECT $x$ cut off", "SELECT ?"),
        ("SELECT 1 -- for Mrs. Secret\nFROM t", "SELECT ? FROM t"),
        ("/* job of 'secret */ SELECT 'a' /* cut off", "SELECT ?"),
        ("SELECT 0x1F, 1e10, -3, a1, t1.c2", "SELECT ?, ?, -?, a1, t1.c2"),
        (f"SELECT {'a, ' * 100}b", f"SELECT {'a, ' * 63}a,…"),
    ],
)
def test_queries_without_values(query: str, told: str | None) -> None:
    expected = told or "UPDATE shop SET a = ?, b = ? WHERE id = $1"
    assert without_values(query) == expected


@pytest.mark.parametrize(
    ("blocker", "sentence"),
    [
        (
            Blocker(7, "shop", "worker", "SELECT ?", 61.7),
            "process 7 of shop (worker), 62 s old: SELECT ?",
        ),
        (Blocker(7, "shop", "", "", 0.0), "process 7 of shop, 0 s old: unknown"),
        (
            Blocker(0, "", "", "PREPARE TRANSACTION", 3.0),
            "a prepared transaction, 3 s old: PREPARE TRANSACTION",
        ),
    ],
)
def test_a_blocker_on_one_line(blocker: Blocker, sentence: str) -> None:
    assert blocker.sentence == sentence
