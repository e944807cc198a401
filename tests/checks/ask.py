"""Ways to put a question to one check and to write down the answer that is expected."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from gatekeeper.checks import CheckModule
from gatekeeper.model import (
    Basis,
    ChangeSet,
    CheckContext,
    Direction,
    Finding,
    Rehearsal,
    Revision,
    Skipped,
    Statement,
    Step,
)
from tests.build import a_change_set, a_rehearsal, a_rehearsed, a_revision, a_step

BEFORE = frozenset({"public.orders", "public.customers", "public.ix_orders_note"})


def ask(
    module: CheckModule, changes: ChangeSet, rehearsal: Rehearsal | None = None, **options: Any
) -> tuple[list[Finding], list[str]]:
    """Return a check's findings, without remedies, and the reasons for what it skipped."""
    defaults = {option.name: option.default for option in module.CHECK.options}
    results = list(module.find(CheckContext(changes, rehearsal, {**defaults, **options})))
    findings = [replace(each, remedy="") for each in results if isinstance(each, Finding)]
    return findings, [each.reason for each in results if isinstance(each, Skipped)]


def remedies(module: CheckModule, changes: ChangeSet, rehearsal: Rehearsal | None) -> list[str]:
    """Return the remedies alone."""
    defaults = {option.name: option.default for option in module.CHECK.options}
    results = module.find(CheckContext(changes, rehearsal, defaults))
    return [each.remedy for each in results if isinstance(each, Finding)]


def numbered(*statements: Statement) -> tuple[Statement, ...]:
    """Return the statements with their ordinals; each is on a line of its own from 15 on."""
    return tuple(
        replace(each, ordinal=n, line=14 + n, end_line=14 + n)
        for n, each in enumerate(statements, start=1)
    )


def sent(*statements: Statement, revision: Revision | None = None, **fields: Any) -> Rehearsal:
    """Return a rehearsal in which `b002` sent these statements, in its upgrade."""
    revision = revision or a_revision()
    step = a_step(revision.revision, *numbered(*statements), **fields.pop("step", {}))
    stairway = fields.pop("stairway", {})
    values = {"relations_before": BEFORE, **fields}
    return a_rehearsal(a_rehearsed(revision, upgrade=step, **stairway), **values)


def a_downgrade(*statements: Statement, **fields: Any) -> Step:
    """Return a completed downgrade step of `b002`."""
    return a_step("b002", *numbered(*statements), direction=Direction.DOWNGRADE, **fields)


def adding(**fields: Any) -> ChangeSet:
    """Return a change set that adds `b002`."""
    return a_change_set(a_revision(**fields))


def a_finding(check: str, message: str, line: int | None = 14, **fields: Any) -> Finding:
    """Return a finding on `b002`; with a `statement` it is on that statement's line."""
    if fields.get("statement") is not None:
        line = 14 + fields["statement"]
    values: dict[str, Any] = {
        "remedy": "",
        "basis": Basis.OBSERVED,
        "revision": "b002",
        "path": "migrations/versions/b002.py",
        "line": line,
        "end_line": line,
    }
    return Finding(check=check, message=message, **{**values, **fields})
