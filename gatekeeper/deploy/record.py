"""The record of a deploy: what was done to the target, as data and as a page.

Neither holds data of the target's rows, nor an address or a password.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gatekeeper import __version__
from gatekeeper.deploy.model import DeployOutcome, StepName, StepOutcome, StepRecord
from gatekeeper.deploy.past import Past, read_step
from gatekeeper.deploy.published import parse, read_bytes
from gatekeeper.deploy.verify import render_tables
from gatekeeper.errors import ConfigError
from gatekeeper.reporters import gfm, words

_HEAD = ("Step", "Outcome", "Began (UTC)", "Took", "Why")
_RULE = ("---", "---", "---", "---:", "---")
_SAYS = {
    DeployOutcome.DEPLOYED: "Deployed and verified.",
    DeployOutcome.REFUSED: "Refused. The target was not touched.",
    DeployOutcome.UNCHANGED: "The target is as before, which was verified.",
    DeployOutcome.ROLLED_BACK: "Taken back by downgrade, which was verified.",
    DeployOutcome.RESTORED: "Restored from the backup, which was verified.",
    DeployOutcome.STOPPED: "Stopped. A person is needed.",
}
_CHANGING = (DeployOutcome.DEPLOYED, DeployOutcome.STOPPED)
_ABSENT = (
    "Give `--record` the folder that `gatekeeper deploy` has written. A deploy that was killed "
    "has no record yet: start it again with the same `--record` first."
)
_ANOTHER = "Give `--record` the folder as `gatekeeper deploy` has written it."
_NOTHING_DONE = "There was nothing to do: the target stands at the release's head."
_BACK_ALREADY = "There was nothing to do: the target is as it was before the deploy."


@dataclass(frozen=True)
class Failure:
    """Why a deploy failed; `problems`, where there are several, come each with its remedy."""

    sentence: str
    problems: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Record:
    """All that is told of a deploy, or of a rollback.

    `next` is what a person must do, None where there is nothing. `evidence` is what the record
    keeps of the release's evidence.
    """

    environment: str
    outcome: DeployOutcome
    tag: str
    commit: str
    from_revisions: tuple[str, ...]
    to_revisions: tuple[str, ...]
    steps: tuple[StepRecord, ...]
    next: str | None = None
    evidence: Mapping[str, Any] = field(default_factory=dict)

    @property
    def failed(self) -> StepRecord | None:
        """The first step that failed."""
        return next((s for s in self.steps if s.outcome is StepOutcome.FAILED), None)

    @property
    def failure(self) -> Failure | None:
        """What failed first, without what is to be done about it: that is `next`."""
        if self.failed is None:
            return None
        step = self.failed.step.value
        problems = tuple((what, fix) for what, fix in self.failed.details.get("problems", ()))
        if len(problems) > 1:
            return Failure(f"What failed: {step}, for {len(problems)} reasons.", problems)
        # The sentence of an error ends with its remedy.
        remedy = " ".join((self.next or "").split()).rstrip(".")
        what = (self.failed.reason or "").removesuffix(remedy).rstrip(". ")
        return Failure(f"What failed: {step}: {what}")

    @property
    def to_do(self) -> str | None:
        """What a person must do, None where nothing is or each problem tells it."""
        return None if self.failure is not None and self.failure.problems else self.next

    @property
    def came_of_it(self) -> str:
        """What became of the target, as a sentence."""
        if self.had_nothing_to_do:
            is_deploy = self.outcome is DeployOutcome.DEPLOYED
            return _NOTHING_DONE if is_deploy else _BACK_ALREADY
        return _SAYS[self.outcome]

    @property
    def leads(self) -> str:
        """From where to where the release leads, and how long users were kept out."""
        maintenance = (
            f" Maintenance lasted {words.seconds(self.maintenance_seconds)}."
            if self.maintenance_seconds
            else ""
        )
        return (
            f"The release leads from {_heads(self.from_revisions)} to "
            f"{_heads(self.to_revisions)}, commit {self.commit[:7]}.{maintenance}"
        )

    @property
    def had_nothing_to_do(self) -> bool:
        """Whether the target was already where it was to be brought, or brought back."""
        proofs = {
            DeployOutcome.DEPLOYED: StepName.VERIFY,
            DeployOutcome.ROLLED_BACK: StepName.ROLLBACK,
        }
        proof = self._step(proofs[self.outcome]) if self.outcome in proofs else None
        return proof is not None and proof.outcome is StepOutcome.SKIPPED

    @property
    def maintenance_seconds(self) -> float:
        """How long the target's users were kept out."""
        on = self._step(StepName.MAINTENANCE_ON)
        off = self._step(StepName.MAINTENANCE_OFF)
        if on is None or off is None or StepOutcome.SKIPPED in (on.outcome, off.outcome):
            return 0.0
        return (off.started - on.started).total_seconds() + off.seconds

    def _step(self, name: StepName) -> StepRecord | None:
        return next((s for s in reversed(self.steps) if s.step is name), None)


