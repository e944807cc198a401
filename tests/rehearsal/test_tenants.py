"""Projects whose env.py migrates the schema of each tenant."""

from __future__ import annotations

from pathlib import Path

import pytest

from gatekeeper.model import Report, Verdict
from gatekeeper.postgres.servers import Server
from tests.live import Files, a_table, check_repository, live_revision, make_change, rehearsal_of
from tests.situations import project_files, read_situation

pytestmark = [pytest.mark.postgres, pytest.mark.slow]

V = "migrations/versions"
ENV_PY = "migrations/env.py"
CLEAN = {f"{V}/b001.py": live_revision("b001", "a002", *a_table("notes"))}
POLICY = "version: 1\nproject: {bootstrap: tenants.sql}\n"
TENANTS = {
    ".gatekeeper.yml": POLICY,
    "tenants.sql": "CREATE SCHEMA tenant_north; CREATE SCHEMA tenant_south;",
}


def check(
    root: Path, server: Server, situation: str, change: Files, *replacements: tuple[str, str]
) -> Report:
    """Check a change on top of a project without its defect, with texts of env.py replaced."""
    files: dict[str, str | bytes | None] = {**project_files(read_situation(situation))}
    files.pop(f"{V}/a003_bills.py", None)
    env = files[ENV_PY]
    assert isinstance(env, bytes)
    for old, new in replacements:
        assert env.decode().count(old) == 1, old
        env = env.decode().replace(old, new).encode()
    make_change(root, {**TENANTS, **files, ENV_PY: env}, change)
    return check_repository(root, server)


@pytest.mark.parametrize(
    "replacement",
    [
        pytest.param(("", ""), id="schema translation and a version table in each schema"),
        pytest.param(
            (
                "            version_table_schema=tenant,\n",
                '            version_table_schema="public",\n'
                '            version_table=f"{tenant}_version",\n',
            ),
            id="version tables side by side",
        ),
    ],
)
def test_each_tenant_that_the_bootstrap_makes_is_migrated(
    replacement: tuple[str, str], tmp_path: Path, server: Server
) -> None:
    replacements = [replacement] if replacement[0] else []
    report = check(tmp_path, server, "tenants_none", CLEAN, *replacements)
    assert (report.findings, report.verdict) == ((), Verdict.PASS)
    (rehearsed,) = rehearsal_of(report).revisions
    assert [str(difference) for difference in rehearsed.changes or ()] == [
        "table tenant_north.notes is left",
        "table tenant_south.notes is left",
    ]
    assert len(rehearsed.upgrade.statements) == 2


def test_what_is_not_committed_for_one_tenant_is_no_pass(tmp_path: Path, server: Server) -> None:
    """The version table of the other one has moved."""
    forgets = (
        "        with context.begin_transaction():\n            context.run_migrations()",
        "        context.run_migrations()\n"
        '        if tenant == "tenant_north":\n            connection.commit()',
    )
    report = check(tmp_path, server, "tenants_none", CLEAN, forgets)
    assert report.verdict is Verdict.FAIL
    assert [(f.check, f.revision) for f in report.findings] == [("silently-not-applied", "b001")]


def test_tenants_at_the_same_time_are_told_to_come_one_by_one(
    tmp_path: Path, server: Server
) -> None:
    """Alembic has one context and one `op` for all threads."""
    slow = ("import threading\n", "import threading\nimport time\n")
    waits = (
        "        with context.begin_transaction():\n",
        "        context.get_context().on_version_apply_callbacks += (lambda **_: time.sleep(1),)\n"
        "        with context.begin_transaction():\n",
    )
    at_once = (
        "for tenant in tenants:\n"
        "    thread = threading.Thread(target=migrate, args=(tenant,))\n"
        "    thread.start()\n    thread.join()\n",
        "threads = [threading.Thread(target=migrate, args=(tenant,)) for tenant in tenants]\n"
        "for thread in threads:\n    thread.start()\n"
        "for thread in threads:\n    thread.join()\n",
    )
    report = check(tmp_path, server, "tenants_threaded", CLEAN, slow, waits, at_once)
    assert report.verdict is Verdict.UNDETERMINED
    assert report.undetermined == (
        "migrations/env.py: env.py runs migrations in several threads at the same time, and "
        "Alembic has one `context` and one `op` for all of them. Let one end before the next "
        "begins: `thread.join()`, or `ThreadPoolExecutor(max_workers=1)`"
    )


def test_what_ends_a_thread_is_why_nothing_ran(tmp_path: Path, server: Server) -> None:
    broken = ('text(f"SET search_path TO {tenant}")', 'text(f"SET search_pat TO {tenant}")')
    report = check(tmp_path, server, "tenants_threaded", CLEAN, broken)
    assert report.verdict is Verdict.UNDETERMINED
    assert report.undetermined is not None
    assert report.undetermined.startswith(
        "migrations/env.py:11: env.py could not be run: UndefinedObject: unrecognized "
        'configuration parameter "search_pat"'
    )
