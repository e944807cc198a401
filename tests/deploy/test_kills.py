"""A deploy that is killed or stopped in any of its steps, what it leaves, and what comes after."""

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
    locked,
    processes_of,
)
from tests.waiting import wait_for

pytestmark = [pytest.mark.postgres, pytest.mark.slow]

ALL = ["backup", "on", "smoke", "off"]


@pytest.mark.parametrize(
    ("step", "stands", "before", "after"),
    [
        pytest.param("preflight", AT_START, [], ALL, id="preflight"),
        pytest.param("backup", AT_START, ["backup"], ALL, id="backup"),
        pytest.param("restore-rehearsal", AT_START, ["backup"], ALL, id="restore-rehearsal"),
        pytest.param("maintenance-on", AT_START, ["backup", "on"], ALL, id="maintenance-on"),
        pytest.param("apply", AT_START, ["backup", "on"], ["backup", "smoke", "off"], id="apply"),
        pytest.param("verify", UPGRADED, ["backup", "on"], ["smoke", "off"], id="verify"),
        pytest.param("smoke-test", UPGRADED, ALL[:3], ["smoke", "off"], id="smoke-test"),
        pytest.param("watch", UPGRADED, ALL[:3], ["smoke", "off"], id="watch"),
        pytest.param("rollback", UPGRADED, ALL[:3], ["off"], id="rollback"),
        pytest.param("maintenance-off", UPGRADED, ALL, ["smoke", "off"], id="maintenance-off"),
    ],
)
def test_killed(
    open_bank: Callable[..., Bank], step: str, stands: Any, before: list[str], after: list[str]
) -> None:
    """What changes the target is done once; what only looks at it may be done again.

    `before` are the commands that have run when the process is killed, `after` the others.
    """
    bank = open_bank()
    rows = bank.digest()
    with held(bank, step) as started:
        kill(started)
        left = bank.files() - {"journal.jsonl", "plan.json", "evidence.json", "backup.dump"}
        partial = {"backup.dump.partial"} if step == "backup" else set()
        assert left == partial | ({"in-maintenance"} if "on" in before else set())
        assert bank.ran() == before
    if step in ("apply", "rollback"):
        # A session that works does not hear that nobody waits for it any more.
        assert bank.here() == 1
    else:
        wait_for(lambda: bank.here() == bank.locks() == 0)
        assert (bank.stands(), bank.digest()) == (stands, rows)

    ran = bank.deploy()
    is_back = step == "rollback"
    assert ran.returncode == (1 if is_back else 0), ran.stdout + ran.stderr
    record = bank.record()
    assert record["outcome"] == ("rolled-back" if is_back else "deployed")
    assert record["next"] is None
    assert bank.outcomes() == {
        **dict.fromkeys(STEPS, "passed"),
        "watch": "skipped",
        **({"smoke-test": "failed"} if is_back else {"rollback": "skipped"}),
        **({"maintenance-on": "skipped"} if step == "apply" else {}),
    }
    assert bank.ran() == before + after
    assert bank.ran("done")[-1] == "off"
    assert bank.ended("ADD COLUMN currency") == (2 if step == "apply" else 1)
    assert (bank.stands(), bank.digest()) == (AT_START if is_back else UPGRADED, rows)
    assert (bank.here(), bank.locks(), bank.databases()) == (0, 0, [])
    assert bank.files() == RECORDED


STOPPED = ("stopped", "Start it again with the same `--record`")


