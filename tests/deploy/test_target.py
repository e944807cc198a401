"""The target of a deploy is held by one at a time, read without a trace, and cleaned."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
import time
from collections.abc import Iterator

import psycopg2
import pytest

from gatekeeper.deploy import target as target_module
from gatekeeper.deploy.model import StepFailed
from gatekeeper.deploy.target import (
    TARGET_URL,
    Blockers,
    end_backends,
    find_target,
    hold_target,
    next_transaction,
    read_state,
)
from gatekeeper.errors import ConfigError, DatabaseError
from gatekeeper.postgres.activity import Blocker
from gatekeeper.postgres.databases import Database, open_database
from gatekeeper.postgres.locking import find_holder
from gatekeeper.postgres.servers import Server
from gatekeeper.probe.model import VersionTable
from tests.databases import execute
from tests.deploy.targets import an_ordinary_target, busy, target_of

pytestmark = pytest.mark.postgres

VERSIONS = (VersionTable(None, "alembic_version"),)


@pytest.fixture(params=["superuser", "ordinary role"])
def target(request: pytest.FixtureRequest, database: Database) -> Iterator[Server]:
    if request.param == "superuser":
        yield target_of(database)
        return
    with an_ordinary_target(database) as target:
        yield target


def run_as(target: Server, *statements: str) -> None:
    with contextlib.closing(target.connect(target.maintenance_database)) as connection:
        for statement in statements:
            connection.cursor().execute(statement)


# --- Held ----------------------------------------------------------------------------


def test_one_deploy_at_a_time(target: Server, database: Database) -> None:
    second = target_of(database)
    with hold_target(target) as hold:
        hold.assure()
        with pytest.raises(StepFailed) as raised, hold_target(second):
            pass
    details = raised.value.details
    assert details["application_name"] == f"gatekeeper_{target.run_id}"
    assert raised.value.what == (
        f"another deploy works on the target: gatekeeper_{target.run_id}, process "
        f"{details['pid']}, since {details['since']}"
    )
    assert f"SELECT pg_terminate_backend({details['pid']});" in (raised.value.fix or "")
    with hold_target(second):
        pass


def test_the_holder_may_be_another_role(database: Database) -> None:
    """To an ordinary role PostgreSQL does not say since when others are there."""
    with an_ordinary_target(database) as target, hold_target(target_of(database)):
        with pytest.raises(StepFailed) as raised, hold_target(target):
            pass
        assert raised.value.details["since"] is None
        assert "since" not in raised.value.what


def test_databases_of_one_server_are_held_apart(server: Server, database: Database) -> None:
    with (
        open_database(server) as other,
        hold_target(target_of(database)),
        hold_target(target_of(other)) as hold,
    ):
        hold.assure()


def test_an_index_can_be_built_concurrently_meanwhile(target: Server, database: Database) -> None:
    execute(database, "CREATE TABLE public.shop (id int)")
    with hold_target(target):
        execute(database, "CREATE INDEX CONCURRENTLY shop_id ON public.shop (id)")


def test_a_hold_that_was_lost_is_taken_again(target: Server, database: Database) -> None:
    with hold_target(target) as hold:
        assert end_backends(target_of(database), f"gatekeeper_{target.run_id}") == 1
        hold.assure()
        with pytest.raises(StepFailed), hold_target(target_of(database)):
            pass


@pytest.mark.slow
def test_a_hold_that_was_lost_is_noticed(
    target: Server, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody has to ask for it: the deploy may be busy for an hour."""
    monkeypatch.setattr(target_module, "_PING_SECONDS", 0.02)
    with hold_target(target):
        end_backends(target_of(database), f"gatekeeper_{target.run_id}")
        deadline = time.monotonic() + 20
        with database.session() as connection:
            while find_holder(connection) is None:
                assert time.monotonic() < deadline


def test_a_hold_that_another_took_meanwhile_is_refused(target: Server, database: Database) -> None:
    with hold_target(target) as hold:
        end_backends(target_of(database), f"gatekeeper_{target.run_id}")
        with hold_target(target_of(database)), pytest.raises(StepFailed, match="another deploy"):
            hold.assure()


def test_a_target_that_does_not_answer(database: Database) -> None:
    target = dataclasses.replace(target_of(database), port=1)
    with pytest.raises(DatabaseError) as raised, hold_target(target):
        pass
    assert raised.value.where == "127.0.0.1:1"


# --- Read ----------------------------------------------------------------------------


