"""Every format on every sample, compared with the files beside this one.

After a wanted change: `GATEKEEPER_REGENERATE=1 pytest tests/reporters`, then read the diff.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import gatekeeper.reporters
from gatekeeper.reporters import REPORTERS
from tests.reporters.samples import CONTEXT, SAMPLES

EXPECTED = Path(__file__).parent / "expected"
SUFFIX = {"terminal": "txt", "json": "json", "markdown": "markdown", "github": "commands"}
PAIRS = [
    (sample, name)
    for sample in SAMPLES
    for name in REPORTERS
    if (sample, name) != ("huge", "json")  # a megabyte; test_json.py holds it against the schema
]
NO_FORMAT = {
    "__init__",
    "checklist",
    "context",
    "diagnoses",
    "gfm",
    "mermaid",
    "remedies",
    "script",
    "words",
}


@pytest.mark.parametrize(("sample", "name"), PAIRS)
def test_whole_text(sample: str, name: str) -> None:
    text = REPORTERS[name](SAMPLES[sample](), CONTEXT)
    file = EXPECTED / f"{sample}.{SUFFIX[name]}"
    if os.environ.get("GATEKEEPER_REGENERATE"):
        file.write_text(text, encoding="utf-8")
    assert text == file.read_text(encoding="utf-8")


def test_no_expected_file_is_left_over() -> None:
    wanted = {f"{sample}.{SUFFIX[name]}" for sample, name in PAIRS}
    assert {file.name for file in EXPECTED.iterdir()} == wanted


def test_every_format_of_the_folder_is_listed() -> None:
    folder = Path(gatekeeper.reporters.__file__).parent
    assert {file.stem for file in folder.glob("*.py")} - NO_FORMAT == set(REPORTERS)
    for name, render in REPORTERS.items():
        assert render.__module__ == f"gatekeeper.reporters.{name}"


@pytest.mark.parametrize("name", REPORTERS)
@pytest.mark.parametrize("sample", SAMPLES)
def test_the_same_report_gives_the_same_text(sample: str, name: str) -> None:
    render = REPORTERS[name]
    assert render(SAMPLES[sample](), CONTEXT) == render(SAMPLES[sample](), CONTEXT)
