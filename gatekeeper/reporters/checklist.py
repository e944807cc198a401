"""The rows of the checklist, in the order in which people should read them."""

from __future__ import annotations

import datetime as dt
import enum
from dataclasses import dataclass, replace

from gatekeeper.model import CheckResult, Finding, Needs, Report, Severity, Status
from gatekeeper.reporters import words


class Mark(enum.Enum):
    """A row's status: the word, which is always written, an emoji and a plain sign."""

    FAILED = ("failed", "❌", "✗")
    UNKNOWN = ("could not tell", "❓", "?")
    WARNING = ("warning", "⚠️", "!")
    NOTICE = ("notice", "ℹ️", "i")
    YOURS = ("yours", "🙋", "□")
    TICKED = ("ticked", "🙋", "■")
    WAIVED = ("waived", "☑️", "~")
    PASSED = ("passed", "✅", "✓")
    NOT_RUN = ("not run", "➖", "-")

    @property
    def word(self) -> str:
        return self.value[0]

    @property
    def emoji(self) -> str:
        return self.value[1]

    @property
    def sign(self) -> str:
        return self.value[2]


@dataclass(frozen=True)
class Row:
    """One row. `detail` may hold code in backticks; `finding` tells where it points."""

    mark: Mark
    title: str
    detail: str
    finding: Finding | None = None


_MARK_OF = {
    Severity.ERROR: Mark.FAILED,
    Severity.WARNING: Mark.WARNING,
    Severity.NOTICE: Mark.NOTICE,
    Severity.OFF: Mark.NOTICE,
}


def read_checklist(report: Report, today: dt.date) -> tuple[Row, ...]:
    """Return all rows: failed, could not tell, warnings, yours, waived, passed, not run."""
    rows = [
        *_finding_rows(report, today),
        *_attestation_rows(report),
        *(row for result in report.checks for row in _result_rows(report, result)),
        *_rows_by_reason(report, Status.ERRORED, Mark.UNKNOWN),
        *_rows_by_reason(report, Status.SKIPPED, Mark.NOT_RUN),
    ]
    order = list(Mark)
    rows.sort(key=lambda row: order.index(row.mark))
    return tuple(
        replace(row, title=words.one_line(row.title), detail=words.one_line(row.detail))
        for row in rows
    )


def _finding_rows(report: Report, today: dt.date) -> list[Row]:
    rows = []
    for finding in words.sorted_findings(report):
        title = words.title_of(report, finding)
        detail = finding.message
        mark = _MARK_OF[words.severity_of(report, finding)]
        if finding.waiver is not None:
            mark = Mark.WAIVED
            detail = f"{detail.strip().rstrip('.')}. {words.waived(finding.waiver, today)}"
        rows.append(Row(mark, title, detail, finding))
    return rows


def _attestation_rows(report: Report) -> list[Row]:
    rows = []
    for item in report.attestations:
        needed = f"needed for {', '.join(item.required_for)}" if item.required_for else "optional"
        if item.ticked:
            rows.append(Row(Mark.TICKED, item.title, needed))
        else:
            rows.append(Row(Mark.YOURS, item.title, f"to tick when done ({needed})"))
    return rows


def _result_rows(report: Report, result: CheckResult) -> list[Row]:
    """Return the rows that stand for a check itself; its findings have their own."""
    title, reason = result.check.title, result.reason
    if result.status is Status.PASSED:
        seen = "read" if result.check.needs is Needs.SOURCE else "observed"
        return [Row(Mark.PASSED, title, reason or seen)]
    if result.status is Status.FAILED and not report.findings_of(result.check.id):
        return [Row(_MARK_OF[result.severity], title, reason or "no finding tells more")]
    if result.status in (Status.FAILED, Status.WAIVED) and reason:
        return [Row(Mark.NOT_RUN, title, f"in part: {reason}")]
    return []


def _rows_by_reason(report: Report, status: Status, mark: Mark) -> list[Row]:
    """Return one row for each reason, with the titles of all checks that share it."""
    titles: dict[str, list[str]] = {}
    for result in report.checks:
        if result.status is status:
            reason = result.reason or "the reason is not known"
            titles.setdefault(reason, []).append(result.check.title)
    return [Row(mark, " · ".join(shared), reason) for reason, shared in titles.items()]
