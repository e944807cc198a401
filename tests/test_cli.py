"""The commands as a person calls them: exit codes, texts, files."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.build_git import a_repository
from tests.live import a_table, live_project, live_revision, make_change

V = "migrations/versions"
Ran = subprocess.CompletedProcess[str]
Gatekeeper = Callable[..., Ran]


@pytest.fixture
def gatekeeper(shop: Path, clean_environment: dict[str, str]) -> Gatekeeper:
    """A function that runs the command in the shop's repository."""

    def run(*arguments: str, directory: Path = shop) -> Ran:
        return subprocess.run(
            [sys.executable, "-m", "gatekeeper", *arguments],
            cwd=directory,
            env={**clean_environment, "COLUMNS": "100"},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    base = {**live_project(), f"{V}/a001.py": live_revision("a001", None, *a_table("a"))}
    change = {f"{V}/b001.py": live_revision("b001", "a001", 'op.execute("SELECT 1")', None)}
    return make_change(tmp_path / "shop", base, change).root


def test_lint_reads_what_is_new_and_runs_nothing(gatekeeper: Gatekeeper) -> None:
    ran = gatekeeper("lint")
    assert ran.returncode == 1
    assert "Every new revision has a downgrade" in ran.stdout
    assert f"{V}/b001.py:5  b001" in ran.stdout
    assert "`lint` runs nothing" in ran.stdout


@pytest.mark.parametrize(
    "command",
    [
        ("release", "--output"),
        ("deploy", "--environment", "staging", "--plan", "plan.json", "--record"),
    ],
    ids=lambda command: command[0],
)
@pytest.mark.parametrize(
    ("folder", "what"),
    [("alembic.ini", "written to"), ("alembic.ini/a/b", "made in {shop}/alembic.ini")],
)
def test_a_folder_that_cannot_be_written_to_is_told_at_once(
    command: tuple[str, ...], folder: str, what: str, gatekeeper: Gatekeeper, shop: Path
) -> None:
    """There is neither a release nor a plan here, and that is not even looked at."""
    before = sorted(shop.rglob("*"))
    ran = gatekeeper(*command, str(shop / folder))
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr == (
        f"gatekeeper: {shop / folder}: the folder cannot be {what.format(shop=shop)}: "
        f"Not a directory\nGive `{command[-1]}` a folder that you may write to.\n"
    )
    assert sorted(shop.rglob("*")) == before


@pytest.mark.parametrize(
    ("path", "code"),
    [(f"{V}/a001.py", 0), (f"{V}/b001.py", 1), (V, 1), ("migrations/env.py", 0)],
)
def test_lint_of_files_and_folders(path: str, code: int, gatekeeper: Gatekeeper) -> None:
    assert gatekeeper("lint", path).returncode == code


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        pytest.param(("lint", "nope.py"), "nope.py: there is no such file", id="no such path"),
        pytest.param(("check", "--base", "nowhere"), "nowhere", id="unknown ref"),
        pytest.param(("check", "--project", "elsewhere"), "elsewhere", id="no such project"),
        pytest.param(("check", "--policy", "no.yml"), "no.yml", id="no such policy"),
        pytest.param(("check", "--format", "toml"), "'toml' is not one of", id="format"),
        pytest.param(
            ("lint", "--output", "a", "--output", "b"),
            "2 outputs are given for 1 format",
            id="pair",
        ),
        pytest.param(("lint", "--output", "no/where"), "no/where: the report", id="no such folder"),
        pytest.param(("explain", "not-atomi"), "Did you mean `not-atomic`?", id="unknown check"),
        pytest.param(("lint", "--section", "alembic", "--section", "b"), "`[b]`", id="section"),
        pytest.param(("nonsense",), "No such command", id="command"),
    ],
)
def test_what_is_asked_wrongly_is_one_sentence_and_exit_2(
    arguments: tuple[str, ...], sentence: str, gatekeeper: Gatekeeper
) -> None:
    ran = gatekeeper(*arguments)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert sentence in ran.stderr
    assert "Traceback" not in ran.stderr


