"""What one run finds out is saved, and the next one needs it no more."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from gatekeeper import merging, pipeline
from gatekeeper.doctor.chart import Subject
from gatekeeper.doctor.examine import examine
from gatekeeper.errors import ConfigError
from gatekeeper.model import Learned, NotRehearsed, Project, Rehearsal, Way
from gatekeeper.policy.model import ProjectSettings
from gatekeeper.preparing import with_settings
from gatekeeper.probe.model import Interpreter, Launch
from gatekeeper.request import Request, Surroundings
from tests.build import a_change_set, a_rehearsal
from tests.build_git import a_repository
from tests.live import (
    ENV_PY,
    NOW,
    check_change,
    check_repository,
    finding_lines,
    live_project,
    live_revision,
    rehearsal_of,
    server_url,
)
from tests.situations import make_repository, read_situation

V = "migrations/versions"
SECRET = "Dummy0" * 8
POLICY = """\
# Ours.
extends: strict   # all of it

project:
    env:
        AWS_REGION_OF_SHOP: here   # where else

checks:
    not-atomic: error
"""
SAVED = f"""\
# Ours.
extends: strict   # all of it

project:
    env:
        AWS_REGION_OF_SHOP: here   # where else
        SHOP_SECRET_KEY: {SECRET}
        SHOP_TOKEN_SALT: {SECRET}
        SHOP_STORE: "{{database_url}}"
        SHOP_BROKER: "redis://dummy.invalid:6379/0"
        SHOP_DEBUG: "true"
        SHOP_MAIL__HOST: dummy
        SHOP_MAIL__PORT: "1"

checks:
    not-atomic: error
