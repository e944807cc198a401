from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.github.server import GitHubServer, running_server


@pytest.fixture
def github() -> Iterator[GitHubServer]:
    with running_server() as server:
        yield server
        assert server.violations == []
