"""Behind a pooler a target is held where a session stays one, and refused elsewhere."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gatekeeper.deploy.model import StepFailed
from gatekeeper.deploy.target import hold_target, read_state
from gatekeeper.errors import DatabaseError
from gatekeeper.postgres.databases import Database
from gatekeeper.postgres.installations import choose_account, program_credentials
from gatekeeper.postgres.servers import Server, read_url
from gatekeeper.probe.model import VersionTable

pytestmark = [pytest.mark.postgres, pytest.mark.slow]

PGBOUNCER = shutil.which("pgbouncer", path="/usr/sbin:/usr/bin:/usr/local/bin:/opt/homebrew/bin")

CONFIGURATION = """\
[databases]
shop = host={host} port={port} dbname={database} user={user} password={password}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listen_port}
unix_socket_dir =
auth_type = plain
auth_file = {folder}/users
pool_mode = {mode}
"""


@pytest.fixture
def open_pooler(database: Database) -> Iterator[Callable[[str], Server]]:
    """A function that starts a pooler of a mode and returns the target behind it."""
    if PGBOUNCER is None:
        pytest.skip("this machine has no PgBouncer")
    server = database.server
    started: list[subprocess.Popen[bytes]] = []
    # The folder of a test is closed to other accounts, and PgBouncer does not run as root.
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)

        def start(mode: str) -> Server:
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                listen_port = free.getsockname()[1]
            (folder / "users").write_text(f'"{server.user}" "{server.password}"\n')
            (folder / "pgbouncer.ini").write_text(
                CONFIGURATION.format(
                    host=server.host,
                    port=server.port,
                    database=database.name,
                    user=server.user,
                    password=server.password,
                    listen_port=listen_port,
                    folder=folder,
                    mode=mode,
                )
            )
            popen = subprocess.Popen(
                [PGBOUNCER, str(folder / "pgbouncer.ini")],
                stderr=subprocess.PIPE,
                **program_credentials(choose_account(None)),
            )
            started.append(popen)
            assert popen.stderr is not None
            for line in popen.stderr:
                if b"process up" in line:
                    break
            url = f"postgresql://{server.user}:{server.password}@127.0.0.1:{listen_port}/shop"
            return read_url(url, "GATEKEEPER_TARGET_URL")

        yield start
        for popen in started:
            popen.terminate()
            popen.communicate()


def test_sessions_that_are_pooled(open_pooler: Callable[[str], Server]) -> None:
    target = open_pooler("session")
    with hold_target(target) as hold:
        hold.assure()
        assert read_state(target, [VersionTable(None, "alembic_version")]).rows == {}
        with pytest.raises(StepFailed, match="another deploy"), hold_target(target):
            pass


def test_transactions_that_are_pooled(
    open_pooler: Callable[[str], Server], database: Database
) -> None:
    target = open_pooler("transaction")
    with pytest.raises(StepFailed) as raised, hold_target(target):
        pass
    assert raised.value.what.startswith("the target's URL leads to a pooler that hands each")
    assert "session mode" in (raised.value.fix or "")
    with database.session() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT FROM pg_locks WHERE locktype = 'advisory'")
        assert cursor.rowcount == 0


def test_statements_that_are_pooled(open_pooler: Callable[[str], Server]) -> None:
    with pytest.raises(DatabaseError), hold_target(open_pooler("statement")):
        pass
