"""What migrations do to the server itself is taken back between passes, and told."""

from __future__ import annotations

from pathlib import Path

import pytest

from gatekeeper.model import Report, Verdict
from gatekeeper.postgres.servers import Server
from tests.live import a_table, check_change, live_revision, live_revisions, rehearsal_of
from tests.servers import on_every_server

pytestmark = [
    pytest.mark.postgres,
    pytest.mark.slow,
    on_every_server(),
]

V = "migrations/versions"
BEYOND = "acts on the whole server, beyond the database"


def _outside(*statements: str) -> str:
    """Return a body that sends the statements outside of a transaction."""
    calls = "".join(f"\n    op.execute({statement!r})" for statement in statements)
    return f"with op.get_context().autocommit_block():{calls}"


def _check(root: Path, server: Server, *new: tuple[str, str], **request: object) -> Report:
    files = {f"{V}/a001.py": live_revision("a001", None, *a_table("t"))}
    return check_change(root, server, files, live_revisions("a001", *new), **request)


def _errors(report: Report) -> list[object]:
    steps = [
        step
        for r in rehearsal_of(report).revisions
        for step in (r.upgrade, r.downgrade, r.reupgrade)
    ]
    return [step.error or step.reason for step in steps if step.error or step.reason]


def _told(report: Report) -> list[str]:
    return [note for note in rehearsal_of(report).project if "server" in note]


def _databases(server: Server) -> set[str]:
    return {name for (name,) in server.administer("SELECT datname FROM pg_database")}


def _settings(server: Server) -> list[tuple[str, str]]:
    return server.administer(
        "SELECT name, setting FROM pg_file_settings WHERE sourcefile ~ 'postgresql.auto.conf$'"
    )


@pytest.mark.parametrize("own", [False, True], ids=["given", "own"])
def test_a_database_that_is_made_and_dropped(own: bool, tmp_path: Path, server: Server) -> None:
    request = {"database_url": None} if own else {}
    before = _databases(server)
    report = _check(
        tmp_path,
        server,
        (_outside("CREATE DATABASE reports"), _outside("DROP DATABASE reports")),
        a_table("u"),
        **request,
    )
    assert _errors(report) == []
    assert _told(report) == [
        f"`CREATE DATABASE reports` {BEYOND}",
        f"`DROP DATABASE reports` {BEYOND}",
    ]
    assert report.verdict is Verdict.PASS
    assert _databases(server) == before


def test_a_database_that_is_forgotten(tmp_path: Path, server: Server) -> None:
    before = _databases(server)
    report = _check(tmp_path, server, (_outside("CREATE DATABASE reports"), "pass"))
    (finding,) = report.findings_of("reupgrade-fails")
    assert 'DuplicateDatabase: database "reports" already exists' in finding.message
    assert report.verdict is Verdict.FAIL
    assert _databases(server) == before


def test_a_setting_of_the_server_is_put_back(tmp_path: Path, server: Server) -> None:
    before = _settings(server)
    sets = _outside("ALTER SYSTEM SET work_mem = '8MB'", "SELECT pg_reload_conf()")
    report = _check(tmp_path, server, (sets, _outside("ALTER SYSTEM RESET work_mem")))
    assert _errors(report) == []
    assert _told(report) == [
        f"`ALTER SYSTEM SET work_mem = '8MB'` {BEYOND}",
        f"`ALTER SYSTEM RESET work_mem` {BEYOND}",
    ]
    assert _settings(server) == before


def test_a_setting_that_the_server_had_is_told(tmp_path: Path, server: Server) -> None:
    server.administer("ALTER SYSTEM SET work_mem = '5MB'")
    try:
        report = _check(tmp_path, server, (_outside("ALTER SYSTEM SET work_mem = '8MB'"), "pass"))
        assert _told(report) == [
            f"`ALTER SYSTEM SET work_mem = '8MB'` {BEYOND}",
            "the server's setting work_mem was 5MB and is 8MB",
        ]
    finally:
        server.administer("ALTER SYSTEM RESET work_mem")


def test_what_a_driver_itself_made_is_told(tmp_path: Path, server: Server) -> None:
    raw = """\
import psycopg2
with op.get_context().autocommit_block():
    op.get_bind().connection.cursor().execute("CREATE DATABASE hidden")
"""
    try:
        report = _check(tmp_path, server, (raw, "pass"))
        (told,) = _told(report)
        assert told == (
            "the database hidden came up on the server meanwhile and is left: it may be another's"
        )
    finally:
        server.administer("DROP DATABASE hidden")


def test_a_database_of_the_server_that_is_dropped_is_told(tmp_path: Path, server: Server) -> None:
    server.administer("CREATE DATABASE precious")
    drops = _outside("DROP DATABASE IF EXISTS precious")
    assert _told(_check(tmp_path, server, (drops, "pass"))) == [
        f"`DROP DATABASE IF EXISTS precious` {BEYOND}",
        "the database precious of the server is gone",
    ]


def test_a_setting_of_the_database_itself_is_not_of_the_server(
    tmp_path: Path, server: Server
) -> None:
    name = 'op.get_bind().exec_driver_sql("SELECT current_database()").scalar()'
    sets = f"op.execute('ALTER DATABASE \"' + {name} + '\" SET jit = off')"
    resets = f"op.execute('ALTER DATABASE \"' + {name} + '\" RESET jit')"
    report = _check(tmp_path, server, (sets, resets))
    assert (_errors(report), _told(report)) == ([], [])


@pytest.mark.parametrize(
    ("sql", "told"),
    [
        ("ALTER ROLE precious SET jit = off", "was changed meanwhile"),
        ("ALTER ROLE precious PASSWORD 'x'", "was changed meanwhile"),
        ("GRANT pg_monitor TO precious", "was changed meanwhile"),
        ("DROP ROLE IF EXISTS precious", "is gone"),
    ],
)
def test_a_role_of_the_server_that_is_changed_is_told(
    sql: str, told: str, tmp_path: Path, server: Server
) -> None:
    server.administer("CREATE ROLE precious")
    try:
        report = _check(tmp_path, server, (f"op.execute({sql!r})", "pass"))
        assert _told(report) == [f"the role precious of the server {told}"]
    finally:
        server.administer("DROP ROLE IF EXISTS precious")


def test_a_role_of_the_server_that_joins_one_of_the_run_is_as_before(
    tmp_path: Path, server: Server
) -> None:
    joins = 'op.execute("CREATE ROLE app; GRANT app TO CURRENT_USER")'
    report = _check(tmp_path, server, (joins, 'op.execute("DROP ROLE app")'))
    assert (_errors(report), _told(report)) == ([], [])
