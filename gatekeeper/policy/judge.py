"""Check runs, policy and waivers → Report. Pure: the day is a parameter.

A check's status: `failed` with an unwaived error or warning, else `errored` where it could
not tell, else `skipped` where it could not look at something, else `waived` with a waived
finding, else `passed`. Notices are listed and leave the status alone. What is unknown
stands in the reason, also of a check that failed.

The verdict fails closed. One unwaived error fails it. Else it is undetermined where
something that the policy makes an error is unknown: a check that broke or gave no result,
a rehearsal that could not be held, a new revision that it did not run.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import date

from gatekeeper.model import (
    Change,
    ChangeSet,
    Check,
    CheckResult,
    CheckRun,
    Finding,
    Needs,
    NotRehearsed,
    Outcome,
    Rehearsal,
    Report,
    Severity,
    Skipped,
    Status,
    Verdict,
)
from gatekeeper.policy.model import Policy
from gatekeeper.policy.severity import setting_of, strongest_severity
from gatekeeper.policy.waivers import CHECK as UNUSABLE_WAIVER
from gatekeeper.policy.waivers import apply_waivers, find_unusable, read_waivers
from gatekeeper.policy.weakening import CHECK as POLICY_WEAKENED


def judge(
    runs: Sequence[CheckRun],
    policy: Policy,
    changes: ChangeSet,
    rehearsal: Rehearsal | NotRehearsed,
    known: Sequence[Check],
    today: date,
    seconds: float,
    ticked: frozenset[str] = frozenset(),
) -> Report:
    """Return the report; every known check has one result in it.

    `ticked` are the ids of the attestations that a person has ticked.
    """
    checks = {check.id: check for check in (*known, *(run.check for run in runs))}
    checks.pop(UNUSABLE_WAIVER.id, None)
    complete = [_run_of(check, runs, rehearsal) for check in checks.values()]
    judged = _with_waivers(complete, policy, changes, today)
    weighed = [replace(run, findings=tuple(_weigh(run, policy, changes))) for run in judged]
    findings = tuple(finding for run in weighed for finding in run.findings)
    unknown = tuple(_unknown(weighed, policy, changes, rehearsal))
    if any(f.severity is Severity.ERROR and f.waiver is None for f in findings):
        verdict = Verdict.FAIL
    else:
        verdict = Verdict.UNDETERMINED if unknown else Verdict.PASS
    return Report(
        verdict=verdict,
        changes=changes,
        rehearsal=rehearsal,
        checks=tuple(_result(run, policy) for run in weighed),
        findings=findings,
        attestations=tuple(replace(a, ticked=a.id in ticked) for a in policy.attestations),
        undetermined=_join(unknown) if verdict is Verdict.UNDETERMINED else None,
        seconds=seconds,
    )


def _run_of(
    check: Check, runs: Iterable[CheckRun], rehearsal: Rehearsal | NotRehearsed
) -> CheckRun:
    """Return all that is known of a check; without a result or a rehearsal, that it is not."""
    own = [run for run in runs if run.check.id == check.id]
    errors = [run.error for run in own if run.error is not None]
    skipped = [skip for run in own for skip in run.skipped]
    if not own:
        errors.append("the check gave no result")
    if check.needs is Needs.REHEARSAL and isinstance(rehearsal, NotRehearsed):
        if rehearsal.is_failure and not errors:
            errors.append(rehearsal.reason)
        if not rehearsal.is_failure and not skipped:
            skipped.append(Skipped(rehearsal.reason))
    return CheckRun(
        check=check,
        findings=tuple(finding for run in own for finding in run.findings),
        skipped=tuple(skipped),
        error="; ".join(errors) or None,
    )


def _with_waivers(
    runs: Sequence[CheckRun], policy: Policy, changes: ChangeSet, today: date
) -> list[CheckRun]:
    """Return the runs with waived findings, and a run of the check of the waivers themselves.

    Waivers reach findings in any revision file of the head; only those in new code are
    held against the findings, since the checks look at new code. What is found of the policy
    itself they do not reach: it is not the revision's.
    """
    of_policy = [run for run in runs if run.check.id == POLICY_WEAKENED.id]
    runs = [run for run in runs if run.check.id != POLICY_WEAKENED.id]
    there = {revision.path: revision for revision in changes.head_history}
    there |= {
        c.revision.path: c.revision for c in changes.revisions if c.change is not Change.DELETED
    }
    comments = [comment for r in there.values() for comment in read_waivers(r)]
    waived = [
        replace(run, findings=apply_waivers(run.findings, comments, there.values(), today))
        for run in runs
    ]
    conclusive = {
        run.check.id
        for run in runs
        if not run.skipped
        and run.error is None
        and strongest_severity(policy, run.check.id) is not Severity.OFF
    }
    new = {revision.path for revision in changes.to_rehearse}
    unusable = find_unusable(
        [comment for comment in comments if comment.waiver.path in new],
        [finding for run in waived for finding in run.findings],
        [run.check.id for run in runs],
        conclusive,
        today,
    )
    return [*waived, *of_policy, CheckRun(UNUSABLE_WAIVER, tuple(unusable), ())]


def _weigh(run: CheckRun, policy: Policy, changes: ChangeSet) -> Iterator[Finding]:
    """Yield the findings that the policy does not switch off, with their severity."""
    for finding in run.findings:
        setting = setting_of(
            policy,
            run.check.id,
            revision=finding.revision,
            path=finding.path,
            changes=changes,
        )
        severity = setting.severity
        if finding.severity is not None:
            severity = min(severity, finding.severity)  # a check only ever weakens
        if severity is not Severity.OFF:
            yield replace(finding, severity=severity)


def _result(run: CheckRun, policy: Policy) -> CheckResult:
    strongest = strongest_severity(policy, run.check.id)
    if strongest is Severity.OFF:
        return CheckResult(run.check, Severity.OFF, Status.SKIPPED, "off in the policy")
    general = policy.checks.get(run.check.id)
    severity = strongest if general is None else general.severity or strongest
    unknown = [] if run.error is None else [run.error]
    unknown.extend(_tell_once(run.skipped))
    reason = _join(unknown) or None
    failures = [
        f.severity
        for f in run.findings
        if f.waiver is None and f.severity is not None and f.severity >= Severity.WARNING
    ]
    if failures:
        return CheckResult(run.check, max(failures), Status.FAILED, reason)
    if run.error is not None:
        return CheckResult(run.check, strongest, Status.ERRORED, reason)
    if run.skipped:
        return CheckResult(run.check, severity, Status.SKIPPED, reason)
    waived = any(finding.waiver is not None for finding in run.findings)
    return CheckResult(run.check, severity, Status.WAIVED if waived else Status.PASSED)


_TOLD = 3  # reasons; whoever is in a hurry reads no more


def _join(reasons: Sequence[str]) -> str:
    """Return the reasons as one text; beyond a few only how many there are."""
    told = "; ".join(reasons[:_TOLD])
    return told if len(reasons) <= _TOLD else f"{told}; and {len(reasons) - _TOLD} more"


def _tell_once(skipped: Iterable[Skipped]) -> Iterator[str]:
    """Yield the reasons; of those that have one cause the first, with the number of others."""
    reasons: dict[str, list[str]] = {}
    for skip in dict.fromkeys(skipped):
        reasons.setdefault(skip.cause or skip.reason, []).append(skip.reason)
    for first, *others in reasons.values():
        yield f"{first} (and {len(others)} more for that reason)" if others else first


def _unknown(
    runs: Sequence[CheckRun],
    policy: Policy,
    changes: ChangeSet,
    rehearsal: Rehearsal | NotRehearsed,
) -> Iterator[str]:
    """Yield what is unknown and would have to be known for the verdict to be a pass."""
    errors = [run for run in runs if strongest_severity(policy, run.check.id) is Severity.ERROR]
    needs_rehearsal = any(run.check.needs is Needs.REHEARSAL for run in errors)
    if isinstance(rehearsal, NotRehearsed):
        if rehearsal.is_failure and needs_rehearsal:
            yield rehearsal.reason
            return
    elif needs_rehearsal:
        for revision in changes.to_rehearse:
            seen = rehearsal.of(revision.revision, revision.path)
            if seen is None:
                yield f"`{revision.revision}` was not rehearsed"
            elif seen.upgrade.outcome is Outcome.SKIPPED:
                yield f"`{revision.revision}` was not upgraded: {seen.upgrade.reason}"
    for run in errors:
        if run.error is not None:
            yield f"`{run.check.id}` could not tell: {run.error}"
