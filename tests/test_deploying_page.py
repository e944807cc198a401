"""The page on deploys: every line of the checklist is done by something that exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from gatekeeper.cli import commands
from gatekeeper.deploy.model import DeployOutcome, StepName
from gatekeeper.pipeline import KNOWN
from gatekeeper.policy.load import load_policy

PAGE = Path(__file__).parent.parent / "docs" / "deploying.md"
CHECKLIST = Path(__file__).parent / "deploy" / "migration-checklist.md"

_LINE = re.compile(
    r"- \[ \] (?P<box>.+)|### (?P<issue>Issue: .+)|-- (?P<query>.+)|- (?P<bullet>.+)"
)
_NUMBERED = re.compile(r"(?:# )?(?P<text>\d+\. .+)")


def lines_of_checklist() -> list[str]:
    """Return what the checklist asks for; a command belongs to the step above it.

    Left out are headings, the text of the queries, and what is told of the solution of an
    issue.
    """
    found: list[str] = []
    language, section, is_step = None, "", False
    for line in CHECKLIST.read_text(encoding="utf-8").splitlines():
        if line.startswith("```"):
            language, is_step = line[3:] if language is None else None, False
        elif line.startswith("#") and language is None and not line.startswith("### Issue"):
            section = line.lstrip("# ")
        elif section == "Common Issues" and not line.startswith("### Issue"):
            continue
        elif numbered := _NUMBERED.fullmatch(line):
            found.append(numbered["text"])
            is_step = language is not None
        elif is_step and line:
            found[-1] += f" `{line}`"
        elif (other := _LINE.fullmatch(line)) and language != "bash":
            found.append(next(text for text in other.groups() if text is not None))
    return found


def rows_of_page() -> list[tuple[str, str, str]]:
    """Return the rows of the last chapter's tables."""
    chapter = PAGE.read_text(encoding="utf-8").partition("## Every line of the checklist")[2]
    rows = []
    for line in chapter.splitlines():
        if line.startswith("| ") and not line.startswith("| line of the checklist"):
            first, second, third = re.split(r"(?<!\\) \| ", line.strip("| "), maxsplit=2)
            rows.append((first.replace("\\|", "|"), second, third))
    return rows


ROWS = rows_of_page()
KNOWN_AS = {
    "command": {f"gatekeeper {name}" for name in commands.commands},
    "check": {check.id for check in KNOWN},
    "attestation": {attestation.id for attestation in load_policy(None, KNOWN).attestations},
}


def test_the_checklist_is_read_whole() -> None:
    lines = lines_of_checklist()
    assert len(lines) == 84
    assert lines[0] == "Virtual environment activated (`source venv/bin/activate`)"
    assert "1. Enable maintenance mode (if applicable) `# PUT /api/maintenance/enable`" in lines


def test_every_line_of_the_checklist_stands_in_the_page() -> None:
    assert [row[0] for row in ROWS] == lines_of_checklist()


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_what_does_it_exists(row: tuple[str, str, str]) -> None:
    for part in row[1].split("; "):
        kind, _, names = part.partition(" ")
        for name in names.split(", "):
            assert name.strip("`") in KNOWN_AS[kind], f"there is no {kind} {name}"
    steps = re.findall(r"step `([a-z-]+)`", row[2])
    assert {*steps} <= {step.value for step in StepName}


def test_every_attestation_that_ships_stands_for_a_line() -> None:
    told = " ".join(row[1] for row in ROWS)
    assert [name for name in KNOWN_AS["attestation"] if f"`{name}`" not in told] == []


@pytest.mark.parametrize("words", [StepName, DeployOutcome])
def test_the_page_tells_every_step_and_outcome(words: type[StepName | DeployOutcome]) -> None:
    first_column = re.findall(r"^\| (.+?) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    told = [name.strip("`") for cell in first_column for name in cell.split(" / ")]
    assert [word.value for word in words if word.value not in told] == []


def test_the_policy_that_is_shown_is_one(tmp_path: Path) -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert blocks
    for block in blocks:
        yaml.safe_load(block)
        (tmp_path / ".gatekeeper.yml").write_text(block, encoding="utf-8")
        load_policy(tmp_path / ".gatekeeper.yml", KNOWN)
