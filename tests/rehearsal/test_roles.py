"""Roles belong to the server, and the databases of one rehearsal each have their own."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from gatekeeper.model import NotRehearsed, Report, Verdict
from gatekeeper.postgres.installations import Installation
from gatekeeper.postgres.servers import Server
from tests.live import a_table, check_change, live_revision, live_revisions, rehearsal_of
from tests.servers import Place, on_every_server, start_apart

pytestmark = [
    pytest.mark.postgres,
    pytest.mark.slow,
    on_every_server(),
]


@pytest.fixture(scope="module")
def server(
    request: pytest.FixtureRequest, installations: dict[Place, Installation]
) -> Iterator[Server]:
    """A server that other tests have left no role on."""
    with start_apart(request.param, installations) as server:
        yield server


V = "migrations/versions"

TABLE = live_revision("a001", None, *a_table("t"))


def _sql(*statements: str) -> str:
    return "\n".join(f"op.execute({statement!r})" for statement in statements)


MAKES = _sql(
    "CREATE ROLE app NOLOGIN",
    "COMMENT ON ROLE app IS 'the application'",
    "GRANT SELECT ON t TO app",
    "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO app",
)
DROPS = _sql("DROP OWNED BY app", "DROP ROLE app")
HERE = "DO $$BEGIN EXECUTE format('{}', current_database()); END$$"
CONNECT = HERE.format("GRANT CONNECT ON DATABASE %I TO app")
MEMBERS = _sql("CREATE ROLE reader", "GRANT app TO reader", "ALTER ROLE reader SET jit = off")
NO_MEMBERS = _sql("DROP ROLE reader")
TEAM = _sql("CREATE ROLE app; CREATE ROLE reader IN ROLE app; GRANT SELECT ON t TO reader")
SEARCH = HERE.format("ALTER DATABASE %I SET search_path = t, public")
NO_SEARCH = HERE.format("ALTER DATABASE %I RESET search_path")

# What the base has beside the table `t`, and each new revision's two ways.
CLEAN = {
    "made and dropped": (None, [(MAKES, DROPS)]),
    "dropped and made again": (MAKES, [(DROPS, MAKES)]),
    "made by one and dropped by the next": (None, [(MAKES, DROPS), (DROPS, MAKES)]),
    "with members and settings": (MAKES, [(MEMBERS, NO_MEMBERS)]),
    "members that the base has": (
        TEAM,
        [(_sql("REVOKE app FROM reader"), _sql("GRANT app TO reader"))],
    ),
    "altered": (
        MAKES,
        [(_sql("ALTER ROLE app LOGIN"), _sql("ALTER ROLE app NOLOGIN"))],
    ),
    "renamed": (
        MAKES,
        [(_sql("ALTER ROLE app RENAME TO web"), _sql("ALTER ROLE web RENAME TO app"))],
    ),
    "privileges on the database": (
        MAKES,
        [(_sql(CONNECT), _sql(CONNECT.replace("GRANT", "REVOKE").replace("TO app", "FROM app")))],
    ),
    "privileges on the database that the base gives": (
        f"{MAKES}\n{_sql(CONNECT)}",
        [(DROPS, f"{MAKES}\n{_sql(CONNECT)}")],
    ),
    "a setting of the database": (None, [(_sql(SEARCH), _sql(NO_SEARCH))]),
    "a setting that the base makes": (
        _sql(SEARCH),
        [(_sql(NO_SEARCH), _sql(SEARCH))],
    ),
    "objects of its own": (
        _sql("CREATE ROLE app", "GRANT CREATE ON SCHEMA public TO app", "SET ROLE app")
        + '\nop.create_table("own", sa.Column("id", sa.Integer))\n'
        + _sql("RESET ROLE"),
        [(_sql("ALTER TABLE own OWNER TO CURRENT_USER"), _sql("ALTER TABLE own OWNER TO app"))],
    ),
}

# As before, with what must be told of the round trip.
FORGOTTEN = {
    "a role": (None, (MAKES, _sql("DROP OWNED BY app")), ["role app is left"]),
    "an attribute": (
        MAKES,
        (_sql("ALTER ROLE app LOGIN"), "pass"),
        ["role app: can log in was false, is true"],
    ),
    "a member": (
        _sql("CREATE ROLE app; CREATE ROLE reader"),
        (_sql("GRANT app TO reader"), "pass"),
        ["role reader: member of was none, is app"],
    ),
    "a setting": (
        None,
        (_sql(SEARCH), "pass"),
        ["setting search_path of the database is left"],
    ),
    "a setting of a role": (
        MAKES,
        (_sql(HERE.format("ALTER ROLE app IN DATABASE %I SET work_mem = ''8MB''")), "pass"),
        ["setting work_mem of role app is left"],
    ),
    "a role that was there": (
        MAKES,
        (DROPS, "pass"),
        [
            "table public.t: privileges was app=r/postgres, postgres=arwdDxt/postgres, is none",
            "default privileges of postgres on tables is missing",
            "role app is missing",
        ],
    ),
}


def _check(
    root: Path, server: Server, base: str | None, *new: tuple[str, str], **request: object
) -> Report:
    """Check new revisions on a base that has the table `t` and, if given, one revision more."""
    files = {f"{V}/a001.py": TABLE}
    last = "a001"
    if base is not None:
        files[f"{V}/a002.py"] = live_revision("a002", "a001", base, "pass")
        last = "a002"
    return check_change(root, server, files, live_revisions(last, *new), **request)


def _trips(report: Report) -> list[str]:
    """Return the differences of all stairways; each has run up and down."""
    revisions = rehearsal_of(report).revisions
    steps = [step for r in revisions for step in (r.upgrade, r.downgrade)]
    assert [step.error or step.reason for step in steps if step.error or step.reason] == []
    return [str(d).replace("arwdDxtm", "arwdDxt") for r in revisions for d in r.round_trip or ()]


def _roles(server: Server) -> list[str]:
    with (
        contextlib.closing(server.connect(server.maintenance_database)) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute("SELECT rolname FROM pg_roles WHERE rolname !~ '^pg_' ORDER BY 1")
        return [name for (name,) in cursor.fetchall()]


@pytest.mark.parametrize(("base", "new"), CLEAN.values(), ids=CLEAN)
def test_a_role_that_comes_and_goes_is_nothing_to_find(
    base: str | None, new: list[tuple[str, str]], tmp_path: Path, server: Server
) -> None:
    report = _check(tmp_path, server, base, *new)
    assert _trips(report) == []
    assert {r.second_upgrade for r in rehearsal_of(report).revisions} == {()}
    assert report.verdict is Verdict.PASS
    assert _roles(server) == ["postgres"]


@pytest.mark.parametrize(("base", "new", "differences"), FORGOTTEN.values(), ids=FORGOTTEN)
def test_what_a_downgrade_forgets_of_roles_is_told(
    base: str | None,
    new: tuple[str, str],
    differences: list[str],
    tmp_path: Path,
    server: Server,
) -> None:
    assert _trips(_check(tmp_path, server, base, new)) == differences
    assert _roles(server) == ["postgres"]


def test_a_server_of_our_own_is_not_looked_at_for_others(tmp_path: Path, server: Server) -> None:
    report = _check(tmp_path, server, MAKES, (DROPS, MAKES), database_url=None)
    assert _trips(report) == []
    assert report.verdict is Verdict.PASS


def test_a_bootstrap_that_makes_roles_can_run_twice(tmp_path: Path, server: Server) -> None:
    """Once for the change's code and once for the base's, as its revision is edited."""
    grants, takes = _sql("GRANT SELECT ON t TO app"), _sql("REVOKE SELECT ON t FROM app")
    base = {
        ".gatekeeper.yml": "project: {bootstrap: roles.sql}",
        "roles.sql": "CREATE ROLE app; GRANT USAGE ON SCHEMA public TO app;",
        f"{V}/a001.py": TABLE,
        f"{V}/a002.py": live_revision("a002", "a001", grants, takes),
    }
    change = {
        f"{V}/a002.py": live_revision("a002", "a001", f"{grants}\n{grants}", takes),
        f"{V}/b001.py": live_revision("b001", "a002", MEMBERS, NO_MEMBERS),
    }
    report = check_change(tmp_path, server, base, change)
    assert _trips(report) == []
    assert _roles(server) == ["postgres"]


def test_an_audit_follows_the_roles_of_the_whole_history(tmp_path: Path, server: Server) -> None:
    report = _check(tmp_path, server, None, (MAKES, DROPS), (MEMBERS, NO_MEMBERS), is_audit=True)
    assert _trips(report) == []
    assert _roles(server) == ["postgres"]


@pytest.mark.parametrize("in_base", [True, False], ids=["base", "new"])
def test_a_role_that_the_server_has_is_not_taken_for_ours(
    in_base: bool, tmp_path: Path, server: Server
) -> None:
    server.administer("CREATE ROLE app")
    try:
        new = ("pass", "pass") if in_base else (MAKES, DROPS)
        report = _check(tmp_path, server, MAKES if in_base else None, new)
        if in_base:
            assert isinstance(report.rehearsal, NotRehearsed)
            assert "`--database-url` had it before: drop it there" in report.rehearsal.reason
        else:
            (finding,) = report.findings_of("upgrade-fails")
            assert 'role "app" already exists' in finding.message
        assert _roles(server) == ["app", "postgres"]
    finally:
        server.administer("DROP ROLE app")
