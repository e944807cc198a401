from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

import pytest

from gatekeeper.errors import ConfigError, DatabaseError, ExitCode
from gatekeeper.github.act import (
    Published,
    ReleaseTexts,
    Texts,
    exit_code,
    publish,
    publish_error,
    publish_nothing,
    read_earlier,
    write_reports,
)
from gatekeeper.github.client import Comment, CommentState
from gatekeeper.github.decide import Plan, Task
from gatekeeper.model import (
    Basis,
    Change,
    ChangedRevision,
    Check,
    CheckResult,
    Finding,
    Needs,
    NotRehearsed,
    Report,
    Severity,
    Status,
    Verdict,
    Waiver,
)
from gatekeeper.settings import ActionInputs, CommentPolicy, FailOn, GitHubContext
from tests.build import a_change_set, a_revision
from tests.github.server import ACTIONS, PERSON, Fault, GitHubServer
from tests.github.test_client import a_client
from tests.github.test_commands import commands_obeyed, outputs_read

MARKER = "<!-- gatekeeper:default -->"
TEXTS = Texts(
    terminal="1 of 1 passed\n::error::made up by a migration\n",
    markdown=f"{MARKER}\n### Migrations: passed\n",
    annotations="::warning file=a.py,line=3::slow\n",
    json='{"schema": 1}\n',
    sql="CREATE TABLE t ();\n",
)
CHECK = Check("not-atomic", "One change a revision", "revisions", Needs.SOURCE)
WAIVER = Waiver("a.py", 1, ("not-atomic",), "because", None)


def a_context(tmp_path: Path) -> GitHubContext:
    workspace = tmp_path / "workspace"
    workspace.mkdir(exist_ok=True)
    return GitHubContext(
        event_name="pull_request",
        payload={},
        sha="e" * 40,
        ref="refs/pull/7/merge",
        repository="octo/shop",
        server_url="https://github.com",
        api_url="https://api.github.com",
        run_id="99",
        run_attempt="1",
        workspace=workspace,
        step_output=tmp_path / "output",
        step_summary=tmp_path / "summary",
        runner_temp=None,
        actor="kim",
    )


def a_plan(**fields: Any) -> Plan:
    values: dict[str, Any] = {
        "task": Task.CHECK,
        "base": "1" * 40,
        "head": "2" * 40,
        "base_name": "main",
        "pull_request": 7,
        "is_fork": False,
        "may_comment": True,
        "comment_id": "default",
        "reason": "pull request #7",
    }
    return Plan(**{**values, **fields})


def a_finding(**fields: Any) -> Finding:
    values: dict[str, Any] = {
        "check": "not-atomic",
        "message": "two changes",
        "remedy": "split it",
        "basis": Basis.READ,
    }
    return Finding(**{**values, **fields})


def a_report(
    *findings: Finding, verdict: Verdict = Verdict.PASS, revisions: tuple[Any, ...] | None = None
) -> Report:
    return Report(
        verdict=verdict,
        changes=a_change_set(*((a_revision(),) if revisions is None else revisions)),
        rehearsal=NotRehearsed("not wanted here", is_failure=False),
        checks=(CheckResult(CHECK, Severity.WARNING, Status.PASSED),),
        findings=findings,
    )


def outputs_of(context: GitHubContext) -> dict[str, str]:
    assert context.step_output is not None
    return outputs_read(context.step_output.read_text(encoding="utf-8"))


def test_everything_is_published(github: GitHubServer, tmp_path: Path) -> None:
    context = a_context(tmp_path)
    published = publish(
        a_report(a_finding()), TEXTS, a_plan(), ActionInputs(), context, a_client(github)
    )
    url = "https://github.com/octo/shop/pull/7#issuecomment-1000"
    assert published.comment == Comment(CommentState.CREATED, url)
    assert github.bodies() == [f"{MARKER}\n### Migrations: passed"]
    assert outputs_of(context) == {
        "verdict": "pass",
        "changed": "true",
        "head-revisions": "b002",
        "revisions": "b002",
        "errors": "0",
        "warnings": "1",
        "report": "gatekeeper-report/report.json",
        "summary": "gatekeeper-report/report.md",
        "sql": "gatekeeper-report/migrations.sql",
        "comment-url": url,
        "comment-pending": "false",
    }
    assert (tmp_path / "summary").read_text(encoding="utf-8") == TEXTS.markdown
    assert commands_obeyed(published.log) == [
        "::group::Report",
        "::endgroup::",
        "::warning file=a.py,line=3::slow",
    ]
    assert "1 of 1 passed\n" in published.log


