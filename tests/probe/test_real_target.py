"""A real database as the probe's target: known by its identity, and told of at once."""

from __future__ import annotations

import contextlib
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gatekeeper.errors import ProbeError
from gatekeeper.model import Direction
from gatekeeper.postgres.servers import Server
from gatekeeper.probe.inside.redirection import IDENTITY_QUERY
from gatekeeper.probe.model import Begun, Fate, ProbeStatement, RequestedStep, Target
from gatekeeper.probe.runner import open_probe
from tests.live import ALEMBIC_INI, ASYNC_ENV_PY, ENV_PY, live_project, live_revision
from tests.probe.conftest import ProbeServer

pytestmark = [pytest.mark.postgres, pytest.mark.slow]

SETTINGS = {"application_name": "it's_a_deploy", "lock_timeout": "3s"}
ASKED = (
    "SELECT pg_catalog.current_setting('application_name'),"
    " pg_catalog.current_setting('lock_timeout'), pg_catalog.current_database()"
)


def up(*revisions: str) -> list[RequestedStep]:
    return [RequestedStep(revision, Direction.UPGRADE) for revision in revisions]


@pytest.fixture
def real(server: Server) -> Target:
    """A database that bears no marker."""
    name = server.next_database_name()
    server.administer(f"CREATE DATABASE {name}")
    with contextlib.closing(server.connect(name)) as connection, connection.cursor() as cursor:
        cursor.execute(IDENTITY_QUERY)
        (identity,) = cursor.fetchone()
    return Target(
        host=server.host,
        port=server.port,
        user=server.user,
        password=server.password,
        database=name,
        marker=None,
        sslmode=server.parameters.get("sslmode"),
        identity=identity,
        settings=SETTINGS,
    )


@pytest.fixture
def project(launch, tmp_path: Path) -> Callable[..., object]:
    """A function that returns the launch of a project with these files beside the usual ones."""

    def make(files: dict[str, str]) -> object:
        launched = launch("sync_ini")
        for name in ("a001_users", "a002_email", "a003_index"):
            (launched.checkout / f"migrations/versions/{name}.py").unlink()
        for name, text in {**live_project(ENV_PY, ALEMBIC_INI), **files}.items():
            (launched.checkout / name).write_text(str(text))
        return launched

    return make


@pytest.mark.parametrize("situation", ["sync_ini", "psycopg3", "async_env", "async_kept", "pg8000"])
def test_runs_on_what_shows_the_identity(situation, launch, probe_server, real):
    revisions = ("a001", "a002", "a003")
    with open_probe(launch(situation), probe_server.new_target) as probe:
        before = probe.heads(real)
        ran = probe.run(real, up(*revisions), ASKED)
        after, drift = probe.heads(real), probe.drift(real)
        ephemeral = probe.run(probe_server.new_target(), up("a001"), ASKED)
        probe_server.wait_for_end_of_backends(real.database)
    assert (before, ran.error, after) == (frozenset(), None, {"a003"})
    assert [s.error for s in ran.steps] == [None] * 3
    assert ran.steps[0].statements[0].observed == (("it's_a_deploy", "3s", real.database),)
    assert drift.others == ()
    assert probe_server.execute(real.database, "SELECT version_num FROM alembic_version") == [
        ("a003",)
    ]
    (observed,) = ephemeral.steps[0].statements[0].observed
    assert observed[1:] != ("3s", real.database)


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"identity": "7000000000000000000/16384"}, id="another database"),
        pytest.param({"identity": None, "marker": "m"}, id="no marker"),
    ],
)
def test_a_database_that_does_not_show_it_is_refused(changed, launch, probe_server, real):
    with open_probe(launch("sync_ini"), probe_server.new_target) as probe:
        ran = probe.run(replace(real, **changed), up("a001"))
    assert "led to a database that is not the" in ran.error.message
    assert probe_server.execute(real.database, "SELECT to_regclass('users')") == [(None,)]


def test_an_ephemeral_database_needs_its_marker(launch, probe_server, real):
    """Its identity is not enough: that of a real one is all that is asked for."""
    with open_probe(launch("sync_ini"), probe_server.new_target) as probe:
        ephemeral = probe_server.new_target()
        ran = probe.run(replace(ephemeral, marker="another"), up("a001"))
        with pytest.raises(ValueError, match="ephemeral databases alone"):
            probe.stamp(real, ["a001"])
        with pytest.raises(ValueError, match="ephemeral databases alone"):
            probe.create_all(real, ["a001"])
    assert "not the ephemeral one" in ran.error.message


