from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from gatekeeper.model import (
    Attestation,
    Basis,
    Change,
    ChangedRevision,
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
    Waiver,
)
from gatekeeper.policy.judge import judge
from gatekeeper.policy.model import CheckSetting, Override, Policy
from gatekeeper.policy.waivers import CHECK as UNUSABLE_WAIVER
from tests.build import a_change_set, a_rehearsal, a_rehearsed, a_revision, a_step

TODAY = date(2027, 1, 31)
STRONG = Check("strong", "title", "group", Needs.REHEARSAL)  # an error in the policy
WEAK = Check("weak", "title", "group", Needs.REHEARSAL)  # a warning
FAINT = Check("faint", "title", "group", Needs.REHEARSAL)  # a notice
SOURCE = Check("source", "title", "group", Needs.SOURCE)  # an error, needs no rehearsal
UNUSED = Check("unused", "title", "group", Needs.REHEARSAL)  # off
KNOWN = (STRONG, WEAK, FAINT, SOURCE, UNUSED, UNUSABLE_WAIVER)
SEVERITIES = {
    "strong": Severity.ERROR,
    "weak": Severity.WARNING,
    "faint": Severity.NOTICE,
    "source": Severity.ERROR,
    "unused": Severity.OFF,
    "unusable-waiver": Severity.WARNING,
}
POLICY = Policy(checks={i: CheckSetting(s, {}) for i, s in SEVERITIES.items()})

ALLOW = "# gatekeeper: allow[{}] known and accepted"
PLAIN = a_revision(source="x = 1\n")
SEEN = a_rehearsal(a_rehearsed(PLAIN))
COULD_NOT = NotRehearsed("no PostgreSQL server could be had", is_failure=True)
NOT_CALLED_FOR = NotRehearsed("no revision is new", is_failure=False)


def a_finding(check: Check, **fields: Any) -> Finding:
    values = {"revision": "b002", "path": PLAIN.path, "line": 15, **fields}
    return Finding(check.id, "message", "remedy", Basis.OBSERVED, **values)


def a_run(
    check: Check, *findings: Finding, skipped: str = "", error: str | None = None
) -> CheckRun:
    return CheckRun(check, findings, (Skipped(skipped),) if skipped else (), error)


def judged(
    *runs: CheckRun,
    policy: Policy = POLICY,
    revision: Any = PLAIN,
    changes: ChangeSet | None = None,
    rehearsal: Rehearsal | NotRehearsed = SEEN,
    known: tuple[Check, ...] = KNOWN,
    ticked: frozenset[str] = frozenset(),
) -> Report:
    """Judge the runs, with clean ones of the other checks."""
    given = {run.check.id for run in runs}
    clean = [a_run(c) for c in known if c.id not in given and c is not UNUSABLE_WAIVER]
    changes = changes or a_change_set(revision)
    return judge([*runs, *clean], policy, changes, rehearsal, known, TODAY, 1.5, ticked)


def result_of(report: Report, check: Check) -> CheckResult:
    (result,) = [r for r in report.checks if r.check == check]
    return result


def waived_by(check_id: str) -> Any:
    return a_revision(source=f"{ALLOW.format(check_id)}\n")


# --- The verdict ---------------------------------------------------------------------


def test_all_clean_is_a_pass_with_a_result_for_every_known_check() -> None:
    changes = a_change_set(PLAIN)
    assert judged(changes=changes) == Report(
        verdict=Verdict.PASS,
        changes=changes,
        rehearsal=SEEN,
        checks=(
            CheckResult(STRONG, Severity.ERROR, Status.PASSED),
            CheckResult(WEAK, Severity.WARNING, Status.PASSED),
            CheckResult(FAINT, Severity.NOTICE, Status.PASSED),
            CheckResult(SOURCE, Severity.ERROR, Status.PASSED),
            CheckResult(UNUSED, Severity.OFF, Status.SKIPPED, "off in the policy"),
            CheckResult(UNUSABLE_WAIVER, Severity.WARNING, Status.PASSED),
        ),
        findings=(),
        seconds=1.5,
    )


