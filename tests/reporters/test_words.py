from __future__ import annotations

import datetime as dt
from dataclasses import replace

import pytest

from gatekeeper.model import (
    Change,
    ChangedRevision,
    Report,
    ServerInfo,
    ServerSource,
    Severity,
    Verdict,
    Waiver,
)
from gatekeeper.reporters import words
from tests.build import a_change_set, a_rehearsal, a_revision
from tests.reporters.samples import SAMPLES, a_finding, a_report, results, story


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.0, "under 1 ms"),
        (0.0009, "under 1 ms"),
        (0.001, "1 ms"),
        (0.0034, "3 ms"),
        (0.0994, "99 ms"),
        (0.0996, "0.1 s"),
        (6.12, "6.1 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min"),
        (75.2, "1 min 15 s"),
        (119.7, "2 min"),
        (600, "10 min"),
        (3599, "1.0 h"),
        (9000, "2.5 h"),
    ],
)
def test_seconds(value: float, expected: str) -> None:
    assert words.seconds(value) == expected


@pytest.mark.parametrize(
    ("number", "nouns", "expected"),
    [
        (1, ("thing",), "1 thing"),
        (0, ("thing",), "0 things"),
        (1234, ("row",), "1,234 rows"),
        (2, ("remedy", "remedies"), "2 remedies"),
    ],
)
def test_count(number: int, nouns: tuple[str, ...], expected: str) -> None:
    assert words.count(number, *nouns) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One sentence.", "One sentence."),
        ("No stop", "No stop."),
        ("First. Second.", "First."),
        ("`b002` is gone; `c003` stays.", "`b002` is gone."),
        ("Runs in versions/b002.py: fine. Next.", "Runs in versions/b002.py: fine."),
        ("`SELECT 1. SELECT 2` ran. Next.", "`SELECT 1. SELECT 2` ran."),
        ("Took 0.4 s here.\nThen\nmore", "Took 0.4 s here."),
        ("Do this:", "Do this."),
        ("Is the server running?", "Is the server running?"),
    ],
)
def test_first_sentence(text: str, expected: str) -> None:
    assert words.first_sentence(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain\nlines\tand tabs ünïcode 👍", "plain\nlines   and tabs ünïcode 👍"),
        ("\r\n", "\n"),
        ("\x1b[31m", "\\u001b[31m"),
        ("a\u202eb", "a\\u202eb"),
        ("\udc80", "\\udc80"),
        ("a\rb", "a\\u000db"),
    ],
)
def test_visible(text: str, expected: str) -> None:
    assert words.visible(text) == expected


@pytest.mark.parametrize(
    ("text", "limit", "expected"),
    [
        ("short", 5, "short"),
        ("longer", 5, "long…"),
        ("see `a_long_name`", 10, "see `a_lo…`"),
    ],
)
def test_clipped(text: str, limit: int, expected: str) -> None:
    assert words.clipped(text, limit) == expected


@pytest.mark.parametrize(
    ("fields", "place", "lines"),
    [
        ({"line": 14}, "migrations/versions/b002.py:14", "line 14"),
        ({"line": 14, "end_line": 14}, "migrations/versions/b002.py:14", "line 14"),
        ({"line": 14, "end_line": 18}, "migrations/versions/b002.py:14", "lines 14 to 18"),
        ({"line": None}, "migrations/versions/b002.py", None),
        ({"line": None, "path": None}, None, None),
        ({"path": "a\n::error::b.py"}, "a ::error::b.py:15", "line 15"),
    ],
)
def test_location(fields: dict[str, object], place: str | None, lines: str | None) -> None:
    finding = a_finding("upgrade-fails", "It fails.", **fields)
    assert (words.location(finding), words.lines(finding)) == (place, lines)


@pytest.mark.parametrize(
    ("until", "expected"),
    [
        (None, "Accepted: small table (no end date)"),
        ("2026-11-25", "Accepted: small table (until 2026-11-25, 1 day left)"),
        ("2026-11-24", "Accepted: small table (until 2026-11-24, 0 days left)"),
    ],
)
def test_waived(until: str | None, expected: str) -> None:
    waiver = Waiver("b002.py", 3, ("table-rewrite",), "small\ntable", until)
    assert words.waived(waiver, dt.date(2026, 11, 24)) == expected


WARNING = a_finding("index-not-concurrent", "It took SHARE.")
ERROR = a_finding("upgrade-fails", "It fails.")


