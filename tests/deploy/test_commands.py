"""The team's lines of shell are run to their end, and leave neither secrets nor processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from gatekeeper.deploy.commands import (
    environ_of,
    run_command,
    secrets_in,
    secrets_of_deployment,
)
from gatekeeper.deploy.model import StepFailed
from gatekeeper.policy.model import Environment
from tests.deploy.deployments import PASSWORD, a_deployment
from tests.waiting import wait_for

ENVIRON = {"PATH": os.environ["PATH"]}


@pytest.mark.parametrize(
    ("line", "output"),
    [
        ("true", ()),
        ("echo one; echo two >&2", ("one", "two")),
        ("printf 'no end of line'", ("no end of line",)),
        ("echo $WORD | tr a-z A-Z", ("SHOP",)),
        ("pwd", ("{folder}",)),
        ("cat", ("given",)),
        ("echo '$HOME \"quoted\" %s'", ('$HOME "quoted" %s',)),
        ("printf '\\377\\n'", ("\ufffd",)),
        ("set -e; false || true", ()),
        ("exec echo replaced", ("replaced",)),
        ("trap 'echo bye' EXIT; echo hello", ("hello", "bye")),
    ],
)
def test_a_line_that_ends_well(tmp_path: Path, line: str, output: tuple[str, ...]) -> None:
    ran = run_command(line, {**ENVIRON, "WORD": "shop"}, tmp_path, 20, (), given="given")
    assert ran.output == tuple(text.replace("{folder}", str(tmp_path)) for text in output)
    assert 0 < ran.seconds < 20


@pytest.mark.parametrize(
    ("line", "what", "status"),
    [
        ("exit 3", "`exit 3` ended with exit status 3", 3),
        (
            "no-such-program 2>/dev/null",
            "`no-such-program 2>/dev/null` ended with exit status 127",
            127,
        ),
        ("kill -KILL 0", "`kill -KILL 0` was ended by SIGKILL", -9),
        (
            "echo a; echo b; false",
            "`echo a; echo b; false` ended with exit status 1; it printed last:\n    a\n    b",
            1,
        ),
    ],
)
def test_a_line_that_fails(tmp_path: Path, line: str, what: str, status: int) -> None:
    with pytest.raises(StepFailed) as raised:
        run_command(line, ENVIRON, tmp_path, 20, ())
    assert raised.value.what == what
    assert raised.value.details["exit_status"] == status
    assert line in (raised.value.fix or "")


def test_what_is_secret_is_in_no_text(tmp_path: Path) -> None:
    line = "echo hunter22-token; echo 'second line'; echo postgresql://shop:pass@host/shop; exit 1"
    with pytest.raises(StepFailed) as raised:
        run_command(line, ENVIRON, tmp_path, 20, ["hunter22-token", "first line\nsecond line"])
    told = f"{raised.value}{raised.value.details}"
    for secret in ("hunter22", "second line", "shop:pass"):
        assert secret not in told


def test_what_is_secret_in_an_environment() -> None:
    secrets = secrets_in(
        {
            "PWD": "/folder",
            "HOME": "/home/me",
            "PGPASSWORD": "word-1",
            "API_TOKEN": "word-2",
            "DB_PWD": "word-3",
            "DATABASE_URL": "postgresql://shop:word%2F4@host/shop",
            "CHAT_WEBHOOK_URL": "https://chat.example/word-5",
            "EMPTY_TOKEN": "",
        }
    )
    assert set(secrets) == {
        "word-1",
        "word-2",
        "word-3",
        "word%2F4",
        "word/4",
        "https://chat.example/word-5",
    }


def test_the_environment_and_the_secrets_of_a_deployment(tmp_path: Path) -> None:
    deployment = a_deployment(tmp_path, Environment(), environ={"A_TOKEN": "abcdef"})
    assert environ_of(deployment) == {
        "PATH": "/usr/bin:/bin",
        "A_TOKEN": "abcdef",
        "GATEKEEPER_ENVIRONMENT": "staging",
        "GATEKEEPER_TAG": "v1.2",
        "GATEKEEPER_COMMIT": "c" * 40,
    }
    assert secrets_of_deployment(deployment) == (PASSWORD, "abcdef")


def _alive(folder: Path) -> list[int]:
    """Return the processes that wrote their number down and are still there."""
    numbers = [int(file.read_text()) for file in folder.glob("*.pid") if file.read_text()]
    return [n for n in numbers if psutil.pid_exists(n) and psutil.Process(n).status() != "zombie"]


FAMILY = "sh -c 'echo $$ > child.pid; sleep 300' & echo $$ > parent.pid; sleep 300 & wait"


@pytest.mark.slow
def test_a_line_that_takes_too_long_ends_with_all_its_processes(tmp_path: Path) -> None:
    line = f"trap 'echo cleaned > cleaned; exit' TERM; {FAMILY}"
    with pytest.raises(StepFailed, match="did not end within 1 seconds"):
        run_command(line, ENVIRON, tmp_path, 1, ())
    assert len(list(tmp_path.glob("*.pid"))) == 2
    assert (tmp_path / "cleaned").exists()
    wait_for(lambda: not _alive(tmp_path))


@pytest.mark.slow
def test_a_line_that_does_not_want_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gatekeeper.deploy.commands._SECONDS_TO_END", 0.2)
    with pytest.raises(StepFailed, match="did not end within"):
        run_command(f"trap '' TERM; {FAMILY}", ENVIRON, tmp_path, 1, ())
    wait_for(lambda: not _alive(tmp_path))


@pytest.mark.slow
def test_a_line_ends_when_we_are_interrupted(tmp_path: Path) -> None:
    def interrupt() -> None:
        wait_for(lambda: len(_alive(tmp_path)) == 2)
        signal.raise_signal(signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        run_command(FAMILY, ENVIRON, tmp_path, 60, ())
    thread.join()
    wait_for(lambda: not _alive(tmp_path))


@pytest.mark.slow
def test_a_line_ends_when_we_are_killed(tmp_path: Path) -> None:
    code = (
        "from pathlib import Path; from gatekeeper.deploy.commands import run_command;"
        f"run_command({FAMILY!r}, {ENVIRON!r}, Path({str(tmp_path)!r}), 300, ())"
    )
    root = Path(__file__).parents[2]
    process = subprocess.Popen(
        [sys.executable, "-c", code], env={**ENVIRON, "PYTHONPATH": str(root)}
    )
    wait_for(lambda: len(_alive(tmp_path)) == 2)
    process.kill()
    process.wait()
    wait_for(lambda: not _alive(tmp_path))


@pytest.mark.slow
def test_what_a_line_leaves_running_goes_on(tmp_path: Path) -> None:
    started = time.monotonic()
    run_command("sleep 300 & echo $! > server.pid", ENVIRON, tmp_path, 60, ())
    assert time.monotonic() - started < 30
    (server,) = _alive(tmp_path)
    os.kill(server, signal.SIGKILL)
