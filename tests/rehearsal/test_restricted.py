"""`project.role: restricted`: migrations run as a role like production's."""

from __future__ import annotations

from pathlib import Path

import pytest

from gatekeeper.model import NotRehearsed, Report, Verdict
from gatekeeper.postgres.servers import Server
from tests.live import a_table, check_change, live_revision, rehearsal_of, server_url
from tests.servers import on_every_server

pytestmark = [
    pytest.mark.postgres,
    pytest.mark.slow,
    on_every_server(),
]

V = "migrations/versions"
RESTRICTED = "project:\n  role: restricted\n"


def _sql(*statements: str) -> str:
    return "\n".join(f"op.execute({statement!r})" for statement in statements)


def _check(
    root: Path,
    server: Server,
    upgrade: str,
    downgrade: str = "pass",
    *,
    base: str = "pass",
    policy: str = "",
    bootstrap: str = "",
    **request: object,
) -> Report:
    files = {
        ".gatekeeper.yml": f"{RESTRICTED}  bootstrap: all.sql\n  seed: seed.sql\n{policy}",
        "all.sql": bootstrap or "SELECT",
        "seed.sql": "INSERT INTO t SELECT generate_series(1, 10)",
        f"{V}/a001.py": live_revision("a001", None, *a_table("t")),
        f"{V}/a002.py": live_revision("a002", "a001", base),
    }
    change = {f"{V}/b001.py": live_revision("b001", "a002", upgrade, downgrade)}
    return check_change(root, server, files, change, **request)


# What the owner of a database may do: the way up and the way back.
ALLOWED = {
    "a table": a_table("u"),
    "a column": ('op.add_column("t", sa.Column("n", sa.Integer))', 'op.drop_column("t", "n")'),
    "a rewrite": (
        'op.alter_column("t", "id", type_=sa.BigInteger)',
        'op.alter_column("t", "id", type_=sa.Integer)',
    ),
    "a schema": (_sql("CREATE SCHEMA s"), _sql("DROP SCHEMA s")),
    "a trusted extension": (
        _sql("CREATE EXTENSION citext"),
        _sql("DROP EXTENSION citext"),
    ),
    "an extension that is there": (
        _sql("CREATE EXTENSION IF NOT EXISTS pg_stat_statements"),
        _sql("SELECT 1"),
    ),
    "what the bootstrap made": (
        _sql(
            "ALTER TABLE made.u ADD COLUMN n int",
            "ALTER TYPE made.mood ADD VALUE 'so-so'",
            "ALTER SEQUENCE made.numbers INCREMENT 2",
            "CREATE OR REPLACE FUNCTION made.one() RETURNS int RETURN 2",
            "CREATE OR REPLACE VIEW made.v AS SELECT id + 0 AS id FROM made.u",
            "CREATE TABLE made.w (id int)",
        ),
        _sql(
            "DROP TABLE made.w",
            "CREATE OR REPLACE VIEW made.v AS SELECT id FROM made.u",
            "CREATE OR REPLACE FUNCTION made.one() RETURNS int RETURN 1",
            "ALTER SEQUENCE made.numbers INCREMENT 1",
            "ALTER TABLE made.u DROP COLUMN n",
        ),
    ),
    "an index without a transaction": (
        "with op.get_context().autocommit_block():\n"
        '    op.create_index("t_id", "t", ["id"], postgresql_concurrently=True)',
        "with op.get_context().autocommit_block():\n"
        '    op.drop_index("t_id", "t", postgresql_concurrently=True)',
    ),
}

BOOTSTRAP = """\
CREATE SCHEMA made;
CREATE TABLE made.u (id int GENERATED ALWAYS AS IDENTITY, old serial);
CREATE TYPE made.mood AS ENUM ('good', 'bad');
CREATE TYPE made.pair AS (a int, b int);
CREATE DOMAIN made.positive AS int CHECK (value > 0);
CREATE SEQUENCE made.numbers;
CREATE FUNCTION made.one() RETURNS int RETURN 1;
CREATE VIEW made.v AS SELECT id FROM made.u;
CREATE EXTENSION pg_stat_statements;
"""

ADMINISTRATOR = (
    "An administrator has to do that in production before the release: take it out of the "
    "revision, and for the rehearsal put it into the SQL file of `project.bootstrap`:\n\n    {};"
)
OTHERWISE = (
    "Write it so that the owner of the database may do it. Otherwise an administrator has to run "
    "it in production: take it out of the revision, and for the rehearsal put it into the SQL "
    "file of `project.bootstrap`:\n\n    {};"
)
EXTENSION = (
    "An administrator has to create the extension in production before the release. Write `CREATE "
    "EXTENSION IF NOT EXISTS {0}` in the revision, and in the policy file:\n\n"
    "    project:\n      extensions: [{0}]"
)
# What only an administrator may do: statement, PostgreSQL's words, remedy.
DENIED = {
    "an extension": (
        "CREATE EXTENSION pageinspect",
        'permission denied to create extension "pageinspect"',
        EXTENSION.format("pageinspect"),
    ),
    "a role": (
        "CREATE ROLE app",
        "permission denied to create role",
        ADMINISTRATOR.format("CREATE ROLE app"),
    ),
    "a parameter": (
        "SET session_replication_role = replica",
        'permission denied to set parameter "session_replication_role"',
        OTHERWISE.format("SET session_replication_role = replica"),
    ),
    "a publication": (
        "CREATE PUBLICATION p FOR ALL TABLES",
        "must be superuser to create ",
        OTHERWISE.format("CREATE PUBLICATION p FOR ALL TABLES"),
    ),
}


