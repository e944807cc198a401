"""The probe on small real projects and a real PostgreSQL."""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from gatekeeper.errors import ProbeError
from gatekeeper.model import Direction, StepError
from gatekeeper.probe.model import Fate, Interpreter, Origin, ProbeStep, RequestedStep, VersionTable
from gatekeeper.probe.runner import open_probe
from tests.probe.conftest import PYTHON

pytestmark = [pytest.mark.postgres, pytest.mark.slow]


def up(*revisions: str) -> list[RequestedStep]:
    return [RequestedStep(revision, Direction.UPGRADE) for revision in revisions]


def down(*revisions: str) -> list[RequestedStep]:
    return [RequestedStep(revision, Direction.DOWNGRADE) for revision in revisions]


def outline(step: ProbeStep) -> list[tuple[str, str | None, int | None, int | None, Fate | None]]:
    return [
        (" ".join(s.sql.split())[:30], s.path, s.line, s.end_line, s.fate) for s in step.statements
    ]


VERSIONS = "migrations/versions/"

HISTORIES = [
    pytest.param("sync_ini", {}, id="sync_ini"),
    pytest.param("async_env", {}, id="async_env"),
    pytest.param("async_kept", {}, id="async_kept"),
    pytest.param("psycopg3", {}, id="psycopg3"),
    pytest.param("url_from_environment", {}, id="url_from_environment"),
    pytest.param("url_hard_coded", {}, id="url_hard_coded"),
    pytest.param(
        "settings_in_code",
        {
            "config": None,
            "script_location": "store/migrations",
            "version_locations": ("store/migrations/versions",),
        },
        id="settings_in_code",
    ),
    pytest.param(
        "flask_migrate",
        {"config": "migrations/alembic.ini", "flask_migrate": True},
        id="flask_migrate",
    ),
    pytest.param(
        "flask_factory_fails",
        {"config": "migrations/alembic.ini", "flask_migrate": True},
        id="flask_factory_fails",
    ),
    pytest.param("sqlite_default", {}, id="sqlite_default"),
    pytest.param(
        "pyproject_toml",
        {
            "config": "pyproject.toml",
            "script_location": "db",
            "version_locations": ("db/versions",),
        },
        id="pyproject_toml",
    ),
]


@pytest.mark.parametrize(("situation", "fields"), HISTORIES)
def test_runs_whole_history_up_and_down(situation, fields, launch, probe_server):
    launched = launch(situation, **fields)
    versions = launched.project.version_locations[0] + "/"
    with open_probe(launched, probe_server.new_target) as probe:
        first, second = probe_server.new_target(), probe_server.new_target()
        there = probe.run(first, up("a001", "a002", "a003"))
        back = probe.run(first, down("a003", "a002"))
        other = probe.run(second, up("a001"))
        probe.stamp(second, ["a003"])
        facts = probe.facts
        probe_server.wait_for_end_of_backends(first.database)
    assert [r.error for r in (there, back, other)] == [None, None, None]
    assert [s.completed for r in (there, back, other) for s in r.steps] == [True] * 6
    assert outline(there.steps[1]) == [
        (
            "ALTER TABLE users ADD COLUMN e",
            versions + "a002_email.py",
            11,
            11,
            Fate.COMMITTED,
        ),
        (
            ("UPDATE users SET email = " + there.steps[1].statements[1].sql.split("= ")[1])[:30],
            versions + "a002_email.py",
            12,
            14,
            Fate.COMMITTED,
        ),
    ]
    assert "nobody" in str(there.steps[1].statements[1].parameters)
    assert there.steps[1].statements[1].rows == 0
    assert [s.statements[0].sql.split()[0] for s in back.steps] == ["DROP", "ALTER"]
    table = facts.version_table
    assert probe_server.execute(first.database, f"SELECT * FROM {table}") == [("a001",)]
    assert probe_server.execute(second.database, f"SELECT * FROM {table}") == [("a003",)]
    assert (facts.dialect, facts.fn_calls) == ("postgresql", 1)


