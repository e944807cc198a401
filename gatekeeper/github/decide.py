"""What an event calls for: payload and inputs in, a plan out. No I/O.

An event that is not known to be right is refused: a job that is green because nothing was
looked at is worse than one that says what to change in the workflow.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gatekeeper.errors import ConfigError
from gatekeeper.settings import ActionInputs, CommentPolicy, GitHubContext, Mode

EVENTS = ("pull_request", "merge_group", "push", "schedule", "workflow_dispatch")
_TAGS = "refs/tags/"
_OF_RELEASES = ("push", "release", "workflow_dispatch")


class Task(enum.Enum):
    CHECK = "check"
    AUDIT = "audit"  # `check --all`: the whole history
    RELEASE = "release"
    DEPLOY = "deploy"
    NOTHING = "nothing"


@dataclass(frozen=True)
class Plan:
    """What this run has to do.

    `base` is anything git resolves; None leaves it to the default branch. `head` is the
    sha that links and reports name: of a pull request the author's commit, though the
    work tree may hold its merge with the base. `base_name` is the base as a person would
    say it. `may_comment` says that there is a pull request and the inputs allow comments.
    `tag` is that of a release; None leaves it to what is checked out.
    """

    task: Task
    base: str | None
    head: str
    base_name: str | None
    pull_request: int | None
    is_fork: bool
    may_comment: bool
    comment_id: str
    reason: str
    tag: str | None = None


def decide(context: GitHubContext, inputs: ActionInputs, checked_out: str | None) -> Plan:
    """Return the plan for an event; `checked_out` is the sha that HEAD of the workspace is at."""
    if inputs.mode is Mode.PUBLISH:
        raise ConfigError(
            "`mode: publish` is not in this version",
            where="with: mode",
            fix="Take `mode` out of the step, or use `mode: check`.",
        )
    name, payload = context.event_name, context.payload
    if inputs.mode in (Mode.RELEASE, Mode.DEPLOY) or (
        inputs.mode is Mode.AUTO and _is_of_tag(context, inputs)
    ):
        return _release(payload, inputs, context, checked_out)
    if name == "pull_request":
        return _pull_request(payload, inputs, context.sha, checked_out)
    if name == "push":
        return _push(payload, inputs, context, checked_out)
    if name == "merge_group":
        group = _at(payload, "merge_group")
        if checked_out not in (_at(group, "head_sha"), context.sha):
            raise _not_checked_out(checked_out, "the merge group", "not its head")
        return _plan(
            inputs,
            base=_at(group, "base_sha"),
            head=_at(group, "head_sha"),
            base_name=_branch(_at(group, "base_ref")),
            reason="a merge group is compared with the commit that it will land on",
        )
    if name in ("schedule", "workflow_dispatch"):
        return _by_clock_or_hand(payload, inputs, context)
    raise _refused(name)


def _pull_request(
    payload: Mapping[str, Any], inputs: ActionInputs, sha: str, checked_out: str | None
) -> Plan:
    """Compare with the base as the checked-out commit knows it.

    `base.sha` of the event is where the base was when the event arose; the merge commit
    that GitHub makes may sit on a later one. Compared with `base.sha`, revisions that
    others merged meanwhile would be taken for the author's.
    """
    request = _at(payload, "pull_request")
    head, base = _at(request, "head"), _at(request, "base")
    head_repository = head.get("repo")  # null once the fork is deleted
    is_fork = (
        head_repository is None or head_repository["full_name"] != _at(base, "repo")["full_name"]
    )
    number, base_commit = int(_at(request, "number")), _at(base, "sha")
    task = Task.CHECK
    if payload.get("action") == "closed":
        task, reason = Task.NOTHING, "the pull request is closed"
    elif checked_out == _at(head, "sha"):
        reason = f"pull request #{number}: its head is checked out"
    elif checked_out == sha:
        base_commit = f"{sha}^1"
        reason = f"pull request #{number}: its merge with the base is checked out"
    else:
        raise _not_checked_out(
            checked_out, f"pull request #{number}", "neither its head nor its merge"
        )
    return _plan(
        inputs,
        task=task,
        base=base_commit,
        head=_at(head, "sha"),
        base_name=_at(base, "ref"),
        pull_request=number,
        is_fork=is_fork,
        reason=reason,
    )


def _is_of_tag(context: GitHubContext, inputs: ActionInputs) -> bool:
    """Tell whether an event is about a release by itself; `base` asks for a comparison."""
    if inputs.base is not None:
        return False
    is_pushed = context.event_name == "push" and _at(context.payload, "ref").startswith(_TAGS)
    return is_pushed or context.event_name == "release"


def _release(
    payload: Mapping[str, Any],
    inputs: ActionInputs,
    context: GitHubContext,
    checked_out: str | None,
) -> Plan:
    """Return what to do with the event's tag; that it is checked out is seen by its commit."""
    name, head = context.event_name, checked_out or context.sha
    if name not in _OF_RELEASES:
        raise ConfigError(
            f"the event `{name}` is about no release",
            where="with: mode",
            fix=f"Use `mode: {inputs.mode.value}` on one of {', '.join(_OF_RELEASES)}, such as "
            "`on: {push: {tags: ['v*']}}`.",
        )
    ref = _at(payload, "ref") if name == "push" else context.ref
    if name == "release":
        ref = _TAGS + _at(_at(payload, "release"), "tag_name")
    tag = ref.removeprefix(_TAGS) if ref.startswith(_TAGS) else None
    is_gone = payload.get("deleted") or payload.get("action") in ("deleted", "unpublished")
    what = "the release that is checked out" if tag is None else f"the release {tag}"
    task, done = Task.RELEASE, "rehearsed"
    if inputs.mode is Mode.DEPLOY:
        task, done = Task.DEPLOY, f"deployed to {inputs.environment}"
    return Plan(
        task=Task.NOTHING if is_gone else task,
        base=None,
        head=head,
        base_name=inputs.base,
        pull_request=None,
        is_fork=False,
        may_comment=False,
        comment_id=inputs.comment_id,
        reason=f"{ref} was deleted" if is_gone else f"{what} is {done}",
        tag=tag,
    )


