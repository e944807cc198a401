"""What a SQL text does, told by PostgreSQL's own grammar."""

from __future__ import annotations

import pytest

from gatekeeper.sql import (
    AddedColumn,
    Kind,
    ParsedStatement,
    RetypedColumn,
    Unparsed,
    find_name,
    is_same_name,
    make_concurrent,
    make_repeatable,
    mentions,
    parse,
    plain_name,
    replace_using,
    shorten,
    statements_of,
)

S = ParsedStatement


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT 1", S(Kind.SELECT)),
        ("SELECT * FROM a JOIN s.b USING (id)", S(Kind.SELECT, relations=("a", "s.b"))),
        ("WITH q AS (SELECT 1) SELECT * FROM q", S(Kind.SELECT)),
        (
            "SELECT count(*), pg_catalog.now(), setval('q', 3)",
            S(Kind.SELECT, functions=("count", "pg_catalog.now", "setval")),
        ),
        ("SET LOCAL lock_timeout = '4s'", S(Kind.SET, names=("lock_timeout",))),
        ("SHOW lock_timeout", S(Kind.OTHER)),
        ("SAVEPOINT a", S(Kind.OTHER)),
        ("ROLLBACK TO SAVEPOINT a", S(Kind.OTHER)),
        ("VACUUM t", S(Kind.OTHER, relations=("t",))),
        ("VACUUM (FULL off) t", S(Kind.OTHER, relations=("t",))),
        ("VACUUM (FULL, ANALYZE) s.t", S(Kind.VACUUM_FULL, relations=("s.t",))),
        ("REFRESH MATERIALIZED VIEW m", S(Kind.REFRESH, relations=("m",))),
        (
            "REFRESH MATERIALIZED VIEW CONCURRENTLY m",
            S(Kind.REFRESH, relations=("m",), concurrently=True),
        ),
        ("REINDEX TABLE t", S(Kind.REINDEX, relations=("t",))),
        ("REINDEX INDEX CONCURRENTLY i", S(Kind.REINDEX, names=("i",), concurrently=True)),
        ("COPY t TO STDOUT", S(Kind.OTHER, relations=("t",))),
        ("BEGIN", S(Kind.TRANSACTION, transaction="BEGIN")),
        ("COMMIT", S(Kind.TRANSACTION, transaction="COMMIT")),
        ("END", S(Kind.TRANSACTION, transaction="COMMIT")),
        ("ABORT", S(Kind.TRANSACTION, transaction="ROLLBACK")),
        ("INSERT INTO t VALUES (1)", S(Kind.INSERT, relations=("t",), changes_rows=True)),
        (
            "INSERT INTO t SELECT * FROM u",
            S(Kind.INSERT, relations=("t",), references=("u",), changes_rows=True),
        ),
        (
            "UPDATE t SET a = u.a FROM u",
            S(Kind.UPDATE, relations=("t",), references=("u",), changes_rows=True),
        ),
        ("DELETE FROM s.t", S(Kind.DELETE, relations=("s.t",), changes_rows=True)),
        ("TRUNCATE a, b", S(Kind.DELETE, relations=("a", "b"), changes_rows=True)),
        ("COPY t FROM STDIN", S(Kind.INSERT, relations=("t",), changes_rows=True)),
        (
            "MERGE INTO t USING u ON true WHEN MATCHED THEN DELETE",
            S(Kind.UPDATE, relations=("t",), references=("u",), changes_rows=True),
        ),
        (
            "WITH d AS (DELETE FROM t RETURNING *) SELECT * FROM d",
            S(Kind.SELECT, relations=("t",), changes_rows=True),
        ),
        ("CREATE TEMP TABLE t (a int)", S(Kind.CREATE_TABLE, relations=("t",))),
        (
            "CREATE TEMP TABLE t AS SELECT * FROM u",
            S(Kind.CREATE_TABLE, relations=("t",), references=("u",)),
        ),
        ("DO $$ BEGIN END $$", S(Kind.BLOCK, changes_schema=None, changes_rows=None)),
        ("CALL f()", S(Kind.BLOCK, changes_schema=None, changes_rows=None)),
    ],
)
def test_no_change_of_the_schema(sql: str, expected: ParsedStatement) -> None:
    assert parse(sql) == (expected,)


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        (
            "CREATE TABLE t (id int, m mood, c int REFERENCES s.p (id))",
            S(Kind.CREATE_TABLE, relations=("t",), references=("s.p",), types=("mood",)),
        ),
        (
            "CREATE TABLE IF NOT EXISTS t AS SELECT * FROM u",
            S(Kind.CREATE_TABLE, relations=("t",), references=("u",), if_exists=True),
        ),
        ("SELECT * INTO t FROM u", S(Kind.CREATE_TABLE, relations=("t",), references=("u",))),
        (
            "CREATE TABLE p1 PARTITION OF p DEFAULT",
            S(Kind.CREATE_TABLE, relations=("p1",), references=("p",)),
        ),
        (
            "ALTER TABLE t ADD COLUMN IF NOT EXISTS a int NOT NULL",
            S(
                Kind.ALTER_TABLE,
                relations=("t",),
                added_columns=(AddedColumn("a", True, False),),
                if_exists=True,
            ),
        ),
        (
            "ALTER TABLE t ADD a bigserial, ADD b int NOT NULL DEFAULT 3",
            S(
                Kind.ALTER_TABLE,
                relations=("t",),
                types=("bigserial",),
                added_columns=(AddedColumn("a", False, True), AddedColumn("b", True, True)),
            ),
        ),
        (
            "ALTER TABLE t ADD a serial2 NOT NULL, ADD b int NOT NULL DEFAULT NULL::int",
            S(
                Kind.ALTER_TABLE,
                relations=("t",),
                types=("serial2",),
                added_columns=(AddedColumn("a", True, True), AddedColumn("b", True, False)),
            ),
        ),
        (
            "ALTER TABLE t ALTER c TYPE mood USING CASE WHEN true THEN 'a'::mood END",
            S(
                Kind.ALTER_TABLE,
                relations=("t",),
                types=("mood",),
                retyped_columns=(RetypedColumn("c", "mood", True),),
            ),
        ),
        (
            "ALTER TABLE t DROP COLUMN a, DROP COLUMN b",
            S(Kind.ALTER_TABLE, relations=("t",), dropped_columns=("a", "b")),
        ),
        (
            "ALTER TABLE t ADD CONSTRAINT f FOREIGN KEY (a) REFERENCES p NOT VALID",
            S(Kind.ALTER_TABLE, relations=("t",), references=("p",)),
        ),
        ("ALTER TABLE s.a RENAME TO b", S(Kind.ALTER_TABLE, relations=("s.a",), new_name="b")),
        ("ALTER TABLE t RENAME c TO d", S(Kind.ALTER_TABLE, relations=("t",))),
        (
            "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'CREATE INDEX i ON t (a)'",
            S(Kind.CREATE_FUNCTION),
        ),
        ("CLUSTER t USING i", S(Kind.CLUSTER, relations=("t",))),
        ("ALTER INDEX a RENAME TO b", S(Kind.OTHER)),
        ("ALTER INDEX a ATTACH PARTITION b", S(Kind.OTHER)),
        ("DROP TABLE a, s.b CASCADE", S(Kind.DROP_TABLE, relations=("a", "s.b"), cascade=True)),
        ("CREATE INDEX ON t (a)", S(Kind.CREATE_INDEX, relations=("t",))),
        (
            "CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS ix ON s.t (a)",
            S(
                Kind.CREATE_INDEX,
                relations=("s.t",),
                names=("ix",),
                concurrently=True,
                if_exists=True,
            ),
        ),
        (
            "CREATE INDEX ix ON ONLY t (a)",
            S(Kind.CREATE_INDEX, relations=("t",), names=("ix",), only=True),
        ),
        (
            "DROP INDEX CONCURRENTLY IF EXISTS s.ix",
            S(Kind.DROP_INDEX, names=("s.ix",), concurrently=True, if_exists=True),
        ),
        (
            "CREATE TYPE s.mood AS ENUM ('a', 'b')",
            S(Kind.CREATE_ENUM, names=("s.mood",), labels=("a", "b")),
        ),
        ("CREATE TYPE pair AS (a int)", S(Kind.CREATE_TYPE, names=("pair",))),
        ("CREATE TYPE r AS RANGE (subtype = int)", S(Kind.CREATE_TYPE, names=("r",))),
        (
            "ALTER TYPE mood ADD VALUE IF NOT EXISTS 'c'",
            S(Kind.ADD_LABEL, names=("mood",), labels=("c",), if_exists=True),
        ),
        (
            "ALTER TYPE mood RENAME VALUE 'a' TO 'b'",
            S(Kind.RENAME_LABEL, names=("mood",), labels=("b",)),
        ),
        ("ALTER TYPE mood RENAME TO old", S(Kind.RENAME_TYPE, names=("mood",), new_name="old")),
        (
            "DROP TYPE IF EXISTS s.mood, pair CASCADE",
            S(Kind.DROP_TYPE, names=("s.mood", "pair"), if_exists=True, cascade=True),
        ),
        ("CREATE VIEW v AS SELECT * FROM a", S(Kind.OTHER, relations=("v", "a"))),
        ("DROP VIEW v", S(Kind.OTHER, relations=("v",))),
        ("COMMENT ON COLUMN s.t.c IS 'x'", S(Kind.OTHER, relations=("s.t",))),
        ("COMMENT ON TABLE t IS NULL", S(Kind.OTHER, relations=("t",))),
        ("DROP TRIGGER g ON s.t", S(Kind.OTHER, relations=("s.t",))),
        ("GRANT SELECT ON a TO PUBLIC", S(Kind.GRANT, relations=("a",))),
        ("REVOKE b FROM c", S(Kind.GRANT)),
        ("CREATE EXTENSION citext", S(Kind.OTHER)),
        ("CREATE SEQUENCE s", S(Kind.OTHER)),
    ],
)
def test_change_of_the_schema(sql: str, expected: ParsedStatement) -> None:
    (parsed,) = statements_of(sql)
    assert parsed.changes_schema
    assert parsed == ParsedStatement(**{**expected.__dict__, "changes_schema": True})


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE t SET a = %(a)s WHERE b = %(b)s",
        "UPDATE t SET a = %s, b = '%%' WHERE c IN %s",
        "UPDATE t SET a = :a WHERE b = ':c' AND d::text = 'x'",
        "UPDATE t SET a = $1",
        "UPDATE t SET a = ? -- why?",
        "UPDATE t SET a = %(a)s::jsonb",
        "UPDATE t SET a = data ? 'key'",
        "UPDATE t SET a = $tag$ it's :that %s $tag$, b = %s",
    ],
)
def test_placeholders_of_the_drivers_are_understood(sql: str) -> None:
    assert parse(sql) == (S(Kind.UPDATE, relations=("t",), changes_rows=True),)