@pytest.mark.parametrize(
    ("step", "outcome", "told", "stands"),
    [
        pytest.param("preflight", "refused", None, AT_START, id="preflight"),
        pytest.param("backup", "refused", None, AT_START, id="backup"),
        pytest.param("restore-rehearsal", "refused", None, AT_START, id="restore-rehearsal"),
        pytest.param("maintenance-on", "refused", None, AT_START, id="maintenance-on"),
        pytest.param("apply", "unchanged", None, AT_START, id="apply"),
        pytest.param("verify", *STOPPED, UPGRADED, id="verify"),
        pytest.param("smoke-test", *STOPPED, UPGRADED, id="smoke-test"),
        pytest.param("watch", *STOPPED, UPGRADED, id="watch"),
        pytest.param("rollback", "stopped", "The way back by downgrade", UPGRADED, id="rollback"),
        pytest.param("maintenance-off", "deployed", None, UPGRADED, id="maintenance-off"),
    ],
)
def test_stopped_by_a_signal(
    open_bank: Callable[..., Bank], step: str, outcome: str, told: str | None, stands: Any
) -> None:
    """It lets the users in, writes down where the target stands, and leaves nothing behind."""
    bank = open_bank()
    rows = bank.digest()
    with held(bank, step) as started:
        processes = processes_of(started.pid)
        started.send_signal(signal.SIGTERM)
        if step == "maintenance-off":
            wait_for(lambda: bank.ran().count("off") == 2)
        else:
            started.wait(60)
    output, errors = started.communicate(timeout=60)
    assert started.returncode == 130, output + errors
    wait_for(lambda: not any(is_alive(pid, began) for pid, began in processes.items()), 15)
    record = bank.record()
    assert (record["outcome"], bank.stands()) == (outcome, stands)
    assert ("Stopped. A person is needed." in output) is (outcome == "stopped")
    assert told is None or told in record["next"]
    assert bank.outcomes()[step] == ("passed" if step == "maintenance-off" else "failed")
    assert bank.digest() == rows
    assert ("off" in bank.ran("done")) == ("on" in bank.ran())
    assert (bank.here(), bank.locks(), bank.databases()) == (0, 0, [])
    assert "backup.dump.partial" not in bank.files()
    if step == "smoke-test":
        ran = bank.deploy()
        assert ran.returncode == 0, ran.stdout + ran.stderr
        assert bank.outcomes() == {
            **dict.fromkeys(STEPS, "passed"),
            **dict.fromkeys(("watch", "rollback"), "skipped"),
        }
        assert bank.ran() == ["backup", "on", "smoke", "off", "smoke"]
        assert bank.ended("ADD COLUMN currency") == 1


# --- Killed at moments of their own --------------------------------------------------


def test_killed_between_two_revisions(open_bank: Callable[..., Bank]) -> None:
    """Each is a transaction of its own: the first is not run again."""
    bank = open_bank("two", maintenance={"on": "true", "off": "true"})
    rows = bank.digest()
    with held(bank, "apply") as started:
        kill(started)
        assert bank.place.ask("SELECT version_num FROM alembic_version") == [("b002",)]
    ran = bank.deploy()
    assert ran.returncode == 0, ran.stdout + ran.stderr
    columns = ["id", "owner", "balance", "iban", "lowest"]
    assert bank.stands() == (["c003"], columns, ["accounts_pkey"])
    assert bank.digest() == rows
    assert bank.ended("ADD COLUMN iban") == 1
    assert bank.ran() == ["backup", "smoke"]
    assert bank.outcomes()["backup"] == "passed"
    assert bank.here() == 0


def test_what_only_the_rows_show_is_not_done_twice(open_bank: Callable[..., Bank]) -> None:
    """An UPDATE that was committed by itself, in a revision that is not there yet."""
    bank = open_bank("unseen")
    with held(bank, "apply") as started:
        kill(started)
    rows = bank.digest()
    for _ in range(2):
        ran = bank.deploy()
        assert ran.returncode == 3, ran.stdout + ran.stderr
        record = bank.record()
        assert record["outcome"] == "stopped"
        assert "UPDATE accounts SET balance = balance + ?" in record["next"]
        assert bank.digest() == rows
        assert bank.stands() == AT_START
        assert bank.here() == 0
    assert bank.ended("UPDATE accounts") == 1


@pytest.mark.parametrize("kind", ["by itself", "before another"])
def test_what_nobody_could_write_down_is_not_done(
    open_bank: Callable[..., Bank], kind: str
) -> None:
    """The process is suspended when rows are about to change, and then killed."""
    bank = open_bank(kind)
    rows = bank.digest()
    sleeping = "wait_event = 'PgSleep' AND datname = current_database()"
    bank.pause("target up", 3)
    started = bank.start()
    bank.wait(lambda: bank.sessions(sleeping))
    started.send_signal(signal.SIGSTOP)
    wait_for(lambda: not bank.sessions(sleeping))
    with pytest.raises(AssertionError, match="it did not come to that"):
        wait_for(lambda: bank.digest() != rows, 2)
    kill(started)
    bank.pause("target up", 0)
    ran = bank.deploy()
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert bank.ended("UPDATE accounts") == 1
    assert bank.place.ask("SELECT count(*) FROM accounts WHERE balance = id * 100 + 1") == [(500,)]


