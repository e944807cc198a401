"""What is left on GitHub after a run: report files, outputs, job summary, comment.

Nothing in here changes a verdict. What could not be published is said, and that is all.
"""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from gatekeeper.errors import ConfigError, ExitCode, GatekeeperError, PublishError
from gatekeeper.github.client import Client, Comment, CommentState, find_comment, upsert_comment
from gatekeeper.github.commands import (
    annotation,
    group,
    limit_annotations,
    write_outputs,
    write_summary,
)
from gatekeeper.github.decide import Plan, Task
from gatekeeper.github.release_body import put_plan, read_plan
from gatekeeper.model import Change, Report, Severity, Verdict
from gatekeeper.settings import ActionInputs, CommentPolicy, FailOn, GitHubContext

_UNKNOWN = "### Migrations: could not tell"
_LAST_RUN = "What the last run said:"
_NOTE = re.compile(rf"\A{_UNKNOWN}\nCommit [^\n]*\s*({_LAST_RUN}\s*)?")


_PLAN_OUTPUTS = {"plan": "plan.json", "evidence": "evidence.json"}
_REPORT_FILES = (
    "report.json",
    "report.md",
    "migrations.sql",
    "plan.md",
    *_PLAN_OUTPUTS.values(),
)
_ANOTHER_FOLDER = "Name a folder below the workspace that is not there yet, or leave it out."


@dataclass(frozen=True)
class ReleaseTexts:
    """The plan of a release as a page, and as files for the deploy that carries it out."""

    tag: str
    page: str = field(repr=False)
    files: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True)
class Texts:
    """The finished texts of a report; `sql` is None where no statement ran.

    `release` is None for a check, which has no plan.
    """

    terminal: str = field(repr=False)
    markdown: str = field(repr=False)
    annotations: str = field(repr=False)
    json: str = field(repr=False)
    sql: str | None = field(default=None, repr=False)
    release: ReleaseTexts | None = None


@dataclass(frozen=True)
class Published:
    """What a run left behind; `log` is for standard output, commands included."""

    log: str
    comment: Comment | None


def publish(
    report: Report,
    texts: Texts,
    plan: Plan,
    inputs: ActionInputs,
    context: GitHubContext,
    client: Client | None,
) -> Published:
    """Leave report files, outputs, summary and comment; return what belongs in the log.

    The plan of a release goes into the body of the tag's GitHub release. `client` is None
    where the step was given no token. Files and summary come first, so a GitHub that does not
    answer costs comment and body only.
    """
    files = write_reports(texts, inputs.report_dir, context.workspace)
    if context.step_summary is not None:
        write_summary(context.step_summary, _summary(report, texts))
    comment, log = _comment(texts.markdown, plan, inputs, client, _wanted(report, inputs.comment))
    if context.step_output is not None:
        write_outputs(context.step_output, {**_outputs(report), **files, **_told(comment)})
    if texts.release is not None and client is not None:
        log += _put_plan(texts.release, inputs, client)
    shown = limit_annotations(texts.annotations) if inputs.annotations else ""
    return Published(group("Report", texts.terminal) + shown + log, comment)


def publish_nothing(plan: Plan, context: GitHubContext) -> Published:
    """Say that the event called for nothing, and why."""
    if context.step_output is not None:
        write_outputs(context.step_output, {"verdict": Verdict.PASS.value, "changed": "false"})
    return Published(annotation("notice", "Nothing to check", plan.reason), None)


def publish_error(
    error: GatekeeperError,
    plan: Plan | None,
    inputs: ActionInputs | None,
    context: GitHubContext,
    client: Client | None,
) -> Published:
    """Say that nothing is known; an earlier comment must not go on saying "passed".

    `plan` and `inputs` are None where the error came before there were any.
    """
    sentence = str(error)
    if context.step_summary is not None:
        fence = "`" * max(3, _longest_run(sentence) + 1)
        write_summary(context.step_summary, f"{_UNKNOWN}\n\n{fence}text\n{sentence}\n{fence}\n")
    if context.step_output is not None:
        write_outputs(context.step_output, {"verdict": Verdict.UNDETERMINED.value})
    comment, log = None, ""
    if plan is not None and inputs is not None:
        earlier = read_earlier(plan, client) or ""
        note = (
            f"{_UNKNOWN}\nCommit {plan.head[:7]} could not be checked; "
            f"[the run]({context.run_url}) says why."
        )
        wanted = inputs.comment in (CommentPolicy.ALWAYS, CommentPolicy.FAILURES)
        comment, log = _comment(_outdated(earlier, note), plan, inputs, client, wanted)
    return Published(annotation("error", "gatekeeper", sentence) + log, comment)


