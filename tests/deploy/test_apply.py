"""A release applied to a target, and what is there of it where that goes wrong."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from gatekeeper.deploy.access import session_name
from gatekeeper.deploy.apply import (
    Applied,
    ApplyFailed,
    Left,
    apply_downgrade,
    apply_upgrade,
)
from gatekeeper.deploy.model import StepFailed
from gatekeeper.postgres.databases import Database, create_database
from gatekeeper.postgres.installations import Installation
from gatekeeper.postgres.servers import Server, start_server
from gatekeeper.signals import ENDING, raise_interrupted
from tests.databases import execute
from tests.deploy.sites import BASE, Site, a_site
from tests.deploy.targets import an_ordinary_target, target_of
from tests.live import ALEMBIC_INI, ASYNC_ENV_PY, ENV_PY
from tests.servers import Place

pytestmark = [pytest.mark.postgres, pytest.mark.slow]

EACH = ENV_PY.replace("target_metadata=None", "transaction_per_migration=True")
TABLE = 'op.execute("CREATE TABLE orders (id integer)")'
FAILS = 'op.execute("DROP TABLE nowhere")'
SLEEPS = 'op.execute("SELECT pg_sleep(60)")'


def outside(*statements: str) -> str:
    """Return the body that runs statements outside of a transaction."""
    lines = (f'    op.execute("{statement}")' for statement in statements)
    return "\n".join(("with op.get_context().autocommit_block():", *lines))


def column(name: str) -> str:
    return f'op.execute("ALTER TABLE users ADD COLUMN {name} integer")'


OpenSite = Callable[..., Site]


@pytest.fixture
def site(server: Server, database: Database, tmp_path: Path) -> Iterator[OpenSite]:
    """A function that makes a target at a001 and a release to apply to it."""
    with contextlib.ExitStack() as stack:

        def make(
            upgrades: dict[str, str | tuple[str, str]], on: Database = database, **more: Any
        ) -> Site:
            execute(on, *BASE)
            target = target_of(on)
            return stack.enter_context(a_site(server, target, tmp_path, upgrades, **more))

        yield make


@pytest.fixture
def fallible(installations: dict[Place, Installation]) -> Iterator[Database]:
    """A database on a server of its own, which may fall over."""
    with start_server(next(iter(installations.values()))) as server:
        yield create_database(server)


def upgrade(
    site: Site, when: Callable[[dict[str, Any]], None] | None = None, **more: Any
) -> Applied:
    """Apply the release; `when` is called with each line for the journal."""

    def journal(line: Any) -> None:
        site.journal.append(dict(line))
        if when is not None:
            when(dict(line))

    before = site.read()
    return apply_upgrade(site.deployment, site.access, site.revisions, before, journal, **more)


def fail(site: Site, when: Callable[[dict[str, Any]], None] | None = None, **more: Any) -> Any:
    with pytest.raises(ApplyFailed) as raised:
        upgrade(site, when, **more)
    return raised.value


def at(sql: str, do: Callable[[], None]) -> Callable[[dict[str, Any]], None]:
    """Return what does something once, when a statement with that text begins."""
    done: list[bool] = []

    def when(line: dict[str, Any]) -> None:
        if line["state"] == "begun" and sql in line["sql"] and not done:
            done.append(True)
            do()

    return when


def meanwhile(sql: str, do: Callable[[], None]) -> Callable[[dict[str, Any]], None]:
    """Return what does something once, while a statement with that text runs."""
    return at(sql, threading.Thread(target=do).start)


def ask(database: Database, sql: str) -> list[tuple[Any, ...]]:
    with database.session() as connection, connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchall()


def columns_of_users(database: Database) -> list[str]:
    rows = ask(
        database,
        "SELECT attname FROM pg_attribute WHERE attrelid = 'users'::regclass AND attnum > 2",
    )
    return [name for (name,) in rows]


def working_sessions(site: Site, database: Database) -> list[tuple[Any, ...]]:
    name = session_name(site.deployment.target)
    return ask(database, f"SELECT pid FROM pg_stat_activity WHERE application_name = '{name}'")


# --- It goes well --------------------------------------------------------------------


def test_a_release_is_applied(site: OpenSite, database: Database) -> None:
    release = site(
        {"b002": column("age"), "b003": outside("CREATE INDEX CONCURRENTLY i ON users (id)")}
    )
    applied = upgrade(release)
    assert (applied.statements, applied.retries) == (2, 0)
    assert applied.lines[0].startswith("2 revisions, 2 statements, ")
    assert release.read().versions == {"b003"}
    assert columns_of_users(database) == ["age"]
    own = [line for line in release.journal if line["revision"] is not None]
    assert [(line["revision"], line["state"], line.get("in_transaction")) for line in own] == [
        ("b002", "begun", True),
        ("b002", "ended", True),
        ("b003", "begun", False),
        ("b003", "ended", False),
    ]
    assert own[0] == {
        "revision": "b002",
        "direction": "upgrade",
        "sql": "ALTER TABLE users ADD COLUMN age integer",
        "path": "migrations/versions/b002.py",
        "line": 12,
        "state": "begun",
        "in_transaction": True,
    }
    assert release.told == ["upgrade b002", "upgrade b003"]
    assert working_sessions(release, database) == []


def test_an_ordinary_role_applies_it(server: Server, fallible: Database, tmp_path: Path) -> None:
    """With a search path that finds something else first."""
    with an_ordinary_target(fallible) as target:
        with contextlib.closing(target.connect(fallible.name)) as connection:
            connection.cursor().execute("SET search_path = public")
            for statement in BASE:
                connection.cursor().execute(statement)
        env = ENV_PY.replace(
            "    context.configure",
            '    connection.exec_driver_sql("SET search_path = public")\n'
            "    connection.commit()\n    context.configure",
        )
        files = {"migrations/env.py": env}
        with a_site(server, target, tmp_path, {"b002": TABLE}, files) as release:
            upgrade(release)
            assert release.read().versions == {"b002"}
            assert target.password not in str(release.journal) + repr(release.access)


def test_it_is_taken_back(site: OpenSite, database: Database) -> None:
    down = 'op.execute("ALTER TABLE users DROP COLUMN {}")'
    release = site(
        {"b002": (column("age"), down.format("age")), "b003": (column("size"), down.format("size"))}
    )
    before = release.read()
    upgrade(release)
    applied = apply_downgrade(
        release.deployment, release.access, release.revisions, release.read(), lambda line: None
    )
    assert applied.statements == 2
    assert release.read() == before


def test_env_py_may_have_a_lock_timeout_of_its_own(site: OpenSite, database: Database) -> None:
    """It counts, and what it leads to is met the same way."""
    env = ENV_PY.replace(
        "        context.run",
        "        context.execute(\"SET lock_timeout = '50ms'\")\n        context.run",
    )
    release = site(
        {"b002": column("age")}, files={"migrations/env.py": env}, lock_timeout_seconds=60
    )
    with database.session(autocommit=False) as blocker:
        blocker.cursor().execute("SELECT count(*) FROM users")
        applied = _when_told(release, "no lock within", blocker.rollback)
    assert applied.retries == 1


def _when_told(release: Site, text: str, do: Callable[[], None]) -> Applied:
    """Apply a release and do something once it has told of something."""
    ended = threading.Event()

    def wait() -> None:
        while not ended.wait(0.02):
            if any(text in line for line in release.told):
                do()
                return

    waiting = threading.Thread(target=wait)
    waiting.start()
    try:
        return upgrade(release)
    finally:
        ended.set()
        waiting.join()


# --- What is in the way --------------------------------------------------------------


def test_a_blocker_goes_away(site: OpenSite, database: Database) -> None:
    release = site({"b002": column("age")}, lock_timeout_seconds=1)
    with database.session(autocommit=False) as blocker:
        blocker.cursor().execute("SELECT name FROM users WHERE name = 'user 1'")
        applied = _when_told(release, "no lock within", blocker.rollback)
    assert applied.retries == 1
    begun, _, who = applied.lines[1].partition("; in the way was process ")
    assert begun == "for want of a lock it was begun 2 times"
    assert who.endswith("s old: SELECT name FROM users WHERE name = ?")
    (told,) = [line for line in release.told if "no lock" in line]
    assert told.startswith("no lock within 1 s; in the way was process ")
    assert "s old: SELECT name FROM users WHERE name = ?; again in " in told
    assert release.read().versions == {"b002"}


def test_a_blocker_never_goes_away(site: OpenSite, database: Database) -> None:
    release = site({"b002": TABLE, "b003": column("age")}, lock_timeout_seconds=1, lock_attempts=2)
    before = release.read()
    with database.session(autocommit=False) as blocker:
        blocker.cursor().execute("SELECT FROM users")
        pid = blocker.info.backend_pid
        failed = fail(release)
        assert release.read() == before
    (named,) = failed.details["blockers"]
    assert named.startswith(f"process {pid} of ")
    assert named.endswith(" s old: SELECT FROM users")
    assert (failed.left, failed.details["attempts"], failed.signal) == (Left.UNCHANGED, 2, None)
    assert failed.what.startswith(
        "LockNotAvailable: canceling statement due to lock timeout, 2 times; in the way was process"
    )
    assert "The target is as before: it stands at `a001`" in failed.what
    assert failed.where == "migrations/versions/b003.py:12"
    assert "pg_terminate_backend" in failed.fix


def test_it_goes_on_from_a_revision_that_is_committed(site: OpenSite, database: Database) -> None:
    release = site(
        {"b002": TABLE, "b003": column("age")},
        files={"migrations/env.py": EACH},
        lock_timeout_seconds=1,
    )
    with database.session(autocommit=False) as blocker:
        blocker.cursor().execute("SELECT FROM users")
        applied = _when_told(release, "no lock within", blocker.rollback)
    assert (applied.retries, release.read().versions) == (1, {"b003"})
    begun = [line["sql"] for line in release.journal if line["state"] == "begun"]
    assert sum("CREATE TABLE orders" in sql for sql in begun) == 1


def test_an_index_that_is_half_made_is_not_tried_again(site: OpenSite, database: Database) -> None:
    """The second attempt would find a relation of that name."""
    index = outside("CREATE INDEX CONCURRENTLY IF NOT EXISTS ix ON users (name)")
    release = site({"b002": index}, lock_timeout_seconds=1, lock_attempts=3)
    with database.session(autocommit=False) as blocker:
        blocker.cursor().execute("UPDATE users SET name = 'x'")
        failed = fail(release)
    assert (failed.left, failed.details["attempts"]) == (Left.IN_PART, 1)
    assert failed.details["differences"] == ["index public.ix is left"]
    assert failed.details["in_doubt"] == [
        "`CREATE INDEX CONCURRENTLY IF NOT EXISTS ix ON users (name)`"
        " (migrations/versions/b002.py:13)"
    ]


# --- It fails ------------------------------------------------------------------------


def test_a_transaction_leaves_nothing(site: OpenSite, database: Database) -> None:
    release = site({"b002": TABLE, "b003": f"{column('age')}\n{FAILS}"})
    before = release.read()
    failed = fail(release)
    assert release.read() == before
    assert (failed.left, failed.is_unchanged, failed.signal) == (Left.UNCHANGED, True, None)
    assert failed.what == (
        'UndefinedTable: table "nowhere" does not exist. The target is as before: it stands at '
        "`a001`, its catalog is the same, and nothing of it was committed"
    )
    assert failed.where == "migrations/versions/b003.py:13"
    assert failed.details == {
        "left": "unchanged",
        "revisions": ["a001"],
        "differences": [],
        "committed": [],
        "in_doubt": [],
        "attempts": 1,
        "blockers": [],
    }
    assert not release.access.probe.has_ended


def test_more_statements_than_are_recorded(site: OpenSite) -> None:
    """Those beyond are not told one by one, and what becomes of them is known all the same."""
    many = f'for _ in range(10_050):\n    op.execute("UPDATE users SET name = NULL")\n{FAILS}'
    release = site({"b002": many})
    before = release.read()
    failed = fail(release)
    assert (failed.left, release.read()) == (Left.UNCHANGED, before)
    assert sum(line["revision"] is not None for line in release.journal) == 20_000


def test_values_of_rows_are_not_told(site: OpenSite, database: Database) -> None:
    """PostgreSQL names the key that is there twice."""
    release = site({"b002": "op.execute(\"INSERT INTO users VALUES (1, 'a person')\")"})
    failed = fail(release)
    assert failed.what.startswith("UniqueViolation: duplicate key value violates")
    assert "(1)" not in str(failed) + str(failed.details)


IN_PART = [
    pytest.param(
        {"b002": f"{TABLE}\n{outside('CREATE INDEX CONCURRENTLY ix ON users (name)')}\n{FAILS}"},
        {},
        "a001",
        [
            "`CREATE TABLE orders (id integer)` (migrations/versions/b002.py:12)",
            "`CREATE INDEX CONCURRENTLY ix ON users (name)` (migrations/versions/b002.py:14)",
        ],
        ["table public.orders is left", "index public.ix is left"],
        "of b002 this is committed: `CREATE TABLE orders (id integer)` "
        "(migrations/versions/b002.py:12); `CREATE INDEX",
        id="autocommit block",
    ),
    pytest.param(
        {"b002": outside("UPDATE users SET name = NULL", "DROP TABLE nowhere")},
        {},
        "a001",
        ["`UPDATE users SET name = NULL` (migrations/versions/b002.py:13)"],
        [],
        "of b002 this is committed: `UPDATE users SET name = NULL`",
        id="rows only",
    ),
    pytest.param(
        {"b002": TABLE, "b003": f"{column('age')}\n{FAILS}"},
        {"files": {"migrations/env.py": EACH}},
        "b002",
        ["`CREATE TABLE orders (id integer)` (migrations/versions/b002.py:12)"],
        ["table public.orders is left"],
        "The target stands at `b002`; since the deploy began it differs in: table public.orders",
        id="a transaction for each revision",
    ),
    pytest.param(
        {"b002": f'{column("age")}\nop.execute("COMMIT")\n{FAILS}'},
        {},
        "a001",
        ["`ALTER TABLE users ADD COLUMN age integer` (migrations/versions/b002.py:12)"],
        ["column public.users.age is left"],
        "of b002 this is committed: `ALTER TABLE users",
        id="a COMMIT by text",
    ),
    pytest.param(
        {"b002": outside("CREATE UNIQUE INDEX CONCURRENTLY ix ON users ((1))")},
        {},
        "a001",
        [],
        ["index public.ix is left"],
        "of b002 this may have been done, all of it or half: `CREATE UNIQUE INDEX CONCURRENTLY",
        id="an invalid index",
    ),
]


@pytest.mark.parametrize(
    ("upgrades", "more", "version", "committed", "differences", "told"), IN_PART
)
def test_what_is_there_in_part_is_named(
    upgrades: Any,
    more: Any,
    version: str,
    committed: list[str],
    differences: list[str],
    told: str,
    site: OpenSite,
) -> None:
    release = site(upgrades, **more)
    failed = fail(release)
    assert (failed.left, failed.details["revisions"]) == (Left.IN_PART, [version])
    assert failed.details["committed"] == committed
    assert failed.details["differences"] == differences
    assert told in failed.what
    assert failed.fix.startswith("Finish by hand what is there in part")
    assert release.read().versions == {version}


def test_an_env_py_that_fails_after_all_of_it(site: OpenSite) -> None:
    env = f"{ENV_PY}\nif context.config.attributes:\n    raise KeyError('mail')\n"
    body = f"{TABLE}\nop.get_context().config.attributes['is_real'] = True"
    release = site({"b002": body}, files={"migrations/env.py": env})
    failed = fail(release)
    assert (failed.left, failed.details["revisions"]) == (Left.APPLIED, ["b002"])
    assert failed.what == "KeyError: 'mail'. All of it is on the target, which stands at `b002`"


LEAKING = """\
from alembic import context
from sqlalchemy import create_engine

