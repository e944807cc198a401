"""The stairway on every shape of history: up, down, up, each revision alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from gatekeeper.model import Outcome, Verdict
from gatekeeper.postgres.servers import Server
from tests.live import (
    a_table,
    check_change,
    finding_lines,
    live_project,
    live_revision,
    rehearsal_of,
)

pytestmark = [pytest.mark.postgres, pytest.mark.slow]

V = "migrations/versions"


def _revision(name: str, down: str | tuple[str, ...] | None, **fields: str) -> dict[str, str]:
    upgrade, downgrade = a_table(f"t_{name}")
    return {f"{V}/{name}.py": live_revision(name, down, upgrade, downgrade, **fields)}


def _merge(name: str, down: tuple[str, ...]) -> dict[str, str]:
    return {f"{V}/{name}.py": live_revision(name, down)}


START = _revision("a001", None)

SHAPES = {
    "one after the other": (START, _revision("b001", "a001") | _revision("b002", "b001")),
    "a branch point and its merge point": (
        START,
        _revision("b001", "a001")
        | _revision("c001", "a001")
        | _merge("d001", ("b001", "c001"))
        | _revision("d002", "d001"),
    ),
    "the merge point of branches that the base has": (
        START
        | _revision("b001", "a001", branch_labels="left")
        | _revision("c001", "a001", branch_labels="right"),
        _merge("d001", ("b001", "c001")),
    ),
    "depends_on another branch": (
        START | _revision("z001", None, branch_labels="stock"),
        _revision("b001", "a001", depends_on="z001") | _merge("m001", ("b001", "z001")),
    ),
    "two bases, both grow": (
        START | _revision("z001", None, branch_labels="stock"),
        _revision("b001", "a001") | _revision("y001", "z001") | _merge("m001", ("b001", "y001")),
    ),
    "an empty history gets its first revision": ({}, START),
    "a revision that does nothing": (START, {f"{V}/b001.py": live_revision("b001", "a001")}),
}


@pytest.mark.parametrize(("base", "change"), SHAPES.values(), ids=SHAPES)
def test_a_sound_history_passes_whatever_its_shape(
    base: Mapping[str, str], change: Mapping[str, str], tmp_path: Path, server: Server
) -> None:
    report = check_change(tmp_path, server, base, change)
    rehearsal = rehearsal_of(report)
    names = {Path(path).stem for path in change}
    assert {r.revision.revision for r in rehearsal.revisions} == names
    for rehearsed in rehearsal.revisions:
        for step in (rehearsed.upgrade, rehearsed.downgrade, rehearsed.reupgrade):
            assert (step.outcome, step.error) == (Outcome.COMPLETED, None)
            assert (step.version_moved, step.committed, step.left_open) == (True, True, False)
        assert rehearsed.round_trip == ()
        assert rehearsed.second_upgrade == ()
    errors = [f for f in report.findings if f.check != "missing-lock-timeout"]
    assert errors == []
    assert report.verdict is Verdict.PASS


def test_several_version_locations_are_one_history(tmp_path: Path, server: Server) -> None:
    ini = (
        "[alembic]\nscript_location = migrations\n"
        "version_locations = migrations/versions migrations/stock\n"
        "sqlalchemy.url = postgresql://nobody@192.0.2.1/shop\n"
    )
    upgrade, downgrade = a_table("stock")
    base = {**live_project(ini=ini), **START, "migrations/stock/.keep": ""}
    change = {"migrations/stock/s001.py": live_revision("s001", "a001", upgrade, downgrade)}
    report = check_change(tmp_path, server, base, change)
    assert [r.revision.path for r in rehearsal_of(report).revisions] == ["migrations/stock/s001.py"]
    assert report.verdict is Verdict.PASS


def test_two_defects_that_cancel_each_other_are_both_seen(tmp_path: Path, server: Server) -> None:
    """b001 forgets its column; b002's downgrade drops it: a walk down ends where it began."""
    change = {
        f"{V}/b001.py": live_revision(
            "b001", "a001", 'op.add_column("t_a001", sa.Column("x", sa.Integer))', "sa.Integer()"
        ),
        f"{V}/b002.py": live_revision(
            "b002",
            "b001",
            'op.add_column("t_a001", sa.Column("y", sa.Integer))',
            'op.drop_column("t_a001", "y")\nop.drop_column("t_a001", "x")',
        ),
    }
    report = check_change(tmp_path, server, START, change)
    wrong = [f for f in finding_lines(report) if f[0] == "downgrade-incomplete"]
    assert [(check, revision) for check, revision, _ in wrong] == [
        ("downgrade-incomplete", "b001"),
        ("downgrade-incomplete", "b002"),
    ]