def test_several_statements_in_one_text() -> None:
    assert [each.kind for each in statements_of("SET a = 1; CREATE TABLE t (); COMMIT;")] == [
        Kind.SET,
        Kind.CREATE_TABLE,
        Kind.TRANSACTION,
    ]


def test_a_text_that_cannot_be_read_may_change_anything() -> None:
    assert parse("CREATE TABEL t ()") == Unparsed('syntax error at or near "TABEL"')
    assert statements_of("CREATE TABEL t ()") == (
        S(Kind.OTHER, changes_schema=None, changes_rows=None),
    )


def test_a_function_of_the_users_may_change_the_schema() -> None:
    assert statements_of("SELECT audit.add_triggers('orders')") == (
        S(Kind.SELECT, changes_schema=None, functions=("audit.add_triggers",)),
    )


@pytest.mark.parametrize(
    ("sql", "position", "concurrent"),
    [
        (
            "SELECT 1; create unique index ix on public.orders (lower(note)) where note <> '%%'",
            1,
            [
                "CREATE UNIQUE INDEX CONCURRENTLY ix ON public.orders (lower(note)) "
                "WHERE note <> '%'"
            ],
        ),
        (
            "CREATE INDEX ON orders USING gin (tags)",
            0,
            ["CREATE INDEX CONCURRENTLY ON orders USING gin (tags)"],
        ),
        (
            'DROP INDEX IF EXISTS a, s."B" CASCADE',
            0,
            [
                "DROP INDEX CONCURRENTLY IF EXISTS a",
                'DROP INDEX CONCURRENTLY IF EXISTS s."B"',
            ],
        ),
        ("CREATE INDEX ON :table (a)", 0, []),
    ],
)
def test_an_index_made_concurrently(sql: str, position: int, concurrent: list[str]) -> None:
    like = statements_of(sql)[position]
    assert list(make_concurrent(sql, like)) == concurrent


