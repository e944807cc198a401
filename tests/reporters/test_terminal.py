from __future__ import annotations

import re
from dataclasses import replace

import pytest
from rich.cells import cell_len

from gatekeeper.model import Status, Verdict
from gatekeeper.reporters.terminal import render
from tests.reporters.samples import CONTEXT, SAMPLES, a_finding, a_report, story

ANSI = re.compile(r"\x1b\[[0-9;]*m")


@pytest.mark.parametrize("sample", SAMPLES)
def test_colour_adds_only_colour(sample: str) -> None:
    report = SAMPLES[sample]()
    plain = render(report, CONTEXT)
    coloured = render(report, replace(CONTEXT, color=True))
    assert "\x1b" not in plain
    assert ANSI.search(coloured)
    lines = [line.rstrip() for line in ANSI.sub("", coloured).split("\n")]
    assert lines == plain.split("\n")


@pytest.mark.parametrize("width", [60, 80, 100, 160])
def test_nothing_is_wider_than_the_terminal_but_what_is_copied(width: int) -> None:
    text = render(story(), replace(CONTEXT, width=width))
    wide = [line for line in text.split("\n") if cell_len(line) > width]
    assert all("    op." in line or "sa." in line or "https://" in line for line in wide)


def test_paths_are_never_broken() -> None:
    path = "services/billing/migrations/versions/" + "a_long_name_" * 8 + ".py"
    finding = a_finding("upgrade-fails", "It fails.", path=path, line=17)
    report = a_report(Verdict.FAIL, findings=(finding,))
    assert f"    {path}:17  b002\n" in render(report, replace(CONTEXT, width=60))


def test_a_remedy_is_told_once() -> None:
    finding = a_finding("upgrade-fails", "It fails.", "op.f()")
    report = a_report(Verdict.FAIL, findings=(finding, replace(finding, line=20)))
    assert render(report, CONTEXT).count("How to fix") == 1


def test_many_passed_checks_are_counted() -> None:
    text = render(SAMPLES["all_passed"](), CONTEXT)
    assert text.count("✓ passed") == 9
    assert "✓ passed  6 more checks\n" in text


def test_too_many_findings_are_counted() -> None:
    findings = tuple(a_finding("upgrade-fails", f"{i}", line=i + 1) for i in range(103))
    text = render(a_report(Verdict.FAIL, findings=findings), CONTEXT)
    assert "3 more findings not listed here; `--format json` has all." in text


def test_markup_is_text() -> None:
    finding = a_finding("upgrade-fails", "[bold]x[/bold] [link=https://evil.example]y[/] :tada:")
    text = render(a_report(Verdict.FAIL, findings=(finding,)), CONTEXT)
    assert "    [bold]x[/bold] [link=https://evil.example]y[/] :tada:\n" in text


def test_a_failed_check_without_a_finding_is_not_lost() -> None:
    report = a_report(Verdict.FAIL)
    first = replace(report.checks[0], status=Status.FAILED, reason="it raised")
    text = render(replace(report, checks=(first,)), CONTEXT)
    assert "✗ failed  Every upgrade runs  it raised\n" in text
