"""The page on hooks shows files of projects that fail without them."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from gatekeeper.model import NotRehearsed
from gatekeeper.postgres.servers import Server
from gatekeeper.probe.hook import SIGNATURES
from tests.live import check_repository
from tests.situations import (
    PROJECTS,
    make_repository,
    read_environment,
    read_situation,
    unmet_need,
)

PAGE = Path(__file__).parent.parent / "docs" / "hook.md"
SHOWN = (
    "bootstrap_command/.gatekeeper.yml",
    "hook_app_context/gatekeeper_hook.py",
    "hook_config/gatekeeper_hook.py",
    "hook_bootstrap/gatekeeper_hook.py",
    "hook_bootstrap/.gatekeeper.yml",
)


def test_the_page_shows_what_the_tests_run() -> None:
    blocks = re.findall(r"```\w+\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert blocks == [(PROJECTS / name).read_text(encoding="utf-8") for name in SHOWN]


def test_the_page_has_every_function() -> None:
    headings = re.findall(r"^### `(.+)`$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(headings) == sorted(SIGNATURES.values())


@pytest.mark.postgres
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("hook_app_context", "env.py needs a Flask application and none was found"),
        ("hook_config", "KeyError: 'settings'"),
        ("hook_bootstrap", "UndefinedFunction: function shout(text) does not exist"),
    ],
)
def test_the_example_does_not_work_without_its_hook(
    name: str, told: str, server: Server, tmp_path: Path
) -> None:
    situation = read_situation(name)
    reason = unmet_need(situation, read_environment(Path(sys.executable)))
    if reason is not None:
        pytest.skip(reason)
    repository = make_repository(tmp_path, situation)
    repository.commit({".gatekeeper.yml": None}, "Go without")
    report = check_repository(tmp_path, server, python=sys.executable)
    assert isinstance(report.rehearsal, NotRehearsed)
    assert told in report.rehearsal.reason
