"""The deployment of a workflow run on GitHub, and what is told of it there.

GitHub makes one by itself for a job that is bound to an environment. A second one would
show the release twice, so that one is taken where there is one.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gatekeeper.github.client import Client, Subject, create, read

DESCRIPTION_CHARACTERS = 140  # GitHub refuses a longer one
_LOOKED_AT = 10  # deployments of one commit to one environment, the newest first

_SUBJECT = Subject(
    "deployment",
    "deployments: write",
    "The deploy goes on without it; the record is in the report folder.",
)


class DeploymentState(enum.Enum):
    IN_PROGRESS = "in_progress"
    SUCCESS = "success"
    FAILURE = "failure"
    ERROR = "error"  # nobody knows what state the target is in


@dataclass(frozen=True)
class Announced:
    """What a deploy is called on GitHub; `environment_url` is where the deployed thing is."""

    tag: str
    commit: str
    environment: str
    environment_url: str | None
    run_id: str
    repository_url: str
    log_url: str


def begin_deployment(client: Client, announced: Announced) -> int:
    """Return the deployment of this workflow run, made where it is not there yet."""

    def find_made() -> Any | None:
        made = (d for d in _deployments(client, announced) if _is_made_by_us(d, announced))
        return next(made, None)

    for deployment in _deployments(client, announced):
        if _is_made_by_us(deployment, announced) or _is_of_run(client, deployment, announced):
            return int(deployment["id"])
    fields = {
        "ref": announced.tag,
        "environment": announced.environment,
        "description": _short(f"Migrations of {announced.tag}"),
        "payload": {"run": announced.run_id},
        # Neither the default branch nor commit statuses have a say: the release has.
        "auto_merge": False,
        "required_contexts": [],
    }
    return int(create(client, _SUBJECT, "deployments", fields, find_made)["id"])


def tell_state(
    client: Client,
    deployment: int,
    announced: Announced,
    state: DeploymentState,
    description: str,
) -> None:
    """Give the deployment a status, which links the log and the deployed thing."""
    path = f"deployments/{deployment}/statuses"
    fields = {
        "state": state.value,
        "description": _short(description),
        "log_url": announced.log_url,
        "environment": announced.environment,
    }
    if announced.environment_url is not None:
        fields["environment_url"] = announced.environment_url

    def find() -> Any | None:
        newest: dict[str, Any] = next(iter(_statuses(client, deployment)), {})
        return newest if fields.items() <= newest.items() else None

    create(client, _SUBJECT, path, fields, find)


def _deployments(client: Client, announced: Announced) -> list[Any]:
    query = {
        "sha": announced.commit,
        "environment": announced.environment,
        "per_page": _LOOKED_AT,
    }
    return read(client, _SUBJECT, "deployments", query) or []


def _statuses(client: Client, deployment: int) -> list[Any]:
    return read(client, _SUBJECT, f"deployments/{deployment}/statuses") or []


def _is_made_by_us(deployment: Mapping[str, Any], announced: Announced) -> bool:
    payload = deployment["payload"]  # any text where another made it
    return isinstance(payload, Mapping) and payload.get("run") == announced.run_id


def _is_of_run(client: Client, deployment: Mapping[str, Any], announced: Announced) -> bool:
    """Tell whether GitHub made it for a job of this run: its log is that of the job."""
    run = f"{announced.repository_url}/actions/runs/{announced.run_id}/"
    statuses = _statuses(client, int(deployment["id"]))
    return any(f"{status.get('log_url') or ''}/".startswith(run) for status in statuses)


def _short(text: str) -> str:
    words = " ".join(text.split())
    if len(words) <= DESCRIPTION_CHARACTERS:
        return words
    return words[: DESCRIPTION_CHARACTERS - 2].rstrip() + " …"
