"""A PostgreSQL server of our own, which lasts as long as its block.

It lives in a directory of its own and is watched over by a small shell, which is its
parent. The shell reads from a pipe that only this process holds: when the pipe closes,
however this process came to its end, the shell stops the server and removes the
directory. Where even the shell was killed, the next run removes what is left.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from gatekeeper.directories import open_run_directory
from gatekeeper.errors import DatabaseError
from gatekeeper.postgres.installations import (
    THREE_WAYS,
    Account,
    Installation,
    inspect_programs,
    program_credentials,
    program_environment,
    run_program,
)
from gatekeeper.signals import held_back, kill_group

_DIRECTORY_PREFIX = "gatekeeper-server-"
_MEMORY = Path("/dev/shm")
_MEMORY_NEEDED_BYTES = 512 * 1024 * 1024  # a container's default /dev/shm has 64 MB
_START_ATTEMPTS = 5
_START_SECONDS = 60
_STOP_SECONDS = 20
_LOG_LINES = 10

# A server that is thrown away needs no safety, and a rehearsal should run the same way
# twice: nothing in the background, no parallel workers.
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "256MB",
    "autovacuum": "off",
    "jit": "off",
    "huge_pages": "off",
    "max_connections": "200",
    "max_prepared_transactions": "16",  # an env.py with two databases may commit in two phases
    "max_locks_per_transaction": "256",
    "max_parallel_workers_per_gather": "0",
    "max_parallel_maintenance_workers": "0",
    "shared_buffers": "64MB",
    "dynamic_shared_memory_type": "mmap",  # in its directory: a killed server leaves no other
    "logging_collector": "off",
    "log_destination": "stderr",
}

# Both signals on purpose: a shell starts its background processes with SIGQUIT ignored,
# so before the server has its own handlers only SIGTERM ends it; later SIGQUIT is the one
# that does not wait for clients.
_WATCH = """
directory=$1
shift
exec 3<&0
"$@" </dev/null &
server=$!
{
    read -r _ <&3 || : > "$directory/orphaned"
    [ -e "$directory/exit" ] || { kill -TERM "$server"; kill -QUIT "$server"; }
} 2>/dev/null &
watcher=$!
wait "$server"
echo $? > "$directory/exit"
wait "$watcher"
[ -e "$directory/orphaned" ] && rm -rf "$directory"
"""


# Lays an empty folder over each of the first so many arguments, then runs the rest.
_COVER = """
number=$1
while shift && [ "$number" -gt 0 ]; do
    mount -t tmpfs -o mode=0700 tmpfs "$1" || exit 1
    number=$((number - 1))
done
exec "$@"
"""


@dataclass(frozen=True)
class Cluster:
    """A running server of our own: where it listens, whom it lets in, where it lives."""

    installation: Installation
    port: int
    password: str = field(repr=False)
    directory: Path

    @property
    def has_ended(self) -> bool:
        """Whether the server is gone although nobody asked it to stop."""
        return (self.directory / "exit").exists()

    def read_log(self) -> str:
        """Return the last lines of the server's log."""
        return _read_log(self.directory)


@contextlib.contextmanager
def run_cluster(
    installation: Installation,
    temporary_root: Path | None,
    account: Account | None,
    hidden: Collection[Path],
) -> Iterator[Cluster]:
    """Yield a new server whose superuser is `postgres`; it is gone when the block ends.

    `hidden` are folders that it must not see into; see `_confine`.
    """
    # Memory may be mounted without leave to execute programs, as Docker does it.
    needs_programs = not installation.is_reachable
    root = temporary_root or (Path(tempfile.gettempdir()) if needs_programs else _choose_root())
    owner = None if account is None else (account.uid, account.gid)
    # A server that still runs in a swept directory ends by itself: it looks for its own
    # lock file once a minute.
    with open_run_directory(_DIRECTORY_PREFIX, root, owner) as directory:
        if needs_programs:
            installation = _copy_embedded(installation, directory, account)
        password = secrets.token_urlsafe(24)
        _initialize(installation, directory, password, account)
        with _run_postgres(installation, directory, account, hidden) as port:
            yield Cluster(installation, port, password, directory)


def _choose_root() -> Path:
    if (
        os.access(_MEMORY, os.W_OK | os.X_OK)
        and shutil.disk_usage(_MEMORY).free > _MEMORY_NEEDED_BYTES
    ):
        return _MEMORY
    return Path(tempfile.gettempdir())


def _copy_embedded(
    installation: Installation, directory: Path, account: Account | None
) -> Installation:
    """Copy the programs to where the account can run them, and return them from there."""
    package = installation.bin.parent.parent
    target = directory / "programs"
    # The programs look for their libraries beside the package (`auditwheel` puts them
    # there), so both are copied.
    for folder in (package / "pginstall", package.with_name(f"{package.name}.libs")):
        if folder.is_dir():
            shutil.copytree(folder, target / folder.relative_to(package.parent))
    target.chmod(0o755)
    copied = inspect_programs(
        target / package.name / "pginstall" / "bin", installation.source, account
    )
    if not copied.is_reachable:
        raise DatabaseError(
            "the PostgreSQL programs do not run on this machine",
            where=str(installation.bin),
            fix=THREE_WAYS,
        )
    return copied


