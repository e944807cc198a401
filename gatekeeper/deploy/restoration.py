"""The backup restored elsewhere, and the release rehearsed on that copy: forward and back."""

from __future__ import annotations

import contextlib
import re
import secrets
import tempfile
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class

from gatekeeper.deploy.access import require_one_env
from gatekeeper.deploy.backup import (
    RESTORED_URL,
    exceeds_limit,
    is_archive,
    is_sql,
    list_archive,
    verify_backup,
)
from gatekeeper.deploy.clients import Clients, client_environment, find_clients, run_client
from gatekeeper.deploy.model import (
    Backup,
    Deployment,
    Proof,
    StepFailed,
    TargetState,
    describe_failure,
)
from gatekeeper.deploy.target import read_state
from gatekeeper.model import Difference, Direction, Revision, StepError
from gatekeeper.postgres.databases import Database, create_database, drop_database, mark, unmark
from gatekeeper.postgres.difference import compare, is_of_server
from gatekeeper.postgres.new_values import read_new_values
from gatekeeper.postgres.observation import find_relations
from gatekeeper.postgres.owners import hand_over, make_owner
from gatekeeper.postgres.rows import read_sequences, row_digests
from gatekeeper.postgres.scripts import restore_script
from gatekeeper.postgres.servers import Server, quote, read_url
from gatekeeper.postgres.snapshot import Snapshot, take_snapshot
from gatekeeper.postgres.target import IDENTITY_QUERY, look_at
from gatekeeper.probe.protocol import VersionTable
from gatekeeper.rehearsal.databases import Databases
from gatekeeper.rehearsal.stage import Stage

_SHOWN = 5

# `pg_restore` sets what its own version knows; a server that does not know it says this.
_UNKNOWN_SETTING = re.compile("unrecognized configuration parameter")
_NOT_INSTALLED = re.compile('extension "(.+?)" is not available|extension control file "(.+?)"')

# What the target's sessions begin with, beyond the server's own settings.
_SETTINGS = """
SELECT pg_catalog.split_part(setting, '=', 1),
    pg_catalog.substr(setting, pg_catalog.strpos(setting, '=') + 1)
FROM pg_catalog.pg_db_role_setting s, pg_catalog.unnest(s.setconfig) setting
WHERE s.setdatabase IN (
    0, (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
) AND s.setrole IN (0, (SELECT oid FROM pg_catalog.pg_roles WHERE rolname = current_user))
AND setting !~ '^gatekeeper[.]'
ORDER BY s.setrole <> 0, s.setdatabase <> 0
"""


# What a database may set for its sessions, but for what only its own machine has.
_SETTABLE = """
SELECT name FROM pg_catalog.pg_settings
WHERE context IN ('user', 'superuser') AND name !~ 'tablespace|librar'
"""
_GRANTS = re.compile(r"^\d+; \d+ \d+ (?:DEFAULT )?ACL ")


@dataclass(frozen=True)
class Surroundings:
    """What a dump takes for granted: the server's major version, its roles, and the settings
    that the database's sessions begin with."""

    major: int
    roles: frozenset[str]
    settings: tuple[tuple[str, str], ...] = field(repr=False)


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
    with _open_copy(deployment, stage, backup) as (database, is_restored):
        deployment.tell("Comparing the copy with the target")
        before = _read(database, version_tables)
        _require_equal(deployment, backup, before, version_tables, has_rows=is_restored)
        return _rehearse(deployment, stage, database, before, revisions, version_tables)


