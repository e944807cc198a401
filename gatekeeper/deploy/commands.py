"""The lines of shell by which a team takes part in a deploy: they are the team's own code."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from gatekeeper.deploy.model import Deployment, StepFailed
from gatekeeper.probe.guesses import is_secret
from gatekeeper.probe.indexes import mask, secrets_of
from gatekeeper.probe.mishaps import last_lines

_OUTPUT_KEPT = 64 * 1024
_OUTPUT_AT_MOST = 256 * 1024 * 1024
_LOOK_SECONDS = 0.5
_SECONDS_TO_END = 5

# What people call secrets beside the words that projects use; PWD alone is a folder.
_SECRET_NAME = re.compile(r"PASSW|_PASS$|_PWD$|CREDENTIAL|APIKEY|WEBHOOK")

# Ends the line of shell, with all that it has started, when the other end of a pipe is gone:
# that is when this process was killed. What the line leaves running when it has come to its
# own end, such as a server, goes on; and so does all where the pipe cannot be read. The trap
# lets the line end in its own way before its shell does.
_RUN = """
trap : TERM
{ exec 3< "/dev/fd/$2" || exit; read -r _ <&3; kill -KILL 0; } 2>/dev/null &
watcher=$!
sh -c "$1"
status=$?
kill -KILL "$watcher"
wait "$watcher" 2>/dev/null
exit $status
"""


@dataclass(frozen=True)
class Ran:
    """A line of shell that came to a good end. Its output has no secrets in it."""

    output: tuple[str, ...]
    seconds: float


def run_command(
    line: str,
    environ: Mapping[str, str],
    cwd: Path,
    timeout_seconds: float,
    secrets: Collection[str],
    given: str = "",
) -> Ran:
    """Run a line of shell to its end; `given` is its standard input.

    One that fails or takes too long is a `StepFailed` with the last lines that it printed.
    It ends with all its processes where it takes too long or we are interrupted.
    """
    secrets = _lines_of(secrets)
    told = mask(line, secrets)
    began = time.monotonic()
    with tempfile.TemporaryFile() as printed, _input(given) as stdin:
        with _started(line, environ, cwd, stdin, printed.fileno()) as popen:
            stopped = _wait(popen, began + timeout_seconds, timeout_seconds, printed.fileno())
        printed.seek(max(0, os.fstat(printed.fileno()).st_size - _OUTPUT_KEPT))
        text = mask(printed.read().decode("utf-8", "replace"), secrets)
    seconds = time.monotonic() - began
    if stopped is None and popen.returncode == 0:
        return Ran(tuple(text.splitlines()), seconds)
    how = stopped or _how_it_ended(popen.returncode)
    raise StepFailed(
        f"`{told}` {how}{last_lines(text)}",
        fix=f"See what it says by itself, in the same folder: `{told}`",
        details={
            "command": told,
            "exit_status": None if stopped else popen.returncode,
            "output": text.splitlines(),
            "seconds": round(seconds, 3),
        },
    )


def environ_of(deployment: Deployment) -> Mapping[str, str]:
    """Return the environment of the team's commands: our own, and what is being deployed."""
    return {
        **deployment.environ,
        "GATEKEEPER_ENVIRONMENT": deployment.name,
        "GATEKEEPER_TAG": deployment.release.tag,
        "GATEKEEPER_COMMIT": deployment.release.commit,
    }


def secrets_in(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return what must not be told of an environment: secrets by name, passwords in URLs."""
    named = (
        value
        for name, value in environ.items()
        if value.strip() and (is_secret(name) or _SECRET_NAME.search(name.upper()))
    )
    return tuple(dict.fromkeys((*named, *secrets_of(environ))))


def secrets_of_deployment(deployment: Deployment) -> tuple[str, ...]:
    """Return what no text of a deploy may hold."""
    password = deployment.target.password
    ours = (password, quote(password, safe="")) if password else ()
    return tuple(dict.fromkeys((*ours, *secrets_in(deployment.environ))))


def _lines_of(secrets: Collection[str]) -> tuple[str, ...]:
    """Return the secrets and each line of those that have several, the longest first."""
    lines = {line for secret in secrets for line in (secret, *secret.splitlines())}
    return tuple(sorted(lines, key=lambda line: (-len(line), line)))


@contextlib.contextmanager
def _input(given: str) -> Iterator[int]:
    if not given:
        yield subprocess.DEVNULL
        return
    # A file and not a pipe: one that does not read it stops nothing.
    with tempfile.TemporaryFile() as file:
        file.write(given.encode())
        file.seek(0)
        yield file.fileno()


@contextlib.contextmanager
def _started(
    line: str, environ: Mapping[str, str], cwd: Path, stdin: int, output: int
) -> Iterator[subprocess.Popen[bytes]]:
    """Yield the process of a line of shell; one that is still there then is ended."""
    alive, ours = os.pipe()
    try:
        popen = subprocess.Popen(
            ["/bin/sh", "-c", _RUN, "sh", line, str(alive)],
            stdin=stdin,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            env=dict(environ),
            start_new_session=True,
            pass_fds=(alive,),
        )
        try:
            yield popen
        finally:
            if popen.poll() is None:
                _end(popen)
    finally:
        os.close(alive)
        os.close(ours)


def _end(popen: subprocess.Popen[bytes]) -> None:
    """End a process group: it is asked first, for it may have something to clean up."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(popen.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            popen.wait(_SECONDS_TO_END)


def _wait(
    popen: subprocess.Popen[bytes], deadline: float, timeout_seconds: float, output: int
) -> str | None:
    """Return why the process has to be stopped, None where it ended by itself."""
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            popen.wait(min(_LOOK_SECONDS, max(0.0, deadline - time.monotonic())))
            return None
        if time.monotonic() >= deadline:
            return f"did not end within {timeout_seconds:g} seconds"
        if os.fstat(output).st_size > _OUTPUT_AT_MOST:
            return f"printed more than {_OUTPUT_AT_MOST // (1024 * 1024)} MB"


def _how_it_ended(status: int) -> str:
    if status < 0:
        return f"was ended by {signal.Signals(-status).name}"
    return f"ended with exit status {status}"