def test_outside_of_a_repository_nothing_is_guessed(gatekeeper: Gatekeeper, tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    ran = gatekeeper("check", directory=tmp_path / "plain")
    assert ran.returncode == 2
    assert "git init" in ran.stderr or "git" in ran.stderr


def test_formats_and_outputs_are_paired_in_their_order(gatekeeper: Gatekeeper, shop: Path) -> None:
    formats = ("--format", "json", "--output", "report.json", "--format", "markdown")
    ran = gatekeeper("lint", *formats)
    assert json.loads((shop / "report.json").read_text())["verdict"] == "fail"
    assert ran.stdout.startswith("<!-- gatekeeper:default -->\n")
    assert sorted(p.name for p in shop.iterdir() if "report" in p.name) == ["report.json"]


def test_a_variable_stands_for_an_option(
    gatekeeper: Gatekeeper, clean_environment: dict[str, str]
) -> None:
    clean_environment["GATEKEEPER_FORMAT"] = "json"
    assert json.loads(gatekeeper("lint").stdout)["schema"] == 1


def test_explain_shows_the_table_and_a_page(gatekeeper: Gatekeeper) -> None:
    table, page = gatekeeper("explain"), gatekeeper("explain", "unusable-waiver")
    assert (table.returncode, page.returncode) == (0, 0)
    assert "downgrade-missing" in table.stdout
    assert "Waivers are in force" in page.stdout


def test_a_repository_without_a_project_says_what_to_pass(
    gatekeeper: Gatekeeper, tmp_path: Path
) -> None:
    empty = a_repository(tmp_path / "empty", {"README": ""})
    ran = gatekeeper("check", directory=empty.root)
    assert ran.returncode == 2
    assert "--project" in ran.stderr


@pytest.mark.slow
@pytest.mark.postgres
def test_without_a_database_nothing_is_known(gatekeeper: Gatekeeper, shop: Path) -> None:
    sound = live_revision("b001", "a001", 'op.execute("SELECT 1")', 'op.execute("SELECT 1")')
    (shop / V / "b001.py").write_text(sound)
    ran = gatekeeper("check", "--database-url", "postgresql://x:secret@127.0.0.1:1/x")
    assert ran.returncode == 3
    assert "could not tell" in ran.stdout
    assert "secret" not in ran.stdout + ran.stderr


@pytest.mark.slow
@pytest.mark.postgres
def test_the_doctor_tells_everything_but_the_urls(
    gatekeeper: Gatekeeper, clean_environment: dict[str, str]
) -> None:
    clean_environment["GATEKEEPER_TARGET_URL"] = "postgresql://x:secret@127.0.0.1:1/hidden"
    ran = gatekeeper("doctor")
    assert ran.returncode == 1, ran.stderr
    lines = ran.stdout.splitlines()
    assert lines[0].split() == [
        *("✓", "ok", "Git", "repository", "a", "change", "is", "compared", "with", "`main`")
    ]
    assert "✗ problem        Models" in ran.stdout
    assert "✗ problem        Your database" in ran.stdout
    assert "    import YOUR_PACKAGE.models" in ran.stdout
    assert lines[-1] == "2 problems to mend."
    assert "secret" not in ran.stdout + ran.stderr
    assert "postgresql://" not in ran.stdout + ran.stderr


@pytest.mark.slow
@pytest.mark.postgres
def test_the_demo_shows_all_four_facts_on_their_lines(gatekeeper: Gatekeeper) -> None:
    ran = gatekeeper("demo")
    assert ran.returncode == 0, ran.stderr
    text = ran.stdout
    for place in ("b001_drop_ticket_status.py:15", "b002_ticket_priority.py:21"):
        assert f"{V}/{place}" in text
    assert f"{V}/b003_index_ticket_customer.py:14" in text
    clean = next(line for line in text.splitlines() if line.startswith("b004"))
    assert "none" in clean.split()