def test_statements_that_nobody_reads_go_without_their_particulars(launch, probe_server):
    with open_probe(launch("failing"), probe_server.new_target) as probe:
        told, untold = (
            probe.run(probe_server.new_target(), up("a001", "a002"), is_told=is_told)
            for is_told in (True, False)
        )
    assert [s.error for s in untold.steps] == [s.error for s in told.steps]
    assert untold.steps[1].error.path.startswith("migrations/versions/a002")
    each = zip(told.steps, untold.steps, strict=True)
    pairs = [pair for t, u in each for pair in zip(t.statements, u.statements, strict=True)]
    assert pairs
    for full, bare in pairs:
        nothing = {"path": None, "line": None, "end_line": None, "parameters": None}
        assert replace(full, **nothing, seconds=0.0) == replace(bare, seconds=0.0)


@pytest.mark.parametrize(
    ("situation", "fields", "variables", "note"),
    [
        ("sync_ini", {}, (), "connections to postgresql db.example.com:6432/shop were redirected"),
        (
            "url_from_environment",
            {},
            ("DATABASE_URL",),
            "DATABASE_URL was unset; set to the ephemeral database",
        ),
        (
            "settings_in_code",
            {
                "config": None,
                "script_location": "store/migrations",
                "version_locations": ("store/migrations/versions",),
            },
            (
                "STORE_DB_HOST",
                "STORE_DB_PORT",
                "STORE_DB_USER",
                "STORE_DB_NAME",
            ),
            "STORE_DB_PORT was unset; set to the ephemeral database's port",
        ),
        (
            "secret_from_environment",
            {},
            ("DATABASE_URL", "PAYMENT_SECRET"),
            "PAYMENT_SECRET was unset; set to the made-up `Dummy0…`",
        ),
        (
            "sqlite_default",
            {},
            ("SHOP_DATABASE_URL",),
            "SHOP_DATABASE_URL was unset; set to the ephemeral database",
        ),
        (
            "flask_factory_fails",
            {"config": "migrations/alembic.ini", "flask_migrate": True},
            (),
            "the application's own Flask object could not be made; a bare one took its place",
        ),
        (
            "flask_migrate",
            {"config": "migrations/alembic.ini", "flask_migrate": True},
            ("SHOP_DB_URL",),
            "the application's own call of alembic.command.upgrade was ignored",
        ),
    ],
)
def test_says_how_the_project_was_run(situation, fields, variables, note, launch, probe_server):
    with open_probe(launch(situation, **fields), probe_server.new_target) as probe:
        assert sorted(dict(probe.attempt.variables)) == sorted(variables)
        assert note in probe.facts.notes


def test_says_that_another_driver_took_the_place_of_the_named_one(launch, probe_server):
    launched = launch("sync_ini")
    ini = launched.checkout / "alembic.ini"
    ini.write_text(ini.read_text().replace("postgresql:", "postgresql+psycopg2cffi:"))
    with open_probe(launched, probe_server.new_target) as probe:
        driver, notes = probe.facts.driver, probe.facts.notes
    named = "psycopg2cffi, the driver that the project names, is not installed"
    assert [note for note in notes if "driver" in note] == [f"{named}: {driver} was taken"]


def test_rows_inserted_in_bulk_are_one_statement(launch, probe_server):
    with open_probe(launch("bulk_insert"), probe_server.new_target) as probe:
        step = probe.run(probe_server.new_target(), up("a001")).steps[0]
    assert (step.error, step.completed) == (None, True)
    inserted = step.statements[1]
    assert (inserted.sql.split()[:3], inserted.line) == (["INSERT", "INTO", "states"], 12)
    assert "'open'" in str(inserted.parameters)


def test_facts_of_a_plain_project(launch, probe_server):
    with open_probe(launch("sync_ini"), probe_server.new_target) as probe:
        facts = probe.facts
    assert (facts.version_table, facts.version_table_schema) == ("alembic_version", None)
    assert facts.origins == (Origin("postgresql", "db.example.com", "6432", "shop"),)
    assert facts.has_target_metadata
    assert not facts.transaction_per_migration
    assert facts.transactional_ddl
    assert facts.other_dialects == ()


def test_settings_of_the_policy_win_and_are_not_guessed(launch, probe_server):
    launched = launch(
        "url_from_environment", environment={"DATABASE_URL": "postgresql://a:b@db.example.com/c"}
    )
    with open_probe(launched, probe_server.new_target) as probe:
        assert probe.attempt.variables == ()
        assert [o.host for o in probe.facts.origins] == ["db.example.com"]


