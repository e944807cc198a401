"""The report as data: schema 1, published as `policies/report.schema.json`.

Whoever publishes a report does not trust it, so every text and list in it has an end:
longer ones are cut here, and `left_out` counts what is missing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from gatekeeper import __version__
from gatekeeper.model import (
    Attestation,
    Change,
    ChangedRevision,
    CheckResult,
    Difference,
    Drift,
    Finding,
    NotRehearsed,
    Outcome,
    Rehearsal,
    Report,
    Severity,
    Skipped,
    Statement,
    Step,
    Waiver,
)
from gatekeeper.reporters import words
from gatekeeper.reporters.context import RenderContext

MAX_TEXT = 100_000
MAX_ITEMS = 10_000


def render(report: Report, context: RenderContext) -> str:
    """Return the report as JSON; the same report gives the same text."""
    del context  # the file says what was found, not where it is shown
    return json.dumps(_bounded(as_data(report)), indent=2, ensure_ascii=False) + "\n"


def read_fingerprints(report: Mapping[str, Any]) -> frozenset[str]:
    """Return the fingerprints of the open errors and warnings of a rendered report."""
    return frozenset(
        f["fingerprint"]
        for f in report["findings"]
        if f["waiver"] is None and f["severity"] in ("error", "warning")
    )


def as_data(report: Report) -> dict[str, Any]:
    """Return the report in the words of the schema, without any limit."""
    changes = report.changes
    project = changes.project
    rehearsal = report.rehearsal
    rehearsed = rehearsal if isinstance(rehearsal, Rehearsal) else None
    revisions = [_revision(changed, rehearsal) for changed in changes.revisions]
    statements = [] if rehearsed is None else _statements(rehearsed)
    findings = [
        _finding(report, finding, fingerprint)
        for finding, fingerprint in zip(report.findings, words.fingerprints(report), strict=True)
    ]
    return {
        "schema": 1,
        "tool": {"name": "gatekeeper", "version": __version__},
        "verdict": report.verdict.value,
        "undetermined": report.undetermined,
        "seconds": _seconds(report.seconds),
        "project": {
            "path": project.path,
            "config": project.config,
            "script_location": project.script_location,
            "sections": list(changes.sections),
            "database": None if rehearsed is None else rehearsed.database,
        },
        "git": {"base": changes.base, "head": changes.head, "dirty": changes.dirty},
        "server": (
            None
            if rehearsal.server is None
            else {"source": rehearsal.server.source.value, "version": rehearsal.server.version}
        ),
        "rehearsal": _rehearsal(rehearsal),
        "content_hash": changes.content_hash,
        "base_revisions": list(changes.base_heads),
        "head_revisions": list(changes.head_heads),
        "merged_revisions": list(changes.merged_heads),
        "revisions": revisions,
        "statements": statements,
        "checks": [_check(result) for result in report.checks],
        "findings": findings,
        "attestations": [_attestation(item) for item in report.attestations],
        "left_out": {
            name: max(0, len(items) - MAX_ITEMS)
            for name, items in (
                ("revisions", revisions),
                ("statements", statements),
                ("findings", findings),
            )
        },
    }


def _rehearsal(rehearsal: Rehearsal | NotRehearsed) -> dict[str, Any]:
    if isinstance(rehearsal, NotRehearsed):
        outcome = "failed" if rehearsal.is_failure else "skipped"
        return {
            "outcome": outcome,
            "reason": rehearsal.reason,
            "seconds": 0.0,
            "drift": None,
            "env_not_run": rehearsal.env_not_run,
        }
    return {
        "outcome": "completed",
        "reason": None,
        "seconds": _seconds(rehearsal.seconds),
        "drift": _drift(rehearsal.drift),
        "env_not_run": rehearsal.env_not_run,
    }


def _drift(drift: Drift | Skipped) -> dict[str, Any]:
    if isinstance(drift, Skipped):
        return {"outcome": "skipped", "reason": drift.reason, "operations": []}
    outcome, reason = "different" if drift.operations else "identical", None
    if drift.unknown:
        reason = f"`target_metadata` lacks {len(drift.unknown)} of {drift.tables} tables"
        outcome = "different" if drift.operations else "skipped"
    return {"outcome": outcome, "reason": reason, "operations": list(drift.operations)}


def _revision(changed: ChangedRevision, rehearsal: Rehearsal | NotRehearsed) -> dict[str, Any]:
    revision = changed.revision
    is_renamed = changed.change is Change.RENAMED
    return {
        "revision": revision.revision,
        "down_revision": list(revision.down_revisions),
        "message": revision.message,
        "path": revision.path,
        "change": Change.UNCHANGED.value if is_renamed else changed.change.value,
        "renamed_from": changed.before.path if is_renamed and changed.before else None,
        **_steps(changed, rehearsal),
    }


def _steps(changed: ChangedRevision, rehearsal: Rehearsal | NotRehearsed) -> dict[str, Any]:
    rehearsed = None
    if isinstance(rehearsal, NotRehearsed):
        reason = rehearsal.reason
    else:
        rehearsed = rehearsal.of(changed.revision.revision, changed.revision.path)
        reason = f"not rehearsed: the revision is {changed.change.value}"
    if isinstance(rehearsal, NotRehearsed) or rehearsed is None:
        skipped = {"outcome": "skipped", "reason": reason, "seconds": 0.0, "statements": 0}
        compared = _compared(None)
        return {
            "upgrade": skipped,
            "downgrade": skipped,
            "reupgrade": skipped,
            "round_trip": compared,
            "second_upgrade": compared,
        }
    return {
        "upgrade": _step(rehearsal.deployed(changed.revision) or rehearsed.upgrade),
        "downgrade": _step(rehearsed.downgrade),
        "reupgrade": _step(rehearsed.reupgrade),
        "round_trip": _compared(rehearsed.round_trip),
        "second_upgrade": _compared(rehearsed.second_upgrade),
    }


def _step(step: Step) -> dict[str, Any]:
    reason = step.reason
    if step.outcome is Outcome.FAILED and step.error is not None:
        reason = f"{step.error.type}: {step.error.message}"
    return {
        "outcome": step.outcome.value,
        "reason": reason,
        "seconds": _seconds(step.seconds),
        "statements": len(step.statements),
    }


def _compared(differences: tuple[Difference, ...] | None) -> dict[str, Any]:
    """Return a comparison; `data_lost` is null because rows are not compared yet."""
    outcome = "skipped" if differences is None else "different" if differences else "identical"
    names = [str(difference) for difference in differences or ()]
    return {"outcome": outcome, "differences": names, "data_lost": None}


def _statements(rehearsal: Rehearsal) -> list[dict[str, Any]]:
    """Return the upgrades as the deploy pass ran them, then the stairway's downgrades."""
    steps = (*rehearsal.deploy, *(r.downgrade for r in rehearsal.revisions))
    return [_statement(statement) for step in steps for statement in step.statements]


