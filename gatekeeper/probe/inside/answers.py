"""The descriptor on which answers go back to gatekeeper."""

from __future__ import annotations

import json
import os
import threading
from typing import Any


class Answers:
    """The descriptor that leads back to gatekeeper; silent in forked children."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lock = threading.Lock()
        self._pid = os.getpid()

    def send(self, message: dict[str, Any]) -> None:
        if os.getpid() != self._pid:
            return
        line = json.dumps(message).encode() + b"\n"
        with self._lock:
            while line:
                line = line[os.write(self._descriptor, line) :]