def read_earlier(plan: Plan, client: Client | None) -> str | None:
    """Return what the last run posted, None where there is none or GitHub does not tell.

    That is the comment, or the plan in a release's body. It holds what people ticked, so it
    has to be read before a new one is written.
    """
    if client is None:
        return None
    try:
        if plan.task in (Task.RELEASE, Task.DEPLOY) and plan.tag is not None:
            return read_plan(client, plan.tag, plan.comment_id)
        if plan.may_comment and plan.pull_request is not None:
            return find_comment(client, plan.pull_request, plan.comment_id)
    except PublishError:
        return None
    return None


def exit_code(report: Report, fail_on: FailOn) -> ExitCode:
    """Return how the step ends. What could not be told never passes, whatever the input."""
    if report.verdict is Verdict.UNDETERMINED:
        return ExitCode.UNDETERMINED
    if fail_on is FailOn.NEVER:
        return ExitCode.PASS
    if report.verdict is Verdict.FAIL:
        return ExitCode.FAIL
    warned = _count(report, Severity.WARNING) > 0
    return ExitCode.FAIL if warned and fail_on is FailOn.WARNING else ExitCode.PASS


def write_reports(texts: Texts, folder: str, workspace: Path) -> dict[str, str]:
    """Write the report files and return their outputs, paths relative to the workspace.

    Later steps run outside the container, where the workspace has another path. The files
    belong to the workspace's owner. The folder comes with the author's tree, so no link is
    followed on the way to it. Git is told to look away where nothing else is in it: new
    revisions that it does not see would not be checked.
    """
    target = report_folder(folder, workspace)
    contents = {"report.json": texts.json, "report.md": texts.markdown}
    if texts.sql is not None:
        contents["migrations.sql"] = texts.sql
    if texts.release is not None:
        contents.update(texts.release.files)
    made = [path for path in (target, *target.parents) if not path.exists()]
    try:
        target.mkdir(parents=True, exist_ok=True)
        if {path.name for path in target.iterdir()} <= {*_REPORT_FILES, ".gitignore"}:
            contents[".gitignore"] = "*\n"
        for name, text in contents.items():
            path = target / name
            path.unlink(missing_ok=True)
            with path.open("x", encoding="utf-8", newline="\n") as file:
                file.write(text)
            made.append(path)
    except OSError as error:
        raise ConfigError(
            f"the report cannot be written to `{folder}`: {error.strerror}",
            where="with: report-dir",
            fix=_ANOTHER_FOLDER,
        ) from error
    give_to_owner(made, workspace)
    outputs = {"report": f"{folder}/report.json", "summary": f"{folder}/report.md"}
    if texts.sql is not None:
        outputs["sql"] = f"{folder}/migrations.sql"
    if texts.release is not None:
        outputs |= {name: f"{folder}/{file}" for name, file in _PLAN_OUTPUTS.items()}
    return outputs


def report_folder(folder: str, workspace: Path) -> Path:
    """Return the folder of the input `report-dir`, which need not be there yet."""
    target = workspace / folder
    if ".git" in (part.lower() for part in target.relative_to(workspace).parts):
        raise ConfigError(
            f"`{folder}` lies in git's own folder", where="with: report-dir", fix=_ANOTHER_FOLDER
        )
    if target.resolve() != workspace.resolve() / folder:
        raise ConfigError(
            f"`{folder}` is or lies behind a symbolic link",
            where="with: report-dir",
            fix="Take another folder, or remove the link from the repository.",
        )
    return target


