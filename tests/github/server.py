"""A small GitHub that keeps comments, deployments and releases.

It holds every exchange against GitHub's OpenAPI.

What a request or an answer has wrong is kept in `violations`; the fixture asserts that
there is none. GraphQL is not in the OpenAPI description: the one query is answered as is.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from jsonschema import Draft4Validator

OPENAPI = json.loads((Path(__file__).parent / "openapi.json").read_text(encoding="utf-8"))
BODY_LIMIT = 65_536
RELEASE_BODY_LIMIT = 125_000


@dataclass(frozen=True)
class Account:
    """Who a token stands for. An app may not ask for `/user`."""

    id: int
    login: str
    is_app: bool = False
    may_read: bool = True
    may_write: bool = True
    graphql: bool = True


ACTIONS = Account(41898282, "github-actions[bot]", is_app=True)
ANOTHER_APP = Account(777, "release-helper[bot]", is_app=True)
PERSON = Account(5, "kim")

TOKENS = {
    "token-of-the-job": ACTIONS,
    "job-of-fork": Account(41898282, "github-actions[bot]", is_app=True, may_write=False),
    "job-without-permission": Account(
        41898282, "github-actions[bot]", is_app=True, may_read=False, may_write=False
    ),
    "job-without-graphql": Account(41898282, "github-actions[bot]", is_app=True, graphql=False),
    "app": ANOTHER_APP,
    "person": PERSON,
}


@dataclass
class Fault:
    """An answer given in place of the right one, to requests whose path ends so.

    `performs` lets the request have its effect.
    """

    method: str
    status: int
    message: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    times: int = 1
    performs: bool = False
    path: str = ""

    def fits(self, method: str, path: str) -> bool:
        is_meant = method == self.method and path.endswith(self.path) and path != "/graphql"
        return is_meant and self.times > 0


@dataclass
class GitHubServer:
    """The state of one repository and its pull request; tests write and read it directly.

    `shas` are the commits of refs; one that is not there is made up.
    """

    url: str = ""
    repository: str = "octo/shop"
    pull_request: int = 7
    comments: list[dict[str, Any]] = field(default_factory=list)
    deployments: list[dict[str, Any]] = field(default_factory=list)
    statuses: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    releases: list[dict[str, Any]] = field(default_factory=list)
    shas: dict[str, str] = field(default_factory=dict)
    requests: list[tuple[str, str]] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)

    def add_comment(self, author: Account | None, body: str) -> dict[str, Any]:
        number = 1000 + len(self.comments)
        html = f"https://github.com/{self.repository}/pull/{self.pull_request}"
        comment = {
            "id": number,
            "node_id": f"IC_{number}",
            "url": f"{self.url}/repos/{self.repository}/issues/comments/{number}",
            "html_url": f"{html}#issuecomment-{number}",
            "issue_url": f"{self.url}/repos/{self.repository}/issues/{self.pull_request}",
            "body": body.strip(),
            "user": None if author is None else self.user(author),
            "created_at": "2026-11-01T10:00:00Z",
            "updated_at": "2026-11-01T10:00:00Z",
            "author_association": "NONE",
            "performed_via_github_app": None,
        }
        self.comments.append(comment)
        return comment

    def add_deployment(self, author: Account, ref: str, **fields: Any) -> dict[str, Any]:
        """Make a deployment as a request with these fields does."""
        number = 2000 + len(self.deployments)
        url = f"{self.url}/repos/{self.repository}/deployments/{number}"
        deployment = {
            **self._made(number, "DE", url, author),
            "sha": self.shas.get(ref, "5" * 40),
            "ref": ref,
            "task": fields.get("task", "deploy"),
            "payload": fields.get("payload", ""),
            "environment": fields.get("environment", "production"),
            "original_environment": fields.get("environment", "production"),
            "description": fields.get("description", ""),
            "statuses_url": f"{url}/statuses",
            "repository_url": f"{self.url}/repos/{self.repository}",
            "transient_environment": False,
            "production_environment": fields.get("environment") == "production",
            "performed_via_github_app": None,
        }
        self.deployments.append(deployment)
        self.statuses[number] = []
        return deployment

    def add_status(self, author: Account, deployment: int, **fields: Any) -> dict[str, Any]:
        """Give a deployment a status as a request with these fields does."""
        made = next(d for d in self.deployments if d["id"] == deployment)
        number = 3000 + sum(map(len, self.statuses.values()))
        status = {
            **self._made(number, "DES", f"{made['statuses_url']}/{number}", author),
            "state": fields["state"],
            "description": fields.get("description", ""),
            "environment": fields.get("environment", made["environment"]),
            "environment_url": fields.get("environment_url", ""),
            "log_url": fields.get("log_url", ""),
            "target_url": fields.get("log_url", ""),
            "deployment_url": made["url"],
            "repository_url": made["repository_url"],
            "performed_via_github_app": None,
        }
        self.statuses[deployment].append(status)
        return status

    def add_release(self, author: Account, tag: str, body: str | None) -> dict[str, Any]:
        number = 4000 + len(self.releases)
        url = f"{self.url}/repos/{self.repository}/releases/{number}"
        made = self._made(number, "RE", url, author)
        release = {
            **made,
            "author": made["creator"],
            "assets_url": f"{url}/assets",
            "upload_url": f"{url}/assets{{?name,label}}",
            "html_url": f"https://github.com/{self.repository}/releases/tag/{tag}",
            "tarball_url": None,
            "zipball_url": None,
            "tag_name": tag,
            "target_commitish": "main",
            "name": tag,
            "body": body,
            "draft": False,
            "prerelease": False,
            "published_at": made["created_at"],
            "assets": [],
        }
        self.releases.append(release)
        return release

    def _made(self, number: int, kind: str, url: str, author: Account) -> dict[str, Any]:
        return {
            "id": number,
            "node_id": f"{kind}_{number}",
            "url": url,
            "creator": self.user(author),
            "created_at": "2026-11-01T10:00:00Z",
            "updated_at": "2026-11-01T10:00:00Z",
        }

    def states(self) -> list[str]:
        """Return the states that the only deployment went through."""
        ((_, statuses),) = self.statuses.items()
        return [status["state"] for status in statuses]

    def bodies(self) -> list[str]:
        return [comment["body"] for comment in self.comments]

    def sent(self, method: str) -> int:
        return sum(m == method for m, path in self.requests if path != "/graphql")

    def user(self, account: Account) -> dict[str, Any]:
        url = f"https://api.github.com/users/{account.login}"
        links = ("followers", "following", "gists", "starred", "subscriptions", "organizations")
        links = (*links, "repos", "events", "received_events")
        return {
            "login": account.login,
            "id": account.id,
            "node_id": f"U_{account.id}",
            "avatar_url": "https://avatars.githubusercontent.com/u/1",
            "gravatar_id": "",
            "url": url,
            "html_url": f"https://github.com/{account.login}",
            **{f"{link}_url": f"{url}/{link}" for link in links},
            "type": "Bot" if account.is_app else "User",
            "site_admin": False,
        }

    def answer(
        self, method: str, target: str, token: str, data: Any
    ) -> tuple[int, Any, dict[str, str]]:
        """Return status, JSON value and headers of the answer to a request."""
        address = urlsplit(target)
        account = TOKENS.get(token)
        if account is None:
            return 401, _error("Bad credentials", 401), {}
        if address.path == "/graphql":
            if not account.graphql:
                return 403, _error("Resource not accessible by integration", 403), {}
            return 200, {"data": {"viewer": {"databaseId": account.id}}}, {}
        if address.path == "/user":
            if account.is_app:
                return 403, _error("Resource not accessible by integration", 403), {}
            return 200, self._private_user(account), {}
        base = f"/repos/{self.repository}/"
        path = address.path.removeprefix(base)
        if not address.path.startswith(base) or not self._has(path):
            return 404, _error("Not Found", 404), {}
        may = account.may_read if method == "GET" else account.may_write
        if not may:
            return 403, _error("Resource not accessible by integration", 403), {}
        query = {name: values[0] for name, values in parse_qs(address.query).items()}
        if path.startswith("issues/"):
            return self._comments(account, method, path, query, data)
        if path.startswith("releases/"):
            return self._releases(method, path, data)
        return self._deployments(account, method, path, query, data)

    def _has(self, path: str) -> bool:
        if path.startswith("releases/tags/"):
            return any(r["tag_name"] == unquote(path[14:]) for r in self.releases)
        numbers = [d["id"] for d in self.deployments]
        return bool(
            path in (f"issues/{self.pull_request}/comments", "deployments")
            or re.fullmatch(r"(issues/comments|releases)/\d+", path)
            or path in (f"deployments/{number}/statuses" for number in numbers)
        )

    def _comments(
        self, account: Account, method: str, path: str, query: dict[str, str], data: Any
    ) -> tuple[int, Any, dict[str, str]]:
        if method == "GET":
            return self._page(path, query, self.comments)
        if len(data["body"]) > BODY_LIMIT:
            return 422, _too_long("IssueComment", BODY_LIMIT), {}
        if method == "POST":
            return 201, self.add_comment(account, data["body"]), {}
        number = int(path.rpartition("/")[2])
        comment = next(c for c in self.comments if c["id"] == number)
        comment["body"] = data["body"].strip()
        return 200, comment, {}

    def _releases(self, method: str, path: str, data: Any) -> tuple[int, Any, dict[str, str]]:
        last = unquote(path.rpartition("/")[2])
        release = next(r for r in self.releases if last in (r["tag_name"], str(r["id"])))
        if method == "PATCH":
            if len(data.get("body", "")) > RELEASE_BODY_LIMIT:
                return 422, _too_long("Release", RELEASE_BODY_LIMIT), {}
            release.update(data)
        return 200, release, {}

    def _deployments(
        self, account: Account, method: str, path: str, query: dict[str, str], data: Any
    ) -> tuple[int, Any, dict[str, str]]:
        if path == "deployments":
            if method == "POST":
                return 201, self.add_deployment(account, **data), {}
            wanted = {name: query[name] for name in ("sha", "environment") if name in query}
            found = [d for d in self.deployments if wanted.items() <= d.items()]
            return self._page(path, query, found[::-1])
        number = int(path.split("/")[1])
        if method == "GET":
            return self._page(path, query, self.statuses[number][::-1])
        return 201, self.add_status(account, number, **data), {}

    def _page(
        self, path: str, query: dict[str, str], items: list[Any]
    ) -> tuple[int, Any, dict[str, str]]:
        size = min(100, int(query.get("per_page", "30")))
        page = int(query.get("page", "1"))
        headers = {}
        if page * size < len(items):
            url = f"{self.url}/repos/{self.repository}/{path}"
            headers["Link"] = f'<{url}?per_page={size}&page={page + 1}>; rel="next"'
        return 200, items[(page - 1) * size : page * size], headers

    def _private_user(self, account: Account) -> dict[str, Any]:
        none = ("name", "company", "blog", "location", "email", "hireable", "bio")
        counts = ("public_repos", "public_gists", "followers", "following", "private_gists")
        counts = (*counts, "total_private_repos", "owned_private_repos", "disk_usage")
        dates = ("created_at", "updated_at")
        return {
            **self.user(account),
            **dict.fromkeys(none),
            **dict.fromkeys(counts, 0),
            **dict.fromkeys(dates, "2020-01-01T00:00:00Z"),
            "collaborators": 0,
            "two_factor_authentication": True,
        }


@contextmanager
def running_server(port: int = 0) -> Iterator[GitHubServer]:
    """Serve on this machine until the end of the block."""
    state = GitHubServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def exchange(self) -> None:
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            data = json.loads(raw) if raw else None
            path = urlsplit(self.path).path
            state.requests.append((self.command, path))
            token = self.headers.get("Authorization", "").partition(" ")[2]
            fault = next((f for f in state.faults if f.fits(self.command, path)), None)
            if fault is not None:
                fault.times -= 1
                if fault.performs:
                    state.answer(self.command, self.path, token, data)
                self.reply(fault.status, _error(fault.message, fault.status), fault.headers)
                return
            problems = violations_of_request(self.command, path, data)
            status, value, headers = state.answer(self.command, self.path, token, data)
            state.violations += problems
            state.violations += violations_of_answer(self.command, path, status, value)
            self.reply(status, value, headers)

        do_GET = do_POST = do_PATCH = exchange  # noqa: N815

        def reply(self, status: int, value: Any, headers: dict[str, str]) -> None:
            body = json.dumps(value).encode()
            self.send_response(status)
            for name, text in headers.items():
                self.send_header(name, text)
            self.send_header("Content-Type", "application/json; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Stay silent: tests read `requests`."""

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    state.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def violations_of_request(method: str, path: str, data: Any) -> list[str]:
    if path == "/graphql":
        return []
    operation = _operation(method, path)
    if operation is None:
        return [f"{method} {path}: GitHub has no such operation (or the test data lacks it)"]
    body = operation.get("requestBody")
    if body is None:
        return [] if data is None else [f"{method} {path}: a body where none belongs"]
    return _violations(method, path, body["content"]["application/json"]["schema"], data)


