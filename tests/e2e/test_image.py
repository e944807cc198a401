"""The image as a runner starts it: as root, in a workspace that belongs to somebody else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.e2e.engine import docker
from tests.e2e.repository import CLEAN, WITHOUT_DOWNGRADE, Repository, make_repository
from tests.e2e.step import OWNER, run_step
from tests.github.server import GitHubServer

pytestmark = [pytest.mark.container, pytest.mark.slow, pytest.mark.xdist_group("container")]


@pytest.mark.parametrize(
    ("revision", "code", "verdict", "changed"),
    [
        pytest.param(CLEAN, 0, "pass", "true", id="clean"),
        pytest.param(None, 0, "pass", "false", id="no migration"),
        pytest.param(WITHOUT_DOWNGRADE, 1, "fail", "true", id="without downgrade"),
    ],
)
def test_a_pull_request_is_checked_against_a_service(
    image: str,
    service: str,
    github: GitHubServer,
    tmp_path: Path,
    revision: str | None,
    code: int,
    verdict: str,
    changed: str,
) -> None:
    repository = make_repository(tmp_path / "shop", revision)
    ended = run_step(image, tmp_path, repository, github, database_url=service)
    assert ended.code == code, ended.log
    assert (ended.outputs["verdict"], ended.outputs["changed"]) == (verdict, changed)
    assert len(github.comments) == (revision is not None)
    shown = [line for line in ended.log.splitlines() if not line.startswith("::add-mask::")]
    assert not any("secret" in line or "token-of" in line for line in shown)
    assert_nothing_left(repository)


def test_without_a_service_the_image_has_its_own_server(
    image: str, github: GitHubServer, tmp_path: Path
) -> None:
    repository = make_repository(tmp_path / "shop", CLEAN)
    ended = run_step(image, tmp_path, repository, github)
    assert ended.code == 0, ended.log
    report = json.loads((repository.path / ended.outputs["report"]).read_text(encoding="utf-8"))
    assert (report["verdict"], report["server"]["source"]) == ("pass", "embedded")
    (body,) = github.bodies()
    assert body.startswith("<!-- gatekeeper:default -->\n")
    assert ended.summary.strip().endswith(body.partition("\n")[2].strip())
    assert_nothing_left(repository)


LOOKS_AROUND = """
    for path in ("/github/workspace", "/github/workspace/.git/config"):
        try:
            open(path).close()
        except PermissionError:
            continue
        except IsADirectoryError:
            pass
        raise RuntimeError(path + " is readable")
"""


def test_the_workspace_is_closed_to_the_authors_code(
    image: str, service: str, github: GitHubServer, tmp_path: Path
) -> None:
    """A container makes no namespaces, so nothing can be hidden in it."""
    revision = CLEAN.replace("def upgrade():", f"def upgrade():{LOOKS_AROUND}")
    repository = make_repository(tmp_path / "shop", revision)
    repository.path.chmod(0o2755)
    ended = run_step(image, tmp_path, repository, github, database_url=service)
    assert "is readable" not in ended.log
    assert ended.outputs["verdict"] == "pass", ended.log
    assert repository.path.stat().st_mode & 0o7777 == 0o2755
    assert_nothing_left(repository)


def test_the_image_knows_its_commands(image: str) -> None:
    done = docker("run", "--rm", "--entrypoint", "gatekeeper", image, "--help")
    assert "check" in done.stdout


def test_the_image_holds_the_policies_and_no_source_of_ours(image: str) -> None:
    found = "import gatekeeper, pathlib; print(pathlib.Path(gatekeeper.__file__).parent)"
    interpreter = "/opt/gatekeeper/bin/python"
    at = docker("run", "--rm", "--entrypoint", interpreter, image, "-c", found).stdout.strip()
    listed = docker("run", "--rm", "--entrypoint", "ls", image, f"{at}/policies", "/").stdout
    assert "recommended.yml" in listed
    assert not {"source", "wheel"} & set(listed.split())


def test_python_need_not_compile_its_own_modules(image: str) -> None:
    """Nor may it write what it compiles, so that every process would begin with it."""
    found = (
        "import asyncio.events as m, importlib.util as u; print(u.cache_from_source(m.__file__))"
    )
    cached = docker("run", "--rm", "--entrypoint", "python", image, "-c", found).stdout.strip()
    assert docker("run", "--rm", "--entrypoint", "ls", image, cached).stdout.strip() == cached


def test_postgresql_and_the_projects_code_have_an_account_each(image: str) -> None:
    ids = [
        docker("run", "--rm", "--entrypoint", "id", image, "-u", name).stdout.strip()
        for name in ("postgres", "nobody")
    ]
    assert "0" not in ids
    assert len(set(ids)) == 2


def test_the_image_starts_fast_and_unprivileged(image: str) -> None:
    options = ("--rm", "--user", "65534:65534", "--entrypoint", "gatekeeper")
    assert docker("run", *options, image, "--help", seconds=20).returncode == 0


def assert_nothing_left(repository: Repository) -> None:
    """The tree is as before, and what was added belongs to its owner."""
    assert repository.status() == ""
    strange = [str(path) for path in repository.path.rglob("*") if path.lstat().st_uid != OWNER]
    assert [path for path in strange if "/.git/" not in path] == []
    assert not list(repository.path.rglob("__pycache__"))
