"""The target is put back to the letter, in one transaction, or left exactly as it is."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import psycopg2
import pytest

from gatekeeper.deploy.backup import make_backup
from gatekeeper.deploy.model import Backup, StepFailed
from gatekeeper.deploy.restore_in_place import restore_target
from gatekeeper.policy.model import Backup as BackupPolicy
from gatekeeper.policy.model import BackupMode
from gatekeeper.postgres.databases import Database
from gatekeeper.postgres.difference import compare
from gatekeeper.postgres.rows import row_digests
from gatekeeper.postgres.servers import Server
from gatekeeper.postgres.snapshot import Snapshot, take_snapshot
from tests.databases import execute
from tests.deploy.stages import SHOP, VERSIONS, deploy_to, own_dump
from tests.deploy.targets import an_ordinary_target, target_of
from tests.servers import on_every_server

pytestmark = pytest.mark.postgres

# What a release may have done to the rich database before it is taken back.
CHANGES = (
    "UPDATE alembic_version SET version_num = 'b002'",
    "DROP VIEW happy",
    "DROP FUNCTION touch() CASCADE",
    "ALTER TABLE users DROP COLUMN score CASCADE",
    "ALTER TABLE users ADD COLUMN age int NOT NULL DEFAULT 7",
    "ALTER TYPE mood ADD VALUE 'new'",
    "DELETE FROM orders WHERE id < 10",
    "DROP TABLE events",
    "DROP EXTENSION pg_trgm",
    "CREATE EXTENSION hstore WITH SCHEMA extensions",
    "CREATE SCHEMA later",
    "CREATE TABLE later.things (id serial PRIMARY KEY, tags extensions.hstore)",
    "INSERT INTO later.things (tags) VALUES ('a=>1')",
    "CREATE TABLE public.more AS SELECT 1 AS n",
    "ALTER TABLE users OWNER TO CURRENT_USER",
    "REVOKE ALL ON SCHEMA public FROM PUBLIC",
    "COMMENT ON SCHEMA public IS 'theirs'",
    "ALTER DEFAULT PRIVILEGES GRANT ALL ON SEQUENCES TO PUBLIC",
    "ALTER DEFAULT PRIVILEGES IN SCHEMA public REVOKE SELECT ON TABLES FROM PUBLIC",
    "CREATE PUBLICATION everything FOR ALL TABLES",
    "CREATE FUNCTION refuse() RETURNS event_trigger LANGUAGE plpgsql AS"
    " $$ BEGIN IF tg_tag ~ 'POLICY' THEN RAISE 'no'; END IF; END $$",
    "CREATE EVENT TRIGGER refuse_all ON ddl_command_start EXECUTE FUNCTION refuse()",
    "DROP SERVER elsewhere CASCADE",
    "DROP ACCESS METHOD piles CASCADE",
    "DROP OPERATOR FAMILY orders_of USING btree CASCADE",
    "CREATE SERVER nowhere FOREIGN DATA WRAPPER postgres_fdw",
    "SELECT lo_unlink(777)",
    "SELECT lo_from_bytea(999, 'another')",
    "SELECT setval('numbers', 5)",
)


def held_by(database: Database) -> tuple[Snapshot, Mapping[str, str], list[tuple[object, ...]]]:
    """Return all that is there: catalog with owners and privileges, rows, large objects."""
    with database.session(autocommit=False) as connection, connection.cursor() as cursor:
        catalog, rows = take_snapshot(connection), row_digests(connection)
        cursor.execute(
            "SELECT oid::text, md5(lo_get(oid)) FROM pg_largeobject_metadata"
            " UNION ALL SELECT schemaname || sequencename, last_value::text FROM pg_sequences"
            " ORDER BY 1"
        )
        return catalog, rows, cursor.fetchall()


def assert_holds(
    database: Database, before: tuple[Snapshot, Mapping[str, str], list[tuple[object, ...]]]
) -> None:
    after = held_by(database)
    assert compare(before[0], after[0]) == ()
    assert before[1:] == after[1:]


# --- Put back ------------------------------------------------------------------------


@pytest.mark.slow
@on_every_server("target_server")
@pytest.mark.parametrize("jobs", [1, 2])
def test_to_the_letter(rich: Database, tmp_path: Path, jobs: int) -> None:
    deployment = deploy_to(target_of(rich), tmp_path, backup=BackupPolicy(jobs=jobs))
    before = held_by(rich)
    backup = make_backup(deployment, VERSIONS)
    execute(rich, *CHANGES)
    restore_target(deployment, backup, VERSIONS)
    assert_holds(rich, before)


LATER = (
    "UPDATE alembic_version SET version_num = 'b002'",
    "ALTER TABLE users ADD COLUMN age int",
    "DELETE FROM users WHERE id > 3",
)


def as_owner(target: Server, *statements: str) -> None:
    with contextlib.closing(target.connect(target.maintenance_database)) as connection:
        cursor = connection.cursor()
        cursor.execute("SET search_path = public")
        for statement in statements:
            cursor.execute(statement)


def test_without_the_schema_public(target_database: Database, tmp_path: Path) -> None:
    execute(target_database, "DROP SCHEMA public", "CREATE SCHEMA app", "CREATE TABLE app.t ()")
    deployment = deploy_to(target_of(target_database), tmp_path)
    before = held_by(target_database)
    backup = make_backup(deployment, VERSIONS)
    execute(target_database, "DROP SCHEMA app CASCADE", "CREATE SCHEMA public")
    execute(target_database, "CREATE TABLE public.t (n int)")
    restore_target(deployment, backup, VERSIONS)
    assert_holds(target_database, before)


def test_an_ordinary_role_keeps_the_extensions_that_it_may_not_make(
    target_database: Database, tmp_path: Path
) -> None:
    with an_ordinary_target(target_database) as target:
        execute(target_database, "DROP SCHEMA traps CASCADE")
        execute(target_database, "CREATE EXTENSION pageinspect WITH SCHEMA public")
        as_owner(target, *SHOP, "CREATE SCHEMA app", "CREATE TABLE app.t (n serial)")
        before = held_by(target_database)
        deployment = deploy_to(target, tmp_path)
        backup = make_backup(deployment, VERSIONS)
        as_owner(target, *LATER, "DROP SCHEMA app CASCADE", "CREATE TABLE more (n int)")
        restore_target(deployment, backup, VERSIONS)
        assert_holds(target_database, before)


def test_rows_that_an_extension_keeps_are_not_there_twice(
    target_database: Database, tmp_path: Path
) -> None:
    """An extension's own tables stay, and a dump brings the rows that users put into them."""
    # No extension that is at hand has such a table: this makes one of hstore's.
    execute(
        target_database,
        "CREATE EXTENSION hstore WITH SCHEMA public",
        "CREATE TABLE settings (name text PRIMARY KEY)",
        "ALTER EXTENSION hstore ADD TABLE settings",
        "UPDATE pg_extension SET extconfig = ARRAY['settings'::regclass::oid],"
        " extcondition = ARRAY['WHERE name <> ''built in'''] WHERE extname = 'hstore'",
        "INSERT INTO settings VALUES ('built in'), ('ours')",
    )
    deployment = deploy_to(target_of(target_database), tmp_path)
    backup = make_backup(deployment, VERSIONS)
    execute(target_database, "INSERT INTO settings VALUES ('later')")
    restore_target(deployment, backup, VERSIONS)
    with target_database.session() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT name FROM settings ORDER BY 1")
        assert cursor.fetchall() == [("built in",), ("ours",)]


