"""A backup is of one known moment, whole or not there, and what has spoiled it is found."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gatekeeper.deploy import model
from gatekeeper.deploy.backup import list_archive, make_backup, verify_backup
from gatekeeper.deploy.clients import find_clients
from gatekeeper.deploy.model import StepFailed
from gatekeeper.errors import DatabaseError, Interrupted
from gatekeeper.policy.model import Backup, BackupMode
from gatekeeper.postgres.databases import Database
from tests.databases import execute
from tests.deploy.stages import VERSIONS, deploy_to, own_dump
from tests.deploy.targets import an_ordinary_target, target_of
from tests.servers import on_every_server

pytestmark = pytest.mark.postgres

SHOP = (
    "CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY)",
    "INSERT INTO alembic_version VALUES ('a001')",
    "CREATE TABLE users (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text)",
    "INSERT INTO users (name) SELECT 'user ' || n FROM generate_series(1, 500) n",
)


@pytest.fixture
def shop(target_database: Database) -> Database:
    execute(target_database, *SHOP)
    return target_database


def files_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


# --- Made ----------------------------------------------------------------------------


@on_every_server("target_server")
def test_a_dump_with_what_the_target_held(shop: Database, tmp_path: Path) -> None:
    deployment = deploy_to(target_of(shop), tmp_path)
    backup = make_backup(deployment, VERSIONS)
    assert files_in(tmp_path) == ["backup.dump"]
    assert backup.path == tmp_path / "backup.dump"
    assert backup.path.stat().st_mode & 0o777 == 0o600
    assert backup.size_bytes == backup.path.stat().st_size
    assert backup.state is not None
    assert backup.state.versions == {"a001"}
    assert backup.state.rows == {"public.users": 500}
    assert ("table", "public.users") in backup.state.catalog.rows
    verify_backup(deployment, backup)


@pytest.mark.parametrize("command", [None, 'cd / && echo dump > "$GATEKEEPER_BACKUP_FILE"'])
def test_the_record_may_be_named_from_where_we_are(
    shop: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str | None
) -> None:
    monkeypatch.chdir(tmp_path)
    policy = Backup() if command is None else own(command)
    deployment = deploy_to(target_of(shop), Path("record"), backup=policy)
    backup = make_backup(deployment, VERSIONS)
    assert files_in(tmp_path / "record") == ["backup.dump"]
    verify_backup(deployment, backup)


def test_a_dump_by_several_jobs_is_a_folder(shop: Database, tmp_path: Path) -> None:
    deployment = deploy_to(target_of(shop), tmp_path, backup=Backup(jobs=3))
    backup = make_backup(deployment, VERSIONS)
    assert backup.path is not None
    assert backup.path.stat().st_mode & 0o777 == 0o700
    assert "toc.dat" in files_in(backup.path)
    assert backup.size_bytes == sum(file.stat().st_size for file in backup.path.iterdir())
    verify_backup(deployment, backup)


@contextlib.contextmanager
def writing(database: Database) -> Iterator[None]:
    """Keep on adding rows, one commit each."""
    ended = threading.Event()

    def write() -> None:
        with database.server.connect(database.name) as connection, connection.cursor() as cursor:
            while not ended.is_set():
                cursor.execute("INSERT INTO users (name) VALUES ('meanwhile')")

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [1, 3])
def test_what_is_written_meanwhile_is_in_neither(shop: Database, tmp_path: Path, jobs: int) -> None:
    """State and dump are of one snapshot, however many rows have come since."""
    with writing(shop):
        deployment = deploy_to(target_of(shop), tmp_path, backup=Backup(jobs=jobs))
        backup = make_backup(deployment, VERSIONS)
    assert backup.path is not None
    assert backup.state is not None
    with shop.session() as connection, connection.cursor() as cursor:
        clients = find_clients(connection.server_version // 10_000)
        cursor.execute("SELECT count(*) FROM users")
        ((now,),) = cursor.fetchall()
    dumped = rows_of(backup.path, clients.bin / "pg_restore", "users")
    assert backup.state.rows == {"public.users": dumped}
    assert 500 <= dumped < now


def rows_of(path: Path, pg_restore: Path, table: str) -> int:
    arguments = ["--data-only", f"--table={table}", "--file=-", str(path)]
    text = subprocess.run([pg_restore, *arguments], capture_output=True, check=True).stdout
    return text.partition(b"FROM stdin;\n")[2].partition(b"\\.\n")[0].count(b"\n")


def test_an_ordinary_role_backs_up_what_it_may_read(
    target_database: Database, tmp_path: Path
) -> None:
    with an_ordinary_target(target_database) as target:
        deployment = deploy_to(target, tmp_path)
        with target.connect(target.maintenance_database) as connection:
            connection.cursor().execute("CREATE TABLE public.orders (id int)")
        connection.close()
        backup = make_backup(deployment, VERSIONS)
        assert backup.state is not None
        assert backup.state.rows["public.orders"] == 0
        verify_backup(deployment, backup)


# --- The team's own way --------------------------------------------------------------


def own(command: str) -> Backup:
    return Backup(mode=BackupMode.COMMAND, command=command)


@pytest.mark.parametrize(
    "options", ["--format=custom", "--format=plain"], ids=["an archive", "SQL"]
)
def test_a_command_may_leave_its_dump(shop: Database, tmp_path: Path, options: str) -> None:
    deployment = deploy_to(target_of(shop), tmp_path, backup=own_dump(shop, options))
    backup = make_backup(deployment, VERSIONS)
    assert files_in(tmp_path) == ["backup.dump"]
    assert backup.path == tmp_path / "backup.dump"
    assert backup.state is None
    verify_backup(deployment, backup)


def test_folders_are_measured_to_the_bottom(shop: Database, tmp_path: Path) -> None:
    command = 'mkdir -p "$GATEKEEPER_BACKUP_FILE/base" && echo 1 > "$GATEKEEPER_BACKUP_FILE/base/1"'
    deployment = deploy_to(target_of(shop), tmp_path, backup=own(command))
    backup = make_backup(deployment, VERSIONS)
    assert backup.path is not None
    assert backup.size_bytes == 2
    verify_backup(deployment, backup)
    (backup.path / "base" / "1").write_text("2\n")
    with pytest.raises(StepFailed):
        verify_backup(deployment, backup)


def test_a_command_may_keep_its_dump_elsewhere(shop: Database, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    command = f'echo "$PGDATABASE" > {elsewhere}'
    deployment = deploy_to(target_of(shop), tmp_path / "record", backup=own(command))
    assert make_backup(deployment, VERSIONS) == model.Backup(None, None, None, None)
    assert elsewhere.read_text() == f"{shop.name}\n"
    assert files_in(tmp_path / "record") == []


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ('echo half > "$GATEKEEPER_BACKUP_FILE"; exit 3', "exit status 3"),
        (': > "$GATEKEEPER_BACKUP_FILE"', "left an empty file"),
    ],
    ids=["fails", "writes nothing"],
)
def test_a_command_that_fails_leaves_nothing(
    shop: Database, tmp_path: Path, command: str, told: str
) -> None:
    deployment = deploy_to(target_of(shop), tmp_path, backup=own(command))
    with pytest.raises(StepFailed) as raised:
        make_backup(deployment, VERSIONS)
    assert told in str(raised.value)
    assert files_in(tmp_path) == []


# --- Not made ------------------------------------------------------------------------


@contextlib.contextmanager
def files_limited_to(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_full_disk_leaves_nothing(shop: Database, tmp_path: Path, jobs: int) -> None:
    execute(shop, "INSERT INTO users (name) SELECT md5(n::text) FROM generate_series(1, 9000) n")
    deployment = deploy_to(target_of(shop), tmp_path, backup=Backup(jobs=jobs))
    with files_limited_to(32 * 1024), pytest.raises(StepFailed) as raised:
        make_backup(deployment, VERSIONS)
    assert "Make room where the record is written" in (raised.value.fix or "")
    assert files_in(tmp_path) == []


def interrupt(database: Database) -> None:
    os.kill(os.getpid(), signal.SIGUSR1)


def end_sessions(database: Database) -> None:
    database.server.administer(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = %s AND wait_event_type = 'Lock'",
        database.name,
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("happens", "error"), [(interrupt, Interrupted), (end_sessions, StepFailed)]
)
def test_what_ends_in_the_middle_leaves_nothing(
    shop: Database,
    tmp_path: Path,
    happens: Callable[[Database], None],
    error: type[Exception],
) -> None:
    def raise_interrupted(number: int, frame: object) -> None:
        raise Interrupted("stopped by a test")

    with contextlib.closing(shop.server.connect(shop.name, autocommit=False)) as holder:

        def tell(text: str) -> None:
            if text.startswith("Dumping"):
                holder.cursor().execute("LOCK TABLE users IN ACCESS EXCLUSIVE MODE")

        def wait_and_do() -> None:
            query = "SELECT FROM pg_stat_activity WHERE datname = %s AND wait_event_type = 'Lock'"
            while not shop.server.administer(query, shop.name):
                time.sleep(0.02)
            happens(shop)

        deployment = replace(deploy_to(target_of(shop), tmp_path), tell=tell)
        before = signal.signal(signal.SIGUSR1, raise_interrupted)
        thread = threading.Thread(target=wait_and_do)
        thread.start()
        try:
            with pytest.raises(error):
                make_backup(deployment, VERSIONS)
        finally:
            thread.join()
            signal.signal(signal.SIGUSR1, before)
    assert files_in(tmp_path) == []


def test_an_older_backup_outlasts_one_that_fails(shop: Database, tmp_path: Path) -> None:
    deployment = deploy_to(target_of(shop), tmp_path)
    older = make_backup(deployment, VERSIONS)
    execute(shop, "INSERT INTO users (name) SELECT md5(n::text) FROM generate_series(1, 9000) n")
    with files_limited_to(32 * 1024), pytest.raises(StepFailed):
        make_backup(deployment, VERSIONS)
    verify_backup(deployment, older)
    newer = make_backup(deployment, VERSIONS)
    assert newer.path == older.path
    verify_backup(deployment, newer)


def test_what_the_role_may_not_read_is_told(target_database: Database, tmp_path: Path) -> None:
    with an_ordinary_target(target_database) as target:
        execute(target_database, "CREATE TABLE hidden (id int)")
        with pytest.raises((StepFailed, DatabaseError)) as raised:
            make_backup(deploy_to(target, tmp_path), VERSIONS)
        assert "permission denied for table hidden" in str(raised.value)
        assert files_in(tmp_path) == []


def test_too_large_a_target_wants_a_restored_copy(shop: Database, tmp_path: Path) -> None:
    """Before hours were spent on a dump."""
    deployment = deploy_to(target_of(shop), tmp_path, backup=Backup(largest_gb=0))
    with pytest.raises(StepFailed) as raised:
        make_backup(deployment, VERSIONS)
    assert "more than the 0 GB" in raised.value.what
    assert "GATEKEEPER_RESTORED_URL" in (raised.value.fix or "")
    given = deploy_to(
        target_of(shop),
        tmp_path,
        backup=Backup(largest_gb=0),
        environ={"GATEKEEPER_RESTORED_URL": "postgresql://copy"},
    )
    assert make_backup(given, VERSIONS).path is not None


# --- Spoiled -------------------------------------------------------------------------


def flip_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x20
    path.write_bytes(content)


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


@pytest.mark.parametrize("spoil", [flip_a_byte, cut_off])
@pytest.mark.parametrize("jobs", [1, 2])
def test_a_spoiled_backup_is_found(shop: Database, tmp_path: Path, jobs: int, spoil) -> None:  # type: ignore[no-untyped-def]
    deployment = deploy_to(target_of(shop), tmp_path, backup=Backup(jobs=jobs))
    backup = make_backup(deployment, VERSIONS)
    assert backup.path is not None
    spoil(backup.path if jobs == 1 else next(backup.path.glob("*.dat.gz")))
    with pytest.raises(StepFailed) as raised:
        verify_backup(deployment, backup)
    assert raised.value.what.startswith("the backup is not what was written: it has ")
    assert raised.value.where == str(backup.path)


def test_a_backup_that_is_gone_is_missed(shop: Database, tmp_path: Path) -> None:
    deployment = deploy_to(target_of(shop), tmp_path)
    backup = make_backup(deployment, VERSIONS)
    assert backup.path is not None
    backup.path.unlink()
    with pytest.raises(StepFailed) as raised:
        verify_backup(deployment, backup)
    assert raised.value.what == "the backup is gone"


def test_what_is_no_archive_is_not_listed(shop: Database, tmp_path: Path) -> None:
    (tmp_path / "dump").write_bytes(b"PGDMP and nothing of it")
    with shop.session() as connection:
        clients = find_clients(connection.server_version // 10_000)
    with pytest.raises(StepFailed) as raised:
        list_archive(clients, tmp_path / "dump")
    assert raised.value.what.startswith("the backup cannot be read: ")
