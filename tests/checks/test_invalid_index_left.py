from __future__ import annotations

from typing import Any

import pytest

from gatekeeper.checks import invalid_index_left
from gatekeeper.model import Finding, Outcome
from tests.build import a_change_set, a_rehearsal, a_rehearsed, a_revision, a_statement, a_step
from tests.checks.ask import a_downgrade, a_finding, adding, ask, sent

BUILD = a_statement("CREATE INDEX CONCURRENTLY ix ON orders (note)", in_transaction=False)
NOTE = a_statement("SET lock_timeout = '4s'")
INVALID = {"invalid_indexes": ("public.ix",)}


def left(direction: str) -> str:
    return (
        f"The {direction} of `b002` left the index `public.ix` invalid: it costs every write and "
        "serves no query"
    )


@pytest.mark.parametrize(
    ("fields", "skipped"),
    [
        ({}, []),
        (
            {"step": {"invalid_indexes": None, "outcome": Outcome.FAILED}},
            ["the upgrade of `b002` failed"],
        ),
    ],
)
def test_clean(fields: dict[str, Any], skipped: list[str]) -> None:
    assert ask(invalid_index_left, adding(), sent(BUILD, **fields)) == ([], skipped)


@pytest.mark.parametrize(
    ("statements", "fields", "expected"),
    [
        pytest.param(
            (NOTE, BUILD),
            {"step": INVALID},
            a_finding("invalid-index-left", left("upgrade"), statement=2, relation="public.ix"),
            id="on the line that built it",
        ),
        pytest.param(
            (NOTE,),
            {"step": INVALID},
            a_finding("invalid-index-left", left("upgrade"), relation="public.ix"),
            id="built by other means",
        ),
        pytest.param(
            (NOTE,),
            {"stairway": {"downgrade": a_downgrade(**INVALID)}},
            a_finding("invalid-index-left", left("downgrade"), 23, relation="public.ix"),
            id="by the downgrade",
        ),
    ],
)
def test_invalid(statements: Any, fields: dict[str, Any], expected: Finding) -> None:
    assert ask(invalid_index_left, adding(), sent(*statements, **fields)) == ([expected], [])


ON_ONLY = a_statement("CREATE INDEX ix ON ONLY orders (note)")


def test_a_later_revision_may_attach_the_partitions() -> None:
    """After the whole upgrade the index is valid, though not after this revision alone."""
    alone = a_rehearsed(upgrade=a_step("b002", ON_ONLY, **INVALID))
    rehearsal = a_rehearsal(alone, deploy=(a_step("b002", ON_ONLY),))
    assert ask(invalid_index_left, adding(), rehearsal) == ([], [])
    audit = a_change_set(a_revision(), is_audit=True)
    assert ask(invalid_index_left, audit, a_rehearsal(alone)) == ([], [])
    assert len(ask(invalid_index_left, adding(), a_rehearsal(alone))[0]) == 1
