"""Several databases and several histories, made one for the judge and the reporters.

The checks look at one history on one database at a time and know nothing of others. What
comes of one alone is left as it is.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from gatekeeper.model import (
    ChangeSet,
    CheckRun,
    Difference,
    Drift,
    Finding,
    Learned,
    NotRehearsed,
    Outcome,
    Rehearsal,
    RehearsedRevision,
    Skipped,
    Step,
)

T = TypeVar("T")


@dataclass(frozen=True)
class History:
    """One history: what the change does to it, and what was seen on each of its databases."""

    changes: ChangeSet
    rehearsals: tuple[Rehearsal, ...] | NotRehearsed

    @property
    def each(self) -> tuple[Rehearsal | NotRehearsed, ...]:
        if isinstance(self.rehearsals, NotRehearsed):
            return (self.rehearsals,)
        return self.rehearsals

    @property
    def is_idle(self) -> bool:
        """Whether nothing called for a rehearsal."""
        return isinstance(self.rehearsals, NotRehearsed) and not self.rehearsals.is_failure


# --- What the checks say -------------------------------------------------------------


def merge_runs(
    histories: Sequence[History], runs: Sequence[Sequence[Sequence[CheckRun]]]
) -> tuple[CheckRun, ...]:
    """Return one run of each check; given are those of each history on each of its databases.

    What is found on all databases of a history is told once, the rest with the database's
    name. The section is told where there are several.
    """
    of_histories = [
        [_merge_databases(of_check, history) for of_check in zip(*of_history, strict=True)]
        for history, of_history in zip(histories, runs, strict=True)
    ]
    return tuple(_merge_sections(each, histories) for each in zip(*of_histories, strict=True))


def _merge_databases(runs: Sequence[CheckRun], history: History) -> CheckRun:
    names = [r.database if isinstance(r, Rehearsal) else "" for r in history.each]
    return CheckRun(
        check=runs[0].check,
        findings=tuple(
            finding if where is None else _at(f"Database {where}", finding)
            for finding, where in _told_of([run.findings for run in runs], names)
        ),
        skipped=tuple(
            skip if where is None else replace(skip, reason=f"database {where}: {skip.reason}")
            for skip, where in _told_of([run.skipped for run in runs], names)
        ),
        error=_join(run.error for run in runs),
    )


def _merge_sections(runs: Sequence[CheckRun], histories: Sequence[History]) -> CheckRun:
    if len(runs) == 1:
        return runs[0]
    # In a history without a new revision there was nothing that was not looked at.
    busy = [run for run, history in zip(runs, histories, strict=True) if not history.is_idle]
    return CheckRun(
        check=runs[0].check,
        findings=tuple(
            _at(f"Section `[{history.changes.project.section}]`", finding)
            for history, run in zip(histories, runs, strict=True)
            for finding in run.findings
        ),
        skipped=tuple(dict.fromkeys(skip for run in busy or runs for skip in run.skipped)),
        error=_join(run.error for run in runs),
    )


def _join(errors: Iterable[str | None]) -> str | None:
    return "; ".join(dict.fromkeys(error for error in errors if error)) or None


def _told_of(each: Sequence[Sequence[T]], names: Sequence[str]) -> Iterable[tuple[T, str | None]]:
    """Yield what is told, once, with the names of whom it is told if not of all."""
    told: dict[T, list[str]] = {}
    for things, name in zip(each, names, strict=True):
        for thing in dict.fromkeys(things):
            told.setdefault(thing, []).append(f"`{name}`")
    for thing, of in told.items():
        yield thing, None if len(of) == len(names) else ", ".join(of)


def _at(place: str, finding: Finding) -> Finding:
    return replace(finding, message=f"{place}: {finding.message}")


# --- What the change does ------------------------------------------------------------


def merge_changes(histories: Sequence[History]) -> ChangeSet:
    """Return what a change does to all histories; the project is the first one's."""
    each = [history.changes for history in histories]
    if len(each) == 1:
        return each[0]

    def joined(values: Iterable[tuple[T, ...]]) -> tuple[T, ...]:
        return tuple(itertools.chain.from_iterable(values))

    hashes = " ".join(changes.content_hash for changes in each)
    return replace(
        each[0],
        revisions=joined(c.revisions for c in each),
        base_history=joined(c.base_history for c in each),
        head_history=joined(c.head_history for c in each),
        base_heads=joined(c.base_heads for c in each),
        head_heads=joined(c.head_heads for c in each),
        merged_heads=joined(c.merged_heads for c in each),
        problems=joined(c.problems for c in each),
        content_hash=hashlib.sha256(hashes.encode()).hexdigest(),
        sections=tuple(changes.project.section for changes in each),
    )


# --- What was seen -------------------------------------------------------------------