def violations_of_answer(method: str, path: str, status: int, value: Any) -> list[str]:
    operation = _operation(method, path)
    # 401 and 403 may come from any operation, listed or not.
    if path == "/graphql" or operation is None or status in (401, 403):
        return []
    response = _resolved(operation["responses"].get(str(status)))
    if response is None:
        return [f"{method} {path}: GitHub does not answer {status}"]
    return _violations(method, path, response["content"]["application/json"]["schema"], value)


def _operation(method: str, path: str) -> dict[str, Any] | None:
    # The fixed parts of a path win over its parameters: `comments/{comment_id}` first.
    for template in sorted(OPENAPI["paths"], key=lambda t: t.count("{")):
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path):
            operation = OPENAPI["paths"][template].get(method.lower())
            if operation is not None:
                return dict(operation)
    return None


def _resolved(node: Any) -> Any:
    if isinstance(node, dict) and "$ref" in node:
        _, _, kind, name = node["$ref"].split("/")
        return OPENAPI["components"][kind][name]
    return node


def _violations(method: str, path: str, schema: Any, value: Any) -> list[str]:
    root = {"allOf": [_json_schema(schema)], "components": _json_schema(OPENAPI["components"])}
    checker = Draft4Validator(root)
    return [f"{method} {path}: {e.json_path}: {e.message}" for e in checker.iter_errors(value)]


def _json_schema(node: Any) -> Any:
    """Return an OpenAPI 3.0 schema as JSON Schema: `nullable` becomes a type."""
    if isinstance(node, list):
        return [_json_schema(part) for part in node]
    if not isinstance(node, dict):
        return node
    made = {key: _json_schema(part) for key, part in node.items()}
    if made.pop("nullable", None) is True:
        return {"anyOf": [{"type": "null"}, made]}
    return made


def _error(message: str, status: int) -> dict[str, str]:
    return {
        "message": message,
        "documentation_url": "https://docs.github.com/rest",
        "status": str(status),
    }


def _too_long(resource: str, limit: int) -> dict[str, Any]:
    text = f"Body is too long (maximum is {limit} characters)"
    return {
        "message": "Validation Failed",
        "documentation_url": "https://docs.github.com/rest",
        "errors": [{"resource": resource, "code": "unprocessable", "message": text}],
    }