def test_the_environment_never_starts_on_it(launch, real):
    with (
        pytest.raises(ValueError, match="ephemeral databases alone"),
        open_probe(launch("sync_ini"), lambda: real),
    ):
        pass


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"marker": None, "identity": None}, id="neither"),
        pytest.param({"marker": "", "identity": None}, id="an empty one"),
        pytest.param({"marker": "m", "identity": "1/2"}, id="both"),
        pytest.param(
            {
                "marker": None,
                "identity": "1/2",
                "others": (Target("h", 1, "u", "p", "d", None, identity="1/3"),),
            },
            id="several",
        ),
    ],
)
def test_a_target_has_one_proof(fields):
    with pytest.raises(ValueError, match="a marker or else its identity"):
        Target("h", 1, "u", "p", "d", **fields)


LISTENING = ENV_PY.replace(
    "with engine",
    """\
from sqlalchemy import event

@event.listens_for(engine, "connect")
def name_it(connection, record):
    cursor = connection.cursor()
    cursor.execute("SET application_name = 'shop'; SET lock_timeout = 0")
    connection.commit()

with engine""",
)


def test_an_application_that_names_its_sessions(project, probe_server, real):
    """By their name they are found, and ended where a run is broken off."""
    launched = project(
        {
            "migrations/env.py": LISTENING,
            "migrations/versions/a001.py": live_revision("a001", None, 'op.execute("SELECT 1")'),
        }
    )
    with open_probe(launched, probe_server.new_target) as probe:
        ran = probe.run(real, up("a001"), ASKED)
    assert ran.steps[0].statements[0].observed == (("it's_a_deploy", "3s", real.database),)


KEPT = """\
import builtins
from alembic import context
from sqlalchemy import create_engine

engine = builtins.__dict__.setdefault("kept", create_engine("postgresql://nobody@192.0.2.1/shop"))
connection = builtins.__dict__.setdefault("connection", engine.connect())
context.configure(connection=connection)
with context.begin_transaction():
    context.run_migrations()
"""


def test_a_connection_that_is_kept_is_not_taken_for_the_target(project, probe_server, real):
    """The application holds one that was made when it started, and never used."""
    launched = project(
        {
            "migrations/env.py": KEPT,
            "migrations/versions/a001.py": live_revision("a001", None, 'op.execute("SELECT 1")'),
        }
    )
    with open_probe(launched, probe_server.new_target) as probe:
        ran = probe.run(real, up("a001"))
    assert ran.error is not None
    assert not ran.steps[0].completed
    assert probe_server.execute(real.database, "SELECT to_regclass('alembic_version')") == [(None,)]


def test_its_password_is_not_given_to_the_project(project, probe_server, real):
    """Nor does a failure tell it: what is printed last is shown."""
    env = ENV_PY.replace(
        "with engine",
        "import os, sys\n"
        "url = engine.url.render_as_string(hide_password=False)\n"
        "print(url, context.config.get_main_option('sqlalchemy.url'), file=sys.stderr)\n"
        "if engine.url.database != 'shop':\n    os._exit(3)\n"
        "with engine",
    )
    ini = ALEMBIC_INI.replace("sqlalchemy.url = postgresql+psycopg2://nobody:secret@", "url = ")
    revision = live_revision("a001", None, "import os; os._exit(3)")
    launched = project(
        {
            "migrations/env.py": env,
            "alembic.ini": ini,
            "migrations/versions/a001.py": revision,
        }
    )
    with (
        pytest.raises(ProbeError) as raised,
        open_probe(launched, probe_server.new_target) as probe,
    ):
        probe.run(real, up("a001"))
    assert real.password not in str(raised.value)


SLEEPS = """\
op.execute("CREATE TABLE a (id int)")
op.execute("SELECT pg_advisory_xact_lock(4711)")
with op.get_context().autocommit_block():
    op.execute("CREATE INDEX CONCURRENTLY ix ON a (id)")
op.execute("DROP TABLE nowhere")
"""
NONE = (None, ((None,),))
XID = "SELECT pg_catalog.pg_current_xact_id_if_assigned()::text"


