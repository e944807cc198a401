"""PostgreSQL's client programs: the fitting ones, no longer than we live, told no secrets."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gatekeeper.deploy import clients
from gatekeeper.deploy.backup import make_backup
from gatekeeper.deploy.clients import (
    client_environment,
    connection_variables,
    find_clients,
    run_client,
)
from gatekeeper.deploy.model import StepFailed
from gatekeeper.deploy.restoration import read_surroundings, restore_copy
from gatekeeper.deploy.restore_in_place import restore_target
from gatekeeper.model import ServerSource
from gatekeeper.postgres.databases import Database, drop_database
from gatekeeper.postgres.rows import row_digests
from gatekeeper.postgres.servers import Server, read_url
from tests.databases import execute, url_of
from tests.deploy.stages import VERSIONS, deploy_to
from tests.deploy.targets import target_of
from tests.waiting import wait_for

_URL = "postgresql://shop:secret@db.example.org:6432/shop?sslmode=verify-full&sslrootcert=/ca.pem"

# A process that dumps a database whose URL it reads, and is told when it may end.
_DUMP = """
import os, sys
from gatekeeper.deploy.clients import client_environment, find_clients, run_client
from gatekeeper.postgres.servers import read_url
from gatekeeper.signals import raise_interrupted
raise_interrupted()
target = read_url(sys.stdin.readline().strip(), "a test")
environment = client_environment(target, target.maintenance_database, os.environ)
run_client(find_clients(int(sys.argv[1])), "pg_dump", ["--file=/dev/null"], environment)
"""


def major_of(database: Database) -> int:
    with database.session() as connection:
        return connection.server_version // 10_000


# --- Found and led to the server -----------------------------------------------------


@pytest.mark.postgres
def test_the_oldest_that_will_do(target_database: Database) -> None:
    major = major_of(target_database)
    assert find_clients(major).major == major
    assert find_clients(1).major <= major


def test_none_will_do() -> None:
    with pytest.raises(StepFailed) as raised:
        find_clients(99)
    assert raised.value.what.startswith("no `pg_dump` and `pg_restore` for PostgreSQL 99 were")
    assert raised.value.fix == "Install them: `apt-get install postgresql-client-99`."


def test_variables_lead_to_the_database() -> None:
    server = read_url(_URL, "a test")
    environ = {"PGSSLCERT": "/mine.pem", "PGHOST": "elsewhere", "OTHER": "1"}
    assert connection_variables(server, "shop", environ) == {
        "PGSSLCERT": "/mine.pem",
        "PGHOST": "db.example.org",
        "PGPORT": "6432",
        "PGUSER": "shop",
        "PGPASSWORD": "secret",
        "PGDATABASE": "shop",
        "PGCONNECT_TIMEOUT": "10",
        "PGAPPNAME": f"gatekeeper_{server.run_id}",
        "PGSSLMODE": "verify-full",
        "PGSSLROOTCERT": "/ca.pem",
    }


def test_a_keys_passphrase_cannot_be_given() -> None:
    server = read_url("postgresql://shop@db/shop?sslpassword=secret", "a test")
    with pytest.raises(StepFailed) as raised:
        connection_variables(server, "shop", {})
    assert "sslpassword" in raised.value.what


@pytest.mark.postgres
def test_a_wrong_password_is_told_and_not_shown(target_database: Database) -> None:
    target = read_url(url_of(target_database, password="wrong-one"), "a test")
    environment = client_environment(target, target_database.name, {})
    found = find_clients(major_of(target_database))
    finished = run_client(found, "pg_dump", ["--file=/dev/null", "--no-password"], environment)
    assert finished.status == 1
    assert "password authentication failed" in finished.reason
    assert "wrong-one" not in str(finished)


# --- No longer than we live ----------------------------------------------------------


@contextlib.contextmanager
def dumping_a_locked_table(database: Database) -> Iterator[subprocess.Popen[bytes]]:
    """Yield a process of ours whose `pg_dump` waits for a lock."""
    execute(database, "CREATE TABLE locked (id int)")
    with contextlib.closing(database.server.connect(database.name, autocommit=False)) as holder:
        holder.cursor().execute("LOCK TABLE locked IN ACCESS EXCLUSIVE MODE")
        process = subprocess.Popen(
            [sys.executable, "-c", _DUMP, str(major_of(database))], stdin=subprocess.PIPE
        )
        assert process.stdin is not None
        process.stdin.write(f"{url_of(database)}\n".encode())
        process.stdin.flush()
        try:
            wait_for(lambda: waiting_sessions(database) == 1)
            yield process
        finally:
            process.kill()
            process.wait()
            process.stdin.close()


def waiting_sessions(database: Database) -> int:
    ((count,),) = database.server.administer(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND wait_event_type = 'Lock'",
        database.name,
    )
    return int(count)


@pytest.mark.postgres
@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_it_ends_with_us(target_database: Database, number: int) -> None:
    with dumping_a_locked_table(target_database) as process:
        os.kill(process.pid, number)
        process.wait()
        wait_for(lambda: waiting_sessions(target_database) == 0)


@pytest.mark.postgres
@pytest.mark.slow
def test_no_command_line_has_the_password(target_database: Database) -> None:
    password = target_database.server.password.encode()
    with dumping_a_locked_table(target_database):
        lines = []
        for file in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                lines.append(file.read_bytes())
    assert any(b"pg_dump" in line for line in lines)
    assert not any(password in line for line in lines)


# --- Newer than the server -----------------------------------------------------------


@pytest.mark.postgres
@pytest.mark.slow
@pytest.mark.parametrize("target_server", [ServerSource.INSTALLED], indirect=True)
@pytest.mark.parametrize("server", [ServerSource.INSTALLED], indirect=True)
def test_newer_clients_serve_an_older_server(
    server: Server, target_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They set parameters that the server does not know (`transaction_timeout`: 17)."""
    # No machine has newer clients alone: the others are taken out of sight.
    monkeypatch.setattr(clients, "installed_directories", lambda: iter(()))
    monkeypatch.setenv("PATH", "/nonexistent")
    assert find_clients(major_of(target_database)).major > 17
    execute(
        target_database,
        "CREATE TABLE users (id serial PRIMARY KEY, name text)",
        "INSERT INTO users (name) SELECT 'user ' || n FROM generate_series(1, 20) n",
    )
    with target_database.session(autocommit=False) as connection:
        before = row_digests(connection)
    deployment = deploy_to(target_of(target_database), tmp_path)
    backup = make_backup(deployment, VERSIONS)
    copy = restore_copy(server, backup, read_surroundings(deployment.target), jobs=2)
    with copy.session(autocommit=False) as connection:
        assert row_digests(connection) == before
    drop_database(copy)
    execute(target_database, "DELETE FROM users")
    restore_target(deployment, backup, VERSIONS)
    with target_database.session(autocommit=False) as connection:
        assert row_digests(connection) == before
