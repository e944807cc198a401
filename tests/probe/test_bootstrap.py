"""Commands and hooks that prepare a database, in the project's own interpreter."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from gatekeeper.errors import ConfigError, ProbeError
from gatekeeper.probe.bootstrap import ProjectBootstrap, run_bootstrap
from gatekeeper.probe.hook import read_hook
from gatekeeper.probe.model import Launch
from gatekeeper.probe.runner import open_probe
from tests.probe.conftest import PYTHON, ProbeServer

pytestmark = [pytest.mark.postgres, pytest.mark.slow]

URL = "postgresql://shop@db.example.com/shop"
MAKE = f"""\
import sqlalchemy as sa

def make(name):
    with sa.create_engine("{URL}").begin() as connection:
        connection.execute(sa.text(f"CREATE TABLE {{name}} ()"))
"""
FILES = {
    "make.py": MAKE,
    "shop/__init__.py": "",
    "shop/create_all.py": "import sys, make\nmake.make(sys.argv[1])\n",
    "scripts/create.py": "import sys\nimport beside\nbeside.make(sys.argv[1])\n",
    "scripts/beside.py": MAKE,
    "raw.py": "import psycopg2\nwith psycopg2.connect('host=db.example.com') as connection:\n"
    "    connection.cursor().execute('CREATE TABLE t ()')\n",
    "stamps.py": "import make\nfrom alembic import command\nfrom alembic.config import Config\n"
    "make.make('t')\ncommand.stamp(Config('alembic.ini'), 'a002')\n",
    "needs.py": "import os, make\nos.environ['SHOP_DATABASE_URL']\nmake.make('t')\n",
    "asks.py": "import os, make\nos.environ['PAYMENT_ACCOUNT']\nmake.make('t')\n",
    "prints.py": "print('one')\nprint('word two')\nraise SystemExit('no tables today')\n",
    "lacks.py": "import celery\n",
    "sql.py": f"import sqlalchemy as sa\nwith sa.create_engine('{URL}').begin() as c:\n"
    "    c.execute(sa.text('SELECT * FROM nowhere'))\n",
    "leaves.py": "import os\nos._exit(0)\n",
    "program": "#!/bin/sh\nexec psql --quiet --command 'CREATE TABLE t ()'\n",
}


def _has_psql() -> bool:
    """Tell whether psql runs; Debian's is there without any, and then only says so."""
    try:
        return subprocess.run(["psql", "--version"], capture_output=True).returncode == 0
    except OSError:
        return False


needs_psql = pytest.mark.skipif(not _has_psql(), reason="no psql is installed")


@pytest.fixture
def project(launch: Callable[..., Launch]) -> Launch:
    launched = launch("sync_ini")
    for name, text in FILES.items():
        file = launched.checkout / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    (launched.checkout / "program").chmod(0o755)
    return launched


def a_command(*words: str) -> ProjectBootstrap:
    return ProjectBootstrap(f"`{' '.join(words)}`", ".gatekeeper.yml:2", words)


def prepare(
    launched: Launch, bootstrap: ProjectBootstrap, server: ProbeServer
) -> list[tuple[object, ...]]:
    """Run it and return the tables that it made."""
    targets = []

    def new_target():
        targets.append(server.new_target())
        return targets[-1]

    run_bootstrap(launched, bootstrap, new_target)
    query = "SELECT relname FROM pg_class WHERE relkind = 'r' AND oid >= 16384 ORDER BY 1"
    return server.execute(targets[-1].database, query)


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(("python", "-m", "shop.create_all", "t"), id="module"),
        pytest.param(("python3", "-u", "scripts/create.py", "t"), id="file"),
        pytest.param(("python", "-c", "import make, sys; make.make(sys.argv[1])", "t"), id="code"),
        pytest.param((str(PYTHON), "-m", "shop.create_all", "t"), id="path of the interpreter"),
        pytest.param(("uv", "run", "python", "-m", "shop.create_all", "t"), id="uv run"),
        pytest.param(("python", "raw.py"), id="with the driver alone"),
        pytest.param(("python", "needs.py"), id="a variable of the database's"),
        pytest.param(("python", "asks.py"), id="a variable of something else"),
        pytest.param(("psql", "-q", "-c", "CREATE TABLE t ()"), id="psql", marks=needs_psql),
        pytest.param(
            ("sh", "-c", 'psql -q "$DATABASE_URL" -c "CREATE TABLE t ()"'),
            id="shell",
            marks=needs_psql,
        ),
        pytest.param(("./program",), id="program of the repository", marks=needs_psql),
    ],
)
def test_a_command_prepares_the_database(
    words: tuple[str, ...], project: Launch, probe_server: ProbeServer
) -> None:
    assert prepare(project, a_command(*words), probe_server) == [("t",)]


def test_a_console_script_runs_redirected(project: Launch, probe_server: ProbeServer) -> None:
    """`alembic` is one of the environment's; what it does is not held back here."""
    command = a_command("alembic", "upgrade", "a001")
    assert prepare(project, command, probe_server) == [("alembic_version",), ("users",)]


def test_a_command_may_stamp_by_itself(project: Launch, probe_server: ProbeServer) -> None:
    tables = prepare(project, a_command("python", "stamps.py"), probe_server)
    assert tables == [("alembic_version",), ("t",)]


