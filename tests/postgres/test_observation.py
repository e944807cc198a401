"""Locks and rewrites as PostgreSQL shows them inside a migration's transaction."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import psycopg2
import pytest

from gatekeeper.lock_modes import LockMode
from gatekeeper.model import Lock
from gatekeeper.postgres.databases import Database, open_database
from gatekeeper.postgres.observation import (
    OBSERVE,
    Observed,
    find_relations,
    interpret,
    invalid_indexes,
    read_relations,
    read_versions,
)
from gatekeeper.postgres.servers import Server
from tests.servers import on_every_server

pytestmark = [
    pytest.mark.postgres,
    on_every_server(),
]

TABLES = """
CREATE TYPE mood AS ENUM ('sad', 'ok');
CREATE DOMAIN positive AS int;
CREATE TABLE p (id int PRIMARY KEY, name text);
CREATE TABLE t (
    id int PRIMARY KEY, a text, b int, v varchar(50), n numeric(10, 2), j json, u int,
    CONSTRAINT t_uq UNIQUE (u)
);
CREATE INDEX t_a ON t (a);
CREATE INDEX t_v ON t (v);
CREATE UNIQUE INDEX uq ON t (b);
CREATE TABLE fk (id int PRIMARY KEY, p_id int, CONSTRAINT fk_p FOREIGN KEY (p_id) REFERENCES p);
CREATE TABLE chk (id int NOT NULL, a int, CONSTRAINT a_there CHECK (a IS NOT NULL) NOT VALID);
CREATE TABLE e (id int PRIMARY KEY, m mood);
CREATE TABLE dom (q positive);
CREATE MATERIALIZED VIEW mv AS SELECT id FROM p;
CREATE VIEW vw AS SELECT id FROM p;
CREATE TABLE part (id int, day date) PARTITION BY RANGE (day);
CREATE TABLE part1 PARTITION OF part FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
CREATE TABLE part2 (id int, day date);
CREATE FUNCTION tf() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER trg BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION tf();
INSERT INTO p SELECT i, 'x' FROM generate_series(1, 20) i;
INSERT INTO t SELECT i, 'x', i, 'x', 1.5, '{}', i FROM generate_series(1, 50) i;
INSERT INTO fk SELECT i, i FROM generate_series(1, 20) i;
INSERT INTO chk SELECT i, i FROM generate_series(1, 20) i;
INSERT INTO e SELECT i, 'ok' FROM generate_series(1, 20) i;
INSERT INTO dom VALUES (1);
INSERT INTO part2 VALUES (1, '2026-02-05');
"""

AE, SRE, S = "ACCESS EXCLUSIVE", "SHARE ROW EXCLUSIVE", "SHARE"
SUE, RX, RS, X = "SHARE UPDATE EXCLUSIVE", "ROW EXCLUSIVE", "ROW SHARE", "EXCLUSIVE"

# SQL, locks as relation and mode, rewrites, oldest major that knows the syntax
MEASURED: dict[str, tuple[str, set[tuple[str, str]], set[str], int]] = {
    "select": ("SELECT * FROM t", set(), set(), 14),
    "create table": ("CREATE TABLE x (id int PRIMARY KEY)", set(), set(), 14),
    "add value": ("ALTER TYPE mood ADD VALUE 'glad'", set(), set(), 14),
    "add column": ("ALTER TABLE t ADD x int", {("t", AE)}, set(), 14),
    "constant default": ("ALTER TABLE t ADD x int DEFAULT 1", {("t", AE)}, set(), 14),
    "stable default": ("ALTER TABLE t ADD x timestamptz DEFAULT now()", {("t", AE)}, set(), 14),
    "volatile default": (
        "ALTER TABLE t ADD x timestamptz DEFAULT clock_timestamp()",
        {("t", AE), ("t", S)},
        {"t"},
        14,
    ),
    "add serial": ("ALTER TABLE t ADD x serial", {("t", AE), ("t", S)}, {"t"}, 14),
    "add stored": (
        "ALTER TABLE t ADD x int GENERATED ALWAYS AS (b + 1) STORED",
        {("t", AE), ("t", S)},
        {"t"},
        14,
    ),
    "add virtual": (
        "ALTER TABLE t ADD x int GENERATED ALWAYS AS (b + 1) VIRTUAL",
        {("t", AE)},
        set(),
        18,
    ),
    "add reference": (
        "ALTER TABLE t ADD x int REFERENCES p",
        {("t", AE), ("t", SRE), ("p", SRE)},
        set(),
        14,
    ),
    "drop column": ("ALTER TABLE t DROP j", {("t", AE)}, set(), 14),
    "rename column": ("ALTER TABLE t RENAME a TO x", {("t", AE)}, set(), 14),
    "rename table": ("ALTER TABLE t RENAME TO x", {("t", AE)}, set(), 14),
    "set not null": ("ALTER TABLE t ALTER b SET NOT NULL", {("t", AE)}, set(), 14),
    "set default": ("ALTER TABLE t ALTER b SET DEFAULT 5", {("t", AE)}, set(), 14),
    "add check": ("ALTER TABLE t ADD CHECK (b > 0)", {("t", AE)}, set(), 14),
    "add check not valid": ("ALTER TABLE t ADD CHECK (b > 0) NOT VALID", {("t", AE)}, set(), 14),
    "validate check": ("ALTER TABLE chk VALIDATE CONSTRAINT a_there", {("chk", SUE)}, set(), 14),
    "add foreign key": (
        "ALTER TABLE fk ADD FOREIGN KEY (id) REFERENCES p",
        {("fk", SRE), ("p", SRE), ("p", RS)},
        set(),
        14,
    ),
    "add foreign key not valid": (
        "ALTER TABLE fk ADD FOREIGN KEY (id) REFERENCES p NOT VALID",
        {("fk", SRE), ("p", SRE)},
        set(),
        14,
    ),
    "drop foreign key": (
        "ALTER TABLE fk DROP CONSTRAINT fk_p",
        {("fk", AE), ("p", AE)},
        set(),
        14,
    ),
    "drop table": ("DROP TABLE fk", {("fk", AE), ("fk_pkey", AE), ("p", AE)}, set(), 14),
    "create table that references": (
        "CREATE TABLE x (id int REFERENCES p)",
        {("p", SRE)},
        set(),
        14,
    ),
    "add unique": ("ALTER TABLE t ADD UNIQUE (n, id)", {("t", AE), ("t", S)}, set(), 14),
    "unique using index": (
        "ALTER TABLE t ADD CONSTRAINT uq UNIQUE USING INDEX uq",
        {("t", AE)},
        set(),
        14,
    ),
    "create index": ("CREATE INDEX x ON t (b)", {("t", S)}, set(), 14),
    "drop index": ("DROP INDEX t_a", {("t", AE), ("t_a", AE)}, set(), 14),
    "reindex table": ("REINDEX INDEX t_a", {("t", S), ("t_a", AE)}, set(), 14),
    "rename index": ("ALTER INDEX t_a RENAME TO x", {("t_a", SUE)}, set(), 14),
    "varchar wider": ("ALTER TABLE t ALTER v TYPE varchar(99)", {("t", AE), ("t", S)}, set(), 14),
    "varchar narrower": (
        "ALTER TABLE t ALTER v TYPE varchar(20)",
        {("t", AE), ("t", S)},
        {"t"},
        14,
    ),
    "int to bigint": ("ALTER TABLE t ALTER b TYPE bigint", {("t", AE), ("t", S)}, {"t"}, 14),
    "numeric wider": ("ALTER TABLE t ALTER n TYPE numeric(12, 2)", {("t", AE)}, set(), 14),
    "json to jsonb": (
        "ALTER TABLE t ALTER j TYPE jsonb USING j::jsonb",
        {("t", AE), ("t", S)},
        {"t"},
        14,
    ),
    "set unlogged": ("ALTER TABLE t SET UNLOGGED", {("t", AE), ("t", S)}, {"t"}, 14),
    "cluster": ("CLUSTER t USING t_pkey", {("t", AE), ("t", S)}, {"t"}, 14),
    "truncate": ("TRUNCATE t", {("t", AE), ("t", S)}, {"t"}, 14),
    "update": ("UPDATE e SET m = 'sad'", {("e", RX), ("e_pkey", RX)}, set(), 14),
    "lock table": ("LOCK TABLE t", {("t", AE)}, set(), 14),
    "create trigger": (
        "CREATE TRIGGER x AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION tf()",
        {("t", SRE)},
        set(),
        14,
    ),
    "drop trigger": ("DROP TRIGGER trg ON t", {("t", AE)}, set(), 14),
    "refresh": (
        "REFRESH MATERIALIZED VIEW mv",
        {("mv", AE), ("mv", X), ("mv", S)},
        {"mv"},
        14,
    ),
    "attach partition": (
        "ALTER TABLE part ATTACH PARTITION part2 FOR VALUES FROM ('2026-02-01') TO ('2026-03-01')",
        {("part", SUE), ("part2", AE)},
        set(),
        14,
    ),
    "detach partition": (
        "ALTER TABLE part DETACH PARTITION part1",
        {("part", AE), ("part1", AE)},
        set(),
        14,
    ),
    "replace view": (
        "CREATE OR REPLACE VIEW vw AS SELECT id FROM p WHERE id > 0",
        {("vw", AE)},
        set(),
        14,
    ),
    "drop type cascade": ("DROP TYPE mood CASCADE", {("e", AE)}, set(), 14),
    "domain constraint": (
        "ALTER DOMAIN positive ADD CHECK (VALUE > 0)",
        {("dom", S)},
        set(),
        14,
    ),
    "row level security": ("ALTER TABLE t ENABLE ROW LEVEL SECURITY", {("t", AE)}, set(), 14),
    "storage parameter": ("ALTER TABLE t SET (fillfactor = 70)", {("t", SUE)}, set(), 14),
    "comment": ("COMMENT ON TABLE t IS 'x'", {("t", SUE)}, set(), 14),
}


def observe(
    connection: psycopg2.extensions.connection, previous: Observed | None, relations: object
) -> Observed:
    with connection.cursor() as cursor:
        cursor.execute(OBSERVE)
        return interpret(cursor.fetchall(), previous, relations)  # type: ignore[arg-type]


def execute(connection: psycopg2.extensions.connection, sql: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql)


@pytest.fixture(scope="module")
def tables(server: Server) -> Iterator[Database]:
    with open_database(server) as database:
        with contextlib.closing(database.connect()) as connection:
            execute(connection, TABLES)
        yield database


@pytest.mark.parametrize("statement", MEASURED)
def test_locks_and_rewrites(tables: Database, statement: str) -> None:
    sql, locks, rewrites, oldest_major = MEASURED[statement]
    if tables.server.info.major < oldest_major:
        pytest.skip(f"the syntax is of PostgreSQL {oldest_major}")
    with contextlib.closing(tables.connect(autocommit=False)) as connection:
        relations = read_relations(connection)
        connection.rollback()
        execute(connection, sql)
        seen = observe(connection, None, relations)
    told = {(lock.relation, lock.mode.manual_name) for lock in seen.locks}
    expected = {(f"public.{relation}", mode) for relation, mode in locks}
    # A rebuilt table takes each of its indexes along; only the named ones are expected.
    indexes = {r.name for r in relations.values() if r.kind in ("i", "I")}
    assert {lock for lock in told if lock[0] not in indexes} | (told & expected) == expected
    assert seen.rewrites == tuple(sorted(f"public.{relation}" for relation in rewrites))


def test_a_lock_is_told_of_the_first_statement_that_takes_it(tables: Database) -> None:
    with contextlib.closing(tables.connect(autocommit=False)) as connection:
        relations = read_relations(connection)
        connection.rollback()
        execute(connection, "ALTER TABLE t ADD x int")
        first = observe(connection, None, relations)
        execute(connection, "CREATE INDEX x ON t (x)")
        second = observe(connection, first, relations)
        connection.rollback()
        execute(connection, "ALTER TABLE t ADD x int")
        third = observe(connection, second, relations)
    assert first.locks == (Lock("public.t", LockMode.ACCESS_EXCLUSIVE),)
    assert second.locks == (Lock("public.t", LockMode.SHARE),)
    assert third.locks == first.locks


def test_a_rewrite_is_told_once_and_survives_a_rollback(tables: Database) -> None:
    with contextlib.closing(tables.connect(autocommit=False)) as connection:
        relations = read_relations(connection)
        connection.rollback()
        seen = None
        told = []
        for sql in (
            "ALTER TABLE t ALTER b TYPE bigint",
            "ALTER TABLE t ADD x int",
            "ALTER TABLE t ALTER u TYPE bigint",
        ):
            execute(connection, sql)
            seen = observe(connection, seen, relations)
            told.append(seen.rewrites)
        connection.rollback()
        execute(connection, "ALTER TABLE t ADD x int")
        told.append(observe(connection, seen, relations).rewrites)
    assert told == [("public.t",), (), ("public.t",), ()]


def test_what_is_new_is_not_told(database: Database) -> None:
    with contextlib.closing(database.connect(autocommit=False)) as connection:
        relations = read_relations(connection)
        execute(connection, "CREATE TABLE x (id int); CREATE TEMPORARY TABLE y (id int)")
        seen = observe(connection, None, relations)
        execute(connection, "ALTER TABLE x ALTER id TYPE bigint")
        assert observe(connection, seen, relations).locks == seen.locks == ()


@pytest.mark.parametrize(
    ("setting", "milliseconds"),
    [("0", 0), ("5s", 5_000), ("1500", 1_500), ("2min", 120_000), ("250ms", 250)],
)
def test_timeouts_are_in_milliseconds(database: Database, setting: str, milliseconds: int) -> None:
    with contextlib.closing(database.connect(autocommit=False)) as connection:
        execute(connection, f"SET LOCAL lock_timeout = '{setting}'")
        execute(connection, f"SET LOCAL statement_timeout = '{setting}'")
        seen = observe(connection, None, {})
    assert (seen.lock_timeout_ms, seen.statement_timeout_ms) == (milliseconds, milliseconds)


def test_whether_there_is_a_transaction(database: Database) -> None:
    with contextlib.closing(database.connect()) as connection:
        execute(connection, "CREATE TABLE x (id int)")
        assert observe(connection, None, {}).in_transaction is None
        connection.autocommit = False
        execute(connection, "INSERT INTO x VALUES (1)")
        assert observe(connection, None, {}).in_transaction is True


def test_any_search_path_will_do(database: Database) -> None:
    with contextlib.closing(database.connect(autocommit=False)) as connection:
        execute(connection, "CREATE SCHEMA s; SET search_path = s; CREATE TABLE t (id int)")
        rows = connection.cursor()
        rows.execute(OBSERVE)
        assert {row[-1] for row in rows.fetchall()} == {"s.t"}


def test_relations_know_their_rows_and_tables(tables: Database) -> None:
    with contextlib.closing(tables.connect()) as connection:
        found = {relation.name: relation for relation in read_relations(connection).values()}
    assert found["public.t"].has_rows
    assert not found["public.part1"].has_rows
    assert found["public.t_a"].table == "public.t"
    assert found["public.t"].table is None
    assert not any(name.startswith(("pg_", "information_schema")) for name in found)


def test_relations_are_found_by_name_in_all_schemas(database: Database) -> None:
    with contextlib.closing(database.connect()) as connection:
        assert find_relations(connection, "t") == frozenset()
        execute(
            connection,
            "CREATE SCHEMA s; CREATE TABLE t (id int); CREATE VIEW s.t AS SELECT 1 AS one;"
            "CREATE TABLE s.t2 (id int); CREATE TEMPORARY TABLE t (id int)",
        )
        assert find_relations(connection, "t") == {"public.t", "s.t"}


def test_an_invalid_index_is_named(database: Database) -> None:
    with contextlib.closing(database.connect()) as connection:
        execute(connection, "CREATE TABLE t AS SELECT 1 AS a FROM generate_series(1, 2)")
        assert invalid_indexes(connection) == ()
        with pytest.raises(psycopg2.errors.UniqueViolation):
            execute(connection, "CREATE UNIQUE INDEX CONCURRENTLY broken ON t (a)")
        assert invalid_indexes(connection) == ("public.broken",)


@pytest.mark.parametrize(
    ("sql", "schema", "expected"),
    [
        ("SELECT 1", None, None),
        ("CREATE TABLE alembic_version (other text)", None, None),
        ("CREATE TABLE alembic_version (version_num text)", None, set()),
        (
            "CREATE TABLE alembic_version AS VALUES ('a'), ('b');"
            "ALTER TABLE alembic_version RENAME column1 TO version_num",
            None,
            {"a", "b"},
        ),
        (
            "CREATE SCHEMA s; CREATE TABLE s.alembic_version AS SELECT 'a' AS version_num",
            None,
            {"a"},
        ),
        (
            "CREATE SCHEMA s; CREATE TABLE s.alembic_version AS SELECT 'a' AS version_num;"
            "CREATE TABLE alembic_version AS SELECT 'b' AS version_num",
            None,
            {"b"},
        ),
        (
            "CREATE SCHEMA s; CREATE TABLE s.alembic_version AS SELECT 'a' AS version_num;"
            "CREATE TABLE alembic_version AS SELECT 'b' AS version_num",
            "s",
            {"a"},
        ),
        ("CREATE TABLE alembic_version AS SELECT 'b' AS version_num", "s", None),
    ],
)
def test_versions(
    database: Database, sql: str, schema: str | None, expected: set[str] | None
) -> None:
    with contextlib.closing(database.connect()) as connection:
        execute(connection, sql)
        assert read_versions(connection, schema, "alembic_version") == expected
