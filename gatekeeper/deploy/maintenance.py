"""Maintenance is switched on before a target is changed, and off whatever comes of that."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from gatekeeper.deploy.access import session_name
from gatekeeper.deploy.commands import environ_of, run_command, secrets_of_deployment
from gatekeeper.deploy.model import Deployment, DeployOutcome, StepFailed, StepName
from gatekeeper.deploy.run import Ended, Run, signal_of
from gatekeeper.deploy.target import end_backends
from gatekeeper.errors import GatekeeperError, Interrupted

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


# --- In a run ------------------------------------------------------------------------


def enter_maintenance(run: Run, not_needed: str | None) -> None:
    """Keep users out, unless there is a reason why that is not needed."""
    if run.is_switched_on:
        run.journal.skip(StepName.MAINTENANCE_ON, "it was on already")
    elif not_needed is not None:
        run.journal.skip(StepName.MAINTENANCE_ON, not_needed)
    elif run.deployment.environment.maintenance is None:
        run.journal.skip(
            StepName.MAINTENANCE_ON,
            "a window is needed, and the policy has no `maintenance` commands",
        )
    else:
        # Also where the command fails: it may have done half of what it does.
        run.is_in_maintenance = True
        with run.step(StepName.MAINTENANCE_ON) as noted:
            noted.say(*switch_on(run.deployment))


@contextlib.contextmanager
def opened_to_users(run: Run) -> Iterator[None]:
    """Let users in also where the block ends by what nobody foresaw, which is raised on.

    A journal that cannot be written is among that: it comes after what it is to tell.
    """
    try:
        yield
    except BaseException:
        if run.is_in_maintenance and run.hold is not None:
            _let_in(run)
        raise


def _let_in(run: Run) -> None:
    """Switch maintenance off, whatever can be told or written down of that."""
    name = StepName.MAINTENANCE_OFF
    with contextlib.suppress(OSError):
        run.deployment.tell(name.value)
    with contextlib.suppress(GatekeeperError):
        # What the project's code has begun is not to go on among users.
        end_backends(run.deployment.target, session_name(run.deployment.target))
    try:
        try:
            said = switch_off(run.deployment)
        except Interrupted:  # further signals are not heard
            said = switch_off(run.deployment)
    except (GatekeeperError, OSError) as error:
        told = error.sentence if isinstance(error, GatekeeperError) else str(error)
        with contextlib.suppress(OSError):
            run.deployment.tell(f"Switch maintenance off by hand: {told}")
        return
    with contextlib.suppress(OSError):
        run.journal.forget_maintenance()
        with run.journal.step(name) as noted:
            noted.say(*said)


def leave_maintenance(run: Run, ended: Ended) -> Ended:
    """Let users in again, however the deploy ended; return that, or that this failed."""
    if not run.is_in_maintenance:
        has_been_on = run.left is not None and StepName.MAINTENANCE_ON in run.left.begun
        reason = "it was switched off before" if has_been_on else "it was not switched on"
        run.journal.skip(StepName.MAINTENANCE_OFF, reason)
        return ended
    if run.hold is None:
        run.journal.skip(StepName.MAINTENANCE_OFF, "the target is not held by this deploy")
        told = "" if ended.next is None else f" {ended.next}"
        return replace(ended, next=f"Maintenance is still on.{told}")
    try:
        with run.step(StepName.MAINTENANCE_OFF) as noted:
            try:
                noted.say(*switch_off(run.deployment))
            except Interrupted as error:  # further signals are not heard
                noted.say(f"{error.what}; begun again")
                ended = replace(ended, signal=error)
                noted.say(*switch_off(run.deployment))
            run.is_in_maintenance = False
    except GatekeeperError as error:
        told = "" if ended.next is None else f" {ended.next}"
        return Ended(
            DeployOutcome.STOPPED,
            f"Switch maintenance off by hand: {error.sentence}. The deploy itself ended as "
            f"{ended.outcome.value}.{told}",
            ended.signal or signal_of(error),
        )
    return ended