@pytest.mark.parametrize(
    "given",
    [
        pytest.param({}, id="nothing found"),
        pytest.param({"runs": [a_run(WEAK, a_finding(WEAK))]}, id="a warning"),
        pytest.param({"runs": [a_run(FAINT, a_finding(FAINT))]}, id="a notice"),
        pytest.param(
            {"runs": [a_run(STRONG, a_finding(STRONG, severity=Severity.NOTICE))]},
            id="an error that the check weakens",
        ),
        pytest.param({"runs": [a_run(UNUSED, a_finding(UNUSED))]}, id="a check that is off"),
        pytest.param({"runs": [a_run(UNUSED, error="broke")]}, id="off and broken"),
        pytest.param({"runs": [a_run(WEAK, error="broke")]}, id="a warning that broke"),
        pytest.param({"runs": [a_run(STRONG, skipped="no metadata")]}, id="not looked at"),
        pytest.param(
            {"runs": [a_run(STRONG, a_finding(STRONG))], "revision": waived_by("strong")},
            id="a waived error",
        ),
        pytest.param(
            {
                "changes": a_change_set(),
                "rehearsal": NOT_CALLED_FOR,
                "runs": [a_run(c, skipped=NOT_CALLED_FOR.reason) for c in (STRONG, WEAK, FAINT)],
            },
            id="nothing to rehearse",
        ),
        pytest.param({"revision": a_revision(source=ALLOW.format("xyzzy"))}, id="a bad waiver"),
    ],
)
def test_a_pass(given: dict[str, Any]) -> None:
    report = judged(*given.pop("runs", ()), **given)
    assert (report.verdict, report.undetermined) == (Verdict.PASS, None)


@pytest.mark.parametrize(
    "given",
    [
        pytest.param({"runs": [a_run(STRONG, a_finding(STRONG))]}, id="an error"),
        pytest.param(
            {"runs": [a_run(STRONG, a_finding(STRONG), error="broke")]}, id="known in part"
        ),
        pytest.param(
            {"runs": [a_run(STRONG, a_finding(STRONG), skipped="no rows")]}, id="seen in part"
        ),
        pytest.param(
            {"runs": [a_run(STRONG, a_finding(STRONG)), a_run(SOURCE, error="broke")]},
            id="an error beside a check that broke",
        ),
        pytest.param(
            {"runs": [a_run(SOURCE, a_finding(SOURCE))], "rehearsal": COULD_NOT},
            id="an error that needs no rehearsal",
        ),
        pytest.param(
            {"runs": [a_run(STRONG, a_finding(STRONG))], "revision": waived_by("weak")},
            id="a waiver of another check",
        ),
        pytest.param(
            {
                "runs": [a_run(STRONG, a_finding(STRONG), a_finding(STRONG, path="elsewhere.py"))],
                "revision": a_revision("c003", source=ALLOW.format("strong")),
            },
            id="a waiver in another file",
        ),
        pytest.param(
            {"runs": [a_run(STRONG, a_finding(STRONG)), a_run(STRONG)]}, id="two runs of a check"
        ),
        pytest.param(
            {"runs": [a_run(STRONG, a_finding(STRONG))], "known": (WEAK,)},
            id="a check that is not known",
        ),
        pytest.param(
            {
                "runs": [a_run(WEAK, a_finding(WEAK))],
                "policy": Policy(checks={}),
            },
            id="a check that the policy does not name",
        ),
        pytest.param(
            {"runs": [a_run(STRONG, a_finding(STRONG, severity=Severity.ERROR))]},
            id="a severity of its own",
        ),
        pytest.param(
            {
                "runs": [a_run(UNUSED, a_finding(UNUSED))],
                "policy": replace(
                    POLICY, overrides=(Override({"unused": Severity.ERROR}, revisions=("b002",)),)
                ),
            },
            id="off in general, an error here",
        ),
    ],
)
def test_a_fail(given: dict[str, Any]) -> None:
    report = judged(*given.pop("runs"), **given)
    assert (report.verdict, report.undetermined) == (Verdict.FAIL, None)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        pytest.param(
            {"runs": [a_run(STRONG, error="broke")]},
            "`strong` could not tell: broke",
            id="an error that broke",
        ),
        pytest.param(
            {"runs": [a_run(STRONG, error="broke"), a_run(SOURCE, error="burst")]},
            "`strong` could not tell: broke; `source` could not tell: burst",
            id="two that broke",
        ),
        pytest.param({"rehearsal": COULD_NOT}, COULD_NOT.reason, id="no rehearsal"),
        pytest.param(
            {"rehearsal": COULD_NOT, "runs": [a_run(STRONG, skipped="no rehearsal")]},
            COULD_NOT.reason,
            id="no rehearsal, and the check calls it skipped",
        ),
        pytest.param(
            {"rehearsal": a_rehearsal()}, "`b002` was not rehearsed", id="a revision forgotten"
        ),
        pytest.param(
            {
                "rehearsal": a_rehearsal(
                    a_rehearsed(
                        PLAIN,
                        upgrade=a_step(outcome=Outcome.SKIPPED, reason="the time was up"),
                    )
                )
            },
            "`b002` was not upgraded: the time was up",
            id="a revision left out",
        ),
        pytest.param(
            {
                "runs": [a_run(STRONG, a_finding(STRONG), error="broke")],
                "revision": waived_by("strong"),
            },
            "`strong` could not tell: broke",
            id="waived as far as it is known",
        ),
        pytest.param(
            {
                "runs": [a_run(STRONG, a_finding(STRONG), error="broke")],
                "policy": replace(
                    POLICY, overrides=(Override({"strong": Severity.WARNING}, paths=("*",)),)
                ),
            },
            "`strong` could not tell: broke",
            id="weakened as far as it is known",
        ),
        pytest.param(
            {
                "runs": [a_run(UNUSED, error="broke")],
                "policy": replace(
                    POLICY, overrides=(Override({"unused": Severity.ERROR}, paths=("new/*",)),)
                ),
            },
            "`unused` could not tell: broke",
            id="off in general, an error somewhere",
        ),
    ],
)
def test_undetermined(given: dict[str, Any], reason: str) -> None:
    report = judged(*given.pop("runs", ()), **given)
    assert (report.verdict, report.undetermined) == (Verdict.UNDETERMINED, reason)


