"""Two runs from one state: what gives two schemas is found, what only gives other rows is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from gatekeeper.model import Verdict
from gatekeeper.postgres.servers import Server
from tests.live import (
    Files,
    a_table,
    check_change,
    finding_lines,
    live_revision,
    rehearsal_of,
)
from tests.servers import on_every_server

pytestmark = [
    pytest.mark.postgres,
    pytest.mark.slow,
    on_every_server(),
]

V = "migrations/versions"
START = {
    f"{V}/a001.py": live_revision(
        "a001",
        None,
        'op.create_table("t", sa.Column("id", sa.Integer, primary_key=True), '
        'sa.Column("note", sa.Text))',
        'op.drop_table("t")',
    )
}


def revision(upgrade: str, downgrade: str, name: str = "b001", down: str = "a001") -> Files:
    return {f"{V}/{name}.py": live_revision(name, down, upgrade, downgrade)}


TIME = "import datetime\nnow = str(datetime.datetime.now())\n"
UUID = "import uuid\nname = uuid.uuid4().hex\n"
DEFAULT = TIME + 'op.alter_column("t", "note", server_default=now)'
NO_DEFAULT = 'op.alter_column("t", "note", server_default=None)'

STEADY = {
    "times and ids in rows": revision(
        TIME + "op.execute(f\"INSERT INTO t VALUES (1, '{now}')\")\n"
        'op.execute("INSERT INTO t VALUES (2, gen_random_uuid()::text)")',
        'op.execute("DELETE FROM t")',
    ),
    "sequences that have counted": revision(
        'op.execute("CREATE SEQUENCE s")\nop.execute("SELECT nextval(\'s\')")',
        'op.execute("DROP SEQUENCE s")',
    ),
    "a wide column and its TOAST table": revision(
        "op.execute(\"ALTER TABLE t ADD wide text NOT NULL DEFAULT repeat('x', 9000)\")",
        'op.drop_column("t", "wide")',
    ),
    "a default that the database computes": revision(
        'op.alter_column("t", "note", server_default=sa.text("now()"))', NO_DEFAULT
    ),
    "constraints whose names PostgreSQL makes": revision(
        'op.execute("CREATE TABLE u (a int NOT NULL CHECK (a > 0) UNIQUE, '
        'b int REFERENCES t (id), EXCLUDE (a WITH =))")',
        'op.drop_table("u")',
    ),
    "a role of the whole cluster": revision(
        'op.execute("CREATE ROLE gatekeeper_steady")\n'
        'op.execute("GRANT SELECT ON t TO gatekeeper_steady")',
        'op.execute("DROP OWNED BY gatekeeper_steady")\nop.execute("DROP ROLE gatekeeper_steady")',
    ),
    "a temporary table": revision(
        'op.execute("CREATE TEMPORARY TABLE scratch (id int)")', 'op.execute("SELECT 1")'
    ),
}


@pytest.mark.parametrize("change", STEADY.values(), ids=STEADY)
def test_what_is_the_same_each_time(change: Files, tmp_path: Path, server: Server) -> None:
    report = check_change(tmp_path, server, START, change)
    assert "non-deterministic-migration" not in {f.check for f in report.findings}
    assert [r.variation for r in rehearsal_of(report).revisions] == [()]
    assert report.verdict is Verdict.PASS


VARYING = {
    "a time in a default": (DEFAULT, NO_DEFAULT, 14, "the default of column `public.t.note` is"),
    "a time in a default, and no way back": (
        DEFAULT,
        'raise NotImplementedError("no")',
        14,
        "the default of column `public.t.note` is",
    ),
    "an id in the name of an index": (
        UUID + 'op.create_index(f"ix_{name}", "t", ["note"])',
        "op.execute(\"DO $$ BEGIN EXECUTE (SELECT 'DROP INDEX ' || indexname FROM pg_indexes "
        "WHERE indexname LIKE 'ix_%'); END $$\")",
        14,
        "index `public.ix_",
    ),
    "an id in the name of a partition": (
        UUID + 'op.execute("CREATE TABLE p (id int) PARTITION BY LIST (id)")\n'
        'op.execute(f"CREATE TABLE p_{name} PARTITION OF p DEFAULT")',
        'op.drop_table("p")',
        15,
        "table `public.p_",
    ),
    "a time in a CHECK": (
        TIME + 'op.create_check_constraint("ck", "t", f"note < \'{now}\'")',
        'op.drop_constraint("ck", "t")',
        14,
        "the definition of constraint `public.t.ck` is",
    ),
    "a time that the server takes": (
        "op.execute(\"DO $$ BEGIN EXECUTE format('ALTER TABLE t ALTER note SET DEFAULT %L', "
        'clock_timestamp()); END $$")',
        NO_DEFAULT,
        11,
        "the default of column `public.t.note` is",
    ),
}


@pytest.mark.parametrize(("upgrade", "downgrade", "line", "words"), VARYING.values(), ids=VARYING)
def test_what_differs_each_time(
    upgrade: str, downgrade: str, line: int, words: str, tmp_path: Path, server: Server
) -> None:
    report = check_change(tmp_path, server, START, revision(upgrade, downgrade))
    (finding,) = (f for f in report.findings if f.check == "non-deterministic-migration")
    assert (finding.revision, finding.line) == ("b001", line)
    assert finding.message.startswith(
        f"Two runs of the upgrade of `b001` gave two schemas: {words}"
    )
    others = {f.check for f in report.findings} - {
        "missing-lock-timeout",
        "index-not-concurrent",
        "non-deterministic-migration",
        "downgrade-raises",
    }
    assert others == set()


def test_the_revision_at_fault_is_named_and_not_those_after_it(
    tmp_path: Path, server: Server
) -> None:
    change = {
        **revision(*a_table("x")),
        **revision(DEFAULT, NO_DEFAULT, "b002", "b001"),
        **revision(*a_table("y"), "b003", "b002"),
    }
    report = check_change(tmp_path, server, START, change)
    varying = [f for f in finding_lines(report) if f[0] == "non-deterministic-migration"]
    assert varying == [("non-deterministic-migration", "b002", 14)]


def test_a_base_that_varies_is_not_held_against_the_change(tmp_path: Path, server: Server) -> None:
    base = {**START, **revision(DEFAULT, NO_DEFAULT, "a002", "a001")}
    steady = revision(*a_table("x"), "b001", "a002")
    report = check_change(tmp_path, server, base, steady)
    assert [r.variation for r in rehearsal_of(report).revisions] == [()]
    also = revision(
        TIME + "op.execute(f\"COMMENT ON TABLE t IS '{now}'\")",
        'op.execute("COMMENT ON TABLE t IS NULL")',
        "b001",
        "a002",
    )
    report = check_change(tmp_path / "two", server, base, also)
    (varying,) = rehearsal_of(report).revisions
    assert [(d.object_type, d.attribute) for d in varying.variation or ()] == [("table", "comment")]


def test_a_base_that_runs_only_once_leaves_it_open(tmp_path: Path, server: Server) -> None:
    once = (
        "import pathlib\nmark = pathlib.Path(__file__).with_name('ran')\n"
        "assert not mark.exists()\nmark.touch()\n" + a_table("x")[0]
    )
    base = {**START, **revision(once, a_table("x")[1], "a002", "a001")}
    report = check_change(tmp_path, server, base, revision(DEFAULT, NO_DEFAULT, "b001", "a002"))
    assert [r.variation for r in rehearsal_of(report).revisions] == [None]
    assert "non-deterministic-migration" not in {f.check for f in report.findings}
    (result,) = (r for r in report.checks if r.check.id == "non-deterministic-migration")
    assert result.status.value == "skipped"
    assert (result.reason or "").startswith(
        "`b001` was run once from the same schema, not twice; in one go the revisions leave "
        "another schema than one by one: the default of column `public.t.note` is "
    )


def test_one_go_and_one_by_one_may_differ_though_nothing_varies(
    tmp_path: Path, server: Server
) -> None:
    """A setting of the first revision reaches the second one in the same session only."""
    change = {
        **revision('op.execute("CREATE SCHEMA s")\nop.execute("SET search_path = s, public")',
                   'op.execute("DROP SCHEMA s CASCADE")'),
        **revision(*a_table("x"), "b002", "b001"),
    }  # fmt: skip
    report = check_change(tmp_path, server, START, change)
    rehearsal = rehearsal_of(report)
    assert [r.variation for r in rehearsal.revisions] == [(), ()]
    (result,) = (r for r in report.checks if r.check.id == "non-deterministic-migration")
    assert (result.status.value, result.reason) == (
        "skipped",
        "in one go the revisions leave another schema than one by one: table `public.x` is "
        "there after one run only, table `s.x` is there after one run only",
    )


def test_in_an_audit_the_second_upgrade_is_the_other_run(tmp_path: Path, server: Server) -> None:
    change = {
        **revision(DEFAULT, NO_DEFAULT),
        **revision(*a_table("x"), "b002", "b001"),
        **revision(a_table("y")[0], 'raise RuntimeError("no")', "b003", "b002"),
    }
    report = check_change(tmp_path, server, START, change, is_audit=True)
    varying = [f for f in finding_lines(report) if f[0] == "non-deterministic-migration"]
    assert varying == [("non-deterministic-migration", "b001", 14)]
    (result,) = (r for r in report.checks if r.check.id == "non-deterministic-migration")
    assert result.reason == "`b003` was run once from the same schema, not twice"