def test_another_using() -> None:
    sql = "SELECT 1; ALTER TABLE t ALTER a DROP DEFAULT, ALTER a TYPE mood USING a::text::mood"
    like = statements_of(sql)[1]
    assert replace_using(sql, like, "a", "(CASE a WHEN 'x' THEN 'y' END)::mood") == (
        "ALTER TABLE t ALTER COLUMN a DROP DEFAULT, ALTER COLUMN a TYPE mood USING "
        "CASE a WHEN 'x' THEN 'y' END::mood"
    )
    assert replace_using("ALTER TABEL", like, "a", "1") is None


def test_a_label_that_can_be_added_again() -> None:
    sql = "SELECT 1; ALTER TYPE s.mood ADD VALUE 'it''s' BEFORE 'ok'"
    assert make_repeatable(sql) == (
        "ALTER TYPE s.mood ADD VALUE IF NOT EXISTS 'it''s' BEFORE 'ok'",
    )
    assert make_repeatable("ALTER TYPE mood RENAME VALUE 'a' TO 'b'; BEGINN") == ()


@pytest.mark.parametrize("sql", ["", "  ", "-- nothing", ";"])
def test_nothing_is_no_statement(sql: str) -> None:
    assert parse(sql) == ()


@pytest.mark.parametrize(
    ("written", "qualified", "same"),
    [
        ("orders", "public.orders", True),
        ("orders", "audit.orders", True),
        ("audit.orders", "audit.orders", True),
        ('"Orders"', "public.Orders", True),
        ('public."Orders"', 'public."Orders"', True),
        ("audit.orders", "public.orders", False),
        ("orders", "public.old_orders", False),
    ],
)
def test_names_as_written_and_qualified(written: str, qualified: str, same: bool) -> None:
    assert is_same_name(written, qualified) is same


def test_a_name_is_a_word() -> None:
    assert mentions('ALTER TABLE t ADD "c" int', "c")
    assert not mentions("ALTER TABLE t ADD ccc int", "c")


def test_the_public_schema_comes_first() -> None:
    assert find_name("t", {"a.t", "public.t", "z.t"}) == "public.t"
    assert find_name("t", {"a.u"}) is None
    assert plain_name('public."Orders"') == "Orders"


def test_a_long_text_is_cut() -> None:
    assert shorten("SELECT  a,\n  b FROM t;") == "SELECT a, b FROM t"
    assert shorten("SELECT a, b FROM t", 10) == "SELECT a,…"
