"""`gatekeeper rollback`, killed or stopped in any of its steps, and started again."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from typing import Any

import pytest

from tests.databases import execute
from tests.deploy.bank import (
    AT_START,
    RECORDED,
    STEPS,
    TAG,
    UPGRADED,
    Bank,
    held,
    is_alive,
    kill,
    outcomes_of,
    processes_of,
)
from tests.schemas import hold_to_schema
from tests.waiting import wait_for

pytestmark = [pytest.mark.postgres, pytest.mark.slow]

TAKEN_BACK = {
    **dict.fromkeys(STEPS, "skipped"),
    **dict.fromkeys(("preflight", "maintenance-on", "rollback", "maintenance-off"), "passed"),
}
ON_THE_WAY = (["b002"], ["id", "owner", "balance", "iban"], ["accounts_pkey"])


def deployed(open_bank: Callable[..., Bank], kind: str = "one") -> Bank:
    """Open a bank and deploy its release; what ran for that is forgotten."""
    bank = open_bank(kind)
    ran = bank.deploy()
    assert ran.returncode == 0, ran.stdout + ran.stderr
    bank.forget_commands()
    return bank


def read_rollback(bank: Bank) -> Any:
    file = bank.place.record_of(TAG) / "rollback.json"
    data = json.loads(file.read_text(encoding="utf-8"))
    hold_to_schema("record", data)
    return data


def is_refused(bank: Bank, told: str) -> None:
    """Start a deploy with the same record: it does nothing at all."""
    before = (bank.ran(), bank.stands(), bank.record())
    ran = bank.deploy()
    assert ran.returncode == 2, ran.stdout + ran.stderr
    assert told in ran.stderr
    assert (bank.ran(), bank.stands(), bank.record()) == before


@pytest.mark.parametrize(
    ("step", "stands", "before", "after"),
    [
        pytest.param("preflight", UPGRADED, [], ["on", "off"], id="preflight"),
        pytest.param("maintenance-on", UPGRADED, ["on"], ["on", "off"], id="maintenance-on"),
        pytest.param("rollback", UPGRADED, ["on"], ["off"], id="rollback"),
        pytest.param("maintenance-off", AT_START, ["on", "off"], ["off"], id="maintenance-off"),
    ],
)
def test_killed(
    open_bank: Callable[..., Bank], step: str, stands: Any, before: list[str], after: list[str]
) -> None:
    """It goes on; `before` are the commands that have run when it is killed, `after` the others."""
    bank = deployed(open_bank)
    rows = bank.digest()
    with held(bank, step, is_back=True) as started:
        is_refused(bank, "another process works on the deploy of this record")
        kill(started)
        assert bank.ran() == before
        assert "rollback.json" not in bank.files()
    if step == "rollback":
        # A session that works does not hear that nobody waits for it any more.
        assert bank.here() == 1
    else:
        wait_for(lambda: bank.here() == bank.locks() == 0)
        assert (bank.stands(), bank.digest()) == (stands, rows)
        is_refused(bank, "Let `gatekeeper rollback` with the same `--record` go on with it first.")

    ran = bank.roll_back()
    assert ran.returncode == 0, ran.stdout + ran.stderr
    record = read_rollback(bank)
    assert (record["outcome"], record["next"]) == ("rolled-back", None)
    assert outcomes_of(record) == TAKEN_BACK
    assert record["maintenance_seconds"] > 0
    assert bank.ran() == before + after
    assert bank.ran("done")[-1] == "off"
    assert bank.ended("DROP COLUMN currency") == 1
    assert (bank.stands(), bank.digest()) == (AT_START, rows)
    assert (bank.here(), bank.locks(), bank.databases()) == (0, 0, [])
    assert bank.files() == RECORDED | {"rollback.json", "rollback.md"}
    assert bank.record()["outcome"] == "deployed"


def test_killed_between_two_revisions(open_bank: Callable[..., Bank]) -> None:
    """Each is a transaction of its own: the one that is taken back is not taken back again."""
    bank = deployed(open_bank, "two")
    rows = bank.digest()
    with held(bank, "rollback", is_back=True) as started:
        wait_for(lambda: bank.begun("pg_sleep") == 2)  # the first was that of the upgrade
        kill(started)
        assert bank.stands() == ON_THE_WAY
    ran = bank.roll_back()
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert outcomes_of(read_rollback(bank)) == TAKEN_BACK
    assert (bank.stands(), bank.digest(), bank.here()) == (AT_START, rows, 0)
    assert (bank.ended("DROP COLUMN lowest"), bank.ended("DROP COLUMN iban")) == (1, 1)
    assert bank.ran() == ["on", "off"]
    again = bank.deploy()
    assert again.returncode == 0, again.stdout + again.stderr
    assert bank.digest() == rows


def test_what_only_the_rows_show_is_not_done_twice(open_bank: Callable[..., Bank]) -> None:
    """An UPDATE that was committed by itself, of a revision that is still there."""
    bank = deployed(open_bank, "unseen")
    with held(bank, "rollback", is_back=True) as started:
        kill(started)
    rows = bank.digest()
    for _ in range(2):
        ran = bank.roll_back()
        assert ran.returncode == 3, ran.stdout + ran.stderr
        record = read_rollback(bank)
        assert record["outcome"] == "stopped"
        assert "UPDATE accounts SET balance = balance - ?" in record["next"]
        assert "Take back by hand what is there of that revision" in record["next"]
        assert (bank.digest(), bank.here()) == (rows, 0)
        assert bank.ran() == ["on", "off"]
    execute(bank.database, "UPDATE alembic_version SET version_num = 'a001'")
    ran = bank.roll_back()
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert read_rollback(bank)["outcome"] == "rolled-back"
    assert (bank.stands(), bank.digest()) == (AT_START, rows)
    assert bank.ended("balance - 1") == 1


@pytest.mark.parametrize(
    ("step", "outcome", "told", "stands", "after"),
    [
        pytest.param("preflight", "refused", None, UPGRADED, ["on", "off"], id="preflight"),
        pytest.param("maintenance-on", "refused", None, UPGRADED, ["on", "off"], id="on"),
        pytest.param(
            "rollback",
            "stopped",
            "The way back by downgrade",
            UPGRADED,
            ["on", "off"],
            id="rollback",
        ),
        pytest.param("maintenance-off", "rolled-back", None, AT_START, [], id="off"),
    ],
)
def test_stopped_by_a_signal(
    open_bank: Callable[..., Bank],
    step: str,
    outcome: str,
    told: str | None,
    stands: Any,
    after: list[str],
) -> None:
    """It lets the users in and writes down where the target stands; the next one goes on."""
    bank = deployed(open_bank)
    rows = bank.digest()
    with held(bank, step, is_back=True) as started:
        processes = processes_of(started.pid)
        started.send_signal(signal.SIGTERM)
        if step == "maintenance-off":
            wait_for(lambda: bank.ran().count("off") == 2)
        else:
            started.wait(60)
    output, errors = started.communicate(timeout=60)
    assert started.returncode == 130, output + errors
    wait_for(lambda: not any(is_alive(pid, began) for pid, began in processes.items()), 15)
    record = read_rollback(bank)
    assert (record["outcome"], bank.stands()) == (outcome, stands)
    assert ("Stopped. A person is needed." in output) is (outcome == "stopped")
    if told is not None:
        assert told in record["next"]
        assert "Start it again with the same `--record`" in errors
    assert outcomes_of(record)[step] == ("passed" if step == "maintenance-off" else "failed")
    assert ("off" in bank.ran("done")) == ("on" in bank.ran())
    assert (bank.digest(), bank.here(), bank.locks(), bank.databases()) == (rows, 0, 0, [])
    before = bank.ran()
    ran = bank.roll_back()
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert (bank.stands(), bank.digest()) == (AT_START, rows)
    assert bank.ran() == before + after
    assert bank.ended("DROP COLUMN currency") == 1


def test_of_two_rollbacks_one_is_refused(open_bank: Callable[..., Bank]) -> None:
    bank = deployed(open_bank)
    with held(bank, "maintenance-on", is_back=True) as first:
        second = bank.roll_back()
        assert second.returncode == 2, second.stdout + second.stderr
        assert "another process works on the deploy of this record" in second.stderr
    output, errors = first.communicate(timeout=60)
    assert first.returncode == 0, output + errors
    assert bank.ran() == ["on", "off"]
    assert bank.stands() == AT_START


def test_a_killed_deploy_goes_on_before_it_is_taken_back(open_bank: Callable[..., Bank]) -> None:
    """An earlier process has written a record, but the last one did not come to its end."""
    bank = open_bank(on_failure="stop")
    bank.break_it()
    ran = bank.deploy()
    assert ran.returncode == 3, ran.stdout + ran.stderr
    bank.forget_commands()
    with held(bank, "smoke-test") as started:
        kill(started)
    ran = bank.roll_back()
    assert ran.returncode == 2, ran.stdout + ran.stderr
    assert "Let `gatekeeper deploy` with the same `--record` go on with it first." in ran.stderr
    assert bank.stands() == UPGRADED
    ran = bank.deploy()
    assert ran.returncode == 3, ran.stdout + ran.stderr
    ran = bank.roll_back()
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert bank.stands() == AT_START
    assert bank.ran("done")[-1] == "off"
    assert "in-maintenance" not in bank.files()