def render_json(record: Record) -> str:
    """Return record.json (schema 1)."""
    data = {
        "schema": 1,
        "tool": {"name": "gatekeeper", "version": __version__},
        "environment": record.environment,
        "outcome": record.outcome.value,
        "tag": record.tag,
        "commit": record.commit,
        "from_revisions": list(record.from_revisions),
        "to_revisions": list(record.to_revisions),
        "steps": [_step(step) for step in record.steps],
        "next": record.next,
        "maintenance_seconds": round(record.maintenance_seconds, 3),
        "evidence": dict(record.evidence),
    }
    return json.dumps(data, indent=2, ensure_ascii=False) + "\n"


def _step(step: StepRecord) -> dict[str, Any]:
    return {
        "step": step.step.value,
        "outcome": step.outcome.value,
        "reason": step.reason,
        "started": step.started.isoformat(),
        "seconds": round(step.seconds, 3),
        "output": list(step.output),
        "details": dict(step.details),
    }


def read_past(path: Path, environment: str) -> Past:
    """Return what a record.json says of a deploy to this environment that upgraded its target."""
    data = parse(path, read_bytes(path, _ABSENT), "record", _ANOTHER)
    try:
        steps = tuple(map(read_step, data["steps"]))
    except ValueError as error:  # a moment that is none
        raise ConfigError(
            f"it is no record of schema 1: {error}", where=str(path), fix=_ANOTHER
        ) from error
    if data["environment"] != environment:
        raise ConfigError(
            f"it is the record of a deploy to `{data['environment']}`, not to `{environment}`",
            where=str(path),
            fix=f"Give the record of the deploy to `{environment}`, or say "
            f"`--environment {data['environment']}` where that is meant.",
        )
    past = Past(
        begun={step.step: {} for step in steps if step.outcome is not StepOutcome.SKIPPED},
        ended={step.step: step for step in steps},
    )
    outcome = DeployOutcome(data["outcome"])
    if not past.has_changed_target or outcome not in _CHANGING:
        why = _NOTHING_DONE if outcome is DeployOutcome.DEPLOYED else _SAYS[outcome]
        raise ConfigError(
            f"that deploy has left nothing to take back: {why}",
            where=str(path),
            fix="Give `--record` the folder of the deploy that upgraded the target. Where the "
            "target stands: `gatekeeper status`.",
        )
    return past


def render_page(record: Record) -> str:
    """Return record.md: what came of it, what is to do, the steps, what each of them said."""
    parts = [
        f"# {gfm.code(record.tag)} on {gfm.code(record.environment)}: {record.outcome.value}",
        record.came_of_it,
    ]
    failure = record.failure
    if failure is not None:
        parts.append(gfm.inline(failure.sentence))
        parts.append(
            "\n".join(f"- {gfm.inline(f'{what}. {fix}')}" for what, fix in failure.problems)
        )
    if record.to_do is not None:
        parts.append(f"**Next:** {gfm.inline(record.to_do)}")
    parts.append(gfm.inline(record.leads))
    rows = [_row(step, is_told=step is record.failed) for step in record.steps]
    parts.append(gfm.table(_HEAD, _RULE, rows))
    for step in record.steps:
        if step.output:
            parts.append(gfm.folded(step.step.value, gfm.fence("\n".join(step.output), "text")))
        if step.details.get("tables"):
            parts.append(render_tables(step.details["tables"]))
    return "\n\n".join(part for part in parts if part) + "\n"


def _row(step: StepRecord, is_told: bool) -> tuple[str, ...]:
    is_done = step.outcome is not StepOutcome.SKIPPED
    return (
        step.step.value,
        step.outcome.value,
        f"{step.started:%H:%M:%S}" if is_done else "",
        words.seconds(step.seconds) if is_done else "",
        "see above" if is_told else gfm.inline(step.reason or ""),
    )


def _heads(heads: tuple[str, ...]) -> str:
    return words.listed(heads, 4) if heads else "an empty database"
