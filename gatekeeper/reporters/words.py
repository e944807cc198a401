"""The words that all formats share, so that they say the same.

Text is passed between reporters with code in `backticks`, as checks write their messages.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import re
from collections import Counter
from collections.abc import Iterable

from gatekeeper.model import (
    Change,
    ChangeSet,
    CheckResult,
    Finding,
    NotRehearsed,
    Outcome,
    Report,
    ServerInfo,
    Severity,
    Status,
    Verdict,
    Waiver,
)

# What makes a migration impossible comes first, then what loses data, then the way back.
WORST_FIRST = (
    "upgrade-fails",
    "silently-not-applied",
    "multiple-heads",
    "enum-drop-unguarded",
    "edited-merged-revision",
    "deleted-revision",
    "downgrade-fails",
    "downgrade-missing",
    "downgrade-empty",
    "downgrade-incomplete",
    "reupgrade-fails",
    "invalid-index-left",
)

_CODE = re.compile(r"`([^`]+)`")
_SENTENCE_END = re.compile(r"[.;](?= +[A-Z`])")
# C0 and C1 controls, lone surrogates, and Unicode's controls that reorder text.
_INVISIBLE = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]"
)


# --- Text ----------------------------------------------------------------------------

TO_SAVE = (
    "With this in `.gatekeeper.yml` the project starts at the first attempt; `gatekeeper check "
    "--save` puts it there:"
)


def visible(text: str) -> str:
    """Return the text with what a reader would not see written out, such as `\\u202e`."""
    text = text.replace("\r\n", "\n").expandtabs(4)
    return _INVISIBLE.sub(lambda m: f"\\u{ord(m[0]):04x}", text)


def one_line(text: str) -> str:
    """Return the text on one line, with single spaces."""
    return " ".join(visible(text).split())


def clipped(text: str, limit: int) -> str:
    """Return the text, cut to the limit with an ellipsis where it is longer."""
    if len(text) <= limit:
        return text
    cut = text[: limit - 1].rstrip()
    return f"{cut}…`" if cut.count("`") % 2 else f"{cut}…"


def spans(text: str) -> list[tuple[str, bool]]:
    """Split text into parts, each with whether it stood in backticks."""
    parts = _CODE.split(text)
    return [(part, i % 2 == 1) for i, part in enumerate(parts) if part]


def first_sentence(text: str) -> str:
    """Return the first sentence, with its full stop; code in backticks is never cut."""
    line = one_line(text)
    masked = _CODE.sub(lambda m: "`" + "x" * len(m[1]) + "`", line)
    end = _SENTENCE_END.search(masked)
    sentence = line if end is None else line[: end.start()]
    sentence = sentence.rstrip(".;:")
    return sentence if sentence.endswith(("?", "!")) else f"{sentence}."


def code(text: str) -> str:
    """Return a name in backticks, for use inside a sentence."""
    return "`" + clipped(one_line(text).replace("`", "'"), 100) + "`"


def listed(names: Iterable[str], limit: int = 8) -> str:
    """Return names as "`a`, `b` and 3 more"."""
    names = list(names)
    shown = ", ".join(code(n) for n in names[:limit])
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit} more"


def count(number: int, noun: str, plural: str | None = None) -> str:
    """Return "1 thing", "2 things" or "1,200 things"."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def seconds(value: float) -> str:
    """Return a duration as a person would say it."""
    if value < 0.001:
        return "under 1 ms"
    if value < 0.0995:
        return f"{value * 1000:.0f} ms"
    if value < 59.95:
        return f"{value:.1f} s"
    minutes = round(value / 60)
    if minutes < 60:
        left = round(value) % 60
        return f"{int(value // 60)} min {left} s" if value < 600 and left else f"{minutes} min"
    return f"{value / 3600:.1f} h"


# --- Findings ------------------------------------------------------------------------


def result_of(report: Report, finding: Finding) -> CheckResult | None:
    """Return the checklist's line of the finding's check."""
    return next((r for r in report.checks if r.check.id == finding.check), None)


def title_of(report: Report, finding: Finding) -> str:
    """Return the title of the finding's check, its id where it is unknown."""
    result = result_of(report, finding)
    return finding.check if result is None else result.check.title


