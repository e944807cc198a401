"""The release rehearsed on a copy of the target: forward, and back to what the copy held.

Where the copy comes from is `restoration`'s; what is here only runs revisions on it and holds
what it sees against what was there before.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from gatekeeper.deploy.access import require_one_env
from gatekeeper.deploy.model import (
    Backup,
    Deployment,
    Proof,
    StepFailed,
    TargetState,
)
from gatekeeper.deploy.phrases import describe_failure, join_some, name_revisions
from gatekeeper.deploy.restoration import open_copy
from gatekeeper.deploy.target import read_state
from gatekeeper.model import Direction, Revision, StepError
from gatekeeper.postgres.databases import Database
from gatekeeper.postgres.difference import compare, is_of_server
from gatekeeper.postgres.new_values import read_new_values
from gatekeeper.postgres.observation import find_relations
from gatekeeper.postgres.rows import read_sequences, row_digests
from gatekeeper.postgres.snapshot import Snapshot, differing, take_snapshot
from gatekeeper.probe.model import VersionTable
from gatekeeper.rehearsal.databases import Databases
from gatekeeper.rehearsal.stage import Stage
from gatekeeper.reporters import words


def rehearse_on_copy(
    deployment: Deployment,
    stage: Stage,
    backup: Backup,
    revisions: Sequence[Revision],
    version_tables: Collection[VersionTable],
) -> Proof:
    """Return what the revisions, in the order of the upgrade, do to a copy of the target.

    It fails where the copy is not what was backed up, or where the upgrade does not reach the
    release's revisions. That a downgrade does not lead back is the proof's `obstacle`.
    """
    require_one_env(stage)
    with open_copy(deployment, stage, backup) as (database, is_restored):
        deployment.tell("Comparing the copy with the target")
        before = _read(database, version_tables)
        _require_equal(deployment, backup, before, version_tables, has_rows=is_restored)
        return _rehearse(deployment, stage, database, before, revisions, version_tables)


def describe_proof(proof: Proof) -> tuple[str, str]:
    """Return how the upgrade of the copy went, and whether its downgrade led back."""
    back = "the downgrade led back to the same catalog and the same rows"
    if proof.obstacle is not None:
        back = f"the way back is not proven: {proof.obstacle}"
    return f"the upgrade of the copy took {words.seconds(proof.seconds)}", back


def _rehearse(
    deployment: Deployment,
    stage: Stage,
    database: Database,
    before: TargetState,
    revisions: Sequence[Revision],
    version_tables: Collection[VersionTable],
) -> Proof:
    content = _content_of(database, version_tables)
    databases = Databases(stage.origins, (database,))

    deployment.tell("Upgrading the copy")
    started = time.monotonic()
    ran = stage.run(
        databases, revisions, Direction.UPGRADE, observe=None, is_told=False, has_limit=False
    )
    seconds = time.monotonic() - started
    if ran.failure is not None:
        raise StepFailed(
            f"the upgrade fails on a restored copy of the target: {_told_of(ran.failure)}",
            fix="Correct the revision, or the rows that it cannot deal with, and tag again.",
        )
    after = _read(database, version_tables)
    wanted = frozenset(deployment.release.to_revisions)
    if after.versions != wanted:
        raise StepFailed(
            "after the upgrade a restored copy of the target stands at "
            f"{name_revisions(after.versions)}, not at {name_revisions(wanted)}",
            fix="See that env.py commits, and that the plan is of the checked-out release.",
        )
    made = compare(before.catalog, after.catalog)
    with database.session(autocommit=False) as connection:
        new_values = read_new_values(connection, made)
    deployment.tell("Downgrading the copy")
    obstacle = _go_back(stage, databases, revisions, before, content, version_tables)
    return Proof(before, after, seconds, obstacle, new_values)


def _told_of(error: StepError) -> str:
    place = "" if error.path is None else f"{error.path}:{error.line}: "
    return f"{place}{describe_failure(error)}"


def _go_back(
    stage: Stage,
    databases: Databases,
    revisions: Sequence[Revision],
    before: TargetState,
    content: _Content,
    version_tables: Collection[VersionTable],
) -> str | None:
    """Return why the downgrade does not lead back to where the copy was, None where it does."""
    (database,) = databases.each
    one_way = [r.revision for r in revisions if r.downgrade is None]
    if one_way:
        return f"{name_revisions(one_way)} has no downgrade"
    back = tuple(reversed(revisions))
    ran = stage.run(
        databases, back, Direction.DOWNGRADE, observe=None, is_told=False, has_limit=False
    )
    if ran.failure is not None:
        return f"the downgrade fails: {_told_of(ran.failure)}"
    state = _read(database, version_tables)
    if state.versions != before.versions:
        there, aim = name_revisions(state.versions), name_revisions(before.versions)
        return f"the downgrade leads to {there}, not to {aim}"
    differences = compare(before.catalog, state.catalog)
    if differences:
        return f"the downgrade leads to another catalog: {join_some(differences)}"
    return _changed(content, _content_of(database, version_tables))


def _require_equal(
    deployment: Deployment,
    backup: Backup,
    copy: TargetState,
    version_tables: Collection[VersionTable],
    has_rows: bool,
) -> None:
    """Raise where the copy does not hold what was backed up.

    Without `has_rows`, and where the backup is not of a known moment, its rows may be others.
    """
    state = backup.state
    if state is None:
        counted = deployment.environment.row_counts
        state = read_state(deployment.target, version_tables, counted)
    what = "the restored copy does not hold what was backed up"
    fix = "Do not rely on this backup: see what the restore left out, and make another."
    if copy.versions != state.versions:
        there, aim = name_revisions(copy.versions), name_revisions(state.versions)
        raise StepFailed(f"{what}: it stands at {there}, not at {aim}", fix=fix)
    differences = [each for each in compare(state.catalog, copy.catalog) if not is_of_server(each)]
    if differences:
        details = {"differences": list(map(str, differences))}
        raise StepFailed(f"{what}: {join_some(differences)}", fix=fix, details=details)
    if not has_rows:
        return
    # Of a moment that is not known others may have written rows since, but a table that holds
    # some now and none in the copy was left out.
    is_known = backup.state is not None
    lost = [
        f"{table} has {copy.rows.get(table, 0)} rows, not {rows}"
        for table, rows in sorted(state.rows.items())
        if (copy.rows.get(table) != rows if is_known else rows and not copy.rows.get(table))
    ]
    if lost:
        raise StepFailed(f"{what}: {join_some(lost)}", fix=fix)


def _read(database: Database, version_tables: Collection[VersionTable]) -> TargetState:
    server = database.server
    server.use_roles_of(database.name)
    return read_state(replace(server, maintenance_database=database.name), version_tables)


@dataclass(frozen=True)
class _Content:
    """The catalog with owners and privileges, a digest of each table's rows, and how far each
    sequence has come."""

    catalog: Snapshot
    digests: Mapping[str, str]
    sequences: Mapping[str, int]


def _content_of(database: Database, version_tables: Collection[VersionTable]) -> _Content:
    """Return the content but for Alembic's tables: a downgrade of all leaves an empty one."""
    with database.session(autocommit=False) as connection:
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL statement_timeout = 0")
        ignore = find_relations(connection, *(table.name for table in version_tables))
        digests = row_digests(connection)
        return _Content(
            take_snapshot(connection, ignore),
            {name: digest for name, digest in digests.items() if name not in ignore},
            read_sequences(connection),
        )


def _changed(before: _Content, after: _Content) -> str | None:
    """Return what of the content is not as it was, None where nothing is lost."""
    differences = compare(before.catalog, after.catalog)
    if differences:
        return f"the downgrade leads to other privileges: {join_some(differences)}"
    changed = differing(before.digests, after.digests)
    if changed:
        return f"after the downgrade rows are not what they were in {join_some(changed)}"
    went_back = sorted(
        sequence
        for sequence, position in before.sequences.items()
        if after.sequences.get(sequence, position - 1) < position
    )
    if went_back:
        told = join_some(went_back)
        return f"after the downgrade values come again that were there already, from {told}"
    return None
