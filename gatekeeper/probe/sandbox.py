"""The account, the environment and the namespaces in which a stranger's code runs.

As root: an unprivileged account that exists already, no supplementary groups, no new
privileges and, where the kernel permits it, mount and process namespaces of its own. They
hide gatekeeper's processes, end every child with the first, and make an interpreter
reachable that lies in a home the account cannot enter, without changing that home.
As anyone else: ourselves, with no new privileges.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import pwd
import shlex
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from gatekeeper.directories import open_run_directory
from gatekeeper.errors import ProbeError

PASSED_ON = ("LANG", "LANGUAGE", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR")
KILL_ROUNDS = 20
PR_SET_DUMPABLE = 4


@dataclass(frozen=True)
class Account:
    name: str
    uid: int
    gid: int


@dataclass(frozen=True)
class Sandbox:
    """How to start a process: put `command` in front of the program's own.

    `private` holds the process's home, its temporary folder and what gatekeeper gives it
    to read; its path in the environment marks every process that descends from it.
    """

    command: tuple[str, ...]
    environment: Mapping[str, str]
    private: Path


@contextlib.contextmanager
def open_sandbox(
    interpreter: Path,
    checkout: Path,
    repository: Path | None,
    environ: Mapping[str, str],
    variables: Mapping[str, str],
) -> Iterator[Sandbox]:
    """Make the private folder and hand the checkout over; end everything afterwards."""
    account = _choose_account()
    with open_run_directory("gatekeeper-probe-", _shared_folder(account)) as private:
        for name in ("home", "tmp"):
            (private / name).mkdir()
        needed = (*_paths_of(interpreter), checkout)
        account, command = _choose_command(account, needed, private, repository)
        if account is not None:
            private.chmod(0o755)
            hand_over(private / "home", account)
            hand_over(private / "tmp", account)
            hand_over(checkout, account)
        try:
            environment = _environment(interpreter, private, environ, variables)
            yield Sandbox(command, environment, private)
        finally:
            end_descendants(private)


def protect_own_environment() -> None:
    """Keep processes of the same account from reading this one's environment (Linux).

    As root the sandbox's other account has that effect already.
    """
    if sys.platform == "linux" and os.geteuid() != 0:
        ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)


def _environment(
    interpreter: Path, private: Path, environ: Mapping[str, str], variables: Mapping[str, str]
) -> dict[str, str]:
    """Return an environment that holds nothing secret and nothing of PostgreSQL's."""
    passed = {
        name: value
        for name, value in environ.items()
        if name in PASSED_ON or name.startswith("LC_")
    }
    path = environ.get("PATH", os.defpath)
    return {
        "LANG": "C.UTF-8",
        **passed,
        "PATH": f"{interpreter.parent}{os.pathsep}{path}",
        "HOME": str(private / "home"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
        "PYTHONFAULTHANDLER": "1",
        **variables,
        "TMPDIR": str(private / "tmp"),
    }


def _choose_account() -> Account | None:
    """Return who runs the project's code; None for ourselves."""
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam("nobody")
    except KeyError:
        raise ProbeError(
            "the project's code is not run as root, and this machine has no account `nobody`",
            fix="Run gatekeeper as an unprivileged user.",
        ) from None
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)


def _choose_command(
    account: Account | None, needed: Iterable[Path], private: Path, repository: Path | None
) -> tuple[Account | None, tuple[str, ...]]:
    setpriv = shutil.which("setpriv")
    if account is None:
        if setpriv is None:
            return None, ()
        return None, (setpriv, "--no-new-privs", "--pdeathsig", "KILL", "--")
    if setpriv is None:
        raise ProbeError(
            "the project's code is not run as root, and `setpriv` is missing to change that",
            fix="Install util-linux, or run gatekeeper as an unprivileged user.",
        )
    needed = tuple(needed)
    if has_namespaces():
        return account, _in_namespaces(setpriv, account, needed, private)
    if _blocked(needed, account):
        account = _owner_of_workspace(repository, needed, account)
    return account, _as_account(setpriv, account)


def _as_account(setpriv: str, account: Account) -> tuple[str, ...]:
    return (
        setpriv,
        f"--reuid={account.uid}",
        f"--regid={account.gid}",
        "--clear-groups",
        "--no-new-privs",
        "--pdeathsig",
        "KILL",
        "--",
    )


def _in_namespaces(
    setpriv: str, account: Account, needed: tuple[Path, ...], private: Path
) -> tuple[str, ...]:
    """Return a command that hides closed folders and shows what is needed of them.

    An empty folder with mode 0755 is laid over the closed one, in this process's view
    only; what is needed is bound back to its place.
    """
    blocked = _blocked(needed, account)
    lines = ["set -e", "umask 022"]
    for number, path in enumerate(blocked):
        stage = private / "stage" / str(number)
        stage.mkdir(parents=True)
        lines.append(f"mount --bind {shlex.quote(str(path))} {shlex.quote(str(stage))}")
    for closed in dict.fromkeys(blocked.values()):
        lines.append(f"mount -t tmpfs -o mode=0755,size=1m tmpfs {shlex.quote(str(closed))}")
    for number, path in enumerate(blocked):
        place = shlex.quote(str(path))
        stage = private / "stage" / str(number)
        lines.append(f"mkdir -p {place}")
        lines.append(f"mount --bind {shlex.quote(str(stage))} {place}")
    # The shell stays as the first process: a first process ignores its own signals.
    lines += ["set +e", '"$@"', "exit $?"]
    unshare = shutil.which("unshare") or "unshare"
    return (
        *(setpriv, "--pdeathsig", "KILL", "--"),
        *(unshare, "--mount", "--pid", "--fork", "--kill-child=KILL", "--mount-proc", "--"),
        *("sh", "-c", "\n".join(lines), "sh"),
        *("env", "-u", "PWD", "-u", "OLDPWD", "-u", "SHLVL", "-u", "_"),
        *_as_account(setpriv, account),
    )


