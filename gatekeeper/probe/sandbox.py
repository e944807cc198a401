"""The account, the environment and the namespaces in which a stranger's code runs.

As root: an unprivileged account that exists already, no supplementary groups, no new
privileges and, where the kernel permits it, mount and process namespaces of its own. They
hide gatekeeper's processes and the user's own files, end every child with the first, and
make an interpreter reachable that lies in a home the account cannot enter, without
changing that home. Without namespaces the user's files are closed to others meanwhile.

As anyone else: ourselves, with no new privileges. Nothing is hidden then: the code has our
own rights, so it could open again whatever we close.
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
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gatekeeper.directories import open_run_directory
from gatekeeper.errors import ProbeError
from gatekeeper.probe.interpreter import editable_folders
from gatekeeper.probe.placeholders import PRIVATE_FOLDER
from gatekeeper.probe.workspace import (
    around_needed,
    keep_closed,
    private_folders,
    without_needed,
)

# Looked into first for what runs as root: an environment in the repository is on the PATH, too.
SYSTEM_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
PASSED_ON = ("LANG", "LANGUAGE", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR")
PRIVATE = ("home", "tmp", "files")
KILL_ROUNDS = 20
PR_SET_DUMPABLE = 4
PR_SET_CHILD_SUBREAPER = 36


@dataclass(frozen=True)
class Account:
    name: str
    uid: int
    gid: int


@dataclass(frozen=True)
class Start:
    """The arguments and the environment that a process is started with."""

    arguments: tuple[str, ...]
    environment: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True)
class Sandbox:
    """Where processes of the project run, and with which variables: those of `environment`.

    `interpreter` is the project's, by a path that the process can see. `private` holds the
    process's home, its temporary folder, one for files that it keeps elsewhere (in variables
    `{private_folder}`) and what gatekeeper gives it to read; its path in
    the environment marks every process that descends from it.

    `command` leads from our account to the other one, in an environment of its own, `ours`:
    `LD_PRELOAD` and `PATH` are the project's to choose, and count for what root runs. It is
    None where the account stays the same.
    """

    command: tuple[str, ...]
    interpreter: Path
    environment: Mapping[str, str] = field(repr=False)
    private: Path
    ours: Mapping[str, str] | None

    def start(self, program: Sequence[str | Path], more: Mapping[str, str] | None = None) -> Start:
        """Return how to start a program here; `more` are variables of it alone."""
        variables = {**self.environment, **(more or {})}
        words = [str(word) for word in program]
        if self.ours is None:
            return Start((*self.command, *words), variables)
        # By their values in arguments every account of the machine could read them.
        carried = {
            f"GATEKEEPER_{number}": f"{name}={value}"
            for number, (name, value) in enumerate(variables.items())
        }
        names = " ".join(f'"${name}"' for name in carried)
        # `env` would take a program with `=` in its path for one more variable.
        env, setpriv = shlex.quote(_tool("env")), shlex.quote(_find_setpriv())
        hand_over = f'exec {env} -i -- {names} {setpriv} --no-new-privs -- "$@"'
        return Start(
            (*self.command, _tool("sh"), "-c", hand_over, "sh", *words), {**self.ours, **carried}
        )


@contextlib.contextmanager
def open_sandbox(
    interpreter: Path,
    checkout: Path,
    repository: Path | None,
    environ: Mapping[str, str],
    variables: Mapping[str, str],
    home_files: Mapping[str, str] | None = None,
) -> Iterator[Sandbox]:
    """Make the private folder and hand the checkout over; end everything afterwards.

    The user's own `repository` is out of the code's sight meanwhile. `home_files` are put
    into the otherwise empty home directory, by their paths in it.
    """
    account = _choose_account()
    hidden = () if account is None else private_folders(repository, environ)
    with (
        open_run_directory("gatekeeper-probe-", _shared_folder(account, hidden)) as private,
        contextlib.ExitStack() as stack,
    ):
        for name in PRIVATE:
            (private / name).mkdir()
        for name, text in (home_files or {}).items():
            _write_below(private / "home", name, text)
        if account is None:
            command = _as_ourselves()
        else:
            read = _paths_of(interpreter, repository)
            if has_namespaces():
                command = _in_namespaces(account, read, checkout, hidden, private)
            else:
                command = _as_account(account, (*read, checkout))
                # An environment of our own in the repository may run the server.
                used = (*read, checkout, private.resolve(), Path(sys.prefix).resolve())
                for path, kept in around_needed(hidden, used, account.uid):
                    stack.enter_context(keep_closed(path, account.uid, kept))
            private.chmod(0o755)
            for name in PRIVATE:
                hand_over(private / name, account)
            hand_over(checkout, account)
        adopt_orphans()
        others = set(_children())
        try:
            # A `.venv` that is a link to an environment elsewhere is hidden, its end is not.
            program = interpreter.parent.resolve() / interpreter.name
            environment = _environment(program, private, environ, variables)
            ours = None if account is None else _own_environment(private, environ)
            yield Sandbox(command, program, environment, private, ours)
        finally:
            end_descendants(private, others)


def _write_below(folder: Path, name: str, text: str) -> None:
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise ProbeError(
            f"`{name}` lies outside of the home directory", fix="Name a path below it."
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n", encoding="utf-8")
    except OSError as error:  # a folder of that name, a name too long
        raise ProbeError(
            f"`{name}` cannot be put into the home directory: {error.strerror}",
            fix="Name each file once, by a path of usual length: `project: {home: {.shop/url: …}}`",
        ) from error


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent has ended (Linux).

    One that left its session and emptied its environment is known by that alone.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


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
        **{
            name: value.replace(PRIVATE_FOLDER, str(private / "files"))
            for name, value in variables.items()
        },
        "TMPDIR": str(private / "tmp"),
    }


def _own_environment(private: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of what runs before the account is another; none is the project's."""
    path = environ.get("PATH", os.defpath)
    return {
        "LANG": "C.UTF-8",
        "PATH": f"{SYSTEM_PATH}{os.pathsep}{path}",
        "TMPDIR": str(private / "tmp"),
    }