def _statement(statement: Statement) -> dict[str, Any]:
    locks = statement.locks
    return {
        "revision": statement.revision,
        "direction": statement.direction.value,
        "database": statement.database,
        "ordinal": statement.ordinal,
        "sql": statement.sql,
        "path": statement.path,
        "line": statement.line,
        "in_transaction": statement.in_transaction,
        "seconds": _seconds(statement.seconds),
        "rows": statement.rows,
        "locks": None
        if locks is None
        else [
            {"relation": k.relation, "mode": k.mode.manual_name, "blocks": k.mode.blocks}
            for k in locks
        ],
        "rewrites": list(statement.rewrites),
        "projected_seconds": None,
    }


def _check(result: CheckResult) -> dict[str, Any]:
    return {
        "check": result.check.id,
        "title": result.check.title,
        # A check that is off is `skipped` with that reason; it weighs as little as can be.
        "severity": max(result.severity, Severity.NOTICE).name.lower(),
        "status": result.status.value,
        "reason": result.reason,
        "group": result.check.group,
    }


def _finding(report: Report, finding: Finding, fingerprint: str) -> dict[str, Any]:
    return {
        "check": finding.check,
        "severity": words.severity_of(report, finding).name.lower(),
        "basis": finding.basis.value,
        "message": finding.message,
        "remedy": finding.remedy,
        "revision": finding.revision,
        "path": finding.path,
        "line": finding.line,
        "end_line": finding.end_line,
        "statement": finding.statement,
        "relation": finding.relation,
        "waiver": None if finding.waiver is None else _waiver(finding.waiver),
        "fingerprint": fingerprint,
    }


def _waiver(waiver: Waiver) -> dict[str, Any]:
    return {
        "path": waiver.path,
        "line": waiver.line,
        "checks": list(waiver.checks),
        "reason": waiver.reason,
        "until": waiver.until,
    }


def _attestation(item: Attestation) -> dict[str, Any]:
    return {
        "id": item.id,
        "title": item.title,
        "required_for": list(item.required_for),
        "ticked": item.ticked,
    }


def _seconds(value: float) -> float:
    return round(value, 6)


def _bounded(value: Any) -> Any:
    """Return the value with every text and list cut to the schema's limits."""
    if isinstance(value, str):
        text = value.encode(errors="replace").decode()  # a lone surrogate is not JSON's
        if len(text) <= MAX_TEXT:
            return text
        note = f"… ({len(text):,} characters, cut)"
        return text[: MAX_TEXT - len(note)] + note
    if isinstance(value, Mapping):
        return {key: _bounded(item) for key, item in value.items()}
    if isinstance(value, Sequence):
        return [_bounded(item) for item in value[:MAX_ITEMS]]
    return value
