"""The journal: what a killed deploy leaves for the one that takes it up."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import resource
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gatekeeper.deploy.journal import open_journal
from gatekeeper.deploy.model import StepFailed, StepName, StepOutcome, StepRecord
from gatekeeper.deploy.past import FILE_NAME, Past
from gatekeeper.errors import ConfigError, ExitCode, GatekeeperError, Interrupted

IDENTITY = {"environment": "staging", "tag": "v1.1.0"}


def now() -> dt.datetime:
    return dt.datetime(2026, 11, 24, tzinfo=dt.UTC)


def past_of(folder: Path, run: str = "next", command: str = "deploy") -> Past | None:
    with open_journal(folder, IDENTITY, run, now, command) as (_, past):
        return past


@pytest.fixture
def lines(tmp_path: Path) -> Callable[[], list[dict[str, Any]]]:
    def read() -> list[dict[str, Any]]:
        text = (tmp_path / FILE_NAME).read_text()
        return [json.loads(line) for line in text.splitlines() if line]

    return read


def test_the_first_process_finds_nothing(tmp_path):
    assert past_of(tmp_path) is None


def test_what_began_and_what_ended_is_found(tmp_path):
    with open_journal(tmp_path, IDENTITY, "first", now) as (journal, _):
        with journal.step(StepName.BACKUP) as noted:
            noted.details["sha256"] = "ab"
            noted.say("200 tables")
        journal.skip(StepName.MAINTENANCE_ON, "no window")
        journal.write("begin", step="apply")
    past = past_of(tmp_path)
    assert past is not None
    assert set(past.begun) == {StepName.BACKUP, StepName.APPLY}
    assert past.cut_off == {StepName.APPLY}
    assert past.ended == {
        StepName.BACKUP: StepRecord(
            StepName.BACKUP,
            StepOutcome.PASSED,
            None,
            now(),
            pytest.approx(0, abs=1),
            ("200 tables",),
            {"sha256": "ab"},
        ),
        StepName.MAINTENANCE_ON: StepRecord(
            StepName.MAINTENANCE_ON, StepOutcome.SKIPPED, "no window", now(), 0.0
        ),
    }
    assert past.details(StepName.BACKUP) == {"sha256": "ab"}
    assert past.details(StepName.APPLY) == {}
    assert past.runs == ("first",)


def test_the_statements_are_those_of_the_last_change(tmp_path):
    with open_journal(tmp_path, IDENTITY, "first", now) as (journal, _):
        for step in ("apply", "rollback"):
            journal.write("begin", step=step)
            journal.write("statement", sql=f"SELECT '{step}'")
    past = past_of(tmp_path)
    assert past is not None
    assert [each["sql"] for each in past.statements] == ["SELECT 'rollback'"]


def test_what_the_target_was_is_known_from_before_the_upgrade(tmp_path):
    """One that takes it up finds another target, or does not reach it."""
    with open_journal(tmp_path, IDENTITY, "first", now) as (journal, _):
        with journal.step(StepName.PREFLIGHT) as noted:
            noted.details["revisions"] = ["a001"]
        journal.write("begin", step="apply")
    with open_journal(tmp_path, IDENTITY, "second", now) as (journal, _):
        with journal.step(StepName.PREFLIGHT) as noted:
            noted.details["revisions"] = ["a002"]
        with pytest.raises(StepFailed), journal.step(StepName.PREFLIGHT):
            raise StepFailed("another deploy works on the target")
    past = past_of(tmp_path)
    assert past is not None
    assert past.details(StepName.PREFLIGHT) == {"revisions": ["a001"]}
    assert past.has_passed(StepName.PREFLIGHT)


def test_every_process_that_worked_on_it_is_known(tmp_path):
    for run in ("first", "second"):
        past_of(tmp_path, run)
    past = past_of(tmp_path)
    assert past is not None
    assert past.runs == ("first", "second")
    assert not past.has_changed_target


def test_a_deploy_that_is_closed_need_not_be_taken_up(tmp_path):
    with open_journal(tmp_path, IDENTITY, "first", now) as (journal, _):
        with journal.step(StepName.APPLY):
            pass
        journal.write("closed")
    assert past_of(tmp_path) is None


ON, OFF = StepName.MAINTENANCE_ON, StepName.MAINTENANCE_OFF


@pytest.mark.parametrize(
    ("steps", "killed_in", "is_in_maintenance", "is_switched_on"),
    [
        pytest.param([], None, False, False, id="none"),
        pytest.param([ON, OFF], None, False, False, id="switched on and off"),
        pytest.param([ON], None, True, True, id="switched on"),
        pytest.param([], ON, True, False, id="killed while it was switched on"),
        pytest.param([ON], OFF, True, False, id="killed while it was switched off"),
        pytest.param([ON, OFF], ON, True, False, id="switched on a second time"),
        pytest.param([ON, OFF, ON], None, True, True, id="is on a second time"),
    ],
)
def test_maintenance_is_taken_for_on_until_it_is_known_to_be_off(
    tmp_path, steps, killed_in, is_in_maintenance, is_switched_on
):
    record, left = tmp_path / "record", tmp_path / "left"
    record.mkdir()
    with open_journal(record, IDENTITY, "first", now) as (journal, _):
        for name in steps:
            with journal.step(name):
                pass
        with contextlib.nullcontext() if killed_in is None else journal.step(killed_in):
            shutil.copytree(record, left)
    past = past_of(left)
    assert past is not None
    assert (past.is_in_maintenance, past.is_switched_on) == (is_in_maintenance, is_switched_on)
    assert (left / "in-maintenance").exists() is is_in_maintenance


def test_maintenance_that_failed_to_go_off_is_taken_for_on(tmp_path):
    with open_journal(tmp_path, IDENTITY, "first", now) as (journal, _):
        with journal.step(ON):
            pass
        with pytest.raises(StepFailed), journal.step(OFF):
            raise StepFailed("the command fails")
        journal.write("stopped")
    past = past_of(tmp_path)
    assert past is not None
    assert (past.is_in_maintenance, past.is_switched_on) == (True, False)


@contextlib.contextmanager
def room_in(file: Path, size_bytes: int) -> Iterator[None]:
    """Let no file grow beyond what this one holds and some bytes more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (file.stat().st_size + size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_what_cannot_be_written_is_told_with_what_is_to_be_done(tmp_path, lines):
    """Nothing stays of a line that only a part of fits; that users are in is known all the same."""
    file = tmp_path / FILE_NAME
    with contextlib.ExitStack() as stack:
        raised = stack.enter_context(pytest.raises(GatekeeperError))
        journal, _ = stack.enter_context(open_journal(tmp_path, IDENTITY, "first", now))
        with journal.step(ON):
            pass
        stack.enter_context(room_in(file, 40))
        journal.forget_maintenance()
        journal.write("begin", step="apply")
    assert str(raised.value) == (
        f"{file}: the journal cannot be written: File too large. Nothing goes on without it\n"
        "Make room, then start `gatekeeper deploy` again with the same `--record`: it goes on "
        "from here."
    )
    assert raised.value.exit_code is ExitCode.UNDETERMINED
    assert file.read_text().endswith("}\n")
    assert [line.get("step") for line in lines()] == [None, "maintenance-on", "maintenance-on"]
    past = past_of(tmp_path)
    assert past is not None
    assert (past.is_in_maintenance, past.is_switched_on) == (False, False)


def test_a_line_that_a_kill_cut_off_is_passed_over(tmp_path, lines):
    with (
        open_journal(tmp_path, IDENTITY, "first", now) as (journal, _),
        journal.step(StepName.BACKUP),
    ):
        pass
    with (tmp_path / FILE_NAME).open("a") as file:
        file.write('{"event": "begin", "step": "app')
    past = past_of(tmp_path)
    assert past is not None
    assert set(past.begun) == {StepName.BACKUP}
    past = past_of(tmp_path)
    assert past is not None
    assert past.runs == ("first", "next")


@pytest.mark.parametrize(
    ("error", "reason", "details"),
    [
        pytest.param(
            StepFailed("the dump is cut off", fix="Make it again.", details={"size": 7}),
            "the dump is cut off. Make it again",
            {"size": 7},
            id="a step that failed",
        ),
        pytest.param(Interrupted("stopped by SIGTERM"), "stopped by SIGTERM", {}, id="a signal"),
        pytest.param(KeyError("x"), "KeyError: 'x'", {}, id="a defect"),
    ],
)
def test_a_step_that_raises_is_a_failed_one(tmp_path, lines, error, reason, details):
    with (
        open_journal(tmp_path, IDENTITY, "first", now) as (journal, _),
        pytest.raises(type(error)),
        journal.step(StepName.BACKUP),
    ):
        raise error
    (step,) = journal.steps
    assert (step.step, step.outcome, step.reason) == (StepName.BACKUP, StepOutcome.FAILED, reason)
    assert step.details == details
    assert lines()[-1] == {
        "event": "end",
        "at": "2026-11-24T00:00:00+00:00",
        "step": "backup",
        "outcome": "failed",
        "reason": reason,
        "started": "2026-11-24T00:00:00+00:00",
        "output": [],
        "seconds": pytest.approx(0, abs=1),
        "details": details,
    }


def test_the_folder_of_another_deploy_is_refused(tmp_path):
    past_of(tmp_path)
    other = {**IDENTITY, "tag": "v1.2.0"}
    with pytest.raises(ConfigError) as raised, open_journal(tmp_path, other, "first", now):
        pass
    assert raised.value.what == (
        "the folder holds the record of another deploy: its tag is `v1.1.0`, not `v1.2.0`"
    )


def test_the_journal_is_for_its_owner_alone(tmp_path):
    past_of(tmp_path)
    assert (tmp_path / FILE_NAME).stat().st_mode & 0o777 == 0o600


def test_a_journal_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / FILE_NAME).mkdir()
    with pytest.raises(ConfigError) as raised:
        past_of(tmp_path)
    assert str(raised.value) == (
        f"{tmp_path / FILE_NAME}: the journal of this record cannot be written to: Is a directory\n"
        "Give `--record` another folder, or go on as the user who made this one."
    )


