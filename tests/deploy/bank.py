"""A bank whose release is deployed or taken back, and what holds each step of that open.

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
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gatekeeper.deploy.clients import find_clients
from gatekeeper.postgres.databases import Database
from tests.build_git import GitRepository, a_repository
from tests.databases import execute
from tests.deploy.shop.place import Place, open_place
from tests.live import ENV_PY, clean_variables, live_project, live_revision, server_url
from tests.waiting import wait_for

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
HALVE = DOUBLE.replace("+ 1", "- 1").replace(pause("up"), pause("down"))
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
            f'{pause("down")}\nop.drop_column("accounts", "iban")',
        ),
        "c003": (LIMIT, NO_LIMIT),
    },
    "unseen": {"b002": (DOUBLE, HALVE)},
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


def make_release(folder: Path, kind: str) -> Path:
    """Return a folder, now with a bank and the plan of its second release."""
    first = live_revision("a001", None, ACCOUNTS, "pass")
    ops = {"ops/wait.sh": WAIT, "ops/backup.sh": BACKUP}
    files = {**live_project(EACH_BY_ITSELF), **ops, f"{V}/a001.py": first}
    repository = a_repository(folder / "bank", files)
    repository.git("tag", "v1.0.0")
    down = "a001"
    for name, (upgrade, downgrade) in KINDS[kind].items():
        repository.commit({f"{V}/{name}.py": live_revision(name, down, upgrade, downgrade)})
        down = name
    repository.git("tag", TAG)
    ran = Place(repository, folder, "", "", clean_variables()).release(TAG)
    assert (folder / f"plan-{TAG}" / "plan.json").exists(), ran.stdout + ran.stderr
    return folder


@contextlib.contextmanager
def open_at_first_release(
    released: Path,
    folder: Path,
    database: Database,
    environment: Mapping[str, str],
    policy: Mapping[str, Any],
) -> Iterator[Bank]:
    """Yield a bank with 500 accounts, in a folder of its own."""
    shutil.copytree(released, folder, symlinks=True)
    repository = GitRepository(folder / "bank")
    programs = find_clients(database.server.info.major).bin
    variables = {
        **environment,
        "PATH": f"{programs}{os.pathsep}{environment['PATH']}",
        "GATEKEEPER_DATABASE_URL": server_url(database.server),
    }
    with open_place(repository, database, variables, folder) as place:
        ((role,),) = place.ask("SELECT current_user")
        execute(
            database,
            f"ALTER ROLE {role} IN DATABASE {database.name} SET shop.here = '{database.name}'",
        )
        with place.session() as connection, connection.cursor() as cursor:
            cursor.execute(TARGET)
        bank = Bank(place, database, database.server.run_id)
        bank.write_policy(**policy)
        try:
            yield bank
        finally:
            bank.end_all()


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
        return self._watched(self.place.start_deploy(TAG, record=record))

    def deploy(self, record: str = TAG) -> subprocess.CompletedProcess[str]:
        return _end(self.start(record))

    def start_back(self) -> subprocess.Popen[str]:
        """Start `gatekeeper rollback` of the deploy."""
        record = str(self.place.record_of(TAG))
        given = ("--environment", "staging", "--record", record)
        return self._watched(self.place.start("rollback", *given))

    def roll_back(self) -> subprocess.CompletedProcess[str]:
        return _end(self.start_back())

    def _watched(self, started: subprocess.Popen[str]) -> subprocess.Popen[str]:
        self._started.append(started)
        return started

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

        wait_for(has_come)

    def break_it(self) -> None:
        """Let the smoke test fail from now on."""
        (self.place.control / "broken").touch()

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

    def forget_commands(self) -> None:
        for name in ("ran", "done"):
            (self.place.control / name).unlink()

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
        return outcomes_of(self.record(name))


def outcomes_of(record: Any) -> dict[str, str]:
    return {step["step"]: step["outcome"] for step in record["steps"]}


def _end(started: subprocess.Popen[str]) -> subprocess.CompletedProcess[str]:
    output, errors = started.communicate(timeout=120)
    return subprocess.CompletedProcess([], started.returncode, output, errors)


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
    wait_for(lambda: not any(is_alive(pid, began) for pid, began in processes.items()), 15)


# --- Each step, held open ------------------------------------------------------------


@contextlib.contextmanager
def held(bank: Bank, step: str, is_back: bool = False) -> Iterator[subprocess.Popen[str]]:
    """Start a deploy, or a rollback, and yield it within a step.

    The step stays open as long as the block. A deploy comes to a step `rollback` because its
    smoke test fails.
    """
    start = bank.start_back if is_back else bank.start
    commands = {"backup": "backup", "maintenance-on": "on", "smoke-test": "smoke"}
    commands["maintenance-off"] = "off"
    sleeping = "query LIKE 'SELECT pg_sleep((%' AND state = 'active' AND datname"
    with contextlib.ExitStack() as stack:
        if step == "preflight":
            stack.enter_context(locked(bank))
            started = start()
            bank.wait(lambda: bank.sessions("wait_event_type = 'Lock'"))
        elif step in commands:
            bank.hold(commands[step])
            stack.callback(bank.release, commands[step])
            started = start()
            bank.wait(lambda: commands[step] in bank.ran())
        elif step == "restore-rehearsal":
            bank.pause("copy up")
            stack.callback(bank.pause, "copy up", 0)
            started = start()
            bank.wait(lambda: bank.sessions(f"{sleeping} <> current_database()"))
        elif step == "apply":
            bank.pause("target up")
            stack.callback(bank.pause, "target up", 0)
            started = start()
            bank.wait(lambda: bank.sessions(f"{sleeping} = current_database()"))
            bank.wait(lambda: bank.begun("pg_sleep") == 1)
        elif step == "verify":
            bank.pause("target up", 2)
            started = start()
            bank.wait(lambda: bank.sessions(f"{sleeping} = current_database()"))
            stack.enter_context(locked(bank))
            bank.wait(lambda: bank.has_begun("verify"))
            bank.wait(lambda: bank.sessions("wait_event_type = 'Lock'"))
        elif step == "watch":
            bank.write_policy(watch={"minutes": 1})
            stack.callback(bank.write_policy)
            started = start()
            bank.wait(lambda: bank.has_begun("watch"))
        else:
            assert step == "rollback"
            if not is_back:
                bank.break_it()
            bank.pause("target down")
            stack.callback(bank.pause, "target down", 0)
            started = start()
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