def test_observation_is_asked_inside_the_transaction(launch, probe_server):
    query = "SELECT 'a %s', NULL::text UNION ALL SELECT count(*)::text, 'users' FROM pg_locks"
    with open_probe(launch("sync_ini"), probe_server.new_target) as probe:
        run = probe.run(probe_server.new_target(), up("a001"), query)
        silent = probe.run(probe_server.new_target(), up("a001"))
    (statement,) = run.steps[0].statements
    assert statement.observed is not None
    assert statement.observed[0] == ("a %s", None)
    assert statement.observed[1][1] == "users"
    assert silent.steps[0].statements[0].observed is None


def test_transactions_ended_by_text_and_autocommit(launch, probe_server):
    target = probe_server.new_target()
    with open_probe(launch("bind_commit"), probe_server.new_target) as probe:
        run = probe.run(target, up("a001", "a002"), "SELECT 'seen'")
    assert run.error is None
    assert run.steps[1].error is None
    # psycopg2 does not notice a COMMIT by text and begins no transaction after it: `b` is
    # committed at once, and the ROLLBACK has nothing to take back.
    assert [(s.sql[-12:], s.fate, s.observed is None) for s in run.steps[1].statements] == [
        ("COLUMN a int", Fate.COMMITTED, False),
        ("COMMIT", Fate.COMMITTED, True),
        ("COLUMN b int", Fate.COMMITTED, True),
        ("ROLLBACK", Fate.COMMITTED, True),
        ("ON users (a)", Fate.COMMITTED, True),
        ("COLUMN c int", Fate.COMMITTED, False),
    ]
    transactions = [s.transaction for s in run.steps[1].statements]
    assert transactions[0] == transactions[1] == run.steps[0].statements[0].transaction
    assert transactions[2:5] == [None, None, None]
    assert transactions[5] not in (None, transactions[0])
    columns = "SELECT attname FROM pg_attribute WHERE attrelid = 'users'::regclass AND attnum > 2"
    assert probe_server.execute(target.database, columns) == [("a",), ("b",), ("c",)]


def test_transaction_left_open_is_told_and_ended(launch, probe_server):
    target = probe_server.new_target()
    with open_probe(launch("left_open"), probe_server.new_target) as probe:
        run = probe.run(target, up("a001"))
        probe_server.wait_for_end_of_backends(target.database)
    assert run.steps[0].completed
    assert [s.fate for s in run.steps[0].statements] == [Fate.OPEN]
    assert probe_server.execute(target.database, "SELECT to_regclass('users')") == [(None,)]


FAILURES = [
    pytest.param(
        up("a001", "a002"),
        StepError(
            type="DuplicateColumn",
            message='column "email" of relation "users" already exists',
            sqlstate="42701",
            sql="ALTER TABLE users ADD COLUMN email TEXT",
            path=VERSIONS + "a002_helper.py",
            line=11,
        ),
        id="database error in a helper of the file",
    ),
    pytest.param(
        up("a001", "a003"),
        StepError("KeyError", "'colour'", None, None, VERSIONS + "a003_python.py", 9),
        id="error of Python's",
    ),
    pytest.param(
        up("a001", "a004"),
        StepError(
            type="UndefinedTable",
            message='relation "nowhere" does not exist\nLINE 1: SELECT * FROM nowhere\n'
            "                      ^",
            sqlstate="42P01",
            sql="SELECT * FROM nowhere",
            path=VERSIONS + "a004_hidden.py",
            line=11,
        ),
        id="the error that aborted the transaction",
    ),
    pytest.param(
        up("a001", "a007"),
        StepError(
            type="UndefinedTable",
            message='relation "nowhere" does not exist\nLINE 1: SELECT * FROM nowhere\n'
            "                      ^",
            sqlstate="42P01",
            sql="SELECT * FROM nowhere",
            path=VERSIONS + "a007_swallowed.py",
            line=11,
        ),
        id="the error that aborted the transaction, seen by Alembic",
    ),
    pytest.param(
        up("a001", "a005"),
        StepError(
            "DivisionByZero",
            "division by zero",
            "22012",
            "SELECT 1/0",
            VERSIONS + "a005_savepoint.py",
            16,
        ),
        id="not the error that a savepoint took back",
    ),
]


