"""The environment and the command in which the project's code runs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from gatekeeper.errors import ProbeError
from gatekeeper.probe import sandbox
from gatekeeper.probe.sandbox import Account, open_sandbox

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another account")
NOBODY = Account("nobody", 65534, 65534)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    folder = tmp_path / "checkout"
    folder.mkdir()
    (folder / "file").write_text("x")
    (folder / "link").symlink_to("/etc/passwd")
    return folder


def test_environment_is_an_allow_list(checkout):
    environ = {
        "PATH": "/usr/bin",
        "LC_ALL": "C",
        "TZ": "UTC",
        "HOME": "/root",
        "GITHUB_TOKEN": "t",
        "ACTIONS_RUNTIME_TOKEN": "t",
        "PGPASSWORD": "p",
        "GATEKEEPER_DATABASE_URL": "u",
        "PYTHONPATH": "/x",
        "DOCKER_HOST": "unix:///x",
    }
    python = Path(sys.executable)
    with open_sandbox(python, checkout, None, environ, {"SECRET_KEY": "dummy"}) as box:
        assert box.environment == {
            "LANG": "C.UTF-8",
            "LC_ALL": "C",
            "TZ": "UTC",
            "PATH": f"{python.parent}:/usr/bin",
            "HOME": f"{box.private}/home",
            "TMPDIR": f"{box.private}/tmp",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONUNBUFFERED": "1",
            "PYTHONFAULTHANDLER": "1",
            "SECRET_KEY": "dummy",
        }
    assert not box.private.exists()


@as_root
def test_checkout_is_handed_over_but_nothing_it_points_to(checkout):
    with open_sandbox(Path(sys.executable), checkout, None, {}, {}):
        owners = {path.lstat().st_uid for path in (checkout, *checkout.iterdir())}
        assert owners == {NOBODY.uid}
        assert Path("/etc/passwd").stat().st_uid == 0


@as_root
def test_interpreter_in_a_closed_home_is_reachable(checkout, tmp_path):
    """The home's own mode stays as it is."""
    home = tmp_path / "home"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", home / "venv"], check=True)
    (home / "secret").write_text("x")
    home.chmod(0o700)
    python = home / "venv" / "bin" / "python"
    with open_sandbox(python, checkout, None, dict(os.environ), {}) as box:
        script = f"import os; print(os.getuid(), os.getgroups(), os.listdir({str(home)!r}))"
        seen = subprocess.run(
            [*box.command, python, "-c", script],
            env=dict(box.environment),
            capture_output=True,
            text=True,
            check=True,
        )
    assert seen.stdout == "65534 [] ['venv']\n"
    assert home.stat().st_mode & 0o777 == 0o700


@as_root
def test_without_namespaces_the_account_alone(checkout, tmp_path, monkeypatch):
    monkeypatch.setattr(sandbox, "has_namespaces", lambda: False)
    tmp_path.parent.chmod(0o755)
    account, command = sandbox._choose_command(NOBODY, (Path("/usr/bin"),), tmp_path, None)
    assert account == NOBODY
    seen = subprocess.run([*command, "id", "-u"], capture_output=True, text=True, check=True)
    assert seen.stdout == "65534\n"


@as_root
def test_without_namespaces_the_owner_of_the_workspace():
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        (home / "python").mkdir()
        with pytest.raises(ProbeError) as raised:
            sandbox._owner_of_workspace(home, (home / "python",), NOBODY)
        assert f"`nobody`, which runs the project's code, cannot enter {home}" in raised.value.what
        os.chown(home, 1001, 1001)
        owner = sandbox._owner_of_workspace(home, (home / "python",), NOBODY)
    assert owner == Account("uid 1001", 1001, 1001)


def test_folder_of_a_killed_run_is_swept_and_a_living_one_is_not(checkout):
    script = f"""
import os, signal
from pathlib import Path
from gatekeeper.probe.sandbox import open_sandbox

with open_sandbox(Path("/usr/bin/env"), Path({str(checkout)!r}), None, {{}}, {{}}) as box:
    print(box.private, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""
    package = str(Path(sandbox.__file__).parents[2])
    killed = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": package},
        capture_output=True,
        text=True,
        check=False,
    )
    left = Path(killed.stdout.strip())
    assert left.is_dir()
    with open_sandbox(Path(sys.executable), checkout, None, {}, {}) as living:
        assert not left.exists()
        with open_sandbox(Path(sys.executable), checkout, None, {}, {}):
            assert living.private.exists()


def test_own_environment_can_be_hidden_from_the_same_account(checkout):
    shutil.copytree(Path(sandbox.__file__).parents[1], checkout / "gatekeeper")
    script = """
import os, subprocess
from gatekeeper.probe.sandbox import protect_own_environment

def is_readable():
    reading = ["cat", f"/proc/{os.getpid()}/environ"]
    return subprocess.run(reading, capture_output=True).returncode == 0

print(is_readable())
protect_own_environment()
print(is_readable())
"""
    python = Path(sys.executable)
    variables = {"PYTHONPATH": str(checkout)}
    with open_sandbox(python, checkout, None, dict(os.environ), variables) as box:
        seen = subprocess.run(
            [*box.command, python, "-c", script],
            env=dict(box.environment),
            capture_output=True,
            text=True,
            check=True,
        )
    assert seen.stdout == "True\nFalse\n"


def test_descendants_are_found_by_their_environment(tmp_path):
    marked = subprocess.Popen(["sleep", "60"], env={"TMPDIR": str(tmp_path / "tmp")})
    other = subprocess.Popen(["sleep", "60"], env={"TMPDIR": "/elsewhere"})
    sandbox.end_descendants(tmp_path / "tmp")
    assert marked.wait(10) == -9
    assert other.poll() is None
    other.kill()
    other.wait()
