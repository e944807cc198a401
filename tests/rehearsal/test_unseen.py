"""What is sent past SQLAlchemy is in no list of statements, but leaves its locks to see."""

from __future__ import annotations

from pathlib import Path

import pytest

from gatekeeper.lock_modes import LockMode
from gatekeeper.model import Lock, Statement, Status
from gatekeeper.postgres.servers import Server
from tests.live import check_change, finding_lines, live_revision, rehearsal_of

pytestmark = [pytest.mark.postgres, pytest.mark.slow]

V = "migrations/versions"
BASE = {
    f"{V}/a001.py": live_revision(
        "a001",
        None,
        """
        op.execute("CREATE TABLE orders (id bigint PRIMARY KEY, note text)")
        op.execute("CREATE TABLE parcels (id bigint PRIMARY KEY)")
        op.execute("INSERT INTO orders SELECT n, n FROM generate_series(1, 25) n")
        """,
        'op.execute("DROP TABLE orders, parcels")',
    )
}
RAW = "op.get_bind().connection.dbapi_connection.cursor().execute({!r})"
FUNCTION_LINE = 11  # of `upgrade` in what `live_revision` writes


def raw(sql: str) -> str:
    """Return the call that sends a text with the driver's own cursor."""
    return RAW.format(sql)


def told(statement: Statement) -> tuple[object, ...]:
    return (
        statement.revision,
        statement.ordinal,
        statement.sql,
        statement.path,
        statement.line,
        statement.locks,
        statement.rewrites,
    )


def test_a_raw_statement_is_told_by_its_locks(tmp_path: Path, server: Server) -> None:
    """Each belongs to the revision that sent it, not to the next one's first statement."""
    change = {
        f"{V}/b001.py": live_revision(
            "b001",
            "a001",
            raw("CREATE INDEX ix_raw ON orders (note)"),
            raw("DROP INDEX ix_raw"),
        ),
        f"{V}/b002.py": live_revision(
            "b002",
            "b001",
            'op.add_column("parcels", sa.Column("a", sa.Text))\n'
            + raw("ALTER TABLE orders ALTER id TYPE int"),
            'op.drop_column("parcels", "a")\n' + raw("ALTER TABLE orders ALTER id TYPE bigint"),
        ),
    }
    report = check_change(tmp_path, server, BASE, change)
    first, second = rehearsal_of(report).deploy
    share = (Lock("public.orders", LockMode.SHARE),)
    hidden = "-- sent past SQLAlchemy: not seen"
    assert [told(s) for s in first.statements] == [
        ("b001", 1, hidden, f"{V}/b001.py", FUNCTION_LINE, share, ())
    ]
    assert first.committed is True
    assert [s.sql for s in second.statements] == [
        "ALTER TABLE parcels ADD COLUMN a TEXT",
        hidden,
    ]
    assert second.statements[1].rewrites == ("public.orders",)
    assert Lock("public.orders", LockMode.ACCESS_EXCLUSIVE) in (second.statements[1].locks or ())
    found = [f for f in finding_lines(report) if f[0] != "downgrade-incomplete"]
    assert set(found) == {
        ("index-not-concurrent", "b001", FUNCTION_LINE),
        ("missing-lock-timeout", "b001", FUNCTION_LINE),
        ("missing-lock-timeout", "b002", FUNCTION_LINE + 1),
        ("table-rewrite", "b002", FUNCTION_LINE),
    }
    status = {r.check.id: r.status for r in report.checks}
    for check in ("not-atomic", "backfill-with-ddl"):
        assert status[check] is Status.SKIPPED


def test_what_ran_on_another_connection_is_not_passed(tmp_path: Path, server: Server) -> None:
    sql = "CREATE INDEX ix_raw ON orders (note)"
    change = {
        f"{V}/b001.py": live_revision(
            "b001",
            "a001",
            f"""
            raw = op.get_bind().engine.raw_connection()
            raw.cursor().execute({sql!r})
            raw.commit()
            raw.close()
            """,
            'op.execute("DROP INDEX ix_raw")',
        )
    }
    report = check_change(tmp_path, server, BASE, change)
    (step,) = rehearsal_of(report).deploy
    assert step.statements == ()
    results = {r.check.id: (r.status, r.reason) for r in report.checks}
    unseen = "what changed the schema in `b001` was not seen"
    assert results["index-not-concurrent"] == (
        Status.SKIPPED,
        f"how the index `public.ix_raw` was built was not seen; {unseen}",
    )
    for check in ("missing-lock-timeout", "table-rewrite", "not-atomic"):
        assert results[check] == (Status.SKIPPED, unseen)


def test_a_merge_point_after_other_steps(tmp_path: Path, server: Server) -> None:
    """Alembic deletes one head before it writes the other: the step is the merge point's."""
    change = {
        f"{V}/b001.py": live_revision("b001", "a001"),
        f"{V}/c001.py": live_revision("c001", "a001"),
        f"{V}/d001.py": live_revision(
            "d001", ("b001", "c001"), raw("CREATE INDEX i ON orders (id)"), raw("DROP INDEX i")
        ),
    }
    deploy = rehearsal_of(check_change(tmp_path, server, BASE, change)).deploy
    assert {s.revision: len(s.statements) for s in deploy} == {"b001": 0, "c001": 0, "d001": 1}


def test_alembics_own_statements_are_none_of_them(tmp_path: Path, server: Server) -> None:
    change = {
        f"{V}/b001.py": live_revision("b001", "a001", 'op.execute("UPDATE orders SET note = 1")'),
        f"{V}/b002.py": live_revision("b002", "b001"),
    }
    deploy = rehearsal_of(check_change(tmp_path, server, BASE, change)).deploy
    assert [[s.sql for s in step.statements] for step in deploy] == [
        ["UPDATE orders SET note = 1"],
        [],
    ]


@pytest.mark.parametrize(
    ("body", "has_ended"),
    [
        ('op.execute("UPDATE orders SET note = 1")', False),
        (
            """
            from sqlalchemy.orm import Session
            s = Session(bind=op.get_bind())
            s.execute(sa.text("UPDATE orders SET note = 1"))
            s.commit()
            """,
            False,
        ),
        (
            """
            with sa.create_engine(op.get_bind().engine.url).connect() as k:
                k.execute(sa.text("UPDATE orders SET note = 1"))
                k.commit()
            op.execute("UPDATE parcels SET id = 1")
            """,
            False,
        ),
        (
            'op.execute("UPDATE orders SET note = 1")\nop.get_bind().commit()',
            True,
        ),
    ],
)
def test_whether_alembics_transaction_was_ended(
    body: str, has_ended: bool, tmp_path: Path, server: Server
) -> None:
    change = {f"{V}/b001.py": live_revision("b001", "a001", body)}
    report = check_change(tmp_path, server, BASE, change)
    (step,) = rehearsal_of(report).deploy
    assert step.ended_transaction is has_ended
    assert (("not-atomic", "b001") in [f[:2] for f in finding_lines(report)]) is has_ended
