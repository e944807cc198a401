"""What production's role may not do, and who has to do it in its place."""

from __future__ import annotations

import re

from gatekeeper.model import CheckContext, Step
from gatekeeper.sql import shorten

_DENIED = "42501"  # insufficient_privilege (manual, appendix A)
_NAME = r'"?([\w$-]+)"?'
_EXTENSION = re.compile(rf"\s*CREATE\s+EXTENSION\s+(?:IF\s+NOT\s+EXISTS\s+)?{_NAME}", re.IGNORECASE)
_ROLE = re.compile(
    rf"\s*(?:CREATE|ALTER|DROP)\s+(?:ROLE|USER|GROUP)\s+(?:IF\s+EXISTS\s+)?{_NAME}", re.IGNORECASE
)


def is_denied(context: CheckContext, step: Step) -> bool:
    """Tell whether a step failed at something that only an administrator may do."""
    return (
        context.rehearsal is not None
        and context.rehearsal.is_restricted
        and step.error is not None
        and step.error.sqlstate == _DENIED
    )


WHY = (
    ". It ran as production's role does (`project.role: restricted`: it owns the database and is "
    "no superuser), which may not do that"
)


def delegate(step: Step) -> str:
    """Return who has to do what a step was denied, and what to paste for it."""
    sql = (step.error.sql if step.error else None) or ""
    if extension := _EXTENSION.match(sql):
        return (
            "An administrator has to create the extension in production before the release. "
            f"Write `CREATE EXTENSION IF NOT EXISTS {extension[1]}` in the revision, and in the "
            f"policy file:\n\n    project:\n      extensions: [{extension[1]}]"
        )
    if _ROLE.match(sql):
        return (
            "An administrator has to do that in production before the release: take it out of "
            "the revision, and for the rehearsal put it into the SQL file of "
            f"`project.bootstrap`:\n\n    {shorten(sql, 500)};"
        )
    what = f":\n\n    {shorten(sql, 500)};" if sql else "."
    return (
        "Write it so that the owner of the database may do it. Otherwise an administrator has to "
        "run it in production: take it out of the revision, and for the rehearsal put it into "
        f"the SQL file of `project.bootstrap`{what}"
    )
