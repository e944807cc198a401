from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from gatekeeper.model import Drift, Severity, Status, Verdict
from gatekeeper.reporters import words
from gatekeeper.reporters.json import MAX_ITEMS, MAX_TEXT, read_fingerprints, render
from tests.build import a_change_set, a_rehearsal, a_rehearsed, a_revision, a_statement, a_step
from tests.reporters.samples import CHECKS, CONTEXT, SAMPLES, a_finding, a_report, story
from tests.schemas import closed

SCHEMA = json.loads(
    (Path(__file__).parents[2] / "policies" / "report.schema.json").read_text(encoding="utf-8")
)


def every_object(schema: Any) -> list[dict[str, Any]]:
    below = schema.values() if isinstance(schema, dict) else schema
    nested = [o for v in below if isinstance(v, dict | list) for o in every_object(v)]
    return [schema, *nested] if isinstance(schema, dict) else nested


def data(sample: str) -> Any:
    return json.loads(render(SAMPLES[sample](), CONTEXT))


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_the_schema_bounds_everything() -> None:
    for part in every_object(SCHEMA):
        kinds = part.get("type", [])
        if not isinstance(kinds, str | list):
            continue  # a property that is named "type"
        if "array" in kinds:
            assert part["maxItems"] == MAX_ITEMS
        if "string" in kinds:
            assert part.get("maxLength") == MAX_TEXT or "pattern" in part


@pytest.mark.parametrize("sample", SAMPLES)
def test_every_report_keeps_to_the_schema(sample: str) -> None:
    jsonschema.Draft202012Validator(closed(SCHEMA)).validate(data(sample))


@pytest.mark.parametrize(
    "change",
    [
        {"schema": 2},
        {"verdict": "passed"},
        {"checks": None},
        {"git": {"base": "main", "head": None, "dirty": False}},
        {"content_hash": "x" * 200_000},
        {"undetermined": "x" * 100_001},
        {"base_revisions": ["x"] * 10_001},
    ],
)
def test_the_schema_refuses(change: dict[str, Any]) -> None:
    validator = jsonschema.Draft202012Validator(SCHEMA)
    validator.validate({**data("story"), "something_new": 1})
    assert not validator.is_valid({**data("story"), **change})


@pytest.mark.parametrize("sample", SAMPLES)
def test_every_check_has_its_entry(sample: str) -> None:
    report = SAMPLES[sample]()
    assert [c["check"] for c in data(sample)["checks"]] == [r.check.id for r in report.checks]


def test_upgrades_come_from_the_deploy_pass_and_downgrades_from_the_stairway() -> None:
    deployed = a_step("b002", a_statement("SELECT 'deploy'"), seconds=2.0)
    stairway = a_rehearsed(
        upgrade=a_step("b002", a_statement("SELECT 'stairway'")),
        downgrade=a_step("b002", a_statement("SELECT 'down'", locks=None)),
    )
    report = a_report(
        Verdict.PASS, rehearsal=a_rehearsal(stairway, deploy=(deployed,), drift=Drift(("add x",)))
    )
    got = json.loads(render(report, CONTEXT))
    assert [(s["sql"], s["locks"]) for s in got["statements"]] == [
        ("SELECT 'deploy'", []),
        ("SELECT 'down'", None),
    ]
    assert got["revisions"][0]["upgrade"] == {
        "outcome": "completed",
        "reason": None,
        "seconds": 2.0,
        "statements": 1,
    }
    assert got["rehearsal"]["drift"] == {
        "outcome": "different",
        "reason": None,
        "operations": ["add x"],
    }


def test_a_renamed_revision_is_unchanged_and_a_deleted_one_did_not_run() -> None:
    renamed, deleted = data("other_changes")["revisions"]
    assert (renamed["change"], renamed["renamed_from"]) == (
        "unchanged",
        "migrations/versions/a001.py",
    )
    assert (deleted["change"], deleted["upgrade"]["outcome"], deleted["upgrade"]["reason"]) == (
        "deleted",
        "skipped",
        "no revision is new",
    )


def test_what_was_not_compared_is_skipped_and_not_identical() -> None:
    report = a_report(Verdict.PASS, rehearsal=a_rehearsal(a_rehearsed(round_trip=None)))
    revision = json.loads(render(report, CONTEXT))["revisions"][0]
    assert revision["round_trip"] == {"outcome": "skipped", "differences": [], "data_lost": None}
    assert revision["second_upgrade"]["outcome"] == "identical"


def test_a_check_that_is_off_says_so() -> None:
    first = story().checks[0]
    off = replace(first, severity=Severity.OFF, status=Status.SKIPPED, reason="off in the policy")
    got = json.loads(render(replace(story(), checks=(off,)), CONTEXT))
    assert got["checks"] == [
        {
            "check": "upgrade-fails",
            "title": "Every upgrade runs",
            "severity": "notice",
            "status": "skipped",
            "reason": "off in the policy",
            "group": CHECKS[0].group,
        }
    ]


def test_fingerprints_are_read_back() -> None:
    report = SAMPLES["waived"]()
    assert read_fingerprints(data("waived")) == frozenset()
    assert read_fingerprints(data("story")) == set(words.open_fingerprints(story()))
    assert [f["fingerprint"] for f in data("waived")["findings"]] == [*words.fingerprints(report)]


@pytest.mark.slow
def test_too_much_is_cut_and_counted() -> None:
    statements = [a_statement("SELECT 1", ordinal=i) for i in range(MAX_ITEMS + 5)]
    report = a_report(
        Verdict.FAIL,
        changes=a_change_set(a_revision(message="m" * (MAX_TEXT + 1))),
        rehearsal=a_rehearsal(a_rehearsed(upgrade=a_step("b002", *statements))),
        findings=(a_finding("upgrade-fails", "\udc80"),),
    )
    got = json.loads(render(report, CONTEXT))
    jsonschema.Draft202012Validator(closed(SCHEMA)).validate(got)
    assert got["left_out"] == {"revisions": 0, "statements": 5, "findings": 0}
    assert got["revisions"][0]["message"].endswith("m… (100,001 characters, cut)")
    assert got["findings"][0]["message"] == "?"


def test_why_env_py_did_not_run() -> None:
    report = replace(story(), rehearsal=a_rehearsal(a_rehearsed(), env_not_run="no `uv`"))
    assert json.loads(render(report, CONTEXT))["rehearsal"]["env_not_run"] == "no `uv`"


def test_drift_where_the_metadata_lacks_tables() -> None:
    drift = Drift((), unknown=("public.b", "public.c"), tables=3)
    report = replace(story(), rehearsal=a_rehearsal(a_rehearsed(), drift=drift))
    told = json.loads(render(report, CONTEXT))["rehearsal"]["drift"]
    reason = "`target_metadata` lacks 2 of 3 tables"
    assert told == {"outcome": "skipped", "reason": reason, "operations": []}
