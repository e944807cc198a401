from __future__ import annotations

import pytest

from gatekeeper.errors import PublishError
from gatekeeper.github.client import (
    Client,
    Comment,
    CommentState,
    find_comment,
    open_client,
    upsert_comment,
)
from tests.github.server import (
    ACTIONS,
    ANOTHER_APP,
    PERSON,
    Account,
    Fault,
    GitHubServer,
    running_server,
    violations_of_answer,
    violations_of_request,
)

MARKER = "<!-- gatekeeper:default -->"
URL = "https://github.com/octo/shop/pull/7#issuecomment-"


def a_client(github: GitHubServer, token: str = "token-of-the-job") -> Client:
    return open_client(
        github.url, github.repository, token, backoff_seconds=0.01, longest_wait_seconds=1
    )


def upsert(client: Client, body: str = "new", *, may_create: bool = True) -> Comment:
    return upsert_comment(client, 7, body, "default", may_create=may_create)


def test_a_first_comment_is_created_with_its_marker(github: GitHubServer) -> None:
    assert upsert(a_client(github)) == Comment(CommentState.CREATED, f"{URL}1000")
    assert github.bodies() == [f"{MARKER}\nnew"]
    assert github.comments[0]["user"]["login"] == "github-actions[bot]"


def test_a_body_that_has_its_marker_gets_no_second_one(github: GitHubServer) -> None:
    upsert(a_client(github), f"{MARKER}\nnew")
    assert github.bodies() == [f"{MARKER}\nnew"]


def test_no_comment_is_made_where_none_is_wanted(github: GitHubServer) -> None:
    assert upsert(a_client(github), may_create=False) == Comment(CommentState.NOT_WANTED)
    assert github.bodies() == []


@pytest.mark.parametrize("may_create", [True, False])
def test_an_earlier_comment_is_brought_up_to_date(github: GitHubServer, may_create: bool) -> None:
    github.add_comment(ACTIONS, f"{MARKER}\nold")
    comment = upsert(a_client(github), may_create=may_create)
    assert comment == Comment(CommentState.UPDATED, f"{URL}1000")
    assert github.bodies() == [f"{MARKER}\nnew"]


def test_an_equal_comment_is_left_alone(github: GitHubServer) -> None:
    """GitHub turns line ends into CRLF and strips the end; that is no change."""
    github.add_comment(ACTIONS, f"{MARKER}\r\nnew\r\nline")
    assert upsert(a_client(github), "new\nline\n\n").state is CommentState.UNCHANGED
    assert (github.sent("PATCH"), github.sent("POST")) == (0, 0)


def test_comments_with_another_id_are_kept_apart(github: GitHubServer) -> None:
    github.add_comment(ACTIONS, "<!-- gatekeeper:billing -->\nold")
    assert upsert(a_client(github)).state is CommentState.CREATED
    assert github.bodies() == ["<!-- gatekeeper:billing -->\nold", f"{MARKER}\nnew"]


def test_our_comment_is_found_on_the_third_page(github: GitHubServer) -> None:
    for number in range(230):
        github.add_comment(PERSON, f"remark {number}")
    github.add_comment(ACTIONS, f"{MARKER}\nold")
    assert upsert(a_client(github)) == Comment(CommentState.UPDATED, f"{URL}1230")
    assert github.sent("GET") == 3 + 1  # three pages and /user


@pytest.mark.slow  # GitHub asks for a second between two POST requests
@pytest.mark.parametrize(
    ("token", "other"),
    [
        pytest.param("token-of-the-job", PERSON, id="a person against the job's token"),
        pytest.param("token-of-the-job", ANOTHER_APP, id="another app against the job's token"),
        pytest.param(
            "token-of-the-job", Account(6, "github-actions"), id="a person of a similar name"
        ),
        pytest.param("token-of-the-job", None, id="a deleted account"),
        pytest.param("app", ACTIONS, id="the job's token against an app's"),
        pytest.param("person", ACTIONS, id="the job's token against a person's"),
        pytest.param("job-without-graphql", PERSON, id="a person where GraphQL is refused"),
    ],
)
def test_anothers_comment_with_our_marker_is_never_edited(
    github: GitHubServer, token: str, other: Account | None
) -> None:
    github.add_comment(other, f"{MARKER}\nnot ours")
    assert upsert(a_client(github, token)).state is CommentState.CREATED
    assert github.bodies() == [f"{MARKER}\nnot ours", f"{MARKER}\nnew"]
    assert github.sent("PATCH") == 0


def test_our_comment_that_quotes_the_marker_is_not_taken_for_the_checklist(
    github: GitHubServer,
) -> None:
    github.add_comment(ACTIONS, f"> {MARKER}\n> old")
    assert upsert(a_client(github)).state is CommentState.CREATED


@pytest.mark.parametrize(
    ("token", "author"),
    [
        ("token-of-the-job", ACTIONS),
        ("app", ANOTHER_APP),
        ("person", PERSON),
        pytest.param("job-without-graphql", ACTIONS, id="known by its login alone"),
    ],
)
def test_each_kind_of_token_finds_its_own_comment(
    github: GitHubServer, token: str, author: Account
) -> None:
    github.add_comment(author, f"{MARKER}\nold")
    assert upsert(a_client(github, token)).state is CommentState.UPDATED


def test_the_body_of_our_comment_can_be_read_back(github: GitHubServer) -> None:
    client = a_client(github)
    assert find_comment(client, 7, "default") is None
    github.add_comment(ACTIONS, f"{MARKER}\n- [x] backup")
    assert find_comment(client, 7, "default") == f"{MARKER}\n- [x] backup"