"""


def noted(report) -> list[str]:
    """Return what is said of how the project was run, after its interpreter."""
    return list(rehearsal_of(report).project[1:])


@pytest.mark.postgres
@pytest.mark.slow
def test_the_second_run_needs_one_attempt_and_says_the_same(server, tmp_path):
    root = tmp_path / "shop"
    make_repository(root, read_situation("settings_of_pydantic"))
    policy = root / ".gatekeeper.yml"
    policy.write_text(POLICY)
    request = Request(directory=root)
    first = check_repository(root, server, python=sys.executable)
    assert len(noted(first)) == 8
    assert pipeline.save(request, first) == policy
    assert policy.read_text() == SAVED
    second = check_repository(root, server, python=sys.executable)
    assert noted(second) == []
    assert second.to_save is None
    assert pipeline.save(request, second) is None
    assert (second.verdict, second.checks) == (first.verdict, first.checks)
    assert finding_lines(second) == finding_lines(first)


@pytest.mark.postgres
@pytest.mark.slow
@pytest.mark.parametrize(
    ("situation", "block"),
    [
        ("url_in_home", 'project:\n  home:\n    .shop/database: "{database_url}"\n'),
        (
            "folder_elsewhere",
            'project:\n  env:\n    SHOP_DATA_DIR: "{private_folder}"\n',
        ),
        ("connection_given", "project:\n  start: [connection]\n"),
        ("flask_factory_fails", "project:\n  start: [bare-flask-app]\n"),
    ],
)
def test_each_kind_of_what_is_found_out(situation, block, server, tmp_path):
    root = tmp_path / "shop"
    make_repository(root, read_situation(situation))
    first = check_repository(root, server, python=sys.executable)
    assert first.to_save == block
    assert pipeline.save(Request(directory=root), first) == root / ".gatekeeper.yml"
    second = check_repository(root, server, python=sys.executable)
    assert second.to_save is None
    assert finding_lines(second) == finding_lines(first)


@pytest.mark.postgres
@pytest.mark.slow
def test_what_was_found_out_is_shown_where_the_base_fails(server, tmp_path):
    env = f"import os\nos.environ['DATABASE_URL']\n{ENV_PY}"
    base = {f"{V}/a001.py": live_revision("a001", None, "op.no_such_thing()")}
    change = {f"{V}/b001.py": live_revision("b001", "a001")}
    report = check_change(tmp_path, server, {"migrations/env.py": env, **base}, change)
    assert isinstance(report.rehearsal, NotRehearsed)
    assert report.to_save == 'project:\n  env:\n    DATABASE_URL: "{database_url}"\n'


@pytest.mark.postgres
@pytest.mark.slow
def test_the_doctor_shows_an_extension_of_the_history(server, tmp_path):
    root = tmp_path / "shop"
    table = 'op.execute("CREATE TABLE t (c citext)")'
    a_repository(root, {**live_project(), f"{V}/a001.py": live_revision("a001", None, table)})
    request = Request(directory=root, python=sys.executable, database_url=server_url(server))
    told = examine(request, None, Surroundings({}, NOW, lambda step: None))
    (history,) = [each for each in told if each.subject == Subject.HISTORY.value]
    assert history.detail == (
        "1 revision ran on an empty database; it needs `citext`, which was made"
    )
    assert str(history.remedy).endswith("    project:\n      extensions: [citext]")


@pytest.mark.postgres
@pytest.mark.slow
def test_the_command_saves_and_the_doctor_shows(server, tmp_path, clean_environment):
    root = tmp_path / "shop"
    make_repository(root, read_situation("secret_from_environment"))
    request = Request(directory=root, python=sys.executable, database_url=server_url(server))
    told = examine(request, None, Surroundings({}, NOW, lambda step: None))
    (env,) = [each for each in told if each.subject == Subject.ENVIRONMENT.value]
    assert env.remedy == (
        "With this in `.gatekeeper.yml` nothing of it has to be found out again:\n\n"
        "    project:\n"
        "      env:\n"
        '        DATABASE_URL: "{database_url}"\n'
        f"        PAYMENT_SECRET: {SECRET}"
    )
    command = [sys.executable, "-m", "gatekeeper", "check", "--save", "--python", sys.executable]
    runs = [
        subprocess.run(
            [*command, "--database-url", server_url(server)],
            cwd=root,
            env=clean_environment,
            capture_output=True,
            text=True,
            check=False,
        )
        for _ in range(2)
    ]
    assert "gatekeeper check --save` puts it there" in " ".join(runs[0].stdout.split())
    assert runs[0].stderr == (
        f"gatekeeper: the `project:` block is in {root / '.gatekeeper.yml'} now\n"
    )
    assert "project:" not in runs[1].stdout
    assert runs[1].stderr == "gatekeeper: there was nothing to save\n"
    assert runs[1].returncode == runs[0].returncode
    told = examine(request, None, Surroundings({}, NOW, lambda step: None))
    (url,) = [each for each in told if each.subject == Subject.URL.value]
    assert url.detail == (
        "`DATABASE_URL` is unset: a rehearsal fills it, `alembic` on your own database needs it"
    )


def test_several_histories_have_one_block():
    each = [
        merging.History(a_change_set(), (a_rehearsal(learned=learned),))
        for learned in (
            Learned({"A": "a"}, (Way.THREAD,), extensions=("citext",)),
            Learned({"A": "a", "B": "b"}, (Way.THREAD,), {"f": "x"}, ("vector",)),
        )
    ]
    merged = merging.merge_rehearsals(each)
    assert isinstance(merged, Rehearsal)
    assert merged.learned == Learned(
        {"A": "a", "B": "b"}, (Way.THREAD,), {"f": "x"}, ("citext", "vector")
    )


def test_what_the_policy_says_of_a_run_reaches_it():
    settings = ProjectSettings(
        env={"A": "a"}, start=(Way.THREAD,), x={"t": "1"}, home={"f": "x"}, timeout_minutes=3
    )
    request = Request(directory=Path(), env={"B": "b"})
    surroundings = Surroundings({"PATH": "/bin"}, NOW, lambda step: None)
    project = Project(".", None, "alembic", "m", ("m/versions",))
    plain = Launch(Interpreter(Path("python"), "found"), Path(), project)
    assert with_settings(plain, request, settings, surroundings) == replace(
        plain,
        environment={"A": "a", "B": "b"},
        environ={"PATH": "/bin"},
        ways=(Way.THREAD,),
        arguments={"t": "1"},
        home_files={"f": "x"},
        timeout_seconds=180.0,
    )
    usual = with_settings(plain, request, ProjectSettings(), surroundings)
    assert usual.timeout_seconds == 600.0


def test_nothing_is_saved_into_what_ships():
    with pytest.raises(ConfigError) as raised:
        pipeline.require_saving(Request(directory=Path(), policy=Path("strict")))
    assert (
        raised.value.fix == "Leave `--policy` out and put `extends: strict` into .gatekeeper.yml."
    )
