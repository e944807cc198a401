"""The environment variables that the project reads and does not find."""

from __future__ import annotations

import os
import re
from typing import Any

NAMES_KEPT = 500
A_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


def record_absent_variables() -> list[str]:
    """Return a list that grows by the name of each variable that is read and not set.

    `os.getenv`, `.get` and `in` all come through `__getitem__`.
    """
    absent: list[str] = []
    mapping = type(os.environ)
    original = mapping.__getitem__

    def getitem(self: Any, key: Any) -> Any:
        try:
            return original(self, key)
        except KeyError:
            if isinstance(key, str) and A_NAME.match(key):
                add_names(absent, [key])
            raise

    mapping.__getitem__ = getitem  # type: ignore[method-assign]  # the point of it
    return absent


def add_names(absent: list[str], names: list[str]) -> None:
    for name in names:
        if name not in absent and len(absent) < NAMES_KEPT:
            absent.append(name)
