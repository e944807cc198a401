"""What a deploy leaves in the database when something goes wrong.

The target misbehaves by settings of its owner's role: the statement in `shop.upgrade` runs within
the upgrade and that in `shop.downgrade` within the downgrade, in the database that `shop.here`
names and in no copy of it. In all cases every row is accounted for.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from gatekeeper.deploy.clients import find_clients
from gatekeeper.postgres.databases import Database
from gatekeeper.postgres.servers import Server
from tests.build_git import GitRepository, a_repository
from tests.databases import execute
from tests.deploy.shop.place import Place, open_place
from tests.live import clean_variables, live_project, live_revision

pytestmark = [pytest.mark.postgres, pytest.mark.slow]

V = "migrations/versions"
TAG = "v1.1.0"

POLICY = """\
version: 1
project: {seed: db/seed.sql}
environments:
  staging:
    smoke_test: ['eval "$SMOKE"']
    maintenance: {on: sh ops/switch.sh on, off: sh ops/switch.sh off}
  watched:
    watch:
      minutes: 1
      errors: [{command: sh ops/errors.sh, most: 2}]
    maintenance: {on: sh ops/switch.sh on, off: sh ops/switch.sh off}
  restored:
    on_failure: restore
    smoke_test: ['eval "$SMOKE"']
  stopped:
    on_failure: stop
    smoke_test: ['eval "$SMOKE"']
  commanded:
    backup: {command: 'eval "$BACKUP"'}
"""
OPS = {
    "ops/switch.sh": 'echo "$1" >> "$SHOP_CONTROL/switch"\n',
    # One more each time that somebody asks.
    "ops/errors.sh": 'echo >> "$SHOP_CONTROL/errors"; wc -l < "$SHOP_CONTROL/errors"\n',
}
SEED = """\
DO $$
BEGIN
    IF to_regclass('accounts') IS NOT NULL THEN
        INSERT INTO accounts (owner, balance) SELECT 'o' || n, n FROM generate_series(1, 50) AS n;
    END IF;
END $$;
"""
ACCOUNTS = """\
op.create_table(
    "accounts",
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("owner", sa.Text, nullable=False),
    sa.Column("balance", sa.BigInteger, nullable=False),
)
"""


def injected(way: str) -> str:
    here = "current_database() = current_setting('shop.here', true)"
    execute = f"EXECUTE coalesce(current_setting('shop.{way}', true), 'SELECT 1')"
    return f'op.execute("DO $$ BEGIN IF {here} THEN {execute}; END IF; END $$")'


# Not concurrently: so the plan asks for a window.
UPGRADE = f"""\
op.add_column("accounts", sa.Column("currency", sa.Text))
op.create_index("ix_accounts_owner", "accounts", ["owner"])
{injected("upgrade")}
"""
DOWNGRADE = f"""\
{injected("downgrade")}
op.drop_index("ix_accounts_owner", "accounts")
op.drop_column("accounts", "currency")
"""

# --- The place -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the repository, and the plan of its second release."""
    folder = tmp_path_factory.mktemp("released")
    repository = a_repository(
        folder / "bank",
        {
            **live_project(),
            **OPS,
            ".gatekeeper.yml": POLICY,
            "db/seed.sql": SEED,
            f"{V}/a001.py": live_revision("a001", None, ACCOUNTS, 'op.drop_table("accounts")'),
        },
    )
    repository.git("tag", "v1.0.0")
    repository.commit({f"{V}/b002.py": live_revision("b002", "a001", UPGRADE, DOWNGRADE)})
    repository.git("tag", TAG)
    place = Place(repository, folder, "", "", clean_variables())
    ran = place.release(TAG)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    plan = json.loads((folder / f"plan-{TAG}" / "plan.json").read_text(encoding="utf-8"))
    assert plan["maintenance_window"]["needed"]
    return folder


@pytest.fixture
def place(
    released: Path, tmp_path: Path, database: Database, clean_environment: dict[str, str]
) -> Iterator[Place]:
    """The bank with 500 accounts, at its first release."""
    folder = tmp_path / "place"
    shutil.copytree(released, folder, symlinks=True)
    repository = GitRepository(folder / "bank")
    with open_place(repository, database, clean_environment, folder) as place:
        with place.session() as connection, connection.cursor() as cursor:
            cursor.execute(
                "CREATE TABLE alembic_version (version_num varchar(32) NOT NULL,"
                " CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num));"
                "INSERT INTO alembic_version VALUES ('a001');"
                "CREATE TABLE accounts (id serial PRIMARY KEY, owner text NOT NULL,"
                " balance bigint NOT NULL);"
                "INSERT INTO accounts (owner, balance)"
                " SELECT 'owner ' || n, n * 100 FROM generate_series(1, 500) AS n"
            )
        yield place


