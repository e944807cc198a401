"""Whether anybody has written to what an upgrade made."""

from __future__ import annotations

import pytest

from gatekeeper.model import Difference, DifferenceKind
from gatekeeper.postgres.databases import Database
from gatekeeper.postgres.new_values import read_new_values
from gatekeeper.postgres.servers import Server
from tests.postgres.kinds import require_type

pytestmark = pytest.mark.postgres

MADE = (
    Difference(DifferenceKind.LEFT, "table", "public.Carts", relation="public.Carts"),
    *(
        Difference(DifferenceKind.LEFT, "column", f"public.users.{name}", relation="public.users")
        for name in ("plain", "by default", "at", "doubled")
    ),
    Difference(DifferenceKind.MISSING, "column", "public.users.old", relation="public.users"),
    Difference(DifferenceKind.LEFT, "index", "public.ix", relation="public.users"),
)
UPGRADED = """
CREATE TABLE users (id int, old int);
INSERT INTO users SELECT generate_series(1, 3);
CREATE TABLE "Carts" (id int);
ALTER TABLE users ADD plain json, ADD "by default" text NOT NULL DEFAULT 'a''b',
    ADD at timestamptz DEFAULT now(), ADD doubled int GENERATED ALWAYS AS (id * 2) STORED;
"""


@pytest.mark.parametrize(
    ("written", "changed"),
    [
        pytest.param("SELECT 1", set(), id="nothing"),
        pytest.param("UPDATE users SET old = 1", set(), id="what was there before"),
        pytest.param("INSERT INTO users (id, at) VALUES (4, NULL)", set(), id="defaults"),
        pytest.param(
            "INSERT INTO users (id) VALUES (4)",
            {("column", "public.users.at")},
            id="a default that is no constant",
        ),
        pytest.param(
            "UPDATE users SET plain = '{}' WHERE id = 2",
            {("column", "public.users.plain")},
            id="a value",
        ),
        pytest.param(
            "UPDATE users SET \"by default\" = 'c' WHERE id = 2",
            {("column", "public.users.by default")},
            id="a value beside the default",
        ),
        pytest.param(
            'INSERT INTO "Carts" VALUES (1)', {("table", "public.Carts")}, id="a row of a table"
        ),
    ],
)
def test_what_was_written_since(
    database: Database, written: str, changed: set[tuple[str, str]]
) -> None:
    with database.session() as connection:
        connection.cursor().execute(UPGRADED)
        before = read_new_values(connection, MADE)
        connection.cursor().execute(written)
        after = read_new_values(connection, MADE)
    assert set(before) == {
        ("table", "public.Carts"),
        ("column", "public.users.plain"),
        ("column", "public.users.by default"),
        ("column", "public.users.at"),
    }
    assert {key for key in before if before[key] != after[key]} == changed


@pytest.mark.parametrize(
    ("kind", "default", "value"),
    [
        ("json", "{}", '{"a": 1}'),
        ("json[]", "{}", '{"{}"}'),
        ("point", "(0,0)", "(0,1)"),
        ("polygon", "((0,0),(1,1),(1,0))", "((0,0),(1,1),(0,1))"),
        ("box", "(2,1),(0,0)", "(1,2),(0,0)"),
        ("circle", "<(0,0),1>", "<(1,0),1>"),
        ("path", "[(0,0),(1,1)]", "[(0,0),(1,2)]"),
        ("xml", "<a/>", "<b/>"),
        ("numeric(6,2)", "1", "1.01"),
        ("char(4)", "x", "y"),
        ("timestamptz(0)", "2026-01-31 12:00:00.4+00", "2026-01-31 12:00:01+00"),
        ('"Odd State"', "open", "closed"),
        ("pair", "(1,2)", "(1,)"),
    ],
)
@pytest.mark.parametrize("is_by_default", [True, False])
def test_columns_of_every_kind(
    database: Database, kind: str, default: str, value: str, is_by_default: bool
) -> None:
    """Of some `=` is not there, or tells only that a size is the same."""
    made = [Difference(DifferenceKind.LEFT, "column", "public.users.new", relation="public.users")]
    require_type(database, kind)
    with database.session() as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TYPE \"Odd State\" AS ENUM ('open', 'closed')")
        cursor.execute("CREATE TYPE pair AS (x int, y int)")
        cursor.execute("CREATE TABLE users AS SELECT generate_series(1, 3) AS id")
        by_default = f"DEFAULT '{default}'" if is_by_default else ""
        cursor.execute(f"ALTER TABLE users ADD new {kind} {by_default}")
        digests = [read_new_values(connection, made)]
        for statement in (
            "INSERT INTO users (id) VALUES (4)",
            f"UPDATE users SET new = '{value}' WHERE id = 2",
            f"UPDATE users SET new = '{value}' WHERE id = 2",
            "UPDATE users SET new = DEFAULT WHERE id = 2",
        ):
            cursor.execute(statement)
            digests.append(read_new_values(connection, made))
    upgraded, inserted, written, again, back = digests
    assert upgraded == inserted == back
    assert written == again != back


def test_a_value_is_the_same_in_other_sessions(database: Database, server: Server) -> None:
    """A rehearsal's server has other settings than the target, maybe another encoding."""
    name = server.next_database_name()
    server.administer(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'")
    try:
        server.administer(f"ALTER DATABASE {name} SET timezone = 'Asia/Tokyo'")
        digests = []
        for each in (database, Database(server, name, marker="")):
            with each.session() as connection:
                connection.cursor().execute(
                    "CREATE TABLE users (id int);"
                    "CREATE TABLE \"Carts\" AS SELECT timestamptz '2026-01-31 12:00+00' AS at;"
                    "ALTER TABLE users ADD plain text DEFAULT 'ä', ADD at timestamptz;"
                    "INSERT INTO users VALUES (1, 'ö', '2026-01-31 12:00+00')"
                )
                digests.append(read_new_values(connection, MADE))
    finally:
        server.administer(f"DROP DATABASE {name}")
    assert digests[0] == digests[1]
    assert len(digests[0]) == 3


def test_a_table_with_a_column_of_any_name(database: Database) -> None:
    """One that is called as a query calls the table hides none of the others."""
    made = [Difference(DifferenceKind.LEFT, "table", "public.n", relation="public.n")]
    with database.session() as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE n (t int, n int, hash int, hashed int)")
        cursor.execute("INSERT INTO n VALUES (1, 1, 1, 1)")
        before = read_new_values(connection, made)
        for column in ("t", "n", "hash", "hashed"):
            cursor.execute(f"UPDATE n SET {column} = 2")
            after = read_new_values(connection, made)
            assert after != before
            before = after
