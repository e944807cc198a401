from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gatekeeper.errors import ConfigError
from gatekeeper.github.decide import Plan, Task, decide
from gatekeeper.settings import ActionInputs, CommentPolicy, GitHubContext, Mode

MERGE = "e" * 40
BASE = "f95f852bd8fca8fcc58a9a2d6c842781e32a215e"
HEAD = "ec26c3e57ca3a959ca5aad62de7213c562f8c821"
PUSHED = "6113728f27ae82c7b1a177c8d03f9e96e0adf246"
NEVER = "0" * 40
INPUTS = ActionInputs()


def event(name: str) -> dict[str, Any]:
    path = Path(__file__).parent / "events" / f"{name}.json"
    loaded: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return loaded


def a_context(event_name: str, payload: dict[str, Any], **fields: Any) -> GitHubContext:
    values: dict[str, Any] = {
        "event_name": event_name,
        "payload": payload,
        "sha": MERGE,
        "ref": "refs/heads/main",
        "repository": "octo/shop",
        "server_url": "https://github.com",
        "api_url": "https://api.github.com",
        "run_id": "1",
        "run_attempt": "1",
        "workspace": Path("/github/workspace"),
        "step_output": None,
        "step_summary": None,
        "runner_temp": None,
        "actor": "kim",
    }
    return GitHubContext(**{**values, **fields})


def a_plan(**fields: Any) -> Plan:
    values: dict[str, Any] = {
        "task": Task.CHECK,
        "base": None,
        "head": MERGE,
        "base_name": None,
        "pull_request": None,
        "is_fork": False,
        "may_comment": False,
        "comment_id": "default",
        "reason": "",
    }
    return Plan(**{**values, **fields})


@pytest.mark.parametrize("name", ["opened", "synchronize", "reopened", "ready_for_review"])
@pytest.mark.parametrize(
    ("checked_out", "base", "what"),
    [
        pytest.param(MERGE, f"{MERGE}^1", "its merge with the base is checked out", id="merge"),
        pytest.param(HEAD, BASE, "its head is checked out", id="head"),
    ],
)
def test_a_pull_request_is_compared_with_its_base(
    name: str, checked_out: str | None, base: str, what: str
) -> None:
    context = a_context("pull_request", event(f"pull_request_{name}"))
    assert decide(context, INPUTS, checked_out) == a_plan(
        base=base,
        head=HEAD,
        base_name="master",
        pull_request=2,
        may_comment=True,
        reason=f"pull request #2: {what}",
    )


@pytest.mark.parametrize(
    ("name", "checked_out", "what"),
    [
        (
            "pull_request",
            BASE,
            "the files of pull request #2 are not checked out: HEAD is `f95f852`, "
            "neither its head nor its merge",
        ),
        (
            "pull_request",
            None,
            "the files of pull request #2 are not checked out: HEAD is no commit, "
            "neither its head nor its merge",
        ),
        (
            "merge_group",
            "a" * 40,
            "the files of the merge group are not checked out: HEAD is `aaaaaaa`, not its head",
        ),
        (
            "push",
            "a" * 40,
            "the files of the push to master are not checked out: HEAD is `aaaaaaa`, "
            "not its last commit",
        ),
    ],
)
def test_other_files_than_those_of_the_event_are_not_judged(
    name: str, checked_out: str | None, what: str
) -> None:
    """What the job checked out may be the base: nothing would be new in it, and all green."""
    payload = {"pull_request": "pull_request_opened", "push": "push_new_branch"}.get(name, name)
    with pytest.raises(ConfigError) as raised:
        decide(a_context(name, event(payload)), INPUTS, checked_out)
    assert raised.value.what == what
    assert "Take `ref` out of the actions/checkout step" in str(raised.value.fix)


def test_a_draft_is_checked_like_others() -> None:
    payload = event("pull_request_opened")
    payload["pull_request"]["draft"] = True
    assert decide(a_context("pull_request", payload), INPUTS, HEAD).task is Task.CHECK


@pytest.mark.parametrize("action", ["edited", "labeled", "unlocked", "enqueued"])
def test_any_other_action_on_an_open_pull_request_is_checked(action: str) -> None:
    payload = {**event("pull_request_opened"), "action": action}
    assert decide(a_context("pull_request", payload), INPUTS, HEAD).task is Task.CHECK


