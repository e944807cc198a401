"""Databases are empty or clones, carry their own marker, and are dropped."""

from __future__ import annotations

import contextlib

import psycopg2
import pytest

from gatekeeper.errors import DatabaseError
from gatekeeper.postgres.databases import (
    MARKER_QUERY,
    Database,
    create_database,
    drop_database,
    end_backends,
    open_database,
)
from gatekeeper.postgres.servers import Server
from gatekeeper.probe.inside import redirection
from tests.servers import on_every_server

pytestmark = [
    pytest.mark.postgres,
    on_every_server(),
]


def execute(database: Database, sql: str) -> list[tuple[object, ...]]:
    with contextlib.closing(database.connect()) as connection, connection.cursor() as cursor:
        cursor.execute(sql)
        return [] if cursor.description is None else cursor.fetchall()


def exists(server: Server, name: str) -> bool:
    return bool(server.administer("SELECT 1 FROM pg_database WHERE datname = %s", name))


def test_a_new_database_is_empty_and_shows_its_marker(database: Database) -> None:
    relations = "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace"
    assert execute(database, relations) == [(0,)]
    assert execute(database, "SELECT current_setting('gatekeeper.marker')") == [(database.marker,)]
    assert execute(database, MARKER_QUERY) == [(database.marker,)]
    assert redirection.MARKER_QUERY == MARKER_QUERY


def test_a_clone_has_the_rows_and_a_marker_of_its_own(database: Database) -> None:
    execute(database, "CREATE TABLE t AS SELECT generate_series(1, 3) AS a")
    with open_database(database.server, database) as clone:
        assert execute(clone, "SELECT count(*) FROM t") == [(3,)]
        assert execute(clone, "SELECT current_setting('gatekeeper.marker')") == [(clone.marker,)]
        assert clone.marker != database.marker
        assert clone.name != database.name


def test_a_template_in_use_is_cloned_all_the_same(database: Database) -> None:
    with (
        contextlib.closing(database.connect()) as leaked,
        open_database(database.server, database) as clone,
    ):
        assert execute(clone, "SELECT 1") == [(1,)]
        with pytest.raises(psycopg2.OperationalError):
            leaked.cursor().execute("SELECT 1")


def test_a_database_in_use_is_dropped_all_the_same(server: Server) -> None:
    database = create_database(server)
    with contextlib.closing(database.connect()):
        drop_database(database)
    assert not exists(server, database.name)
    drop_database(database)


def test_the_block_drops_its_database_when_it_fails(server: Server) -> None:
    with pytest.raises(KeyError), open_database(server) as database:
        raise KeyError
    assert not exists(server, database.name)


def test_end_backends_says_how_many_there_were(database: Database) -> None:
    with contextlib.closing(database.connect()), contextlib.closing(database.connect()):
        assert end_backends(database) == 2
    assert end_backends(database) == 0


def test_extensions_are_there(server: Server) -> None:
    with open_database(server, extensions=("citext", "pg_trgm")) as database:
        found = execute(database, "SELECT extname FROM pg_extension ORDER BY extname")
    assert found == [("citext",), ("pg_trgm",), ("plpgsql",)]


def test_an_extension_that_the_server_lacks_is_named(server: Server) -> None:
    with pytest.raises(DatabaseError, match='the extension "no_such" cannot be created'):
        create_database(server, extensions=("no_such",))


def test_the_marker_is_not_shown_by_repr(database: Database) -> None:
    assert database.marker not in repr(database)
    assert database.server.password not in repr(database)


def test_a_database_that_a_migration_made_a_template_is_dropped(server: Server) -> None:
    database = create_database(server)
    server.administer(f"ALTER DATABASE {database.name} IS_TEMPLATE true")
    drop_database(database)
    named = "SELECT datname FROM pg_database WHERE datname = %s"
    assert server.administer(named, database.name) == []


def test_what_postgresql_refuses_is_one_sentence(database: Database) -> None:
    with pytest.raises(DatabaseError) as caught, database.session() as connection:
        connection.cursor().execute("SELECT * FROM nowhere")
    assert caught.value.what.startswith("PostgreSQL refused what a rehearsal needs: relation")


def test_databases_are_dropped_after_a_migration_ended_all_sessions(server: Server) -> None:
    database = create_database(server)
    with contextlib.closing(server.connect("postgres")) as connection:
        connection.cursor().execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE usename = current_user AND pid <> pg_backend_pid()"
        )
    drop_database(database)
    named = "SELECT datname FROM pg_database WHERE datname = %s"
    assert server.administer(named, database.name) == []
