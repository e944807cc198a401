"""A copy of the target holds what its backup holds, or is one that the team gives."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gatekeeper.deploy.backup import make_backup
from gatekeeper.deploy.model import StepFailed
from gatekeeper.deploy.restoration import open_copy, read_surroundings, restore_copy
from gatekeeper.policy.model import Backup, BackupMode
from gatekeeper.postgres.databases import Database, drop_database
from gatekeeper.postgres.difference import compare
from gatekeeper.postgres.servers import Server
from gatekeeper.postgres.snapshot import take_snapshot
from tests.databases import execute, url_of
from tests.deploy.stages import (
    FILES,
    VERSIONS,
    a_stage,
    deploy_to,
    own_dump,
)
from tests.deploy.targets import contents, target_of
from tests.servers import on_every_server

pytestmark = pytest.mark.postgres


def privileges(database: Database) -> Mapping[str, str | None]:
    with database.session() as connection:
        objects = take_snapshot(connection).objects
    return {
        " ".join(key): told["privileges"] for key, told in objects.items() if "privileges" in told
    }


@contextlib.contextmanager
def a_copy(server: Server, target: Database, folder: Path, jobs: int = 1) -> Iterator[Database]:
    deployment = deploy_to(target_of(target), folder, backup=Backup(jobs=jobs))
    backup = make_backup(deployment, VERSIONS)
    copy = restore_copy(server, backup, read_surroundings(deployment.target), jobs)
    try:
        yield copy
    finally:
        drop_database(copy)


@contextlib.contextmanager
def opened(
    server: Server,
    target: Database,
    folder: Path,
    backup: Backup | None = None,
    environ: Mapping[str, str] | None = None,
) -> Iterator[tuple[Database, bool]]:
    """Back a target up and open the copy, as a rehearsal does."""
    record = folder / "record"
    deployment = deploy_to(target_of(target), record, backup=backup or Backup(), environ=environ)
    made = make_backup(deployment, VERSIONS)
    with (
        a_stage(server, folder / "checkout", FILES) as stage,
        open_copy(deployment, stage, made) as copy,
    ):
        yield copy


def refused(*arguments: Any) -> StepFailed:
    """Return why no copy is opened."""
    with pytest.raises(StepFailed) as raised, opened(*arguments):
        pass
    return raised.value


@pytest.mark.slow
@on_every_server("target_server", "server")
@pytest.mark.parametrize("jobs", [1, 3])
def test_a_copy_holds_all_that_the_target_holds(
    server: Server, rich: Database, tmp_path: Path, jobs: int
) -> None:
    with a_copy(server, rich, tmp_path, jobs) as copy:
        (catalog, rows), (copied, copied_rows) = contents(rich), contents(copy)
        assert compare(catalog, copied) == ()
        assert rows == copied_rows
        assert privileges(copy).keys() == privileges(rich).keys()
        with copy.session() as connection, connection.cursor() as cursor:
            cursor.execute("SELECT lo_get(777), nextval('numbers')")
            ((content, number),) = cursor.fetchall()
        assert (bytes(content), number) == (b"a large object's bytes", 1234)


def test_a_copys_sessions_begin_as_the_targets(
    server: Server, shop: Database, tmp_path: Path
) -> None:
    execute(
        shop,
        "CREATE SCHEMA app",
        f"ALTER DATABASE {shop.name} SET search_path = app, public",
        f"ALTER DATABASE {shop.name} SET app.tenant = 'it''s'",
        f"ALTER DATABASE {shop.name} SET role = postgres",
        f"ALTER DATABASE {shop.name} SET session_preload_libraries = pg_trgm",
    )
    with (
        a_copy(server, shop, tmp_path) as copy,
        copy.session() as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute("SELECT current_setting('search_path'), current_setting('app.tenant')")
        assert cursor.fetchone() == ("app, public", "it's")
        cursor.execute("SELECT current_schema(), current_setting('session_preload_libraries')")
        assert cursor.fetchone() == ("app", "")


def test_a_schema_public_that_was_dropped_stays_dropped(
    server: Server, target_database: Database, tmp_path: Path
) -> None:
    execute(
        target_database, "DROP SCHEMA public", "CREATE SCHEMA app", "CREATE TABLE app.t (n int)"
    )
    with a_copy(server, target_database, tmp_path) as copy:
        assert contents(copy) == contents(target_database)


def test_a_server_of_another_major_will_not_do(
    server: Server, shop: Database, tmp_path: Path
) -> None:
    deployment = deploy_to(target_of(shop), tmp_path)
    backup = make_backup(deployment, VERSIONS)
    other = replace(read_surroundings(deployment.target), major=99)
    with pytest.raises(StepFailed) as raised:
        restore_copy(server, backup, other)
    assert raised.value.what.startswith("the backup is of PostgreSQL 99, and the server that it")


@pytest.mark.slow
def test_a_restore_that_fails(server: Server, shop: Database, tmp_path: Path) -> None:
    """Such as for a function that the dump's order of things does not give its table yet."""
    execute(
        shop,
        "CREATE FUNCTION most() RETURNS int LANGUAGE sql AS 'SELECT max(id) FROM public.users'",
        "CREATE FUNCTION is_few(int) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS"
        " 'BEGIN RETURN $1 < 100 AND EXISTS (SELECT FROM zeros); END'",
        "CREATE TABLE zeros (n int)",
        "INSERT INTO zeros VALUES (0)",
        "ALTER TABLE users ADD CHECK (is_few(id))",
    )
    what = refused(server, shop, tmp_path).what
    assert what.startswith("the backup cannot be restored: ")
    assert 'relation "zeros" does not exist' in what


