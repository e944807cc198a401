"""The values that a checkout's own `.env` files give: the one place that knows python-dotenv."""

from __future__ import annotations

import io
import re
from pathlib import Path

import dotenv

# In this order; what the project reads by itself comes first.
NAMES = (".env", *(f".env.{end}" for end in ("example", "sample", "template", "dist", "test")))


def read_examples(folder: Path, checkout: Path) -> dict[str, str]:
    """Return the variables of the `.env` files in a folder, without those left empty.

    To be read before the project's code has run, which may put anything in their place. A
    link out of the checkout is left alone.
    """
    found: dict[str, str] = {}
    for name in NAMES:
        file = (folder / name).resolve()
        if file.is_file() and file.is_relative_to(checkout.resolve()):
            text = io.StringIO(file.read_text(encoding="utf-8-sig", errors="replace"))
            for key, value in dotenv.dotenv_values(stream=text, interpolate=False).items():
                if value and "\0" not in value and re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", key):
                    found.setdefault(key, value)
    return found
