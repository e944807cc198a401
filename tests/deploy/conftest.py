"""Fixtures for the steps of a deploy."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.deploy.addresses import Web, serving


@pytest.fixture
def web() -> Iterator[Web]:
    """Addresses that answer as the test says."""
    with serving() as web:
        yield web
