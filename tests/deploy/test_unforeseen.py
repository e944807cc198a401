"""What nobody foresaw ends a deploy or a rollback: users are let in, and it can be gone on with.

The files of gatekeeper's process get a largest size while it runs, which takes the place of a
full disk: no line can be written to the journal any more, by that process or by those it starts.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import resource
import subprocess
from collections.abc import Callable, Iterator

import pytest

from gatekeeper.deploying import DeployRequest, deploy
from gatekeeper.request import Request, Surroundings
from tests.deploy.bank import AT_START, STEPS, TAG, UPGRADED, Bank, held
from tests.schemas import hold_to_schema

pytestmark = [pytest.mark.postgres, pytest.mark.slow]

DEPLOYED = {**dict.fromkeys(STEPS, "passed"), **dict.fromkeys(("watch", "rollback"), "skipped")}
SLEEPING = "wait_event = 'PgSleep' AND datname = current_database()"


def fill(bank: Bank, started: subprocess.Popen[str]) -> None:
    """Let the journal not grow any more."""
    if not hasattr(resource, "prlimit"):
        pytest.skip("a process of another can be limited on Linux only")
    size = (bank.place.record_of(TAG) / "journal.jsonl").stat().st_size
    resource.prlimit(started.pid, resource.RLIMIT_FSIZE, (size, size))


@contextlib.contextmanager
def sleeping(bank: Bank, way: str, is_back: bool) -> Iterator[subprocess.Popen[str]]:
    """Yield what changes the target, within a statement that comes to its own end."""
    bank.pause(f"target {way}", 3)
    started = bank.start_back() if is_back else bank.start()
    bank.wait(lambda: bank.sessions(SLEEPING))
    yield started
    bank.pause(f"target {way}", 0)


def has_stopped(bank: Bank, started: subprocess.Popen[str], command: str) -> None:
    """Wait for the end of a process that could not write its journal; users are in then."""
    output, errors = started.communicate(timeout=60)
    assert started.returncode == 3, output + errors
    file = bank.place.record_of(TAG) / "journal.jsonl"
    assert f"gatekeeper: {file}: the journal cannot be written: File too large." in errors
    assert f"start `gatekeeper {command}` again with the same `--record`" in errors
    assert bank.ran("done")[-1] == "off"
    assert "in-maintenance" not in bank.files()
    assert (bank.here(), bank.locks(), bank.databases()) == (0, 0, [])


def test_a_smoke_test_that_cannot_be_written_down(open_bank: Callable[..., Bank]) -> None:
    """Users are in when it is gone on with: what they write since is no restore's to undo."""
    bank = open_bank(on_failure="auto")
    rows = bank.digest()
    with held(bank, "smoke-test") as started:
        fill(bank, started)
    has_stopped(bank, started, "deploy")
    assert bank.ran() == ["backup", "on", "smoke", "off"]
    assert "record.json" not in bank.files()
    ran = bank.deploy()
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert bank.outcomes() == {**DEPLOYED, "maintenance-off": "skipped"}
    assert bank.record()["steps"][-1]["reason"] == "it was switched off before"
    assert bank.ran() == ["backup", "on", "smoke", "off", "smoke"]
    assert (bank.stands(), bank.digest()) == (UPGRADED, rows)
    assert bank.ended("ADD COLUMN currency") == 1


def test_an_upgrade_that_cannot_be_written_down(open_bank: Callable[..., Bank]) -> None:
    bank = open_bank()
    rows = bank.digest()
    with sleeping(bank, "up", is_back=False) as started:
        bank.wait(lambda: bank.begun("pg_sleep") == 1)
        fill(bank, started)
        has_stopped(bank, started, "deploy")
    assert bank.ran() == ["backup", "on", "off"]
    assert (bank.stands(), bank.digest()) == (AT_START, rows)
    ran = bank.deploy()
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert bank.outcomes() == DEPLOYED
    assert bank.ran() == ["backup", "on", "off", "backup", "on", "smoke", "off"]
    assert (bank.stands(), bank.digest()) == (UPGRADED, rows)


def test_a_downgrade_that_cannot_be_written_down(open_bank: Callable[..., Bank]) -> None:
    bank = open_bank()
    rows = bank.digest()
    assert bank.deploy().returncode == 0
    bank.forget_commands()
    with sleeping(bank, "down", is_back=True) as started:
        bank.wait(lambda: bank.begun("pg_sleep") == 2)  # the first was that of the upgrade
        fill(bank, started)
        has_stopped(bank, started, "rollback")
    assert (bank.stands(), bank.digest()) == (UPGRADED, rows)
    ran = bank.roll_back()
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert bank.ran() == ["on", "off", "on", "off"]
    assert (bank.stands(), bank.digest()) == (AT_START, rows)
    assert bank.ended("DROP COLUMN currency") == 1


def test_a_record_that_cannot_be_written(open_bank: Callable[..., Bank]) -> None:
    bank = open_bank()
    in_the_way = bank.place.record_of(TAG) / "record.json"
    with held(bank, "maintenance-off") as started:
        in_the_way.mkdir()
    output, errors = started.communicate(timeout=60)
    assert started.returncode == 3, output + errors
    assert (
        f"gatekeeper: {in_the_way}: it ended as `deployed`, and no record of that can be written: "
        "Is a directory\n"
        "Make the folder writable, then start the same command again with the same `--record`.\n"
    ) in errors
    assert bank.ran() == ["backup", "on", "smoke", "off"]
    in_the_way.rmdir()
    ran = bank.deploy()
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert bank.outcomes() == DEPLOYED
    assert bank.ran() == ["backup", "on", "smoke", "off", "smoke"]
    assert bank.ended("ADD COLUMN currency") == 1


def test_what_is_told_to_nobody(
    open_bank: Callable[..., Bank], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log of a job goes away, and with it the pipe that it is told through."""
    bank = open_bank()
    rows = bank.digest()
    monkeypatch.chdir(bank.place.repository.root)
    read_end, write_end = os.pipe()

    def tell(step: str) -> None:
        if step == "smoke-test":
            os.close(read_end)
        os.write(write_end, f"{step}\n".encode())

    asked = DeployRequest(
        project=Request(bank.place.repository.root),
        environment="staging",
        plan=bank.place.folder / f"plan-{TAG}" / "plan.json",
        record=bank.place.record_of(TAG),
    )
    now = dt.datetime.now(dt.UTC)
    with pytest.raises(BrokenPipeError):
        deploy(asked, Surroundings(bank.place.environment, now, tell))
    os.close(write_end)
    assert bank.ran() == ["backup", "on", "off"]
    assert "in-maintenance" not in bank.files()
    assert (bank.stands(), bank.here(), bank.locks()) == (UPGRADED, 0, 0)
    ran = bank.deploy()
    assert ran.returncode == 0, ran.stdout + ran.stderr
    hold_to_schema("record", bank.record())
    assert bank.outcomes() == DEPLOYED
    assert bank.ran() == ["backup", "on", "off", "smoke"]
    assert (bank.stands(), bank.digest()) == (UPGRADED, rows)
