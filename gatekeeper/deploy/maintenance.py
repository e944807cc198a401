"""Maintenance is switched on before a target is changed, and off whatever comes of that."""

from __future__ import annotations

import time
from pathlib import Path

from gatekeeper.deploy.commands import environ_of, run_command, secrets_of_deployment
from gatekeeper.deploy.model import Deployment, StepFailed

_SECONDS_AT_MOST = 600
_PAUSES_SECONDS = (2, 10)

_NO_COMMANDS = """\
Say in the policy file how to switch it:

    environments:
      {name}:
        maintenance: {{on: "…", off: "…"}}"""


def switch_on(deployment: Deployment) -> tuple[str, ...]:
    """Return what the team's command printed; maintenance is on."""
    maintenance = deployment.environment.maintenance
    if maintenance is None:
        raise StepFailed(
            f'the environment "{deployment.name}" has no commands for maintenance',
            fix=_NO_COMMANDS.format(name=deployment.name),
        )
    return _run(deployment, maintenance.on)


def switch_off(deployment: Deployment) -> tuple[str, ...]:
    """Return what the team's command printed; maintenance is off.

    It is tried again: nobody can use the application until it has succeeded.
    """
    maintenance = deployment.environment.maintenance
    if maintenance is None:
        return ()
    for pause_seconds in _PAUSES_SECONDS:
        try:
            return _run(deployment, maintenance.off)
        except StepFailed as failed:
            deployment.tell(f"maintenance is still on: {failed.sentence}")
        time.sleep(pause_seconds)
    return _run(deployment, maintenance.off)


def _run(deployment: Deployment, line: str) -> tuple[str, ...]:
    secrets = secrets_of_deployment(deployment)
    return run_command(line, environ_of(deployment), Path(), _SECONDS_AT_MOST, secrets).output
