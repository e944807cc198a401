"""What a statement leaves behind where it is committed."""

from __future__ import annotations

import pytest

from gatekeeper.deploy.statements import Trace, trace_of


@pytest.mark.parametrize(
    ("sql", "trace"),
    [
        ("SELECT 1", Trace.NOTHING),
        ("SELECT pg_sleep(1), nextval('s')", Trace.NOTHING),
        ("SELECT pure(1)", Trace.NOTHING),
        ("SET lock_timeout = '1s'; COMMIT; LOCK TABLE a", Trace.NOTHING),
        ("VACUUM a", Trace.NOTHING),
        ("REFRESH MATERIALIZED VIEW m", Trace.NOTHING),
        ("CREATE TEMP TABLE t (n int)", Trace.NOTHING),
        ("SAVEPOINT s", Trace.NOTHING),
        ("", Trace.NOTHING),
        ("CREATE TABLE a (n int)", Trace.IN_CATALOG),
        ("/* one */ -- two\nALTER TABLE a ADD b int", Trace.IN_CATALOG),
        ("CREATE INDEX CONCURRENTLY i ON a (n)", Trace.IN_CATALOG),
        ("REINDEX INDEX CONCURRENTLY i", Trace.IN_CATALOG),
        ("SET lock_timeout = '1s'; ALTER TABLE a ADD b int", Trace.IN_CATALOG),
        ("COMMENT ON TABLE a IS 'b'", Trace.IN_CATALOG),
        ("INSERT INTO a VALUES (%(n)s)", Trace.UNSEEN),
        ("SET lock_timeout = '1s'; UPDATE a SET n = 1", Trace.UNSEEN),
        ("COMMIT; DELETE FROM a; CREATE TABLE b (n int)", Trace.UNSEEN),
        ("WITH gone AS (DELETE FROM a RETURNING *) SELECT * FROM gone", Trace.UNSEEN),
        ("SELECT move_rows()", Trace.UNSEEN),
        ("SELECT count(*) FROM shop.move_rows()", Trace.UNSEEN),
        ("CALL anything()", Trace.UNSEEN),
        ("DO $$ BEGIN END $$", Trace.UNSEEN),
        ("TRUNCATE a", Trace.UNSEEN),
        ("COPY a FROM stdin", Trace.UNSEEN),
        ("GRANT SELECT ON a TO b", Trace.UNSEEN),
        ("REVOKE a FROM b", Trace.UNSEEN),
        ("SELEC 1", Trace.UNSEEN),
    ],
)
def test_trace(sql: str, trace: Trace) -> None:
    assert trace_of(sql, {"move_rows"}) is trace
