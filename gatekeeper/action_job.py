"""What the step of a workflow has to do, handed on in one piece."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gatekeeper.github.client import Client
from gatekeeper.github.decide import Plan
from gatekeeper.request import Request, Surroundings
from gatekeeper.settings import ActionInputs, GitHubContext


@dataclass(frozen=True)
class Job:
    """What an event calls for, with all that it takes; `echo` writes to the step's log."""

    project: Request
    surroundings: Surroundings
    echo: Callable[[str], None]
    context: GitHubContext
    inputs: ActionInputs
    plan: Plan
    client: Client | None