def test_a_check_without_a_result_is_not_a_pass() -> None:
    report = judge([], POLICY, a_change_set(PLAIN), SEEN, (STRONG, WEAK), TODAY, 0.0)
    assert report.verdict is Verdict.UNDETERMINED
    assert report.undetermined == "`strong` could not tell: the check gave no result"
    assert report.checks[:2] == (
        CheckResult(STRONG, Severity.ERROR, Status.ERRORED, "the check gave no result"),
        CheckResult(WEAK, Severity.WARNING, Status.ERRORED, "the check gave no result"),
    )


def test_no_rehearsal_matters_only_where_an_error_needs_it() -> None:
    report = judged(rehearsal=COULD_NOT, known=(WEAK, SOURCE))
    assert report.verdict is Verdict.PASS
    assert result_of(report, WEAK) == CheckResult(
        WEAK, Severity.WARNING, Status.ERRORED, COULD_NOT.reason
    )


# --- The status of a check -----------------------------------------------------------


@pytest.mark.parametrize(
    ("run", "revision", "expected"),
    [
        pytest.param(a_run(STRONG), PLAIN, (Severity.ERROR, Status.PASSED, None), id="clean"),
        pytest.param(
            a_run(FAINT, a_finding(FAINT)),
            PLAIN,
            (Severity.NOTICE, Status.PASSED, None),
            id="only notices",
        ),
        pytest.param(
            a_run(STRONG, a_finding(STRONG, severity=Severity.NOTICE)),
            PLAIN,
            (Severity.ERROR, Status.PASSED, None),
            id="weakened to a notice",
        ),
        pytest.param(
            a_run(STRONG, a_finding(STRONG)),
            waived_by("strong"),
            (Severity.ERROR, Status.WAIVED, None),
            id="waived",
        ),
        pytest.param(
            a_run(STRONG, skipped="no rows"),
            PLAIN,
            (Severity.ERROR, Status.SKIPPED, "no rows"),
            id="skipped",
        ),
        pytest.param(
            CheckRun(STRONG, (), (Skipped("no rows"), Skipped("no time"), Skipped("no rows"))),
            PLAIN,
            (Severity.ERROR, Status.SKIPPED, "no rows; no time"),
            id="skipped for two reasons",
        ),
        pytest.param(
            CheckRun(STRONG, (), tuple(Skipped(f"r{n}") for n in range(6))),
            PLAIN,
            (Severity.ERROR, Status.SKIPPED, "r0; r1; r2; and 3 more"),
            id="skipped for many reasons",
        ),
        pytest.param(
            CheckRun(
                STRONG,
                (),
                (
                    Skipped("b001 failed"),
                    Skipped("b002 was not run: b001 failed before", "b001 failed before"),
                    Skipped("b003 was not run: b001 failed before", "b001 failed before"),
                    Skipped("b004 was not run: b001 failed before", "b001 failed before"),
                ),
            ),
            PLAIN,
            (
                Severity.ERROR,
                Status.SKIPPED,
                "b001 failed; b002 was not run: b001 failed before (and 2 more for that reason)",
            ),
            id="skipped for one cause",
        ),
        pytest.param(
            a_run(STRONG, a_finding(STRONG), skipped="no rows"),
            waived_by("strong"),
            (Severity.ERROR, Status.SKIPPED, "no rows"),
            id="waived, and not all seen",
        ),
        pytest.param(
            a_run(FAINT, a_finding(FAINT), skipped="no rows"),
            PLAIN,
            (Severity.NOTICE, Status.SKIPPED, "no rows"),
            id="a notice, and not all seen",
        ),
        pytest.param(
            a_run(WEAK, a_finding(WEAK)),
            PLAIN,
            (Severity.WARNING, Status.FAILED, None),
            id="a warning",
        ),
        pytest.param(
            a_run(STRONG, a_finding(STRONG, severity=Severity.WARNING)),
            PLAIN,
            (Severity.WARNING, Status.FAILED, None),
            id="weakened to a warning",
        ),
        pytest.param(
            a_run(STRONG, a_finding(STRONG), skipped="no rows", error="broke"),
            PLAIN,
            (Severity.ERROR, Status.FAILED, "broke; no rows"),
            id="an error, and more unknown",
        ),
        pytest.param(
            a_run(STRONG, error="broke"),
            PLAIN,
            (Severity.ERROR, Status.ERRORED, "broke"),
            id="broken",
        ),
        pytest.param(
            a_run(STRONG, a_finding(STRONG), error="broke"),
            waived_by("strong"),
            (Severity.ERROR, Status.ERRORED, "broke"),
            id="waived and broken",
        ),
        pytest.param(
            a_run(UNUSED, a_finding(UNUSED), error="broke"),
            PLAIN,
            (Severity.OFF, Status.SKIPPED, "off in the policy"),
            id="off",
        ),
    ],
)
def test_the_status_of_a_check(
    run: CheckRun, revision: Any, expected: tuple[Severity, Status, str | None]
) -> None:
    result = result_of(judged(run, revision=revision), run.check)
    assert result == CheckResult(run.check, *expected)


