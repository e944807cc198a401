"""The examples of the checks' pages, run on a real PostgreSQL: docs can't lie."""

from __future__ import annotations

import ast
from collections.abc import Callable

import pytest

from gatekeeper.checks import ALL, CheckModule, run_checks
from gatekeeper.checks.pages import read_example, read_page
from gatekeeper.model import ChangeSet, Rehearsal

RehearseExample = Callable[[str, str], tuple[ChangeSet, Rehearsal]]
RUN = [
    module for module in ALL if read_example(read_page(module), "Instead").startswith("def upgrade")
]


def functions_of(module: CheckModule, heading: str) -> tuple[str, str]:
    """Return the sources of an example's upgrade and downgrade, "" where there is none."""
    code = read_example(read_page(module), heading)
    nodes = [node for node in ast.parse(code).body if isinstance(node, ast.FunctionDef)]
    found = {node.name: ast.get_source_segment(code, node) or "" for node in nodes}
    return found["upgrade"], found.get("downgrade", "")


def findings_of(module: CheckModule, changes: ChangeSet, rehearsal: Rehearsal) -> list[str]:
    """Return the messages of one check."""
    runs = run_checks(changes, rehearsal, lambda check: {})
    (run,) = (run for run in runs if run.check == module.CHECK)
    assert run.error is None
    return [finding.message for finding in run.findings]


@pytest.mark.slow
@pytest.mark.postgres
@pytest.mark.parametrize("module", RUN, ids=lambda module: module.CHECK.id)
def test_the_example_is_found(module: CheckModule, rehearse_example: RehearseExample) -> None:
    seen = rehearse_example(*functions_of(module, "Example"))
    assert findings_of(module, *seen) != []


@pytest.mark.slow
@pytest.mark.postgres
@pytest.mark.parametrize("module", RUN, ids=lambda module: module.CHECK.id)
def test_what_to_do_instead_is_clean(
    module: CheckModule, rehearse_example: RehearseExample
) -> None:
    seen = rehearse_example(*functions_of(module, "Instead"))
    assert findings_of(module, *seen) == []