@pytest.mark.parametrize(("steps", "error"), FAILURES)
def test_first_error_that_counts_with_its_line(steps, error, launch, probe_server):
    with open_probe(launch("failing"), probe_server.new_target) as probe:
        run = probe.run(probe_server.new_target(), steps)
        again = probe.run(probe_server.new_target(), up("a001"))
    assert run.steps[0].completed
    assert run.steps[0].error is None
    assert run.steps[1].started
    assert not run.steps[1].completed
    assert run.steps[1].error == error
    assert run.error is None
    fates = {s.fate for step in run.steps for s in step.statements}
    assert fates == {Fate.ROLLED_BACK}
    assert again.steps[0].completed


@pytest.mark.parametrize(
    ("revision", "error"),
    [
        (
            "a002",
            StepError(
                "MissingFunction",
                "revision a002 has no downgrade function",
                None,
                None,
                VERSIONS + "a002_helper.py",
                None,
            ),
        ),
        (
            "a004",
            StepError("RuntimeError", "not this way", None, None, VERSIONS + "a004_hidden.py", 18),
        ),
        ("a006", StepError("SystemExit", "3", None, None, VERSIONS + "a006_deferred.py", 18)),
        (
            "a005",
            StepError(
                "UndefinedTable",
                'relation "raw_nowhere" does not exist\nLINE 1: SELECT * FROM raw_nowhere\n'
                "                      ^",
                "42P01",
                None,
                VERSIONS + "a005_savepoint.py",
                20,
            ),
        ),
    ],
)
def test_downgrades_that_refuse(revision, error, launch, probe_server):
    target = probe_server.new_target()
    with open_probe(launch("failing"), probe_server.new_target) as probe:
        probe.run(target, up("a001"))
        probe.stamp(target, [revision])
        run = probe.run(target, down(revision, "a001"))
    assert run.steps[0].error == error
    assert [s.started for s in run.steps] == [True, False]


def test_error_at_commit_belongs_to_no_step(launch, probe_server):
    with open_probe(launch("failing"), probe_server.new_target) as probe:
        run = probe.run(probe_server.new_target(), up("a001", "a006"))
    assert [s.completed for s in run.steps] == [True, True]
    assert run.error is not None
    assert (run.error.type, run.error.sqlstate) == ("ForeignKeyViolation", "23503")
    assert {s.fate for s in run.steps[1].statements} == {Fate.ROLLED_BACK}


def test_revision_that_exits_when_imported(launch, probe_server):
    with open_probe(launch("prints_and_exits"), probe_server.new_target) as probe:
        run = probe.run(probe_server.new_target(), up("a001"))
    assert "the revision files could not all be loaded" in probe.facts.notes
    assert run.error == StepError(
        "SystemExit", "no licence", None, None, VERSIONS + "a002_exits.py", 9
    )
    assert not run.steps[0].started


def test_branches_mergepoint_and_dependency(launch, probe_server):
    target = probe_server.new_target()
    launched = launch("branches", version_locations=("migrations/orders", "migrations/billing"))
    with open_probe(launched, probe_server.new_target) as probe:
        there = probe.run(target, up("a001", "a002", "b001", "a003", "a004"))
        heads = probe_server.execute(target.database, "SELECT * FROM alembic_version ORDER BY 1")
        back = probe.run(target, down("a004", "a003", "b001"))
        again = probe.run(target, up("b001", "a003", "a004"))
    assert (there.error, back.error, again.error) == (None, None, None)
    assert [s.completed for r in (there, back, again) for s in r.steps] == [True] * 11
    assert heads == [("a004",), ("b001",)]
    assert there.steps[2].statements[0].path == "migrations/billing/b001.py"


def test_env_that_loops_over_schemas(launch, probe_server):
    target = probe_server.new_target()
    with open_probe(launch("schema_loop"), probe_server.new_target) as probe:
        assert (probe.facts.fn_calls, probe.facts.version_table_schema) == (2, "south")
        run = probe.run(target, up("a001", "a002"))
        again = probe.run(target, up("a001", "a002"))
    assert run.fn_calls == 2
    assert [s.completed for s in run.steps] == [True, True]
    assert len(run.steps[0].statements) == 2
    assert [s.already_applied for s in again.steps] == [True, True]
    tables = "SELECT schemaname FROM pg_tables WHERE tablename = 'users' ORDER BY 1"
    assert probe_server.execute(target.database, tables) == [("north",), ("south",)]


