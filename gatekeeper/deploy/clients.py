"""PostgreSQL's own client programs: which of them, and how they run."""

from __future__ import annotations

import contextlib
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from gatekeeper.deploy.model import StepFailed
from gatekeeper.postgres.installations import (
    embedded_directory,
    installed_directories,
    program_environment,
    run_program,
)
from gatekeeper.postgres.servers import DATABASE_PREFIX, Server
from gatekeeper.signals import held_back, kill_group

PROGRAMS = ("pg_dump", "pg_restore")

_STOP_SECONDS = 10
_LINES_KEPT = 5
_LINE_AT_MOST = 300

# The shell reads from a pipe that only we hold: when that closes, however we came to our end,
# it ends the program. What the program writes is for nobody else to read.
_WATCH = """
umask 077
exec 3<&0
"$@" </dev/null 3<&- &
program=$!
{ read -r _ <&3; kill -TERM "$program"; } 2>/dev/null >&2 &
watcher=$!
wait "$program"
status=$?
kill "$watcher" 2>/dev/null
exit "$status"
"""

_VARIABLES = {
    "sslmode": "PGSSLMODE",
    "sslrootcert": "PGSSLROOTCERT",
    "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY",
    "sslcrl": "PGSSLCRL",
    "gssencmode": "PGGSSENCMODE",
}


@dataclass(frozen=True)
class Clients:
    """The client programs of one installation, which lie in `bin`."""

    bin: Path
    version: str

    @property
    def major(self) -> int:
        return int(self.version.split(".")[0])


@dataclass(frozen=True)
class Finished:
    """How a program ended. `errors` are the messages of PostgreSQL's in what it wrote."""

    program: str
    status: int
    output: str = field(repr=False)
    errors: tuple[str, ...]

    @property
    def reason(self) -> str:
        """Why it failed, in its own last words."""
        if self.errors:
            return "; ".join(self.errors[-_LINES_KEPT:])
        if self.status - 128 in signal.valid_signals():  # as a shell passes it on
            return f"it was ended by {signal.Signals(self.status - 128).name}"
        return f"it ended with exit status {self.status}"


def find_clients(server_major: int) -> Clients:
    """Return the programs of the oldest installation that works with such a server.

    `pg_dump` refuses a server that is newer than itself; one newer than need be writes what
    the server does not know.
    """
    found = list(_list_clients())
    usable = sorted((c for c in found if c.major >= server_major), key=lambda c: c.major)
    if usable:
        return usable[0]
    there = "; ".join(f"{c.bin} has those of {c.version}" for c in found) or "there are none"
    raise StepFailed(
        f"no `pg_dump` and `pg_restore` for PostgreSQL {server_major} were found: {there}",
        fix=f"Install them: `apt-get install postgresql-client-{server_major}`.",
    )


def _list_clients() -> Iterator[Clients]:
    directories = list(installed_directories())
    on_path = shutil.which("pg_dump")
    if on_path is not None:
        directories.append(Path(on_path).resolve().parent)
    embedded = embedded_directory()
    if embedded is not None:
        directories.append(embedded)
    for directory in dict.fromkeys(directory.resolve() for directory in directories):
        if not all((directory / program).is_file() for program in PROGRAMS):
            continue
        answer = run_program([str(directory / "pg_dump"), "--version"], None)
        version = re.search(r"\d+(\.\d+)?", answer.stdout)
        if answer.returncode == 0 and version is not None:
            yield Clients(directory, version.group())


def connection_variables(
    server: Server, database: str, environ: Mapping[str, str]
) -> dict[str, str]:
    """Return the variables by which PostgreSQL's programs find a database and its password.

    Those of `environ` count where the server says nothing, as they do for our own connections.
    """
    if "sslpassword" in server.parameters:
        raise StepFailed(
            "PostgreSQL's programs cannot be given the passphrase of a key (`sslpassword`)",
            fix="Name a key without a passphrase in `sslkey`.",
        )
    given = {name: value for name, value in environ.items() if name.startswith("PG")}
    if server.password:
        given["PGPASSWORD"] = server.password
    return {
        **given,
        "PGHOST": server.host,
        "PGPORT": str(server.port),
        "PGUSER": server.user,
        "PGDATABASE": database,
        "PGCONNECT_TIMEOUT": "10",
        "PGAPPNAME": f"{DATABASE_PREFIX}{server.run_id}",
        **{_VARIABLES[name]: value for name, value in server.parameters.items()},
    }


def client_environment(
    server: Server, database: str, environ: Mapping[str, str]
) -> Mapping[str, str]:
    """Return all variables for a program that connects to a database."""
    home = {"HOME": environ["HOME"]} if "HOME" in environ else {}
    return {**program_environment(), **home, **connection_variables(server, database, environ)}


def run_client(
    clients: Clients,
    program: str,
    arguments: Sequence[str],
    environment: Mapping[str, str] | None = None,
) -> Finished:
    """Run a program to its end; it ends with us."""
    with _start(clients, program, arguments, environment, subprocess.PIPE) as process:
        output, errors = _read_both(process)
        status = process.wait()
    return Finished(program, status, output, errors)


@contextlib.contextmanager
def read_client(clients: Clients, program: str, arguments: Sequence[str]) -> Iterator[IO[bytes]]:
    """Yield what a program writes; that it failed is raised at the end of the block."""
    with (
        tempfile.TemporaryFile() as said,
        _start(clients, program, arguments, None, said) as process,
    ):
        assert process.stdout is not None
        yield process.stdout
        status = process.wait()
        if status != 0:
            said.seek(0)
            finished = Finished(program, status, "", _errors_in(said.read()))
            raise StepFailed(f"`{program}` failed: {finished.reason}")


@contextlib.contextmanager
def _start(
    clients: Clients,
    program: str,
    arguments: Sequence[str],
    environment: Mapping[str, str] | None,
    stderr: int | IO[bytes],
) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        ["/bin/sh", "-c", _WATCH, "sh", str(clients.bin / program), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=stderr,
        env=program_environment() if environment is None else environment,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        with held_back():
            _stop(process)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End a program that still runs, and let go of what leads to it."""
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            stream.close()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        kill_group(process)


def _read_both(process: subprocess.Popen[bytes]) -> tuple[str, tuple[str, ...]]:
    """Return output and errors; the pipe to the shell stays open until both have ended."""
    stdin, process.stdin = process.stdin, None  # `communicate` would close it
    try:
        output, errors = process.communicate()
    finally:
        process.stdin = stdin
    return output.decode("utf-8", "replace"), _errors_in(errors)


def _errors_in(written: bytes) -> tuple[str, ...]:
    """Return the messages of errors, without the statements and the rows that they are of."""
    return tuple(
        match[1].strip()[:_LINE_AT_MOST]
        for line in written.decode("utf-8", "replace").splitlines()
        if (match := _ERROR.search(line)) is not None
    )


_ERROR = re.compile(r"(?:ERROR|FATAL|PANIC|error): +(?!.*(?:ERROR|FATAL|PANIC): )(.+)")
