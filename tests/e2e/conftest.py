from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e import engine
from tests.github.server import GitHubServer, running_server


@pytest.fixture(scope="session")
def image() -> str:
    """The image of this checkout, built once a run."""
    reason = engine.missing("python:3.13-slim-trixie")
    if reason is not None:
        pytest.skip(reason)
    engine.build_image()
    return engine.IMAGE


@pytest.fixture(scope="session")
def service() -> Iterator[str]:
    """The URL of a PostgreSQL service container."""
    reason = engine.missing("postgres:17")
    if reason is not None:
        pytest.skip(reason)
    with engine.postgres_server() as url:
        yield url


@pytest.fixture
def github() -> Iterator[GitHubServer]:
    with running_server() as server:
        yield server
        assert server.violations == []