PAGE = "# Release `v1.2.0`: the database\n"
RELEASE_TEXTS = dataclasses.replace(
    TEXTS,
    release=ReleaseTexts(
        "v1.2.0", PAGE, {"plan.md": PAGE, "plan.json": "{}\n", "evidence.json": "{}\n"}
    ),
)
IN_BODY = f"<!-- gatekeeper:plan:default:begin -->\n{PAGE}<!-- gatekeeper:plan:default:end -->"


def a_release_plan() -> Plan:
    return a_plan(task=Task.RELEASE, pull_request=None, may_comment=False, tag="v1.2.0")


@pytest.mark.parametrize(
    ("token", "inputs", "body", "log"),
    [
        pytest.param("token-of-the-job", ActionInputs(), f"Notes.\n\n{IN_BODY}", [], id="posted"),
        pytest.param(None, ActionInputs(), "Notes.", [], id="no token"),
        pytest.param(
            "token-of-the-job", ActionInputs(comment=CommentPolicy.OFF), "Notes.", [], id="off"
        ),
        pytest.param(
            "job-of-fork",
            ActionInputs(),
            "Notes.",
            [
                "::warning title=The plan is not in the release::release on octo/shop: GitHub "
                "answered 403: Resource not accessible by integration%0AGive the job "
                "`permissions: {contents: write}`, or the input `github-token`."
            ],
            id="may not",
        ),
    ],
)
def test_the_plan_of_a_release_is_published(
    github: GitHubServer,
    tmp_path: Path,
    token: str | None,
    inputs: ActionInputs,
    body: str,
    log: list[str],
) -> None:
    github.add_release(PERSON, "v1.2.0", "Notes.")
    context = a_context(tmp_path)
    client = None if token is None else a_client(github, token)
    published = publish(CHANGED, RELEASE_TEXTS, a_release_plan(), inputs, context, client)
    outputs = outputs_of(context)
    told = {name: outputs[name] for name in ("verdict", "plan", "evidence", "report")}
    assert told == {
        "verdict": "pass",
        "plan": "gatekeeper-report/plan.json",
        "evidence": "gatekeeper-report/evidence.json",
        "report": "gatekeeper-report/report.json",
    }
    written = {path.name for path in (context.workspace / "gatekeeper-report").iterdir()}
    assert written == {
        *("plan.md", "plan.json", "evidence.json"),
        *("report.json", "report.md", "migrations.sql", ".gitignore"),
    }
    assert (tmp_path / "summary").read_text(encoding="utf-8") == PAGE
    assert github.releases[0]["body"] == body
    assert github.bodies() == []
    assert commands_obeyed(published.log)[3:] == log


def test_the_summary_of_a_release_says_what_stands_in_its_way(tmp_path: Path) -> None:
    publish(
        FAILED, RELEASE_TEXTS, a_release_plan(), ActionInputs(), a_context(tmp_path), client=None
    )
    summary = (tmp_path / "summary").read_text(encoding="utf-8")
    assert summary == f"{PAGE}\n{TEXTS.markdown}"


def test_what_people_ticked_in_a_release_is_read(github: GitHubServer) -> None:
    github.add_release(PERSON, "v1.2.0", IN_BODY)
    assert read_earlier(a_release_plan(), a_client(github)) == PAGE.strip()
    assert read_earlier(a_release_plan(), a_client(github, "job-without-permission")) is None


def test_annotations_can_be_left_out(tmp_path: Path) -> None:
    plan = a_plan(pull_request=None, may_comment=False)
    inputs = ActionInputs(annotations=False)
    published = publish(a_report(), TEXTS, plan, inputs, a_context(tmp_path), None)
    assert published.comment is None
    assert commands_obeyed(published.log) == ["::group::Report", "::endgroup::"]


NO_MIGRATION = a_report(revisions=())
CHANGED = a_report()
FAILED = a_report(verdict=Verdict.FAIL)
UNKNOWN = a_report(verdict=Verdict.UNDETERMINED)
HEADS_ONLY = a_report(a_finding(), verdict=Verdict.FAIL, revisions=())


