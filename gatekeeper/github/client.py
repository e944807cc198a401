"""What we ask of GitHub, and the checklist comment. The only module that knows PyGithub.

Reading and editing may be repeated; creating may not, for an answer that got lost does not
mean that nothing was made. So there are two clients with two ways to try again, and after
a creation of unknown outcome what was made is looked for before it is made once more.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import requests
from github import Auth, Github, GithubException, GithubRetry
from github.Issue import Issue
from github.IssueComment import IssueComment

from gatekeeper.errors import PublishError

ATTEMPTS = 4
TIMEOUT_SECONDS = 20
# The comment is not worth holding a job for longer; GitHub's primary limit resets hourly.
LONGEST_WAIT_SECONDS = 90

# What comments made with the job's own token are signed with. A person's login holds no
# brackets, so nobody can be called that.
ACTIONS_BOT = "github-actions[bot]"

T = TypeVar("T")

_VIEWER = "query { viewer { databaseId } }"


class CommentState(enum.Enum):
    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    NOT_WANTED = "not wanted"
    PENDING = "pending"


@dataclass(frozen=True)
class Comment:
    """What became of the comment. `reason` says why it is not there."""

    state: CommentState
    url: str | None = None
    reason: str | None = None


@dataclass(frozen=True)
class Client:
    """One repository, as the owner of the token sees it."""

    repository: str
    repeating: Github = field(repr=False)
    careful: Github = field(repr=False)


@dataclass(frozen=True)
class Subject:
    """What is asked of GitHub, for the sentence on why it was not to be had.

    `permission` is what the job has to be given for it, `fix` what helps where GitHub fails.
    """

    name: str
    permission: str
    fix: str


_COMMENT = Subject(
    "comment",
    "pull-requests: write",
    "The report is in the job summary. Run the job again to post it.",
)


def open_client(
    api_url: str,
    repository: str,
    token: str,
    *,
    backoff_seconds: float = 1.0,
    longest_wait_seconds: float = LONGEST_WAIT_SECONDS,
) -> Client:
    """Return a client; nothing is sent yet."""

    def github(*, methods: set[str], statuses: list[int], read: int | bool) -> Github:
        retry = GithubRetry(
            total=ATTEMPTS,
            read=read,
            allowed_methods=methods,
            status_forcelist=statuses,
            backoff_factor=backoff_seconds,
            secondary_rate_wait=min(60.0, longest_wait_seconds),
            max_rate_limit_wait=longest_wait_seconds,
            # Without it urllib3 waits for as long as a `Retry-After` says, days if need be.
            retry_after_max=int(longest_wait_seconds),
            raise_on_status=False,
        )
        return Github(
            auth=Auth.Token(token),
            base_url=api_url,
            timeout=TIMEOUT_SECONDS,
            per_page=100,
            retry=retry,
            seconds_between_requests=None,  # a handful of reads needs no pause
            lazy=True,
            user_agent="gatekeeper",
        )

    return Client(
        repository=repository,
        repeating=github(methods={"GET", "PATCH"}, statuses=[429, *range(500, 600)], read=ATTEMPTS),
        careful=github(methods={"POST"}, statuses=[429], read=False),
    )


def read(
    client: Client, subject: Subject, path: str, parameters: Mapping[str, Any] | None = None
) -> Any:
    """Return what lies at a path of the repository, None where nothing does."""
    try:
        return _send(client.repeating, client, "GET", path, parameters=dict(parameters or {}))
    except GithubException as error:
        if error.status == 404:
            return None
        raise _publish_error(client, error, subject) from error
    except requests.RequestException as error:
        raise _publish_error(client, error, subject) from error


def edit(client: Client, subject: Subject, path: str, fields: Mapping[str, Any]) -> Any:
    """Change these fields of what lies at a path of the repository, and no other."""
    try:
        return _send(client.repeating, client, "PATCH", path, input=dict(fields))
    except (GithubException, requests.RequestException) as error:
        raise _publish_error(client, error, subject) from error


def create(
    client: Client,
    subject: Subject,
    path: str,
    fields: Mapping[str, Any],
    find: Callable[[], Any | None],
) -> Any:
    """Make something once; `find` looks for it where GitHub's answer was lost."""
    try:
        return _create_once(
            lambda: _send(client.careful, client, "POST", path, input=dict(fields)), find
        )
    except (GithubException, requests.RequestException) as error:
        raise _publish_error(client, error, subject) from error


def marker(comment_id: str) -> str:
    """Return the first line of every comment of ours, invisible on GitHub."""
    return f"<!-- gatekeeper:{comment_id} -->"


