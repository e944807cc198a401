"""Differences between two snapshots, told briefly and completely."""

from __future__ import annotations

import contextlib

import pytest

from gatekeeper.model import Difference, DifferenceKind
from gatekeeper.postgres.databases import Database
from gatekeeper.postgres.difference import compare
from gatekeeper.postgres.snapshot import Snapshot, take_snapshot

pytestmark = pytest.mark.postgres

MISSING, LEFT, CHANGED = DifferenceKind.MISSING, DifferenceKind.LEFT, DifferenceKind.CHANGED

BASE = """
CREATE TYPE mood AS ENUM ('sad', 'ok', 'glad');
CREATE TABLE p (id serial PRIMARY KEY, name text);
CREATE TABLE t (id int PRIMARY KEY, a text, b int NOT NULL DEFAULT 3, p_id int REFERENCES p);
CREATE INDEX t_a ON t (a);
CREATE VIEW v AS SELECT id, a FROM t;
COMMENT ON COLUMN t.a IS 'the first';
CREATE TABLE part (id int, day date) PARTITION BY RANGE (day);
CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
CREATE TABLE part_2 PARTITION OF part FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');
"""


def run(database: Database, sql: str) -> Snapshot:
    with contextlib.closing(database.connect()) as connection, connection.cursor() as cursor:
        cursor.execute(sql)
        return take_snapshot(connection)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1",
        "INSERT INTO p (name) VALUES ('x')",
        "ANALYZE",
        "ALTER TABLE t DROP COLUMN p_id; ALTER TABLE t ADD p_id int REFERENCES p",
        "DROP INDEX t_a; CREATE INDEX t_a ON t (a)",
        "GRANT SELECT ON t TO pg_monitor; REVOKE SELECT ON t FROM pg_monitor",
        "ALTER TABLE t RENAME a TO c; ALTER TABLE t RENAME c TO a",
        "CREATE TABLE x (id serial); DROP TABLE x",
        "CREATE TEMPORARY TABLE x (id serial)",
    ],
)
def test_what_ends_as_it_was_is_no_difference(database: Database, sql: str) -> None:
    before = run(database, BASE)
    after = run(database, sql)
    assert compare(before, after) == ()
    assert before == after


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        pytest.param(
            "DROP TABLE t CASCADE",
            [
                Difference(MISSING, "table", "public.t", "public.t"),
                Difference(MISSING, "view", "public.v", "public.v"),
            ],
            id="a table with all that belongs to it",
        ),
        pytest.param(
            "CREATE TABLE x (id serial PRIMARY KEY, p_id int REFERENCES p, n int NOT NULL);"
            "CREATE INDEX ON x (n); COMMENT ON TABLE x IS 'left'",
            [Difference(LEFT, "table", "public.x", "public.x")],
            id="a table that is left",
        ),
        pytest.param(
            "ALTER TABLE t ADD n serial",
            [Difference(LEFT, "column", "public.t.n", "public.t")],
            id="a serial column with its sequence",
        ),
        pytest.param(
            "ALTER TABLE t ALTER id ADD GENERATED ALWAYS AS IDENTITY",
            [Difference(CHANGED, "column", "public.t.id", "public.t", "identity", None, "always")],
            id="an identity with its sequence",
        ),
        pytest.param(
            "ALTER TABLE t ALTER b DROP NOT NULL, ALTER b DROP DEFAULT",
            [
                Difference(CHANGED, "column", "public.t.b", "public.t", "default", "3", None),
                Difference(
                    CHANGED, "column", "public.t.b", "public.t", "nullable", "false", "true"
                ),
            ],
            id="several attributes of a column",
        ),
        pytest.param(
            "ALTER TABLE t DROP b; ALTER TABLE t ADD b int NOT NULL DEFAULT 3",
            [
                Difference(
                    CHANGED,
                    "column order",
                    "public.t",
                    "public.t",
                    "order",
                    "id, a, b, p_id",
                    "id, a, p_id, b",
                )
            ],
            id="column order alone",
        ),
        pytest.param(
            "ALTER TABLE t DROP CONSTRAINT t_p_id_fkey; DROP INDEX t_a; "
            "CREATE UNIQUE INDEX t_a ON t (a)",
            [
                Difference(MISSING, "constraint", "public.t.t_p_id_fkey", "public.t"),
                Difference(
                    CHANGED,
                    "index",
                    "public.t_a",
                    "public.t",
                    "definition",
                    "CREATE INDEX t_a ON public.t USING btree (a)",
                    "CREATE UNIQUE INDEX t_a ON public.t USING btree (a)",
                ),
            ],
            id="constraints before indexes",
        ),
        pytest.param(
            "ALTER TYPE mood ADD VALUE 'elated'",
            [Difference(LEFT, "enum label", "public.mood.elated")],
            id="an enum label",
        ),
        pytest.param(
            "DROP TYPE mood; CREATE TYPE mood AS ENUM ('glad', 'ok', 'new')",
            [
                Difference(
                    CHANGED, "enum", "public.mood", None, "label order", "ok, glad", "glad, ok"
                ),
                Difference(LEFT, "enum label", "public.mood.new"),
                Difference(MISSING, "enum label", "public.mood.sad"),
            ],
            id="enum labels one by one, and their order",
        ),
        pytest.param(
            "DROP TYPE mood",
            [Difference(MISSING, "enum", "public.mood")],
            id="an enum with its labels",
        ),
        pytest.param(
            "CREATE OR REPLACE VIEW v AS SELECT id, a, b FROM t",
            [
                Difference(
                    CHANGED,
                    "view",
                    "public.v",
                    "public.v",
                    "definition",
                    " SELECT id,\n    a\n   FROM public.t;",
                    " SELECT id,\n    a,\n    b\n   FROM public.t;",
                )
            ],
            id="a view with its columns",
        ),
        pytest.param(
            "ALTER TABLE part ADD n int, ADD CONSTRAINT positive CHECK (id > 0);"
            "CREATE INDEX part_day ON part (day); ALTER TABLE part ALTER id TYPE bigint",
            [
                Difference(
                    CHANGED,
                    "column",
                    "public.part.id",
                    "public.part",
                    "type",
                    "integer",
                    "bigint",
                ),
                Difference(LEFT, "column", "public.part.n", "public.part"),
                Difference(LEFT, "constraint", "public.part.positive", "public.part"),
                Difference(LEFT, "index", "public.part_day", "public.part"),
            ],
            id="a partitioned table without its partitions",
        ),
        pytest.param(
            "ALTER TABLE ONLY part_1 ALTER day SET DEFAULT now()",
            [
                Difference(
                    CHANGED,
                    "column",
                    "public.part_1.day",
                    "public.part_1",
                    "default",
                    None,
                    "now()",
                )
            ],
            id="a partition that goes its own way",
        ),
        pytest.param(
            "ALTER TABLE part DETACH PARTITION part_2",
            [
                Difference(
                    CHANGED, "table", "public.part_2", "public.part_2", "inherits", "public.part"
                ),
                Difference(
                    CHANGED,
                    "table",
                    "public.part_2",
                    "public.part_2",
                    "partition bound",
                    "FOR VALUES FROM ('2026-02-01') TO ('2026-03-01')",
                ),
            ],
            id="a detached partition",
        ),
        pytest.param(
            "COMMENT ON COLUMN t.a IS NULL",
            [Difference(CHANGED, "column", "public.t.a", "public.t", "comment", "the first", None)],
            id="a comment",
        ),
        pytest.param(
            "CREATE DOMAIN positive AS int CONSTRAINT above CHECK (VALUE > 0)",
            [Difference(LEFT, "domain", "public.positive")],
            id="a domain with its constraint",
        ),
        pytest.param(
            "CREATE SCHEMA s; CREATE EXTENSION citext SCHEMA s",
            [Difference(LEFT, "schema", "s"), Difference(LEFT, "extension", "citext")],
            id="an extension without its members",
        ),
    ],
)
def test_differences_are_told_the_worst_first(
    database: Database, sql: str, expected: list[Difference]
) -> None:
    before = run(database, BASE)
    after = run(database, sql)
    told = list(compare(before, after))
    if database.server.info.major < 16:
        # Before PostgreSQL 16 a view's definition qualifies its columns.
        expected = [_without_definition(d) for d in expected]
        told = [_without_definition(d) for d in told]
    assert told == expected


def _without_definition(difference: Difference) -> Difference:
    if difference.object_type != "view" or difference.attribute != "definition":
        return difference
    return Difference(CHANGED, "view", difference.name, difference.relation, "definition")