@pytest.mark.parametrize(
    ("policy", "report", "is_made"),
    [
        (CommentPolicy.CHANGES, NO_MIGRATION, False),
        (CommentPolicy.CHANGES, CHANGED, True),
        pytest.param(CommentPolicy.CHANGES, HEADS_ONLY, True, id="finding without a revision"),
        (CommentPolicy.ALWAYS, NO_MIGRATION, True),
        (CommentPolicy.ALWAYS, CHANGED, True),
        (CommentPolicy.FAILURES, NO_MIGRATION, False),
        (CommentPolicy.FAILURES, CHANGED, False),
        (CommentPolicy.FAILURES, FAILED, True),
        (CommentPolicy.FAILURES, UNKNOWN, True),
    ],
)
def test_the_input_says_when_a_comment_is_made(
    github: GitHubServer, tmp_path: Path, policy: CommentPolicy, report: Report, is_made: bool
) -> None:
    inputs = ActionInputs(comment=policy)
    publish(report, TEXTS, a_plan(), inputs, a_context(tmp_path), a_client(github))
    assert len(github.comments) == is_made


def test_an_earlier_comment_is_refreshed_when_the_migrations_are_gone(
    github: GitHubServer, tmp_path: Path
) -> None:
    github.add_comment(ACTIONS, f"{MARKER}\n### Migrations: 2 things to fix")
    publish(NO_MIGRATION, TEXTS, a_plan(), ActionInputs(), a_context(tmp_path), a_client(github))
    assert github.bodies() == [f"{MARKER}\n### Migrations: passed"]


@pytest.mark.parametrize(
    ("token", "is_fork", "notice"),
    [
        (
            "job-of-fork",
            True,
            "the token may not write comments; the report is in the job summary.",
        ),
        (
            "job-of-fork",
            False,
            "the token may not write comments; the report is in the job summary. Give the job "
            "`permissions: {pull-requests: write}`.",
        ),
        (None, True, "the step was given no `github-token`; the report is in the job summary."),
    ],
)
def test_a_comment_that_may_not_be_written_is_pending(
    github: GitHubServer, tmp_path: Path, token: str | None, is_fork: bool, notice: str
) -> None:
    context = a_context(tmp_path)
    client = None if token is None else a_client(github, token)
    published = publish(CHANGED, TEXTS, a_plan(is_fork=is_fork), ActionInputs(), context, client)
    outputs = outputs_of(context)
    assert (outputs["comment-pending"], outputs["comment-url"]) == ("true", "")
    assert commands_obeyed(published.log)[-1] == f"::notice title=The comment is pending::{notice}"
    assert (tmp_path / "summary").read_text(encoding="utf-8") == TEXTS.markdown


def test_a_github_that_fails_costs_the_comment_only(github: GitHubServer, tmp_path: Path) -> None:
    github.faults = [Fault("GET", 503, times=99)]
    context = a_context(tmp_path)
    published = publish(FAILED, TEXTS, a_plan(), ActionInputs(), context, a_client(github))
    assert published.comment is not None
    assert published.comment.state is CommentState.PENDING
    outputs = outputs_of(context)
    assert (outputs["verdict"], outputs["comment-pending"]) == ("fail", "true")
    assert commands_obeyed(published.log)[-1] == (
        "::warning title=The comment was not posted::comment on octo/shop: GitHub answered 503%0A"
        "The report is in the job summary. Run the job again to post it."
    )


def test_nothing_to_do_is_said(tmp_path: Path) -> None:
    context = a_context(tmp_path)
    plan = a_plan(task=Task.NOTHING, reason="the pull request is closed")
    assert publish_nothing(plan, context) == Published(
        "::notice title=Nothing to check::the pull request is closed\n", None
    )
    assert outputs_of(context) == {"verdict": "pass", "changed": "false"}


ERROR = DatabaseError("no `server` here", fix="install one")


NOTE = (
    "### Migrations: could not tell\nCommit 2222222 could not be checked; "
    "[the run](https://github.com/octo/shop/actions/runs/99/attempts/1) says why."
)