def _tool(name: str) -> str:
    """Return the machine's own program of that name."""
    return shutil.which(name, path=SYSTEM_PATH) or shutil.which(name) or name


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


def _as_ourselves() -> tuple[str, ...]:
    setpriv = shutil.which("setpriv")
    return () if setpriv is None else (setpriv, "--no-new-privs", "--pdeathsig", "KILL", "--")


def _find_setpriv() -> str:
    setpriv = _tool("setpriv")
    if not Path(setpriv).is_absolute():
        raise ProbeError(
            "the project's code is not run as root, and `setpriv` is missing to change that",
            fix="Install util-linux, or run gatekeeper as an unprivileged user.",
        )
    return setpriv


def _as_account(account: Account, needed: Iterable[Path]) -> tuple[str, ...]:
    """Return a command that becomes the account, which must reach what is needed itself.

    No other account takes its place: the workspace's owner could write into the workspace
    and into what the runner's later steps read.
    """
    for path, closed in _blocked(needed, account).items():
        raise ProbeError(
            f"the account `{account.name}`, which runs the project's code, cannot enter {closed}",
            where=str(path),
            fix="Put the interpreter and the checkout where other accounts can read them, run "
            "gatekeeper as an unprivileged user, or permit namespaces "
            "(`docker run --cap-add SYS_ADMIN`).",
        )
    return _become(account)


def _become(account: Account) -> tuple[str, ...]:
    return (
        _find_setpriv(),
        f"--reuid={account.uid}",
        f"--regid={account.gid}",
        "--clear-groups",
        "--no-new-privs",
        "--pdeathsig",
        "KILL",
        "--",
    )


def _in_namespaces(
    account: Account,
    read: tuple[Path, ...],
    checkout: Path,
    hidden: tuple[Path, ...],
    private: Path,
) -> tuple[str, ...]:
    """Return a command that hides folders and shows what is needed of them.

    Hidden are those that the account must not look into and those that it cannot enter. An
    empty folder with mode 0755 is laid over each, in this process's view only; what is
    needed is bound back to its place, for reading alone but for the checkout.
    """
    needed = (*read, checkout)
    # A repository that is an environment itself hides its git directory only.
    laid_bare = [private.resolve(), *(path for path in needed if path in hidden)]
    covers = {*without_needed(hidden, laid_bare), *_blocked(needed, account).values()}
    shown = [path for path in needed if covers.intersection(path.parents)]
    stages = {path: private / "stage" / str(number) for number, path in enumerate(shown)}
    lines = ["set -e", "umask 022"]
    for path, stage in stages.items():
        stage.mkdir(parents=True)
        lines.append(f"mount --bind {shlex.quote(str(path))} {shlex.quote(str(stage))}")
    # Outer folders first: one may be hidden in what was shown of another.
    for path in sorted({*covers, *shown}, key=lambda path: len(path.parts)):
        place = shlex.quote(str(path))
        if path in covers:
            lines.append(f"[ ! -d {place} ] || mount -t tmpfs -o mode=0755,size=1m tmpfs {place}")
            continue
        stage_name = shlex.quote(str(stages[path]))
        lines += [f"mkdir -p {place}", f"mount --bind {stage_name} {place}", f"umount {stage_name}"]
        if path in read:
            lines.append(f"mount -o remount,bind,ro {place}")
    # The shell stays as the first process: a first process ignores its own signals.
    lines += ["set +e", '"$@"', "exit $?"]
    unshare = _tool("unshare")
    return (
        *(_find_setpriv(), "--pdeathsig", "KILL", "--"),
        *(unshare, "--mount", "--pid", "--fork", "--kill-child=KILL", "--mount-proc", "--"),
        *(_tool("sh"), "-c", "\n".join(lines), "sh"),
        *_become(account),
    )