@functools.cache
def has_namespaces() -> bool:
    """Tell whether this process may make mount and process namespaces (Docker forbids it)."""
    unshare = shutil.which("unshare")
    if unshare is None:
        return False
    trial = [unshare, "--mount", "--pid", "--fork", "--kill-child=KILL", "--mount-proc", "--"]
    script = 'mount -t tmpfs tmpfs "$TMPDIR"'
    with tempfile.TemporaryDirectory() as folder:
        ended = subprocess.run(
            [*trial, "sh", "-c", script],
            env={"TMPDIR": folder, "PATH": os.environ.get("PATH", os.defpath)},
            capture_output=True,
            check=False,
        )
    return ended.returncode == 0


def _paths_of(interpreter: Path) -> tuple[Path, ...]:
    """Return the folders that an interpreter needs, without running it."""
    environment = interpreter.parent.parent
    folders = [environment.resolve(), interpreter.resolve().parent.parent]
    configuration = environment / "pyvenv.cfg"
    if configuration.is_file():
        for line in configuration.read_text(encoding="utf-8", errors="replace").splitlines():
            key, _, value = line.partition("=")
            if key.strip() == "home" and value.strip():
                folders.append(Path(value.strip()).resolve().parent)
    for packages in environment.glob("lib/python*/site-packages"):
        for file in packages.glob("*.pth"):
            for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
                if line.startswith("/") and Path(line).is_dir():
                    folders.append(Path(line).resolve())
    kept = [folder for folder in dict.fromkeys(folders) if folder != Path("/")]
    return tuple(f for f in kept if not any(other in f.parents for other in kept))


def _blocked(needed: Iterable[Path], account: Account) -> dict[Path, Path]:
    """Map each path that the account cannot reach to the outermost folder in the way."""
    blocked: dict[Path, Path] = {}
    for path in needed:
        closed = next((f for f in reversed(path.parents) if not _may_enter(f, account)), None)
        if closed is not None:
            blocked[path] = closed
    return blocked


def _may_enter(folder: Path, account: Account) -> bool:
    status = folder.stat()
    if status.st_uid == account.uid:
        return bool(status.st_mode & stat.S_IXUSR)
    if status.st_gid == account.gid:
        return bool(status.st_mode & stat.S_IXGRP)
    return bool(status.st_mode & stat.S_IXOTH)


def _owner_of_workspace(
    repository: Path | None, needed: tuple[Path, ...], account: Account
) -> Account:
    """Return the workspace's owner, who can reach what `nobody` cannot."""
    if repository is not None:
        status = repository.stat()
        owner = Account(f"uid {status.st_uid}", status.st_uid, status.st_gid)
        if owner.uid != 0 and not _blocked(needed, owner):
            return owner
    path, closed = next(iter(_blocked(needed, account).items()))
    raise ProbeError(
        f"the account `{account.name}`, which runs the project's code, cannot enter {closed}",
        where=str(path),
        fix="Put the interpreter and the checkout where other accounts can read them, run "
        "gatekeeper as an unprivileged user, or permit namespaces "
        "(`docker run --cap-add SYS_ADMIN`).",
    )


def _shared_folder(account: Account | None) -> Path | None:
    """Return where the private folder goes; None for the usual place."""
    usual = Path(tempfile.gettempdir())
    if account is None or all(_may_enter(f, account) for f in (usual, *usual.parents)):
        return None
    return Path("/tmp")


def hand_over(folder: Path, account: Account) -> None:
    """Give a folder and all in it to the account, links themselves and not their ends."""
    os.chown(folder, account.uid, account.gid)
    for place, folders, files in os.walk(folder):
        for name in (*folders, *files):
            os.chown(Path(place) / name, account.uid, account.gid, follow_symlinks=False)


def end_descendants(private: Path) -> None:
    """Kill every process whose environment names the private folder, until none is left.

    This also finds those that left their process group or session.
    """
    mark = os.fsencode(f"TMPDIR={private}")
    for _ in range(KILL_ROUNDS):
        found = [pid for pid in _processes() if _is_marked(pid, mark)]
        if not found:
            return
        for pid in found:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)


def _processes() -> Iterator[int]:
    proc = Path("/proc")
    if proc.is_dir():
        own = os.getpid()
        for entry in os.scandir(proc):
            if entry.name.isdigit() and int(entry.name) != own:
                yield int(entry.name)


def _is_marked(pid: int, mark: bytes) -> bool:
    try:
        return mark in Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:  # it has ended, or it is another account's
        return False
