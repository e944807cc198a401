"""The user's own database is looked at and not changed, and does not hold the look up."""

from __future__ import annotations

import pytest

from gatekeeper.errors import ConfigError, DatabaseError
from gatekeeper.postgres.databases import Database
from gatekeeper.postgres.target import reach_target, read_target
from tests.databases import execute, url_of

pytestmark = pytest.mark.postgres


@pytest.fixture
def url(database: Database) -> str:
    return url_of(database)


def test_what_a_database_holds(database: Database, url: str) -> None:
    execute(database, "CREATE TABLE alembic_version (version_num text)")
    execute(database, "INSERT INTO alembic_version VALUES ('a001'), ('c001')")
    execute(database, "CREATE TABLE shop (id int)")
    execute(database, "CREATE TYPE status AS ENUM ('open', 'closed')")
    server, major = reach_target(url, "--target-url")
    state = read_target(server, None, "alembic_version")
    assert major == database.server.info.major
    assert state.versions == {"a001", "c001"}
    assert state.snapshot.relations == {"public.shop"}
    assert state.snapshot.enums == {"public.status": ("open", "closed")}


def test_a_database_without_a_version_table(url: str) -> None:
    server, _ = reach_target(url, "--target-url")
    assert read_target(server, None, "alembic_version").versions is None


def test_nothing_is_written_whatever_stands_there_to_be_read(database: Database, url: str) -> None:
    execute(database, "CREATE TABLE looks (n int)")
    execute(
        database,
        "CREATE FUNCTION look() RETURNS text LANGUAGE sql"
        " AS $$ INSERT INTO looks VALUES (1) RETURNING 'a001' $$",
    )
    execute(database, "CREATE VIEW alembic_version AS SELECT look() AS version_num")
    server, _ = reach_target(url, "--target-url")
    with pytest.raises(DatabaseError, match="read-only transaction") as raised:
        read_target(server, None, "alembic_version")
    assert "may read" in (raised.value.fix or "")


@pytest.mark.slow
def test_a_locked_table_is_not_waited_for(database: Database, url: str) -> None:
    execute(database, "CREATE TABLE alembic_version (version_num text)")
    server, _ = reach_target(url, "--target-url")
    with database.session(autocommit=False) as connection, connection.cursor() as cursor:
        cursor.execute("LOCK alembic_version IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(DatabaseError, match="lock timeout"):
            read_target(server, None, "alembic_version")


@pytest.mark.parametrize(
    ("url_text", "what"),
    [
        ("sqlite:///shop.db", "the database URL is one of sqlite, not of PostgreSQL"),
        ("no url with secret", "the database URL cannot be read"),
    ],
)
def test_what_is_no_url_of_postgresql(url_text: str, what: str) -> None:
    with pytest.raises(ConfigError) as raised:
        reach_target(url_text, "--target-url")
    assert (raised.value.where, raised.value.what) == ("--target-url", what)
    assert "secret" not in str(raised.value)