def test_what_follows_a_failed_upgrade_is_not_run_and_says_why(
    tmp_path: Path, server: Server
) -> None:
    change = {
        f"{V}/b001.py": live_revision("b001", "a001", 'op.drop_table("nowhere")', a_table("x")[0]),
        **_revision("b002", "b001"),
    }
    report = check_change(tmp_path, server, START, change)
    rehearsal = rehearsal_of(report)
    after = rehearsal.of("b002")
    assert after is not None
    assert after.upgrade.outcome is Outcome.SKIPPED
    assert after.upgrade.reason == "b001 comes before it and did not run to its end"
    assert report.verdict is Verdict.FAIL
    assert [f[:2] for f in finding_lines(report)] == [("upgrade-fails", "b001")]


def test_a_branch_beside_a_failed_one_is_still_rehearsed(tmp_path: Path, server: Server) -> None:
    base = START | _revision("z001", None, branch_labels="stock")
    change = {
        f"{V}/b001.py": live_revision("b001", "a001", 'op.drop_table("nowhere")'),
        **_revision("y001", "z001"),
    }
    beside = rehearsal_of(check_change(tmp_path, server, base, change)).of("y001")
    assert beside is not None
    assert (beside.reupgrade.outcome, beside.round_trip) == (Outcome.COMPLETED, ())


def test_a_history_squashed_under_a_new_identifier(tmp_path: Path, server: Server) -> None:
    """A database that stands at the old head can no longer be upgraded: that is the finding."""
    base = START | _revision("a002", "a001")
    change = {
        f"{V}/a001.py": None,
        f"{V}/a002.py": None,
        **_revision("s001", None),
    }
    report = check_change(tmp_path, server, base, change)
    squashed = rehearsal_of(report).of("s001")
    assert squashed is not None
    assert squashed.reupgrade.outcome is Outcome.COMPLETED
    assert {f.check for f in report.findings} == {"deleted-revision"}
    assert report.verdict is Verdict.FAIL


def test_a_history_squashed_under_the_old_head(tmp_path: Path, server: Server) -> None:
    base = START | _revision("a002", "a001")
    upgrade = f"{a_table('t_a001')[0]}\n{a_table('t_a002')[0]}"
    downgrade = f"{a_table('t_a002')[1]}\n{a_table('t_a001')[1]}"
    change = {
        f"{V}/a001.py": None,
        f"{V}/a002.py": live_revision("a002", None, upgrade, downgrade),
    }
    report = check_change(tmp_path, server, base, change)
    squashed = rehearsal_of(report).of("a002")
    assert squashed is not None
    assert (squashed.reupgrade.outcome, squashed.round_trip) == (Outcome.COMPLETED, ())
    assert {f.check for f in report.findings} >= {"edited-merged-revision", "deleted-revision"}


def test_an_audit_judges_every_revision_alone(tmp_path: Path, server: Server) -> None:
    base = START | _revision("a002", "a001")
    report = check_change(tmp_path, server, base, _revision("b001", "a002"), is_audit=True)
    rehearsal = rehearsal_of(report)
    assert [r.revision.revision for r in rehearsal.revisions] == ["a001", "a002", "b001"]
    assert report.verdict is Verdict.PASS
