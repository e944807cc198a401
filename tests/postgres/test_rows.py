"""A digest tells whether two databases hold the same rows, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gatekeeper.postgres.databases import Database, open_database
from gatekeeper.postgres.rows import count_rows, read_sequences, row_digests
from gatekeeper.postgres.servers import Server
from tests.databases import execute
from tests.postgres.kinds import require_type
from tests.servers import on_every_server

pytestmark = [pytest.mark.postgres, on_every_server()]


@pytest.fixture
def other(server: Server) -> Iterator[Database]:
    """A second database, of another encoding and with other defaults."""
    with open_database(server) as database:
        for setting in (
            "timezone = 'Asia/Tokyo'",
            "datestyle = 'German'",
            "intervalstyle = 'sql_standard'",
            "extra_float_digits = -5",
            "bytea_output = 'escape'",
        ):
            server.administer(f"ALTER DATABASE {database.name} SET {setting}")
        yield database


def digests(database: Database, *tables: str) -> dict[str, str]:
    with database.session() as connection:
        return dict(row_digests(connection, tables))


def counts(database: Database, *tables: str) -> dict[str, int]:
    with database.session() as connection:
        return dict(count_rows(connection, tables))


EVERY_TYPE = (
    "CREATE TYPE status AS ENUM ('open', 'closed')",
    "CREATE TYPE place AS (street text, number int)",
    "CREATE DOMAIN code AS text CHECK (length(VALUE) < 9)",
    """CREATE TABLE kinds (
        id int, big bigint, exact numeric, single real, twice double precision, flag boolean,
        word varchar(20), "Odd ""Name" char(4), raw bytea, document json, tree jsonb,
        day date, moment timestamptz, local timestamp, clock timetz, span interval, uid uuid,
        state status, home place, codes code[], grid int[][], span_of tstzrange, net inet,
        mac macaddr, bits bit varying, words tsvector, price money, box box, relation regclass,
        doubled int GENERATED ALWAYS AS (id * 2) STORED
    )""",
)
ROWS = (
    """INSERT INTO kinds VALUES (
        1, 2 ^ 62, 1.10, 0.1, 0.1::float8 + 0.2::float8, true, 'ä', 'x', '\\x00ff',
        '{"b": 1,  "a": 2}',
        '{"b": 1, "a": 2}', '2026-01-31', '2026-01-31 12:00+00',
        '2026-01-31 12:00', '12:00+02', '1 day 02:03',
        '00000000-0000-0000-0000-000000000000', 'open',
        '("Main, street",3)', '{a,"b c",NULL}', '{{1,2},{3,4}}',
        '[2026-01-31 12:00+00,2026-02-01 12:00+00)', '10.0.0.0/8', '08:00:2b:01:02:03', '101',
        'a fat cat', 12.34, '(1,1),(0,0)', 'pg_class'
    )""",
    "INSERT INTO kinds (id) VALUES (2)",
    "INSERT INTO kinds (id, word, raw, codes) VALUES (3, '', '', '{}')",
)


def test_equal_rows_of_every_type_in_another_order(database: Database, other: Database) -> None:
    execute(database, *EVERY_TYPE, *ROWS)
    # Other object identifiers, a dropped column, rows that were moved.
    execute(other, "CREATE TABLE first (id int)", *EVERY_TYPE, *reversed(ROWS))
    execute(other, "ALTER TABLE kinds ADD more int", "UPDATE kinds SET more = 1 WHERE id = 2")
    execute(other, "ALTER TABLE kinds DROP more", "DROP TABLE first", "VACUUM FULL kinds")
    assert digests(database) == digests(other)
    assert digests(database).keys() == {"public.kinds"}


@pytest.mark.parametrize(
    "change",
    [
        "DELETE FROM kinds WHERE id = 2",
        "INSERT INTO kinds (id) VALUES (2)",
        "UPDATE kinds SET word = NULL WHERE id = 3",
        "UPDATE kinds SET exact = 1.1 WHERE id = 1",
        "UPDATE kinds SET twice = 0.3 WHERE id = 1",
        "UPDATE kinds SET moment = moment + interval '1 microsecond' WHERE id = 1",
        """UPDATE kinds SET document = '{"b": 1, "a": 2}' WHERE id = 1""",
        "UPDATE kinds SET state = 'closed' WHERE id = 1",
        "UPDATE kinds SET codes = '{NULL}' WHERE id = 3",
        "UPDATE kinds SET word = codes[1], codes = NULL WHERE id = 1",
    ],
)
def test_rows_that_differ(database: Database, change: str) -> None:
    execute(database, *EVERY_TYPE, *ROWS)
    before = digests(database)
    execute(database, change)
    assert digests(database) != before
    assert digests(database).keys() == before.keys()


# Of these `=` is not there, or tells only that a size is the same.
WITHOUT_EQUALITY = [
    ("json", '{"a": 1}', '{"a":  1}'),
    ("json[]", '{"{\\"a\\": 1}"}', '{"{\\"a\\": 2}"}'),
    ("point", "(0.1,2)", "(2,0.1)"),
    ("polygon", "((0,0),(1,1),(1,0))", "((0,0),(1,1),(0,1))"),
    ("box", "(2,1),(0,0)", "(1,2),(0,0)"),
    ("circle", "<(0,0),1>", "<(1,0),1>"),
    ("path", "[(0,0),(1,1)]", "[(0,0),(1,2)]"),
    ("xml", "<a><b/></a>", "<a><b> </b></a>"),
    ("xml", "one<b/>two", "one<b/>"),
    ("xml", '<?xml version="1.0" standalone="yes"?><ä/>', "<ä/>"),
]


@pytest.mark.parametrize(("kind", "value", "another"), WITHOUT_EQUALITY)
def test_values_that_postgresql_does_not_compare(
    database: Database, other: Database, kind: str, value: str, another: str
) -> None:
    require_type(database, kind)
    other.server.administer(f"ALTER DATABASE {other.name} SET xmloption = 'document'")
    table = f"CREATE TABLE shop (id int, held {kind})"
    execute(database, table, f"INSERT INTO shop VALUES (1, '{value}'), (2, NULL)")
    execute(
        other,
        table,
        "SET xmloption = 'content'",
        f"INSERT INTO shop VALUES (2, NULL), (1, '{value}')",
    )
    before = digests(database)
    assert before == digests(other)
    execute(database, f"UPDATE shop SET held = '{another}' WHERE id = 1")
    assert digests(database) != before


def test_rows_twice_are_not_rows_gone(database: Database) -> None:
    execute(database, "CREATE TABLE shop (id int)")
    empty = digests(database)
    execute(database, "INSERT INTO shop VALUES (1), (1)")
    assert digests(database) != empty


def test_values_change_their_column(database: Database) -> None:
    execute(database, "CREATE TABLE shop (a text, b text)", "INSERT INTO shop VALUES ('1,2', '3')")
    before = digests(database)
    execute(database, "UPDATE shop SET a = '1', b = '2,3'")
    assert digests(database) != before


def test_another_encoding(server: Server, database: Database) -> None:
    name = server.next_database_name()
    server.administer(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'")
    try:
        latin = Database(server, name, marker="")
        for each in (database, latin):
            execute(each, "CREATE TABLE shop AS SELECT 'äöü' AS name")
        assert digests(database) == digests(latin)
    finally:
        server.administer(f"DROP DATABASE {name}")


def test_each_row_counts_once(database: Database) -> None:
    execute(
        database,
        "CREATE TABLE events (id int, day date) PARTITION BY RANGE (day)",
        "CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM (MINVALUE) TO ('2026-02-01')",
        "CREATE TABLE events_2 PARTITION OF events DEFAULT PARTITION BY LIST (id)",
        "CREATE TABLE events_3 PARTITION OF events_2 DEFAULT",
        "INSERT INTO events VALUES (1, '2026-01-15'), (2, '2026-03-01'), (3, '2026-04-01')",
        "CREATE TABLE animal (id int)",
        "CREATE TABLE cat () INHERITS (animal)",
        "INSERT INTO animal VALUES (1)",
        "INSERT INTO cat VALUES (2), (3)",
        "CREATE VIEW pets AS TABLE animal",
        "CREATE MATERIALIZED VIEW stale AS TABLE animal",
        "CREATE TABLE nothing ()",
        "INSERT INTO nothing DEFAULT VALUES",
        "CREATE UNLOGGED TABLE loose AS SELECT 1 AS id",
        "CREATE TEMPORARY TABLE gone (id int)",
    )
    expected = {"animal": 1, "cat": 2, "events": 3, "loose": 1, "nothing": 1}
    assert counts(database) == {f"public.{name}": count for name, count in expected.items()}
    assert counts(database) == {k: int(v.split()[0]) for k, v in digests(database).items()}
    assert counts(database, "public.events_2", "animal") == {
        "public.animal": 1,
        "public.events_2": 2,
    }


def test_rows_in_another_partition_are_the_same_rows(database: Database) -> None:
    execute(
        database,
        "CREATE TABLE events (id int) PARTITION BY LIST (id)",
        "CREATE TABLE events_1 PARTITION OF events DEFAULT",
        "INSERT INTO events VALUES (1), (2)",
    )
    before = digests(database)
    execute(
        database,
        "ALTER TABLE events DETACH PARTITION events_1",
        "CREATE TABLE events_2 PARTITION OF events DEFAULT",
        "INSERT INTO events TABLE events_1",
        "DROP TABLE events_1",
    )
    assert digests(database) == before


def test_members_of_extensions_are_left_out(database: Database) -> None:
    execute(
        database,
        "CREATE EXTENSION pg_trgm",
        "CREATE TABLE mapped (id int)",
        "ALTER EXTENSION pg_trgm ADD TABLE mapped",
    )
    assert (counts(database), digests(database)) == ({}, {})


def test_odd_names(database: Database) -> None:
    execute(
        database,
        'CREATE SCHEMA "Odd % ""s"',
        """CREATE TABLE "Odd % ""s"."%s.'t" ("a b" int, "A" int, "%%(x)s" int)""",
        """INSERT INTO "Odd % ""s"."%s.'t" VALUES (1, 2, 3)""",
    )
    assert counts(database) == {"Odd % \"s.%s.'t": 1}
    assert counts(database, "%s.'t") == {"Odd % \"s.%s.'t": 1}
    assert digests(database).keys() == {"Odd % \"s.%s.'t"}


def test_how_far_sequences_have_come(database: Database) -> None:
    execute(
        database,
        "CREATE TABLE shop (id serial, no int GENERATED ALWAYS AS IDENTITY)",
        "INSERT INTO shop SELECT FROM generate_series(1, 3)",
        "CREATE SEQUENCE down INCREMENT -2 START -1",
        "SELECT nextval('down'), nextval('down')",
        "CREATE SEQUENCE never",
    )
    with database.session() as connection:
        assert read_sequences(connection) == {
            "public.shop_id_seq": 3,
            "public.shop_no_seq": 3,
            "public.down": 3,
        }


def test_a_bare_name_is_the_table_that_the_search_path_finds(database: Database) -> None:
    """Beside it others may have the same name, such as Supabase's `auth.users`."""
    execute(
        database,
        "CREATE SCHEMA auth",
        "CREATE TABLE auth.users AS SELECT 1",
        "CREATE TABLE auth.keys AS SELECT 1",
        "CREATE TABLE public.users AS SELECT generate_series(1, 3)",
    )
    with database.session(autocommit=False) as connection:
        counted = count_rows(connection, ("users", "keys", "auth.keys", "lost"))
    assert counted == {"public.users": 3, "auth.keys": 1}
