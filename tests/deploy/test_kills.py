"""A deploy that is killed or stopped in any of its steps, what it leaves, and what comes after.

Each step is held open as a user's own things do: by a command that waits for a file to go, by
a lock on a table, by a statement of the migration that takes long. What the migration waits for
stands in the table `pauses`, of the target itself and of copies of it. The commands write down
that they ran, so that none of them runs twice unseen.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from gatekeeper.deploy.clients import find_clients
from gatekeeper.postgres.databases import Database
from tests.build_git import GitRepository, a_repository
from tests.deploy.shop.place import Place, open_place
from tests.deploy.targets import execute
from tests.live import ENV_PY, live_project, live_revision, server_url

pytestmark = [pytest.mark.postgres, pytest.mark.slow]

V = "migrations/versions"
STEPS = (
    "preflight",
    "backup",
    "restore-rehearsal",
    "maintenance-on",
    "apply",
    "verify",
    "smoke-test",
    "watch",
    "rollback",
    "maintenance-off",
)

# Says that it was reached, and waits while somebody holds it there.
WAIT = """\
echo "$1" >> "$SHOP_CONTROL/ran"
while [ -e "$SHOP_CONTROL/hold-$1" ]; do sleep 0.05; done
echo "$1" >> "$SHOP_CONTROL/done"
"""
BACKUP = """\
head -c 1000 /dev/zero > "$GATEKEEPER_BACKUP_FILE"
sh ops/wait.sh backup
pg_dump --format=custom --file="$GATEKEEPER_BACKUP_FILE"
"""
ENVIRONMENT: Mapping[str, Any] = {
    "backup": {"command": "sh ops/backup.sh"},
    "maintenance": {"on": "sh ops/wait.sh on", "off": "sh ops/wait.sh off"},
    "smoke_test": ["sh ops/wait.sh smoke", '! test -e "$SHOP_CONTROL/broken"'],
}
ACCOUNTS = """\
op.create_table(
    "accounts",
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("owner", sa.Text, nullable=False),
    sa.Column("balance", sa.BigInteger, nullable=False),
)
op.create_table(
    "pauses",
    sa.Column("place", sa.Text, primary_key=True),
    sa.Column("seconds", sa.Integer, nullable=False),
)
op.create_table("notes", sa.Column("text", sa.Text))
"""


def pause(way: str) -> str:
    """Return an operation that takes as long as `pauses` says of the target, or of its copy."""
    here = "CASE WHEN current_database() = current_setting('shop.here', true)"
    place = f"{here} THEN 'target {way}' ELSE 'copy {way}' END"
    return f'op.execute("SELECT pg_sleep((SELECT seconds FROM pauses WHERE place = {place}))")'


# An index that is not built concurrently: so the plan asks for a window.
CURRENCY = f"""\
op.add_column("accounts", sa.Column("currency", sa.Text))
op.create_index("ix_accounts_owner", "accounts", ["owner"])
{pause("up")}
"""
NO_CURRENCY = f"""\
{pause("down")}
op.drop_index("ix_accounts_owner", "accounts")
op.drop_column("accounts", "currency")
"""
LIMIT = f'op.add_column("accounts", sa.Column("lowest", sa.BigInteger))\n{pause("up")}'
NO_LIMIT = 'op.drop_column("accounts", "lowest")'
DOUBLE = f"""\
with op.get_context().autocommit_block():
    op.execute("UPDATE accounts SET balance = balance + 1")
    {pause("up")}
"""
BY_ITSELF = f"""\
with op.get_context().autocommit_block():
    {pause("up")}
    op.execute("UPDATE accounts SET balance = balance + 1")
"""
BEFORE_ANOTHER = f"""\
{pause("up")}
op.execute("UPDATE accounts SET balance = balance + 1")
with op.get_context().autocommit_block():
    op.execute("SELECT 1")
"""
CONCURRENT = """\
with op.get_context().autocommit_block():
    op.create_index("ix_balance", "accounts", ["balance"], postgresql_concurrently=True)
"""
NOT_CONCURRENT = """\
with op.get_context().autocommit_block():
    op.drop_index("ix_balance", "accounts", postgresql_concurrently=True)