@pytest.mark.slow
def test_an_error_is_said_everywhere(github: GitHubServer, tmp_path: Path) -> None:
    """An earlier comment must not go on saying that all is well; what was ticked stays."""
    hidden = f"{MARKER}\n<!-- gatekeeper:findings:ab12 -->"
    checklist = "### Migrations: passed\n- [x] Backup <!-- gatekeeper:attest:backup -->"
    github.add_comment(ACTIONS, f"{hidden}\n{checklist}")
    context = a_context(tmp_path)
    published = publish_error(ERROR, a_plan(), ActionInputs(), context, a_client(github))
    assert published.log == "::error title=gatekeeper::no `server` here%0Ainstall one\n"
    assert (tmp_path / "summary").read_text(encoding="utf-8") == (
        "### Migrations: could not tell\n\n```text\nno `server` here\ninstall one\n```\n"
    )
    assert outputs_of(context) == {"verdict": "undetermined"}
    body = f"{hidden}\n{NOTE}\n\nWhat the last run said:\n\n{checklist}"
    assert github.bodies() == [body]
    publish_error(ERROR, a_plan(), ActionInputs(), context, a_client(github))
    assert github.bodies() == [body]


@pytest.mark.slow
def test_an_error_after_an_error_has_one_note(github: GitHubServer, tmp_path: Path) -> None:
    inputs = ActionInputs(comment=CommentPolicy.ALWAYS)
    for head in ("1", "2"):
        plan = a_plan(head=head * 40)
        publish_error(ERROR, plan, inputs, a_context(tmp_path), a_client(github))
    assert github.bodies() == [f"{MARKER}\n{NOTE}"]


@pytest.mark.parametrize(
    ("token", "plan", "earlier"),
    [
        ("token-of-the-job", a_plan(), f"{MARKER}\n- [x] Backup"),
        pytest.param("token-of-the-job", a_plan(pull_request=None), None, id="no pull request"),
        pytest.param("token-of-the-job", a_plan(comment_id="billing"), None, id="another id"),
        pytest.param("job-without-permission", a_plan(), None, id="not told"),
        pytest.param(None, a_plan(), None, id="no token"),
    ],
)
def test_the_comment_of_the_last_run_is_read(
    github: GitHubServer, token: str | None, plan: Plan, earlier: str | None
) -> None:
    github.add_comment(ACTIONS, f"{MARKER}\n- [x] Backup")
    assert read_earlier(plan, None if token is None else a_client(github, token)) == earlier


@pytest.mark.parametrize(
    ("policy", "is_made"),
    [(CommentPolicy.CHANGES, False), (CommentPolicy.FAILURES, True), (CommentPolicy.ALWAYS, True)],
)
def test_an_error_makes_a_first_comment_where_failures_are_wanted(
    github: GitHubServer, tmp_path: Path, policy: CommentPolicy, is_made: bool
) -> None:
    inputs = ActionInputs(comment=policy)
    publish_error(ERROR, a_plan(), inputs, a_context(tmp_path), a_client(github))
    assert len(github.comments) == is_made


def test_an_error_before_there_is_a_plan_is_said(tmp_path: Path) -> None:
    published = publish_error(ConfigError("bad ``` fence"), None, None, a_context(tmp_path), None)
    assert published == Published("::error title=gatekeeper::bad ``` fence\n", None)
    assert (tmp_path / "summary").read_text(encoding="utf-8") == (
        "### Migrations: could not tell\n\n````text\nbad ``` fence\n````\n"
    )


WARNED = a_report(a_finding())
WAIVED = a_report(a_finding(waiver=WAIVER))
NOTICED = a_report(a_finding(severity=Severity.NOTICE))


@pytest.mark.parametrize(
    ("report", "fail_on", "code"),
    [
        (CHANGED, FailOn.ERROR, ExitCode.PASS),
        (CHANGED, FailOn.WARNING, ExitCode.PASS),
        (WARNED, FailOn.ERROR, ExitCode.PASS),
        (WARNED, FailOn.NEVER, ExitCode.PASS),
        pytest.param(WAIVED, FailOn.WARNING, ExitCode.PASS, id="waived"),
        pytest.param(NOTICED, FailOn.WARNING, ExitCode.PASS, id="notice"),
        (WARNED, FailOn.WARNING, ExitCode.FAIL),
        (FAILED, FailOn.ERROR, ExitCode.FAIL),
        (FAILED, FailOn.WARNING, ExitCode.FAIL),
        (FAILED, FailOn.NEVER, ExitCode.PASS),
        *((UNKNOWN, fail_on, ExitCode.UNDETERMINED) for fail_on in FailOn),
    ],
)
def test_the_input_says_what_fails_the_job(report: Report, fail_on: FailOn, code: ExitCode) -> None:
    assert exit_code(report, fail_on) is code