def read_surroundings(target: Server) -> Surroundings:
    """Return what a dump of the target takes for granted."""
    with look_at(target) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT rolname FROM pg_catalog.pg_roles WHERE rolname !~ '^pg_'")
        roles = frozenset(name for (name,) in cursor.fetchall())
        cursor.execute(_SETTINGS)
        settings = tuple((name, value) for name, value in cursor.fetchall())
        return Surroundings(connection.server_version // 10_000, roles, settings)


def restore_copy(
    server: Server, backup: Backup, surroundings: Surroundings, jobs: int = 1
) -> Database:
    """Return a new database of a rehearsal's server with what the backup holds.

    All of it belongs to one role. The roles of the target are made, without any rights but
    what the backup grants them.
    """
    assert backup.path is not None
    major = int(server.info.version.split(".")[0])
    if major != surroundings.major:
        raise StepFailed(
            f"the backup is of PostgreSQL {surroundings.major}, and the server that it would be "
            f"restored on is {server.info.version}",
            fix=f"Give `--database-url` a PostgreSQL {surroundings.major}, or install one.",
        )
    _make_roles(server, surroundings.roles)
    if is_archive(backup.path):
        database = create_database(server)
    elif is_sql(backup.path):
        database = restore_script(backup.path, lambda: create_database(server))
    else:
        raise StepFailed(
            "the backup of the team's own command is neither an archive of `pg_dump` nor SQL",
            where=str(backup.path),
            fix="Let it dump with `pg_dump --format=custom`, or give the URL of a restored "
            f"copy in {RESTORED_URL}.",
        )
    try:
        if backup.state is not None and ("schema", "public") not in backup.state.catalog.rows:
            _execute(database, "DROP SCHEMA public")  # no dump tells that it was dropped
        if is_archive(backup.path):
            _restore_archive(find_clients(major), database, backup.path, jobs)
        _set_settings(database, surroundings.settings)
        _execute(database, "ANALYZE")
    except BaseException:
        drop_database(database)
        raise
    return database


def _execute(database: Database, statement: str) -> None:
    with database.session() as connection, connection.cursor() as cursor:
        cursor.execute(statement)


def _make_roles(server: Server, roles: Collection[str]) -> None:
    there = {name for (name,) in server.administer("SELECT rolname FROM pg_catalog.pg_roles")}
    for role in sorted(set(roles) - there):
        server.make_role(role)


def _restore_archive(clients: Clients, database: Database, path: Path, jobs: int) -> None:
    """Restore all but privileges, then those: a downgrade may forget them.

    What an ordinary role grants to others is not what was granted on the target: with one the
    copy goes without.
    """
    _run_restore(clients, database, path, "--no-privileges", f"--jobs={jobs}")
    if database.server.roles.is_superuser:
        grants = [entry for entry in list_archive(clients, path) if _GRANTS.search(entry)]
        with tempfile.NamedTemporaryFile("w", encoding="utf-8") as file:
            file.write("\n".join(grants))
            file.flush()
            _run_restore(clients, database, path, f"--use-list={file.name}")


def _run_restore(clients: Clients, database: Database, path: Path, *options: str) -> None:
    finished = run_client(
        clients,
        "pg_restore",
        [
            "--no-owner",
            "--no-tablespaces",
            "--no-password",
            f"--dbname={database.name}",
            *options,
            str(path),
        ],
        client_environment(database.server, database.name, {}),
    )
    if finished.status == 0:
        return
    failed = [each for each in finished.errors if not _UNKNOWN_SETTING.search(each)]
    if finished.status == 1 and finished.errors and not failed:
        return
    fix = "See the messages: what the dump needs has to be on the server that it is restored on."
    for match in filter(None, map(_NOT_INSTALLED.search, failed)):
        fix = (
            f"Give `--database-url` a server that has the extension `{match[1] or match[2]}`, such "
            "as a service container of an image with it."
        )
    raise StepFailed(
        f"the backup cannot be restored: {'; '.join(failed[:_SHOWN]) or finished.reason}",
        where=str(path),
        fix=fix,
        details={"errors": failed},
    )


def _set_settings(database: Database, settings: Sequence[tuple[str, str]]) -> None:
    """Let the copy's sessions begin as the target's do; lists stay lists by FROM CURRENT.

    Not with another role (`SET role`): here all belongs to one.
    """
    server = database.server
    known = {name for (name,) in server.administer(_SETTABLE)}
    for setting, value in settings:
        if setting not in known and "." not in setting:
            continue
        quoted = ".".join(quote(server, part) for part in setting.split("."))
        server.administer(
            "SELECT pg_catalog.set_config(%s, %s, true);"
            f" ALTER DATABASE {quote(server, database.name)} SET {quoted} FROM CURRENT",
            setting,
            value,
        )


# --- The copy ------------------------------------------------------------------------


@contextlib.contextmanager
def _open_copy(
    deployment: Deployment, stage: Stage, backup: Backup
) -> Iterator[tuple[Database, bool]]:
    """Yield a copy of the target, and whether it was restored here or is one that is given."""
    jobs = deployment.environment.backup.jobs
    url = deployment.environ.get(RESTORED_URL)
    if url and (backup.state is None or _is_too_large(deployment)):
        with _open_given(deployment, url) as database:
            yield database, False
        return
    verify_backup(deployment, backup)
    deployment.tell("Restoring the backup on an ephemeral server")
    database = restore_copy(stage.server, backup, read_surroundings(deployment.target), jobs)
    try:
        if stage.ground.preparation.is_restricted:
            database = hand_over(database, make_owner(stage.server))
        yield database, True
    finally:
        drop_database(database)


def _is_too_large(deployment: Deployment) -> bool:
    with look_at(deployment.target) as connection:
        return exceeds_limit(connection, deployment.environment.backup)


@contextlib.contextmanager
def _open_given(deployment: Deployment, url: str) -> Iterator[Database]:
    """Yield the restored copy of a URL, which is marked as ours for as long as we use it."""
    server = read_url(url, RESTORED_URL)
    with look_at(server, fix=f"See that {RESTORED_URL} is right.") as connection:
        if _identity(connection) == _identity_of(deployment.target):
            raise StepFailed(
                "the restored copy that is given is the target itself",
                where=RESTORED_URL,
                fix="Give the URL of another database: the release is rehearsed on it.",
            )
        with connection.cursor() as cursor:
            cursor.execute("SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user")
            ((server.roles.is_superuser,),) = cursor.fetchall()
    deployment.tell("Taking the restored copy that is given")
    database = Database(server, server.maintenance_database, secrets.token_hex(16))
    with contextlib.closing(server):
        mark(database)
        try:
            yield database
        finally:
            unmark(database)


def _identity_of(server: Server) -> tuple[object, ...]:
    with look_at(server) as connection:
        return _identity(connection)


def _identity(connection: Connection) -> tuple[object, ...]:
    with connection.cursor() as cursor:
        cursor.execute(IDENTITY_QUERY)
        return tuple(cursor.fetchall())


# --- The rehearsal -------------------------------------------------------------------


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
            f"after the upgrade a restored copy of the target stands at {_named(after.versions)}, "
            f"not at {_named(wanted)}",
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
        return f"{_named(one_way)} has no downgrade"
    back = tuple(reversed(revisions))
    ran = stage.run(
        databases, back, Direction.DOWNGRADE, observe=None, is_told=False, has_limit=False
    )
    if ran.failure is not None:
        return f"the downgrade fails: {_told_of(ran.failure)}"
    state = _read(database, version_tables)
    if state.versions != before.versions:
        return f"the downgrade leads to {_named(state.versions)}, not to {_named(before.versions)}"
    differences = compare(before.catalog, state.catalog)
    if differences:
        return f"the downgrade leads to another catalog: {_told(differences)}"
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
        told = f"it stands at {_named(copy.versions)}, not at {_named(state.versions)}"
        raise StepFailed(f"{what}: {told}", fix=fix)
    differences = [each for each in compare(state.catalog, copy.catalog) if not is_of_server(each)]
    if differences:
        details = {"differences": list(map(str, differences))}
        raise StepFailed(f"{what}: {_told(differences)}", fix=fix, details=details)
    if not has_rows:
        return
    # Of a moment that is not known others may have written rows since, but a table that holds
    # some now and none in the copy was left out.
    is_known = backup.state is not None
    lost = sorted(
        table
        for table, rows in state.rows.items()
        if (copy.rows.get(table) != rows if is_known else rows and not copy.rows.get(table))
    )
    if lost:
        told = ", ".join(
            f"{table} has {copy.rows.get(table, 0)} rows, not {state.rows.get(table, 0)}"
            for table in lost[:_SHOWN]
        )
        raise StepFailed(f"{what}: {told}", fix=fix)


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
        return f"the downgrade leads to other privileges: {_told(differences)}"
    digests, now = before.digests, after.digests
    changed = sorted(t for t in digests.keys() | now.keys() if digests.get(t) != now.get(t))
    if changed:
        return f"after the downgrade rows are not what they were in {', '.join(changed[:_SHOWN])}"
    went_back = sorted(
        sequence
        for sequence, position in before.sequences.items()
        if after.sequences.get(sequence, position - 1) < position
    )
    if went_back:
        told = ", ".join(went_back[:_SHOWN])
        return f"after the downgrade values come again that were there already, from {told}"
    return None


def _named(revisions: Collection[str]) -> str:
    return ", ".join(f"`{revision}`" for revision in sorted(revisions)) or "no revision"


def _told(differences: Sequence[Difference]) -> str:
    more = len(differences) - _SHOWN
    return "; ".join(map(str, differences[:_SHOWN])) + (f"; and {more} more" if more > 0 else "")