def find_comment(client: Client, number: int, comment_id: str) -> str | None:
    """Return the body of our comment on a pull request, None where there is none yet."""
    try:
        comment = _find(client, number, comment_id)
    except (GithubException, requests.RequestException) as error:
        raise _publish_error(client, error, _COMMENT) from error
    return None if comment is None else comment.body


def upsert_comment(
    client: Client, number: int, body: str, comment_id: str, *, may_create: bool
) -> Comment:
    """Make the pull request carry this comment once.

    An earlier comment is always brought up to date, lest it tells of a state that is
    over; a new one is made where `may_create` says so. A token that may not write (a
    fork's, Dependabot's) gives a pending comment, not an error.
    """
    body = f"{marker(comment_id)}\n{body.removeprefix(marker(comment_id)).lstrip()}"
    try:
        return _upsert(client, number, body, comment_id, may_create)
    except (GithubException, requests.RequestException) as error:
        if isinstance(error, GithubException) and _is_read_only(error):
            return Comment(CommentState.PENDING, reason="the token may not write comments")
        raise _publish_error(client, error, _COMMENT) from error


def _upsert(client: Client, number: int, body: str, comment_id: str, may_create: bool) -> Comment:
    comment = _find(client, number, comment_id)
    if comment is None:
        if not may_create:
            return Comment(CommentState.NOT_WANTED)
        made = _create_once(
            lambda: _issue(client.careful, client.repository, number).create_comment(body),
            lambda: _find(client, number, comment_id),
        )
        return Comment(CommentState.CREATED, made.html_url)
    if _same(comment.body, body):
        return Comment(CommentState.UNCHANGED, comment.html_url)
    comment.edit(body)
    return Comment(CommentState.UPDATED, comment.html_url)


def _issue(github: Github, repository: str, number: int) -> Issue:
    return github.get_repo(repository).get_issue(number)


def _create_once(make: Callable[[], T], find: Callable[[], T | None]) -> T:
    """Return what was made, or found where it is not known whether it was."""
    try:
        return make()
    except (GithubException, requests.RequestException) as error:
        if isinstance(error, GithubException) and error.status < 500:
            raise
        found = find()
        return make() if found is None else found


def _send(github: Github, client: Client, method: str, path: str, **request: Any) -> Any:
    url = f"/repos/{client.repository}/{path}"
    return github.requester.requestJsonAndCheck(method, url, **request)[1]


def _find(client: Client, number: int, comment_id: str) -> IssueComment | None:
    """Return our oldest comment: it begins with the marker *and* the token's owner wrote it.

    Others' comments may carry the marker, by quoting ours or to be overwritten by us.
    """
    first_line = marker(comment_id)
    marked = [
        comment
        for comment in _issue(client.repeating, client.repository, number).get_comments()
        if (comment.body or "").startswith(first_line)
    ]
    if not marked:
        return None
    own_id = _own_id(client)
    for comment in marked:
        author: Any = comment.user  # null once the account is deleted
        if author is None:
            continue
        if author.id == own_id or (own_id is None and author.login == ACTIONS_BOT):
            return comment
    return None


def _own_id(client: Client) -> int | None:
    """Return the account that the token's comments are signed with, None if not told.

    A person's token may ask for `/user`. An app's token, such as the job's own, may not;
    GraphQL tells it, with the number that REST gives as the author's id.
    """
    try:
        return int(client.repeating.get_user().id)
    except GithubException as error:
        if error.status != 403:
            raise
    try:
        _, answer = client.careful.requester.graphql_query(_VIEWER, {})
    except GithubException:
        return None
    number = answer["data"]["viewer"]["databaseId"]
    return None if number is None else int(number)


def _same(there: str, new: str) -> bool:
    """GitHub gives bodies back with its own line ends and without blank ends."""
    return there.replace("\r\n", "\n").strip() == new.replace("\r\n", "\n").strip()


def _is_read_only(error: GithubException) -> bool:
    """403 also says "slow down"; that is told apart by GitHub's message."""
    return error.status == 403 and "rate limit" not in _message(error).lower()


def _message(error: GithubException) -> str:
    return str(error.data.get("message", "")) if isinstance(error.data, dict) else ""


def _publish_error(
    client: Client, error: GithubException | requests.RequestException, subject: Subject
) -> PublishError:
    where = f"{subject.name} on {client.repository}"
    if isinstance(error, requests.RequestException):
        return PublishError(
            f"GitHub did not answer ({type(error).__name__})", where=where, fix=subject.fix
        )
    said = _message(error)
    what = f"GitHub answered {error.status}" + (f": {said}" if said else "")
    fix = subject.fix
    if error.status in (401, 404) or _is_read_only(error):
        fix = f"Give the job `permissions: {{{subject.permission}}}`, or the input `github-token`."
    return PublishError(what, where=where, fix=fix)
