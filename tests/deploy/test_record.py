"""The record of a deploy as data and as a page."""

from __future__ import annotations

import json
from dataclasses import replace

from gatekeeper.deploy.model import DeployOutcome, StepName, StepOutcome
from gatekeeper.deploy.record import Record, render_json, render_page
from tests.deploy.records import RECORD, REFUSED, step


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