def test_env_that_migrates_several_databases_has_one_for_each(launch, probe_server):
    first, second = probe_server.new_target(), probe_server.new_target()
    with open_probe(launch("several_databases"), probe_server.new_target) as probe:
        shop, stock = probe.facts.databases
        target = replace(first, origin=shop, others=(replace(second, origin=stock),))
        there = probe.run(target, up("a001", "a002"))
        back = probe.run(target, down("a002"))
    assert (shop.database, stock.database) == ("shop", "stock")
    for run in (*there.each, *back.each):
        assert [s.completed for s in run.steps] == [True] * len(run.steps)
        assert (run.fn_calls, run.error) == (1, None)
        assert run.version_tables == (VersionTable("public", "alembic_version"),)
    assert [[len(s.statements) for s in run.steps] for run in there.each] == [[1, 2], [1, 2]]
    columns = "SELECT attname FROM pg_attribute WHERE attrelid = 'users'::regclass AND attnum > 0"
    for database in (first, second):
        names = {name for (name,) in probe_server.execute(database.database, columns)}
        assert {"id", "name"} < names


def test_several_files_of_another_dialect_are_several_databases(launch, probe_server):
    launched = launch("several_databases")
    for name in ("shop", "stock"):
        url = f"postgresql+psycopg2://shop:pw@db.example.com/{name}"
        put(launched.checkout / "migrations/env.py", url, f"sqlite:///{name}.db")
    with open_probe(launched, probe_server.new_target) as probe:
        assert [o.database for o in probe.facts.databases] == ["shop.db", "stock.db"]


def test_side_connections_are_no_second_database(launch, probe_server):
    """Nor is the same one with its port written out."""
    launched = launch("several_databases")
    env = launched.checkout / "migrations/env.py"
    put(env, "db.example.com/stock", "db.example.com:5432/shop")
    put(env, "from alembic", "import sqlalchemy as sa\nfrom alembic")
    with env.open("a") as file:
        file.write("sa.create_engine('postgresql://h/side').connect().close()\n")
    with open_probe(launched, probe_server.new_target) as probe:
        assert [o.database for o in probe.facts.databases] == ["shop"]
        target = probe_server.new_target()
        there = probe.run(target, up("a001", "a002"))
        back = probe.run(target, down("a002", "a001"))
    assert [s.completed for r in (there, back) for s in r.steps] == [True] * 4
    assert (there.fn_calls, back.fn_calls, back.error) == (2, 2, None)


@pytest.mark.parametrize("way", ["demanded", "asked for"])
def test_env_that_wants_a_connection_of_its_caller(way, launch, probe_server):
    target = probe_server.new_target()
    launched = launch("connection_given")
    if way == "asked for":
        put(launched.checkout / "migrations/env.py", '["connection"]', '.get("connection")')
        put(
            launched.checkout / "migrations/env.py",
            "\ncontext.configure",
            "\nif connection is None:\n    raise RuntimeError('no connection was passed in')\n"
            "context.configure",
        )
    with open_probe(launched, probe_server.new_target) as probe:
        notes = probe.facts.notes
        there = probe.run(target, up("a001", "a002"))
        back = probe.run(target, down("a002"))
        probe_server.wait_for_end_of_backends(target.database)
    assert (
        "env.py demands a Connection of its caller: one to the ephemeral database was given"
        in notes
    )
    assert [s.completed for r in (there, back) for s in r.steps] == [True] * 3
    assert {s.fate for r in (there, back) for st in r.steps for s in st.statements} == {
        Fate.COMMITTED
    }
    assert probe_server.execute(target.database, "SELECT * FROM alembic_version") == [("a001",)]


@pytest.mark.parametrize("code", ["None", "0"])
def test_env_that_exits_cleanly_at_its_end(code, launch, probe_server):
    launched = launch("sync_ini")
    with (launched.checkout / "migrations/env.py").open("a") as env:
        env.write(f"\nimport sys\n\nsys.exit({code})\n")
    with open_probe(launched, probe_server.new_target) as probe:
        assert probe.run(probe_server.new_target(), up("a001")).steps[0].completed


