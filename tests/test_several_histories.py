"""Several sections of one configuration file, each with a history, in one report."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gatekeeper.model import Status, Verdict
from gatekeeper.postgres.servers import Server
from gatekeeper.reporters import json as json_reporter
from gatekeeper.reporters import terminal
from gatekeeper.reporters.context import RenderContext
from tests.live import NOW, Files, a_table, check_repository, live_revision, make_change
from tests.situations import project_files, read_situation

pytestmark = [pytest.mark.postgres, pytest.mark.slow]

SHOP, STOCK = "shop/versions", "stock/versions"
FILES = project_files(read_situation("two_sections"))
CLEAN = {
    f"{SHOP}/0003.py": live_revision("0003", "0002", *a_table("bills")),
    f"{STOCK}/0003.py": live_revision("0003", "0002", *a_table("shelves")),
}
FAILS = live_revision("0003", "0002", "op.drop_table('nowhere')", "op.drop_table('x')")


def repository(root: Path, change: Files) -> Path:
    return make_change(root, FILES, change).root


def test_all_sections_are_rehearsed_into_one_report(tmp_path: Path, server: Server) -> None:
    report = check_repository(repository(tmp_path, CLEAN), server)
    data = json.loads(json_reporter.render(report, RenderContext(now=NOW)))
    assert (report.findings, report.verdict) == ((), Verdict.PASS)
    assert data["project"]["sections"] == ["shop", "stock"]
    assert data["project"]["database"] == "shop, stock"
    assert data["head_revisions"] == ["0003", "0003"]
    assert [
        (r["path"], r["upgrade"]["outcome"], r["upgrade"]["statements"]) for r in data["revisions"]
    ] == [(f"{SHOP}/0003.py", "completed", 1), (f"{STOCK}/0003.py", "completed", 1)]
    assert [s["path"] for s in data["statements"]] == [f"{SHOP}/0003.py", f"{STOCK}/0003.py"] * 2


def test_one_section_that_is_asked_for_is_alone(tmp_path: Path, server: Server) -> None:
    change = {**CLEAN, f"{SHOP}/0003.py": FAILS}
    root = repository(tmp_path, change)
    assert check_repository(root, server, section=("stock",)).verdict is Verdict.PASS
    report = check_repository(root, server, section=("shop", "stock"))
    assert [(f.check, f.path, f.line, f.message) for f in report.findings] == [
        (
            "upgrade-fails",
            f"{SHOP}/0003.py",
            12,
            "Section `[shop]`: The upgrade of `0003` failed: UndefinedTable: table "
            '"nowhere" does not exist',
        )
    ]
    assert report.verdict is Verdict.FAIL
    rows = [line.split() for line in terminal.render(report, RenderContext(now=NOW)).splitlines()]
    counts = [row[-4] for row in rows if row[:1] == ["0003"]]
    assert counts == ["1", "none"]


def test_a_section_without_news_leaves_the_other_alone(tmp_path: Path, server: Server) -> None:
    change = {f"{STOCK}/0003.py": CLEAN[f"{STOCK}/0003.py"]}
    report = check_repository(repository(tmp_path, change), server)
    assert report.verdict is Verdict.PASS
    statuses = {result.check.id: result.status for result in report.checks}
    assert statuses["upgrade-fails"] is Status.PASSED
    assert statuses["downgrade-incomplete"] is Status.PASSED


def test_a_section_that_cannot_run_is_no_pass(tmp_path: Path, server: Server) -> None:
    """What was seen of the other one is told all the same."""
    change = {**CLEAN, "shop/env.py": "raise SystemError('no')"}
    report = check_repository(repository(tmp_path, change), server)
    assert report.verdict is Verdict.UNDETERMINED
    data = json.loads(json_reporter.render(report, RenderContext(now=NOW)))
    outcomes = [(r["path"], r["upgrade"]["outcome"]) for r in data["revisions"]]
    assert outcomes == [(f"{SHOP}/0003.py", "skipped"), (f"{STOCK}/0003.py", "completed")]


def test_heads_are_counted_in_each_history(tmp_path: Path, server: Server) -> None:
    change = {**CLEAN, f"{STOCK}/0004.py": live_revision("0004", "0002", *a_table("walls"))}
    report = check_repository(repository(tmp_path, change), server)
    (finding,) = report.findings_of("multiple-heads")
    assert finding.message.startswith("Section `[stock]`: There are 2 heads")
    assert (finding.path, finding.line) == (f"{STOCK}/0003.py", 5)
