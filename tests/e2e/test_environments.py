"""Projects whose Python and packages are not the image's, and what is kept of them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from gatekeeper.probe.indexes import index_variables
from gatekeeper.probe.pythons import find_uv
from tests.e2e.engine import docker
from tests.e2e.pythons import VERSION
from tests.e2e.repository import CLEAN, Repository, commit, copy_project, git, make_repository
from tests.e2e.step import OWNER, give_to_owner, run_step, runner_temp, state_of
from tests.github.server import GitHubServer

pytestmark = [pytest.mark.container, pytest.mark.slow, pytest.mark.xdist_group("container")]

WITH_PACKAGE = CLEAN.replace("import sqlalchemy", "import inflection\nimport sqlalchemy")
# Only the interpreter that is asked for, with the packages that are locked, can run it.
OF_ITS_OWN = WITH_PACKAGE.replace("import inflection", "import sys\n\nimport inflection").replace(
    "def upgrade():", f'def upgrade():\n    assert sys.version.startswith("{VERSION}.")'
)
ASYNCPG = "alembic\nasyncpg\nsqlalchemy[asyncio]\n"
FLASK = "flask-migrate\nflask-sqlalchemy\npsycopg2-binary\n"
PLAIN = "alembic\ninflection\npsycopg2-binary\n"
MADE = f"The project's Python: made from uv.lock, with Python {VERSION}."
KEPT = f"The project's Python: made by an earlier run from uv.lock, with Python {VERSION}."
REPORTS = "gatekeeper-report"


def lock(folder: Path, *dependencies: str) -> None:
    """Write a pyproject.toml and the uv.lock of it."""
    (folder / "pyproject.toml").write_text(
        '[project]\nname = "shop"\nversion = "1"\nrequires-python = ">=3.11"\n'
        f"dependencies = {list(dependencies)}\n",
        encoding="utf-8",
    )
    # The machine's settings for pip lead to folders that the container does not have.
    others = {k: v for k, v in os.environ.items() if not k.startswith("PIP_")}
    environ = {"PATH": os.environ["PATH"], "HOME": str(folder.parent)}
    environ |= index_variables(others, ())
    command = [str(find_uv()), "lock", "--quiet", "--python", sys.executable]
    subprocess.run(command, cwd=folder, env=environ, check=True)


@pytest.fixture
def cache(tmp_path: Path, pythons: Path) -> Path:
    """A cache as actions/cache restores it, with a Python and without an environment."""
    folder = runner_temp(tmp_path) / "gatekeeper"
    shutil.copytree(pythons, folder / "pythons", symlinks=True)
    return folder


@pytest.fixture
def locked(tmp_path: Path) -> Repository:
    """A project that asks for another Python than the image's, with a lock of its own."""
    others = {".python-version": f"{VERSION}\n"}
    repository = make_repository(tmp_path / "shop", OF_ITS_OWN, others)
    lock(repository.path, "alembic", "inflection", "psycopg2-binary")
    return replace(repository, head=commit(repository.path, "Lock"))


def test_a_project_has_another_python(
    image: str,
    service: str,
    github: GitHubServer,
    tmp_path: Path,
    locked: Repository,
    cache: Path,
) -> None:
    """What was made is there for the next run, unless something about it is another."""
    give_to_owner(locked.path)
    before = state_of(locked.path, REPORTS)
    run = partial(run_step, image, tmp_path, github=github, database_url=service, cache=str(cache))

    first = run(locked)
    assert (first.code, first.outputs["verdict"]) == (0, "pass"), first.log
    assert MADE in first.log
    second = run(locked)
    assert (second.code, second.outputs["verdict"]) == (0, "pass"), second.log
    assert KEPT in second.log
    assert "Installing" not in second.log
    assert state_of(locked.path, REPORTS) == before
    assert {path.lstat().st_uid for path in cache.rglob("*")} == {OWNER}

    # An account that is not root could have changed it since, and so could its code.
    by_another = run(locked, user=OWNER)
    assert (by_another.code, MADE in by_another.log) == (0, True), by_another.log
    lock(locked.path, "alembic", "inflection<0.5", "psycopg2-binary")
    changed = run(replace(locked, head=commit(locked.path, "Lock again")))
    assert (changed.code, MADE in changed.log) == (0, True), changed.log
    assert len(list((cache / "environments").glob("*.made"))) == 3


