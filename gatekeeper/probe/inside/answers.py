"""The descriptors that lead to gatekeeper: answers go out, words to go on come in."""

from __future__ import annotations

import json
import os
import threading
from typing import Any, BinaryIO

KEPT_AT_MOST = 64 * 1024  # bytes


class Answers:
    """The descriptor that leads back to gatekeeper; silent in forked children.

    An answer may wait for the next: each that is sent alone wakes gatekeeper.
    """

    def __init__(self, descriptor: int, requests: BinaryIO) -> None:
        self._descriptor = descriptor
        self._requests = requests
        self._lock = threading.Lock()
        self._turn = threading.Lock()
        self._pid = os.getpid()
        self._waiting = bytearray()

    def send(self, message: dict[str, Any], may_wait: bool = False) -> None:
        if os.getpid() != self._pid:
            return
        line = json.dumps(message).encode() + b"\n"
        with self._lock:
            self._waiting += line
            if not may_wait or len(self._waiting) > KEPT_AT_MOST:
                self._write()

    def await_word(self) -> None:
        """Wait until gatekeeper has dealt with all that was sent to it.

        Where that does not come to pass the process ends: what was to follow must not be done.
        """
        if os.getpid() != self._pid:
            return
        with self._turn:
            try:
                self.send({"kind": "waiting"})
                is_heard = self._requests.readline() != b""
            except BaseException:  # noqa: BLE001  # a signal handler of the project's, too
                is_heard = False
            if not is_heard:
                os._exit(1)

    def flush(self) -> None:
        """Send what waits."""
        if os.getpid() == self._pid:
            with self._lock:
                self._write()

    def _write(self) -> None:
        while self._waiting:
            del self._waiting[: os.write(self._descriptor, self._waiting)]