def _owners(server: Server) -> list[tuple[str]]:
    return server.administer("SELECT rolname FROM pg_roles WHERE rolname ~ '^gatekeeper_'")


@pytest.mark.parametrize(("upgrade", "downgrade"), ALLOWED.values(), ids=ALLOWED)
def test_what_an_owner_may_do_is_nothing_to_find(
    upgrade: str, downgrade: str, tmp_path: Path, server: Server
) -> None:
    report = _check(tmp_path, server, upgrade, downgrade, bootstrap=BOOTSTRAP)
    (revision,) = rehearsal_of(report).revisions
    steps = (revision.upgrade, revision.downgrade, *rehearsal_of(report).deploy)
    assert [step.error or step.reason for step in steps if step.error or step.reason] == []
    failed = ("upgrade-fails", "downgrade-fails", "silently-not-applied")
    assert [f.message for f in report.findings if f.check in failed] == []
    assert _owners(server) == []


def test_locks_and_rewrites_are_seen_all_the_same(tmp_path: Path, server: Server) -> None:
    report = _check(tmp_path, server, *ALLOWED["a rewrite"])
    (finding,) = report.findings_of("table-rewrite")
    assert (finding.revision, finding.line, finding.relation) == ("b001", 12, "public.t")


@pytest.mark.parametrize(("sql", "said", "remedy"), DENIED.values(), ids=DENIED)
def test_what_only_an_administrator_may_do_is_a_finding(
    sql: str, said: str, remedy: str, tmp_path: Path, server: Server
) -> None:
    report = _check(tmp_path, server, _sql("SELECT 1", sql))
    (finding,) = report.findings_of("upgrade-fails")
    said = f"The upgrade of `b001` failed: InsufficientPrivilege: {said}"
    assert finding.message.startswith(said)
    assert finding.message.endswith(
        ". It ran as production's role does (`project.role: restricted`: it owns the database "
        "and is no superuser), which may not do that"
    )
    assert (finding.path, finding.line) == (f"{V}/b001.py", 13)
    assert finding.remedy == remedy
    assert report.verdict is Verdict.FAIL


def test_the_way_back_may_need_more_than_the_way_up(tmp_path: Path, server: Server) -> None:
    drop, bootstrap = _sql("DROP ROLE app"), "CREATE ROLE app"
    report = _check(tmp_path, server, a_table("u")[0], drop, bootstrap=bootstrap)
    (finding,) = report.findings_of("downgrade-fails")
    assert finding.message.startswith("The downgrade of `b001` failed: InsufficientPrivilege: ")
    assert finding.line == 16
    assert finding.remedy == ADMINISTRATOR.format("DROP ROLE app")


def test_the_owner_has_the_same_name_in_every_report(tmp_path: Path, server: Server) -> None:
    grant = _sql(
        "GRANT SELECT ON t TO PUBLIC", "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC"
    )
    (revision,) = rehearsal_of(_check(tmp_path, server, grant)).revisions
    assert [str(d).replace("arwdDxtm", "arwdDxt") for d in revision.round_trip or ()] == [
        "table public.t: privileges was none, is "
        "=r/gatekeeper_owner, gatekeeper_owner=arwdDxt/gatekeeper_owner",
        "default privileges of gatekeeper_owner on tables is left",
    ]


def test_a_base_that_needs_an_administrator_says_how(tmp_path: Path, server: Server) -> None:
    report = _check(tmp_path, server, "pass", base=_sql("CREATE EXTENSION pageinspect"))
    assert isinstance(report.rehearsal, NotRehearsed)
    assert "permission denied to create extension" in report.rehearsal.reason
    assert "`project: {extensions: […]}`" in report.rehearsal.reason
    assert report.verdict is Verdict.UNDETERMINED


def test_with_the_extension_named_the_base_runs(tmp_path: Path, server: Server) -> None:
    base = _sql("CREATE EXTENSION IF NOT EXISTS pageinspect")
    policy = "  extensions: [pageinspect]\n"
    assert rehearsal_of(_check(tmp_path, server, "pass", base=base, policy=policy)).deploy


def test_a_server_of_our_own_has_the_role_as_well(tmp_path: Path, server: Server) -> None:
    report = _check(tmp_path, server, _sql("CREATE ROLE app"), database_url=None)
    (finding,) = report.findings_of("upgrade-fails")
    assert finding.remedy == DENIED["a role"][2]


@pytest.mark.parametrize("may_make_roles", [True, False])
def test_a_user_that_is_no_superuser(may_make_roles: bool, tmp_path: Path, server: Server) -> None:
    option = "CREATEROLE" if may_make_roles else "NOCREATEROLE"
    server.administer(f"CREATE ROLE maker LOGIN CREATEDB {option} PASSWORD 'secret'")
    url = server_url(server).replace(f"postgres:{server.password}", "maker:secret")
    try:
        bootstrap = "CREATE TABLE u (id int)"
        report = _check(tmp_path, server, *a_table("w"), database_url=url, bootstrap=bootstrap)
        if may_make_roles:
            assert report.verdict is Verdict.PASS, report.rehearsal
        else:
            assert isinstance(report.rehearsal, NotRehearsed)
            assert "`project.role: restricted` needs a role of its own" in report.rehearsal.reason
            assert 'ALTER ROLE "maker" CREATEROLE' in report.rehearsal.reason
        assert _owners(server) == []
    finally:
        server.administer("DROP ROLE maker")
