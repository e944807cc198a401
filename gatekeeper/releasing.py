"""The story of a release: the range of its tag → check → plan and evidence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from gatekeeper import pipeline
from gatekeeper.git import find_repository
from gatekeeper.model import Report
from gatekeeper.release.files import render_files
from gatekeeper.release.plan import Plan, make_plan
from gatekeeper.release.tags import choose_range
from gatekeeper.request import Request, Since, Surroundings


@dataclass(frozen=True)
class RehearsedRelease:
    """A release and what its rehearsal saw; `files` are the plan and the evidence by name."""

    tag: str
    report: Report
    plan: Plan = field(repr=False)
    files: Mapping[str, str] = field(repr=False)


def rehearse_release(
    request: Request,
    tag: str | None,
    previous: str | None,
    pattern: str | None,
    surroundings: Surroundings,
) -> RehearsedRelease:
    """Rehearse what the checked-out release adds to the one before it; see `choose_range`."""
    this, earlier = choose_range(find_repository(request.directory), tag, previous, pattern)
    before = None if earlier is None else earlier.name
    asked = replace(request, head=this.tag.commit, since=Since(before))
    report = pipeline.check(asked, surroundings)
    plan = make_plan(report, this.tag.name, this.tag.commit, before)
    return RehearsedRelease(this.tag.name, report, plan, render_files(plan))