@pytest.mark.parametrize(
    ("report", "expected"),
    [
        (a_report(Verdict.PASS), "Migrations: nothing to fix"),
        (
            a_report(Verdict.PASS, changes=a_change_set()),
            "Migrations: no migration is changed",
        ),
        (
            a_report(Verdict.PASS, findings=(WARNING,)),
            "Migrations: nothing that must be fixed, 1 warning to read",
        ),
        (
            a_report(Verdict.FAIL, findings=(ERROR, WARNING)),
            "Migrations: 1 thing to fix before merging",
        ),
        (
            a_report(Verdict.FAIL, findings=(WARNING, WARNING)),
            "Migrations: 2 warnings to fix before merging",
        ),
        (a_report(Verdict.FAIL), "Migrations: not to be merged"),
        (
            a_report(Verdict.UNDETERMINED, findings=(ERROR,)),
            "Migrations: could not tell whether they are safe",
        ),
        (
            a_report(Verdict.UNDETERMINED, changes=a_change_set()),
            "Migrations: could not tell whether they are safe",
        ),
    ],
)
def test_heading(report: Report, expected: str) -> None:
    assert words.heading(report) == expected


def test_heading_says_that_env_py_did_not_run() -> None:
    report = a_report(Verdict.PASS, rehearsal=a_rehearsal(env_not_run="a.txt: no\n`b`"))
    assert words.heading(report) == "Migrations: nothing to fix (env.py did not run: a.txt: no `b`)"


def test_summary_says_the_worst_of_two_checks_in_plain_words() -> None:
    assert words.summary(story()) == (
        "`DROP TYPE ticketstatus CASCADE` drops the column `public.tickets.status` (25 of 25 rows "
        "hold a value). `b002` cannot be rolled back: column `public.tickets.status` and type "
        "`public.ticketstatus` are missing after the downgrade."
    )


def test_summary_of_a_pass_says_what_was_not_run() -> None:
    report = a_report(Verdict.PASS, checks=results((), {"model-drift": "no `target_metadata`"}))
    assert words.summary(report) == (
        "1 revision ran up, down and up again on PostgreSQL 17.5. 1 check was not run."
    )


def test_an_unknown_check_is_an_error() -> None:
    finding = a_finding("not-known", "What is it?")
    report = a_report(Verdict.FAIL, findings=(finding,))
    assert words.severity_of(report, finding) is Severity.ERROR
    assert words.title_of(report, finding) == "not-known"


def test_a_finding_that_moves_or_measures_otherwise_keeps_its_fingerprint() -> None:
    before = a_report(Verdict.PASS, findings=(WARNING,))
    moved = replace(WARNING, line=99, end_line=99, message="It took SHARE for 3 s.")
    assert words.fingerprints(before) == words.fingerprints(replace(before, findings=(moved,)))


@pytest.mark.parametrize("fields", [{"check": "x"}, {"revision": "c"}, {"relation": "r"}])
def test_another_finding_has_another_fingerprint(fields: dict[str, str]) -> None:
    report = a_report(Verdict.PASS, findings=(WARNING, replace(WARNING, **fields)))
    assert len(set(words.fingerprints(report))) == 2


def test_two_findings_of_a_check_on_one_relation_are_told_apart() -> None:
    both = a_report(Verdict.PASS, findings=(WARNING, replace(WARNING, line=20)))
    one = replace(both, findings=both.findings[:1])
    previous = frozenset(words.open_fingerprints(both))
    assert words.since_last(one, previous) == "Since the last push: fixed: 1, new: 0."
    assert words.since_last(one, None) is None


def test_a_waived_finding_counts_as_fixed() -> None:
    report = a_report(Verdict.FAIL, findings=(ERROR,))
    waiver = Waiver("b002.py", 3, ("upgrade-fails",), "known", None)
    waived = replace(report, findings=(replace(ERROR, waiver=waiver),))
    previous = frozenset(words.open_fingerprints(report))
    assert words.since_last(waived, previous) == "Since the last push: fixed: 1, new: 0."


def test_where_names_heads_commit_and_uncommitted_changes() -> None:
    report = a_report(Verdict.PASS, changes=a_change_set(a_revision(), base_heads=(), dirty=True))
    assert words.where(report) == (
        "Rehearsed on PostgreSQL 17.5 (installed), from an empty database to `b002`, "
        "commit 2222222 with uncommitted changes, 6.1 s"
    )


@pytest.mark.parametrize(
    ("change", "expected"), [(Change.ADDED, "9" * 40), (Change.DELETED, "1" * 40)]
)
def test_a_deleted_file_is_shown_at_the_base(change: Change, expected: str) -> None:
    changes = a_change_set(ChangedRevision(a_revision(), change))
    assert words.commit_of(ERROR, changes, "9" * 40) == expected


@pytest.mark.parametrize("sample", SAMPLES)
def test_heading_and_summary_are_single_lines(sample: str) -> None:
    report = SAMPLES[sample]()
    for text in (words.heading(report), words.summary(report), words.where(report)):
        assert len(text.splitlines()) == 1


@pytest.mark.parametrize(
    ("production", "text"),
    [
        (None, "PostgreSQL 17.5 (installed)"),
        ("17", "PostgreSQL 17.5 (installed)"),
        ("16", "PostgreSQL 17.5 (installed; production runs 16)"),
    ],
)
def test_another_major_than_productions_is_said(production: str | None, text: str) -> None:
    info = ServerInfo(ServerSource.INSTALLED, "17.5", production)
    assert words.server(info) == text
