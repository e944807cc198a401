"""What is installed in the project's interpreter, and which version of it."""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
from typing import Any


def sqlalchemy_version() -> tuple[int, ...]:
    return version_of(importlib.import_module("sqlalchemy"))


def version_of(module: Any) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", module.__version__)[:3])


def is_installed(module: str) -> bool:
    return module in sys.modules or importlib.util.find_spec(module) is not None
