"""The descriptor on which answers go back to gatekeeper."""

from __future__ import annotations

import json
import os
import threading
from typing import Any

KEPT_AT_MOST = 64 * 1024  # bytes


class Answers:
    """The descriptor that leads back to gatekeeper; silent in forked children.

    An answer may wait for the next: each that is sent alone wakes gatekeeper.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lock = threading.Lock()
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

    def flush(self) -> None:
        """Send what waits."""
        if os.getpid() == self._pid:
            with self._lock:
                self._write()

    def _write(self) -> None:
        while self._waiting:
            del self._waiting[: os.write(self._descriptor, self._waiting)]