@pytest.mark.parametrize("options", ["options=-csearch_path%3Dapp", "options=%2D%2Drole%3Downer"])
def test_settings_in_the_url_are_refused(options: str) -> None:
    """The project's code and the programs of PostgreSQL would not have them."""
    with pytest.raises(ConfigError) as raised:
        find_target({TARGET_URL: f"postgresql://u:secret@h/shop?sslmode=require&{options}"})
    assert raised.value.what == (
        "the target's URL has `options`: settings that not all of a deploy would have"
    )


@pytest.mark.parametrize("url", ["postgresql://u:a?b@h:5432", "postgresql://u:secret@h/"])
def test_a_url_without_a_database_is_refused(url: str) -> None:
    """What a server has beside the target, such as `postgres`, is never migrated instead."""
    with pytest.raises(ConfigError) as raised:
        find_target({TARGET_URL: url})
    assert str(raised.value) == (
        "GATEKEEPER_TARGET_URL: the target's URL names no database\n"
        "Write its name at the end: `postgresql://user:password@host:5432/name`."
    )


def test_a_url_may_name_the_endpoint_of_a_host() -> None:
    target = find_target({TARGET_URL: "postgresql://u:secret@h/shop?options=endpoint%3Dcool-1"})
    assert (target.host, target.maintenance_database) == ("h", "shop")


def test_the_state_of_a_target(target: Server) -> None:
    run_as(
        target,
        "CREATE TABLE public.alembic_version (version_num text)",
        "INSERT INTO public.alembic_version VALUES ('a001'), ('b001')",
        "CREATE TABLE public.shop (id int)",
        "INSERT INTO public.shop SELECT generate_series(1, 7)",
        "CREATE TABLE public.empty (id int)",
    )
    state = read_state(target, VERSIONS)
    assert state.versions == {"a001", "b001"}
    assert {"public.shop", "public.empty"} <= state.catalog.relations
    assert "public.alembic_version" not in state.catalog.relations
    assert state.catalog == state.catalog.without_owners()
    assert {k: v for k, v in state.rows.items() if not k.startswith("traps.")} == {
        "public.shop": 7,
        "public.empty": 0,
    }


@pytest.mark.parametrize(
    ("named", "counted"),
    [
        (["public.shop"], {"public.shop": 1}),
        (["shop"], {"public.shop": 1, "other.shop": 2}),
        (["other.shop", "unknown"], {"other.shop": 2}),
        (["unknown"], {}),
    ],
)
def test_only_named_tables_are_counted(
    database: Database, named: list[str], counted: dict[str, int]
) -> None:
    execute(
        database,
        "CREATE SCHEMA other",
        "CREATE TABLE public.shop AS SELECT 1 AS id",
        "CREATE TABLE other.shop AS SELECT generate_series(1, 2) AS id",
        "CREATE TABLE public.more (id int)",
    )
    assert read_state(target_of(database), VERSIONS, named).rows == counted


def test_a_target_without_a_version_table_or_with_several(database: Database) -> None:
    target = target_of(database)
    assert read_state(target, VERSIONS).versions == frozenset()
    for schema, version in (("one", "a001"), ("two", "a002")):
        execute(
            database,
            f"CREATE SCHEMA {schema}",
            f"CREATE TABLE {schema}.alembic_version AS SELECT '{version}' AS version_num",
        )
    assert read_state(target, [VersionTable("two", "alembic_version")]).versions == {"a002"}
    assert read_state(target, VERSIONS).versions == {"a001", "a002"}


def test_the_state_of_an_exported_snapshot(database: Database) -> None:
    execute(database, "CREATE TABLE public.shop (id int)")
    target = target_of(database)
    with contextlib.closing(target.connect(database.name, autocommit=False)) as exporter:
        exporter.set_session(isolation_level="REPEATABLE READ", readonly=True)
        cursor = exporter.cursor()
        cursor.execute("SELECT pg_export_snapshot()")
        (snapshot_id,) = cursor.fetchone() or ("",)
        execute(database, "INSERT INTO public.shop VALUES (1)")
        assert read_state(target, VERSIONS, snapshot_id=snapshot_id).rows == {"public.shop": 0}
        assert read_state(target, VERSIONS).rows == {"public.shop": 1}


def test_rows_that_a_policy_hides_are_no_count(database: Database) -> None:
    with an_ordinary_target(database) as target:
        execute(
            database,
            "CREATE TABLE public.shop (id int)",
            "ALTER TABLE public.shop ENABLE ROW LEVEL SECURITY",
            "GRANT SELECT ON public.shop TO PUBLIC",
        )
        with pytest.raises(DatabaseError, match="row-level security") as raised:
            read_state(target, VERSIONS)
        assert "row-level security" in (raised.value.fix or "")


# --- Rid of what is left -------------------------------------------------------------