def give_to_owner(paths: Iterable[Path], workspace: Path) -> None:
    """Let files that root has made belong to whom the workspace belongs to."""
    if os.geteuid() == 0:
        owner = workspace.stat()
        for path in paths:
            os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)


def _outdated(earlier: str, note: str) -> str:
    """Return a comment that leads with the note and keeps what people ticked below it.

    The hidden lines on top stay on top, where the reporters look for them. The note of an
    earlier error is replaced.
    """
    lines = earlier.replace("\r\n", "\n").split("\n")
    hidden = list(itertools.takewhile(lambda line: line.startswith("<!--"), lines))
    rest = _NOTE.sub("", "\n".join(lines[len(hidden) :]).strip())
    older = ["", _LAST_RUN, "", rest] if rest else []
    return "\n".join([*hidden, note, *older])


def _comment(
    body: str, plan: Plan, inputs: ActionInputs, client: Client | None, wanted: bool
) -> tuple[Comment | None, str]:
    if not plan.may_comment or plan.pull_request is None:
        return None, ""
    if client is None:
        comment = Comment(CommentState.PENDING, reason="the step was given no `github-token`")
    else:
        try:
            comment = upsert_comment(
                client, plan.pull_request, body, inputs.comment_id, may_create=wanted
            )
        except PublishError as error:
            log = annotation("warning", "The comment was not posted", str(error))
            return Comment(CommentState.PENDING, reason=error.what), log
    if comment.state is not CommentState.PENDING:
        return comment, ""
    why = f"{comment.reason}; the report is in the job summary."
    if not plan.is_fork:
        why += " Give the job `permissions: {pull-requests: write}`."
    return comment, annotation("notice", "The comment is pending", why)


def _summary(report: Report, texts: Texts) -> str:
    """Return the checklist, or the plan and what stands in the way of it."""
    if texts.release is None:
        return texts.markdown
    page = texts.release.page
    return page if report.verdict is Verdict.PASS else f"{page}\n{texts.markdown}"


def _put_plan(release: ReleaseTexts, inputs: ActionInputs, client: Client) -> str:
    """Put the plan into the GitHub release where there is one; return what the log says of it."""
    if inputs.comment is CommentPolicy.OFF:
        return ""
    try:
        put_plan(client, release.tag, release.page, inputs.comment_id)
    except PublishError as error:
        return annotation("warning", "The plan is not in the release", str(error))
    return ""


def _wanted(report: Report, policy: CommentPolicy) -> bool:
    if policy is CommentPolicy.FAILURES:
        return report.verdict is not Verdict.PASS
    return policy is CommentPolicy.ALWAYS or _is_changed(report) or bool(report.findings)


def _is_changed(report: Report) -> bool:
    return any(c.change is not Change.UNCHANGED for c in report.changes.revisions)


def _outputs(report: Report) -> dict[str, str]:
    return {
        "verdict": report.verdict.value,
        "changed": str(_is_changed(report)).lower(),
        "head-revisions": " ".join(report.changes.head_heads),
        "revisions": " ".join(
            c.revision.revision
            for c in report.changes.revisions
            if c.change not in (Change.UNCHANGED, Change.DELETED)
        ),
        "errors": str(_count(report, Severity.ERROR)),
        "warnings": str(_count(report, Severity.WARNING)),
    }


def _told(comment: Comment | None) -> Mapping[str, str]:
    pending = comment is not None and comment.state is CommentState.PENDING
    url = "" if comment is None or comment.url is None else comment.url
    return {"comment-url": url, "comment-pending": str(pending).lower()}


def _count(report: Report, severity: Severity) -> int:
    by_check = {result.check.id: result.severity for result in report.checks}
    weights = (
        by_check.get(f.check, Severity.ERROR) if f.severity is None else f.severity
        for f in report.findings
        if f.waiver is None
    )
    return sum(weight is severity for weight in weights)


def _longest_run(text: str) -> int:
    """Return the length of the longest run of backticks, which a fence must outdo."""
    longest = current = 0
    for character in text:
        current = current + 1 if character == "`" else 0
        longest = max(longest, current)
    return longest