@pytest.mark.parametrize(
    ("words", "what"),
    [
        pytest.param(
            ("python", "prints.py"),
            "failed: SystemExit: no tables today (prints.py:3); it printed last:\n    one\n"
            "    word two",
            id="exit",
        ),
        pytest.param(
            ("python", "lacks.py"),
            "failed: ModuleNotFoundError: No module named 'celery' (lacks.py:1)",
            id="package",
        ),
        pytest.param(
            ("python", "sql.py"),
            'failed: UndefinedTable: relation "nowhere" does not exist\n'
            "LINE 1: SELECT * FROM nowhere\n                      ^ (sql.py:3)",
            id="database error",
        ),
        pytest.param(
            ("sh", "-c", "echo before; exit 3"),
            "failed: `sh` ended with exit status 3; it printed last:\n    before",
            id="program",
        ),
        pytest.param(
            ("python", "leaves.py"),
            ": the project's process ended before it had answered (exit status 0)",
            id="no end of its own",
        ),
    ],
)
def test_a_command_that_fails_is_told_with_its_last_lines(
    words: tuple[str, ...], what: str, project: Launch, probe_server: ProbeServer
) -> None:
    with pytest.raises(ProbeError) as caught:
        prepare(project, a_command(*words), probe_server)
    said = caught.value.what.removeprefix(f"the bootstrap `{' '.join(words)}`").strip()
    assert said == what
    assert caught.value.where == ".gatekeeper.yml:2"


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("pyhton", "x.py"), "there is no program `pyhton`"),
        (("python", "no.py"), "there is no file `no.py`"),
        (("python", "-m", "shop.creat_all"), "there is no module `shop.creat_all`"),
        (("python", "-m", "shp.create_all"), "there is no module `shp.create_all`"),
        (("python", "-X"), "after `python` comes a file, `-m MODULE` or `-c CODE`"),
    ],
)
def test_a_command_that_is_not_there_was_asked_wrongly(
    words: tuple[str, ...], what: str, project: Launch, probe_server: ProbeServer
) -> None:
    with pytest.raises(ConfigError) as caught:
        prepare(project, a_command(*words), probe_server)
    assert caught.value.what == f"the bootstrap `{' '.join(words)}` cannot be run: {what}"
    assert caught.value.where == ".gatekeeper.yml:2"


def test_a_command_without_end_is_stopped(project: Launch, probe_server: ProbeServer) -> None:
    command = a_command("sh", "-c", "echo on and on; sleep 60")
    with pytest.raises(ProbeError, match="did not answer within 2 seconds") as caught:
        prepare(replace(project, timeout_seconds=2.0), command, probe_server)
    assert caught.value.what.endswith("it printed last:\n    on and on")


def with_hook(launched: Launch, source: str) -> Launch:
    (launched.checkout / "hook.py").write_text(source)
    return replace(launched, hook=read_hook("hook.py", source.encode()))


def test_a_hook_prepares_the_database(project: Launch, probe_server: ProbeServer) -> None:
    source = (
        "import sqlalchemy as sa\n\ndef bootstrap(url):\n"
        "    with sa.create_engine(url).begin() as connection:\n"
        "        connection.execute(sa.text('CREATE TABLE t ()'))\n"
    )
    bootstrap = ProjectBootstrap("`bootstrap(url)`", "hook.py")
    assert prepare(with_hook(project, source), bootstrap, probe_server) == [("t",)]


@pytest.mark.parametrize(
    ("source", "what"),
    [
        (
            "def around(run):\n    pass",
            "around(run) of the hook came to its end without calling run()",
        ),
        (
            "def around(run):\n    run()\n    run()",
            "around(run) of the hook called run() a second time",
        ),
        (
            "def alembic_config():\n    return {}",
            "alembic_config() of the hook returned dict, not an Alembic Config",
        ),
    ],
)
def test_a_hook_that_does_not_do_its_part_is_told(
    source: str, what: str, project: Launch, probe_server: ProbeServer
) -> None:
    with (
        pytest.raises(ProbeError) as caught,
        open_probe(with_hook(project, source), probe_server.new_target),
    ):
        pass
    assert caught.value.what == what


def test_an_error_of_the_hook_has_its_place(project: Launch, probe_server: ProbeServer) -> None:
    source = "def around(run):\n    raise LookupError('no settings')"
    with (
        pytest.raises(ProbeError, match="LookupError: no settings") as caught,
        open_probe(with_hook(project, source), probe_server.new_target),
    ):
        pass
    assert caught.value.where == "hook.py:2"


def test_what_a_hook_sets_up_is_there_for_every_run(
    project: Launch, probe_server: ProbeServer, tmp_path: Path
) -> None:
    source = (
        "import os\n\ndef around(run):\n    os.environ['ROUND'] = 'in'\n    try:\n        run()\n"
        "    finally:\n        del os.environ['ROUND']\n"
    )
    env = project.checkout / "migrations" / "env.py"
    env.write_text("import os\nos.environ['ROUND']\n" + env.read_text())
    with open_probe(with_hook(project, source), probe_server.new_target) as probe:
        target = probe_server.new_target()
        probe.stamp(target, ["a002"])
        assert probe.heads(target) == {"a002"}
