"""What a deploy writes down while it happens, so that one that was killed can be taken up.

`journal.jsonl` in the record's folder has one JSON object a line: which deploy this is, where
a step begins and ends, each statement on the target. A line is on the disk before what it
announces begins.
"""

from __future__ import annotations

import contextlib
import datetime as dt
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


@dataclass(frozen=True)
class Past:
    """What the journal of a deploy that did not come to its end holds.

    `begun` are the steps that began, `ended` those that came to an end, with what was noted of
    each; of the preflight what it was before anything was done to the target. `runs` are the
    application names of the processes that worked on the target, `steps` what to record of it.
    """

    begun: frozenset[StepName]
    ended: Mapping[StepName, StepOutcome]
    details: Mapping[StepName, Mapping[str, Any]]
    runs: tuple[str, ...]
    steps: tuple[StepRecord, ...] = ()

    @property
    def has_changed_target(self) -> bool:
        """Whether something may have been done to the target."""
        return StepName.APPLY in self.begun

    @property
    def is_in_maintenance(self) -> bool:
        """Whether maintenance was switched on and is not known to be off again."""
        off = self.ended.get(StepName.MAINTENANCE_OFF)
        return StepName.MAINTENANCE_ON in self.begun and off is not StepOutcome.PASSED


@dataclass
class Noted:
    """What is known of a step that runs: lines for people, and values for the record."""

    output: list[str] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)

    def say(self, *lines: str) -> None:
        self.output.extend(lines)


class Journal:
    """The journal of one deploy; `steps` are what this process has done of it."""

    def __init__(self, path: Path, now: Callable[[], dt.datetime]) -> None:
        self.steps: list[StepRecord] = []
        self._now = now
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.write(self._descriptor, b"\n")  # ends a line that a kill cut off

    def close(self) -> None:
        os.close(self._descriptor)

    def write(self, event: str, **values: Any) -> None:
        """Put one line on the disk."""
        line = {"event": event, "at": self._now().isoformat(), **values}
        os.write(self._descriptor, json.dumps(line, ensure_ascii=False).encode() + b"\n")
        os.fsync(self._descriptor)

    @contextlib.contextmanager
    def step(self, name: StepName, **values: Any) -> Iterator[Noted]:
        """Yield where a step is noted; what it raises makes it a failed one and goes on."""
        noted, started, clock = Noted(), self._now(), time.monotonic()
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
        self.write(
            "end",
            step=record.step.value,
            outcome=record.outcome.value,
            reason=record.reason,
            seconds=round(record.seconds, 3),
            details=record.details,
        )


@contextlib.contextmanager
def open_journal(
    folder: Path, identity: Mapping[str, Any], run: str, now: Callable[[], dt.datetime]
) -> Iterator[tuple[Journal, Past | None]]:
    """Yield the journal of a deploy, and what it holds of the same one, if that is still open.

    `identity` tells deploys apart; `run` is the application name of this process on the target.
    An event `closed` ends a deploy that need not be taken up.
    """
    path = folder / FILE_NAME
    past = _read_past(path, identity) if path.exists() else None
    with contextlib.closing(Journal(path, now)) as journal:
        journal.write("deploy", run=run, **identity)
        yield journal, past


def _read_past(path: Path, identity: Mapping[str, Any]) -> Past | None:
    """Return what is still open of a deploy, None where it came to an end of its own."""
    lines = _read_lines(path)
    deploys = [line for line in lines if line["event"] == "deploy"]
    first = deploys[0] if deploys else {}
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
    ends = list(_ends_that_count(lines))
    return Past(
        begun=frozenset(StepName(line["step"]) for line in lines if line["event"] == "begin"),
        ended={StepName(line["step"]): StepOutcome(line["outcome"]) for line in ends},
        details={StepName(line["step"]): line["details"] for line in ends},
        runs=tuple(line["run"] for line in lines if line["event"] == "deploy"),
        steps=tuple(map(_step_of, ends)),
    )


def _step_of(end: Mapping[str, Any]) -> StepRecord:
    return StepRecord(
        step=StepName(end["step"]),
        outcome=StepOutcome(end["outcome"]),
        reason=end["reason"],
        started=dt.datetime.fromisoformat(end["at"]) - dt.timedelta(seconds=end["seconds"]),
        seconds=end["seconds"],
        output=("an earlier start of this deploy did it",),
        details=end["details"],
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