def test_what_a_killed_deploy_left_is_ended(target: Server, database: Database) -> None:
    with contextlib.closing(target.connect(database.name)) as left:
        left.cursor().execute("SET application_name = 'gatekeeper_killed'")
        assert end_backends(target, "gatekeeper_killed") == 1
        with pytest.raises(psycopg2.Error):
            left.cursor().execute("SELECT 1")
    assert end_backends(target, "gatekeeper_killed") == 0


def test_only_sessions_of_that_name_and_database_end(database: Database, server: Server) -> None:
    with (
        contextlib.closing(server.connect("postgres")) as elsewhere,
        contextlib.closing(server.connect(database.name)) as other,
    ):
        elsewhere.cursor().execute("SET application_name = 'gatekeeper_killed'")
        other.cursor().execute("SET application_name = 'shop'")
        assert end_backends(target_of(database), "gatekeeper_killed") == 0
        elsewhere.cursor().execute("SELECT 1")
        other.cursor().execute("SELECT 1")


def test_sessions_that_the_role_may_not_end(database: Database) -> None:
    with an_ordinary_target(database) as target, database.session() as other:
        other.cursor().execute("SET application_name = 'gatekeeper_killed'")
        with pytest.raises(DatabaseError, match="could not be ended") as raised:
            end_backends(target, "gatekeeper_killed")
        assert "pg_terminate_backend" in (raised.value.fix or "")


# --- Blockers ------------------------------------------------------------------------


@contextlib.contextmanager
def waiting(target: Server, statement: str) -> Iterator[None]:
    """Let a session named `gatekeeper_apply` wait with a statement, until the block ends."""
    connection = target.connect(target.maintenance_database)
    connection.cursor().execute("SET application_name = 'gatekeeper_apply'")

    def wait() -> None:
        with contextlib.suppress(psycopg2.Error):
            connection.cursor().execute(statement)

    thread = threading.Thread(target=wait)
    thread.start()
    try:
        yield
    finally:
        connection.cancel()
        thread.join()
        connection.close()


def first_seen(blockers: Blockers) -> tuple[Blocker, ...]:
    deadline = time.monotonic() + 20
    while not (seen := blockers.take()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return seen


@pytest.mark.slow
def test_who_blocks_is_seen(target: Server, database: Database) -> None:
    run_as(target, "CREATE TABLE public.shop (id int, name text)")
    with contextlib.closing(target.connect(database.name, autocommit=False)) as client:
        cursor = client.cursor()
        cursor.execute("SET application_name = 'shop worker'")
        cursor.execute("INSERT INTO public.shop VALUES (4711, 'Mrs. Secret')")
        (pid,) = (client.info.backend_pid,)
        with (
            Blockers(target, "gatekeeper_apply") as blockers,
            waiting(target, "ALTER TABLE public.shop ADD x int"),
        ):
            (blocker,) = first_seen(blockers)
    age = blocker.age_seconds
    assert blocker == Blocker(
        pid, target.user, "shop worker", "INSERT INTO public.shop VALUES (?, ?)", age
    )
    assert blocker.sentence == (
        f"process {pid} of {target.user} (shop worker), {age:.0f} s old: "
        "INSERT INTO public.shop VALUES (?, ?)"
    )
    assert 0 < age < 20


@pytest.mark.slow
def test_a_blocker_of_another_role(database: Database) -> None:
    with an_ordinary_target(database) as target:
        run_as(target, "CREATE TABLE public.shop (id int)")
        with (
            busy(database, "LOCK public.shop", "SELECT pg_sleep(60)") as pid,
            Blockers(target, "gatekeeper_apply") as blockers,
            waiting(target, "ALTER TABLE public.shop ADD x int"),
        ):
            (blocker,) = first_seen(blockers)
    assert blocker == Blocker(pid, "postgres", "shop", "", 0.0)


@pytest.mark.slow
def test_nobody_blocks(target: Server) -> None:
    with Blockers(target, "gatekeeper_apply") as blockers, waiting(target, "SELECT pg_sleep(9)"):
        time.sleep(1)
        assert blockers.take() == ()


def test_blockers_of_a_server_that_is_gone(database: Database) -> None:
    """It is told by those who work on the server, not by who only looks on."""
    with Blockers(dataclasses.replace(target_of(database), port=1), "gatekeeper_apply") as blockers:
        assert blockers.take() == ()


def test_whether_anybody_wrote_meanwhile(target: Server, database: Database) -> None:
    before = next_transaction(target)
    with hold_target(target):
        read_state(target, VERSIONS)
    assert next_transaction(target) == before
    execute(database, "CREATE TABLE written (x int)")
    assert next_transaction(target) > before
