"""What is left on GitHub of a deploy: its deployment's states, outputs, job summary.

GitHub has no say in a deploy. Where it does not answer, that goes on unseen, and the log
says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from gatekeeper.errors import PublishError
from gatekeeper.github.client import Client
from gatekeeper.github.commands import annotation, group, write_outputs, write_summary
from gatekeeper.github.deployments import (
    Announced,
    DeploymentState,
    begin_deployment,
    tell_state,
)
from gatekeeper.model import Verdict
from gatekeeper.settings import GitHubContext


@dataclass(frozen=True)
class RecordTexts:
    """What a deploy came to, in finished texts; `why` is what a person has to know first.

    `files` are the paths of its files by the names of their outputs.
    """

    verdict: Verdict
    outcome: str
    page: str = field(repr=False)
    why: str | None
    files: Mapping[str, Path]


def publish_record(texts: RecordTexts, context: GitHubContext) -> str:
    """Leave outputs and summary of a deploy; return what belongs in the log."""
    if context.step_summary is not None:
        write_summary(context.step_summary, texts.page)
    if context.step_output is not None:
        paths = {
            name: str(path.relative_to(context.workspace)) for name, path in texts.files.items()
        }
        told = {"verdict": texts.verdict.value, "outcome": texts.outcome}
        write_outputs(context.step_output, {**told, **paths})
    log = group("Record", texts.page)
    if texts.verdict is not Verdict.PASS:
        log += annotation("error", f"Not deployed: {texts.outcome}", texts.why or "See the record.")
    return log


class ShownDeploy:
    """A deploy as GitHub shows it: in progress from its first step on, then how it ended."""

    def __init__(self, client: Client | None) -> None:
        self._client = client
        self._begun: tuple[int, Announced] | None = None

    def begin(self, announced: Announced) -> str:
        """Show that the deploy goes on; return what to log."""
        if self._client is None:
            return ""
        try:
            self._begun = begin_deployment(self._client, announced), announced
        except PublishError as error:
            return annotation("warning", "GitHub shows nothing of the deploy", str(error))
        return self.tell(DeploymentState.IN_PROGRESS, f"{announced.tag} is being deployed")

    def tell(self, state: DeploymentState, description: str) -> str:
        """Show a state of what has begun; return what to log."""
        if self._client is None or self._begun is None:
            return ""
        number, announced = self._begun
        try:
            tell_state(self._client, number, announced, state, description)
        except PublishError as error:
            return annotation("warning", f"GitHub does not show `{state.value}`", str(error))
        return ""
