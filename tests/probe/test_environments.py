"""Environments that are made: by whom, from what, and what becomes of them."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import textwrap
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from gatekeeper.errors import ConfigError, GatekeeperError, ProbeError
from gatekeeper.git import open_tree
from gatekeeper.probe import environments
from gatekeeper.probe.environments import Wish, make_interpreter
from gatekeeper.probe.indexes import index_variables, pip_files
from gatekeeper.probe.interpreter import own_interpreter
from gatekeeper.probe.model import Interpreter
from gatekeeper.probe.pythons import find_uv
from tests.build_git import GitRepository, a_repository
from tests.live import ENV_PY, live_project, live_revision

# A build backend of the project's own, which needs nothing from any index. Its wheel passes
# for alembic and holds what the build saw.
BACKEND = """\
import json, os, subprocess, sys, zipfile

{body}

def build_wheel(folder, config_settings=None, metadata_directory=None):
    at_build()
    seen = {{"environment": dict(os.environ), "uid": os.getuid(), "argv": sys.argv}}
    with zipfile.ZipFile(os.path.join(folder, "shop-1-py3-none-any.whl"), "w") as wheel:
        wheel.writestr(PACKAGE + "/__init__.py", "")
        wheel.writestr(PACKAGE + "/seen.json", json.dumps(seen))
        info = "shop-1.dist-info/"
        wheel.writestr(info + "METADATA", "Metadata-Version: 2.1\\nName: shop\\nVersion: 1\\n")
        tags = "Wheel-Version: 1.0\\nGenerator: x\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"
        wheel.writestr(info + "WHEEL", tags)
        wheel.writestr(info + "RECORD", "")
    return "shop-1-py3-none-any.whl"
"""
PYPROJECT = """\
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]

[project]
name = "shop"
version = "1"
dynamic = ["dependencies"]
"""
FINE = 'PACKAGE = "alembic"\ndef at_build():\n    pass\n'


def a_package(root: Path, body: str = FINE) -> GitRepository:
    backend = BACKEND.format(body=textwrap.dedent(body))
    return a_repository(root / "shop", {"pyproject.toml": PYPROJECT, "backend.py": backend})


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Interpreter]:
    """A function that makes the environment of a repository, with a cache of the test's own."""

    def run(
        repository: GitRepository,
        environ: dict[str, str] | None = None,
        told: list[str] | None = None,
        **wish: object,
    ) -> Interpreter:
        kept = {k: v for k, v in os.environ.items() if k != "VIRTUAL_ENV"}
        return make_interpreter(
            open_tree(repository.value, None),
            ".",
            repository.root,
            Wish(**{"cache": tmp_path / "cache", **wish}),  # type: ignore[arg-type]
            {**kept, **(environ or {})},
            (told if told is not None else []).append,
        )

    return run


def seen_by_build(interpreter: Interpreter) -> dict[str, object]:
    [file] = interpreter.path.parent.parent.glob("lib/python3*/site-packages/alembic/seen.json")
    return json.loads(file.read_text())


def packages_of(interpreter: Interpreter) -> set[str]:
    [folder] = interpreter.path.parent.parent.glob("lib/python3*/site-packages")
    return {entry.name for entry in folder.iterdir()}


def left_in(cache: Path) -> list[str]:
    """Return what lies in the folder of environments, locks left out."""
    return sorted(p.name for p in (cache / "environments").iterdir() if p.suffix != ".lock")


def failure(make: Callable[..., Interpreter], *arguments: object, **wish: object) -> ProbeError:
    with pytest.raises(ProbeError) as caught:
        make(*arguments, **wish)
    return caught.value


# --- Which interpreter ---------------------------------------------------------------


def test_a_project_that_declares_nothing_runs_with_our_own(make, tmp_path):
    found = make(a_repository(tmp_path / "r", {"alembic.ini": ""}))
    own = own_interpreter(
        "gatekeeper's own: the project has no environment that was found, and declares no "
        "dependencies"
    )
    assert found == replace(own, is_undeclared=True)
    assert not (tmp_path / "cache").exists()


def test_the_active_environment_is_the_projects_if_gatekeeper_is_in_it(make, tmp_path):
    repository = a_repository(tmp_path / "r", {"requirements.txt": "alembic\n"})
    found = make(repository, {"VIRTUAL_ENV": sys.prefix})
    assert found == own_interpreter("gatekeeper's own, which is the active environment")