def severity_of(report: Report, finding: Finding) -> Severity:
    """Return how much a finding weighs; one of an unknown check is an error."""
    if finding.severity is not None:
        return finding.severity
    result = result_of(report, finding)
    return Severity.ERROR if result is None else result.severity


def sorted_findings(report: Report) -> list[Finding]:
    """Return the findings, the worst first and waived ones last."""
    rank = {check: i for i, check in enumerate(WORST_FIRST)}

    def key(finding: Finding) -> tuple[bool, int, int, str, int]:
        return (
            finding.waiver is not None,
            -severity_of(report, finding),
            rank.get(finding.check, len(rank)),
            finding.path or "",
            finding.line or 0,
        )

    return sorted(report.findings, key=key)


def open_findings(report: Report, at_least: Severity) -> list[Finding]:
    """Return the findings that are not waived and weigh enough, the worst first."""
    return [
        f
        for f in sorted_findings(report)
        if f.waiver is None and severity_of(report, f) >= at_least
    ]


def location(finding: Finding) -> str | None:
    """Return `path:line`, which editors and terminals follow; None without a path."""
    if finding.path is None:
        return None
    path = one_line(finding.path)
    return path if finding.line is None else f"{path}:{finding.line}"


def lines(finding: Finding) -> str | None:
    """Return "line 14" or "lines 14 to 18"; None without a line."""
    if finding.line is None:
        return None
    if finding.end_line is None or finding.end_line <= finding.line:
        return f"line {finding.line}"
    return f"lines {finding.line} to {finding.end_line}"


def waived(waiver: Waiver, today: dt.date) -> str:
    """Return why and until when a finding is accepted."""
    text = f"Accepted: {one_line(waiver.reason)}"
    if waiver.until is None:
        return f"{text} (no end date)"
    left = (dt.date.fromisoformat(waiver.until) - today).days
    return f"{text} (until {waiver.until}, {count(left, 'day')} left)"


def fingerprints(report: Report) -> tuple[str, ...]:
    """Return one fingerprint for each of the report's findings, in the report's order.

    Lines and measured numbers stay out, so a finding keeps its fingerprint over pushes;
    equal ones are told apart by their number.
    """
    seen: Counter[tuple[str, str | None, str | None]] = Counter()
    result = []
    for finding in report.findings:
        key = (finding.check, finding.revision, finding.relation)
        seen[key] += 1
        text = "\0".join([*(part or "" for part in key), str(seen[key])])
        result.append(hashlib.sha256(text.encode(errors="replace")).hexdigest()[:12])
    return tuple(result)


def open_fingerprints(report: Report) -> tuple[str, ...]:
    """Return the fingerprints of the errors and warnings that are not waived."""
    return tuple(
        fingerprint
        for finding, fingerprint in zip(report.findings, fingerprints(report), strict=True)
        if finding.waiver is None and severity_of(report, finding) >= Severity.WARNING
    )


def since_last(report: Report, previous: frozenset[str] | None) -> str | None:
    """Return what changed since the last report, None where none is known."""
    if previous is None:
        return None
    now = frozenset(open_fingerprints(report))
    return f"Since the last push: fixed: {len(previous - now)}, new: {len(now - previous)}."


# --- The verdict ---------------------------------------------------------------------


def is_untouched(report: Report) -> bool:
    """True where the change has no revision and nothing else to say about migrations."""
    changes = report.changes
    return (
        report.verdict is Verdict.PASS
        and not changes.revisions
        and not changes.problems
        and not report.findings
    )


def heading(report: Report) -> str:
    """Return the verdict and how many things there are, without a mark.

    What was seen without the project's own env.py counts less, so this is told here.
    """
    text = _verdict(report)
    reason = report.rehearsal.env_not_run
    if reason is None:
        return text
    return f"{text} (env.py did not run: {clipped(one_line(reason), 160)})"


def _verdict(report: Report) -> str:
    if report.verdict is Verdict.UNDETERMINED:
        return "Migrations: could not tell whether they are safe"
    errors = len(open_findings(report, Severity.ERROR))
    warnings = len(open_findings(report, Severity.WARNING)) - errors
    if report.verdict is Verdict.FAIL:
        if not errors and not warnings:
            return "Migrations: not to be merged"
        things = count(errors, "thing") if errors else count(warnings, "warning")
        return f"Migrations: {things} to fix before merging"
    if is_untouched(report):
        return "Migrations: no migration is changed"
    if warnings:
        return f"Migrations: nothing that must be fixed, {count(warnings, 'warning')} to read"
    return "Migrations: nothing to fix"