"""
EACH_BY_ITSELF = ENV_PY.replace(
    "target_metadata=None)", "target_metadata=None, transaction_per_migration=True)"
)
assert EACH_BY_ITSELF != ENV_PY

KINDS = {
    "one": {"b002": (CURRENCY, NO_CURRENCY)},
    "two": {
        "b002": (
            'op.add_column("accounts", sa.Column("iban", sa.Text))',
            'op.drop_column("accounts", "iban")',
        ),
        "c003": (LIMIT, NO_LIMIT),
    },
    "unseen": {"b002": (DOUBLE, "pass")},
    "by itself": {"b002": (BY_ITSELF, "pass")},
    "before another": {"b002": (BEFORE_ANOTHER, "pass")},
    "concurrent": {"b002": (CONCURRENT, NOT_CONCURRENT)},
}
TAG = "v1.1.0"
TARGET = """\
CREATE TABLE alembic_version (version_num varchar(32) NOT NULL,
    CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num));
INSERT INTO alembic_version VALUES ('a001');
CREATE TABLE accounts (id serial PRIMARY KEY, owner text NOT NULL, balance bigint NOT NULL);
INSERT INTO accounts (owner, balance) SELECT 'o' || n, n * 100 FROM generate_series(1, 500) n;
CREATE TABLE pauses (place text PRIMARY KEY, seconds integer NOT NULL);
CREATE TABLE notes (text text);
"""
RECORDED = {
    "journal.jsonl",
    "plan.json",
    "evidence.json",
    "backup.dump",
    "record.json",
    "record.md",
}


# --- The place -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A function that returns a folder with a bank and the plan of its second release."""
    made: dict[str, Path] = {}

    def make(kind: str) -> Path:
        if kind not in made:
            made[kind] = _make(tmp_path_factory.mktemp(kind), KINDS[kind])
        return made[kind]

    return make


def _make(folder: Path, revisions: Mapping[str, tuple[str, str]]) -> Path:
    first = live_revision("a001", None, ACCOUNTS, "pass")
    ops = {"ops/wait.sh": WAIT, "ops/backup.sh": BACKUP}
    files = {**live_project(EACH_BY_ITSELF), **ops, f"{V}/a001.py": first}
    repository = a_repository(folder / "bank", files)
    repository.git("tag", "v1.0.0")
    down = "a001"
    for name, (upgrade, downgrade) in revisions.items():
        repository.commit({f"{V}/{name}.py": live_revision(name, down, upgrade, downgrade)})
        down = name
    repository.git("tag", TAG)
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("GATEKEEPER_", "PG"))}
    environment = {**kept, "PYTHONPATH": str(Path(__file__).parents[2])}
    ran = Place(repository, folder, "", "", environment).release(TAG)
    assert (folder / f"plan-{TAG}" / "plan.json").exists(), ran.stdout + ran.stderr
    return folder


@pytest.fixture
def open_bank(
    release: Callable[[str], Path],
    tmp_path: Path,
    database: Database,
    clean_environment: dict[str, str],
) -> Iterator[Callable[..., Bank]]:
    """A function that opens a bank with 500 accounts, at its first release."""
    with contextlib.ExitStack() as stack:

        def make(kind: str = "one", **environment: Any) -> Bank:
            folder = tmp_path / "place"
            shutil.copytree(release(kind), folder, symlinks=True)
            repository = GitRepository(folder / "bank")
            programs = find_clients(database.server.info.major).bin
            variables = {
                **clean_environment,
                "PATH": f"{programs}{os.pathsep}{clean_environment['PATH']}",
                "GATEKEEPER_DATABASE_URL": server_url(database.server),
            }
            place = stack.enter_context(open_place(repository, database, variables, folder))
            ((role,),) = place.ask("SELECT current_user")
            execute(
                database,
                f"ALTER ROLE {role} IN DATABASE {database.name} SET shop.here = '{database.name}'",
            )
            with place.session() as connection, connection.cursor() as cursor:
                cursor.execute(TARGET)
            bank = Bank(place, database, database.server.run_id)
            stack.callback(bank.end_all)
            bank.write_policy(**environment)
            return bank

        yield make


