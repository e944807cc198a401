from __future__ import annotations

import pytest

from gatekeeper.checks import model_drift
from gatekeeper.model import Drift, Skipped
from tests.build import NO_METADATA
from tests.checks.ask import a_finding, adding, ask, sent


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
