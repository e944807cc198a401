"""The values that a checkout's own `.env` files give: the one place that knows python-dotenv."""

from __future__ import annotations

import io
import itertools
import re
from collections.abc import Iterable
from pathlib import Path

from gatekeeper.probe.guesses import is_secret

# In this order; what the project reads by itself comes first.
REAL = ".env"
NAMES = (REAL, *(f".env.{end}" for end in ("example", "sample", "template", "dist", "test")))


def read_examples(folders: Iterable[Path], checkout: Path) -> dict[str, str]:
    """Return the variables of the `.env` files in the folders, without those left empty.

    To be read before the project's code has run, which may put anything in their place. A
    link out of the checkout is left alone, and so is what may be a real secret: a value that
    is taken may be saved.
    """
    found: dict[str, str] = {}
    for folder, name in itertools.product(dict.fromkeys(folders), NAMES):
        file = (folder / name).resolve()
        if file.is_file() and file.is_relative_to(checkout.resolve()):
            import dotenv  # few checkouts have such a file

            text = io.StringIO(file.read_text(encoding="utf-8-sig", errors="replace"))
            for key, value in dotenv.dotenv_values(stream=text, interpolate=False).items():
                if not value or "\0" in value or not re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", key):
                    continue
                if name != REAL or not (is_secret(key) or re.search("://.*@", value)):
                    found.setdefault(key, value)
    return found
