"""Steps of a deploy say the same thing the same way."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from gatekeeper.deploy.phrases import describe_failure, join_some, name_revisions, name_size
from gatekeeper.model import StepError


@pytest.mark.parametrize(
    ("revisions", "named"),
    [
        ((), "no revision"),
        (("b002",), "`b002`"),
        (frozenset({"c003", "a001", "b002"}), "`a001`, `b002`, `c003`"),
    ],
)
def test_revisions(revisions: Iterable[str], named: str) -> None:
    assert name_revisions(revisions) == named


@pytest.mark.parametrize(
    ("size", "named"),
    [(0, "0 kB"), (1536, "2 kB"), (3 * 1024**2, "3.0 MB"), (5 * 1024**3 // 2, "2.5 GB")],
)
def test_sizes(size: int, named: str) -> None:
    assert name_size(size) == named


@pytest.mark.parametrize(
    ("number", "joined"),
    [
        (0, ""),
        (2, "1; 2"),
        (8, "1; 2; 3; 4; 5; 6; 7; 8"),
        (10, "1; 2; 3; 4; 5; 6; 7; 8; and 2 more"),
    ],
)
def test_many_things_are_cut(number: int, joined: str) -> None:
    assert join_some(range(1, number + 1)) == joined


@pytest.mark.parametrize(
    ("type_", "message", "sqlstate", "described"),
    [
        ("KeyError", "'mail'", None, "KeyError: 'mail'"),
        ("RuntimeError", "", None, "RuntimeError: "),
        (
            "UniqueViolation",
            "duplicate key\nDETAIL:  Key (id)=(1) already exists.",
            "23505",
            "UniqueViolation: duplicate key",
        ),
        (
            "DataError",
            'invalid input syntax for type integer: "secret"',
            "22P02",
            "DataError: invalid input syntax for type integer",
        ),
    ],
)
def test_failures_without_values_of_rows(
    type_: str, message: str, sqlstate: str | None, described: str
) -> None:
    error = StepError(type_, message, sqlstate, sql=None, path=None, line=None)
    assert describe_failure(error) == described
