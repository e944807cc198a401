"""The reports that every format is compared on."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Any

from gatekeeper.model import (
    Attestation,
    Basis,
    Change,
    ChangedRevision,
    Check,
    CheckResult,
    Difference,
    DifferenceKind,
    Direction,
    Finding,
    Needs,
    NotRehearsed,
    Outcome,
    Report,
    ServerInfo,
    ServerSource,
    Severity,
    Status,
    StepError,
    Verdict,
    Waiver,
)
from gatekeeper.reporters import RenderContext
from tests.build import (
    NO_METADATA,
    a_change_set,
    a_rehearsal,
    a_rehearsed,
    a_revision,
    a_statement,
    a_step,
)

CONTEXT = RenderContext(
    now=dt.datetime(2026, 11, 24, 6, 0, tzinfo=dt.UTC),
    repository_url="https://github.com/acme/shop",
    head_sha="9f8e7d6" + "0" * 33,
    report_url="https://github.com/acme/shop/actions/runs/17",
    waiver_url="https://github.com/acme/gatekeeper#waivers",
)

CHECKS = tuple(
    Check(check_id, title, group, needs)
    for check_id, title, group, needs in (
        ("upgrade-fails", "Every upgrade runs", "runs", Needs.REHEARSAL),
        ("downgrade-fails", "Every downgrade runs", "runs", Needs.REHEARSAL),
        ("reupgrade-fails", "The second upgrade runs", "runs", Needs.REHEARSAL),
        ("silently-not-applied", "What ran is committed", "runs", Needs.REHEARSAL),
        ("downgrade-missing", "Every revision has a downgrade", "way back", Needs.SOURCE),
        ("downgrade-empty", "No downgrade is empty", "way back", Needs.SOURCE),
        ("downgrade-incomplete", "Downgrade restores the schema", "way back", Needs.REHEARSAL),
        ("multiple-heads", "One head after merging the base", "history", Needs.SOURCE),
        ("edited-merged-revision", "Merged revisions stay as they are", "history", Needs.SOURCE),
        ("deleted-revision", "No merged revision is removed", "history", Needs.SOURCE),
        ("enum-drop-unguarded", "ENUM types are dropped guarded", "locks and data", Needs.SOURCE),
        ("index-not-concurrent", "Indexes are built concurrently", "locks and data", Needs.SOURCE),
        ("missing-lock-timeout", "Locks have a time limit", "locks and data", Needs.REHEARSAL),
        ("model-drift", "Models match the schema", "models", Needs.REHEARSAL),
    )
)
WARNINGS = ("index-not-concurrent", "missing-lock-timeout", "model-drift")


def results(
    found: Iterable[Finding] = (), skipped: dict[str, str] | None = None
) -> tuple[CheckResult, ...]:
    """Return a line for each check: failed or waived by its findings, skipped, else passed."""
    lines = []
    for check in CHECKS:
        severity = Severity.WARNING if check.id in WARNINGS else Severity.ERROR
        own = [f for f in found if f.check == check.id and f.severity is not Severity.NOTICE]
        reason = (skipped or {}).get(check.id)
        if own:
            is_open = any(f.waiver is None for f in own)
            lines.append(CheckResult(check, severity, Status.FAILED if is_open else Status.WAIVED))
        elif reason is not None:
            lines.append(CheckResult(check, severity, Status.SKIPPED, reason))
        else:
            lines.append(CheckResult(check, severity, Status.PASSED))
    return tuple(lines)


def a_report(verdict: Verdict, **fields: Any) -> Report:
    revision = a_revision()
    values: dict[str, Any] = {
        "verdict": verdict,
        "changes": a_change_set(revision),
        "rehearsal": a_rehearsal(a_rehearsed(revision)),
        "findings": (),
        "seconds": 6.1,
    }
    values = {**values, **fields}
    values.setdefault("checks", results(values["findings"]))
    return Report(**values)


def a_finding(check: str, message: str, remedy: str = "", **fields: Any) -> Finding:
    values: dict[str, Any] = {
        "basis": Basis.OBSERVED,
        "revision": "b002",
        "path": "migrations/versions/b002.py",
        "line": 15,
    }
    return Finding(check=check, message=message, remedy=remedy, **{**values, **fields})


# --- The story of the design: an enum dropped with its column, an incomplete downgrade ---

_DROP = a_statement(
    "DROP TYPE ticketstatus CASCADE",
    ordinal=1,
    line=14,
    end_line=14,
    seconds=0.012,
    locks={"public.tickets": "ACCESS_EXCLUSIVE"},
)
_INDEX = a_statement(
    "CREATE INDEX ix_tickets_owner ON tickets (owner_id)",
    ordinal=2,
    seconds=0.4,
    locks={"public.tickets": "SHARE"},
    parameters="{}",
)
_UP = a_step("b002", _DROP, _INDEX, seconds=0.42)
_DOWN = a_step(
    "b002",
    a_statement("DROP INDEX ix_tickets_owner", direction=Direction.DOWNGRADE, line=24),
    direction=Direction.DOWNGRADE,
)
_LEFT = (
    Difference(DifferenceKind.MISSING, "column", "public.tickets.status", "public.tickets"),
    Difference(DifferenceKind.MISSING, "type", "public.ticketstatus"),
)
_STORY_FINDINGS = (
    a_finding(
        "index-not-concurrent",
        "`CREATE INDEX` held SHARE on `public.tickets` and blocked writes for 0.4 s.",
        "Build it outside the transaction:\n\n"
        "with op.get_context().autocommit_block():\n"
        '    op.create_index("ix_tickets_owner", "tickets", ["owner_id"],\n'
        "                    postgresql_concurrently=True, if_not_exists=True)\n",
        statement=2,
        relation="public.tickets",
    ),
    a_finding(
        "downgrade-incomplete",
        "`b002` cannot be rolled back: column `public.tickets.status` and type "
        "`public.ticketstatus` are missing after the downgrade.",
        "Create both again in `downgrade`:\n\n"
        "def downgrade() -> None:\n"
        '    status = sa.Enum("open", "closed", name="ticketstatus")\n'
        "    status.create(op.get_bind(), checkfirst=True)\n"
        '    op.add_column("tickets", sa.Column("status", status))\n',
        line=None,
    ),
    a_finding(
        "enum-drop-unguarded",
        "`DROP TYPE ticketstatus CASCADE` drops the column `public.tickets.status` "
        "(25 of 25 rows hold a value). It goes without a question.",
        "Drop the column in a revision of its own, once nothing reads it; then the type:\n\n"
        'op.drop_column("tickets", "status")\n'
        'op.execute("DROP TYPE IF EXISTS ticketstatus")\n',
        line=14,
        end_line=16,
        statement=1,
        relation="public.tickets",
    ),
)


def story() -> Report:
    revision = a_revision(message="drop the ticket status")
    rehearsed = a_rehearsed(
        revision,
        upgrade=_UP,
        downgrade=_DOWN,
        changes=_LEFT,
        round_trip=_LEFT,
    )
    return a_report(
        Verdict.FAIL,
        changes=a_change_set(revision),
        rehearsal=a_rehearsal(
            rehearsed, drift=NO_METADATA, project=("Python 3.12 of .venv", "SECRET_KEY was set")
        ),
        findings=_STORY_FINDINGS,
        to_save="project:\n  env:\n    SECRET_KEY: Dummy0Dummy0\n"
        '    DATABASE_URL: "{database_url}"\n',
        checks=results(_STORY_FINDINGS, {"model-drift": NO_METADATA.reason}),
        attestations=(
            Attestation("rollback-plan", "Rollback plan documented", ("staging",)),
            Attestation("backup-verified", "Backup verified", ("staging", "production"), True),
            Attestation("team-notified", "Team notified of the migration", ()),
        ),
    )


def all_passed() -> Report:
    return a_report(Verdict.PASS)


def only_warnings() -> Report:
    findings = (
        _STORY_FINDINGS[0],
        a_finding(
            "downgrade-incomplete",
            "The extension `citext` is left after the downgrade.",
            severity=Severity.NOTICE,
            line=None,
            path=None,
        ),
    )
    return a_report(Verdict.PASS, findings=findings)


def undetermined() -> Report:
    reason = "no PostgreSQL server could be started (initdb: command not found)"
    lines = tuple(
        CheckResult(check, Severity.ERROR, Status.PASSED)
        if check.needs is Needs.SOURCE
        else CheckResult(check, Severity.ERROR, Status.SKIPPED, reason)
        for check in CHECKS[:-1]
    )
    broken = CheckResult(
        CHECKS[-1], Severity.WARNING, Status.ERRORED, "the comparison ended after 30 s"
    )
    return a_report(
        Verdict.UNDETERMINED,
        rehearsal=NotRehearsed(reason, is_failure=True),
        checks=(*lines, broken),
        undetermined=f"Nothing was rehearsed: {reason}",
    )


def no_migrations() -> Report:
    reason = "no revision is changed"
    skipped = {check.id: reason for check in CHECKS}
    return a_report(
        Verdict.PASS,
        changes=a_change_set(),
        rehearsal=NotRehearsed(reason, is_failure=False),
        checks=results((), skipped),
        attestations=(),
        seconds=0.2,
    )


HOSTILE = (
    "@acme/team #1 GH-2 acme/shop#3 <img src=https://evil.example/x.png> "
    "![x](https://evil.example/y) [click](javascript:alert) | a | b |\n\n```\n"
    "</details>\n# big\n- [x] ticked "
    "<!-- gatekeeper:attest:backup-verified -->\n<script>alert(1)</script> www.evil.example "
    "https://evil.example/z $x$ **bold** ~~gone~~ a@evil.example "
    "\u202egnp.exe \x1b[31mred\x1b[0m \udc80"
)


def hostile() -> Report:
    """Everything that the author of a pull request can write says something nasty."""
    name = "b`|\\|` @acme/team <b>"
    path = "migrations/versions/a) [x](y)|`\n::error::b.py"
    fenced = "````\n```\n- [x] t <!-- gatekeeper:attest:backup-verified -->\n@acme\n</details>"
    revision = a_revision(name, message=HOSTILE, path=path)
    statement = a_statement(
        f"SELECT '{fenced}'",
        name,
        path=path,
        locks={f"public.{HOSTILE}": "ACCESS_EXCLUSIVE"},
        rewrites=(f"public.{name}",),
        parameters=HOSTILE,
    )
    failed = a_step(
        name,
        statement,
        outcome=Outcome.FAILED,
        error=StepError("DataError", HOSTILE, "22000", fenced, path, 3),
    )
    rehearsed = a_rehearsed(
        revision,
        upgrade=failed,
        downgrade=a_step(
            name, direction=Direction.DOWNGRADE, outcome=Outcome.SKIPPED, reason=HOSTILE
        ),
        round_trip=(Difference(DifferenceKind.LEFT, "table", HOSTILE),),
    )
    waiver = Waiver(path, 1, ("downgrade-missing",), HOSTILE, "2027-01-31")
    findings = (
        a_finding("upgrade-fails", HOSTILE, fenced, revision=name, path=path),
        a_finding("enum-drop-unguarded", f"`{HOSTILE}` {HOSTILE}", HOSTILE, path=path, end_line=19),
        a_finding("downgrade-missing", HOSTILE, HOSTILE, waiver=waiver, revision=None, path=path),
    )
    return a_report(
        Verdict.FAIL,
        changes=a_change_set(
            revision,
            base_tip=HOSTILE,
            head_heads=(name, "c003"),
            merged_heads=(name, "c003"),
        ),
        rehearsal=a_rehearsal(rehearsed, database=HOSTILE, project=(HOSTILE,)),
        findings=findings,
        checks=results(findings, {"model-drift": HOSTILE}),
        attestations=(Attestation("x --> y", HOSTILE, (HOSTILE,)),),
    )


def huge() -> Report:
    """Sixty findings, forty revisions and a megabyte of SQL."""
    revisions = [
        a_revision(f"r{i:03}", f"r{i - 1:03}" if i else "a001", message=f"step {i}")
        for i in range(40)
    ]
    filler = "INSERT INTO orders (id, note) VALUES (1, 'a row of the migration');\n"
    rehearsed = [
        a_rehearsed(
            r,
            upgrade=a_step(
                r.revision,
                *(
                    a_statement(filler * 10, r.revision, ordinal=n, rows=10, line=14 + n)
                    for n in range(1, 40)
                ),
            ),
        )
        for r in revisions
    ]
    findings = tuple(
        a_finding(
            "enum-drop-unguarded",
            f"`DROP TYPE status{i} CASCADE` drops the column `public.orders.status{i}` "
            f"(25 of 25 rows hold a value).",
            f'op.drop_column("orders", "status{i}")\nop.execute("DROP TYPE IF EXISTS status{i}")',
            revision=f"r{i % 40:03}",
            path=f"migrations/versions/r{i % 40:03}.py",
            line=14 + i,
        )
        for i in range(60)
    )
    return a_report(
        Verdict.FAIL,
        changes=a_change_set(*revisions),
        rehearsal=a_rehearsal(*rehearsed),
        findings=findings,
        seconds=75.2,
    )


def several_heads() -> Report:
    base = (a_revision("a000", None), a_revision("a001", "a000"), a_revision("c003", "a001"))
    mine = a_revision("b002", "a001")
    finding = a_finding(
        "multiple-heads",
        "Merging `main` gives 2 heads: `b002` and `c003`.",
        "alembic merge -m 'merge b002 and c003' b002 c003",
        basis=Basis.READ,
        line=8,
    )
    return a_report(
        Verdict.FAIL,
        changes=a_change_set(
            mine,
            base_history=base,
            head_history=(*base[:2], mine),
            base_heads=("a001",),
            head_heads=("b002",),
            merged_heads=("b002", "c003"),
        ),
        findings=(finding,),
    )


def waived() -> Report:
    path = "migrations/versions/b002.py"
    until = Waiver(
        path, 14, ("index-not-concurrent",), "tickets has 200 rows in production", "2027-01-31"
    )
    endless = Waiver(path, 1, ("downgrade-missing",), "Data is merged; there is no way back", None)
    findings = (
        a_finding(
            "index-not-concurrent",
            "`CREATE INDEX` held SHARE on `public.tickets` and blocked writes for 4 ms.",
            "op.create_index(...)",
            waiver=until,
        ),
        a_finding(
            "downgrade-missing",
            "`b002` has no `downgrade`.",
            "Write it.",
            basis=Basis.READ,
            line=8,
            waiver=endless,
        ),
    )
    return a_report(Verdict.PASS, findings=findings)


def other_changes() -> Report:
    """A revision deleted, one renamed, one that a read-only run could not rehearse."""
    deleted = ChangedRevision(a_revision("d004", "a001"), Change.DELETED)
    renamed = ChangedRevision(
        a_revision("a001", None, path="migrations/versions/first.py"),
        Change.RENAMED,
        a_revision("a001", None, path="migrations/versions/a001.py"),
    )
    finding = a_finding(
        "deleted-revision",
        "`d004` is removed, but databases that ran it still point to it.",
        "git checkout main -- migrations/versions/d004.py",
        basis=Basis.READ,
        revision="d004",
        path="migrations/versions/d004.py",
        line=8,
    )
    reason = "no revision is new"
    return a_report(
        Verdict.FAIL,
        changes=a_change_set(renamed, deleted),
        rehearsal=NotRehearsed(
            reason, is_failure=False, server=ServerInfo(ServerSource.SERVICE, "16.4")
        ),
        findings=(finding,),
        checks=results((finding,), {c.id: reason for c in CHECKS if c.needs is Needs.REHEARSAL}),
    )


SAMPLES = {
    "story": story,
    "all_passed": all_passed,
    "only_warnings": only_warnings,
    "undetermined": undetermined,
    "no_migrations": no_migrations,
    "hostile": hostile,
    "huge": huge,
    "several_heads": several_heads,
    "waived": waived,
    "other_changes": other_changes,
}
