"""The environment and the command in which the project's code runs."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from gatekeeper.directories import open_run_directory
from gatekeeper.errors import Interrupted, ProbeError
from gatekeeper.probe import sandbox
from gatekeeper.probe.sandbox import Account, Sandbox, open_sandbox
from gatekeeper.probe.workspace import keep_closed

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another account")
NOBODY = Account("nobody", 65534, 65534)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    folder = tmp_path / "checkout"
    folder.mkdir()
    (folder / "file").write_text("x")
    (folder / "link").symlink_to("/etc/passwd")
    return folder


def run_in(
    box: Sandbox, *program: str | Path, check: bool = True
) -> subprocess.CompletedProcess[str]:
    start = box.start(program)
    return subprocess.run(
        start.arguments,
        env=start.environment,
        cwd=box.private,
        capture_output=True,
        text=True,
        check=check,
    )


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


@pytest.mark.parametrize(
    ("home_files", "what"),
    [
        ({"a": "x", "a/b": "y"}, "`a/b` cannot be put into the home directory: File exists"),
        ({".": "x"}, "`.` cannot be put into the home directory: Is a directory"),
        (
            {"n" * 300: "x"},
            f"`{'n' * 300}` cannot be put into the home directory: File name too long",
        ),
        ({"../tmp/x": "x"}, "`../tmp/x` lies outside of the home directory"),
    ],
)
def test_files_of_the_home_directory_that_cannot_be(checkout, home_files, what):
    with (
        pytest.raises(ProbeError) as raised,
        open_sandbox(Path(sys.executable), checkout, None, {}, {}, home_files),
    ):
        pass
    assert raised.value.what == what


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
        seen = run_in(box, python, "-c", script)
    assert seen.stdout == "65534 [] ['venv']\n"
    assert home.stat().st_mode & 0o777 == 0o700


@pytest.fixture(params=["namespaces", "plain"])
def confinement(request, monkeypatch) -> str:
    """Both ways: with namespaces of its own, and as in a container that forbids them."""
    if request.param == "plain":
        monkeypatch.setattr(sandbox, "has_namespaces", lambda: False)
    return str(request.param)


@as_root
def test_variables_of_the_project_count_only_once_the_account_is_another(confinement, open_folder):
    """Whatever root runs before would load the library, and complains of one that is not there."""
    given = {
        "LD_PRELOAD": "/nowhere/author.so",
        "BASH_ENV": "/nowhere",
        "A": "b c\n'\"$(id)=",
        "_": "x",
    }
    script = "import json, os; print(json.dumps([os.getuid(), dict(os.environ)]))"
    checkout = a_copy(open_folder)
    python = Path("/usr/bin/python3")
    with open_sandbox(python, checkout, None, {"PATH": os.environ["PATH"]}, given) as box:
        done = run_in(box, python, "-c", script)
    assert json.loads(done.stdout) == [65534, dict(box.environment)]
    # `setpriv` runs as the other account already.
    assert done.stderr.count("/nowhere/author.so") == 2


@as_root
def test_programs_beside_the_projects_interpreter_do_not_run_as_root(confinement, open_folder):
    programs = open_folder / "venv" / "bin"
    programs.mkdir(parents=True)
    for name in ("sh", "env", "mount", "mkdir", "umount", "setpriv", "unshare"):
        (programs / name).write_text(f"#!/bin/sh\nid -u >> {open_folder}/ran\n")
        (programs / name).chmod(0o755)
    (programs / "python").symlink_to("/usr/bin/python3")
    environ = {"PATH": os.environ["PATH"]}
    with open_sandbox(programs / "python", a_copy(open_folder), None, environ, {}) as box:
        assert run_in(box, box.interpreter, "-c", "print(1)").stdout == "1\n"
    assert not (open_folder / "ran").exists()


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that other accounts can reach; those of pytest are closed."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture
def workspace(open_folder: Path) -> Path:
    """A repository as actions/checkout leaves it, readable by everybody."""
    root = open_folder / "shop"
    for name in (".git/config", "alembic.ini", "gha-creds.json"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("secret")
    return root


def look(
    repository: Path, checkout: Path, *names: str, python: str = "/usr/bin/python3", **environ: str
) -> dict[str, str]:
    """Return what each name turned out to be for the project's code."""
    script = """
import json, os, sys
seen = {}
for name in sys.argv[1:]:
    try:
        is_folder = os.path.isdir(name)
        seen[name] = " ".join(sorted(os.listdir(name))) if is_folder else open(name).read()
    except OSError as error:
        seen[name] = type(error).__name__
print(json.dumps(seen))
"""
    environ = {"PATH": os.environ["PATH"], **environ}
    with open_sandbox(Path(python), checkout, repository, environ, {}) as box:
        done = run_in(box, box.interpreter, "-c", script, *names, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


HIDDEN = {"namespaces": "FileNotFoundError", "plain": "PermissionError"}


@as_root
def test_the_users_repository_is_out_of_sight(confinement, workspace, open_folder):
    """Its files and the job's token, which every account of the machine may read."""
    workspace.chmod(0o2775)
    checkout = a_copy(open_folder)
    names = (f"{workspace}/.git/config", f"{workspace}/gha-creds.json")
    seen = look(workspace, checkout, *names, f"{checkout}/file")
    assert seen == {**dict.fromkeys(names, HIDDEN[confinement]), f"{checkout}/file": "x"}
    assert stat.S_IMODE(workspace.stat().st_mode) == 0o2775


@as_root
def test_an_environment_in_the_repository_is_all_that_is_seen_of_it(
    confinement, workspace, open_folder
):
    command = ["/usr/bin/python3", "-m", "venv", "--without-pip", str(workspace / ".venv")]
    subprocess.run(command, check=True)
    (workspace / ".git").chmod(0o755)
    python = str(workspace / ".venv/bin/python")
    names = (str(workspace), f"{workspace}/.git/config", f"{workspace}/.venv/pyvenv.cfg")
    seen = look(workspace, a_copy(open_folder), *names, python=python)
    assert seen[names[1]] == HIDDEN[confinement]
    assert seen[names[2]].startswith("home = ")
    assert seen[names[0]] == {"namespaces": ".venv", "plain": "PermissionError"}[confinement]
    assert stat.S_IMODE((workspace / ".git").stat().st_mode) == 0o755


@as_root
def test_an_environment_that_the_repository_links_to(confinement, workspace, open_folder):
    command = ["/usr/bin/python3", "-m", "venv", "--without-pip", str(open_folder / "elsewhere")]
    subprocess.run(command, check=True)
    (workspace / ".venv").symlink_to(open_folder / "elsewhere")
    names = (f"{workspace}/.git/config", f"{open_folder}/elsewhere/pyvenv.cfg")
    seen = look(workspace, a_copy(open_folder), *names, python=str(workspace / ".venv/bin/python"))
    assert seen[names[0]] == HIDDEN[confinement]
    assert seen[names[1]].startswith("home = ")
    assert stat.S_IMODE(workspace.stat().st_mode) == 0o755


@as_root
def test_an_environment_in_the_repository_cannot_be_written(workspace, open_folder):
    command = ["/usr/bin/python3", "-m", "venv", "--without-pip", str(workspace / ".venv")]
    subprocess.run(command, check=True)
    (workspace / ".venv").chmod(0o777)
    python = workspace / ".venv/bin/python"
    with open_sandbox(python, a_copy(open_folder), workspace, dict(os.environ), {}) as box:
        done = run_in(box, "touch", workspace / ".venv/left", check=False)
    assert "Read-only file system" in done.stderr
    assert not (workspace / ".venv/left").exists()


@as_root
def test_the_git_directory_of_a_linked_work_tree_is_out_of_sight(
    confinement, workspace, open_folder
):
    linked = open_folder / "linked"
    linked.mkdir()
    (workspace / ".git/worktrees/linked").mkdir(parents=True)
    (linked / ".git").write_text(f"gitdir: {workspace}/.git/worktrees/linked\n")
    name = f"{workspace}/.git/config"
    seen = look(linked, a_copy(open_folder), name, f"{linked}/.git")
    assert seen == {name: HIDDEN[confinement], f"{linked}/.git": HIDDEN[confinement]}


@as_root
def test_the_temporary_folder_of_the_runner_is_out_of_sight(confinement, workspace, open_folder):
    """actions/checkout v6 keeps the token there."""
    temporary = open_folder / "runner_temp"
    temporary.mkdir()
    (temporary / "git-credentials.config").write_text("secret")
    name = f"{temporary}/git-credentials.config"
    seen = look(workspace, a_copy(open_folder), name, RUNNER_TEMP=str(temporary))
    assert seen == {name: HIDDEN[confinement]}


@as_root
def test_a_cache_in_the_temporary_folder_of_the_runner_is_all_that_is_seen_of_it(
    confinement, workspace, open_folder
):
    """A container action sees some of its folders at other paths as well."""
    temporary = open_folder / "runner_temp"
    environment = temporary / "gatekeeper" / "environment"
    subprocess.run(["/usr/bin/python3", "-m", "venv", "--without-pip", environment], check=True)
    for name in ("git-credentials.config", "_github_home/.netrc", "other/file"):
        (temporary / name).parent.mkdir(exist_ok=True)
        (temporary / name).write_text("secret")
    (temporary / "link").symlink_to("git-credentials.config")
    before = modes_below(temporary)
    names = [str(temporary)]
    names += [f"{temporary}/{name}" for name in ("git-credentials.config", "link", "other/file")]
    names += [f"{temporary}/_github_home/.netrc", f"{environment}/pyvenv.cfg"]
    seen = look(
        workspace,
        a_copy(open_folder),
        *names,
        python=str(environment / "bin/python"),
        RUNNER_TEMP=str(temporary),
    )
    assert seen.pop(names[-1]).startswith("home = ")
    listed = {"namespaces": "gatekeeper", "plain": "PermissionError"}[confinement]
    assert seen.pop(names[0]) == listed
    assert seen == dict.fromkeys(names[1:-1], HIDDEN[confinement])
    assert modes_below(temporary) == before


@as_root
@pytest.mark.timeout(30)
def test_two_at_once_where_the_temporary_folders_of_runner_and_system_are_one(
    open_folder, workspace, monkeypatch
):
    """As in a job on a machine of one's own: neither waits for what the other keeps open."""
    monkeypatch.setattr(sandbox, "has_namespaces", lambda: False)
    monkeypatch.setattr(tempfile, "tempdir", str(open_folder))
    environ = {**os.environ, "RUNNER_TEMP": str(open_folder)}
    (open_folder / "credentials").write_text("secret")
    (open_folder / "own").write_text("of the account")
    os.chown(open_folder / "own", NOBODY.uid, NOBODY.gid)
    python = Path("/usr/bin/python3")
    with contextlib.ExitStack() as stack:
        run = stack.enter_context(open_run_directory("gatekeeper-run-"))
        run.chmod(0o711)
        boxes = [
            stack.enter_context(open_sandbox(python, a_copy(run / name), workspace, environ, {}))
            for name in ("head", "base")
        ]
        for box in boxes:
            assert run_in(box, "ls", box.private).stdout.split() == ["files", "home", "tmp"]
            assert run_in(box, "cat", open_folder / "own").stdout == "of the account"
            closed = run_in(box, "cat", open_folder / "credentials", check=False)
            assert "Permission denied" in closed.stderr


def modes_below(folder: Path) -> dict[Path, int]:
    return {path: stat.S_IMODE(path.lstat().st_mode) for path in folder.rglob("*")}


@as_root
def test_a_copy_inside_the_repository_stays_visible(confinement, workspace, open_folder):
    """As with a TMPDIR in it; its `.git` is hidden all the same."""
    checkout = a_copy(workspace)
    names = (f"{checkout}/file", f"{workspace}/.git/config")
    seen = look(workspace, checkout, *names)
    assert seen == {names[0]: "x", names[1]: HIDDEN[confinement]}


@as_root
def test_an_environment_of_the_authors_making_shows_no_folder_of_its_choice(workspace, open_folder):
    closed = open_folder / "closed"
    (closed / "bin").mkdir(parents=True)
    (closed / "token").write_text("secret")
    closed.chmod(0o700)
    packages = workspace / ".venv/lib/python3/site-packages"
    packages.mkdir(parents=True)
    (packages / "x.pth").write_text(f"{closed / 'bin'}\n{workspace}\n")
    (workspace / ".venv/bin").mkdir()
    (workspace / ".venv/bin/python").symlink_to("/usr/bin/python3")
    (workspace / ".venv/pyvenv.cfg").write_text(f"home = {closed / 'bin'}\n")
    names = (f"{closed}/bin", f"{closed}/token", f"{workspace}/.git/config")
    with open_sandbox(
        workspace / ".venv/bin/python", a_copy(open_folder), workspace, dict(os.environ), {}
    ) as box:
        done = run_in(box, "cat", *names, check=False)
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 3


@as_root
def test_the_mode_comes_back_however_it_ends(workspace, open_folder, monkeypatch):
    monkeypatch.setattr(sandbox, "has_namespaces", lambda: False)
    workspace.chmod(0o751)
    checkout = a_copy(open_folder)

    def interrupted() -> None:
        with (
            open_sandbox(Path("/usr/bin/python3"), checkout, workspace, {}, {}),
            open_sandbox(Path("/usr/bin/python3"), checkout, workspace, {}, {}),
        ):
            assert stat.S_IMODE(workspace.stat().st_mode) == 0o700
            raise Interrupted("stopped")

    with pytest.raises(Interrupted):
        interrupted()
    assert stat.S_IMODE(workspace.stat().st_mode) == 0o751


@as_root
def test_a_folder_stays_closed_until_the_last_run_has_ended(workspace):
    """Two runs at once: the first to end waits with the mode that it took off."""
    script = f"""
import sys
from pathlib import Path
from gatekeeper.probe.workspace import keep_closed

with keep_closed(Path({str(workspace)!r}), 65534):
    print("closed", flush=True)
    sys.stdin.read()
"""
    workspace.chmod(0o755)
    package = str(Path(sandbox.__file__).parents[2])
    with (
        subprocess.Popen(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONPATH": package},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as first,
        keep_closed_after(first, workspace),
    ):
        assert first.stdin is not None
        first.stdin.close()
        with pytest.raises(subprocess.TimeoutExpired):
            first.wait(0.3)
        assert stat.S_IMODE(workspace.stat().st_mode) == 0o700
    assert stat.S_IMODE(workspace.stat().st_mode) == 0o755


@contextlib.contextmanager
def keep_closed_after(first: subprocess.Popen[bytes], folder: Path) -> Iterator[None]:
    assert first.stdout is not None
    assert first.stdout.readline() == b"closed\n"
    with keep_closed(folder, NOBODY.uid):
        yield


@as_root
def test_a_repository_of_the_accounts_own_is_refused_where_it_cannot_be_hidden(
    workspace, open_folder, monkeypatch
):
    monkeypatch.setattr(sandbox, "has_namespaces", lambda: False)
    os.chown(workspace, NOBODY.uid, NOBODY.gid)
    with (
        pytest.raises(ProbeError) as raised,
        open_sandbox(Path("/usr/bin/python3"), a_copy(open_folder), workspace, {}, {}),
    ):
        pass
    assert "it belongs to the account that runs the project's code" in raised.value.what
    assert raised.value.where == str(workspace)


@as_root
def test_what_the_account_cannot_reach_is_refused_without_namespaces(open_folder, monkeypatch):
    """Not run as the workspace's owner, who could write to later steps."""
    monkeypatch.setattr(sandbox, "has_namespaces", lambda: False)
    closed = open_folder / "closed"
    checkout = a_copy(closed)
    closed.chmod(0o700)
    os.chown(closed, 1001, 1001)
    with (
        pytest.raises(ProbeError) as raised,
        open_sandbox(Path("/usr/bin/python3"), checkout, closed, {}, {}),
    ):
        pass
    assert raised.value.what == (
        f"the account `nobody`, which runs the project's code, cannot enter {closed}"
    )
    assert "--cap-add SYS_ADMIN" in str(raised.value.fix)


def a_copy(folder: Path) -> Path:
    checkout = folder / "copy"
    checkout.mkdir(parents=True)
    (checkout / "file").write_text("x")
    return checkout


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
        seen = run_in(box, python, "-c", script)
    assert seen.stdout == "True\nFalse\n"


def test_a_child_that_hides_is_ended_all_the_same(confinement, open_folder):
    """It has left its session, its environment is empty and its parent is gone."""
    program = "import subprocess; subprocess.Popen(['setsid', 'sleep', '3611'], env={})"
    other = subprocess.Popen(["sleep", "60"])
    checkout = a_copy(open_folder)
    with open_sandbox(Path("/usr/bin/python3"), checkout, None, dict(os.environ), {}) as box:
        start = box.start(["/usr/bin/python3", "-c", program])
        subprocess.run(start.arguments, env=start.environment, check=True)
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True)
    assert "sleep 3611" not in listed.stdout.splitlines()
    assert other.poll() is None
    other.kill()
    other.wait()


def test_descendants_are_found_by_their_environment(tmp_path):
    marked = subprocess.Popen(["sleep", "60"], env={"TMPDIR": str(tmp_path / "tmp")})
    other = subprocess.Popen(["sleep", "60"], env={"TMPDIR": "/elsewhere"})
    sandbox.end_descendants(tmp_path / "tmp", set(sandbox._children()))
    assert marked.wait(10) == -9
    assert other.poll() is None
    other.kill()
    other.wait()
