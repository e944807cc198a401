"""Cut the part of GitHub's OpenAPI description and of the example events that tests use.

    npm pack @octokit/openapi @octokit/webhooks-examples
    (unpack both)
    python tests/github/cut_openapi.py OPENAPI/generated/api.github.com.json \\
        WEBHOOKS/api.github.com/index.json

Both packages are MIT. Descriptions and examples are left out; schemas stay as they are.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent

OPERATIONS = {
    "/repos/{owner}/{repo}/issues/{issue_number}/comments": ("get", "post"),
    "/repos/{owner}/{repo}/issues/comments/{comment_id}": ("patch",),
    "/repos/{owner}/{repo}/deployments": ("get", "post"),
    "/repos/{owner}/{repo}/deployments/{deployment_id}/statuses": ("get", "post"),
    "/repos/{owner}/{repo}/releases/tags/{tag}": ("get",),
    "/repos/{owner}/{repo}/releases/{release_id}": ("patch",),
    "/user": ("get",),
}

EVENTS = {
    "pull_request_opened": ("pull_request", {"action": "opened"}),
    "pull_request_synchronize": ("pull_request", {"action": "synchronize"}),
    "pull_request_reopened": ("pull_request", {"action": "reopened"}),
    "pull_request_ready_for_review": ("pull_request", {"action": "ready_for_review"}),
    "pull_request_closed": ("pull_request", {"action": "closed"}),
    "push_new_branch": ("push", {"ref": "refs/heads/master", "created": True}),
    "push_tag": ("push", {"created": True, "ref": "refs/tags/simple-tag"}),
    "push_deleted": ("push", {"deleted": True}),
    "release_published": ("release", {"action": "published"}),
    "merge_group": ("merge_group", {"action": "checks_requested"}),
    "workflow_dispatch": ("workflow_dispatch", {"ref": "refs/heads/main"}),
    "workflow_run": ("workflow_run", {"action": "completed"}),
}


def cut(description: dict[str, Any]) -> dict[str, Any]:
    """Return the operations and every component that they lead to."""
    paths = {
        path: {method: description["paths"][path][method] for method in methods}
        for path, methods in OPERATIONS.items()
    }
    components: dict[str, dict[str, Any]] = {}
    todo: list[Any] = [paths]
    while todo:
        for reference in references(todo.pop()):
            _, _, kind, name = reference.split("/")
            if kind != "examples" and name not in components.setdefault(kind, {}):
                components[kind][name] = description["components"][kind][name]
                todo.append(components[kind][name])
    return bare(
        {"openapi": description["openapi"], "info": {"version": description["info"]["version"]},
         "paths": paths, "components": components}
    )  # fmt: skip


def references(node: Any) -> list[str]:
    if isinstance(node, dict):
        own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
        return own + [r for value in node.values() for r in references(value)]
    if isinstance(node, list):
        return [r for value in node for r in references(value)]
    return []


def bare(node: Any, *, is_named: bool = False) -> Any:
    """Return the node without prose; `is_named` says that its keys are names of a schema."""
    if isinstance(node, list):
        return [bare(value) for value in node]
    if not isinstance(node, dict):
        return node
    prose = ("description", "summary", "example", "examples", "externalDocs", "tags", "title")
    return {
        key: bare(value, is_named=key in ("properties", "schemas", "responses", "parameters"))
        for key, value in node.items()
        if is_named or (key not in prose and not key.startswith("x-"))
    }


def main(openapi: str, webhooks: str) -> None:
    write(HERE / "openapi.json", cut(json.loads(Path(openapi).read_text())))
    examples = {e["name"]: e["examples"] for e in json.loads(Path(webhooks).read_text())}
    for name, (event, wanted) in EVENTS.items():
        found = next(e for e in examples[event] if wanted.items() <= e.items())
        write(HERE / "events" / f"{name}.json", found)


def write(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=1, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
