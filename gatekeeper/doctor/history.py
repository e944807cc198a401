"""Looks at whether the history runs, and whether the models know the tables that it makes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gatekeeper.doctor.chart import Chart, Found, Problem, Subject
from gatekeeper.doctor.enum_types import find_created_twice
from gatekeeper.doctor.words import count, listed, to_save
from gatekeeper.errors import ExitCode
from gatekeeper.model import ChangeSet, Learned, Revision, Step, StepError
from gatekeeper.postgres.snapshot import Snapshot
from gatekeeper.probe.model import ProbeDrift
from gatekeeper.rehearsal.base import create_models, find_stood_for
from gatekeeper.rehearsal.databases import Databases
from gatekeeper.rehearsal.drift import find_unknown, list_tables
from gatekeeper.rehearsal.history import history_remedy, run_history
from gatekeeper.rehearsal.stage import Stage, describe

_IMPORT_MODELS = """\
Import the modules of all models in env.py, above `target_metadata`; importing `Base` alone
defines no table:

    import YOUR_PACKAGE.models
    target_metadata = YOUR_PACKAGE.models.Base.metadata"""


@dataclass(frozen=True)
class Migrated:
    """Empty databases after the whole history, and how they got there."""

    databases: Databases
    steps: tuple[Step, ...]
    snapshots: tuple[Snapshot, ...]


def examine_history(chart: Chart, stage: Stage, changes: ChangeSet) -> Migrated | None:
    """Return what the history made of empty databases; None where it does not run."""
    migrated = chart.look(Subject.HISTORY, lambda: _see_history(stage, changes))
    has_env = not stage.probe.is_plain
    if has_env and (migrated is not None or not stage.probe.facts.has_target_metadata):
        chart.look(Subject.MODELS, lambda: _see_models(stage, migrated))
    return migrated


def _see_history(stage: Stage, changes: ChangeSet) -> Found[Migrated]:
    if stage.ground.preparation.from_models:
        databases, tables = create_models(stage, changes.head_heads)
        told = f"none of it ran: the models made {count(tables, 'table')}"
        return Found(Migrated(databases, (), stage.snapshot(databases)), told)
    stood_for = find_stood_for(stage, changes.head_history)
    revisions = tuple(r for r in changes.head_history if r.revision not in stood_for)
    steps: tuple[Step, ...] = ()
    if not revisions:
        databases = stage.new_databases()
    else:
        databases, ran = run_history(stage, stage, revisions, is_told=True)
        steps = tuple(step for on_one in ran.steps for step in on_one)
        if ran.failure is not None:
            raise _failed(stage, ran.failure, steps, revisions)
        if not ran.has_moved:
            raise Problem(
                "env.py comes to its end, and nothing is committed",
                "Let env.py begin and commit the transaction:\n\n"
                "    with context.begin_transaction():\n        context.run_migrations()",
                ExitCode.FAIL,
            )
    on = "an empty database" if stage.ground.is_bare else "what the bootstrap made"
    told = (
        f"{count(len(revisions), 'revision')} ran on {on}"
        if revisions or stood_for
        else "there is no revision yet"
    )
    added = stage.added_extensions
    if added:
        told += f"; it needs {listed(added)}, which was made"
    hint = to_save(Learned(extensions=added))
    return Found(Migrated(databases, steps, stage.snapshot(databases)), told, hint)


def _failed(
    stage: Stage, failure: StepError, steps: Sequence[Step], revisions: Sequence[Revision]
) -> Problem:
    """Return why the history does not run, in words of its own for an ENUM type."""
    return find_created_twice(failure, steps, revisions) or Problem(
        describe(failure), history_remedy(stage, failure), ExitCode.FAIL
    )


def _see_models(stage: Stage, migrated: Migrated | None) -> Found[None]:
    """Compare the tables of the models with those that the history makes."""
    drifts: tuple[ProbeDrift, ...] = ()
    if migrated is not None:
        drifts = stage.probe.drift(migrated.databases.target).each
    if migrated is None or all(drift.operations is None for drift in drifts):
        raise Problem(
            "env.py gives no `target_metadata`: autogenerate is blind",
            _IMPORT_MODELS,
            ExitCode.FAIL,
        )
    tables: list[str] = []
    unknown: list[str] = []
    for snapshot, drift in zip(migrated.snapshots, drifts, strict=True):
        own = list_tables(snapshot)
        tables += own
        unknown += find_unknown(own, drift.operations or ())
    if unknown:
        raise Problem(
            f"`target_metadata` lacks {len(unknown)} of "
            f"{count(len(tables), 'table')}: autogenerate is blind for {listed(unknown)}",
            f"{_IMPORT_MODELS}\n\nA table that is to go is dropped by a revision.",
            ExitCode.FAIL,
        )
    return Found(
        None, f"autogenerate misses none of {count(len(tables), 'table')} in `target_metadata`"
    )
