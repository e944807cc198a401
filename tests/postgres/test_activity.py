"""What other sessions do is told without the values that they do it with."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Iterator

import psycopg2
import pytest
from psycopg2.extras import PhysicalReplicationConnection

from gatekeeper.postgres import clusters
from gatekeeper.postgres.activity import (
    Blocker,
    Replica,
    Session,
    read_blockers,
    read_load,
    read_time,
    without_values,
)
from gatekeeper.postgres.databases import Database, open_database
from gatekeeper.postgres.installations import choose_account, find_installations
from gatekeeper.postgres.servers import Server, start_server
from tests.databases import execute
from tests.deploy.targets import busy
from tests.servers import on_every_server


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("SELECT name FROM shop", "SELECT name FROM shop"),
        ('SELECT "it\'s 1" FROM t2', 'SELECT "it\'s 1" FROM t2'),
        ("SELECT\n  1;\n", "SELECT ?"),
        ("UPDATE shop SET a = 'x', b = 12.5 WHERE id = $1", None),
        ("SELECT 'it''s', 'secret'", "SELECT ?, ?"),
        (r"SELECT E'it\'s', 'secret'", "SELECT ?, ?"),
        (r"SELECT 'C:\', 'secret'", "SELECT ?, ?"),
        ("SELECT $$it's$$, $a$ $$secret$$ $a$, 'x'", "SELECT ?, ?, ?"),
        ("SELECT 'cut off by the ser", "SELECT ?"),
        (r"SELECT E'cut off after \ ".rstrip(), "SELECT ?"),
        ("SELECT $x$ cut off", "SELECT ?"),
        ("SELECT 1 -- for Mrs. Secret\nFROM t", "SELECT ? FROM t"),
        ("/* job of 'secret */ SELECT 'a' /* cut off", "SELECT ?"),
        ("SELECT 0x1F, 1e10, -3, a1, t1.c2", "SELECT ?, ?, -?, a1, t1.c2"),
        (f"SELECT {'a, ' * 100}b", f"SELECT {'a, ' * 63}a,…"),
    ],
)
def test_queries_without_values(query: str, told: str | None) -> None:
    expected = told or "UPDATE shop SET a = ?, b = ? WHERE id = $1"
    assert without_values(query) == expected


@pytest.mark.parametrize(
    ("blocker", "sentence"),
    [
        (
            Blocker(7, "shop", "worker", "SELECT ?", 61.7),
            "process 7 of shop (worker), 62 s old: SELECT ?",
        ),
        (
            Blocker(7, "shop", "", "", 0.0),
            "process 7 of shop, which does not show to our role what it does",
        ),
        (
            Blocker(0, "", "", "PREPARE TRANSACTION", 3.0),
            "a prepared transaction, 3 s old: PREPARE TRANSACTION",
        ),
    ],
)
def test_a_blocker_on_one_line(blocker: Blocker, sentence: str) -> None:
    assert blocker.sentence == sentence


# --- On a server ---------------------------------------------------------------------

LONG_AGO = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)


@pytest.mark.postgres
@on_every_server()
def test_the_load_of_a_server(database: Database) -> None:
    execute(database, "CREATE TABLE shop (id int)")
    with (
        busy(database, "LOCK shop", "SELECT pg_sleep(60), 1") as first,
        busy(database, "SELECT pg_sleep(61), 2"),
        busy(database, "INSERT INTO shop VALUES (3)") as waiting,
        database.session() as connection,
    ):
        load = read_load(connection, LONG_AGO)
        assert load.longest_query == Session(
            first, "postgres", "shop", "SELECT pg_sleep(?), ?", load.longest_query.age_seconds
        )
        assert load.longest_wait == Session(
            waiting,
            "postgres",
            "shop",
            "INSERT INTO shop VALUES (?)",
            load.longest_wait.age_seconds,
        )
        assert 0 < load.longest_wait.age_seconds < load.longest_query.age_seconds < 60
        assert 4 <= load.connections < load.most_connections <= 200
        assert (load.position, load.replicas, load.hidden) == (0, (), 0)


@pytest.mark.postgres
@on_every_server()
def test_queries_that_are_none_of_a_release(server: Server, database: Database) -> None:
    """A dump, another database's, and one that was there before; nor is our own one."""
    with (
        busy(database, "SET application_name = 'pg_dump'", "SELECT pg_sleep(60)"),
        open_database(server) as other,
        busy(other, "SELECT pg_sleep(60)"),
        database.session() as connection,
    ):
        assert read_load(connection, LONG_AGO).longest_query is None
        with busy(database, "SELECT pg_sleep(60)"):
            assert read_load(connection, LONG_AGO).longest_query is not None
            assert read_load(connection, read_time(connection)).longest_query is None


@pytest.mark.postgres
@on_every_server()
def test_a_prepared_transaction_blocks(database: Database) -> None:
    execute(database, "CREATE TABLE shop (id int)")
    with database.session(autocommit=False) as connection:
        cursor = connection.cursor()
        cursor.execute("LOCK shop")
        cursor.execute("PREPARE TRANSACTION 'gatekeeper test'")
    try:
        with busy(database, "TABLE shop"), database.session() as connection:
            (blocker,) = read_blockers(connection, "shop")
        assert blocker == Blocker(0, "", "", "PREPARE TRANSACTION", blocker.age_seconds)
        assert 0 < blocker.age_seconds < 60
    finally:
        execute(database, "ROLLBACK PREPARED 'gatekeeper test'")


@pytest.fixture
def primary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server that lets replicas follow it, which those of a rehearsal do not."""
    monkeypatch.setitem(clusters._SETTINGS, "wal_level", "replica")
    monkeypatch.setitem(clusters._SETTINGS, "max_wal_senders", "4")
    installations = [i for i in find_installations(choose_account(None)) if i.is_reachable]
    if not installations:
        pytest.skip("no PostgreSQL server")
    with start_server(installations[0]) as server:
        yield server


@pytest.mark.slow
@pytest.mark.postgres
def test_a_replica_that_is_behind(primary: Server) -> None:
    with (
        contextlib.closing(
            psycopg2.connect(
                host=primary.host,
                port=primary.port,
                user=primary.user,
                password=primary.password,
                application_name="standby 1",
                connection_factory=PhysicalReplicationConnection,
            )
        ) as standby,
        contextlib.closing(primary.connect("postgres")) as connection,
    ):
        begun = read_load(connection, LONG_AGO).position
        cursor = standby.cursor()
        cursor.start_replication(start_lsn=_lsn(begun // 8192 * 8192))
        # One that has said nothing yet may be no replica at all.
        assert read_load(connection, LONG_AGO).replicas == ()
        # Our own servers let a commit return before the log is on the disk.
        connection.cursor().execute("SET synchronous_commit = on")
        connection.cursor().execute("CREATE TABLE shop AS SELECT generate_series(1, 10000)")
        cursor.read_message()
        cursor.send_feedback(apply_lsn=begun, force=True)
        deadline = read_time(connection) + dt.timedelta(seconds=20)
        while not (load := read_load(connection, LONG_AGO)).replicas:
            assert read_time(connection) < deadline
        (replica,) = load.replicas
        assert replica == Replica("standby 1", begun, replica.lag_seconds)
        assert load.position > begun


def _lsn(position: int) -> str:
    return f"{position >> 32:X}/{position & 0xFFFFFFFF:X}"
