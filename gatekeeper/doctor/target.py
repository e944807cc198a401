"""Looks at the user's own database, which is only read: its revision and what it lacks."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from gatekeeper.doctor.chart import Chart, Found, Problem, Subject
from gatekeeper.doctor.enum_types import see_types
from gatekeeper.doctor.history import Migrated
from gatekeeper.doctor.words import count, listed
from gatekeeper.lineage import not_applied
from gatekeeper.model import ChangeSet, Revision
from gatekeeper.postgres.servers import Server
from gatekeeper.postgres.target import TargetState, reach_target, read_target
from gatekeeper.rehearsal.stage import Stage

TARGET_OPTION = "--target-url"


def see_target(url: str) -> Found[Server]:
    server, major = reach_target(url, TARGET_OPTION)
    return Found(server, f"PostgreSQL {major}; it is only read")


def examine_target(
    chart: Chart,
    target: Server,
    stage: Stage,
    changes: ChangeSet,
    migrated: Migrated | None,
) -> None:
    """Hold what is applied to the user's database against the history and what it makes."""
    facts = stage.probe.facts
    state = chart.look(
        Subject.TARGET_REVISION,
        lambda: _see_version(
            read_target(target, facts.version_table_schema, facts.version_table),
            facts.version_table,
            changes,
        ),
    )
    if state is None:
        return
    pending = not_applied(state.versions or (), changes.head_history)
    chart.look(Subject.TARGET_PENDING, lambda: _see_pending(pending, changes))
    if migrated is not None:
        steps = migrated.steps
        chart.look(Subject.TARGET_TYPES, lambda: see_types(state, steps, pending))


def _see_version(state: TargetState, version_table: str, changes: ChangeSet) -> Found[TargetState]:
    heads = " ".join(changes.head_heads)
    tables = [name for kind, name in sorted(state.snapshot.rows) if kind == "table"]
    if not state.versions:
        if tables and changes.head_history:
            raise Problem(
                f"it has {count(len(tables), 'table')} and nothing in `{version_table}`: "
                "Alembic would begin with the first revision",
                "If the tables are what the history makes, say so; else name another database:"
                f"\n\n    alembic stamp {heads}",
            )
        return Found(state, "nothing is applied yet")
    known = {r.revision for r in changes.head_history}
    unknown = sorted(state.versions - known)
    if unknown:
        raise Problem(
            f"it is ahead of the repository: it stands at {listed(unknown)}, which no file has",
            "Fetch the branch that has it, and work on that:\n\n"
            f"    git fetch --all\n    git log --all --oneline -S {shlex.quote(unknown[0])}"
            f" -- {shlex.quote(changes.project.script_location)}\n\n"
            "If no branch has it and the schema is what this history makes, stamp it:\n\n"
            f"    alembic stamp --purge {heads}",
        )
    return Found(state, listed(sorted(state.versions)))


def _see_pending(pending: Sequence[Revision], changes: ChangeSet) -> Found[None]:
    if not pending:
        return Found(None, "none")
    heads = "heads" if len(changes.head_heads) > 1 else "head"
    raise Problem(
        f"it is not up to date: {listed(r.revision for r in pending)}",
        f"See where it stands and apply them:\n\n    alembic current\n    alembic upgrade {heads}"
        "\n\nIf the schema has them already, made by hand or by `create_all`, stamp it:\n\n"
        f"    alembic stamp {heads}",
    )