def test_without_a_call_for_a_rehearsal_nothing_that_needs_one_is_green() -> None:
    report = judged(rehearsal=NOT_CALLED_FOR)
    assert result_of(report, STRONG) == CheckResult(
        STRONG, Severity.ERROR, Status.SKIPPED, NOT_CALLED_FOR.reason
    )
    assert result_of(report, SOURCE) == CheckResult(SOURCE, Severity.ERROR, Status.PASSED)


# --- Findings ------------------------------------------------------------------------


def test_findings_carry_the_policys_severity_and_their_waiver() -> None:
    revision = a_revision(source=f"{ALLOW.format('strong')}\n")
    elsewhere = a_finding(STRONG, revision="c003", path="c003.py")
    report = judged(
        a_run(STRONG, a_finding(STRONG), elsewhere),
        a_run(WEAK, a_finding(WEAK, severity=Severity.ERROR)),
        a_run(FAINT, a_finding(FAINT)),
        a_run(UNUSED, a_finding(UNUSED)),
        revision=revision,
    )
    waiver = Waiver(PLAIN.path, 1, ("strong",), "known and accepted", None)
    assert report.findings == (
        a_finding(STRONG, severity=Severity.ERROR, waiver=waiver),
        replace(elsewhere, severity=Severity.ERROR),
        a_finding(WEAK, severity=Severity.WARNING),
        a_finding(FAINT, severity=Severity.NOTICE),
    )


