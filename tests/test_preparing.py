"""What the policy says of the databases' beginning, read from the work tree."""

from __future__ import annotations

from pathlib import Path

import pytest

from gatekeeper.errors import ConfigError
from gatekeeper.git import Repository
from gatekeeper.policy.model import ProjectSettings
from gatekeeper.preparing import read_preparation
from gatekeeper.request import Request


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """A repository with SQL files of its own and links to what the author may not read."""
    root = tmp_path / "shop"
    for name in (".git/config", ".git/config.sql", "db/base.sql", "db/one.sql", "../other.sql"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("SELECT 1;")
    for name, target in {
        "db/linked.sql": "base.sql",
        "db/outside.sql": "../../other.sql",
        "db/git.sql": "../.git/config",
        "seeds/one.sql": "../db/one.sql",
        "seeds/two.sql": "../.git/config",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).symlink_to(target)
    (root / "away").symlink_to("..")
    return Repository(root)


@pytest.mark.parametrize("name", ["db/base.sql", "db/linked.sql", "db/../db/base.sql"])
def test_sql_files_of_the_repository_are_taken(repository: Repository, name: str) -> None:
    settings = ProjectSettings(bootstrap=name, seed=name)
    taken = read_preparation(Request(repository.root), repository, settings, None)
    assert taken.bootstrap == (repository.root / name,)
    assert taken.seed == repository.root / name


@pytest.mark.parametrize(
    "name",
    [
        "../other.sql",
        "away/other.sql",
        "db/outside.sql",
        "db/git.sql",
        ".git/config.sql",
    ],
)
def test_sql_files_of_the_machine_and_of_git_are_refused(repository: Repository, name: str) -> None:
    """The project's code sees on the server what such a file holds."""
    for settings in (ProjectSettings(bootstrap=name), ProjectSettings(seed=name)):
        with pytest.raises(ConfigError, match=f"`{name}`, which is no SQL file of the repository"):
            read_preparation(Request(repository.root), repository, settings, None)


def test_each_of_several_seeds_is_held_to_that(repository: Repository) -> None:
    settings = ProjectSettings(seed="seeds/{database}.sql")
    with pytest.raises(ConfigError, match=r"`seeds/two\.sql`, which is no SQL file"):
        read_preparation(Request(repository.root), repository, settings, None)
