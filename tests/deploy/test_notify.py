"""Whoever wants the record of a deploy gets it; who does not get it is told of."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gatekeeper.deploy.notify import send_record
from gatekeeper.policy.model import Notification
from tests.deploy.addresses import Web

RECORD = '{"outcome": "deployed", "say": "ä"}'
ENVIRON = {"PATH": os.environ["PATH"]}


def test_nobody(web: Web) -> None:
    assert send_record((), RECORD, ENVIRON) == ()


def test_a_command_and_addresses(tmp_path: Path, web: Web) -> None:
    line = f"cat > {tmp_path}/record.json"
    tracker, chat = web.url("/tracker", (204, "")), web.url("/chat-token", (200, "ok"))
    told = send_record(
        (Notification(command=line), Notification(url=tracker), Notification(variable="CHAT")),
        RECORD,
        {**ENVIRON, "CHAT": chat},
    )
    assert told == (
        f"the record was given to `{line}`",
        f"the record was sent to {tracker}",
        "the record was sent to the address in CHAT",
    )
    assert (tmp_path / "record.json").read_text() == RECORD
    assert web.received == [("POST", "/tracker", RECORD), ("POST", "/chat-token", RECORD)]


def test_a_command_that_reads_nothing() -> None:
    large = f'{{"log": "{"x" * 1_000_000}"}}'
    (told,) = send_record((Notification(command="true"),), large, ENVIRON)
    assert told == "the record was given to `true`"


@pytest.mark.parametrize(
    ("notification", "told"),
    [
        (Notification(command="exit 3"), "`exit 3` ended with exit status 3"),
        (
            Notification(command="echo with $A_TOKEN; exit 3"),
            "`echo with $A_TOKEN; exit 3` ended with exit status 3; it printed last: with ***",
        ),
        (
            Notification(url="http://u:pass@127.0.0.1:1/"),
            "http://***@127.0.0.1:1/ cannot be reached",
        ),
        (Notification(variable="UNSET"), "UNSET is not set"),
        (Notification(variable="CHAT"), "the address in CHAT cannot be reached"),
        (Notification(variable="NO_URL"), "the address in NO_URL is no address that can be asked"),
    ],
)
def test_a_failure_is_told_without_a_secret(notification: Notification, told: str) -> None:
    environ = {
        **ENVIRON,
        "A_TOKEN": "token-secret",
        "CHAT": "http://127.0.0.1:1/token-secret",
        "NO_URL": "token-secret",
    }
    assert send_record((notification,), RECORD, environ) == (f"the record was not sent: {told}",)


def test_an_address_that_refuses_keeps_nobody_else_from_it(web: Web) -> None:
    """It is not sent on: a record goes to the address that was named, and nowhere else."""
    refusing, moved = web.url("/full", (507, "")), web.url("/moved", (302, "/tracker"))
    tracker = web.url("/tracker", (201, ""))
    urls = (refusing, moved, tracker)
    assert send_record([Notification(url=url) for url in urls], RECORD, ENVIRON) == (
        f"the record was not sent: {refusing} answered with 507",
        f"the record was not sent: {moved} answered with 302",
        f"the record was sent to {tracker}",
    )
    assert [path for _, path, _ in web.received] == ["/full", "/moved", "/tracker"]
