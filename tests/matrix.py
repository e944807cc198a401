"""Every situation with every combination of Python, libraries and server: `make matrix`.

It needs Pythons and packages that a machine may not have, so it runs only where it is named.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gatekeeper.errors import ProbeError
from gatekeeper.postgres.servers import Server, start_server
from tests.combinations import (
    COMBINATIONS,
    Combination,
    find_programs,
    make_environment,
)
from tests.situations import (
    NAMES,
    WAYS,
    answer_of,
    lacking_extension,
    read_environment,
    read_situation,
    unmet_need,
    with_server,
)

pytestmark = [pytest.mark.postgres, pytest.mark.slow]


@pytest.fixture(scope="session")
def combination(request: pytest.FixtureRequest) -> Combination:
    return request.param


@pytest.fixture(scope="session")
def python(combination: Combination) -> Path:
    """The interpreter of the combination's environment."""
    found = _find_python(combination)
    if isinstance(found, str):
        pytest.skip(found)
    return found


@functools.cache  # to look for one that cannot be had takes as long as a test
def _find_python(combination: Combination) -> Path | str:
    """Return the interpreter, or why there is none."""
    try:
        return make_environment(combination)
    except ProbeError as error:
        return f"this machine has no Python {combination.python}: {error.what}"


@pytest.fixture(scope="session")
def start_major() -> Iterator[Callable[[int], Server | None]]:
    """A function that starts the server of a major version at the first call."""
    started: dict[int, Server | None] = {}
    with contextlib.ExitStack() as stack:

        def start(major: int) -> Server | None:
            if major not in started:
                programs = find_programs(major)
                started[major] = programs and stack.enter_context(start_server(programs))
            return started[major]

        yield start


@pytest.fixture(scope="session")
def major_server(combination: Combination, start_major: Callable[[int], Server | None]) -> Server:
    """The running server of the combination's major version."""
    server = start_major(combination.postgres)
    if server is None:
        pytest.skip(f"this machine has no PostgreSQL {combination.postgres}, nor npm to get one")
    return server


def _chosen() -> list[tuple[Combination, str]]:
    """Return what is run: every folder with all, its further ways with every second one.

    Two combinations that follow each other have the same line of SQLAlchemy, so each way
    meets all lines.
    """
    return [
        (combination, name)
        for number, combination in enumerate(COMBINATIONS)
        for place, name in enumerate(WAYS)
        if name in NAMES or (number + place) % 2 == 0
    ]


@pytest.mark.parametrize(
    ("combination", "name"),
    [pytest.param(c, name, id=f"{c.name}-{name}") for c, name in _chosen()],
    indirect=["combination"],
)
def test_the_answer_is_the_same(
    name: str, python: Path, major_server: Server, tmp_path: Path
) -> None:
    situation = read_situation(name)
    environment = with_server(read_environment(python), major_server)
    lacking = unmet_need(situation, environment) or lacking_extension(situation, major_server)
    if lacking is not None:
        pytest.skip(f"this combination lacks {lacking}")
    answer = answer_of(situation, tmp_path / "repository", major_server, python)
    assert answer == situation.says_with(environment)