@pytest.mark.parametrize("token", ["job-of-fork", "job-without-permission"])
@pytest.mark.parametrize("earlier", [True, False])
def test_a_token_that_may_not_write_leaves_the_comment_pending(
    github: GitHubServer, token: str, earlier: bool
) -> None:
    if earlier:
        github.add_comment(ACTIONS, f"{MARKER}\nold")
    pending = Comment(CommentState.PENDING, reason="the token may not write comments")
    assert upsert(a_client(github, token)) == pending


def test_a_wrong_token_is_said(github: GitHubServer) -> None:
    with pytest.raises(PublishError) as caught:
        upsert(a_client(github, "stolen"))
    assert str(caught.value) == (
        "comment on octo/shop: GitHub answered 401: Bad credentials\n"
        "Give the job `permissions: {pull-requests: write}`, or the input `github-token`."
    )


def test_a_body_over_the_limit_is_refused_by_github(github: GitHubServer) -> None:
    with pytest.raises(PublishError, match="GitHub answered 422: Validation Failed"):
        upsert(a_client(github), "x" * 65_536)


def test_a_pull_request_that_is_not_there_is_said(github: GitHubServer) -> None:
    github.pull_request = 8
    with pytest.raises(PublishError, match="GitHub answered 404: Not Found"):
        upsert(a_client(github))


def test_a_failing_read_is_tried_again(github: GitHubServer) -> None:
    github.faults = [Fault("GET", 502, times=2)]
    assert upsert(a_client(github)).state is CommentState.CREATED
    assert github.sent("GET") == 3


def test_a_failing_edit_is_tried_again(github: GitHubServer) -> None:
    github.add_comment(ACTIONS, f"{MARKER}\nold")
    github.faults = [Fault("PATCH", 500)]
    assert upsert(a_client(github)).state is CommentState.UPDATED
    assert github.bodies() == [f"{MARKER}\nnew"]


@pytest.mark.slow
def test_a_creation_whose_answer_was_lost_is_not_repeated(github: GitHubServer) -> None:
    github.faults = [Fault("POST", 502, performs=True)]
    assert upsert(a_client(github)) == Comment(CommentState.CREATED, f"{URL}1000")
    assert github.bodies() == [f"{MARKER}\nnew"]


@pytest.mark.slow
def test_a_creation_that_failed_is_made_once_more(github: GitHubServer) -> None:
    github.faults = [Fault("POST", 502)]
    assert upsert(a_client(github)).state is CommentState.CREATED
    assert (github.sent("POST"), github.bodies()) == (2, [f"{MARKER}\nnew"])


@pytest.mark.slow
@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    ("status", "message", "headers"),
    [
        (429, "Too many requests", {"Retry-After": "1"}),
        (403, "You have exceeded a secondary rate limit.", {"Retry-After": "1"}),
        (403, "You have exceeded a secondary rate limit.", {}),
    ],
)
def test_a_rate_limit_is_waited_for(
    github: GitHubServer, method: str, status: int, message: str, headers: dict[str, str]
) -> None:
    github.faults = [Fault(method, status, message, headers)]
    assert upsert(a_client(github)).state is CommentState.CREATED
    assert github.bodies() == [f"{MARKER}\nnew"]


def test_a_rate_limit_that_lasts_too_long_is_said(github: GitHubServer) -> None:
    """An exhausted hourly limit must not hold the job for an hour, and is not "pending"."""
    headers = {"X-RateLimit-Reset": "4102444800", "X-RateLimit-Remaining": "0"}
    github.faults = [Fault("GET", 403, "API rate limit exceeded for installation.", headers)]
    with pytest.raises(PublishError, match="GitHub answered 403: API rate limit exceeded"):
        upsert(a_client(github))


def test_a_github_that_fails_for_good_is_said(github: GitHubServer) -> None:
    github.faults = [Fault("GET", 503, times=99)]
    with pytest.raises(PublishError, match="GitHub answered 503"):
        upsert(a_client(github))


def test_a_github_that_cannot_be_reached_is_said() -> None:
    with running_server() as gone:
        url = gone.url
    client = open_client(url, "octo/shop", "token-of-the-job", backoff_seconds=0.01)
    with pytest.raises(PublishError, match=r"GitHub did not answer \(ConnectionError\)"):
        upsert(client)


@pytest.mark.parametrize(
    ("method", "path", "data", "problem"),
    [
        ("PUT", "/repos/a/b/issues/7/comments", {}, "GitHub has no such operation"),
        ("GET", "/repos/a/b/issues/7/labels", None, "GitHub has no such operation"),
        ("GET", "/user", {}, "a body where none belongs"),
        ("POST", "/repos/a/b/issues/7/comments", {}, "'body' is a required property"),
        ("PATCH", "/repos/a/b/issues/comments/1", {"body": 1}, "1 is not of type 'string'"),
    ],
)
def test_the_local_github_notices_a_wrong_request(
    method: str, path: str, data: object, problem: str
) -> None:
    (violation,) = violations_of_request(method, path, data)
    assert problem in violation


def test_the_local_github_notices_a_wrong_answer_of_its_own() -> None:
    comment = GitHubServer().add_comment(ACTIONS, "text")
    wrong = {**comment, "user": {**comment["user"], "id": "a word"}}
    path = "/repos/a/b/issues/7/comments"
    assert violations_of_answer("GET", path, 200, [comment, {**comment, "user": None}]) == []
    assert len(violations_of_answer("GET", path, 200, [wrong])) == 1
    assert len(violations_of_answer("GET", path, 418, [])) == 1


def test_the_token_is_in_no_representation(github: GitHubServer) -> None:
    assert "token-of" not in repr(a_client(github))
