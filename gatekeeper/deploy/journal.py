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
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gatekeeper.deploy.model import StepName, StepOutcome, StepRecord
from gatekeeper.deploy.past import FILE_NAME, MARK_NAME, Past, read_open
from gatekeeper.errors import ConfigError, GatekeeperError


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
        past = read_open(path, identity, command)
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
