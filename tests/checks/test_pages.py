"""The public pages. With `GATEKEEPER_REGENERATE=1` the reference is written anew."""

from __future__ import annotations

import ast
import os
from pathlib import Path

import pytest

from gatekeeper.checks import ALL, CheckModule, upgrade_fails
from gatekeeper.checks.pages import (
    HEADINGS,
    Documented,
    read_example,
    read_page,
    render_page,
    render_reference,
)
from gatekeeper.policy import waivers, weakening

MODULES: tuple[Documented, ...] = (*ALL, waivers, weakening)
REFERENCE = Path(__file__).parents[2] / "policies" / "checks.md"


def test_the_reference_is_up_to_date() -> None:
    text = render_reference(MODULES)
    if os.environ.get("GATEKEEPER_REGENERATE"):
        REFERENCE.write_text(text, encoding="utf-8")
    assert REFERENCE.read_text(encoding="utf-8") == text


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.CHECK.id)
def test_a_page_has_every_heading_in_order(module: Documented) -> None:
    page = read_page(module)
    assert tuple(page.sections) == HEADINGS
    assert all(page.sections.values())
    assert page.summary.endswith(".")
    assert len(page.summary) <= 88


@pytest.mark.parametrize("heading", ["Example", "Instead"])
@pytest.mark.parametrize("module", ALL, ids=lambda module: module.CHECK.id)
def test_an_example_is_a_revision_or_tells_files(module: CheckModule, heading: str) -> None:
    """What defines `upgrade` at its left margin and no file's name is run: it has to parse."""
    code = read_example(read_page(module), heading)
    if code.startswith("def upgrade"):
        names = [node.name for node in ast.parse(code).body if isinstance(node, ast.FunctionDef)]
        assert names in (["upgrade"], ["upgrade", "downgrade"])


def test_a_page_as_markdown() -> None:
    text = render_page(read_page(upgrade_fails))
    assert text.startswith("# `upgrade-fails`\n\n**Every new revision upgrades** · needs a rehe")
    assert "## Example\n\n```python\ndef upgrade():\n    op.add_column(" in text
