"""However a run ends, nothing of it is left: no process, no database, no folder."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from gatekeeper.postgres.servers import Server
from tests.live import a_table, live_project, live_revision, make_change, server_url
from tests.waiting import wait_for

pytestmark = [pytest.mark.postgres, pytest.mark.slow]

V = "migrations/versions"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project whose new revision takes its time, and whose base makes a role."""
    slow = 'op.execute("SELECT pg_sleep(600)")'
    up, down = a_table("a")
    grant = 'op.execute("CREATE ROLE interrupted; GRANT SELECT ON a TO interrupted")'
    drop = 'op.execute("DROP OWNED BY interrupted; DROP ROLE interrupted")'
    base = live_revision("a001", None, f"{up}\n{grant}", f"{drop}\n{down}")
    make_change(
        tmp_path / "shop",
        {**live_project(), f"{V}/a001.py": base},
        {f"{V}/b001.py": live_revision("b001", "a001", slow)},
    )
    return tmp_path / "shop"


def _abandoned_folders() -> set[Path]:
    """Folders of runs that are over; those of other tests' runs are locked, soon if not at once."""
    found = _unlocked_folders()
    if found:
        time.sleep(1)
        found &= _unlocked_folders()
    return found


def _unlocked_folders() -> set[Path]:
    found = set()
    for root in (Path("/dev/shm"), Path(tempfile.gettempdir())):
        for path in root.glob("gatekeeper-*"):
            with contextlib.suppress(FileNotFoundError):
                descriptor = os.open(path, os.O_RDONLY)
                with contextlib.suppress(BlockingIOError):
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    found.add(path)
                os.close(descriptor)
    return found


def _shared_memory() -> set[Path]:
    """What PostgreSQL keeps of shared memory outside of its directory."""
    return set(Path("/dev/shm").glob("PostgreSQL.*"))


def _left_on(server: Server) -> set[str]:
    """The databases and roles of runs that a server has."""
    with (
        contextlib.closing(server.connect(server.maintenance_database)) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute(
            "SELECT datname FROM pg_database WHERE datname LIKE 'gatekeeper%' UNION ALL"
            " SELECT rolname FROM pg_roles WHERE rolname IN ('interrupted')"
        )
        return {row[0] for row in cursor.fetchall()}


@contextlib.contextmanager
def _running(project: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    """Yield a check that is in the middle of the slow revision."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("GATEKEEPER_")}
    process = subprocess.Popen(
        [sys.executable, "-m", "gatekeeper", "check", *options],
        cwd=project,
        env={**environment, "PYTHONPATH": str(Path(__file__).parent.parent)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        wait_for(lambda: _probe_of(process) is not None and _sleeps(process))
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def _probe_of(process: subprocess.Popen[str]) -> psutil.Process | None:
    with contextlib.suppress(psutil.NoSuchProcess):
        for child in psutil.Process(process.pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                if any(word.endswith("gatekeeper_probe") for word in child.cmdline()):
                    return child
    return None


def _sleeps(process: subprocess.Popen[str]) -> bool:
    """Whether a server process of anybody's runs our `pg_sleep`: its title says SELECT."""
    for other in psutil.process_iter(["cmdline"]):
        title = " ".join(other.info["cmdline"] or ()).strip()
        if title.startswith("postgres:") and "gatekeeper_" in title and title.endswith("SELECT"):
            return True
    return False


def _descendants(process: subprocess.Popen[str]) -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


def _all_gone(processes: list[psutil.Process]) -> bool:
    return not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in processes)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("is_given", [False, True], ids=["own server", "given server"])
def test_an_interrupted_run_leaves_nothing_and_says_130(
    number: signal.Signals, is_given: bool, project: Path, server: Server
) -> None:
    folders, left = _abandoned_folders(), _left_on(server)
    options = ("--database-url", server_url(server)) if is_given else ()
    with _running(project, *options) as process:
        children = _descendants(process)
        process.send_signal(number)
        assert process.wait(30) == 130
        assert "Traceback" not in process.communicate()[1]
    wait_for(lambda: _all_gone(children))
    assert (_abandoned_folders() - folders, _left_on(server) - left) == (set(), set())


def test_a_killed_probe_is_undetermined(project: Path, server: Server) -> None:
    folders = _abandoned_folders()
    with _running(project) as process:
        children = _descendants(process)
        probe = _probe_of(process)
        assert probe is not None
        probe.kill()
        assert process.wait(30) == 3
    wait_for(lambda: _all_gone(children))
    assert _abandoned_folders() - folders == set()


def test_a_killed_postgresql_is_undetermined(project: Path) -> None:
    folders, segments = _abandoned_folders(), _shared_memory()
    with _running(project) as process:
        children = _descendants(process)
        postmaster = next(p for p in children if "-D" in p.cmdline() and "postgres" in p.name())
        postmaster.kill()
        assert process.wait(60) == 3
    wait_for(lambda: _all_gone(children))
    assert _abandoned_folders() - folders == set()
    assert _shared_memory() - segments == set()


def test_after_a_killed_gatekeeper_the_next_run_cleans_up(project: Path, server: Server) -> None:
    before, left = _abandoned_folders(), _left_on(server)
    with _running(project, "--database-url", server_url(server)) as process:
        children = _descendants(process)
        process.kill()
        process.wait()
    wait_for(lambda: _all_gone(children))
    options = ("--head", "main", "--all", "--database-url", server_url(server))
    subprocess.run(
        [sys.executable, "-m", "gatekeeper", "check", *options],
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)},
        capture_output=True,
        check=True,
    )
    assert (_abandoned_folders() - before, _left_on(server) - left) == (set(), set())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_while_the_command_loads_says_130(number: signal.Signals) -> None:
    script = (
        "import os, sys; from gatekeeper.__main__ import start\n"
        "class Finder:\n"
        "    def find_spec(self, name, *rest):\n"
        f"        if name == 'gatekeeper.pipeline': os.kill(os.getpid(), {int(number)})\n"
        "sys.meta_path.insert(0, Finder()); start()"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (130, "")


def test_a_signal_during_clean_up_waits_for_its_end(tmp_path: Path) -> None:
    script = """
import os, shutil, signal, sys
from pathlib import Path
from gatekeeper import directories
from gatekeeper.signals import raise_interrupted

raise_interrupted()
remove = shutil.rmtree

def slow(*arguments, **options):
    os.kill(os.getpid(), signal.SIGTERM)
    remove(*arguments, **options)

shutil.rmtree = slow
with directories.open_run_directory("gatekeeper-test-", Path(sys.argv[1])) as directory:
    (directory / "file").touch()
"""
    ran = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "stopped by SIGTERM" in ran.stderr
    assert list(tmp_path.iterdir()) == []
