"""The structure of a database as tables for people."""

from __future__ import annotations

import pytest

from gatekeeper.postgres.databases import Database
from gatekeeper.postgres.structure import Table, read_structure

pytestmark = pytest.mark.postgres

MADE = """
CREATE EXTENSION pg_trgm;
CREATE SCHEMA books;
CREATE TABLE users (id integer PRIMARY KEY, part integer, name varchar(20), gone text,
    UNIQUE (part, id));
ALTER TABLE users DROP COLUMN gone;
CREATE TABLE books.loans ("user" integer, part integer,
    FOREIGN KEY (part, "user") REFERENCES users (part, id));
CREATE VIEW names AS SELECT name FROM users;
CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER watched BEFORE INSERT OR UPDATE ON users FOR EACH ROW EXECUTE FUNCTION nothing();
"""


def test_the_tables_of_a_database(database: Database) -> None:
    with database.session(autocommit=False) as connection:
        connection.cursor().execute(MADE)
        assert read_structure(connection) == (
            Table(
                "Columns",
                ("table", "column", "type"),
                [
                    ("books.loans", "user", "integer"),
                    ("books.loans", "part", "integer"),
                    ("public.names", "name", "character varying(20)"),
                    ("public.users", "id", "integer"),
                    ("public.users", "part", "integer"),
                    ("public.users", "name", "character varying(20)"),
                ],
            ),
            Table(
                "Foreign keys",
                ("table", "column", "foreign table", "foreign column"),
                [
                    ("books.loans", "part", "public.users", "part"),
                    ("books.loans", "user", "public.users", "id"),
                ],
            ),
            Table(
                "Indexes",
                ("table", "index", "definition"),
                [
                    (
                        "public.users",
                        "users_part_id_key",
                        "CREATE UNIQUE INDEX users_part_id_key ON public.users"
                        " USING btree (part, id)",
                    ),
                    (
                        "public.users",
                        "users_pkey",
                        "CREATE UNIQUE INDEX users_pkey ON public.users USING btree (id)",
                    ),
                ],
            ),
            Table(
                "Triggers",
                ("table", "trigger", "events"),
                [("public.users", "watched", "INSERT, UPDATE")],
            ),
        )


def test_an_empty_database(database: Database) -> None:
    with database.session(autocommit=False) as connection:
        assert [table.rows for table in read_structure(connection)] == [[], [], [], []]