@dataclass
class Bank:
    """A bank whose release is deployed, and what a test holds open of its steps."""

    place: Place
    database: Database
    run_id: str
    _started: list[subprocess.Popen[str]] = field(default_factory=list)

    def write_policy(self, **environment: Any) -> None:
        policy = {"version": 1, "environments": {"staging": {**ENVIRONMENT, **environment}}}
        self.place.repository.write({".gatekeeper.yml": json.dumps(policy)})

    def start(self, record: str = TAG) -> subprocess.Popen[str]:
        started = self.place.start_deploy(TAG, record=record)
        self._started.append(started)
        return started

    def deploy(self, record: str = TAG) -> subprocess.CompletedProcess[str]:
        started = self.start(record)
        output, errors = started.communicate(timeout=120)
        return subprocess.CompletedProcess([], started.returncode, output, errors)

    def end_all(self) -> None:
        for started in self._started:
            if started.poll() is None:
                started.kill()
                started.communicate()

    def wait(self, until: Callable[[], object]) -> None:
        """Wait for what the deploy comes to."""

        def has_come() -> bool:
            started = self._started[-1]
            assert started.poll() is None, started.communicate()
            return bool(until())

        wait(has_come)

    # --- What holds a step open ------------------------------------------------------

    def hold(self, command: str) -> None:
        (self.place.control / f"hold-{command}").touch()

    def release(self, command: str) -> None:
        (self.place.control / f"hold-{command}").unlink()

    def pause(self, where: str, seconds: int = 60) -> None:
        """Let a statement of the migration take that long."""
        execute(
            self.database,
            f"INSERT INTO pauses VALUES ('{where}', {seconds})"
            f" ON CONFLICT (place) DO UPDATE SET seconds = {seconds}",
        )

    # --- What is there ---------------------------------------------------------------

    def ran(self, what: str = "ran") -> list[str]:
        """Return the commands that began, or those that came to their end."""
        file = self.place.control / what
        return file.read_text().split() if file.exists() else []

    def sessions(self, where: str) -> int:
        """Return how many sessions of the server are so, but for those of the test."""
        with self.database.server.connect(self.database.name) as connection:
            cursor = connection.cursor()
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND"
                f" application_name <> 'gatekeeper_{self.run_id}'"
                f" AND {where}"
            )
            ((count,),) = cursor.fetchall()
        connection.close()
        return int(count)

    def here(self) -> int:
        """Return how many sessions of a deploy are on the target."""
        name = "application_name LIKE 'gatekeeper\\_%'"
        return self.sessions(f"datname = current_database() AND {name}")

    def locks(self) -> int:
        ((count,),) = self.place.ask("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'")
        return int(count)

    def databases(self) -> list[str]:
        """Return the databases of the server that killed deploys have left."""
        names = self.place.ask(
            "SELECT datname FROM pg_database WHERE datname LIKE 'gatekeeper\\_%'"
            f" AND datname NOT LIKE 'gatekeeper\\_{self.run_id}%'"
        )
        return [name for (name,) in names]

    def files(self, record: str = TAG) -> set[str]:
        return {file.name for file in self.place.record_of(record).iterdir()}

    def journal(self, record: str = TAG) -> list[dict[str, Any]]:
        file = self.place.record_of(record) / "journal.jsonl"
        lines = []
        for line in file.read_text(encoding="utf-8").splitlines() if file.exists() else ():
            with contextlib.suppress(ValueError):
                lines.append(json.loads(line))
        return lines

    def has_begun(self, step: str) -> bool:
        return any(e["event"] == "begin" and e["step"] == step for e in self.journal())

    def begun(self, sql: str) -> int:
        """Return how often a statement is known to have begun on the target."""
        return sum(e.get("state") == "begun" and sql in e["sql"] for e in self.journal())

    def ended(self, sql: str) -> int:
        """Return how often a statement came to its end on the target."""
        return sum(e.get("state") == "ended" and sql in e["sql"] for e in self.journal())

    def stands(self) -> tuple[list[str], list[str], list[str]]:
        """Return revision, columns and valid indexes of the target."""
        return (
            self._names("SELECT version_num FROM alembic_version"),
            self._names(
                "SELECT attname::text FROM pg_attribute WHERE attrelid = 'accounts'::regclass"
                " AND attnum > 0 AND NOT attisdropped ORDER BY attnum"
            ),
            self._names(
                "SELECT indexrelid::regclass::text FROM pg_index"
                " WHERE indrelid = 'accounts'::regclass AND indisvalid ORDER BY 1"
            ),
        )

    def _names(self, query: str) -> list[str]:
        return [name for (name,) in self.place.ask(query)]

    def digest(self) -> str:
        ((found,),) = self.place.ask(
            "SELECT count(*) || ' ' || md5(string_agg(concat(id, ' ', owner, ' ', balance), ','"
            " ORDER BY id)) FROM accounts"
        )
        return str(found)

    def record(self, name: str = TAG) -> Any:
        return self.place.read_record(name)

    def outcomes(self, name: str = TAG) -> dict[str, str]:
        return {step["step"]: step["outcome"] for step in self.record(name)["steps"]}


