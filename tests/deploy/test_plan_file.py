"""A plan and its evidence are read back as they were written, or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gatekeeper.deploy.model import Release, ReleasedRevision
from gatekeeper.deploy.plan_file import read_release
from gatekeeper.errors import ConfigError
from gatekeeper.lock_modes import LockMode
from gatekeeper.model import Attestation, Direction, Lock, Outcome, Report, Verdict
from gatekeeper.release.files import render_files
from gatekeeper.release.plan import make_plan
from tests.build import (
    PROJECT,
    a_change_set,
    a_rehearsal,
    a_rehearsed,
    a_revision,
    a_statement,
    a_step,
)
from tests.schemas import hold_to_schema

COMMIT = "2" * 40
BACKUP = Attestation("backup-verified", "Backup verified", ("staging",), ticked=True)
USERS = {"table public.users": "1" * 16}
EMAIL = {**USERS, "column public.users.email": "2" * 16}
BY_HAND = "Write both anew at the release's tag: `gatekeeper release --output DIR`."


def a_report(*statements: Any, **fields: Any) -> Report:
    """Return a report on one revision that was rehearsed with these statements."""
    revision = a_revision("b002", "a001")
    upgrade = a_step("b002", *statements, seconds=1.25, ended_transaction=False)
    rehearsed = a_rehearsed(
        revision,
        upgrade=upgrade,
        downgrade=a_step(
            "b002", direction=Direction.DOWNGRADE, outcome=Outcome.SKIPPED, reason="it raises"
        ),
    )
    values: dict[str, Any] = {
        "verdict": Verdict.PASS,
        "changes": a_change_set(revision),
        "rehearsal": a_rehearsal(rehearsed, catalog_before=USERS, catalog_after=EMAIL),
        "checks": (),
        "findings": (),
        "attestations": (BACKUP,),
    }
    return Report(**{**values, **fields})


def write(folder: Path, report: Report) -> Path:
    for name, text in render_files(make_plan(report, "v1.1.0", COMMIT, "v1.0.0")).items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder / "plan.json"


SENT = (
    a_statement("ALTER TABLE users ADD email text", locks={"public.users": "ACCESS_EXCLUSIVE"}),
    a_statement("ANALYZE users", locks={"public.users": "SHARE_UPDATE_EXCLUSIVE"}),
    a_statement("ALTER TABLE users ALTER id TYPE bigint", rewrites=("public.users",)),
)


@pytest.mark.parametrize("kind", ["plan", "evidence"])
def test_what_is_written_keeps_to_the_published_schema(kind: str, tmp_path: Path) -> None:
    write(tmp_path, a_report(*SENT))
    hold_to_schema(kind, json.loads((tmp_path / f"{kind}.json").read_text(encoding="utf-8")))


def test_a_release_is_read_back(tmp_path: Path) -> None:
    assert read_release(write(tmp_path, a_report(*SENT))) == Release(
        tag="v1.1.0",
        commit=COMMIT,
        previous="v1.0.0",
        verdict="pass",
        project=PROJECT,
        from_revisions=("a001",),
        to_revisions=("b002",),
        revisions=(
            ReleasedRevision(
                revision="b002",
                down_revisions=("a001",),
                message="message of b002",
                path="migrations/versions/b002.py",
                seconds=1.25,
                is_transactional=True,
                obstacle="its downgrade was not run: it raises",
                loses=(),
                rewrites=("public.users",),
                locks=(
                    Lock("public.users", LockMode.ACCESS_EXCLUSIVE),
                    Lock("public.users", LockMode.SHARE_UPDATE_EXCLUSIVE),
                ),
            ),
        ),
        window=(),
        obstacles=("`b002`: its downgrade was not run: it raises",),
        content_hash="0" * 64,
        is_rehearsed=True,
        server_major=17,
        catalog_before=USERS,
        catalog_after=EMAIL,
        attestations=(BACKUP,),
    )


@pytest.mark.parametrize(
    ("statements", "step", "expected"),
    [
        pytest.param((), {}, True, id="nothing was sent"),
        pytest.param(
            (a_statement("SELECT 1", transaction=3), a_statement("SELECT 2", transaction=3)),
            {"ended_transaction": False},
            True,
            id="all in one",
        ),
        pytest.param(
            (a_statement("SELECT 1", transaction=3), a_statement("SELECT 2", transaction=4)),
            {"ended_transaction": False},
            False,
            id="in two",
        ),
        pytest.param(
            (a_statement("CREATE INDEX CONCURRENTLY i ON t (a)", in_transaction=False),),
            {"ended_transaction": None},
            False,
            id="in none",
        ),
        pytest.param(
            (a_statement("SELECT 1"),), {"ended_transaction": None}, False, id="on who knows which"
        ),
        pytest.param((a_statement("SELECT 1"),), {"ended_transaction": True}, False, id="commit"),
        pytest.param((), {"outcome": Outcome.FAILED}, False, id="it failed"),
        pytest.param((), {"outcome": Outcome.SKIPPED}, False, id="it was not seen"),
    ],
)
def test_what_leaves_nothing_when_it_fails(
    statements: Any, step: dict[str, Any], expected: bool
) -> None:
    rehearsed = a_rehearsed(upgrade=a_step("b002", *statements, **step))
    report = a_report(rehearsal=a_rehearsal(rehearsed))
    (planned,) = make_plan(report, "v1.1.0", COMMIT, "v1.0.0").revisions
    assert planned.is_transactional is expected


def change(file: Path, **values: Any) -> None:
    data = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps({**data, **values}), encoding="utf-8")


def test_evidence_of_another_plan_is_refused(tmp_path: Path) -> None:
    plan = write(tmp_path, a_report())
    change(plan, verdict="pass")  # the same words, written in another way
    with pytest.raises(ConfigError) as raised:
        read_release(plan)
    assert str(raised.value) == (
        f"{plan}: evidence.json beside it is not the evidence of this plan: one of them was "
        f"changed or replaced\n{BY_HAND}"
    )


@pytest.mark.parametrize("name", ["plan.json", "evidence.json"])
@pytest.mark.parametrize(
    ("text", "what"),
    [
        pytest.param(None, "it cannot be read: No such file or directory", id="missing"),
        pytest.param(b"\xff", "it is no JSON: 'utf-8' codec can't decode byte", id="no text"),
        pytest.param(b"{", "it is no JSON: Expecting property name", id="broken"),
        pytest.param(b"[]", "of schema 1: [] is not of type 'object'", id="a list"),
        pytest.param(b'{"schema": 2}', "of schema 1: 'tag' is a required property", id="another"),
    ],
)
def test_what_cannot_be_read_is_said(
    name: str, text: bytes | None, what: str, tmp_path: Path
) -> None:
    plan = write(tmp_path, a_report())
    file = tmp_path / name
    file.unlink()
    if text is not None:
        file.write_bytes(text)
    with pytest.raises(ConfigError) as raised:
        read_release(plan)
    assert raised.value.where == str(file)
    assert what in raised.value.what
    assert BY_HAND in (raised.value.fix or "")


@pytest.mark.parametrize(
    "report",
    [
        pytest.param(a_report(a_statement("SELECT 1", database="a")), id="databases"),
        pytest.param(a_report(changes=a_change_set(sections=("one", "two"))), id="sections"),
    ],
)
def test_a_release_of_several_is_refused(report: Report, tmp_path: Path) -> None:
    plan = write(tmp_path, report)
    with pytest.raises(ConfigError, match="several histories or databases"):
        read_release(plan)
