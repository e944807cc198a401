"""A definition reads the same before and after a dump and a restore."""

from __future__ import annotations

import os
import subprocess

import pytest

from gatekeeper.postgres.databases import Database, open_database
from gatekeeper.postgres.deparsed import settle
from gatekeeper.postgres.difference import compare
from gatekeeper.postgres.likeness import find_unlike, read_traits
from gatekeeper.postgres.servers import Server
from gatekeeper.postgres.snapshot import Snapshot, take_snapshot
from tests.servers import on_every_server


@pytest.mark.parametrize(
    ("text", "settled"),
    [
        ("s = 'a'::text", None),
        ("n = ANY (ARRAY[1, 2])", None),
        ("((s)::text = ANY (ARRAY[('a'::character varying)::text]))", None),
        ("(ARRAY['a'::text, 'b'::text])::citext[]", None),
        ("'(ARRAY['::text", None),
        (
            "((s)::text = ANY ((ARRAY['a'::character varying, 'b'::character varying])::text[]))",
            "((s)::text = ANY (ARRAY[('a'::character varying)::text, "
            "('b'::character varying)::text]))",
        ),
        (
            "x((ARRAY['it''s, [so'::character varying, \"c]\"])::text[])",
            "x(ARRAY[('it''s, [so'::character varying)::text, (\"c]\")::text])",
        ),
        (
            "(ARRAY[f(1, 2), (ARRAY['a'::character varying])::text[]])::text[]",
            "ARRAY[(f(1, 2))::text, (ARRAY[('a'::character varying)::text])::text]",
        ),
        (
            "(ARRAY[1]) AND (ARRAY['a'::character varying])::text[]",
            "(ARRAY[1]) AND ARRAY[('a'::character varying)::text]",
        ),
    ],
)
def test_lists_of_varchar(text: str, settled: str | None) -> None:
    assert settle(text) == (text if settled is None else settled)


SCHEMA = """
CREATE EXTENSION citext;
CREATE TYPE mood AS ENUM ('sad', 'ok');
CREATE DOMAIN word AS varchar(9) CHECK (VALUE IN ('x', 'y'));
CREATE TABLE t (
    id serial PRIMARY KEY, s varchar(10) NOT NULL CHECK (s IN ('a', 'it''s')), w word,
    c char(3) CHECK (c NOT IN ('x')), ci citext CHECK (ci IN ('a', 'b')), n int, m mood,
    j jsonb DEFAULT '{}', at timestamptz DEFAULT now(), price numeric(9, 2) DEFAULT 0.00,
    g text GENERATED ALWAYS AS (CASE WHEN s IN ('a', 'b') THEN 'x'::varchar ELSE s END) STORED,
    CHECK (s <> 'q' AND NOT (n = 3 AND s = 'b')), CHECK (s NOT IN ('z', 'zz'))
);
CREATE INDEX ix_part ON t (lower(s)) WHERE s IN ('a', 'b') AND m IN ('sad', 'ok');
CREATE VIEW v AS SELECT id, CASE WHEN s IN ('a', 'b') THEN 1 END AS k FROM t WHERE n IN (1, 2);
CREATE VIEW w AS SELECT x.*, y.id AS other FROM t x JOIN t y USING (n) WHERE x.s IN ('a', 'b');
CREATE MATERIALIZED VIEW mv AS SELECT DISTINCT ON (n) n, s FROM t ORDER BY n, s;
CREATE TABLE p (id int PRIMARY KEY, k varchar(5) CHECK (k IN ('q', 'r'))) PARTITION BY RANGE (id);
CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10);
CREATE FUNCTION f(x varchar) RETURNS bool LANGUAGE sql RETURN x IN ('a', 'b');
CREATE FUNCTION tg() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER tr BEFORE UPDATE ON t FOR EACH ROW WHEN (NEW.s IN ('a', 'b'))
    EXECUTE FUNCTION tg();
ALTER TABLE t ENABLE ROW LEVEL SECURITY;
CREATE POLICY pol ON t USING (s IN ('a', 'b')) WITH CHECK (n > 0);
CREATE STATISTICS st ON s, n FROM t;
ALTER TABLE t RENAME n TO number;
ALTER TABLE t RENAME TO things;
"""


def snapshot_of(database: Database) -> Snapshot:
    with database.session() as connection:
        return take_snapshot(connection).without_owners()


@pytest.mark.postgres
@pytest.mark.slow
@on_every_server()
def test_a_restored_database_has_the_same_catalog(server: Server) -> None:
    assert server.cluster is not None
    programs = server.cluster.installation.bin
    if not (programs / "pg_dump").exists():
        pytest.skip(f"this combination lacks pg_dump: {programs}")
    environment = {**os.environ, "PGPASSWORD": server.password}
    login = ("--host", server.host, "--port", str(server.port), "--username", server.user)
    with open_database(server) as here, open_database(server) as there:
        with here.session() as connection:
            connection.cursor().execute(SCHEMA)
        dump = subprocess.run(
            [programs / "pg_dump", *login, "--format=custom", here.name],
            env=environment,
            capture_output=True,
            check=True,
        )
        subprocess.run(
            [programs / "pg_restore", *login, f"--dbname={there.name}"],
            env=environment,
            input=dump.stdout,
            capture_output=True,
            check=True,
        )
        before, after = snapshot_of(here), snapshot_of(there)
    assert compare(before, after) == ()
    assert find_unlike(read_traits(before), after) == ()