def merge_rehearsals(histories: Sequence[History]) -> Rehearsal | NotRehearsed:
    """Return what was seen of all histories, on all databases, as one.

    A history that could not be rehearsed is missing in it: its revisions are not seen, and
    its checks say why.
    """
    missing = [h.rehearsals for h in histories if isinstance(h.rehearsals, NotRehearsed)]
    seen = [
        (history.changes.project.section, _join_databases(history.rehearsals))
        for history in histories
        if not isinstance(history.rehearsals, NotRehearsed)
    ]
    if not seen:
        failures = [each for each in missing if each.is_failure] or missing
        reason = "; ".join(dict.fromkeys(each.reason for each in failures))
        return replace(failures[0], reason=reason)
    if len(seen) == 1:
        return seen[0][1]
    each = [rehearsal for _, rehearsal in seen]
    return replace(
        each[0],
        database=", ".join(dict.fromkeys(r.database for r in each)),
        deploy=tuple(step for r in each for step in r.deploy),
        revisions=tuple(revision for r in each for revision in r.revisions),
        drift=_merge_drifts([(f"[{section}]", r.drift) for section, r in seen]),
        relations_before=frozenset().union(*(r.relations_before for r in each)),
        enums_before={name: labels for r in each for name, labels in r.enums_before.items()},
        project=tuple(f"[{section}] {line}" for section, r in seen for line in r.project),
        seconds=sum(r.seconds for r in each),
        foreign_keys_before=frozenset().union(*(r.foreign_keys_before for r in each)),
        in_one_go=tuple(difference for r in each for difference in r.in_one_go),
        learned=_join_learned([r.learned for r in each]),
        catalog_before=None,
        catalog_after=None,
    )


def _join_learned(each: Sequence[Learned]) -> Learned:
    """Return what had to be found out for any of the histories: the policy has one block."""
    return Learned(
        env={name: value for one in each for name, value in one.env.items()},
        start=tuple(dict.fromkeys(way for one in each for way in one.start)),
        home={name: text for one in each for name, text in one.home.items()},
        extensions=tuple(dict.fromkeys(e for one in each for e in one.extensions)),
        bootstrap=next((one.bootstrap for one in each if one.bootstrap), None),
    )


def _join_databases(rehearsals: Sequence[Rehearsal]) -> Rehearsal:
    if len(rehearsals) == 1:
        return rehearsals[0]
    names = [rehearsal.database for rehearsal in rehearsals]
    told = f"env.py migrates {len(names)} databases: {', '.join(names)}; each had one of its own"
    return replace(
        rehearsals[0],
        database=", ".join(names),
        deploy=tuple(
            _join_steps(steps, names) for steps in zip(*(r.deploy for r in rehearsals), strict=True)
        ),
        revisions=tuple(
            _join_revisions(each, names)
            for each in zip(*(r.revisions for r in rehearsals), strict=True)
        ),
        drift=_merge_drifts([(r.database, r.drift) for r in rehearsals]),
        relations_before=frozenset().union(*(r.relations_before for r in rehearsals)),
        enums_before={name: e for r in rehearsals for name, e in r.enums_before.items()},
        project=(*rehearsals[0].project, told),
        foreign_keys_before=frozenset().union(*(r.foreign_keys_before for r in rehearsals)),
        in_one_go=_join_differences([r.in_one_go for r in rehearsals], names) or (),
        catalog_before=None,
        catalog_after=None,
    )


def _join_revisions(each: Sequence[RehearsedRevision], names: Sequence[str]) -> RehearsedRevision:
    return replace(
        each[0],
        upgrade=_join_steps([r.upgrade for r in each], names),
        downgrade=_join_steps([r.downgrade for r in each], names),
        reupgrade=_join_steps([r.reupgrade for r in each], names),
        changes=_join_differences([r.changes for r in each], names),
        round_trip=_join_differences([r.round_trip for r in each], names),
        second_upgrade=_join_differences([r.second_upgrade for r in each], names),
        variation=_join_differences([r.variation for r in each], names),
        relations_before=frozenset().union(*(r.relations_before for r in each)),
        foreign_keys_before=frozenset().union(*(r.foreign_keys_before for r in each)),
    )


_WORST = (Outcome.FAILED, Outcome.SKIPPED, Outcome.COMPLETED)


def _join_steps(steps: Sequence[Step], names: Sequence[str]) -> Step:
    """Return one step with the statements on all databases in the order in which they ran."""
    worst = min(steps, key=lambda step: _WORST.index(step.outcome))
    statements = [
        replace(statement, database=name)
        for step, name in zip(steps, names, strict=True)
        for statement in step.statements
    ]
    return replace(
        worst,
        seconds=sum(step.seconds for step in steps),
        statements=tuple(statements),
    )


def _join_differences(
    each: Sequence[tuple[Difference, ...] | None], names: Sequence[str]
) -> tuple[Difference, ...] | None:
    joined: list[Difference] = []
    for differences, name in zip(each, names, strict=True):
        if differences is None:
            return None
        joined += [replace(difference, database=name) for difference in differences]
    return tuple(joined)


def _merge_drifts(each: Sequence[tuple[str, Drift | Skipped]]) -> Drift | Skipped:
    drifts = [(where, drift) for where, drift in each if isinstance(drift, Drift)]
    if not drifts:
        return each[0][1]
    return Drift(
        tuple(f"{where}: {operation}" for where, d in drifts for operation in d.operations),
        already=sum(drift.already for _, drift in drifts),
        unknown=tuple(f"{where}: {table}" for where, d in drifts for table in d.unknown),
        tables=sum(drift.tables for _, drift in drifts),
    )
