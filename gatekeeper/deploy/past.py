"""What the journal of a deploy holds that did not come to its end."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gatekeeper.deploy.model import StepName, StepOutcome, StepRecord
from gatekeeper.errors import ConfigError

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


def read_open(path: Path, identity: Mapping[str, Any], command: str) -> Past | None:
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
