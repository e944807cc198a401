"""A backup of the target: made at a known state, whole or not there at all, and checked."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from gatekeeper.deploy.clients import (
    Clients,
    Finished,
    client_environment,
    connection_variables,
    find_clients,
    run_client,
)
from gatekeeper.deploy.commands import environ_of, run_command, secrets_of_deployment
from gatekeeper.deploy.model import Backup, Deployment, StepFailed
from gatekeeper.deploy.phrases import name_size
from gatekeeper.deploy.target import read_state
from gatekeeper.policy.model import Backup as BackupPolicy
from gatekeeper.policy.model import BackupMode
from gatekeeper.postgres.target import look_at
from gatekeeper.probe.model import VersionTable
from gatekeeper.signals import held_back

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class

RESTORED_URL = "GATEKEEPER_RESTORED_URL"  # a restored copy of a target too large to restore

_NAME = "backup.dump"
_FILE_VARIABLE = "GATEKEEPER_BACKUP_FILE"
_GB = 1024**3

# A dump takes as long as it takes; a table that is locked for longer than this is told.
_BACKUP_SECONDS = 24 * 3600
_LOCK_SECONDS = 60

_NO_TEXT = re.compile(rb"[\x00-\x08\x0e-\x1f]")  # control characters, but not white space

# The transaction that lends its snapshot does nothing meanwhile, which servers may forbid.
_PATIENCE = """
SELECT pg_catalog.set_config(name, '0', true) FROM pg_catalog.pg_settings
WHERE name IN ('idle_in_transaction_session_timeout', 'transaction_timeout', 'statement_timeout')
"""


def make_backup(deployment: Deployment, version_tables: Collection[VersionTable]) -> Backup:
    """Return a backup of the target, in the record's folder unless the team has its own way.

    What the target held is read in the very transaction that the dump is of, while others go
    on writing. Where this fails nothing is left of it.
    """
    if deployment.environment.backup.mode is BackupMode.COMMAND:
        return _run_own_command(deployment)
    target = deployment.target
    with _lending(deployment) as (connection, snapshot_id):
        clients = find_clients(connection.server_version // 10_000)
        _require_copy(deployment, connection)
        deployment.tell("Reading what the target holds")
        state = read_state(target, version_tables, (), snapshot_id)
        deployment.tell(f"Dumping the target with `pg_dump` {clients.version}")
        jobs = deployment.environment.backup.jobs
        with _whole_or_nothing(deployment.folder) as partial:
            finished = run_client(
                clients,
                "pg_dump",
                [
                    *_format(jobs),
                    f"--file={partial}",
                    f"--snapshot={snapshot_id}",
                    f"--lock-wait-timeout={_LOCK_SECONDS}s",
                    "--no-password",
                ],
                client_environment(target, target.maintenance_database, deployment.environ),
            )
            if finished.status != 0:
                raise _not_dumped(finished, deployment.folder)
            list_archive(clients, partial)
            size, digest = _measure(partial)
    return Backup(deployment.folder / _NAME, size, digest, state)


def describe_backup(backup: Backup) -> str:
    """Return where a backup is, and what tells that it is still the one that was written."""
    if backup.path is None:
        return "the command has succeeded, and keeps the backup elsewhere"
    assert backup.size_bytes is not None
    return f"{backup.path.name}: {name_size(backup.size_bytes)}, sha256 {backup.sha256}"


def verify_backup(deployment: Deployment, backup: Backup) -> None:
    """Return if the backup is what was written, to the letter, and can be read."""
    if backup.path is None:
        raise StepFailed(
            "the backup is kept elsewhere by the team's own command, and cannot be read here",
            fix=f"Let the command put a dump into the file that ${_FILE_VARIABLE} names, or give "
            f"the URL of a restored copy in {RESTORED_URL}.",
        )
    if not backup.path.exists():
        raise StepFailed("the backup is gone", where=str(backup.path), fix=_ANOTHER)
    size, digest = _measure(backup.path)
    if (size, digest) != (backup.size_bytes, backup.sha256):
        raise StepFailed(
            f"the backup is not what was written: it has {size} bytes with sha256 {digest}, and "
            f"had {backup.size_bytes} with {backup.sha256}",
            where=str(backup.path),
            fix=_ANOTHER,
        )
    if is_archive(backup.path):
        list_archive(clients_for(deployment), backup.path)


_ANOTHER = "Look for what touched the record's folder, and make another backup."


def clients_for(deployment: Deployment) -> Clients:
    """Return the client programs that fit the target's server."""
    with look_at(deployment.target) as connection:
        return find_clients(connection.server_version // 10_000)


def is_archive(path: Path) -> bool:
    """Whether a dump is one for `pg_restore`, and not SQL."""
    file = path / "toc.dat" if path.is_dir() else path
    if not file.is_file():
        return False
    with file.open("rb") as opened:
        return opened.read(5) == b"PGDMP"


def is_sql(path: Path) -> bool:
    """Whether a dump is a text, as far as its beginning tells."""
    if not path.is_file():
        return False
    with path.open("rb") as opened:
        return not _NO_TEXT.search(opened.read(64 * 1024))


def list_archive(clients: Clients, path: Path) -> tuple[str, ...]:
    """Return the lines of an archive's table of contents; one without is no backup."""
    finished = run_client(clients, "pg_restore", ["--list", str(path)])
    entries = [line for line in finished.output.splitlines() if line and line[0] != ";"]
    if finished.status != 0:
        raise StepFailed(
            f"the backup cannot be read: {finished.reason}", where=str(path), fix=_ANOTHER
        )
    return tuple(entries)


@contextlib.contextmanager
def _lending(deployment: Deployment) -> Iterator[tuple[Connection, str]]:
    """Yield a connection whose transaction lends its snapshot to others, and that one's name."""
    with (
        look_at(
            deployment.target, statement_seconds=_BACKUP_SECONDS, lock_seconds=_LOCK_SECONDS
        ) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute(_PATIENCE)
        cursor.execute("SELECT pg_catalog.pg_export_snapshot()")
        ((snapshot_id,),) = cursor.fetchall()
        yield connection, snapshot_id


def _require_copy(deployment: Deployment, connection: Connection) -> None:
    """Raise where the target is too large to be restored and no restored copy is given."""
    policy = deployment.environment.backup
    if exceeds_limit(connection, policy) and not deployment.environ.get(RESTORED_URL):
        raise StepFailed(
            f"the target has more than the {policy.largest_gb} GB up to which a backup is restored "
            "for a rehearsal",
            where="backup.largest_gb",
            fix=f"Restore your provider's snapshot, and give the copy's URL in {RESTORED_URL}.",
        )


def exceeds_limit(connection: Connection, policy: BackupPolicy) -> bool:
    """Whether a database is larger than what the policy lets be restored."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_catalog.pg_database_size(pg_catalog.current_database())")
        ((size,),) = cursor.fetchall()
    return policy.largest_gb is not None and size > policy.largest_gb * _GB


def _format(jobs: int) -> list[str]:
    return ["--format=custom"] if jobs == 1 else ["--format=directory", f"--jobs={jobs}"]


@contextlib.contextmanager
def _whole_or_nothing(folder: Path) -> Iterator[Path]:
    """Yield where to write the backup; it gets its name when the block ends well.

    Otherwise nothing of it is left. An older one gives way only to one that is whole.
    """
    final, partial = folder / _NAME, folder / f"{_NAME}.partial"
    folder.mkdir(parents=True, exist_ok=True)
    _remove(partial)
    try:
        yield partial
        if partial.exists():
            _remove(final)
            partial.rename(final)
            _sync(folder)
    except BaseException:
        with held_back():
            _remove(partial)
        raise


def _sync(folder: Path) -> None:
    """Let the new name outlast a crash of the machine; `pg_dump` has done so for the rest."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _measure(path: Path) -> tuple[int, str]:
    """Return size and digest; those of a folder are of its files, with their names."""
    if path.is_file():
        return path.stat().st_size, _digest(path)
    total, digest = 0, hashlib.sha256()
    for file in sorted(file for file in path.rglob("*") if file.is_file()):
        total += file.stat().st_size
        digest.update(f"{file.relative_to(path)} {_digest(file)}\n".encode())
    return total, digest.hexdigest()


def _digest(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _not_dumped(finished: Finished, folder: Path) -> StepFailed:
    reason, fix = finished.reason, "See what `pg_dump` says; nothing was done to the target."
    if "No space left" in reason or "SIGXFSZ" in reason or "died unexpectedly" in reason:
        free = shutil.disk_usage(folder).free
        fix = (
            f"Make room where the record is written ({free / _GB:.1f} GB are free, and files may "
            "be limited: `ulimit -f`), or give `--record` another place."
        )
    elif "permission denied" in reason or "row-level security" in reason:
        fix = "Let the role of GATEKEEPER_TARGET_URL read everything: `GRANT pg_read_all_data TO …`"
        fix += ", and `BYPASSRLS` where policies hide rows from it."
    return StepFailed(f"the backup failed: {reason}", where=str(folder), fix=fix)


def _run_own_command(deployment: Deployment) -> Backup:
    """Run the team's command, which may leave a dump where it is told."""
    target, command = deployment.target, deployment.environment.backup.command
    assert command is not None
    with _whole_or_nothing(deployment.folder) as partial:
        variables: Mapping[str, str] = {
            **connection_variables(target, target.maintenance_database, deployment.environ),
            _FILE_VARIABLE: str(partial.absolute()),
        }
        run_command(
            command,
            {**environ_of(deployment), **variables},
            Path(),
            _BACKUP_SECONDS,
            secrets_of_deployment(deployment),
        )
        if not partial.exists():
            return Backup(None, None, None, None)
        size, digest = _measure(partial)
        if size == 0:
            raise StepFailed(
                f"the command for the backup left an empty file: `{command}`",
                where="backup.command",
                fix=f"Let it fail where it fails, and write to ${_FILE_VARIABLE} what it dumps.",
            )
    return Backup(deployment.folder / _NAME, size, digest, None)
