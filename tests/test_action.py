"""action.yml, the image and the settings say the same."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from gatekeeper.settings import INPUT_NAMES, NOT_YET, ActionInputs, read_inputs

ROOT = Path(__file__).parents[1]
ACTION: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
OUTPUTS = [
    "verdict",
    "changed",
    "head-revisions",
    "revisions",
    "errors",
    "warnings",
    "report",
    "summary",
    "sql",
    "comment-url",
    "comment-pending",
    "plan",
    "evidence",
    "outcome",
    "record",
]


def test_every_input_is_in_the_settings() -> None:
    assert set(ACTION["inputs"]) == set(INPUT_NAMES)


def test_the_defaults_are_those_of_the_settings() -> None:
    environ = {
        f"INPUT_{name.upper()}": value["default"]
        for name, value in ACTION["inputs"].items()
        if name != "github-token"
    }
    assert read_inputs(environ) == ActionInputs()


def test_the_outputs_are_those_that_workflows_rely_on() -> None:
    assert list(ACTION["outputs"]) == OUTPUTS


@pytest.mark.parametrize("part", ["inputs", "outputs"])
def test_each_has_a_description(part: str) -> None:
    assert [n for n, value in ACTION[part].items() if not value["description"].strip()] == []


@pytest.mark.parametrize("part", ["inputs", "outputs"])
def test_no_description_holds_an_expression(part: str) -> None:
    """The runner refuses the whole action for one."""
    assert [n for n, value in ACTION[part].items() if "${{" in value["description"]] == []


def test_what_is_not_in_this_version_says_so() -> None:
    silent = [n for n in NOT_YET if "Not in this version" not in ACTION["inputs"][n]["description"]]
    assert silent == []


def test_the_image_runs_the_action() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert ACTION["runs"] == {"using": "docker", "image": "Dockerfile"}
    assert 'ENTRYPOINT ["gatekeeper", "action"]' in dockerfile
    assert set(re.findall(r"^FROM (\S+)", dockerfile, re.M)) == {"python:3.13-slim-trixie"}


def test_every_locked_requirement_has_a_hash() -> None:
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    requirements = re.findall(r"^[a-z0-9-]+==[^\n]*\n +--hash=sha256:", lock, re.M)
    assert len(requirements) == len(re.findall(r"^[a-z]", lock, re.M)) > 20
