"""The checks that the shipped policies name, two of them with options of each type.

A new check needs no line here.
"""

from __future__ import annotations

from gatekeeper.model import Check, Needs, Option
from gatekeeper.policy import waivers
from gatekeeper.policy.document import read_document
from gatekeeper.policy.shipped import read_shipped

_OPTIONS = {
    "not-atomic": (
        Option("max_relations", 1, "how many unrelated relations one revision may change"),
    ),
    "model-drift": (
        Option("ignore", "", "a glob of relations"),
        Option("strict_types", False, "whether types are compared"),
    ),
}
_NAMED = read_document("recommended.yml", read_shipped("recommended.yml")).data["checks"]

BY_ID = {
    check_id: Check(check_id, "title", "group", Needs.SOURCE, _OPTIONS.get(check_id, ()))
    for check_id in _NAMED
} | {waivers.CHECK.id: waivers.CHECK}
KNOWN = tuple(BY_ID.values())