def _initialize(
    installation: Installation, directory: Path, password: str, account: Account | None
) -> None:
    password_file = directory / "password"
    password_file.touch(mode=0o600)
    password_file.write_text(password, encoding="ascii")
    if account is not None:
        os.chown(password_file, account.uid, account.gid)
    # A random password gains nothing from many rounds of hashing, and each connection pays
    # for them with 2 ms. pg8000 refuses to take part in so few; it never hears of them, as the
    # password goes as it is, over this machine's loopback and to a server of this run alone.
    fast_login = ["--set=scram_iterations=1"] if installation.major >= 16 else []
    # C.UTF-8 knows letters beyond ASCII; not every system has it under this name.
    for locale in ("C.UTF-8", "C"):
        answer = run_program(
            [
                str(installation.bin / "initdb"),
                f"--pgdata={directory / 'data'}",
                f"--pwfile={password_file}",
                f"--locale={locale}",
                "--encoding=UTF8",
                "--username=postgres",
                "--auth=password",
                "--wal-segsize=1",
                "--no-sync",
                "--no-instructions",
                *fast_login,
            ],
            account,
        )
        if answer.returncode == 0:
            password_file.unlink()
            return
        if "locale" not in answer.stderr:
            break
    raise DatabaseError(
        f"initdb failed: {answer.stderr.strip()}",
        where=str(installation.bin),
        fix=THREE_WAYS,
    )


@contextlib.contextmanager
def _run_postgres(
    installation: Installation, directory: Path, account: Account | None, hidden: Collection[Path]
) -> Iterator[int]:
    """Yield the port of a started server."""
    log = ""
    for _ in range(_START_ATTEMPTS):
        port = _find_free_port()
        process = _launch(installation, directory, port, account, hidden)
        try:
            if _wait_until_ready(directory, process):
                yield port
                return
        finally:
            with held_back():
                _stop(process)
        log = _read_log(directory)
        if "could not bind" not in log:
            break  # otherwise another process took the port meanwhile
        (directory / "exit").unlink(missing_ok=True)
    raise DatabaseError(
        f"the PostgreSQL server did not start. Its last words:\n{log}",
        where=str(installation.bin),
        fix=THREE_WAYS,
    )


def _launch(
    installation: Installation,
    directory: Path,
    port: int,
    account: Account | None,
    hidden: Collection[Path],
) -> subprocess.Popen[bytes]:
    settings = {**_SETTINGS, "port": str(port)}
    used = (installation.bin, directory)
    coverable = [h for h in hidden if not any(path.is_relative_to(h) for path in used)]
    confinement = _confine(account, coverable)
    with (directory / "log").open("wb") as log:
        # A session of its own: Ctrl-C in a terminal reaches us, who then stop the server.
        return subprocess.Popen(
            [
                *confinement,
                "/bin/sh",
                "-c",
                _WATCH,
                "sh",
                str(directory),
                str(installation.bin / "postgres"),
                "-D",
                str(directory / "data"),
                *(f"--{name}={value}" for name, value in settings.items()),
            ],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            cwd=directory,
            env=program_environment(),
            start_new_session=True,
            **program_credentials(None if confinement else account),
        )


def _confine(account: Account | None, hidden: Collection[Path]) -> tuple[str, ...]:
    """Return what to put in front of a command to make namespaces of its own around it.

    A superuser may start programs (COPY … TO PROGRAM), and the project's code is one: no
    process may outlive the server, none may look into the hidden folders. Only root can
    make namespaces, and containers mostly forbid it even to root; there the container's
    end is the end of such a program, and the folders are closed by their mode while the
    project's code runs. Empty where it cannot be done.
    """
    unshare, setpriv = shutil.which("unshare"), shutil.which("setpriv")
    if account is None or unshare is None or setpriv is None:
        return ()
    namespaces = (unshare, "--mount", "--pid", "--fork", "--kill-child=KILL", "--")
    if subprocess.run((*namespaces, "true"), capture_output=True, check=False).returncode != 0:
        return ()
    cover = ("/bin/sh", "-c", _COVER, "sh", str(len(hidden)), *map(str, hidden))
    identity = (f"--reuid={account.uid}", f"--regid={account.gid}", "--clear-groups")
    return (*namespaces, *cover, setpriv, *identity, "--no-new-privs", "--")


def _wait_until_ready(directory: Path, process: subprocess.Popen[bytes]) -> bool:
    """Return whether the server came up; its lock file tells, as it does `pg_ctl`."""
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if (directory / "exit").exists() or process.poll() is not None:
            return False
        with contextlib.suppress(FileNotFoundError):
            lines = (directory / "data" / "postmaster.pid").read_text().splitlines()
            if len(lines) >= 8 and lines[7].strip() == "ready":
                return True
        time.sleep(0.005)
    return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(b"stop\n")
        process.stdin.flush()
    process.stdin.close()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        kill_group(process)


def _find_free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _read_log(directory: Path) -> str:
    """Return the last lines of the server's log."""
    try:
        text = (directory / "log").read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return "(no log)"
    return "\n".join(text.splitlines()[-_LOG_LINES:])