@pytest.mark.parametrize("at", ["start", "end"])
def test_env_that_exits_without_having_run_or_with_a_code(at, launch, probe_server):
    launched = launch("sync_ini")
    env = launched.checkout / "migrations/env.py"
    source = env.read_text()
    env.write_text("exit(0)\n" + source if at == "start" else source + "\nexit(4)\n")
    with (
        pytest.raises(ProbeError, match=f"SystemExit: {0 if at == 'start' else 4}"),
        open_probe(launched, probe_server.new_target),
    ):
        pass


def test_missing_key_is_not_taken_for_a_missing_flask_application(launch, probe_server):
    launched = launch("sync_ini")
    put(launched.checkout / "migrations/env.py", "from alembic", "{}['thing']\nfrom alembic")
    with (
        pytest.raises(ProbeError) as raised,
        open_probe(launched, probe_server.new_target),
    ):
        pass
    assert raised.value.what == "env.py could not be run: KeyError: 'thing'"
    assert "Flask" not in str(raised.value)


def test_drift_in_words(launch, probe_server):
    target = probe_server.new_target()
    with open_probe(launch("sync_ini"), probe_server.new_target) as probe:
        probe.run(target, up("a001", "a002"))
        probe_server.execute(target.database, "CREATE TABLE stray (id int)")
        drift = probe.drift(target)
    assert drift.operations is not None
    assert sorted(drift.operations) == [
        "add column public.users.nickname",
        "add index ix_users_email on public.users",
        "change nullable of column public.users.email from null to not null",
        "drop table public.stray",
    ]


def test_drift_of_every_kind(launch, probe_server):
    target = probe_server.new_target()
    with open_probe(launch("drifting"), probe_server.new_target) as probe:
        probe.run(target, up("a001"))
        drift = probe.drift(target)
    assert drift.operations is not None
    assert sorted(drift.operations) == [
        "add comment of table public.users",
        "add foreign key (user_id) on public.orders",
        "add table billing.invoices",
        "add unique constraint (kept) on public.orders",
        "change comment of column public.users.name from none to who",
        "change default of column public.users.name from none to x",
        "change type of column public.users.name from TEXT to VARCHAR(40)",
        "drop column public.orders.gone",
        "drop index ix_gone on public.orders",
    ]


def test_drift_without_metadata(launch, probe_server):
    with open_probe(launch("async_env"), probe_server.new_target) as probe:
        assert probe.drift(probe_server.new_target()).operations is None


def test_flask_application_that_the_policy_names(launch, probe_server):
    launched = launch(
        "flask_migrate",
        environment={"FLASK_APP": "shop:create_app", "SHOP_DB_URL": "postgresql://h/d"},
        config="migrations/alembic.ini",
        flask_migrate=True,
    )
    with open_probe(launched, probe_server.new_target) as probe:
        assert probe.facts.notes[1:] == (
            "connections to postgresql h/d were redirected",
            "the application's own call of alembic.command.upgrade was ignored",
        )


# --- No other database ---------------------------------------------------------------


def test_hard_coded_url_of_another_server_is_never_connected_to(launch, probe_server):
    """A listener stands where the URL points: nothing may knock."""
    knocks = []
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.settimeout(0.1)
        stopped = threading.Event()

        def listen() -> None:
            while not stopped.is_set():
                try:
                    connection, address = listener.accept()
                except TimeoutError:
                    continue
                knocks.append(address)
                connection.close()

        thread = threading.Thread(target=listen)
        thread.start()
        port = listener.getsockname()[1]
        launched = launch("url_hard_coded")
        put(launched.checkout / "migrations/env.py", "65432", str(port))
        with open_probe(launched, probe_server.new_target) as probe:
            run = probe.run(probe_server.new_target(), up("a001"))
        socket.create_connection(("127.0.0.1", port)).close()
        stopped.set()
        thread.join()
    assert run.steps[0].completed
    assert probe.facts.origins == (Origin("postgresql", "127.0.0.1", str(port), "shop"),)
    assert len(knocks) == 1  # the test's own


def test_drivers_used_past_sqlalchemy_are_redirected(launch, probe_server):
    target = probe_server.new_target()
    with open_probe(launch("raw_drivers"), probe_server.new_target) as probe:
        run = probe.run(target, up("a001"))
    assert run.steps[0].error is None
    tables = "SELECT tablename FROM pg_tables WHERE tablename LIKE 'with%' ORDER BY 1"
    assert probe_server.execute(target.database, tables) == [
        ("with_asyncpg",),
        ("with_asyncpg_pool",),
        ("with_psycopg",),
        ("with_psycopg2",),
        ("with_psycopg_async",),
    ]


