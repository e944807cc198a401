"""After the upgrade: does the application work? The team's commands and addresses say so."""

from __future__ import annotations

import time
from pathlib import Path

from gatekeeper.deploy.commands import environ_of, run_command, secrets_of_deployment
from gatekeeper.deploy.model import Deployment, StepFailed
from gatekeeper.deploy.web import Unanswered, ask
from gatekeeper.policy.model import HealthProbe
from gatekeeper.probe.indexes import mask

_COMMAND_SECONDS = 1800
_HEALTH_SECONDS = 60
_PAUSE_SECONDS = 2


def run_smoke_tests(
    deployment: Deployment, *, health_seconds: float = _HEALTH_SECONDS
) -> tuple[str, ...]:
    """Return what there is to say of the smoke tests, all of which passed.

    The first that fails is a `StepFailed`. An address is asked again for `health_seconds`:
    an application that was restarted takes its time.
    """
    secrets = secrets_of_deployment(deployment)
    environ = environ_of(deployment)
    told: list[str] = []
    for line in deployment.environment.smoke_test:
        deployment.tell(f"smoke test: {mask(line, secrets)}")
        ran = run_command(line, environ, Path(), _COMMAND_SECONDS, secrets)
        told += [f"$ {mask(line, secrets)}", *ran.output]
    for probe in deployment.environment.health:
        deployment.tell(f"health: {mask(probe.url, secrets)}")
        told.append(_check(probe, mask(probe.url, secrets), health_seconds))
    return tuple(told)


def _check(probe: HealthProbe, name: str, health_seconds: float) -> str:
    deadline = time.monotonic() + health_seconds
    while True:
        problem = _problem(probe)
        if problem is None:
            return f"{name} answered with {probe.status}"
        if time.monotonic() >= deadline:
            raise StepFailed(
                f"{name} {problem} instead of answering with {probe.status}",
                fix=f"See what it says: `curl --include '{name}'`",
                details={"url": name, "expected": probe.status, "problem": problem},
            )
        time.sleep(min(_PAUSE_SECONDS, max(0.0, deadline - time.monotonic())))


def _problem(probe: HealthProbe) -> str | None:
    """Return what is wrong with the answer of an address, None where nothing is."""
    try:
        answer = ask(probe.url, follow=not 300 <= probe.status < 400)
    except Unanswered as error:
        return str(error)
    return None if answer.status == probe.status else f"answers with {answer.status}"