@pytest.mark.slow
def test_while_others_write(shop: Database, tmp_path: Path) -> None:
    """Who waits for the restore writes after it, into what was restored."""
    deployment = deploy_to(target_of(shop), tmp_path)
    backup = make_backup(deployment, VERSIONS)
    execute(shop, *LATER)
    with writing(shop) as written:
        restore_target(deployment, backup, VERSIONS)
    with shop.session() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT id FROM users WHERE id < 1000 ORDER BY 1")
        assert [number for (number,) in cursor.fetchall()] == list(range(1, 21))
        cursor.execute("SELECT max(id) FROM users")
        assert cursor.fetchone() == (written[-1],)


@contextlib.contextmanager
def writing(database: Database) -> Iterator[list[int]]:
    """Keep on adding rows, one commit each; yield the numbers of those that were committed."""
    ended, written = threading.Event(), [999]

    def write() -> None:
        with contextlib.closing(database.server.connect(database.name)) as connection:
            while not ended.is_set():
                # While the table is being replaced, an INSERT may find that its own is gone.
                with contextlib.suppress(psycopg2.ProgrammingError, psycopg2.OperationalError):
                    number = written[-1] + 1
                    connection.cursor().execute("INSERT INTO users VALUES (%s)", (number,))
                    written.append(number)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield written
        seen = len(written)
        deadline = time.monotonic() + 10
        while len(written) < seen + 5:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    finally:
        ended.set()
        thread.join()


# --- Left as it is -------------------------------------------------------------------


def spoil(backup: Backup) -> Backup:
    assert backup.path is not None
    backup.path.write_bytes(backup.path.read_bytes()[:-1])
    return backup


def with_other_rows(backup: Backup) -> Backup:
    assert backup.state is not None
    return replace(backup, state=replace(backup.state, rows={"public.users": 21}))