@pytest.mark.parametrize("driver", ["psycopg2", "psycopg"])
def test_statements_are_told_when_they_happen(driver, project, probe_server, real):
    """The second one waits for what is done once the first has been told."""
    ini = ALEMBIC_INI.replace("psycopg2", driver)
    launched = project(
        {"migrations/versions/a001.py": live_revision("a001", None, SLEEPS), "alembic.ini": ini}
    )
    told: list[tuple[str | None, Begun | ProbeStatement]] = []
    with contextlib.ExitStack() as lock:
        lock.enter_context(probe_server.holding(real.database, "SELECT pg_advisory_lock(4711)"))

        def tell(step: RequestedStep | None, what: Begun | ProbeStatement) -> None:
            told.append((None if step is None else step.revision, what))
            if isinstance(what, Begun) and "pg_advisory" in what.sql:
                lock.close()

        with open_probe(launched, probe_server.new_target) as probe:
            ran = probe.run(real, up("a001"), XID, told=tell)
            has_ended = probe.has_ended
    assert (ran.steps[0].error.sqlstate, has_ended) == ("42P01", False)
    own = [what for revision, what in told if revision == "a001"]
    assert [(type(w), w.sql.split()[0]) for w in own] == [
        (kind, verb)
        for verb in ("CREATE", "SELECT", "CREATE", "DROP")
        for kind in (Begun, ProbeStatement)
    ]
    begun = [w for w in own if isinstance(w, Begun)]
    assert [w.in_transaction for w in begun] == [True, True, False, True]
    assert [w.line for w in begun] == [12, 13, 15, 16]
    ended = [w for w in own if isinstance(w, ProbeStatement)]
    assert [w.fate for w in ended] == [None, None, Fate.COMMITTED, None]
    assert [s.fate for s in ran.steps[0].statements] == [
        Fate.COMMITTED,
        Fate.COMMITTED,
        Fate.COMMITTED,
        Fate.ROLLED_BACK,
    ]
    # The first transaction was known when Alembic had made its table; then there is none.
    known = [w for _, w in told if isinstance(w, ProbeStatement) and w.observed not in NONE]
    assert [w.sql.split()[:2] for w in known] == [["CREATE", "TABLE"]]
    assert known[0].transaction == ended[0].transaction
    assert [w.observed for w in ended] == [None, None, None, None]


COMMITS = """\
op.execute("CREATE TABLE a (n int)")
op.execute("INSERT INTO a VALUES (1)")
with op.get_context().autocommit_block():
    op.execute("INSERT INTO a VALUES (2)")
op.execute("INSERT INTO a VALUES (3)")
op.execute("COMMIT")
op.execute("INSERT INTO a VALUES (4)")
"""
AT_ONCE = 'op.execute("INSERT INTO a VALUES (5); COMMIT")\nop.execute("INSERT INTO a VALUES (6)")'


@pytest.mark.parametrize(
    ("driver", "body", "rows"),
    [
        ("psycopg2", COMMITS + AT_ONCE, {1, 2, 3, 4, 5, 6}),
        ("psycopg", COMMITS, {1, 2, 3, 4}),
        ("pg8000", COMMITS, {1, 2, 3, 4}),
        ("asyncpg", COMMITS, {1, 2, 3, 4}),
    ],
)
def test_nothing_is_committed_before_it_was_heard_of(
    driver, body, rows, project, probe_server, real
):
    """Whoever writes it down may take as long as that takes."""
    files = {"migrations/versions/a001.py": live_revision("a001", None, body)}
    files["alembic.ini"] = ALEMBIC_INI.replace("psycopg2", driver)
    if driver == "asyncpg":
        files["migrations/env.py"] = ASYNC_ENV_PY
    launched = project(files)
    heard: set[int] = set()

    def committed() -> set[int]:
        there = "SELECT to_regclass('a') IS NOT NULL"
        if probe_server.execute(real.database, there) == [(False,)]:
            return set()
        return {n for (n,) in probe_server.execute(real.database, "SELECT n FROM a")}

    def tell(step: RequestedStep | None, what: Begun | ProbeStatement) -> None:
        time.sleep(0.1)
        assert committed() <= heard
        inserted = re.match(r"INSERT INTO a VALUES \((\d)\)", what.sql)
        if inserted and (isinstance(what, ProbeStatement) or not what.in_transaction):
            heard.add(int(inserted[1]))

    with open_probe(launched, probe_server.new_target) as probe:
        ran = probe.run(real, up("a001"), XID, told=tell)
        assert ran.steps[0].completed
    assert committed() == heard == rows


