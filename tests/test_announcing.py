"""Tests for what is announced while it is done, at a terminal and in a log."""

from __future__ import annotations

import datetime as dt
import io
import os

import pytest
from rich.console import Console

from gatekeeper.announcing import announce_for_log, announce_in_passing

STRANGE = "smoke test: echo '[/done]' [red]\x1b[2J\n::error::no"


def _now() -> dt.datetime:
    return dt.datetime(2026, 11, 24, 16, 42, 17, tzinfo=dt.UTC)


def test_a_log_keeps_what_was_announced_and_when() -> None:
    """Whoever waits for a lock for an hour sees in the log of the job who holds it."""
    file = io.StringIO()
    with announce_for_log(Console(file=file), _now) as announce:
        announce("apply")
        announce("no lock within 5 s; in the way was 4711 (psql, for 3 s): SELECT [1]")
    assert file.getvalue() == (
        "16:42:17 apply\n"
        "16:42:17 no lock within 5 s; in the way was 4711 (psql, for 3 s): SELECT [1]\n"
    )


def test_a_terminal_keeps_it_too() -> None:
    file = io.StringIO()
    with announce_for_log(Console(file=file, force_terminal=True, width=40), _now) as announce:
        announce("the record was not sent: CHAT_WEBHOOK_URL is not set")
        announce("next")
    assert "16:42:17 the record was not sent: CHAT_WEBHOOK_URL is not set" in file.getvalue()


def test_in_passing_a_log_gets_nothing() -> None:
    file = io.StringIO()
    with announce_in_passing(Console(file=file)) as announce:
        announce("Starting PostgreSQL")
    assert file.getvalue() == ""


@pytest.mark.parametrize("is_terminal", [False, True])
def test_what_is_named_is_no_markup(is_terminal: bool) -> None:
    """A smoke test with a bracket in it does not end a deploy that has upgraded the target."""
    file = io.StringIO()
    console = Console(file=file, force_terminal=is_terminal, width=200)
    with announce_in_passing(console) as announce:
        announce(STRANGE)
    with announce_for_log(console, _now) as announce:
        announce(STRANGE)
    told = file.getvalue()
    assert "smoke test: echo '[/done]' [red]" in told
    assert "\x1b[2J" not in told
    assert "\n::error" not in told


def test_a_log_that_nobody_reads_any_more_stops_nothing() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    file = os.fdopen(writing, "w")
    with announce_for_log(Console(file=file), _now) as announce:
        announce("apply")
        announce("verify")
    with pytest.raises(BrokenPipeError):
        file.close()