def wait(until: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < end, "it does not come"
        time.sleep(0.01)


def processes_of(pid: int) -> dict[int, str]:
    """Return the processes that descend from one, with the moments when they began."""
    found, parents = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            parents[int(folder.name)] = int(fields[1])
            found[int(folder.name)] = fields[19]
    ours = {pid}
    while more := {child for child, parent in parents.items() if parent in ours} - ours:
        ours |= more
    return {child: found[child] for child in ours if child in found}


def is_alive(pid: int, began: str) -> bool:
    with contextlib.suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return fields[19] == began and fields[0] != "Z"
    return False


def kill(started: subprocess.Popen[str]) -> None:
    """Kill the deploy, and see that all its processes go with it."""
    processes = processes_of(started.pid)
    started.kill()
    started.communicate()
    wait(lambda: not any(is_alive(pid, began) for pid, began in processes.items()), 15)


# --- Each step, held open ------------------------------------------------------------


@contextlib.contextmanager
def held(bank: Bank, step: str) -> Iterator[subprocess.Popen[str]]:
    """Start a deploy and yield it within a step, which stays open as long as the block."""
    commands = {"backup": "backup", "maintenance-on": "on", "smoke-test": "smoke"}
    commands["maintenance-off"] = "off"
    sleeping = "query LIKE 'SELECT pg_sleep((%' AND state = 'active' AND datname"
    with contextlib.ExitStack() as stack:
        if step == "preflight":
            stack.enter_context(locked(bank))
            started = bank.start()
            bank.wait(lambda: bank.sessions("wait_event_type = 'Lock'"))
        elif step in commands:
            bank.hold(commands[step])
            stack.callback(bank.release, commands[step])
            started = bank.start()
            bank.wait(lambda: commands[step] in bank.ran())
        elif step == "restore-rehearsal":
            bank.pause("copy up")
            stack.callback(bank.pause, "copy up", 0)
            started = bank.start()
            bank.wait(lambda: bank.sessions(f"{sleeping} <> current_database()"))
        elif step == "apply":
            bank.pause("target up")
            stack.callback(bank.pause, "target up", 0)
            started = bank.start()
            bank.wait(lambda: bank.sessions(f"{sleeping} = current_database()"))
            bank.wait(lambda: bank.begun("pg_sleep") == 1)
        elif step == "verify":
            bank.pause("target up", 2)
            started = bank.start()
            bank.wait(lambda: bank.sessions(f"{sleeping} = current_database()"))
            stack.enter_context(locked(bank))
            bank.wait(lambda: bank.has_begun("verify"))
            bank.wait(lambda: bank.sessions("wait_event_type = 'Lock'"))
        elif step == "watch":
            bank.write_policy(watch={"minutes": 1})
            stack.callback(bank.write_policy)
            started = bank.start()
            bank.wait(lambda: bank.has_begun("watch"))
        else:
            assert step == "rollback"
            (bank.place.control / "broken").touch()
            bank.pause("target down")
            stack.callback(bank.pause, "target down", 0)
            started = bank.start()
            bank.wait(lambda: bank.sessions(f"{sleeping} = current_database()"))
        yield started


@contextlib.contextmanager
def locked(bank: Bank) -> Iterator[None]:
    """Hold the lock of a table while the block runs: to count its rows one has to wait."""
    connection = bank.place.connect()
    cursor = connection.cursor()
    cursor.execute("SET application_name = 'somebody'")
    try:
        cursor.execute("LOCK TABLE notes IN ACCESS EXCLUSIVE MODE")
        yield
    finally:
        connection.close()


AT_START = (["a001"], ["id", "owner", "balance"], ["accounts_pkey"])
UPGRADED = (
    ["b002"],
    ["id", "owner", "balance", "currency"],
    ["accounts_pkey", "ix_accounts_owner"],
)
ALL = ["backup", "on", "smoke", "off"]


@pytest.mark.parametrize(
    ("step", "stands", "before", "after"),
    [
        pytest.param("preflight", AT_START, [], ALL, id="preflight"),
        pytest.param("backup", AT_START, ["backup"], ALL, id="backup"),
        pytest.param("restore-rehearsal", AT_START, ["backup"], ALL, id="restore-rehearsal"),
        pytest.param("maintenance-on", AT_START, ["backup", "on"], ALL, id="maintenance-on"),
        pytest.param("apply", AT_START, ["backup", "on"], ["backup", "smoke", "off"], id="apply"),
        pytest.param("verify", UPGRADED, ["backup", "on"], ["smoke", "off"], id="verify"),
        pytest.param("smoke-test", UPGRADED, ALL[:3], ["smoke", "off"], id="smoke-test"),
        pytest.param("watch", UPGRADED, ALL[:3], ["smoke", "off"], id="watch"),
        pytest.param("rollback", UPGRADED, ALL[:3], ["off"], id="rollback"),
        pytest.param("maintenance-off", UPGRADED, ALL, ["smoke", "off"], id="maintenance-off"),
    ],
)
def test_killed(
    open_bank: Callable[..., Bank], step: str, stands: Any, before: list[str], after: list[str]
) -> None:
    """What changes the target is done once; what only looks at it may be done again.

    `before` are the commands that have run when the process is killed, `after` the others.
    """
    bank = open_bank()
    rows = bank.digest()
    with held(bank, step) as started:
        kill(started)
        left = bank.files() - {"journal.jsonl", "plan.json", "evidence.json", "backup.dump"}
        assert left == ({"backup.dump.partial"} if step == "backup" else set())
        assert bank.ran() == before
    if step in ("apply", "rollback"):
        # A session that works does not hear that nobody waits for it any more.
        assert bank.here() == 1
    else:
        wait(lambda: bank.here() == bank.locks() == 0)
        assert (bank.stands(), bank.digest()) == (stands, rows)

    ran = bank.deploy()
    is_back = step == "rollback"
    assert ran.returncode == (1 if is_back else 0), ran.stdout + ran.stderr
    record = bank.record()
    assert record["outcome"] == ("rolled-back" if is_back else "deployed")
    assert record["next"] is None
    assert bank.outcomes() == {
        **dict.fromkeys(STEPS, "passed"),
        "watch": "skipped",
        **({"smoke-test": "failed"} if is_back else {"rollback": "skipped"}),
        **({"maintenance-on": "skipped"} if step == "apply" else {}),
    }
    assert bank.ran() == before + after
    assert bank.ran("done")[-1] == "off"
    assert bank.ended("ADD COLUMN currency") == (2 if step == "apply" else 1)
    assert (bank.stands(), bank.digest()) == (AT_START if is_back else UPGRADED, rows)
    assert (bank.here(), bank.locks(), bank.databases()) == (0, 0, [])
    assert bank.files() == RECORDED


STOPPED = ("stopped", "Start it again with the same `--record`")


@pytest.mark.parametrize(
    ("step", "outcome", "told", "stands"),
    [
        pytest.param("preflight", "refused", None, AT_START, id="preflight"),
        pytest.param("backup", "refused", None, AT_START, id="backup"),
        pytest.param("restore-rehearsal", "refused", None, AT_START, id="restore-rehearsal"),
        pytest.param("maintenance-on", "refused", None, AT_START, id="maintenance-on"),
        pytest.param("apply", "unchanged", None, AT_START, id="apply"),
        pytest.param("verify", *STOPPED, UPGRADED, id="verify"),
        pytest.param("smoke-test", *STOPPED, UPGRADED, id="smoke-test"),
        pytest.param("watch", *STOPPED, UPGRADED, id="watch"),
        pytest.param("rollback", "stopped", "The way back by downgrade", UPGRADED, id="rollback"),
        pytest.param("maintenance-off", "deployed", None, UPGRADED, id="maintenance-off"),
    ],
)
def test_stopped_by_a_signal(
    open_bank: Callable[..., Bank], step: str, outcome: str, told: str | None, stands: Any
) -> None:
    """It lets the users in, writes down where the target stands, and leaves nothing behind."""
    bank = open_bank()
    rows = bank.digest()
    with held(bank, step) as started:
        processes = processes_of(started.pid)
        started.send_signal(signal.SIGTERM)
        if step == "maintenance-off":
            wait(lambda: bank.ran().count("off") == 2)
        else:
            started.wait(60)
    output, errors = started.communicate(timeout=60)
    assert started.returncode == 130, output + errors
    wait(lambda: not any(is_alive(pid, began) for pid, began in processes.items()), 15)
    record = bank.record()
    assert (record["outcome"], bank.stands()) == (outcome, stands)
    assert told is None or told in record["next"]
    assert bank.outcomes()[step] == ("passed" if step == "maintenance-off" else "failed")
    assert bank.digest() == rows
    assert ("off" in bank.ran("done")) == ("on" in bank.ran())
    assert (bank.here(), bank.locks(), bank.databases()) == (0, 0, [])
    assert "backup.dump.partial" not in bank.files()
    if step == "smoke-test":
        ran = bank.deploy()
        assert ran.returncode == 0, ran.stdout + ran.stderr
        assert bank.outcomes() == {
            **dict.fromkeys(STEPS, "passed"),
            **dict.fromkeys(("watch", "rollback"), "skipped"),
        }
        assert bank.ran() == ["backup", "on", "smoke", "off", "smoke"]
        assert bank.ended("ADD COLUMN currency") == 1


# --- Killed at moments of their own --------------------------------------------------


def test_killed_between_two_revisions(open_bank: Callable[..., Bank]) -> None:
    """Each is a transaction of its own: the first is not run again."""
    bank = open_bank("two", maintenance={"on": "true", "off": "true"})
    rows = bank.digest()
    with held(bank, "apply") as started:
        kill(started)
        assert bank.place.ask("SELECT version_num FROM alembic_version") == [("b002",)]
    ran = bank.deploy()
    assert ran.returncode == 0, ran.stdout + ran.stderr
    columns = ["id", "owner", "balance", "iban", "lowest"]
    assert bank.stands() == (["c003"], columns, ["accounts_pkey"])
    assert bank.digest() == rows
    assert bank.ended("ADD COLUMN iban") == 1
    assert bank.ran() == ["backup", "smoke"]
    assert bank.outcomes()["backup"] == "passed"
    assert bank.here() == 0


def test_what_only_the_rows_show_is_not_done_twice(open_bank: Callable[..., Bank]) -> None:
    """An UPDATE that was committed by itself, in a revision that is not there yet."""
    bank = open_bank("unseen")
    with held(bank, "apply") as started:
        kill(started)
    rows = bank.digest()
    for _ in range(2):
        ran = bank.deploy()
        assert ran.returncode == 3, ran.stdout + ran.stderr
        record = bank.record()
        assert record["outcome"] == "stopped"
        assert "UPDATE accounts SET balance = balance + ?" in record["next"]
        assert bank.digest() == rows
        assert bank.stands() == AT_START
        assert bank.here() == 0
    assert bank.ended("UPDATE accounts") == 1


@pytest.mark.parametrize("kind", ["by itself", "before another"])
def test_what_nobody_could_write_down_is_not_done(
    open_bank: Callable[..., Bank], kind: str
) -> None:
    """The process is suspended when rows are about to change, and then killed."""
    bank = open_bank(kind)
    rows = bank.digest()
    sleeping = "wait_event = 'PgSleep' AND datname = current_database()"
    bank.pause("target up", 3)
    started = bank.start()
    bank.wait(lambda: bank.sessions(sleeping))
    started.send_signal(signal.SIGSTOP)
    wait(lambda: not bank.sessions(sleeping))
    with pytest.raises(AssertionError, match="it does not come"):
        wait(lambda: bank.digest() != rows, 2)
    kill(started)
    bank.pause("target up", 0)
    ran = bank.deploy()
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert bank.ended("UPDATE accounts") == 1
    assert bank.place.ask("SELECT count(*) FROM accounts WHERE balance = id * 100 + 1") == [(500,)]


def test_killed_while_an_index_is_built_concurrently(open_bank: Callable[..., Bank]) -> None:
    """It waits for an older transaction; what it leaves is an index that is invalid."""
    bank = open_bank("concurrent")
    rows = bank.digest()
    connection = bank.place.connect()
    connection.cursor().execute("SELECT set_config('application_name', 'somebody', false)")
    bank.hold("backup")
    started = bank.start()
    bank.wait(lambda: "backup" in bank.ran())
    connection.cursor().execute("LOCK TABLE accounts IN ROW EXCLUSIVE MODE")
    bank.release("backup")
    building = "query LIKE 'CREATE INDEX CONCURRENTLY%' AND wait_event_type = 'Lock'"
    bank.wait(lambda: bank.sessions(f"{building} AND datname = current_database()"))
    bank.wait(lambda: bank.begun("CREATE INDEX CONCURRENTLY") == 1)
    kill(started)
    ran = bank.deploy()
    connection.close()
    assert ran.returncode == 3, ran.stdout + ran.stderr
    assert "CREATE INDEX CONCURRENTLY ix_balance" in bank.record()["next"]
    assert (bank.stands(), bank.digest(), bank.here()) == (AT_START, rows, 0)
    execute(bank.database, "DROP INDEX ix_balance")
    ran = bank.deploy()
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert bank.stands()[2] == ["accounts_pkey", "ix_balance"]
    assert bank.digest() == rows


def test_killed_while_the_backup_is_restored_in_place(open_bank: Callable[..., Bank]) -> None:
    """It waits for the lock of a table; nothing of it is committed, and it is gone on with."""
    bank = open_bank(on_failure="restore")
    rows = bank.digest()
    (bank.place.control / "broken").touch()
    bank.hold("smoke")
    started = bank.start()
    bank.wait(lambda: "smoke" in bank.ran())
    with locked(bank):
        bank.release("smoke")
        dropping = "wait_event_type = 'Lock' AND datname = current_database()"
        bank.wait(lambda: bank.has_begun("rollback") and bank.sessions(dropping))
        kill(started)
        assert bank.stands() == UPGRADED
    ran = bank.deploy()
    assert ran.returncode == 1, ran.stdout + ran.stderr
    record = bank.record()
    assert (record["outcome"], record["next"]) == ("restored", None)
    assert (bank.stands(), bank.digest(), bank.here()) == (AT_START, rows, 0)
    assert bank.ran() == ["backup", "on", "smoke", "off"]


# --- Two at a time, and what is another's --------------------------------------------


def test_a_second_deploy_leaves_the_first_alone(open_bank: Callable[..., Bank]) -> None:
    """It is refused, by its own record as by that of the first, and opens nothing to users."""
    bank = open_bank()
    rows = bank.digest()
    with held(bank, "smoke-test") as first:
        shared = bank.deploy()
        assert shared.returncode == 2, shared.stdout + shared.stderr
        assert "another process works on the deploy of this record" in shared.stderr
        second = bank.deploy("second")
        assert second.returncode == 1, second.stdout + second.stderr
        assert "another deploy works on the target" in " ".join(second.stdout.split())
        assert bank.record("second")["outcome"] == "refused"
        assert "off" not in bank.ran()
    output, errors = first.communicate(timeout=60)
    assert first.returncode == 0, output + errors
    assert bank.ran() == ["backup", "on", "smoke", "off"]
    assert (bank.stands(), bank.digest()) == (UPGRADED, rows)
    record = bank.record()
    again = bank.deploy()
    assert again.returncode == 0, again.stdout + again.stderr
    assert bank.record() == record, "that there was nothing to do is no record of the deploy"


def test_a_killed_deploy_does_not_open_what_another_holds(open_bank: Callable[..., Bank]) -> None:
    bank = open_bank()
    with held(bank, "maintenance-on") as killed:
        kill(killed)
    bank.hold("smoke")
    other = bank.start("other")
    bank.wait(lambda: "smoke" in bank.ran())
    ran = bank.deploy()
    assert ran.returncode == 3, ran.stdout + ran.stderr
    record = bank.record()
    assert record["outcome"] == "stopped"
    assert record["next"].startswith("Maintenance is still on. ")
    assert "another deploy works on the target" in record["next"]
    assert "off" not in bank.ran()
    bank.release("smoke")
    output, errors = other.communicate(timeout=60)
    assert other.returncode == 0, output + errors
    assert bank.stands() == UPGRADED


def test_the_record_of_another_release_is_left_alone(open_bank: Callable[..., Bank]) -> None:
    bank = open_bank()
    folder = bank.place.record_of(TAG)
    folder.mkdir()
    line = json.dumps({"event": "deploy", "environment": "staging", "tag": "v1.0.0"}) + "\n"
    (folder / "journal.jsonl").write_text(line, encoding="utf-8")
    ran = bank.deploy()
    assert ran.returncode == 2, ran.stdout + ran.stderr
    assert "its tag is `v1.0.0`, not `v1.1.0`" in ran.stderr
    assert bank.files() == {"journal.jsonl"}
    assert (folder / "journal.jsonl").read_text(encoding="utf-8").strip() == line.strip()
    assert (bank.ran(), bank.stands()) == ([], AT_START)