def test_creator_is_taken_out(launch, probe_server):
    with open_probe(launch("creator"), probe_server.new_target) as probe:
        assert probe.run(probe_server.new_target(), up("a001")).steps[0].completed


def test_connection_that_evades_the_redirection_is_refused(launch, probe_server):
    launched = launch("creator")
    put(launched.checkout / "migrations/env.py", "65432", str(probe_server.port))
    put(launched.checkout / "migrations/env.py", '"creator"\n', '"pool"\n')
    put(launched.checkout / "migrations/env.py", "user=gatekeeper", f"user={probe_server.user}")
    put(launched.checkout / "migrations/env.py", "secret-word", probe_server.password)
    with (
        pytest.raises(ProbeError, match="not the ephemeral one and was refused"),
        open_probe(launched, probe_server.new_target),
    ):
        pass
    assert probe_server.execute("postgres", "SELECT to_regclass('alembic_version')") == [(None,)]


def put(file: Path, old: str, new: str) -> None:
    source = file.read_text()
    assert old in source
    file.write_text(source.replace(old, new))


def test_killing_gatekeeper_ends_the_probe(launch, probe_server, tmp_path):
    """Not even SIGKILL leaves a process behind."""
    launched = launch("misbehaves", environment={"SHOP_WAY": "hang"})
    target = probe_server.new_target()
    script = tmp_path / "gatekeeper.py"
    script.write_text(
        f"""
import sys
sys.path.insert(0, {str(Path.cwd())!r})
from pathlib import Path, PosixPath
from gatekeeper.model import Direction, Project
from gatekeeper.probe.model import (Interpreter, Launch, RequestedStep, Target)
from gatekeeper.probe.runner import open_probe
from tests.probe.conftest import PYTHON

launch = Launch(
    {launched.interpreter!r},
    {launched.checkout!r},
    {launched.project!r},
    environment={{"SHOP_WAY": "hang", "SHOP_MARK": {str(tmp_path)!r}}},
)
target = Target("127.0.0.1", {target.port}, {target.user!r}, {target.password!r},
                {target.database!r}, {target.marker!r})
with open_probe(launch, lambda: target) as probe:
    print("open", flush=True)
    probe.run(target, [RequestedStep("a001", Direction.UPGRADE)])
"""
    )
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE) as gatekeeper:
        assert gatekeeper.stdout is not None
        assert gatekeeper.stdout.readline() == b"open\n"
        assert len(marked(tmp_path)) > 0
        gatekeeper.kill()
    for pid in marked(tmp_path):
        with contextlib.suppress(ProcessLookupError):
            select.select([os.pidfd_open(pid)], [], [], 10)
    assert marked(tmp_path) == []


def marked(folder: Path) -> list[int]:
    mark = f"SHOP_MARK={folder}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and mark in (entry / "environ").read_bytes():
                found.append(int(entry.name))
    return found


