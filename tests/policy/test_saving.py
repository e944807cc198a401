"""What is found out is put into the policy file, and nothing else of it changes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gatekeeper.errors import ConfigError
from gatekeeper.model import Learned, Way
from gatekeeper.policy.load import load_policy
from gatekeeper.policy.saving import render_block, save_learned, with_learned
from tests.policy.known import KNOWN

LEARNED = Learned(
    env={"DATABASE_URL": "{database_url}", "STAGE": "dev", "DEBUG": "true", "TEXT": "a: b # c"},
    start=(Way.ASYNCPG, Way.WORKER_THREAD),
    home={".shop/url": "{database_url}"},
    extensions=("vector",),
    bootstrap="models",
)
BLOCK = """\
project:
  env:
    DATABASE_URL: "{database_url}"
    STAGE: dev
    DEBUG: "true"
    TEXT: "a: b # c"
  home:
    .shop/url: "{database_url}"
  start: [asyncpg, worker-thread]
  extensions: [vector]
  bootstrap: models
"""
URL = Learned(env={"DATABASE_URL": "{database_url}"})


def test_the_block_to_paste() -> None:
    assert render_block(LEARNED) == BLOCK


@pytest.mark.parametrize(
    ("text", "learned", "saved"),
    [
        pytest.param("version: 1\n", LEARNED, "version: 1\n" + BLOCK, id="no block yet"),
        pytest.param("", LEARNED, BLOCK, id="empty file"),
        pytest.param(
            "# ours\nversion: 1",
            URL,
            '# ours\nversion: 1\nproject:\n  env:\n    DATABASE_URL: "{database_url}"\n',
            id="no end of line",
        ),
        pytest.param(
            "extends:   strict  # why\n"
            "project:   # how it runs\n"
            "    # a comment\n"
            "    python: 3.10\n"
            "    env:\n"
            "        STAGE: 'prod'   # really\n"
            "\n"
            "# what is left alone\n"
            "overrides:\n"
            "- {before: 00123,   checks: {}}\n",
            LEARNED,
            "extends:   strict  # why\n"
            "project:   # how it runs\n"
            "    # a comment\n"
            "    python: 3.10\n"
            "    env:\n"
            "        STAGE: 'prod'   # really\n"
            '        DATABASE_URL: "{database_url}"\n'
            '        DEBUG: "true"\n'
            '        TEXT: "a: b # c"\n'
            "    home:\n"
            '        .shop/url: "{database_url}"\n'
            "    start: [asyncpg, worker-thread]\n"
            "    extensions: [vector]\n"
            "    bootstrap: models\n"
            "\n"
            "# what is left alone\n"
            "overrides:\n"
            "- {before: 00123,   checks: {}}\n",
            id="a block among others",
        ),
        pytest.param(
            "project: {env: {MODE: off, A: 00123}, start: [thread]}\nversion: 1\n",
            Learned(env={"B": "1"}, start=(Way.THREAD, Way.ASYNCPG)),
            'project: {env: {MODE: off, A: 00123, B: "1"}, start: [thread, asyncpg]}\nversion: 1\n',
            id="a block on one line",
        ),
        pytest.param(
            "project:\n  extensions:\n    - citext  # first\n    - hstore\n",
            Learned(extensions=("vector", "citext")),
            "project:\n  extensions:\n    - citext  # first\n    - hstore\n    - vector\n",
            id="a list of lines",
        ),
        pytest.param(
            "project:\n  extensions:\n  - citext\n",
            LEARNED,
            "project:\n  extensions:\n  - citext\n  - vector\n"
            + BLOCK.removeprefix("project:\n").replace("  extensions: [vector]\n", ""),
            id="a list at its key's margin",
        ),
        pytest.param(
            "project:\nversion: 1\n",
            URL,
            'project:\n  env:\n    DATABASE_URL: "{database_url}"\nversion: 1\n',
            id="a block that is empty",
        ),
        pytest.param(
            "version: 1\r\nproject:\r\n  python: 3.12\r\n",
            URL,
            "version: 1\r\nproject:\r\n  python: 3.12\r\n  env:\r\n"
            '    DATABASE_URL: "{database_url}"\r\n',
            id="the ends of lines of Windows",
        ),
    ],
)
def test_only_the_block_changes(text: str, learned: Learned, saved: str) -> None:
    assert with_learned(".gatekeeper.yml", text, learned) == saved
    assert with_learned(".gatekeeper.yml", saved, learned) == saved


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("{version: 1, project: {},\n checks: {}}\n", id="braces around all"),
        pytest.param(
            "checks: &a {downgrade-missing: off}\nproject: {env: *a}\n", id="alias to elsewhere"
        ),
    ],
)
def test_what_cannot_be_changed_alone_is_left_to_people(text: str) -> None:
    with pytest.raises(ConfigError) as raised:
        with_learned(".gatekeeper.yml", text, URL)
    assert raised.value.where == ".gatekeeper.yml"
    assert raised.value.fix == "Put this into it by hand:\n\n" + render_block(URL)


def test_a_file_is_made_and_read_again(tmp_path: Path) -> None:
    path = tmp_path / ".gatekeeper.yml"
    save_learned(path, LEARNED)
    assert path.read_text() == "version: 1\n" + BLOCK
    settings = load_policy(path, KNOWN).project
    assert dict(settings.env) == LEARNED.env
    assert (settings.start, settings.home) == (LEARNED.start, LEARNED.home)
    assert settings.extensions == ("vector",)


def test_a_file_is_replaced_as_a_whole_and_keeps_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "policy.yml"
    path.write_text("version: 1\n")
    path.chmod(0o640)
    link = tmp_path / ".gatekeeper.yml"
    link.symlink_to(path)
    save_learned(link, URL)
    assert link.is_symlink()
    assert path.stat().st_mode & 0o777 == 0o640
    assert "DATABASE_URL" in path.read_text()
    assert sorted(p.name for p in tmp_path.iterdir()) == [".gatekeeper.yml", "policy.yml"]


def test_a_file_that_waits_under_a_guessed_name_is_not_written_through(tmp_path: Path) -> None:
    """A pull request can bring one link for each process number."""
    outside = tmp_path / "outside"
    outside.write_text("mine")
    root = tmp_path / "shop"
    root.mkdir()
    (root / f"..gatekeeper.yml.{os.getpid()}").symlink_to(outside)
    save_learned(root / ".gatekeeper.yml", URL)
    assert outside.read_text() == "mine"
    assert not (root / ".gatekeeper.yml").is_symlink()


def test_a_folder_that_takes_no_file_says_what_to_paste(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as raised:
        save_learned(tmp_path / "nowhere/.gatekeeper.yml", URL)
    assert raised.value.what == "the policy file cannot be written: No such file or directory"
    assert "DATABASE_URL" in str(raised.value.fix)
