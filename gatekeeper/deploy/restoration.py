"""A copy of the target: its backup restored on an ephemeral server, or one that is given.

Nothing here knows of the release; what is done with the copy is `copy_rehearsal`'s.
"""

from __future__ import annotations

import contextlib
import re
import secrets
import tempfile
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class

from gatekeeper.deploy.backup import (
    RESTORED_URL,
    exceeds_limit,
    is_archive,
    is_sql,
    list_archive,
    verify_backup,
)
from gatekeeper.deploy.clients import Clients, client_environment, find_clients, run_client
from gatekeeper.deploy.model import Backup, Deployment, StepFailed
from gatekeeper.deploy.phrases import join_some
from gatekeeper.postgres.databases import Database, create_database, drop_database, mark, unmark
from gatekeeper.postgres.owners import hand_over, make_owner
from gatekeeper.postgres.scripts import restore_script
from gatekeeper.postgres.servers import Server, quote, read_url
from gatekeeper.postgres.target import IDENTITY_QUERY, look_at
from gatekeeper.rehearsal.stage import Stage

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


@contextlib.contextmanager
def open_copy(
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
        f"the backup cannot be restored: {join_some(failed) or finished.reason}",
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
