"""Fixtures for the steps of a deploy."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gatekeeper.postgres.databases import Database, open_database
from gatekeeper.postgres.installations import Installation
from gatekeeper.postgres.servers import Server, quote, start_server
from tests.databases import execute
from tests.deploy.addresses import Web, serving
from tests.deploy.bank import Bank, make_release, open_at_first_release
from tests.deploy.rich import make_rich
from tests.deploy.stages import SHOP
from tests.servers import OWN, Place, why_missing


@pytest.fixture(scope="session")
def start_target_once(installations: dict[Place, Installation]) -> Iterator[Callable[..., Server]]:
    """A function that starts the target's server of a place at the first call."""
    started: dict[Place, Server] = {}
    with contextlib.ExitStack() as stack:

        def start(place: Place) -> Server:
            if place not in installations:
                pytest.skip(why_missing(place))
            if place not in started:
                started[place] = stack.enter_context(start_server(installations[place]))
            return started[place]

        yield start


@pytest.fixture(scope="session")
def target_server(
    request: pytest.FixtureRequest,
    installations: dict[Place, Installation],
    start_target_once: Callable[[Place], Server],
) -> Server:
    """A server of its own for targets: the roles of a rehearsal's server come and go.

    By default it is of the first place that there is.
    """
    default = next((place for place in OWN if place in installations), OWN[0])
    return start_target_once(getattr(request, "param", default))


@pytest.fixture
def target_database(target_server: Server) -> Iterator[Database]:
    """An empty database to deploy to."""
    with open_database(target_server) as database:
        yield database


@pytest.fixture
def shop(target_database: Database) -> Database:
    """A database to deploy to that stands at `a001`, with users."""
    execute(target_database, *SHOP)
    return target_database


@pytest.fixture
def rich(target_database: Database) -> Iterator[Database]:
    """A database to deploy to that holds one of everything."""
    roles = make_rich(target_database)
    yield target_database
    execute(target_database, *(f"DROP OWNED BY {role} CASCADE" for role in roles))
    execute(target_database, *(f"DROP ROLE {role}" for role in roles))


@pytest.fixture(autouse=True)
def clean_roles(request: pytest.FixtureRequest) -> Iterator[None]:
    """Drop the roles that a copy of a target needed, which other tests would find."""
    if "server" not in request.fixturenames:
        yield
        return
    server: Server = request.getfixturevalue("server")
    query = "SELECT rolname FROM pg_catalog.pg_roles"
    before = server.administer(query)
    yield
    for (name,) in set(server.administer(query)) - set(before):
        server.administer(f"DROP ROLE {quote(server, name)}")


@pytest.fixture(scope="session")
def release_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A function that returns a folder with a bank of a kind and the plan of its release."""
    made: dict[str, Path] = {}

    def make(kind: str) -> Path:
        if kind not in made:
            made[kind] = make_release(tmp_path_factory.mktemp(kind), kind)
        return made[kind]

    return make


@pytest.fixture
def open_bank(
    release_once: Callable[[str], Path],
    tmp_path: Path,
    database: Database,
    clean_environment: dict[str, str],
) -> Iterator[Callable[..., Bank]]:
    """A function that opens a bank with 500 accounts, at its first release."""
    with contextlib.ExitStack() as stack:

        def make(kind: str = "one", **policy: Any) -> Bank:
            folder = tmp_path / "place"
            opened = open_at_first_release(
                release_once(kind), folder, database, clean_environment, policy
            )
            return stack.enter_context(opened)

        yield make


@pytest.fixture
def web() -> Iterator[Web]:
    """Addresses that answer as the test says."""
    with serving() as web:
        yield web