connection = create_engine("postgresql+psycopg2://nobody@192.0.2.1/shop").connect()
context.configure(connection=connection)
context.run_migrations()
__import__("builtins").__dict__.setdefault("kept", []).append(connection)
"""


def test_an_env_py_that_leaves_its_transaction_open(site: OpenSite) -> None:
    release = site({"b002": TABLE}, files={"migrations/env.py": LEAKING})
    before = release.read()
    failed = fail(release)
    assert release.read() == before
    assert failed.left is Left.UNCHANGED
    assert failed.what.startswith("env.py ends without an error and leaves a transaction open")
    assert failed.fix.startswith("Let env.py commit")


def test_somebody_else_changes_the_target(site: OpenSite, database: Database) -> None:
    release = site({"b002": TABLE})
    before = release.read()
    execute(database, "ALTER TABLE users ADD COLUMN by_hand integer")
    with pytest.raises(ApplyFailed) as raised:
        apply_upgrade(
            release.deployment, release.access, release.revisions, before, release.journal.append
        )
    assert raised.value.left is Left.UNCHANGED
    assert "column public.users.by_hand is left" in raised.value.what
    assert release.journal == []


def test_the_record_cannot_be_written(site: OpenSite) -> None:
    def full() -> None:
        raise OSError(28, "No space left on device")

    release = site({"b002": f"{TABLE}\n{column('age')}"})
    before = release.read()
    failed = fail(release, at("ALTER TABLE", full))
    assert (failed.left, release.read()) == (Left.UNCHANGED, before)
    assert failed.what.startswith("the record cannot be written: No space left on device.")


# --- It is cut off -------------------------------------------------------------------


def wait_for_sleep(site: Site, database: Database) -> int:
    """Return the port of the client whose session is in `pg_sleep`, once there is one."""
    name = session_name(site.deployment.target)
    query = (
        "SELECT client_port FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
        f" AND application_name = '{name}'"
    )
    deadline = time.monotonic() + 20
    while not (found := ask(database, query)):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    ((port,),) = found
    return int(port)


def end_session(site: Site, database: Database) -> None:
    port = wait_for_sleep(site, database)
    query = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE client_port = "
    ask(database, f"{query}{port}")


def backend(site: Site, database: Database) -> psutil.Process:
    """Return the process of the session that sleeps, which our own server has started.

    What PostgreSQL tells is its number in another namespace.
    """
    port = wait_for_sleep(site, database)
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):  # the server's come and go
            if f"{database.name} 127.0.0.1({port})" in " ".join(process.cmdline()):
                return process
    raise AssertionError("no process of our own servers has that title")


@pytest.mark.parametrize("body", [f"{TABLE}\n{SLEEPS}", outside("SELECT pg_sleep(60)")])
def test_the_connection_is_lost(body: str, site: OpenSite, database: Database) -> None:
    release = site({"b002": body})
    before = release.read()
    failed = fail(release, meanwhile("pg_sleep", lambda: end_session(release, database)))
    assert release.read() == before
    assert (failed.left, failed.signal) == (Left.UNCHANGED, None)
    assert "connection" in failed.what.partition(".")[0]


def test_the_server_falls_over_and_comes_up_again(site: OpenSite, fallible: Database) -> None:
    """It recovers when one of its processes is killed, and answers nobody meanwhile."""
    release = site({"b002": f"{TABLE}\n{SLEEPS}"}, fallible)
    before = release.read()
    failed = fail(release, meanwhile("pg_sleep", lambda: backend(release, fallible).kill()))
    assert (failed.left, release.read()) == (Left.UNCHANGED, before)


def test_the_server_falls_over_in_the_middle_of_rows(site: OpenSite, fallible: Database) -> None:
    """Outside of a transaction nobody tells whether the statement came to its end."""
    release = site({"b002": outside("UPDATE users SET name = pg_sleep(60)::text")}, fallible)
    failed = fail(release, meanwhile("pg_sleep", lambda: backend(release, fallible).kill()))
    assert failed.left is Left.IN_PART
    assert failed.details["in_doubt"] == [
        "`UPDATE users SET name = pg_sleep(?)::text` (migrations/versions/b002.py:13)"
    ]
    assert ask(fallible, "SELECT count(*) FROM users WHERE name IS NULL") == [(0,)]


def test_the_server_stays_away(site: OpenSite, fallible: Database) -> None:
    release = site({"b002": f"{TABLE}\n{SLEEPS}"}, fallible)

    def stop() -> None:
        postmaster = backend(release, fallible).parent()
        assert postmaster is not None
        assert postmaster.name() == "postgres"
        postmaster.send_signal(signal.SIGQUIT)

    failed = fail(release, meanwhile("pg_sleep", stop), patience_seconds=1)
    assert (failed.left, failed.details["revisions"]) == (Left.UNKNOWN, [])
    assert "What it left on the target is not known: PostgreSQL did not answer" in failed.what
    assert failed.fix.startswith("When it answers again")


def test_the_projects_process_dies(site: OpenSite, database: Database) -> None:
    release = site({"b002": f"{TABLE}\nimport os; os._exit(7)"})
    before = release.read()
    failed = fail(release)
    assert (failed.left, release.read()) == (Left.UNCHANGED, before)
    assert "while the upgrade of `b002` ran" in failed.what
    assert release.access.probe.has_ended


@pytest.fixture
def signals() -> Iterator[None]:
    """Let signals be answered as in a command, and afterwards as in a test."""
    before = {number: signal.getsignal(number) for number in ENDING}
    raise_interrupted()
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


STOPPED = [
    pytest.param(f"{TABLE}\n{SLEEPS}", Left.UNCHANGED, [], id="in a transaction"),
    pytest.param(
        outside("CREATE INDEX CONCURRENTLY ix ON users (name)", "SELECT pg_sleep(60)"),
        Left.IN_PART,
        [],
        id="after a commit",
    ),
    pytest.param(
        outside("UPDATE users SET name = pg_sleep(60)::text"),
        Left.IN_PART,
        ["`UPDATE users SET name = pg_sleep(?)::text` (migrations/versions/b002.py:13)"],
        id="outside of a transaction",
    ),
]


@pytest.mark.parametrize(("body", "left", "in_doubt"), STOPPED)
@pytest.mark.usefixtures("signals")
def test_a_signal_is_answered_with_what_it_leaves(
    body: str, left: Left, in_doubt: list[str], site: OpenSite, database: Database
) -> None:
    release = site({"b002": body})

    def stop() -> None:
        threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGTERM)).start()

    failed = fail(release, at("pg_sleep", stop))
    assert working_sessions(release, database) == []
    assert (failed.left, failed.details["in_doubt"]) == (left, in_doubt)
    assert failed.signal.what == "stopped by SIGTERM"
    assert failed.what.startswith("stopped by SIGTERM. The target ")
    assert release.access.probe.has_ended


@pytest.mark.usefixtures("signals")
def test_a_signal_in_a_pause(site: OpenSite, database: Database) -> None:
    release = site({"b002": column("age")}, lock_timeout_seconds=1)
    before = release.read()
    with database.session(autocommit=False) as blocker:
        blocker.cursor().execute("SELECT FROM users")
        with pytest.raises(ApplyFailed) as raised:
            _when_told(release, "no lock within", lambda: os.kill(os.getpid(), signal.SIGINT))
    assert raised.value.left is Left.UNCHANGED
    assert raised.value.signal is not None
    assert release.read() == before


# --- The way to it -------------------------------------------------------------------


def test_several_databases_are_refused(server: Server, database: Database, tmp_path: Path) -> None:
    execute(database, *BASE)
    target = target_of(database)
    env = ENV_PY.replace(
        "engine = engine_from_config",
        "from sqlalchemy import create_engine\n"
        "with create_engine('postgresql://x@192.0.2.2/books').connect() as connection:\n"
        "    context.configure(connection=connection, target_metadata=None)\n"
        "    with context.begin_transaction():\n"
        "        context.run_migrations()\n"
        "engine = engine_from_config",
    )
    with (
        pytest.raises(StepFailed, match=r"env.py migrates several databases \(books, shop\)"),
        a_site(server, target, tmp_path, {"b002": TABLE}, {"migrations/env.py": env}),
    ):
        pass


# --- Other drivers -------------------------------------------------------------------

DRIVERS = [
    pytest.param({"alembic.ini": ALEMBIC_INI.replace("psycopg2", "psycopg")}, id="psycopg"),
    pytest.param({"alembic.ini": ALEMBIC_INI.replace("psycopg2", "pg8000")}, id="pg8000"),
    pytest.param(
        {
            "alembic.ini": ALEMBIC_INI.replace("psycopg2", "asyncpg"),
            "migrations/env.py": ASYNC_ENV_PY,
        },
        id="asyncpg",
    ),
]
each_driver = pytest.mark.parametrize("files", DRIVERS)
# Alembic's `autocommit_block` has no effect with pg8000: it asks for the isolation level, which
# opens a transaction there.
each_that_can_autocommit = pytest.mark.parametrize("files", [DRIVERS[0], DRIVERS[2]])


@each_driver
def test_another_driver_waits_for_a_lock(
    files: dict[str, str], site: OpenSite, database: Database
) -> None:
    release = site({"b002": TABLE, "b003": column("age")}, files=files, lock_timeout_seconds=1)
    with database.session(autocommit=False) as blocker:
        blocker.cursor().execute("SELECT FROM users")
        applied = _when_told(release, "no lock within", blocker.rollback)
    assert (applied.statements, applied.retries, release.read().versions) == (4, 1, {"b003"})


@each_driver
def test_another_driver_loses_its_connection(
    files: dict[str, str], site: OpenSite, database: Database
) -> None:
    release = site({"b002": f"{TABLE}\n{SLEEPS}"}, files=files)
    before = release.read()
    failed = fail(release, meanwhile("pg_sleep", lambda: end_session(release, database)))
    assert (failed.left, release.read()) == (Left.UNCHANGED, before)


@each_that_can_autocommit
def test_another_driver_falls_in_the_middle_of_rows(
    files: dict[str, str], site: OpenSite, fallible: Database
) -> None:
    release = site(
        {"b002": outside("UPDATE users SET name = pg_sleep(60)::text")}, fallible, files=files
    )
    failed = fail(release, meanwhile("pg_sleep", lambda: backend(release, fallible).kill()))
    assert (failed.left, len(failed.details["in_doubt"])) == (Left.IN_PART, 1)


@each_that_can_autocommit
def test_another_driver_and_rows_that_are_committed(
    files: dict[str, str], site: OpenSite, database: Database
) -> None:
    release = site(
        {"b002": outside("UPDATE users SET name = NULL", "DROP TABLE nowhere")}, files=files
    )
    failed = fail(release)
    assert (failed.left, failed.details["in_doubt"]) == (Left.IN_PART, [])
    assert failed.details["committed"] == [
        "`UPDATE users SET name = NULL` (migrations/versions/b002.py:13)"
    ]
    assert "nowhere" in failed.what
    assert "{" not in failed.what
