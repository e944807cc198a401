"""Trackers and chats get the record of a deploy; whether they do changes nothing of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from gatekeeper.deploy.commands import run_command, secrets_in
from gatekeeper.deploy.model import StepFailed
from gatekeeper.deploy.web import Unanswered, post
from gatekeeper.policy.model import Notification
from gatekeeper.probe.indexes import mask

_SECONDS_AT_MOST = 60


def send_record(
    notifications: Sequence[Notification], record_json: str, environ: Mapping[str, str]
) -> tuple[str, ...]:
    """Send a record to all who want it, and return one line on each.

    A command gets it on its standard input, an address by POST.
    """
    return tuple(_send(each, record_json, environ) for each in notifications)


def _send(notification: Notification, record_json: str, environ: Mapping[str, str]) -> str:
    secrets = secrets_in(environ)
    if notification.command is not None:
        line = mask(notification.command, secrets)
        try:
            run_command(
                notification.command, environ, Path(), _SECONDS_AT_MOST, secrets, given=record_json
            )
        except StepFailed as error:
            return f"the record was not sent: {' '.join(error.what.split())}"
        return f"the record was given to `{line}`"
    if notification.url is not None:
        return _post(notification.url, mask(notification.url, secrets), record_json)
    assert notification.variable is not None
    name = f"the address in {notification.variable}"
    url = environ.get(notification.variable, "").strip()
    if not url:
        return f"the record was not sent: {notification.variable} is not set"
    return _post(url, name, record_json)


def _post(url: str, name: str, record_json: str) -> str:
    try:
        status = post(url, record_json).status
    except Unanswered as error:
        return f"the record was not sent: {name} {error}"
    if not 200 <= status < 300:
        return f"the record was not sent: {name} answered with {status}"
    return f"the record was sent to {name}"