def test_a_python_cannot_be_had_without_dependencies(make, tmp_path):
    with pytest.raises(ConfigError, match="declares no dependencies to install with it"):
        make(a_repository(tmp_path / "r", {"alembic.ini": ""}), python="3.12")


@pytest.mark.slow
def test_a_python_that_is_not_there_is_asked_for(make, tmp_path):
    files = {"requirements.txt": "alembic\n", ".python-version": "3.98.7\n"}
    repository = a_repository(tmp_path / "r", files)
    error = failure(make, repository, {"UV_PYTHON_DOWNLOADS": "never"})
    assert error.what == ("Python 3.98.7, which .python-version asks for, is not installed here")
    own = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert f"`project: {{python: '{own}'}}`" in str(error.fix)


# --- Making and keeping --------------------------------------------------------------


def test_an_environment_is_made_once(make, tmp_path):
    repository = a_package(tmp_path)
    told: list[str] = []
    first = make(repository, told=told)
    version = f"Python {sys.version_info.major}.{sys.version_info.minor}."
    assert first.reason.startswith(f"made from pyproject.toml, with {version}")
    assert told == ["Installing the project's dependencies (pyproject.toml)"]
    second = make(repository, told=told)
    assert second.path == first.path
    assert second.reason == first.reason.replace("made from", "made by an earlier run from")
    assert len(told) == 1
    folder = first.path.parents[2]
    assert left_in(tmp_path / "cache") == [folder.name, f"{folder.name}.made"]
    assert [entry.name for entry in folder.iterdir()] == ["environment"]


def test_another_state_of_the_code_gets_another_environment(make, tmp_path):
    repository = a_package(tmp_path)
    first = make(repository)
    repository.write({"helper.py": "x = 1"})
    assert make(repository).path != first.path


@pytest.mark.slow
def test_one_that_is_half_made_is_made_anew(make, tmp_path):
    repository = a_package(tmp_path)
    folder = make(repository).path.parents[2]
    (tmp_path / "cache" / "environments" / f"{folder.name}.made").unlink()
    (folder / "environment" / "bin" / "python").unlink()
    (folder / "environment" / "left").write_text("by a run that was killed")
    told: list[str] = []
    again = make(repository, told=told)
    assert again.path.parents[2] == folder
    assert len(told) == 1
    assert not (folder / "environment" / "left").exists()


def test_one_that_fails_leaves_nothing(make, tmp_path):
    repository = a_package(tmp_path, FINE.replace("pass", 'raise SystemExit("no gcc today")'))
    error = failure(make, repository)
    assert error.where == "pyproject.toml"
    assert error.what.startswith(
        "the project's dependencies could not be installed: it failed at `shop @ file:"
    )
    assert "no gcc today" in error.what
    assert left_in(tmp_path / "cache") == []


@pytest.mark.slow
def test_environments_without_use_are_forgotten(make, tmp_path):
    repository = a_package(tmp_path)
    folder = make(repository).path.parents[2]
    os.utime(folder.with_name(f"{folder.name}.lock"), (0, 0))
    make(a_package(tmp_path / "another", FINE + "# another\n"))
    assert folder.name not in " ".join(left_in(tmp_path / "cache"))


def test_alembic_is_missing(make, tmp_path):
    repository = a_package(tmp_path, FINE.replace('"alembic"', '"shop"'))
    error = failure(make, repository)
    assert error.what == "alembic is not in the environment that was made from pyproject.toml"
    assert error.where == "pyproject.toml"
    assert left_in(tmp_path / "cache") == []


@pytest.mark.slow
def test_a_build_without_end_is_stopped(make, tmp_path, monkeypatch):
    monkeypatch.setattr(environments, "INSTALL_SECONDS", 3.0)
    repository = a_package(tmp_path, FINE.replace("pass", "import time; time.sleep(600)"))
    error = failure(make, repository)
    assert error.what.startswith(
        "the project's dependencies were not installed: `uv` did not end within"
    )
    assert left_in(tmp_path / "cache") == []


# --- The author is not trusted -------------------------------------------------------


SECRETS = {
    "GITHUB_TOKEN": "ghs_secret",
    "ACTIONS_RUNTIME_TOKEN": "runtime_secret",
    "INPUT_GITHUB-TOKEN": "input_secret",
    "GATEKEEPER_DATABASE_URL": "postgresql://ada:url_secret@db/shop",
    "PGPASSWORD": "password_secret",
}