@pytest.fixture
def misbehave(place: Place, database: Database) -> Callable[[str, str], None]:
    """A function that lets the target run a statement on the way up or down."""

    def set_statement(way: str, statement: str) -> None:
        ((role,),) = place.ask("SELECT current_user")
        values = {"here": database.name, way: statement}
        execute(
            database,
            *(
                f"ALTER ROLE {role} IN DATABASE {database.name} SET shop.{name} = '{value}'"
                for name, value in values.items()
            ),
        )

    return set_statement


AT_START = ("a001", ["id", "owner", "balance"])
UPGRADED = ("b002", ["id", "owner", "balance", "currency"])


def stands(place: Place) -> tuple[str, list[str]]:
    """Return revision and columns of the target."""
    ((version,),) = place.ask("SELECT version_num FROM alembic_version")
    columns = place.ask(
        "SELECT attname::text FROM pg_attribute WHERE attrelid = 'accounts'::regclass"
        " AND attnum > 0 AND NOT attisdropped ORDER BY attnum"
    )
    return version, [name for (name,) in columns]


def digest(place: Place) -> str:
    ((found,),) = place.ask(
        "SELECT count(*) || ' ' || md5(string_agg(concat(id, ' ', owner, ' ', balance), ','"
        " ORDER BY id)) FROM accounts"
    )
    return str(found)


def outcomes(place: Place, record: str = TAG) -> dict[str, str]:
    """Return the outcomes of the steps that were not skipped."""
    steps = place.read_record(record)["steps"]
    return {s["step"]: s["outcome"] for s in steps if s["outcome"] != "skipped"}


def switched(place: Place) -> list[str]:
    file = place.control / "switch"
    return file.read_text().split() if file.exists() else []


# --- Something goes wrong after the upgrade ------------------------------------------


def test_a_failing_smoke_test_is_taken_back_by_the_proven_downgrade(place: Place) -> None:
    rows = digest(place)
    ran = place.with_variables(SMOKE="echo no login; exit 3").deploy(TAG)
    assert ran.returncode == 1, ran.stdout + ran.stderr
    assert place.read_record(TAG)["outcome"] == "rolled-back"
    assert outcomes(place)["smoke-test"] == "failed"
    assert outcomes(place)["rollback"] == "passed"
    assert (stands(place), digest(place)) == (AT_START, rows)
    assert switched(place) == ["on", "off"]
    assert "no login" in (place.record_of(TAG) / "record.md").read_text()


def test_a_crossed_threshold_fails_the_deploy_at_once(place: Place) -> None:
    rows = digest(place)
    began = time.monotonic()
    ran = place.deploy(TAG, environment="watched")
    assert ran.returncode == 1, ran.stdout + ran.stderr
    assert time.monotonic() - began < 55
    assert place.read_record(TAG)["outcome"] == "rolled-back"
    assert outcomes(place)["watch"] == "failed"
    assert (stands(place), digest(place)) == (AT_START, rows)
    assert switched(place) == ["on", "off"]


def test_a_failing_downgrade_stops_and_says_what_is_there(place: Place, misbehave: Any) -> None:
    rows = digest(place)
    misbehave("downgrade", "SELECT 1/0")
    ran = place.with_variables(SMOKE="exit 3").deploy(TAG)
    assert ran.returncode == 3, ran.stdout + ran.stderr
    record = place.read_record(TAG)
    assert (record["outcome"], outcomes(place)["rollback"]) == ("stopped", "failed")
    assert "division by zero" in record["next"]
    assert (stands(place), digest(place)) == (UPGRADED, rows)
    assert switched(place) == ["on", "off"]


def test_the_policy_may_want_the_backup_back(place: Place) -> None:
    rows = digest(place)
    ran = place.with_variables(SMOKE="exit 3").deploy(TAG, environment="restored")
    assert ran.returncode == 1, ran.stdout + ran.stderr
    assert place.read_record(TAG)["outcome"] == "restored"
    assert (stands(place), digest(place)) == (AT_START, rows)


def test_a_restore_that_fails_leaves_the_target_as_it_was(place: Place) -> None:
    """The dump is damaged between the restore rehearsal and the way back."""
    rows = digest(place)
    damage = f'find "{place.record_of(TAG)}" -name "*.dump" -exec truncate -s 300 {{}} +; exit 3'
    ran = place.with_variables(SMOKE=damage).deploy(TAG, environment="restored")
    assert ran.returncode == 3, ran.stdout + ran.stderr
    record = place.read_record(TAG)
    assert (record["outcome"], outcomes(place)["rollback"]) == ("stopped", "failed")
    assert record["next"]
    assert (stands(place), digest(place)) == (UPGRADED, rows)


def test_the_policy_may_want_nothing_done(place: Place) -> None:
    rows = digest(place)
    ran = place.with_variables(SMOKE="exit 3").deploy(TAG, environment="stopped")
    assert ran.returncode == 3, ran.stdout + ran.stderr
    record = place.read_record(TAG)
    assert record["outcome"] == "stopped"
    assert "on_failure: stop" in record["next"]
    assert (stands(place), digest(place)) == (UPGRADED, rows)


