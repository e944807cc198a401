from __future__ import annotations

from dataclasses import replace

import pytest

from gatekeeper.checks import model_drift
from gatekeeper.model import Difference, DifferenceKind, Drift, Revision, Skipped
from tests.build import NO_METADATA, a_change_set, a_rehearsal, a_rehearsed, a_revision
from tests.checks.ask import a_finding, adding, ask, remedies, sent


@pytest.mark.parametrize(
    ("drift", "skipped"),
    [
        (Drift(()), []),
        (Drift((), already=76), []),
        (NO_METADATA, ["env.py has no `target_metadata`"]),
    ],
)
def test_clean(drift: Drift | Skipped, skipped: list[str]) -> None:
    assert ask(model_drift, adding(), sent(drift=drift)) == ([], skipped)


@pytest.mark.parametrize(
    ("operations", "words"),
    [
        (("add column public.users.email",), "`add column public.users.email`"),
        (
            tuple(f"add table t{n}" for n in range(9)),
            "`add table t0`, `add table t1`, `add table t2`, `add table t3`, `add table t4`, "
            "`add table t5`, `add table t6`, `add table t7` and 1 more",
        ),
    ],
)
def test_drift(operations: tuple[str, ...], words: str) -> None:
    expected = a_finding("model-drift", f"After the upgrade autogenerate would still: {words}", 8)
    assert ask(model_drift, adding(), sent(drift=Drift(operations))) == ([expected], [])


def test_tables_that_the_metadata_lacks_are_skipped() -> None:
    drift = Drift((), unknown=("public.b", "public.c"), tables=3)
    reason = (
        "env.py's `target_metadata` lacks 2 of 3 tables, so nothing is known of their models "
        "(`public.b`, `public.c`): import the models in env.py, above `target_metadata`"
    )
    assert ask(model_drift, adding(), sent(drift=drift)) == ([], [reason])
    expected = a_finding("model-drift", "After the upgrade autogenerate would still: `x`", 8)
    assert ask(model_drift, adding(), sent(drift=replace(drift, operations=("x",)))) == (
        [expected],
        [reason],
    )


def test_the_remedy_of_a_table_without_a_model() -> None:
    (remedy,) = remedies(model_drift, adding(), sent(drift=Drift(("drop table public.d",))))
    assert remedy.startswith(
        "A table that is to stay needs its model imported in env.py, above `target_metadata`. Take "
    )


FIRST, LAST = a_revision("b001"), a_revision("b002", "b001")
ADDS_NOTE = Difference(DifferenceKind.LEFT, "column", "public.users.note", "public.users")
ADDS_NAME = Difference(DifferenceKind.LEFT, "column", "public.users.name", "public.users")
ADDS_INDEX = Difference(DifferenceKind.LEFT, "index", "public.ix_users_note", "public.users")
ADDS_TABLE = Difference(DifferenceKind.LEFT, "table", "public.tags")


@pytest.mark.parametrize(
    ("operation", "first", "last", "place"),
    [
        ("drop column public.users.note", (ADDS_TABLE,), (ADDS_NOTE,), LAST),
        ("drop column public.users.note", (ADDS_NOTE,), (ADDS_NAME,), FIRST),
        ("drop index ix_users_note on public.users", (ADDS_INDEX,), (ADDS_NAME,), FIRST),
        ("drop table public.tags", (ADDS_TABLE,), (ADDS_NAME,), FIRST),
        ("add column public.users.email", (ADDS_NOTE,), (ADDS_TABLE,), FIRST),
        ("add column public.users.email", (ADDS_NOTE,), (ADDS_NAME,), LAST),
        ("add table public.orders", (ADDS_NOTE,), (ADDS_TABLE,), LAST),
    ],
)
def test_the_revision_at_fault_is_named(
    operation: str,
    first: tuple[Difference, ...],
    last: tuple[Difference, ...],
    place: Revision,
) -> None:
    rehearsal = a_rehearsal(
        a_rehearsed(FIRST, changes=first),
        a_rehearsed(LAST, changes=last),
        drift=Drift((operation,)),
    )
    expected = a_finding(
        "model-drift",
        f"After the upgrade autogenerate would still: `{operation}`",
        8,
        revision=place.revision,
        path=place.path,
    )
    assert ask(model_drift, a_change_set(FIRST, LAST), rehearsal) == ([expected], [])