def summary(report: Report) -> str:
    """Return the worst finding in plain words, or what was done where there is none."""
    if report.verdict is Verdict.UNDETERMINED:
        text = one_line(report.undetermined or "The reason is not known").rstrip(".")
        return text if text.endswith(("?", "!")) else f"{text}."
    if is_untouched(report):
        return _untouched(report.changes)
    worst = open_findings(report, Severity.WARNING)
    if worst:
        return _worst_in_words(worst, report)
    parts = [_done(report)]
    not_run = sum(
        r.status in (Status.SKIPPED, Status.ERRORED) and r.severity is not Severity.OFF
        for r in report.checks
    )
    if not_run:
        parts.append(f"{count(not_run, 'check was', 'checks were')} not run.")
    open_items = sum(not a.ticked for a in report.attestations)
    if open_items:
        parts.append(f"{count(open_items, 'item is', 'items are')} yours to tick.")
    return " ".join(parts)


def _untouched(changes: ChangeSet) -> str:
    """Say what was compared: with itself, nothing is ever changed."""
    if changes.base is None:
        return "The history holds no revision, so nothing was rehearsed."
    base = f"{code(changes.base_tip or 'the base')} ({changes.base[:7]})"
    if changes.base == changes.head and not changes.dirty:
        return (
            f"This is {base} itself, so there is nothing to compare: `--base` names another "
            "commit, `--all` checks the whole history."
        )
    return f"Compared with {base}, no revision is added, edited or removed: nothing was rehearsed."


def _worst_in_words(worst: list[Finding], report: Report) -> str:
    """Join the first sentences of the two worst checks, where both are as grave and short."""
    first = worst[0]
    sentences = [first_sentence(first.message)]
    for finding in worst[1:]:
        equal = severity_of(report, finding) == severity_of(report, first)
        if equal and finding.check != first.check:
            sentences.append(first_sentence(finding.message))
            break
    text = " ".join(sentences)
    return text if len(text) <= 300 else clipped(sentences[0], 400)


def _done(report: Report) -> str:
    rehearsal = report.rehearsal
    if isinstance(rehearsal, NotRehearsed):
        return f"Nothing was rehearsed: {one_line(rehearsal.reason).rstrip('.')}."
    whole = sum(
        all(s.outcome is Outcome.COMPLETED for s in (r.upgrade, r.downgrade, r.reupgrade))
        for r in rehearsal.revisions
    )
    revisions = count(len(rehearsal.revisions), "revision")
    ran = revisions if whole == len(rehearsal.revisions) else f"{whole} of {revisions}"
    return f"{ran} ran up, down and up again on PostgreSQL {rehearsal.server.version}."


# --- Where it ran --------------------------------------------------------------------


def server(info: ServerInfo) -> str:
    """Return the server as "PostgreSQL 17.5 (installed)", and whether production's is another."""
    is_other = info.production not in (None, str(info.major))
    other = f"; production runs {info.production}" if is_other else ""
    return f"PostgreSQL {info.version} ({info.source.value}{other})"


def where(report: Report, head_sha: str | None = None) -> str:
    """Return where the change was rehearsed, from where to where, and how long it took."""
    changes = report.changes
    rehearsal = report.rehearsal
    if isinstance(rehearsal, NotRehearsed):
        parts = ["Not rehearsed"]
    else:
        parts = [f"Rehearsed on {server(rehearsal.server)}"]
    if not is_untouched(report):
        parts.append(f"from {_heads(changes.base_heads)} to {_heads(changes.head_heads)}")
    sha = head_sha or changes.head
    if sha is not None:
        parts.append(f"commit {sha[:7]}{' with uncommitted changes' if changes.dirty else ''}")
    parts.append(seconds(report.seconds))
    return ", ".join(parts)


def _heads(heads: tuple[str, ...]) -> str:
    return listed(heads, 4) if heads else "an empty database"


def commit_of(finding: Finding, changes: ChangeSet, head_sha: str | None) -> str | None:
    """Return the commit that holds the finding's file: the base's for a deleted one."""
    for changed in changes.revisions:
        if changed.revision.path == finding.path and changed.change is Change.DELETED:
            return changes.base
    return head_sha or changes.head