def test_users_are_kept_out_while_a_deploy_is_taken_back_later(place: Place) -> None:
    rows = digest(place)
    assert place.with_variables(SMOKE="true").deploy(TAG).returncode == 0
    record = ("--record", str(place.record_of(TAG)))
    ran = place.run("rollback", "--environment", "staging", *record)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert (stands(place), digest(place)) == (AT_START, rows)
    assert switched(place) == ["on", "off", "on", "off"]


# --- Refused before anything is touched ----------------------------------------------


def refused(place: Place, told: str, step: str = "preflight", **options: str) -> None:
    """Deploy, and hold what is left against what was there; `told` stands in the record."""
    before = (stands(place), digest(place))
    ran = place.deploy(TAG, **options)
    assert ran.returncode == 1, ran.stdout + ran.stderr
    record = place.read_record(TAG)
    assert record["outcome"] == "refused"
    assert outcomes(place)[step] == "failed"
    assert "apply" not in outcomes(place)
    reasons = [s["reason"] for s in record["steps"] if s["step"] == step]
    assert told in f"{reasons} {record['next']}", record
    assert (stands(place), digest(place)) == before
    assert switched(place) == []


def test_a_phantom_revision_is_named_with_its_branch(place: Place) -> None:
    place.repository.git("switch", "--quiet", "--create", "experiment", "v1.0.0")
    place.repository.commit({f"{V}/f00d.py": live_revision("f00d", "a001")})
    place.repository.git("checkout", "--quiet", TAG)
    with place.session() as connection, connection.cursor() as cursor:
        cursor.execute("UPDATE alembic_version SET version_num = 'f00d'")
    refused(place, "experiment")


def test_a_target_changed_by_hand_is_told(place: Place) -> None:
    with place.session() as connection, connection.cursor() as cursor:
        cursor.execute("ALTER TABLE accounts ADD COLUMN by_hand text")
    refused(place, "by_hand")


def test_evidence_of_another_commit_is_told(place: Place) -> None:
    place.repository.commit({f"{V}/b003.py": live_revision("b003", "b002")})
    refused(place, place.repository.git("rev-parse", "--short=7", "HEAD"))


@pytest.mark.parametrize(
    ("command", "step"),
    [
        pytest.param("exit 4", "backup", id="the command fails"),
        pytest.param("pg_dump -Fc > /dev/full", "backup", id="the disk is full"),
        pytest.param("true", "restore-rehearsal", id="nothing is written"),
        pytest.param(
            'pg_dump -Fc -f "$GATEKEEPER_BACKUP_FILE"; truncate -s 300 "$GATEKEEPER_BACKUP_FILE"',
            "restore-rehearsal",
            id="the dump is cut off",
        ),
        pytest.param(
            'pg_dump -Fc -T accounts -f "$GATEKEEPER_BACKUP_FILE"',
            "restore-rehearsal",
            id="a table is missing",
        ),
        pytest.param(
            'pg_dump -Fc --exclude-table-data=accounts -f "$GATEKEEPER_BACKUP_FILE"',
            "restore-rehearsal",
            id="rows are missing",
        ),
    ],
)
def test_a_backup_that_is_none_is_refused(
    place: Place, server: Server, command: str, step: str
) -> None:
    programs = find_clients(server.info.major).bin
    commanded = place.with_variables(BACKUP=f'PATH="{programs}:$PATH"; {command}')
    refused(commanded, "", step, environment="commanded")


# --- Secrets -------------------------------------------------------------------------


@pytest.mark.parametrize("environment", ["staging", "restored"])
def test_the_password_is_nowhere(place: Place, environment: str) -> None:
    """Neither in a file or in what is printed, nor on the command line of any process."""
    secret = place.password.encode()
    with watched_processes(secret) as seen:
        ran = place.with_variables(SMOKE="exit 3").deploy(TAG, environment=environment)
    assert ran.returncode == 1, ran.stdout + ran.stderr
    assert seen.commands == []
    assert seen.looks > 10
    assert place.password not in ran.stdout + ran.stderr
    files = [f for f in place.folder.rglob("*") if f.is_file()]
    assert {"record.json", "record.md", "journal.jsonl"} <= {f.name for f in files}
    assert [f for f in files if secret in f.read_bytes()] == []


@dataclass
class Seen:
    """How often the list of processes was read, and the commands that held the secret."""

    looks: int = 0
    commands: list[bytes] = field(default_factory=list)


@contextlib.contextmanager
def watched_processes(secret: bytes) -> Iterator[Seen]:
    seen, stop = Seen(), threading.Event()

    def look() -> None:
        while not stop.is_set():
            for file in Path("/proc").glob("[0-9]*/cmdline"):
                with contextlib.suppress(OSError):
                    command = file.read_bytes()
                    if secret in command:
                        seen.commands.append(command)
            seen.looks += 1
            stop.wait(0.02)

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        stop.set()
        thread.join()