def test_editable_installation_in_the_repository_leads_to_the_copy(launch, probe_server, tmp_path):
    """The interpreter leaves its folder out: the user's own repository is out of sight."""
    repository = tmp_path / "repository"
    environment = tmp_path / "environment"
    launched = launch("sync_ini")
    for root, color in ((repository, "old"), (launched.checkout, "new")):
        (root / "libs/paint/paint").mkdir(parents=True)
        (root / "libs/paint/paint/__init__.py").write_text(f"COLOR = {color!r}\n")
    subprocess.run([PYTHON, "-m", "venv", "--without-pip", environment], check=True)
    python = environment / "bin/python"
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    ours, packages = (
        subprocess.run([one, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
        for one in (PYTHON, python)
    )
    Path(packages, "editable.pth").write_text(f"{ours}\n{repository}/libs/paint\n")
    put(launched.checkout / "migrations/env.py", "from alembic", "import paint\nfrom alembic")
    with (launched.checkout / "migrations/env.py").open("a") as env:
        env.write("\nassert paint.COLOR == 'new', paint.__file__\n")
    launched = replace(launched, interpreter=Interpreter(python, "test"), repository=repository)
    with open_probe(launched, probe_server.new_target) as probe:
        assert probe.run(probe_server.new_target(), up("a001")).error is None


# --- What cannot be run --------------------------------------------------------------


@pytest.mark.parametrize(
    ("situation", "what", "where", "fix"),
    [
        (
            "missing_module",
            "cannot import `a_package_that_nobody_has`",
            "migrations/env.py:1",
            "`--python PATH`",
        ),
        (
            "never_runs",
            "came to its end without running migrations",
            "migrations/env.py",
            "`project: {env: {NAME: …}}`",
        ),
    ],
)
def test_says_what_is_missing(situation, what, where, fix, launch, probe_server):
    with (
        pytest.raises(ProbeError) as raised,
        open_probe(launch(situation), probe_server.new_target),
    ):
        pass
    assert what in raised.value.what
    assert raised.value.where == where
    assert raised.value.fix is not None
    assert fix in raised.value.fix


@pytest.mark.parametrize(
    ("way", "what"),
    [
        ("crash", "ended before it had answered (SIGSEGV); it printed last:"),
        ("exit", "ended before it had answered (exit status 0)"),
        ("exit as -1", "ended before it had answered (exit status 255)"),
        ("hang", "did not answer within 3 seconds"),
        ("chatter", "printed more than 50 MB and was stopped"),
        ("goes on", "did not answer within 3 seconds"),
        ("floods", "answered more than 128 MB and was stopped"),
    ],
)
def test_process_that_ends_or_never_does(way, what, launch, probe_server):
    launched = launch("misbehaves", environment={"SHOP_WAY": way}, timeout_seconds=3.0)
    with (
        pytest.raises(ProbeError) as raised,
        open_probe(launched, probe_server.new_target) as probe,
    ):
        probe.run(probe_server.new_target(), up("a001"))
    assert what in raised.value.what
    assert raised.value.what.startswith("while the upgrade of `a001` ran, the project's process")
    assert raised.value.where == "migrations/env.py"


def test_process_that_reads_no_request(launch, probe_server):
    """A request may be longer than a pipe holds."""
    launched = launch("sync_ini", timeout_seconds=3.0)
    with (launched.checkout / "migrations/env.py").open("a") as env:
        env.write("\nimport os, signal, threading\n")
        env.write("threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGSTOP)).start()\n")
    with open_probe(launched, probe_server.new_target) as probe:
        time.sleep(1.5)
        with pytest.raises(ProbeError, match="did not answer within 3 seconds"):
            probe.run(probe_server.new_target(), up(*["a001"] * 10_000))


def test_children_that_left_the_session_end_with_it(launch, probe_server):
    launched = launch("misbehaves", environment={"SHOP_WAY": "children"})
    with open_probe(launched, probe_server.new_target) as probe:
        run = probe.run(probe_server.new_target(), up("a001"))
        assert run.steps[0].completed
        assert sleepers() == 2
    assert sleepers() == 0


def sleepers() -> int:
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True)
    return listed.stdout.splitlines().count("sleep 3610")


def test_what_the_process_may_see(launch, probe_server):
    launched = launch("looks_around", environment={"SHOP_PARENT": str(os.getpid())})
    environ = {**os.environ, "GITHUB_TOKEN": "t", "PGPASSWORD": "p", "LC_TIME": "C"}
    launched = replace(launched, environ=environ)
    target = probe_server.new_target()
    with open_probe(launched, probe_server.new_target) as probe:
        run = probe.run(target, up("a001"))
    assert run.steps[0].error is None
    ((text,),) = probe_server.execute(
        target.database,
        "SELECT shobj_description(oid, 'pg_database') FROM pg_database"
        " WHERE datname = current_database()",
    )
    seen = json.loads(str(text))
    assert seen["variables"] == sorted(
        ["HOME", "LANG", "LC_TIME", "PATH", "SHOP_PARENT", "TMPDIR"]
        + ["PYTHONDONTWRITEBYTECODE", "PYTHONFAULTHANDLER", "PYTHONUNBUFFERED"]
        + ([name for name in ("SSL_CERT_DIR", "SSL_CERT_FILE", "TZ") if name in environ])
    )
    assert seen["stdin"] == ""
    assert seen["home"] == []
    if os.geteuid() == 0:
        assert seen["uid"] == 65534
        assert seen["groups"] == []
        assert not seen["parent"]
