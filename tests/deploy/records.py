"""Records of deploys that no test has carried out."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

from gatekeeper.deploy.model import DeployOutcome, StepName, StepOutcome, StepRecord
from gatekeeper.deploy.record import Record

BEGAN = dt.datetime(2026, 11, 24, 12, 0, 0, tzinfo=dt.UTC)


def step(
    name: StepName,
    outcome: StepOutcome = StepOutcome.PASSED,
    reason: str | None = None,
    after: float = 0.0,
    seconds: float = 1.0,
    output: tuple[str, ...] = (),
) -> StepRecord:
    return StepRecord(name, outcome, reason, BEGAN + dt.timedelta(seconds=after), seconds, output)


RECORD = Record(
    environment="staging",
    outcome=DeployOutcome.ROLLED_BACK,
    tag="v1.1.0",
    commit="0123456789abcdef",
    from_revisions=("a001",),
    to_revisions=("a002",),
    steps=(
        step(StepName.MAINTENANCE_ON, after=10),
        step(StepName.APPLY, after=11, seconds=0.25, output=("ALTER TABLE a ADD b text",)),
        step(StepName.SMOKE_TEST, StepOutcome.FAILED, "`pytest` ended with 1", after=12),
        step(StepName.WATCH, StepOutcome.SKIPPED, "smoke-test failed", seconds=0),
        step(StepName.MAINTENANCE_OFF, after=20, seconds=0.5),
    ),
    next="Mend the smoke test.",
    evidence={"verdict": "pass"},
)

PROBLEMS = [["it is a replica", "Name the primary."], ["`ix` is invalid", "Drop `ix`."]]
REFUSED = replace(
    RECORD,
    outcome=DeployOutcome.REFUSED,
    steps=(
        replace(
            step(
                StepName.PREFLIGHT,
                StepOutcome.FAILED,
                "it is a replica; `ix` is invalid. Name …",
                output=tuple(f"{what}. {fix}" for what, fix in PROBLEMS),
            ),
            details={"problems": PROBLEMS},
        ),
    ),
    next="Name …",
)
