"""The checks that the tests of the policy know, with an option of each type."""

from __future__ import annotations

from gatekeeper.model import Check, Needs, Option
from gatekeeper.policy import waivers

_OPTIONS = {
    "not-atomic": (
        Option("max_relations", 1, "how many unrelated relations one revision may change"),
    ),
    "model-drift": (
        Option("ignore", "", "a glob of relations"),
        Option("strict_types", False, "whether types are compared"),
    ),
}
_SOURCE = (
    "multiple-heads",
    "edited-merged-revision",
    "deleted-revision",
    "downgrade-missing",
    "downgrade-empty",
    "downgrade-raises",
)
_REHEARSAL = (
    "upgrade-fails",
    "downgrade-fails",
    "reupgrade-fails",
    "silently-not-applied",
    "downgrade-incomplete",
    "enum-drop-unguarded",
    "invalid-index-left",
    "not-atomic",
    "index-not-concurrent",
    "missing-lock-timeout",
    "model-drift",
)
KNOWN = (
    *(Check(i, f"title of {i}", "group", Needs.SOURCE) for i in _SOURCE),
    *(Check(i, f"title of {i}", "group", Needs.REHEARSAL, _OPTIONS.get(i, ())) for i in _REHEARSAL),
    waivers.CHECK,
)
BY_ID = {check.id: check for check in KNOWN}