def test_a_build_sees_no_token_and_leaves_no_process(make, tmp_path):
    body = """
        PACKAGE = "alembic"
        def at_build():
            sleeping = [sys.executable, "-c", "import time; time.sleep(600)", "left-behind"]
            null = subprocess.DEVNULL
            subprocess.Popen(sleeping, start_new_session=True, stdout=null, stderr=null)
    """
    interpreter = make(a_package(tmp_path, body), {**SECRETS, "HTTPS_PROXY": ""})
    seen = seen_by_build(interpreter)
    environment = seen["environment"]
    assert isinstance(environment, dict)
    assert not environment.keys() & SECRETS.keys()
    assert "secret" not in json.dumps(environment)
    assert environment["HOME"] != os.environ["HOME"]
    assert seen["uid"] != 0
    processes = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True)
    assert "left-behind" not in processes.stdout


def test_a_build_gets_the_projects_variables_without_those_of_the_database(make, tmp_path):
    variables = {"STAGE": "dev", "DATABASE_URL": "{database_url}", "BRACES": "{a}"}
    environment = seen_by_build(make(a_package(tmp_path), variables=variables))["environment"]
    assert isinstance(environment, dict)
    given = {name: text for name, text in environment.items() if name in variables}
    assert given == {"STAGE": "dev", "BRACES": "{a}"}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the build as another account")
def test_what_a_build_made_cannot_be_changed_later(make, tmp_path):
    """Another run's code, under the same account, must not write into it."""
    body = """
        PACKAGE = "alembic"
        def at_build():
            folder = os.environ["UV_PROJECT_ENVIRONMENT"]
            os.umask(0)
            os.mkdir(folder + "/open", 0o777)
            open(folder + "/open/file", "w").close()
            open(folder + "/open/closed", "w").close()
            os.chmod(folder + "/open/closed", 0o4700)
            os.symlink("/etc/passwd", folder + "/open/link")
    """
    before = Path("/etc/passwd").stat()
    environment = make(a_package(tmp_path, body)).path.parent.parent
    for path in (environment.parent, environment, *environment.rglob("*")):
        status = path.lstat()
        assert status.st_uid == 0, path
        if not stat.S_ISLNK(status.st_mode):
            assert stat.S_IMODE(status.st_mode) & 0o7022 == 0, path
            assert status.st_mode & 0o444 == 0o444, path
    assert (environment / "open" / "closed").stat().st_mode & 0o777 == 0o755
    after = Path("/etc/passwd").stat()
    assert (after.st_mode, after.st_uid) == (before.st_mode, before.st_uid)


def test_the_credentials_of_an_index_are_masked(make, tmp_path):
    show = 'raise SystemExit("at " + os.environ["UV_INDEX"] + " with geheimwort")'
    repository = a_package(tmp_path, FINE.replace("pass", show))
    error = failure(make, repository, {"UV_INDEX": "https://ada:geheimwort@localhost:9/simple"})
    assert "at https://***@localhost:9/simple with ***" in error.what
    assert "geheimwort" not in str(error)