@functools.cache
def has_namespaces() -> bool:
    """Tell whether this process may make mount and process namespaces (Docker forbids it)."""
    unshare = _tool("unshare")
    if not Path(unshare).is_absolute():
        return False
    trial = [unshare, "--mount", "--pid", "--fork", "--kill-child=KILL", "--mount-proc", "--"]
    script = 'mount -t tmpfs tmpfs "$TMPDIR"'
    with tempfile.TemporaryDirectory() as folder:
        ended = subprocess.run(
            [*trial, _tool("sh"), "-c", script],
            env={**_own_environment(Path(folder), os.environ), "TMPDIR": folder},
            capture_output=True,
            check=False,
        )
    return ended.returncode == 0


def _paths_of(interpreter: Path, repository: Path | None) -> tuple[Path, ...]:
    """Return the folders that an interpreter needs, without running it.

    An environment in the repository may be its author's making and name any folder: it is
    believed where there is a Python. Its editable installations lead to the repository, of
    which the code gets a copy.
    """
    environment = interpreter.parent.parent
    programs = [interpreter.resolve().parent]
    configuration = environment / "pyvenv.cfg"
    if configuration.is_file():
        for line in configuration.read_text(encoding="utf-8", errors="replace").splitlines():
            key, _, value = line.partition("=")
            if key.strip() == "home" and value.strip():
                programs.append(Path(value.strip()).resolve())
    homes = [folder.parent for folder in programs if any(folder.glob("py*[0-9]"))]
    folders = [environment.resolve(), *homes]
    if not _is_inside(environment.resolve(), repository):
        folders += (f for f in editable_folders(interpreter) if not _is_inside(f, repository))
    left_out = {Path("/")}
    if environment != repository:  # no link makes an environment of the whole repository
        left_out.add(repository or Path("/"))
    kept = [folder for folder in dict.fromkeys(folders) if folder not in left_out]
    return tuple(f for f in kept if not any(other in f.parents for other in kept))


def _is_inside(path: Path, folder: Path | None) -> bool:
    return folder is not None and path.is_relative_to(folder)


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


def _shared_folder(account: Account | None, hidden: Collection[Path]) -> Path | None:
    """Return where the private folder goes; None for the usual place.

    That must be open to the account, and not be hidden from it.
    """
    usual = Path(tempfile.gettempdir()).resolve()
    if account is None:
        return None
    places = (usual, *usual.parents)
    if all(_may_enter(f, account) and f not in hidden for f in places):
        return None
    return Path("/tmp")


def hand_over(folder: Path, account: Account) -> None:
    """Give a folder and all in it to the account, links themselves and not their ends."""
    os.chown(folder, account.uid, account.gid)
    for place, folders, files in os.walk(folder):
        for name in (*folders, *files):
            os.chown(Path(place) / name, account.uid, account.gid, follow_symlinks=False)


def end_descendants(private: Path, others: Collection[int]) -> None:
    """Kill what the project's code has started, until nothing of it is left.

    These are the processes whose environment names the private folder, and the children
    that we have adopted; `others` are those of our children that are not the project's.
    """
    mark = os.fsencode(f"TMPDIR={private}")
    for _ in range(KILL_ROUNDS):
        adopted = [pid for pid in _children() if pid not in others]
        found = {*adopted, *(pid for pid in _processes() if _is_marked(pid, mark))}
        if not found:
            return
        for pid in found:
            with contextlib.suppress(ProcessLookupError, PermissionError, ChildProcessError):
                os.kill(pid, signal.SIGKILL)
                if pid in adopted:
                    os.waitpid(pid, 0)


def _processes() -> Iterator[int]:
    proc = Path("/proc")
    if proc.is_dir():
        own = os.getpid()
        for entry in os.scandir(proc):
            if entry.name.isdigit() and int(entry.name) != own:
                yield int(entry.name)


def _children() -> Iterator[int]:
    own = str(os.getpid()).encode()
    for pid in _processes():
        with contextlib.suppress(OSError):
            # The name in brackets is the process's choice and may hold anything.
            fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
            if fields[1] == own:
                yield pid


def _is_marked(pid: int, mark: bytes) -> bool:
    try:
        return mark in Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:  # it has ended, or it is another account's
        return False
