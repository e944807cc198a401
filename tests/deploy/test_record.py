"""The record of a deploy as data and as a page."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gatekeeper.deploy.model import DeployOutcome, StepName, StepOutcome
from gatekeeper.deploy.past import Past
from gatekeeper.deploy.record import Record, read_past, render_json, render_page
from gatekeeper.errors import ConfigError
from tests.deploy.records import RECORD, REFUSED, step
from tests.schemas import hold_to_schema


def test_the_page_says_what_came_of_it_first():
    assert (
        render_page(RECORD)
        == """\
# `v1.1.0` on `staging`: rolled-back

Taken back by downgrade, which was verified.

What failed: smoke-test: `pytest` ended with 1

**Next:** Mend the smoke test.

The release leads from `a001` to `a002`, commit 0123456. Maintenance lasted 10.5 s.

| Step | Outcome | Began (UTC) | Took | Why |
| --- | --- | --- | ---: | --- |
| maintenance-on | passed | 12:00:10 | 1.0 s |  |
| apply | passed | 12:00:11 | 0.2 s |  |
| smoke-test | failed | 12:00:12 | 1.0 s | see above |
| watch | skipped |  |  | smoke-test failed |
| maintenance-off | passed | 12:00:20 | 0.5 s |  |

<details><summary>apply</summary>

```text
ALTER TABLE a ADD b text
```

</details>
"""
    )


def opening(record: Record) -> str:
    """Return what the page says in front of the release's revisions."""
    return render_page(record).split("\n\nThe release leads", 1)[0].split("\n\n", 1)[1]


def test_what_is_to_be_done_is_said_once():
    reason = "`pytest` ended with 1. Mend the smoke test"
    steps = (step(StepName.SMOKE_TEST, StepOutcome.FAILED, reason),)
    assert opening(replace(RECORD, steps=steps)) == (
        "Taken back by downgrade, which was verified.\n\n"
        "What failed: smoke-test: `pytest` ended with 1\n\n"
        "**Next:** Mend the smoke test."
    )


def test_each_of_several_problems_has_its_own_remedy():
    assert opening(REFUSED) == (
        "Refused. The target was not touched.\n\n"
        "What failed: preflight, for 2 reasons.\n\n"
        "- it is a replica. Name the primary.\n"
        "- `ix` is invalid. Drop `ix`."
    )


def test_a_target_at_the_head_was_not_verified():
    steps = (
        step(StepName.PREFLIGHT),
        step(StepName.VERIFY, StepOutcome.SKIPPED, "there was nothing to do"),
    )
    record = replace(RECORD, outcome=DeployOutcome.DEPLOYED, steps=steps, next=None)
    assert opening(record) == "There was nothing to do: the target stands at the release's head."


def test_the_data_has_every_step():
    data = json.loads(render_json(RECORD))
    assert data["schema"] == 1
    assert (data["environment"], data["outcome"], data["next"]) == (
        "staging",
        "rolled-back",
        "Mend the smoke test.",
    )
    assert data["maintenance_seconds"] == 10.5
    assert data["evidence"] == {"verdict": "pass"}
    assert data["steps"][1] == {
        "step": "apply",
        "outcome": "passed",
        "reason": None,
        "started": "2026-11-24T12:00:11+00:00",
        "seconds": 0.25,
        "output": ["ALTER TABLE a ADD b text"],
        "details": {},
    }


def test_without_maintenance_nobody_was_kept_out():
    steps = (step(StepName.MAINTENANCE_ON, StepOutcome.SKIPPED, "no window is needed"),)
    assert replace(RECORD, steps=steps).maintenance_seconds == 0


STATE = {"revisions": ["a001"], "catalog": {"table public.a": "0123"}, "rows": {"public.a": 7}}
DETAILS = {
    StepName.PREFLIGHT: STATE,
    StepName.BACKUP: {"path": None, "size_bytes": None, "sha256": None},
    StepName.RESTORE_REHEARSAL: {"obstacle": None},
}
DEPLOYED = Record(
    environment="staging",
    outcome=DeployOutcome.DEPLOYED,
    tag="v1.1.0",
    commit="0123456789abcdef",
    from_revisions=("a001",),
    to_revisions=("a002",),
    steps=tuple(replace(step(name), details=DETAILS.get(name, {})) for name in StepName),
    evidence={"previous": None, "verdict": "pass", "content_hash": "00", "server_major": 17},
)
SKIPPED = tuple(step(name, StepOutcome.SKIPPED, "it was not needed") for name in StepName)
GIVE = "Give `--record` the folder as `gatekeeper deploy` has written it."
ONE_VERSION = f"{GIVE} Use one version of gatekeeper for all of a release."
ANOTHER = (
    "Give `--record` the folder of the deploy that upgraded the target. Where the target stands: "
    "`gatekeeper status`."
)


