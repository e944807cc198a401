"""The words that the lines of all subjects share."""

from __future__ import annotations

from collections.abc import Iterable

from gatekeeper.model import Learned
from gatekeeper.policy.load import FILE_NAME

NAMES_SHOWN = 8


def count(number: int, noun: str) -> str:
    return f"{number} {noun if number == 1 else noun + 's'}"


def listed(names: Iterable[str]) -> str:
    quoted = [f"`{name}`" for name in names]
    more = len(quoted) - NAMES_SHOWN
    return ", ".join(quoted[:NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")


def to_save(learned: Learned) -> str | None:
    """Return how the policy file saves what was found out; None where it is nothing."""
    if learned == Learned():
        return None
    from gatekeeper.policy.saving import render_block  # few projects need it, and slow to load

    lines = [f"    {line}" for line in render_block(learned).splitlines()]
    told = f"With this in `{FILE_NAME}` nothing of it has to be found out again:\n"
    return "\n".join([told, *lines])
