"""The environment variables that the project reads and does not find."""

from __future__ import annotations

import os
import sys
from typing import Any

NAMES_KEPT = 500


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
            if isinstance(key, str) and key not in absent and len(absent) < NAMES_KEPT:
                absent.append(key)
            raise

    mapping.__getitem__ = getitem  # type: ignore[method-assign]  # the point of it
    return absent


def is_validation(error: BaseException) -> bool:
    """Tell pydantic's ValidationError, of either major, without importing it."""
    return type(error).__name__ == "ValidationError" and callable(getattr(error, "errors", None))


def settings_named(error: Any) -> list[str]:
    """Return the variables of a settings class for whose absence pydantic complains."""
    names = []
    for entry in error.errors():
        if entry.get("type") in ("missing", "value_error.missing") and entry.get("loc"):
            names.append((settings_prefix(error) + str(entry["loc"][0])).upper())
    return names


def settings_prefix(error: Any) -> str:
    model = getattr(error, "model", None)  # pydantic 1
    if model is not None:
        return str(getattr(model.__config__, "env_prefix", ""))
    base = getattr(sys.modules.get("pydantic_settings"), "BaseSettings", None)
    todo = [] if base is None else [base]
    while todo:
        candidate = todo.pop()
        if candidate.__name__ == error.title:
            return str(candidate.model_config.get("env_prefix", ""))
        todo.extend(candidate.__subclasses__())
    return ""