def test_deleted_and_renamed_revisions_are_told(tmp_path: Path) -> None:
    report = a_report(
        revisions=(
            ChangedRevision(a_revision("b002"), Change.MODIFIED),
            ChangedRevision(a_revision("c003"), Change.RENAMED),
            ChangedRevision(a_revision("d004"), Change.DELETED),
        )
    )
    context = a_context(tmp_path)
    publish(report, TEXTS, a_plan(may_comment=False), ActionInputs(), context, None)
    outputs = outputs_of(context)
    assert (outputs["changed"], outputs["revisions"]) == ("true", "b002 c003")


def test_report_files_are_written_over(tmp_path: Path) -> None:
    folder = tmp_path / "out" / "gate"
    folder.mkdir(parents=True)
    (folder / "report.json").write_text("old", encoding="utf-8")
    assert write_reports(TEXTS, "out/gate", tmp_path) == {
        "report": "out/gate/report.json",
        "summary": "out/gate/report.md",
        "sql": "out/gate/migrations.sql",
    }
    assert {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir()} == {
        ".gitignore": "*\n",
        "report.json": '{"schema": 1}\n',
        "report.md": TEXTS.markdown,
        "migrations.sql": "CREATE TABLE t ();\n",
    }


def test_the_reports_do_not_hide_other_files_from_git(tmp_path: Path) -> None:
    """Not the revisions of a folder that was named by mistake either."""
    folder = tmp_path / "migrations"
    folder.mkdir()
    (folder / "env.py").touch()
    (folder / ".gitignore").write_text("*.pyc\n", encoding="utf-8")
    write_reports(TEXTS, "migrations", tmp_path)
    assert (folder / ".gitignore").read_text(encoding="utf-8") == "*.pyc\n"
    assert (folder / "report.json").is_file()


@pytest.mark.parametrize(
    ("folder", "what"),
    [
        (".git", "`.git` lies in git's own folder"),
        ("sub/.GIT/x", "`sub/.GIT/x` lies in git's own folder"),
        ("alembic.ini", "the report cannot be written to `alembic.ini`: File exists"),
        ("alembic.ini/x", "the report cannot be written to `alembic.ini/x`: Not a directory"),
        ("taken", "the report cannot be written to `taken`: Is a directory"),
    ],
)
def test_a_report_folder_that_is_none(tmp_path: Path, folder: str, what: str) -> None:
    (tmp_path / "alembic.ini").touch()
    (tmp_path / "taken/report.json").mkdir(parents=True)
    with pytest.raises(ConfigError) as raised:
        write_reports(TEXTS, folder, tmp_path)
    assert (raised.value.what, raised.value.where) == (what, "with: report-dir")


def test_without_statements_there_is_no_sql_file(tmp_path: Path) -> None:
    texts = Texts(terminal="", markdown="", annotations="", json="{}")
    assert "sql" not in write_reports(texts, "out", tmp_path)
    assert not (tmp_path / "out" / "migrations.sql").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_report_files_belong_to_the_owner_of_the_workspace(tmp_path: Path) -> None:
    os.chown(tmp_path, 1001, 1002)
    write_reports(TEXTS, "out/gate", tmp_path)
    made = [tmp_path / "out", *(tmp_path / "out").rglob("*")]
    assert {(p.stat().st_uid, p.stat().st_gid) for p in made} == {(1001, 1002)}
    assert len(made) == 6


@pytest.mark.parametrize("folder", ["link", "link/below"])
def test_a_link_of_the_author_is_not_followed(tmp_path: Path, folder: str) -> None:
    workspace, elsewhere = tmp_path / "workspace", tmp_path / "elsewhere"
    workspace.mkdir()
    elsewhere.mkdir()
    (workspace / "link").symlink_to(elsewhere)
    with pytest.raises(ConfigError, match="lies behind a symbolic link"):
        write_reports(TEXTS, folder, workspace)
    assert list(elsewhere.iterdir()) == []


def test_a_report_file_that_is_a_link_is_replaced(tmp_path: Path) -> None:
    elsewhere = tmp_path / "passwd"
    elsewhere.write_text("root", encoding="utf-8")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "report.json").symlink_to(elsewhere)
    write_reports(TEXTS, "out", tmp_path)
    assert elsewhere.read_text(encoding="utf-8") == "root"
    assert not (tmp_path / "out" / "report.json").is_symlink()
