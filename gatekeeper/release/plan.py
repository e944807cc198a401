"""The plan of a release: what a deploy will run, what it holds up, what the way back loses.

Everything in it was seen in the rehearsal of exactly this range of revisions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gatekeeper.model import (
    Difference,
    DifferenceKind,
    Outcome,
    Rehearsal,
    RehearsedRevision,
    Report,
    Revision,
    Statement,
    Step,
)

# Checks whose findings say that users of the database would notice the upgrade.
_NOTICED = (
    "table-rewrite",
    "index-not-concurrent",
    "constraint-validated-under-lock",
    "backfill-with-ddl",
    "previous-release-breaks",
)
_HOLDS_DATA = ("table", "column", "materialized view")


@dataclass(frozen=True)
class WayBack:
    """What the downgrade of a revision does; `obstacle` says why it is not proven.

    `loses` names what it drops with all that was written there since the upgrade.
    """

    obstacle: str | None
    loses: tuple[str, ...]


@dataclass(frozen=True)
class PlannedRevision:
    """One revision of the release; `drops` names what its upgrade drops with its data."""

    revision: Revision
    upgrade: Step
    downgrade: Step
    drops: tuple[str, ...]
    way_back: WayBack

    @property
    def is_transactional(self) -> bool:
        """Whether all of the upgrade was seen to run in one transaction with its version.

        If it fails, nothing of it is left.
        """
        statements = self.upgrade.statements
        if self.upgrade.outcome is not Outcome.COMPLETED:
            return False
        return not statements or (
            self.upgrade.ended_transaction is False
            and all(s.in_transaction for s in statements)
            and len({s.transaction for s in statements}) == 1
        )

    @property
    def rewrites(self) -> tuple[str, ...]:
        """The tables that the upgrade writes anew, which takes their size once more."""
        return tuple(dict.fromkeys(r for s in self.upgrade.statements for r in s.rewrites))


@dataclass(frozen=True)
class Plan:
    """What a release does to a database that stands at the previous one.

    `previous` is None for the first release. `revisions` are in the order of execution.
    `window` holds the reasons for a maintenance window, none where it needs none.
    """

    tag: str
    commit: str
    previous: str | None
    report: Report
    revisions: tuple[PlannedRevision, ...]
    window: tuple[str, ...]

    @property
    def obstacles(self) -> tuple[str, ...]:
        """Why the way back is not proven, one sentence a revision."""
        found = ((p.revision.revision, p.way_back.obstacle) for p in self.revisions)
        return tuple(f"`{revision}`: {text}" for revision, text in found if text is not None)

    @property
    def seconds(self) -> float:
        """How long the upgrade took in the rehearsal."""
        return sum(p.upgrade.seconds for p in self.revisions)

    @property
    def upgrade_statements(self) -> tuple[Statement, ...]:
        return tuple(s for p in self.revisions for s in p.upgrade.statements)

    @property
    def downgrade_statements(self) -> tuple[Statement, ...]:
        """The statements of the way back, the last revision first."""
        return tuple(s for p in reversed(self.revisions) for s in p.downgrade.statements)


def make_plan(report: Report, tag: str, commit: str, previous: str | None) -> Plan:
    """Return the plan that a report on the release's range of revisions makes."""
    rehearsal = report.rehearsal
    planned: tuple[PlannedRevision, ...] = ()
    if isinstance(rehearsal, Rehearsal):
        planned = tuple(_planned(rehearsal.deploy, r) for r in rehearsal.revisions)
    return Plan(
        tag=tag,
        commit=commit,
        previous=previous,
        report=report,
        revisions=planned,
        window=tuple(f.message for f in report.findings if f.check in _NOTICED),
    )


def _planned(deploy: Sequence[Step], rehearsed: RehearsedRevision) -> PlannedRevision:
    name = rehearsed.revision.revision
    upgrade = next((s for s in deploy if s.revision == name), rehearsed.upgrade)
    changes = rehearsed.changes or ()
    made, dropped = (
        _data_of(changes, DifferenceKind.LEFT),
        _data_of(changes, DifferenceKind.MISSING),
    )
    return PlannedRevision(
        revision=rehearsed.revision,
        upgrade=upgrade,
        downgrade=rehearsed.downgrade,
        drops=dropped,
        way_back=WayBack(_obstacle(rehearsed), made),
    )


def _data_of(changes: Sequence[Difference], kind: DifferenceKind) -> tuple[str, ...]:
    """Return what holds data among the differences of a kind; a table's columns go with it."""
    of_kind = (c for c in changes if c.kind is kind and c.object_type in _HOLDS_DATA)
    return tuple(f"{c.object_type} {c.name}" for c in of_kind)


def _obstacle(rehearsed: RehearsedRevision) -> str | None:
    """Return why a downgrade is not proven to lead back to where the upgrade began."""
    down = rehearsed.downgrade
    if down.outcome is Outcome.SKIPPED:
        return f"its downgrade was not run: {down.reason}"
    if down.outcome is Outcome.FAILED:
        error = down.error
        return "its downgrade failed" + ("" if error is None else f": {error.message}")
    if rehearsed.round_trip is None:
        return "what its downgrade leaves was not looked at"
    if rehearsed.round_trip:
        return f"its downgrade leaves another schema: {rehearsed.round_trip[0]}"
    lost = _data_of(rehearsed.changes or (), DifferenceKind.MISSING)
    if lost:
        return f"its downgrade cannot bring back the data of {lost[0]}"
    return None