def test_a_python_that_cannot_be_had(
    image: str, service: str, github: GitHubServer, tmp_path: Path, locked: Repository
) -> None:
    nowhere = {"UV_PYTHON_INSTALL_MIRROR": "https://127.0.0.1:9/", "UV_HTTP_RETRIES": "0"}
    ended = run_step(image, tmp_path, locked, github, database_url=service, environment=nowhere)
    assert (ended.code, ended.outputs["verdict"]) == (3, "undetermined")
    assert (
        f"Python {VERSION}, which .python-version asks for, is not installed here and could not "
        "be downloaded: "
    ) in ended.log
    assert "Connection refused" in ended.log
    assert "`python-version: '3.13'`" in ended.log
    assert git(locked.path, "status", "--porcelain", "--ignored") == f"!! {REPORTS}/\n"


def test_a_cache_below_the_workspace(
    image: str, service: str, github: GitHubServer, tmp_path: Path
) -> None:
    """It is all that the author's code sees of the workspace."""
    looks = """
    import os

    for name in ("/github/workspace", "/github/workspace/.git/config", "/github/runner_temp"):
        assert not os.access(name, os.R_OK), name
"""
    revision = WITH_PACKAGE.replace("def upgrade():", f"def upgrade():{looks}")
    others = {"requirements.txt": PLAIN}
    repository = make_repository(tmp_path / "shop", revision, others)
    give_to_owner(repository.path)
    before = state_of(repository.path, REPORTS, ".gatekeeper")
    ended = run_step(image, tmp_path, repository, github, database_url=service, cache=".gatekeeper")
    assert ended.outputs["verdict"] == "pass", ended.log
    assert len(list((repository.path / ".gatekeeper" / "environments").glob("*.made"))) == 1
    assert state_of(repository.path, REPORTS, ".gatekeeper") == before
    assert {path.lstat().st_uid for path in repository.path.rglob("*")} == {OWNER}
    assert git(repository.path, "status", "--porcelain", "--ignored") == (
        f"!! .gatekeeper/\n!! {REPORTS}/\n"
    )


@pytest.mark.parametrize(
    ("situation", "packages", "variables", "server"),
    [
        pytest.param("async_env", ASYNCPG, "", "embedded", id="asyncpg, embedded"),
        pytest.param("async_env", ASYNCPG, "", "service", id="asyncpg, service"),
        pytest.param("flask_migrate", FLASK, "", "service", id="Flask-Migrate, service"),
        pytest.param(
            "secret_from_environment", PLAIN, "PAYMENT_SECRET=x\n", "embedded", id="env, embedded"
        ),
    ],
)
def test_a_situation(
    request: pytest.FixtureRequest,
    image: str,
    github: GitHubServer,
    tmp_path: Path,
    situation: str,
    packages: str,
    variables: str,
    server: str,
) -> None:
    repository = copy_project(tmp_path / "shop", situation, {"requirements.txt": packages})
    give_to_owner(repository.path)
    before = state_of(repository.path, REPORTS)
    url = request.getfixturevalue("service") if server == "service" else ""
    ended = run_step(image, tmp_path, repository, github, database_url=url, env=variables)
    assert ended.outputs["verdict"] == "pass", ended.log
    assert "The project's Python: made from requirements.txt" in ended.log
    assert state_of(repository.path, REPORTS) == before
    # Nothing in its home either, which the runner keeps until the job ends.
    assert list((runner_temp(tmp_path) / "_github_home").iterdir()) == []


def test_the_image_keeps_nothing_in_volumes(image: str) -> None:
    shown = docker("image", "inspect", "--format", "{{json .Config.Volumes}}", image).stdout
    assert shown.strip() == "null"