def test_two_processes_do_not_write_one_record(tmp_path):
    with (
        open_journal(tmp_path, IDENTITY, "first", now),
        pytest.raises(ConfigError) as raised,
        open_journal(tmp_path, IDENTITY, "second", now),
    ):
        pass
    assert raised.value.what == "another process works on the deploy of this record"
    past = past_of(tmp_path)
    assert past is not None
    assert past.runs == ("first",)


def test_a_process_that_was_killed_at_once_has_left_nothing(tmp_path):
    (tmp_path / FILE_NAME).write_text('\n{"event": "depl')
    assert past_of(tmp_path) is None


@pytest.mark.parametrize(
    ("killed", "other"),
    [
        pytest.param("deploy", "rollback", id="a deploy"),
        pytest.param("rollback", "deploy", id="a rollback"),
    ],
)
def test_what_was_killed_goes_first(tmp_path, killed, other):
    past_of(tmp_path, "first", killed)
    with pytest.raises(ConfigError) as raised:
        past_of(tmp_path, "second", other)
    assert str(raised.value) == (
        f"{tmp_path}: `gatekeeper {killed}` of this record was killed and did not come to its end\n"
        f"Let `gatekeeper {killed}` with the same `--record` go on with it first."
    )
    past = past_of(tmp_path, "third", killed)
    assert past is not None
    assert past.runs == ("first",)


def test_the_steps_of_a_deploy_are_none_of_the_rollback_that_follows(tmp_path):
    """What it has left open, such as maintenance, is the rollback's to end."""
    with open_journal(tmp_path, IDENTITY, "first", now) as (journal, _):
        for name in (StepName.PREFLIGHT, ON, StepName.APPLY):
            with journal.step(name):
                pass
        journal.write("stopped")
    with open_journal(tmp_path, IDENTITY, "second", now, "rollback") as (journal, past):
        assert past is not None
        assert past.passed() == {}
        assert past.is_in_maintenance
        with journal.step(StepName.PREFLIGHT):
            pass
        journal.write("begin", step="rollback")
    past = past_of(tmp_path, "third", "rollback")
    assert past is not None
    assert set(past.passed()) == {StepName.PREFLIGHT}
    assert past.cut_off == {StepName.ROLLBACK}
    assert past.runs == ("first", "second")