def test_a_closed_pull_request_is_left_alone() -> None:
    plan = decide(a_context("pull_request", event("pull_request_closed")), INPUTS, HEAD)
    assert (plan.task, plan.reason) == (Task.NOTHING, "the pull request is closed")


@pytest.mark.parametrize(
    ("head_repository", "is_fork"),
    [
        pytest.param({"full_name": "Codertocat/Hello-World", "fork": False}, False, id="own"),
        pytest.param(
            {"full_name": "Codertocat/Hello-World", "fork": True}, False, id="own, itself a fork"
        ),
        pytest.param({"full_name": "mallory/Hello-World", "fork": True}, True, id="fork"),
        pytest.param(None, True, id="deleted fork"),
    ],
)
def test_a_fork_is_known_by_its_repository(
    head_repository: dict[str, Any] | None, is_fork: bool
) -> None:
    payload = event("pull_request_opened")
    payload["pull_request"]["head"]["repo"] = head_repository
    assert decide(a_context("pull_request", payload), INPUTS, HEAD).is_fork is is_fork


def test_comments_can_be_turned_off_and_told_apart() -> None:
    inputs = ActionInputs(comment=CommentPolicy.OFF, comment_id="billing")
    plan = decide(a_context("pull_request", event("pull_request_opened")), inputs, HEAD)
    assert (plan.may_comment, plan.comment_id) == (False, "billing")


def test_a_merge_group_is_compared_with_what_it_lands_on() -> None:
    group = event("merge_group")["merge_group"]
    assert decide(a_context("merge_group", event("merge_group")), INPUTS, MERGE) == a_plan(
        base=group["base_sha"],
        head=group["head_sha"],
        base_name="main",
        reason="a merge group is compared with the commit that it will land on",
    )


def a_push(**fields: Any) -> GitHubContext:
    payload = {**event("push_new_branch"), "created": False, **fields}
    return a_context("push", payload, ref=payload["ref"], sha=PUSHED)


@pytest.mark.parametrize("forced", [False, True])
def test_a_push_is_compared_with_the_branch_before_it(forced: bool) -> None:
    context = a_push(before="a" * 40, forced=forced)
    assert decide(context, INPUTS, PUSHED) == a_plan(
        base="a" * 40,
        head=PUSHED,
        base_name="master before the push",
        reason="a push is compared with what the branch was before it",
    )


def test_a_new_branch_is_compared_with_the_default_branch() -> None:
    assert decide(a_push(before=NEVER, ref="refs/heads/topic/x"), INPUTS, PUSHED) == a_plan(
        base=None,
        head=PUSHED,
        base_name="master",
        reason="topic/x is new: it is compared with master",
    )


def test_a_new_default_branch_is_audited() -> None:
    """Compared with itself it would be green with nothing looked at."""
    assert decide(a_push(), INPUTS, PUSHED) == a_plan(
        task=Task.AUDIT,
        head=PUSHED,
        reason="master is new: its whole history is checked",
    )


def test_a_deleted_branch_is_left_alone() -> None:
    plan = decide(a_context("push", event("push_deleted")), INPUTS, MERGE)
    assert (plan.task, plan.reason) == (Task.NOTHING, "refs/tags/simple-tag was deleted")


def a_release(event_name: str, payload: str, **fields: Any) -> GitHubContext:
    loaded = event(payload)
    return a_context(event_name, loaded, ref=loaded.get("ref", "refs/tags/0.0.1"), **fields)


@pytest.mark.parametrize("mode", [Mode.AUTO, Mode.RELEASE])
@pytest.mark.parametrize(
    ("name", "payload", "tag"),
    [("push", "push_tag", "simple-tag"), ("release", "release_published", "0.0.1")],
)
def test_a_tag_is_rehearsed_as_a_release(mode: Mode, name: str, payload: str, tag: str) -> None:
    context = a_release(name, payload)
    assert decide(context, ActionInputs(mode=mode), PUSHED) == a_plan(
        task=Task.RELEASE, head=PUSHED, reason=f"the release {tag} is rehearsed", tag=tag
    )


@pytest.mark.parametrize(
    ("ref", "tag"), [("refs/tags/api/v1.2.0", "api/v1.2.0"), ("refs/heads/main", None)]
)
def test_a_release_by_hand_is_that_of_the_tag_or_of_what_is_checked_out(
    ref: str, tag: str | None
) -> None:
    context = a_context("workflow_dispatch", event("workflow_dispatch"), ref=ref)
    plan = decide(context, ActionInputs(mode=Mode.RELEASE), PUSHED)
    assert (plan.task, plan.tag) == (Task.RELEASE, tag)


