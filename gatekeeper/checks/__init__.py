"""The checks: one file each, listed here by hand, run over what was read and seen."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from gatekeeper.checks import (
    add_column_not_null_no_default,
    backfill_with_ddl,
    deleted_revision,
    downgrade_empty,
    downgrade_fails,
    downgrade_incomplete,
    downgrade_missing,
    downgrade_raises,
    edited_merged_revision,
    enum_add_then_use,
    enum_drop_unguarded,
    index_not_concurrent,
    invalid_index_left,
    missing_lock_timeout,
    model_drift,
    multiple_heads,
    non_deterministic_migration,
    not_atomic,
    reupgrade_fails,
    silently_not_applied,
    table_rewrite,
    upgrade_fails,
)
from gatekeeper.model import (
    ChangeSet,
    Check,
    CheckContext,
    CheckRun,
    Finding,
    Needs,
    NotRehearsed,
    Rehearsal,
    Skipped,
)


class CheckModule(Protocol):
    """A file of this folder: its page (the docstring), its value and its function."""

    __doc__: str | None
    CHECK: Check

    def find(self, context: CheckContext) -> Iterator[Finding | Skipped]: ...


# In the order in which a reader wants them: does it run, does it come back, does it hurt.
ALL: tuple[CheckModule, ...] = (
    upgrade_fails,
    silently_not_applied,
    invalid_index_left,
    not_atomic,
    reupgrade_fails,
    non_deterministic_migration,
    downgrade_missing,
    downgrade_raises,
    downgrade_empty,
    downgrade_fails,
    downgrade_incomplete,
    enum_drop_unguarded,
    enum_add_then_use,
    add_column_not_null_no_default,
    multiple_heads,
    edited_merged_revision,
    deleted_revision,
    index_not_concurrent,
    missing_lock_timeout,
    table_rewrite,
    backfill_with_ddl,
    model_drift,
)

CHECKS: tuple[Check, ...] = tuple(module.CHECK for module in ALL)


def run_checks(
    changes: ChangeSet,
    rehearsal: Rehearsal | NotRehearsed,
    options_of: Callable[[str], Mapping[str, int | str | bool]],
) -> tuple[CheckRun, ...]:
    """Return the result of every check; `options_of` gives what the policy sets for one."""
    return tuple(_run(module, changes, rehearsal, options_of) for module in ALL)


def _run(
    module: CheckModule,
    changes: ChangeSet,
    rehearsal: Rehearsal | NotRehearsed,
    options_of: Callable[[str], Mapping[str, int | str | bool]],
) -> CheckRun:
    check = module.CHECK
    defaults = {option.name: option.default for option in check.options}
    seen = rehearsal if isinstance(rehearsal, Rehearsal) else None
    options = {**defaults, **options_of(check.id)}
    results = tuple(module.find(CheckContext(changes, seen, options)))
    findings = told_once([result for result in results if isinstance(result, Finding)])
    unseen = dict.fromkeys(each for each in results if isinstance(each, Skipped))
    skipped = tuple(each for each in unseen if not each.is_failure)
    error = "; ".join(each.reason for each in unseen if each.is_failure) or None
    if isinstance(rehearsal, NotRehearsed) and check.needs is Needs.REHEARSAL:
        # What could be read counts even so: a file that does not parse is why nothing ran.
        if rehearsal.is_failure and not findings:
            error = rehearsal.reason
        else:
            skipped = (*skipped, Skipped(rehearsal.reason))
    return CheckRun(check, findings, skipped, error)


def told_once(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Return the findings, those that one call has in several schemas as one.

    An env.py that loops over the schemas of tenants runs a revision in each of them.
    """
    alike: dict[tuple[object, ...], list[Finding]] = {}
    for number, finding in enumerate(findings):
        schema, _, name = (finding.relation or "").rpartition(".")
        text = finding.message.replace(f"{schema}.{name}", name)
        is_one = schema and finding.line is not None
        key = (finding.revision, finding.path, finding.line, text) if is_one else (number,)
        alike.setdefault(key, []).append(finding)
    return tuple(map(_as_one, alike.values()))


def _as_one(alike: Sequence[Finding]) -> Finding:
    first = alike[0]
    others = len({finding.relation for finding in alike}) - 1
    if not others:
        return first
    more = f"{others} more schema{'s' if others > 1 else ''}"
    return replace(first, message=f"{first.message}; the same in {more}")
