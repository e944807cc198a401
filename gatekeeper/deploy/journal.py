"""What a deploy writes down while it happens, so that one that was killed can be taken up.

`journal.jsonl` in the record's folder has one JSON object a line: which deploy this is, where
a step begins and ends, each statement on the target. A line is on the disk before what it
announces begins. The file `in-maintenance` is there as long as users are kept out: to take it
away needs no room on a disk, where a line would find none.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gatekeeper.deploy.model import StepName, StepOutcome, StepRecord
from gatekeeper.errors import ConfigError, GatekeeperError

FILE_NAME = "journal.jsonl"
MARK_NAME = "in-maintenance"


@dataclass(frozen=True)
class Past:
    """What the journal of a deploy that did not come to its end holds.

    `begun` are the steps that began, with what was told of each beginning; `ended` are the
    records of those that came to an end, of the preflight that which was before anything was
    done to the target; `cut_off` is what began and did not end since. For a rollback `ended`
    are the steps of rollbacks alone.
    `statements` are those of the last apply or rollback. `runs` are the application names of
    the processes that worked on the target. `is_in_maintenance` says that maintenance was
    switched on and is not known to be off again, `is_switched_on` that it has kept users out
    ever since.
    """

    begun: Mapping[StepName, Mapping[str, Any]]
    ended: Mapping[StepName, StepRecord]
    cut_off: frozenset[StepName] = frozenset()
    statements: tuple[Mapping[str, Any], ...] = ()
    runs: tuple[str, ...] = ()
    is_in_maintenance: bool = False
    is_switched_on: bool = False

    @property
    def has_changed_target(self) -> bool:
        """Whether something may have been done to the target."""
        return StepName.APPLY in self.begun

    def has_passed(self, name: StepName) -> bool:
        return name in self.ended and self.ended[name].outcome is StepOutcome.PASSED

    def passed(self) -> Mapping[StepName, StepRecord]:
        return {name: self.ended[name] for name in self.ended if self.has_passed(name)}

    def details(self, name: StepName) -> Mapping[str, Any]:
        """Return what was noted of a step at its end."""
        return self.ended[name].details if name in self.ended else {}


@dataclass
class Noted:
    """What is known of a step that runs: lines for people, and values for the record."""

    output: list[str] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)

    def say(self, *lines: str) -> None:
        self.output.extend(lines)


class JournalUnwritable(OSError):
    """A line could not be put on the disk, so that what it announces must not begin.

    It is none of the errors after which a deploy goes on: each step is to be written down.
    """


class Journal:
    """The journal of one deploy; `steps` are what this process has done of it.

    `earlier` are the steps of a killed process that this one goes on from. The file is held as
    long as it is open, and by the kernel: nobody else works on the same record meanwhile.
    """

    def __init__(self, path: Path, now: Callable[[], dt.datetime]) -> None:
        self.steps: list[StepRecord] = []
        self.earlier: Mapping[StepName, StepRecord] = {}
        self._now = now
        self._mark = path.with_name(MARK_NAME)
        try:
            self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        except OSError as error:
            raise ConfigError(
                f"the journal of this record cannot be written to: {error.strerror}",
                where=str(path),
                fix="Give `--record` another folder, or go on as the user who made this one.",
            ) from error
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self.close()
            raise ConfigError(
                "another process works on the deploy of this record",
                where=str(path.parent),
                fix="Wait for its end, or give `--record` another folder.",
            ) from error
        self._put(b"\n")  # ends a line that a kill cut off

    def close(self) -> None:
        os.close(self._descriptor)

    def all_steps(self) -> Mapping[StepName, StepRecord]:
        """Return what became of the steps; what was skipped now was maybe done earlier."""
        found = dict(self.earlier)
        for step in self.steps:
            if step.outcome is not StepOutcome.SKIPPED or step.step not in found:
                found[step.step] = step
        return found

    def write(self, event: str, **values: Any) -> None:
        """Put one line on the disk."""
        line = {"event": event, "at": self._now().isoformat(), **values}
        self._put(json.dumps(line, ensure_ascii=False).encode() + b"\n")

    def _put(self, line: bytes) -> None:
        """Put all of a line on the disk or, where there is no room for that, nothing of it."""
        whole = os.fstat(self._descriptor).st_size
        try:
            while line:
                line = line[os.write(self._descriptor, line) :]
            os.fsync(self._descriptor)
        except OSError as error:
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, whole)
            raise JournalUnwritable(error.errno, error.strerror) from error

    def forget_maintenance(self) -> None:
        """Let who takes this up know that users are not kept out any more."""
        self._mark.unlink(missing_ok=True)

    @contextlib.contextmanager
    def step(self, name: StepName, **values: Any) -> Iterator[Noted]:
        """Yield where a step is noted; what it raises makes it a failed one and goes on."""
        noted, started, clock = Noted(), self._now(), time.monotonic()
        if name is StepName.MAINTENANCE_ON:
            self._mark.touch()
        self.write("begin", step=name.value, **values)
        outcome, reason = StepOutcome.FAILED, None
        try:
            yield noted
            outcome = StepOutcome.PASSED
        except GatekeeperError as error:
            reason = error.sentence
            noted.details.update(getattr(error, "details", {}))
            raise
        except BaseException as error:
            reason = f"{type(error).__name__}: {error}"
            raise
        finally:
            seconds = time.monotonic() - clock
            record = StepRecord(
                name, outcome, reason, started, seconds, tuple(noted.output), noted.details
            )
            self._end(record)

    def skip(self, name: StepName, reason: str) -> None:
        """Note that a step is not done, and why."""
        self._end(StepRecord(name, StepOutcome.SKIPPED, reason, self._now(), 0.0))

    def _end(self, record: StepRecord) -> None:
        self.steps.append(record)
        if record.step is StepName.MAINTENANCE_OFF and record.outcome is StepOutcome.PASSED:
            self.forget_maintenance()
        self.write(
            "end",
            step=record.step.value,
            outcome=record.outcome.value,
            reason=record.reason,
            started=record.started.isoformat(),
            seconds=round(record.seconds, 3),
            output=record.output,
            details=record.details,
        )


@contextlib.contextmanager
def open_journal(
    folder: Path,
    identity: Mapping[str, Any],
    run: str,
    now: Callable[[], dt.datetime],
    command: str = "deploy",
) -> Iterator[tuple[Journal, Past | None]]:
    """Yield the journal of a deploy, and what it holds of the same one, if that is still open.

    `identity` tells deploys apart; `run` is the application name of this process on the target.
    An event `closed` ends a deploy that need not be taken up. `command` is `deploy`, or
    `rollback` of what was deployed.
    """
    path = folder / FILE_NAME
    with contextlib.closing(Journal(path, now)) as journal:
        past = _read_past(path, identity, command)
        try:
            journal.write("deploy", run=run, command=command, **identity)
            yield journal, past
        except JournalUnwritable as error:
            raise GatekeeperError(
                f"the journal cannot be written: {error.strerror}. Nothing goes on without it",
                where=str(path),
                fix=f"Make room, then start `gatekeeper {command}` again with the same `--record`: "
                "it goes on from here.",
            ) from error


def _read_past(path: Path, identity: Mapping[str, Any], command: str) -> Past | None:
    """Return what is still open of a deploy, None where it came to an end of its own."""
    lines = _read_lines(path)
    deploys = [line for line in lines if line["event"] == "deploy"]
    if not deploys:
        return None
    first = deploys[0]
    other = next((key for key, value in identity.items() if first.get(key) != value), None)
    if other is not None:
        raise ConfigError(
            f"the folder holds the record of another deploy: its {other} is "
            f"`{first.get(other)}`, not `{identity[other]}`",
            where=str(path.parent),
            fix="Give `--record` a folder of its own for each deploy.",
        )
    closed = [n for n, line in enumerate(lines) if line["event"] == "closed"]
    lines = lines[closed[-1] + 1 if closed else 0 :]
    if not lines:
        return None
    ends = [line for line in lines if line["event"] in ("deploy", "stopped")]
    open_command = ends[-1].get("command", command) if ends else command
    if open_command != command:
        raise ConfigError(
            f"`gatekeeper {open_command}` of this record was killed and did not come to its end",
            where=str(path.parent),
            fix=f"Let `gatekeeper {open_command}` with the same `--record` go on with it first.",
        )
    steps = [line for line in lines if line["event"] in ("begin", "end")]
    last = {StepName(line["step"]): line["event"] for line in steps}
    begun = {StepName(line["step"]): line for line in steps if line["event"] == "begin"}
    changes = [n for n, line in enumerate(lines) if _begins_change(line)]
    may_be_on, is_on = _maintenance(steps)
    is_marked = path.with_name(MARK_NAME).exists()
    return Past(
        begun=begun,
        ended={
            StepName(line["step"]): read_step(line)
            for line in _ends_that_count(_lines_of(lines, command))
        },
        cut_off=frozenset(name for name, event in last.items() if event == "begin"),
        statements=tuple(
            line for line in lines[changes[-1] if changes else 0 :] if line["event"] == "statement"
        ),
        runs=tuple(line["run"] for line in lines if line["event"] == "deploy"),
        is_in_maintenance=may_be_on and is_marked,
        is_switched_on=is_on and is_marked,
    )


def _begins_change(line: Mapping[str, Any]) -> bool:
    return line["event"] == "begin" and line["step"] in (
        StepName.APPLY.value,
        StepName.ROLLBACK.value,
    )


def _lines_of(lines: Sequence[Mapping[str, Any]], command: str) -> Sequence[Mapping[str, Any]]:
    """Return what processes of a command have written; a deploy makes a rollback begin anew."""
    found: list[Mapping[str, Any]] = []
    running = command
    for line in lines:
        if line["event"] == "deploy":
            running = line.get("command", command)
            if running == "deploy" != command:
                found = []
        if running == command:
            found.append(line)
    return found


def _maintenance(steps: Sequence[Mapping[str, Any]]) -> tuple[bool, bool]:
    """Tell whether maintenance may be on, and whether it has been on without a break."""
    may_be_on = is_on = False
    for line in steps:
        has_passed = line["event"] == "end" and line["outcome"] == StepOutcome.PASSED.value
        if line["step"] == StepName.MAINTENANCE_ON.value:
            may_be_on = may_be_on or line["event"] == "begin"
            is_on = is_on or has_passed
        elif line["step"] == StepName.MAINTENANCE_OFF.value and line.get("outcome") != "skipped":
            is_on = False
            may_be_on = may_be_on and not has_passed
    return may_be_on, is_on


def read_step(line: Mapping[str, Any]) -> StepRecord:
    """Return what became of a step, as the journal and record.json tell it."""
    return StepRecord(
        StepName(line["step"]),
        StepOutcome(line["outcome"]),
        line["reason"],
        dt.datetime.fromisoformat(line["started"]),
        line["seconds"],
        tuple(line["output"]),
        line["details"],
    )


def _ends_that_count(lines: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Yield where steps ended, but no preflight that saw a target to which something was done."""
    has_begun = False
    for line in lines:
        has_begun |= line["event"] == "begin" and line["step"] == StepName.APPLY.value
        if line["event"] == "end" and not (has_begun and line["step"] == StepName.PREFLIGHT.value):
            yield line


def _read_lines(path: Path) -> Sequence[Mapping[str, Any]]:
    """Return the lines that are whole: one may have been cut off by a kill."""
    lines = []
    for text in path.read_text(encoding="utf-8", errors="replace").splitlines():
        with contextlib.suppress(ValueError):
            lines.append(json.loads(text))
    return lines