def _push(
    payload: Mapping[str, Any],
    inputs: ActionInputs,
    context: GitHubContext,
    checked_out: str | None,
) -> Plan:
    ref = _at(payload, "ref")
    if payload.get("deleted"):
        return _plan(
            inputs, task=Task.NOTHING, base=None, head=context.sha, reason=f"{ref} was deleted"
        )
    if checked_out != context.sha:
        raise _not_checked_out(checked_out, f"the push to {_branch(ref)}", "not its last commit")
    before, default = _at(payload, "before"), _at(payload, "repository")["default_branch"]
    if before.strip("0"):
        return _plan(
            inputs,
            base=before,
            head=context.sha,
            base_name=f"{_branch(ref)} before the push",
            reason="a push is compared with what the branch was before it",
        )
    is_default = ref == f"refs/heads/{default}"
    return _plan(
        inputs,
        task=Task.AUDIT if is_default else Task.CHECK,
        base=None,
        head=context.sha,
        base_name=None if is_default else default,
        reason=f"{_branch(ref)} is new: "
        + ("its whole history is checked" if is_default else f"it is compared with {default}"),
    )


def _by_clock_or_hand(
    payload: Mapping[str, Any], inputs: ActionInputs, context: GitHubContext
) -> Plan:
    """On the default branch there is nothing to compare with, so the history is audited."""
    # A `schedule` event carries no repository; it always runs on the default branch.
    default = payload.get("repository", {}).get("default_branch", _branch(context.ref))
    on_default = context.event_name == "schedule" or context.ref == f"refs/heads/{default}"
    return _plan(
        inputs,
        task=Task.AUDIT if on_default else Task.CHECK,
        base=None,
        head=context.sha,
        base_name=None if on_default else default,
        reason="the whole history of the default branch is checked"
        if on_default
        else f"{_branch(context.ref)} is compared with {default}",
    )


def _plan(
    inputs: ActionInputs,
    *,
    base: str | None,
    head: str,
    reason: str,
    task: Task = Task.CHECK,
    base_name: str | None = None,
    pull_request: int | None = None,
    is_fork: bool = False,
) -> Plan:
    """Return the plan with the input `base` in its place."""
    if inputs.base is not None and task is not Task.NOTHING:
        task, base, base_name = Task.CHECK, inputs.base, inputs.base
        reason = f"compared with `{inputs.base}`, as the input `base` says"
    return Plan(
        task=task,
        base=base,
        head=head,
        base_name=base_name,
        pull_request=pull_request,
        is_fork=is_fork,
        may_comment=pull_request is not None and inputs.comment is not CommentPolicy.OFF,
        comment_id=inputs.comment_id,
        reason=reason,
    )


def _not_checked_out(checked_out: str | None, what: str, why: str) -> ConfigError:
    """Return the refusal to judge other files than those that the event is about."""
    at = "no commit" if checked_out is None else f"`{checked_out[:7]}`"
    return ConfigError(
        f"the files of {what} are not checked out: HEAD is {at}, {why}",
        where="the workspace",
        fix="Take `ref` out of the actions/checkout step, and let no step in between commit or "
        "switch to another commit.",
    )


def _refused(event: str) -> ConfigError:
    if event == "pull_request_target":
        return ConfigError(
            "`pull_request_target` would run the author's code with the repository's secrets",
            where="on: pull_request_target",
            fix="Use `on: pull_request`. A fork's token is read-only there: the report is in the "
            "job summary.",
        )
    if event == "workflow_run":
        return ConfigError(
            "publishing a report of another workflow run is not in this version",
            where="on: workflow_run",
            fix="Use `on: pull_request`; the report of a fork is in its job summary.",
        )
    return ConfigError(
        f"the event `{event}` does not say what to compare",
        where="on",
        fix=f"Use one of {', '.join(EVENTS)}.",
    )


def _branch(ref: str) -> str:
    return ref.removeprefix("refs/heads/").removeprefix(_TAGS)


def _at(mapping: Mapping[str, Any], key: str) -> Any:
    if mapping.get(key) is None:
        raise ConfigError(
            f"the event that GitHub wrote has no `{key}`",
            where="GITHUB_EVENT_PATH",
            fix="Run the action on the event itself, not on a payload written by hand.",
        )
    return mapping[key]