def with_another_catalog(backup: Backup) -> Backup:
    assert backup.state is not None
    rows = dict(backup.state.catalog.rows)
    del rows["table", "public.users"]
    return replace(backup, state=replace(backup.state, catalog=Snapshot(rows)))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (spoil, "the backup is not what was written"),
        (with_other_rows, "public.users has 20 rows, not 21"),
        (with_another_catalog, "table public.users is left"),
    ],
)
def test_what_is_not_the_backup_is_not_committed(
    shop: Database, tmp_path: Path, change: Callable[[Backup], Backup], told: str
) -> None:
    deployment = deploy_to(target_of(shop), tmp_path)
    backup = change(make_backup(deployment, VERSIONS))
    execute(shop, *LATER)
    later = held_by(shop)
    with pytest.raises(StepFailed) as raised:
        restore_target(deployment, backup, VERSIONS)
    assert told in raised.value.what
    assert_holds(shop, later)


def test_a_dump_that_does_not_restore(shop: Database, tmp_path: Path) -> None:
    execute(
        shop,
        "CREATE FUNCTION is_few(int) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS"
        " 'BEGIN RETURN $1 < 100 AND EXISTS (SELECT FROM zeros); END'",
        "CREATE TABLE zeros (n int)",
        "INSERT INTO zeros VALUES (0)",
        "ALTER TABLE users ADD CHECK (is_few(id))",
    )
    deployment = deploy_to(target_of(shop), tmp_path)
    backup = make_backup(deployment, VERSIONS)
    execute(shop, *LATER)
    later = held_by(shop)
    with pytest.raises(StepFailed) as raised:
        restore_target(deployment, backup, VERSIONS)
    assert raised.value.what == (
        'the backup was not restored, and the target is as it was: relation "zeros" does not exist'
    )
    assert_holds(shop, later)


def test_what_belongs_to_others_is_not_taken_from_them(
    target_database: Database, tmp_path: Path
) -> None:
    with an_ordinary_target(target_database) as target:
        execute(target_database, "DROP SCHEMA traps CASCADE")
        as_owner(target, *SHOP)
        execute(target_database, "CREATE TABLE public.theirs (n int)")
        execute(target_database, "GRANT SELECT ON public.theirs TO PUBLIC")
        deployment = deploy_to(target, tmp_path)
        backup = make_backup(deployment, VERSIONS)
        as_owner(target, *LATER)
        later = held_by(target_database)
        with pytest.raises(StepFailed) as raised:
            restore_target(deployment, backup, VERSIONS)
        # The owner of a schema may drop what others have in it, but not give it back to them.
        assert raised.value.what == (
            "the backup was not restored: the role of the target does not own `table public.theirs`"
        )
        assert_holds(target_database, later)


@pytest.mark.slow
def test_a_session_that_holds_a_table_is_waited_for(shop: Database, tmp_path: Path) -> None:
    told: list[str] = []
    target = target_of(shop)
    deployment = deploy_to(target, tmp_path, lock_timeout_seconds=1, lock_attempts=2, told=told)
    before = held_by(shop)
    backup = make_backup(deployment, VERSIONS)
    execute(shop, *LATER)
    later = held_by(shop)
    with contextlib.closing(shop.server.connect(shop.name, autocommit=False)) as holder:
        holder.cursor().execute("SELECT FROM users")
        with pytest.raises(StepFailed) as raised:
            restore_target(deployment, backup, VERSIONS)
        assert raised.value.what == (
            "the backup was not restored, and the target is as it was: canceling statement due "
            "to lock timeout, 2 times"
        )
        assert_holds(shop, later)
    assert told[-1] == (
        "The target is in use (canceling statement due to lock timeout); again in a moment"
    )
    restore_target(deployment, backup, VERSIONS)
    assert_holds(shop, before)


def test_sql_and_what_is_kept_elsewhere_are_for_people(shop: Database, tmp_path: Path) -> None:
    command = 'echo "SELECT 1;" > "$GATEKEEPER_BACKUP_FILE"'
    own = BackupPolicy(mode=BackupMode.COMMAND, command=command)
    deployment = deploy_to(target_of(shop), tmp_path, backup=own)
    backup = make_backup(deployment, VERSIONS)
    with pytest.raises(StepFailed) as raised:
        restore_target(deployment, backup, VERSIONS)
    assert raised.value.what.startswith("the backup of the team's own command is SQL")
    with pytest.raises(StepFailed) as raised:
        restore_target(deployment, Backup(None, None, None, None), VERSIONS)
    assert raised.value.what.startswith("the backup is kept elsewhere")


def test_the_dump_of_the_teams_own_command_is_restored(shop: Database, tmp_path: Path) -> None:
    """Its moment is not known, so nothing is compared, but it is all or nothing."""
    own = own_dump(shop, "--format=custom")
    deployment = deploy_to(target_of(shop), tmp_path, backup=own)
    execute(shop, "CREATE EXTENSION citext")
    before = held_by(shop)
    backup = make_backup(deployment, VERSIONS)
    execute(shop, *LATER, "CREATE EXTENSION hstore", "DROP EXTENSION citext")
    restore_target(deployment, backup, VERSIONS)
    assert_holds(shop, before)