def test_a_cache_behind_the_authors_link_is_refused(make, tmp_path):
    repository = a_package(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    (repository.root / "cache").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError) as caught:
        make(repository, cache=repository.root / "cache")
    assert caught.value.where == "cache"
    assert list((tmp_path / "elsewhere").iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_all_that_root_makes_belongs_to_the_owner_of_the_caches_place(make, tmp_path):
    """A later step of the workflow saves it, and the runner clears it away."""
    (tmp_path / "temp").mkdir()
    os.chown(tmp_path / "temp", 4321, 4322)
    repository = a_package(tmp_path)
    found = make(repository, cache=tmp_path / "temp" / "below" / "gatekeeper")
    paths = list((tmp_path / "temp").rglob("*"))
    assert found.path in paths
    assert {(path.lstat().st_uid, path.lstat().st_gid) for path in paths} == {(4321, 4322)}


def test_a_cache_in_the_repository_is_no_part_of_it(make, tmp_path):
    repository = a_package(tmp_path)
    first = make(repository, cache=repository.root / ".gatekeeper")
    assert first.path.is_relative_to(repository.root / ".gatekeeper")
    assert repository.git("status", "--porcelain") == ""
    assert make(repository, cache=repository.root / ".gatekeeper").path == first.path


def test_a_cache_that_cannot_be_written(make, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(GatekeeperError) as caught:
        make(a_package(tmp_path), cache=tmp_path / "file")
    assert "`GATEKEEPER_CACHE`" in str(caught.value)


# --- With a package index ------------------------------------------------------------


@pytest.mark.slow
def test_an_install_command_fills_the_environment(make, tmp_path):
    command = """\
set -e
test "$VIRTUAL_ENV" = "$(python -c 'import sys; print(sys.prefix)')"
test "$(command -v pip)" = "$VIRTUAL_ENV/bin/pip"
uv --version
mkdir -p "$(python -c 'import site; print(site.getsitepackages()[0])')/alembic"
cp part.py "$(python -c 'import alembic; print(list(alembic.__path__)[0])')/__init__.py"
"""
    repository = a_repository(tmp_path / "r", {"services/shop/part.py": "x = 1\n"})
    told: list[str] = []
    found = make_interpreter(
        open_tree(repository.value, None),
        "services/shop",
        repository.root,
        Wish(install=command, cache=tmp_path / "cache"),
        {k: v for k, v in os.environ.items() if k != "VIRTUAL_ENV"},
        told.append,
    )
    assert told == ["Installing the project's dependencies (the install command `set -e …`)"]
    assert {"alembic", "pip"} <= packages_of(found)
    error = failure(make, repository, install="echo nothing to do")
    assert error.where == "install"
    assert "`$VIRTUAL_ENV`" in (error.fix or "")


@pytest.mark.slow
def test_a_lock_of_uv_is_installed_as_it_is(make, tmp_path):
    pyproject = (
        '[project]\nname = "shop"\nversion = "1"\nrequires-python = ">=3.11"\n'
        'dependencies = ["inflection<0.5"]\n[dependency-groups]\ndev = ["alembic"]\n'
    )
    repository = a_repository(tmp_path / "r", {"pyproject.toml": pyproject})
    environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    environ |= index_variables(os.environ, pip_files(os.environ))
    lock = [str(find_uv()), "lock", "--quiet", "--python", sys.executable]
    subprocess.run(lock, cwd=repository.root, env=environ, check=True)
    repository.write({"pyproject.toml": pyproject.replace("inflection<0.5", "inflection")})
    found = make(repository)
    assert found.reason.startswith("made from uv.lock, with Python 3.")
    assert found.reason.endswith(" for pyproject.toml")
    installed = packages_of(found)
    assert {"alembic", "__pycache__"} <= installed  # alembic is among the developers' tools
    [version] = [name for name in installed if name.startswith("inflection-")]
    assert version.startswith("inflection-0.4")


@pytest.mark.slow
@pytest.mark.postgres
def test_a_project_with_packages_of_its_own_is_checked(
    tmp_path: Path, clean_environment: dict[str, str]
) -> None:
    """What env.py imports is in no other place than requirements.txt."""
    repository = a_repository(
        tmp_path / "shop",
        {
            **live_project(env=f"import inflection\n{ENV_PY}"),
            "requirements.txt": "alembic\npsycopg2-binary\n-r requirements/own.txt\n",
            "requirements/own.txt": "inflection\n",
            "migrations/versions/a001.py": live_revision(
                "a001",
                None,
                'op.create_table(inflection.tableize("Order"), sa.Column("id", sa.Integer))',
                'op.drop_table("orders")',
            ).replace("import sqlalchemy", "import inflection\nimport sqlalchemy"),
        },
    )
    environment = {**clean_environment, "GATEKEEPER_CACHE": str(tmp_path / "cache")}
    environment.pop("VIRTUAL_ENV", None)

    def check(**variables: str) -> tuple[int, dict[str, object]]:
        command = [sys.executable, "-m", "gatekeeper", "check", "--all", "--format", "json"]
        ran = subprocess.run(
            command,
            cwd=repository.root,
            env={**environment, **variables},
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.stdout, ran.stderr
        return ran.returncode, json.loads(ran.stdout)

    code, report = check()
    assert (code, report["verdict"]) == (0, "pass"), report["undetermined"]
    code, report = check(GATEKEEPER_PYTHON_VERSION="3.98", UV_PYTHON_DOWNLOADS="never")
    assert (code, report["verdict"]) == (3, "undetermined")
    assert "Python 3.98, which python-version asks for" in str(report["undetermined"])
