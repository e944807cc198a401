"""Signals that end a run, in an orderly way whenever they come, and those that end a program."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from types import FrameType
from typing import Any

from gatekeeper.errors import ExitCode, Interrupted

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def leave_at_once() -> None:
    """Let a signal end the process with the code of an interruption; nothing runs yet."""

    def leave(number: int, frame: FrameType | None) -> None:
        raise SystemExit(int(ExitCode.INTERRUPTED))

    for number in ENDING:
        signal.signal(number, leave)


def raise_interrupted() -> None:
    """Let a signal unwind what runs; further ones do not hurry the clean-up."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        for other in ENDING:
            signal.signal(other, signal.SIG_IGN)
        raise Interrupted(f"stopped by {signal.Signals(number).name}")

    for number in ENDING:
        signal.signal(number, interrupt)


@contextlib.contextmanager
def held_back() -> Iterator[None]:
    """Let a signal wait until the block, a piece of clean-up, has come to its end."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def kill_group(process: subprocess.Popen[Any]) -> None:
    """End a program that was started in a session of its own, with all that it started there."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
