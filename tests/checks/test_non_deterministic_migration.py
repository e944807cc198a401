from __future__ import annotations

import pytest

from gatekeeper.checks import non_deterministic_migration as module
from gatekeeper.model import Difference, DifferenceKind, Outcome, Rehearsal, RehearsedRevision
from tests.build import a_rehearsal, a_rehearsed, a_revision, a_statement, a_step
from tests.checks.ask import a_finding, adding, ask

CHANGED = Difference(
    DifferenceKind.CHANGED, "column", "public.t.c", "public.t", "default", "'1'", "'2'"
)
LEFT = Difference(DifferenceKind.LEFT, "index", "public.ix_7", "public.t")
TWO = "Two runs of the upgrade of `b002` gave two schemas: "
CHANGED_WORDS = "the default of column `public.t.c` is `'1'` and `'2'`"


def ran(*texts: str) -> RehearsedRevision:
    """Return a stairway whose upgrade sent that, with nothing that says it varies."""
    statements = [a_statement(sql, line=15 + n, end_line=15 + n) for n, sql in enumerate(texts)]
    return a_rehearsed(upgrade=a_step("b002", *statements), variation=(CHANGED,))


def deployed(rehearsed: RehearsedRevision, *texts: str) -> Rehearsal:
    step = a_step("b002", *(a_statement(sql) for sql in texts))
    return a_rehearsal(rehearsed, deploy=(step,))


@pytest.mark.parametrize(
    ("rehearsed", "skipped"),
    [
        (a_rehearsed(), []),
        (
            a_rehearsed(variation=None),
            ["`b002` was run once from the same schema, not twice"],
        ),
        (
            a_rehearsed(upgrade=a_step("b002", outcome=Outcome.FAILED), variation=None),
            ["the upgrade of `b002` failed"],
        ),
    ],
)
def test_clean(rehearsed: RehearsedRevision, skipped: list[str]) -> None:
    assert ask(module, adding(), a_rehearsal(rehearsed)) == ([], skipped)


def test_without_a_stairway() -> None:
    assert ask(module, adding(), a_rehearsal()) == ([], ["`b002` was not rehearsed"])


def test_the_statement_whose_text_differs() -> None:
    alter = "ALTER TABLE t ALTER c SET DEFAULT '{}'"
    rehearsal = deployed(
        ran("INSERT INTO t VALUES (1)", "CREATE TABLE u ()", alter.format(1)),
        "INSERT INTO t VALUES (2)",
        "CREATE TABLE u ()",
        alter.format(2),
    )
    expected = a_finding(
        module.CHECK.id,
        f"{TWO}{CHANGED_WORDS}. `ALTER TABLE t ALTER c SET DEFAULT '1'` is another text at each "
        "run",
        17,
        relation="public.t",
    )
    found, skipped = ask(module, adding(), rehearsal)
    assert ([(f.message, f.line, f.relation) for f in found], skipped) == (
        [(expected.message, 17, "public.t")],
        [],
    )


@pytest.mark.parametrize(
    "texts",
    [
        pytest.param(("DO 'BEGIN PERFORM f(); END'",), id="the same text"),
        pytest.param((), id="fewer statements"),
    ],
)
def test_the_function_where_no_text_tells(texts: tuple[str, ...]) -> None:
    rehearsal = deployed(ran("DO 'BEGIN PERFORM f(); END'"), *texts)
    line = a_revision().upgrade.line  # type: ignore[union-attr]  # it has one
    expected = a_finding(module.CHECK.id, f"{TWO}{CHANGED_WORDS}", line, relation="public.t")
    assert ask(module, adding(), rehearsal) == ([expected], [])


def test_what_only_one_run_makes() -> None:
    (found,), _ = ask(module, adding(), a_rehearsal(a_rehearsed(variation=(LEFT,))))
    assert found.message == f"{TWO}index `public.ix_7` is there after one run only"


def test_what_no_revision_explains() -> None:
    rehearsal = a_rehearsal(a_rehearsed(), in_one_go=(LEFT,))
    assert ask(module, adding(), rehearsal) == (
        [],
        [
            "in one go the revisions leave another schema than one by one: index `public.ix_7` is "
            "there after one run only"
        ],
    )
