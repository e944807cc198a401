"""Whether anybody has written to what an upgrade made."""

from __future__ import annotations

import pytest

from gatekeeper.model import Difference, DifferenceKind
from gatekeeper.postgres.databases import Database
from gatekeeper.postgres.new_values import read_new_values

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