def test_killed_while_an_index_is_built_concurrently(open_bank: Callable[..., Bank]) -> None:
    """It waits for an older transaction; what it leaves is an index that is invalid."""
    bank = open_bank("concurrent")
    rows = bank.digest()
    connection = bank.place.connect()
    connection.cursor().execute("SELECT set_config('application_name', 'somebody', false)")
    bank.hold("backup")
    started = bank.start()
    bank.wait(lambda: "backup" in bank.ran())
    connection.cursor().execute("LOCK TABLE accounts IN ROW EXCLUSIVE MODE")
    bank.release("backup")
    building = "query LIKE 'CREATE INDEX CONCURRENTLY%' AND wait_event_type = 'Lock'"
    bank.wait(lambda: bank.sessions(f"{building} AND datname = current_database()"))
    bank.wait(lambda: bank.begun("CREATE INDEX CONCURRENTLY") == 1)
    kill(started)
    ran = bank.deploy()
    connection.close()
    assert ran.returncode == 3, ran.stdout + ran.stderr
    assert "CREATE INDEX CONCURRENTLY ix_balance" in bank.record()["next"]
    assert (bank.stands(), bank.digest(), bank.here()) == (AT_START, rows, 0)
    execute(bank.database, "DROP INDEX ix_balance")
    ran = bank.deploy()
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert bank.stands()[2] == ["accounts_pkey", "ix_balance"]
    assert bank.digest() == rows


def test_killed_while_the_backup_is_restored_in_place(open_bank: Callable[..., Bank]) -> None:
    """It waits for the lock of a table; nothing of it is committed, and it is gone on with."""
    bank = open_bank(on_failure="restore")
    rows = bank.digest()
    bank.break_it()
    bank.hold("smoke")
    started = bank.start()
    bank.wait(lambda: "smoke" in bank.ran())
    with locked(bank):
        bank.release("smoke")
        dropping = "wait_event_type = 'Lock' AND datname = current_database()"
        bank.wait(lambda: bank.has_begun("rollback") and bank.sessions(dropping))
        kill(started)
        assert bank.stands() == UPGRADED
    ran = bank.deploy()
    assert ran.returncode == 1, ran.stdout + ran.stderr
    record = bank.record()
    assert (record["outcome"], record["next"]) == ("restored", None)
    assert (bank.stands(), bank.digest(), bank.here()) == (AT_START, rows, 0)
    assert bank.ran() == ["backup", "on", "smoke", "off"]


# --- Two at a time, and what is another's --------------------------------------------


def test_a_second_deploy_leaves_the_first_alone(open_bank: Callable[..., Bank]) -> None:
    """It is refused, by its own record as by that of the first, and opens nothing to users."""
    bank = open_bank()
    rows = bank.digest()
    with held(bank, "smoke-test") as first:
        shared = bank.deploy()
        assert shared.returncode == 2, shared.stdout + shared.stderr
        assert "another process works on the deploy of this record" in shared.stderr
        second = bank.deploy("second")
        assert second.returncode == 1, second.stdout + second.stderr
        assert "another deploy works on the target" in " ".join(second.stdout.split())
        assert bank.record("second")["outcome"] == "refused"
        assert "off" not in bank.ran()
    output, errors = first.communicate(timeout=60)
    assert first.returncode == 0, output + errors
    assert bank.ran() == ["backup", "on", "smoke", "off"]
    assert (bank.stands(), bank.digest()) == (UPGRADED, rows)
    record = bank.record()
    again = bank.deploy()
    assert again.returncode == 0, again.stdout + again.stderr
    assert bank.record() == record, "that there was nothing to do is no record of the deploy"


def test_a_killed_deploy_does_not_open_what_another_holds(open_bank: Callable[..., Bank]) -> None:
    bank = open_bank()
    with held(bank, "maintenance-on") as killed:
        kill(killed)
    bank.hold("smoke")
    other = bank.start("other")
    bank.wait(lambda: "smoke" in bank.ran())
    ran = bank.deploy()
    assert ran.returncode == 3, ran.stdout + ran.stderr
    record = bank.record()
    assert record["outcome"] == "stopped"
    assert record["next"].startswith("Maintenance is still on. ")
    assert "another deploy works on the target" in record["next"]
    assert "off" not in bank.ran()
    bank.release("smoke")
    output, errors = other.communicate(timeout=60)
    assert other.returncode == 0, output + errors
    assert bank.stands() == UPGRADED


def test_the_record_of_another_release_is_left_alone(open_bank: Callable[..., Bank]) -> None:
    bank = open_bank()
    folder = bank.place.record_of(TAG)
    folder.mkdir()
    line = json.dumps({"event": "deploy", "environment": "staging", "tag": "v1.0.0"}) + "\n"
    (folder / "journal.jsonl").write_text(line, encoding="utf-8")
    ran = bank.deploy()
    assert ran.returncode == 2, ran.stdout + ran.stderr
    assert "its tag is `v1.0.0`, not `v1.1.0`" in ran.stderr
    assert bank.files() == {"journal.jsonl"}
    assert (folder / "journal.jsonl").read_text(encoding="utf-8").strip() == line.strip()
    assert (bank.ran(), bank.stands()) == ([], AT_START)
