"""Fixtures that need a PostgreSQL server. A test that asks for one is marked `postgres`."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest

from gatekeeper.model import ChangeSet, Rehearsal
from gatekeeper.postgres.databases import Database, open_database
from gatekeeper.postgres.installations import Installation, choose_account
from gatekeeper.postgres.servers import Server, open_server, start_server
from tests.checks.base_schema import BASE, example_source
from tests.live import check_change, clean_variables, rehearsal_of
from tests.servers import OWN, Place, find_places, why_missing

# Other tests run the same syntax on the majors that have it.
# No machine has every combination; what is named is not to be had on this one.
_SKIPS_BY_DESIGN = (
    "the syntax is of PostgreSQL",
    "this combination lacks ",
    "this machine has no Python ",
    "this machine has no PgBouncer",
)


def pytest_configure() -> None:
    """Hear SIGINT, as processes of the tests do: what a shell starts behind itself does not."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


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
def installations() -> dict[Place, Installation]:
    """The programs of each place that this machine has."""
    return find_places(choose_account(None))


@pytest.fixture(scope="session")
def start_once(
    installations: dict[Place, Installation],
) -> Iterator[Callable[[Place], Server | None]]:
    """A function that starts the server of a place at the first call; None without one."""
    started: dict[Place, Server] = {}
    with contextlib.ExitStack() as stack:

        def start(place: Place) -> Server | None:
            if place in installations and place not in started:
                started[place] = stack.enter_context(start_server(installations[place]))
            return started.get(place)

        yield start


@pytest.fixture(scope="session")
def server(
    request: pytest.FixtureRequest, start_once: Callable[[Place], Server | None]
) -> Iterator[Server]:
    """A running server: that of `GATEKEEPER_DATABASE_URL`, else the first that can be had.

    To run a module on each: `pytestmark = on_every_server()`, of `tests/servers.py`.
    """
    given = os.environ.get("GATEKEEPER_DATABASE_URL")
    if given and not hasattr(request, "param"):
        with open_server(given) as server:
            yield server
        return
    wanted = (request.param,) if hasattr(request, "param") else OWN
    for place in wanted:
        started = start_once(place)
        if started is not None:
            yield started
            return
    pytest.skip(why_missing(wanted[0]))


@pytest.fixture
def database(server: Server) -> Iterator[Database]:
    """A database of its own for the test, empty and marked."""
    with open_database(server) as database:
        yield database


@pytest.fixture
def clean_environment() -> dict[str, str]:
    """The environment of a person who has set nothing up, but runs this checkout."""
    return clean_variables()


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
