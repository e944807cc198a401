"""The list of checks, and how they are run."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest

import gatekeeper.checks
from gatekeeper.checks import ALL, CHECKS, run_checks
from gatekeeper.model import (
    Check,
    CheckRun,
    Needs,
    NotRehearsed,
    Rehearsal,
    RevisionProblem,
    Skipped,
)
from tests.build import a_change_set, a_rehearsal, a_rehearsed, a_revision, a_statement, a_step
from tests.checks.ask import BEFORE, adding

FOLDER = Path(gatekeeper.checks.__file__).parent
NOT_CHECKS = {
    "__init__",
    "labels",
    "names",
    "observed",
    "pages",
    "paste",
    "privileges",
    "relatives",
    "undo",
    "written",
}
FAILURE = NotRehearsed("no PostgreSQL server could be had", is_failure=True)
NO_CALL = NotRehearsed("no revision is new", is_failure=False)


def by_id(runs: tuple[CheckRun, ...]) -> dict[str, CheckRun]:
    return {run.check.id: run for run in runs}


def run(rehearsal: Rehearsal | NotRehearsed, **options: int) -> dict[str, CheckRun]:
    return by_id(run_checks(adding(), rehearsal, lambda check: options))


def test_every_file_of_the_folder_is_listed() -> None:
    files = {path.stem for path in FOLDER.glob("*.py")} - NOT_CHECKS
    assert {check.id.replace("-", "_") for check in CHECKS} == files
    assert len(CHECKS) == len(files)


@pytest.mark.parametrize("module", ALL, ids=lambda module: module.CHECK.id)
def test_a_file_is_called_as_its_check(module: Any) -> None:
    assert Path(inspect.getfile(module)).stem == module.CHECK.id.replace("-", "_")


def test_a_change_without_fault_passes_every_check() -> None:
    rehearsal = a_rehearsal(a_rehearsed(), relations_before=BEFORE)
    assert run_checks(adding(), rehearsal, lambda check: {}) == tuple(
        CheckRun(check, (), ()) for check in CHECKS
    )


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.id)
def test_without_a_rehearsal(check: Check) -> None:
    for not_rehearsed in (FAILURE, NO_CALL):
        result = run(not_rehearsed)[check.id]
        needs = check.needs is Needs.REHEARSAL
        failed = needs and not_rehearsed.is_failure
        assert result.findings == ()
        assert result.error == (not_rehearsed.reason if failed else None)
        skipped = (Skipped(not_rehearsed.reason),) if needs and not failed else ()
        assert result.skipped == skipped


def test_what_could_be_read_is_no_error_for_want_of_a_rehearsal() -> None:
    """A file that does not parse is why nothing could be rehearsed: the finding counts."""
    problem = RevisionProblem("migrations/versions/c.py", 1, "broken", "mend it")
    changes = a_change_set(a_revision(), problems=(problem,))
    result = by_id(run_checks(changes, FAILURE, lambda check: {}))["upgrade-fails"]
    assert [each.message for each in result.findings] == ["broken"]
    assert (result.skipped, result.error) == ((Skipped(FAILURE.reason),), None)


def test_an_option_of_the_policy_replaces_the_default() -> None:
    tables = (a_statement("CREATE TABLE a ()"), a_statement("CREATE TABLE b ()"))
    rehearsal = a_rehearsal(a_rehearsed(upgrade=a_step("b002", *tables)))
    assert len(run(rehearsal)["not-atomic"].findings) == 1
    assert run(rehearsal, max_relations=2)["not-atomic"].findings == ()


def test_a_reason_is_given_once() -> None:
    result = run(a_rehearsal())["enum-drop-unguarded"]
    assert result.skipped == (Skipped("`b002` was not rehearsed"),)


def test_what_could_not_be_told_is_an_error_of_the_check() -> None:
    drift = Skipped("autogenerate failed", is_failure=True)
    result = run(a_rehearsal(a_rehearsed(), drift=drift))["model-drift"]
    assert (result.findings, result.skipped, result.error) == ((), (), "autogenerate failed")