def test_a_tag_is_deployed_where_that_is_asked_for() -> None:
    inputs = ActionInputs(mode=Mode.DEPLOY, environment="staging")
    assert decide(a_release("push", "push_tag"), inputs, PUSHED) == a_plan(
        task=Task.DEPLOY,
        head=PUSHED,
        reason="the release simple-tag is deployed to staging",
        tag="simple-tag",
    )


@pytest.mark.parametrize("mode", [Mode.AUTO, Mode.RELEASE, Mode.DEPLOY])
@pytest.mark.parametrize("action", ["deleted", "unpublished"])
def test_a_release_that_is_gone_is_left_alone(mode: Mode, action: str) -> None:
    context = a_context("release", {**event("release_published"), "action": action})
    plan = decide(context, ActionInputs(mode=mode), PUSHED)
    assert (plan.task, plan.reason) == (Task.NOTHING, "refs/tags/0.0.1 was deleted")


@pytest.mark.parametrize("mode", [Mode.RELEASE, Mode.DEPLOY])
@pytest.mark.parametrize("name", ["pull_request", "merge_group", "schedule"])
def test_an_event_that_is_about_no_release_is_refused(name: str, mode: Mode) -> None:
    with pytest.raises(ConfigError) as caught:
        decide(a_context(name, {}), ActionInputs(mode=mode), PUSHED)
    assert str(caught.value) == (
        f"with: mode: the event `{name}` is about no release\n"
        f"Use `mode: {mode.value}` on one of push, release, workflow_dispatch, such as "
        "`on: {push: {tags: ['v*']}}`."
    )


def test_a_tag_with_a_base_is_compared_with_it() -> None:
    plan = decide(a_context("push", event("push_tag")), ActionInputs(base="v1"), MERGE)
    assert (plan.task, plan.base, plan.base_name) == (Task.CHECK, "v1", "v1")


@pytest.mark.parametrize(
    ("name", "payload", "ref", "expected"),
    [
        ("schedule", {"schedule": "0 3 * * *"}, "refs/heads/main", (Task.AUDIT, None)),
        (
            "workflow_dispatch",
            event("workflow_dispatch"),
            "refs/heads/{default}",
            (Task.AUDIT, None),
        ),
        (
            "workflow_dispatch",
            event("workflow_dispatch"),
            "refs/heads/topic",
            (Task.CHECK, "{default}"),
        ),
    ],
)
def test_by_the_clock_or_by_hand(
    name: str, payload: dict[str, Any], ref: str, expected: tuple[Task, str | None]
) -> None:
    default = payload.get("repository", {}).get("default_branch", "main")
    context = a_context(name, payload, ref=ref.format(default=default))
    plan = decide(context, INPUTS, MERGE)
    task, base_name = expected
    assert (plan.task, plan.base) == (task, None)
    assert plan.base_name == (base_name and base_name.format(default=default))


def test_the_input_base_wins() -> None:
    inputs = ActionInputs(base="origin/release")
    plan = decide(a_context("pull_request", event("pull_request_opened")), inputs, MERGE)
    assert plan == a_plan(
        base="origin/release",
        head=HEAD,
        base_name="origin/release",
        pull_request=2,
        may_comment=True,
        reason="compared with `origin/release`, as the input `base` says",
    )


@pytest.mark.parametrize(
    ("name", "payload", "words"),
    [
        ("pull_request_target", event("pull_request_opened"), "with the repository's secrets"),
        ("workflow_run", event("workflow_run"), "not in this version"),
        ("issue_comment", {}, "the event `issue_comment` does not say what to compare"),
        ("pull_request", {}, "the event that GitHub wrote has no `pull_request`"),
        ("push", {"ref": "refs/heads/x"}, "the event that GitHub wrote has no `before`"),
    ],
)
def test_other_events_are_refused(name: str, payload: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        decide(a_context(name, payload), INPUTS, MERGE)


def test_a_mode_that_this_version_lacks_is_refused() -> None:
    context = a_context("pull_request", event("pull_request_opened"))
    with pytest.raises(ConfigError, match="`mode: publish` is not in this version"):
        decide(context, ActionInputs(mode=Mode.PUBLISH), HEAD)
