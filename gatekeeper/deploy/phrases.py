"""What several steps of a deploy have to say, said the same way: revisions, lists, failures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gatekeeper.model import StepError
from gatekeeper.reporters import words

_SHOWN = 8
_MB = 1024**2
_GB = 1024**3


def name_revisions(revisions: Iterable[str]) -> str:
    """Return revisions as "`a`, `b`", in the order of their names, and none as such."""
    return words.listed(sorted(revisions)) or "no revision"


def name_size(size_bytes: int) -> str:
    """Return a size as a person says it."""
    for unit, name in ((_GB, "GB"), (_MB, "MB")):
        if size_bytes >= unit:
            return f"{size_bytes / unit:.1f} {name}"
    return f"{size_bytes / 1024:.0f} kB"


def join_some(told: Sequence[object]) -> str:
    """Return what is told as "one; two; and 3 more"."""
    more = len(told) - _SHOWN
    return "; ".join(map(str, told[:_SHOWN])) + (f"; and {more} more" if more > 0 else "")


def describe_failure(error: StepError) -> str:
    """Return what an error says, without values of rows.

    PostgreSQL names those in a message's details, and of what it cannot read (class 22 of its
    codes, manual, appendix A) behind the colon of the first line.
    """
    said = error.message.splitlines()[0] if error.message else ""
    if error.sqlstate is not None and error.sqlstate.startswith("22"):
        said = said.partition(': "')[0]
    return f"{error.type}: {said}"