def test_an_override_weighs_the_findings_of_its_revisions_only() -> None:
    policy = replace(
        POLICY,
        overrides=(
            Override({"strong": Severity.OFF}, revisions=("c003",)),
            Override({"weak": Severity.ERROR}, paths=("*/b002.py",)),
        ),
    )
    report = judged(
        a_run(STRONG, a_finding(STRONG), a_finding(STRONG, revision="c003")),
        a_run(WEAK, a_finding(WEAK), a_finding(WEAK, path="x/c003.py")),
        policy=policy,
    )
    assert report.findings == (
        a_finding(STRONG, severity=Severity.ERROR),
        a_finding(WEAK, severity=Severity.ERROR),
        a_finding(WEAK, path="x/c003.py", severity=Severity.WARNING),
    )
    assert result_of(report, WEAK).severity is Severity.ERROR


def test_a_check_whose_findings_are_all_off_here_has_passed() -> None:
    policy = replace(POLICY, overrides=(Override({"strong": Severity.OFF}, paths=("*",)),))
    report = judged(a_run(STRONG, a_finding(STRONG)), policy=policy)
    assert report.findings == ()
    assert result_of(report, STRONG) == CheckResult(STRONG, Severity.ERROR, Status.PASSED)


# --- Waivers -------------------------------------------------------------------------


def unusable(report: Report) -> list[str]:
    return [f.message for f in report.findings_of("unusable-waiver")]


def test_an_unusable_waiver_is_a_finding_by_the_policy() -> None:
    report = judged(revision=waived_by("strong"))
    assert result_of(report, UNUSABLE_WAIVER) == CheckResult(
        UNUSABLE_WAIVER, Severity.WARNING, Status.FAILED
    )
    (finding,) = report.findings
    assert finding == Finding(
        check="unusable-waiver",
        message="The waiver on line 1 of `b002` matches no finding of `strong`.",
        remedy="Remove it, or move it to the statement it is meant for.",
        basis=Basis.READ,
        revision="b002",
        path=PLAIN.path,
        line=1,
        end_line=1,
        severity=Severity.WARNING,
    )


def test_a_bad_waiver_is_not_waived_by_another() -> None:
    source = f"{ALLOW.format('unusable-waiver')}\n{ALLOW.format('xyzzy')}\n"
    assert len(unusable(judged(revision=a_revision(source=source)))) == 2


@pytest.mark.parametrize(
    ("run", "check_id"),
    [
        pytest.param(a_run(STRONG, skipped="no rows"), "strong", id="skipped"),
        pytest.param(a_run(STRONG, error="broke"), "strong", id="broken"),
        pytest.param(a_run(UNUSED), "unused", id="off"),
    ],
)
def test_a_waiver_of_what_was_not_seen_is_left_alone(run: CheckRun, check_id: str) -> None:
    assert unusable(judged(run, revision=waived_by(check_id))) == []


def test_a_waiver_of_a_finding_that_is_off_here_matches_it() -> None:
    policy = replace(POLICY, overrides=(Override({"strong": Severity.OFF}, paths=("*",)),))
    report = judged(a_run(STRONG, a_finding(STRONG)), policy=policy, revision=waived_by("strong"))
    assert report.findings == ()


@pytest.mark.parametrize("change", [Change.UNCHANGED, Change.RENAMED])
def test_old_waivers_apply_but_are_not_held_against_the_findings(change: Change) -> None:
    changed = ChangedRevision(waived_by("strong"), change)
    report = judged(changes=a_change_set(changed))
    assert report.findings == ()
    report = judged(a_run(STRONG, a_finding(STRONG)), changes=a_change_set(changed))
    assert [f.waiver is not None for f in report.findings] == [True]


def test_a_deleted_file_waives_nothing() -> None:
    deleted = ChangedRevision(waived_by("strong"), Change.DELETED)
    report = judged(a_run(STRONG, a_finding(STRONG)), changes=a_change_set(deleted))
    assert report.verdict is Verdict.FAIL


# --- Attestations --------------------------------------------------------------------


def test_attestations_are_ticked_by_their_id() -> None:
    policy = replace(
        POLICY,
        attestations=(Attestation("a", "A", ("staging",)), Attestation("b", "B", ())),
    )
    report = judged(policy=policy, ticked=frozenset({"b", "not asked for"}))
    assert report.attestations == (
        Attestation("a", "A", ("staging",), ticked=False),
        Attestation("b", "B", (), ticked=True),
    )