@pytest.mark.slow
def test_a_spoiled_backup_is_not_restored(server: Server, shop: Database, tmp_path: Path) -> None:
    deployment = deploy_to(target_of(shop), tmp_path / "record")
    backup = make_backup(deployment, VERSIONS)
    assert backup.path is not None
    backup.path.write_bytes(backup.path.read_bytes()[:-1])
    with (
        a_stage(server, tmp_path / "checkout", FILES) as stage,
        pytest.raises(StepFailed) as raised,
        open_copy(deployment, stage, backup),
    ):
        pass
    assert raised.value.what.startswith("the backup is not what was written")


# --- The team's own backup, and a copy that is given ---------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("options", ["--format=custom", "--format=plain"])
def test_the_dump_of_the_teams_own_command(
    server: Server, shop: Database, tmp_path: Path, options: str
) -> None:
    with opened(server, shop, tmp_path, own_dump(shop, options)) as (copy, is_restored):
        assert is_restored
        assert contents(copy) == contents(shop)


@pytest.mark.slow
def test_not_what_only_the_team_can_read(server: Server, shop: Database, tmp_path: Path) -> None:
    own = Backup(mode=BackupMode.COMMAND, command='ls | gzip > "$GATEKEEPER_BACKUP_FILE"')
    assert refused(server, shop, tmp_path, own).what == (
        "the backup of the team's own command is neither an archive of `pg_dump` nor SQL"
    )


@pytest.mark.slow
def test_the_given_copy_is_never_the_target(server: Server, shop: Database, tmp_path: Path) -> None:
    given = {"GATEKEEPER_RESTORED_URL": url_of(shop)}
    failed = refused(server, shop, tmp_path, Backup(largest_gb=0), given)
    assert failed.what == "the restored copy that is given is the target itself"


@pytest.mark.slow
def test_without_a_dump_a_copy_has_to_be_given(
    server: Server, shop: Database, tmp_path: Path
) -> None:
    own = Backup(mode=BackupMode.COMMAND, command="true")
    assert "GATEKEEPER_RESTORED_URL" in (refused(server, shop, tmp_path, own).fix or "")