def test_a_deploy_that_upgraded_its_target_is_read_back(tmp_path: Path) -> None:
    file = tmp_path / "record.json"
    file.write_text(render_json(DEPLOYED), encoding="utf-8")
    hold_to_schema("record", json.loads(file.read_text(encoding="utf-8")))
    past = read_past(file, "staging")
    assert past == Past(
        begun={name: {} for name in StepName},
        ended={each.step: each for each in DEPLOYED.steps},
    )
    assert past.details(StepName.PREFLIGHT) == STATE


def with_step(name: StepName, **values: Any) -> str:
    """Return the record as text, with other values of a step."""
    data = json.loads(render_json(DEPLOYED))
    data["steps"] = [{**s, **values} if s["step"] == name.value else s for s in data["steps"]]
    return json.dumps(data)


@pytest.mark.parametrize(
    ("text", "what", "fix"),
    [
        pytest.param(
            "record\n",
            "it is no JSON: Expecting value: line 1 column 1 (char 0)",
            GIVE,
            id="no JSON",
        ),
        pytest.param(
            '{"schema": 2}',
            "it is no record of schema 1: 'tool' is a required property",
            ONE_VERSION,
            id="too little",
        ),
        pytest.param(
            render_json(DEPLOYED).replace('"schema": 1', '"schema": 2'),
            "it is no record of schema 1: `schema`: 1 was expected",
            ONE_VERSION,
            id="another schema",
        ),
        pytest.param(
            with_step(StepName.PREFLIGHT, details={"revisions": ["a001"], "rows": {}}),
            "it is no record of schema 1: `steps[0].details`: 'catalog' is a required property",
            ONE_VERSION,
            id="not what the target was",
        ),
        pytest.param(
            with_step(StepName.BACKUP, details={}),
            "it is no record of schema 1: `steps[1].details`: 'path' is a required property",
            ONE_VERSION,
            id="not where the backup is",
        ),
        pytest.param(
            with_step(StepName.RESTORE_REHEARSAL, details={}),
            "it is no record of schema 1: `steps[2].details`: 'obstacle' is a required property",
            ONE_VERSION,
            id="not what the rehearsal showed",
        ),
        pytest.param(
            with_step(StepName.APPLY, started="yesterday"),
            "it is no record of schema 1: Invalid isoformat string: 'yesterday'",
            GIVE,
            id="no moment",
        ),
        pytest.param(
            render_json(replace(DEPLOYED, environment="production")),
            "it is the record of a deploy to `production`, not to `staging`",
            "Give the record of the deploy to `staging`, or say `--environment production` where "
            "that is meant.",
            id="another environment",
        ),
        pytest.param(
            render_json(replace(DEPLOYED, steps=SKIPPED)),
            "that deploy has left nothing to take back: There was nothing to do: the target "
            "stands at the release's head.",
            ANOTHER,
            id="nothing to do",
        ),
        pytest.param(
            render_json(replace(DEPLOYED, outcome=DeployOutcome.REFUSED, steps=SKIPPED)),
            "that deploy has left nothing to take back: Refused. The target was not touched.",
            ANOTHER,
            id="refused",
        ),
        pytest.param(
            render_json(replace(DEPLOYED, outcome=DeployOutcome.RESTORED)),
            "that deploy has left nothing to take back: Restored from the "
            "backup, which was verified.",
            ANOTHER,
            id="restored",
        ),
    ],
)
def test_what_cannot_be_taken_back_is_said(tmp_path: Path, text: str, what: str, fix: str) -> None:
    file = tmp_path / "record.json"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as raised:
        read_past(file, "staging")
    assert str(raised.value) == f"{file}: {what}\n{fix}"
