"""Every project of `tests/projects`, checked from end to end: the whole answer is compared."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from gatekeeper.postgres.servers import Server
from tests import situations
from tests.situations import (
    EXPECTED,
    NAMES,
    PROJECTS,
    WAYS,
    answer_of,
    is_regenerating,
    lacking_extension,
    read_environment,
    read_situation,
    render_table,
    unmet_need,
    with_server,
)

PYTHON = Path(sys.executable)


@pytest.mark.postgres
@pytest.mark.slow
@pytest.mark.parametrize("name", WAYS)
def test_a_check_says_all_of_it_and_nothing_else(name: str, server: Server, tmp_path: Path) -> None:
    situation = read_situation(name)
    environment = with_server(read_environment(PYTHON), server)
    lacking = unmet_need(situation, environment) or lacking_extension(situation, server)
    if lacking is not None:
        pytest.skip(f"the tests' environment lacks {lacking}")
    answer = answer_of(situation, tmp_path / "repository", server, PYTHON)
    if is_regenerating() and name in NAMES:
        situations.write_answer(situation, answer)
    assert answer == read_situation(name).says_with(environment)


@pytest.mark.parametrize("name", NAMES)
def test_a_situation_says_what_is_expected_of_it(name: str) -> None:
    assert (PROJECTS / name / EXPECTED).is_file(), f"tests/projects/{name} has no {EXPECTED}"
    situation = read_situation(name)
    assert situation.says, f"tests/projects/{name}/{EXPECTED} has no answer"


def test_the_table_of_situations_is_up_to_date() -> None:
    path = PROJECTS / "README.md"
    if is_regenerating():
        path.write_text(render_table(), encoding="utf-8")
    assert path.read_text(encoding="utf-8") == render_table()