def test_what_a_long_step_commits_is_heard_of(project, probe_server, real):
    """Statements of which there are too many are not told, but what they write is."""
    body = """
for _ in range(10_010):
    op.execute("SELECT 1")
op.execute("CREATE TABLE a (n int)")
with op.get_context().autocommit_block():
    op.execute("INSERT INTO a VALUES (1)")
op.execute("INSERT INTO a VALUES (2)")
op.execute("INSERT INTO a VALUES (3)")
"""
    launched = project({"migrations/versions/a001.py": live_revision("a001", None, body)})
    told: list[ProbeStatement] = []

    def tell(step: RequestedStep | None, what: Begun | ProbeStatement) -> None:
        if step is not None and isinstance(what, ProbeStatement):
            told.append(what)

    with open_probe(launched, probe_server.new_target) as probe:
        ran = probe.run(real, up("a001"), XID, told=tell)
    assert ran.steps[0].completed
    assert [(what.sql, what.transaction is None) for what in told[10_000:]] == [
        ("INSERT INTO a VALUES (1)", True),
        ("INSERT INTO a VALUES (2)", False),
    ]
    assert told[-1].observed not in NONE


def test_a_run_that_breaks_off_ends_the_process(project, probe_server, real):
    """What it had said until then is heard all the same."""
    launched = project(
        {"migrations/versions/a001.py": live_revision("a001", None, 'op.execute("SELECT 1")\n' * 9)}
    )
    told: list[str] = []

    def tell(step: RequestedStep | None, what: Begun | ProbeStatement) -> None:
        told.append(what.sql)
        if len(told) == 3:
            raise ProbeError("enough")

    with open_probe(launched, probe_server.new_target) as probe:
        with pytest.raises(ProbeError, match="enough"):
            probe.run(real, up("a001"), told=tell)
        assert probe.has_ended
        probe_server.wait_for_end_of_backends(real.database)
    assert len(told) >= 3


def test_a_run_may_take_as_long_as_it_needs(project, probe_server, real):
    """What ends others in time does not end an upgrade of many rows."""
    body = 'op.execute("SELECT pg_sleep(7)")'
    launched = project({"migrations/versions/a001.py": live_revision("a001", None, body)})
    with open_probe(replace(launched, timeout_seconds=6.0), probe_server.new_target) as probe:
        ran = probe.run(real, up("a001"), has_limit=False)
        assert ran.steps[0].completed
        with pytest.raises(ProbeError, match="did not answer within 6 seconds"):
            probe.run(probe_server.new_target(), up("a001"))


# --- Encryption ------------------------------------------------------------------------


def _openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


@pytest.fixture
def certificates(server: Server, tmp_path: Path) -> Iterator[tuple[str, str]]:
    """Let the server encrypt; the certificate that it is to be known by, and a stranger's."""
    if server.cluster is None:
        pytest.skip("this combination lacks a server of our own")
    configured = server.administer("SELECT setting FROM pg_config WHERE name = 'CONFIGURE'")
    if "--with-openssl" not in str(configured) and "--with-ssl" not in str(configured):
        pytest.skip("no PostgreSQL that was built with OpenSSL is installed")
    for name in ("server", "stranger"):
        _openssl(
            *("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", str(tmp_path / f"{name}.key"), "-out", str(tmp_path / f"{name}.crt")),
        )
    (data,) = (Path(path) for ((path,),) in [server.administer("SHOW data_directory")])
    for kind in ("key", "crt"):
        file = data / f"server.{kind}"
        file.write_bytes((tmp_path / f"server.{kind}").read_bytes())
        file.chmod(0o600)
        if server.account is not None:
            subprocess.run(["chown", server.account.name, str(file)], check=True)
    server.administer("ALTER SYSTEM SET ssl = on")
    server.administer("SELECT pg_reload_conf()")
    yield tuple((tmp_path / f"{name}.crt").read_text() for name in ("server", "stranger"))
    server.administer("ALTER SYSTEM RESET ssl")
    server.administer("SELECT pg_reload_conf()")


ENCRYPTED = "SELECT ssl::text FROM pg_stat_ssl WHERE pid = pg_backend_pid()"


@pytest.mark.parametrize("situation", ["sync_ini", "psycopg3", "async_env", "pg8000"])
def test_a_connection_is_encrypted_as_the_target_says(
    situation, launch, probe_server: ProbeServer, real, certificates
):
    own, stranger = certificates
    with open_probe(launch(situation), probe_server.new_target) as probe:

        def run(sslmode: str, **tls: str) -> object:
            target = replace(real, sslmode=sslmode, tls=tls)
            ran = probe.run(target, up("a001"), ENCRYPTED)
            if ran.error is not None:
                assert "certificate" in ran.error.message.lower()
                return "refused"
            return ran.steps[0].statements[0].observed if ran.steps[0].started else "there"

        refused = [run("verify-full", sslrootcert=stranger), run("require", sslrootcert=stranger)]
        assert refused == ["refused", "refused"]
        assert run("verify-full", sslrootcert=own) == (("true",),)
        assert run("require") == "there"
