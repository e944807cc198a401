"""The plan and the evidence of a release as JSON, for the deploy that carries it out."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from gatekeeper import __version__
from gatekeeper.model import Outcome, Rehearsal, Statement, Step
from gatekeeper.release.page import render_page
from gatekeeper.release.plan import Plan, PlannedRevision

FILE_NAMES = ("plan.md", "plan.json", "evidence.json")


def render_files(plan: Plan) -> dict[str, str]:
    """Return the plan as a page and as data, and the evidence, by the names of their files."""
    text = render_plan(plan)
    texts = (render_page(plan), text, render_evidence(plan, text))
    return dict(zip(FILE_NAMES, texts, strict=True))


def render_plan(plan: Plan) -> str:
    """Return plan.json (schema 1); the same plan gives the same text."""
    changes = plan.report.changes
    return _text(
        {
            "schema": 1,
            "tag": plan.tag,
            "commit": plan.commit,
            "previous": plan.previous,
            "verdict": plan.report.verdict.value,
            "project": {
                "path": changes.project.path,
                "config": changes.project.config,
                "section": changes.project.section,
                "script_location": changes.project.script_location,
                "version_locations": list(changes.project.version_locations),
                "recursive_version_locations": changes.project.recursive_version_locations,
                "flask_migrate": changes.project.flask_migrate,
                "sections": list(changes.sections),
            },
            "from_revisions": list(changes.base_heads),
            "to_revisions": list(changes.head_heads),
            "revisions": [_revision(planned) for planned in plan.revisions],
            "maintenance_window": {"needed": bool(plan.window), "reasons": list(plan.window)},
            "rollback": {"proven": not plan.obstacles, "obstacles": list(plan.obstacles)},
        }
    )


def render_evidence(plan: Plan, plan_text: str) -> str:
    """Return evidence.json (schema 1): what was rehearsed, with what, and what came of it.

    `plan_sha256` ties it to the very text of plan.json, `content_hash` to the files of the
    script directory. `catalog` is what the target is to look like before and after.
    """
    report = plan.report
    server = report.rehearsal.server
    seen = report.rehearsal if isinstance(report.rehearsal, Rehearsal) else None
    return _text(
        {
            "schema": 1,
            "tag": plan.tag,
            "commit": plan.commit,
            "content_hash": report.changes.content_hash,
            "head_revisions": list(report.changes.head_heads),
            "verdict": report.verdict.value,
            "is_rehearsed": seen is not None,
            "plan_sha256": hashlib.sha256(plan_text.encode()).hexdigest(),
            "tool": {"name": "gatekeeper", "version": __version__},
            "server": None
            if server is None
            else {"source": server.source.value, "version": server.version},
            "catalog": {
                "before": None if seen is None else seen.catalog_before,
                "after": None if seen is None else seen.catalog_after,
            },
            "attestations": [
                {
                    "id": each.id,
                    "title": each.title,
                    "required_for": list(each.required_for),
                    "ticked": each.ticked,
                }
                for each in report.attestations
            ],
        }
    )


def _revision(planned: PlannedRevision) -> dict[str, Any]:
    revision = planned.revision
    return {
        "revision": revision.revision,
        "down_revision": list(revision.down_revisions),
        "message": revision.message,
        "path": revision.path,
        "upgrade": _step(planned.upgrade),
        "downgrade": _step(planned.downgrade),
        "drops": list(planned.drops),
        "transactional": planned.is_transactional,
        "rewrites": list(planned.rewrites),
        "rollback": {"obstacle": planned.way_back.obstacle, "loses": list(planned.way_back.loses)},
    }


def _step(step: Step) -> dict[str, Any]:
    return {
        "outcome": step.outcome.value,
        "seconds": round(step.seconds, 6),
        "statements": [_statement(statement) for statement in step.statements]
        if step.outcome is not Outcome.SKIPPED
        else [],
    }


def _statement(statement: Statement) -> dict[str, Any]:
    return {
        "sql": statement.sql,
        "parameters": statement.parameters,
        "path": statement.path,
        "line": statement.line,
        "database": statement.database,
        "in_transaction": statement.in_transaction,
        "seconds": round(statement.seconds, 6),
        "rows": statement.rows,
        "locks": None
        if statement.locks is None
        else [{"relation": k.relation, "mode": k.mode.manual_name} for k in statement.locks],
        "rewrites": list(statement.rewrites),
    }


def _text(data: dict[str, Any]) -> str:
    return json.dumps(data, indent=2, ensure_ascii=False) + "\n"
