"""The policies and schemas that gatekeeper ships, wherever it is installed."""

from __future__ import annotations

import importlib.resources
from pathlib import Path

import gatekeeper

POLICIES = ("recommended", "strict")


def read_shipped(name: str) -> str:
    """Return the text of a file in `policies/`, such as `recommended.yml`.

    The wheel carries the folder inside the package; a checkout has it at its top level.
    """
    packaged = importlib.resources.files(gatekeeper) / "policies"
    checkout = Path(gatekeeper.__file__).parent.parent / "policies"
    folder = packaged if packaged.is_dir() else checkout
    return (folder / name).read_text(encoding="utf-8")
