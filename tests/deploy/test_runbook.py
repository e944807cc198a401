"""`gatekeeper deploy`, as a workflow calls it: what it leaves, whatever happens."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gatekeeper.model import ServerSource
from gatekeeper.postgres.databases import Database, open_database
from gatekeeper.postgres.installations import Installation
from gatekeeper.postgres.servers import Server, start_server
from tests.build_git import GitRepository, a_repository
from tests.databases import execute, url_of
from tests.deploy.bank import STEPS
from tests.live import live_project, live_revision, server_url
from tests.schemas import hold_to_schema
from tests.servers import Place, why_missing

pytestmark = [pytest.mark.postgres, pytest.mark.slow]

V = "migrations/versions"
ADD_EMAIL = 'op.add_column("users", sa.Column("email", sa.Text))'
DROP_EMAIL = 'op.drop_column("users", "email")'
USERS = """op.create_table(
        "users",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("note", sa.Text, nullable=True),
    )"""
POLICY = "version: 1\nenvironments:\n  staging: {}\n"


@dataclass(frozen=True)
class Site:
    """A shop with the release v1.1.0 to deploy, and a target that stands at v1.0.0."""

    shop: GitRepository
    server: Server
    target: Database
    environment: Mapping[str, str]
    folder: Path

    def release(self, tag: str = "v1.1.0") -> None:
        self.shop.git("checkout", "--quiet", tag)
        ran = self.run("release", "--output", str(self.folder / "plan"))
        assert ran.returncode == 0, ran.stdout + ran.stderr

    def deploy(
        self, *options: str, record: str = "record", **variables: str
    ) -> subprocess.CompletedProcess[str]:
        return self.run(*self.of_deploy(record), *options, **variables)

    def of_deploy(self, record: str = "record") -> tuple[str, ...]:
        plan, folder = self.folder / "plan" / "plan.json", self.folder / record
        given = ("--environment", "staging", "--plan", str(plan), "--record", str(folder))
        return ("deploy", *given)

    def roll_back(self) -> subprocess.CompletedProcess[str]:
        folder = str(self.folder / "record")
        return self.run("rollback", "--environment", "staging", "--record", folder)

    def run(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        started = self.start(*arguments, **variables)
        output, errors = started.communicate()
        return subprocess.CompletedProcess(started.args, started.returncode, output, errors)

    def start(self, *arguments: str, **variables: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "gatekeeper", *arguments],
            cwd=self.shop.root,
            env={
                **self.environment,
                "GATEKEEPER_DATABASE_URL": server_url(self.server),
                "GATEKEEPER_TARGET_URL": url_of(self.target),
                **variables,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def record(self, record: str = "record") -> Any:
        data = json.loads((self.folder / record / "record.json").read_text(encoding="utf-8"))
        hold_to_schema("record", data)
        return data

    def ask(self, query: str) -> list[Any]:
        with self.target.session() as connection, connection.cursor() as cursor:
            cursor.execute(query)
            return [row[0] for row in cursor.fetchall()]

    @property
    def version(self) -> list[Any]:
        return self.ask("SELECT version_num FROM alembic_version ORDER BY 1")

    @property
    def columns(self) -> list[Any]:
        return self.ask(
            "SELECT column_name::text FROM information_schema.columns"
            " WHERE table_schema = 'public' AND table_name = 'users' ORDER BY ordinal_position"
        )


def outcomes(record: Any) -> dict[str, str]:
    return {step["step"]: step["outcome"] for step in record["steps"]}


def make_site(
    tmp_path: Path,
    server: Server,
    target: Database,
    environment: Mapping[str, str],
    upgrade: str = ADD_EMAIL,
    downgrade: str = DROP_EMAIL,
    policy: str = POLICY,
) -> Site:
    first = live_revision("a001", None, USERS, 'op.drop_table("users")')
    files = {**live_project(), ".gatekeeper.yml": policy, f"{V}/a001.py": first}
    shop = a_repository(tmp_path / "shop", files)
    shop.git("tag", "v1.0.0")
    shop.commit({f"{V}/a002.py": live_revision("a002", "a001", upgrade, downgrade)})
    shop.git("tag", "v1.1.0")
    execute(
        target,
        "CREATE TABLE alembic_version (version_num varchar(32) NOT NULL,"
        " CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num))",
        "INSERT INTO alembic_version VALUES ('a001')",
        "CREATE TABLE users (id serial PRIMARY KEY, note text)",
        "INSERT INTO users SELECT n, 'note ' || n FROM generate_series(1, 25) n",
    )
    return Site(shop, server, target, environment, tmp_path)


@pytest.fixture
def target(server: Server) -> Iterator[Database]:
    with open_database(server) as database:
        yield database


@pytest.fixture
def target_apart(server: Server, installations: Mapping[Place, Installation]) -> Iterator[Database]:
    """A target on a server of its own, as it mostly is: nothing else writes there."""
    same = (i for i in installations.values() if i.major == server.info.major)
    installation = next(same, None)
    if installation is None:
        pytest.skip(f"no programs of PostgreSQL {server.info.major} for a second server")
    with start_server(installation) as another, open_database(another) as database:
        yield database


def test_a_release_is_deployed(
    tmp_path: Path, server: Server, target: Database, clean_environment: dict[str, str]
) -> None:
    site = make_site(tmp_path, server, target, clean_environment)
    site.release()
    ran = site.deploy()
    assert ran.returncode == 0, ran.stdout + ran.stderr
    record = site.record()
    assert (record["outcome"], record["next"]) == ("deployed", None)
    assert (record["from_revisions"], record["to_revisions"]) == (["a001"], ["a002"])
    assert outcomes(record) == {
        **dict.fromkeys(STEPS, "passed"),
        "smoke-test": "skipped",
        "watch": "skipped",
        "maintenance-on": "skipped",
        "rollback": "skipped",
        "maintenance-off": "skipped",
    }
    assert (site.version, site.columns) == (["a002"], ["id", "note", "email"])
    assert site.ask("SELECT count(*) FROM users") == [25]
    lines = ran.stdout.splitlines()
    assert lines[0] == "`v1.1.0` on `staging`: deployed"
    steps = [line.split()[:3] for line in lines if line[:1] in ("✓", "✗", "–")]
    signs = {"passed": "✓", "failed": "✗", "skipped": "–"}
    assert steps == [[signs[how], how, name] for name, how in outcomes(record).items()]
    assert lines[-1] == f"The record is {tmp_path / 'record' / 'record.md'}"
    page = (tmp_path / "record" / "record.md").read_text(encoding="utf-8")
    assert page.startswith("# `v1.1.0` on `staging`: deployed\n")
    said = {step["step"]: step["output"] for step in record["steps"]}
    details = record["steps"][1]["details"]
    (backup,) = said["backup"]
    assert backup.startswith("backup.dump: ")
    assert backup.endswith(f" kB, sha256 {details['sha256']}")
    took, back = said["restore-rehearsal"]
    assert took.startswith("the upgrade of the copy took ")
    assert back == "the downgrade led back to the same catalog and the same rows"
    assert f"{took}\n{back}\n" in page


def test_a_target_at_the_release_already_has_nothing_done_to_it(
    tmp_path: Path, server: Server, target: Database, clean_environment: dict[str, str]
) -> None:
    site = make_site(tmp_path, server, target, clean_environment)
    site.release()
    assert site.deploy(record="first").returncode == 0
    ran = site.deploy(record="second")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    record = site.record("second")
    assert record["outcome"] == "deployed"
    assert outcomes(record) == {**dict.fromkeys(STEPS, "skipped"), "preflight": "passed"}
    assert record["steps"][1]["reason"] == "there was nothing to do"


def environment_of(**settings: Any) -> str:
    return f"version: 1\nenvironments: {json.dumps({'staging': settings})}\n"


SMOKE_FAILS = {"smoke_test": ["echo 'the login is broken'; false"]}


@pytest.mark.parametrize(
    ("on_failure", "code", "outcome", "version", "columns"),
    [
        pytest.param("auto", 1, "rolled-back", ["a001"], ["id", "note"], id="auto"),
        pytest.param("downgrade", 1, "rolled-back", ["a001"], ["id", "note"], id="downgrade"),
        pytest.param("restore", 1, "restored", ["a001"], ["id", "note"], id="restore"),
        pytest.param("stop", 3, "stopped", ["a002"], ["id", "note", "email"], id="stop"),
    ],
)
def test_a_smoke_test_that_fails(
    tmp_path: Path,
    server: Server,
    target: Database,
    clean_environment: dict[str, str],
    on_failure: str,
    code: int,
    outcome: str,
    version: list[str],
    columns: list[str],
) -> None:
    policy = environment_of(on_failure=on_failure, **SMOKE_FAILS)
    site = make_site(tmp_path, server, target, clean_environment, policy=policy)
    site.release()
    ran = site.deploy()
    record = site.record()
    assert (ran.returncode, record["outcome"]) == (code, outcome), ran.stdout + ran.stderr
    assert (site.version, site.columns) == (version, columns)
    assert site.ask("SELECT sum(id) FROM users") == [325]
    steps = outcomes(record)
    assert steps["smoke-test"] == "failed"
    assert steps["rollback"] == ("skipped" if on_failure == "stop" else "passed")
    if on_failure == "stop":
        assert "the policy says `on_failure: stop`" in record["next"]


def test_what_fails_on_the_targets_rows_is_refused_before_anything_is_touched(
    tmp_path: Path, server: Server, target: Database, clean_environment: dict[str, str]
) -> None:
    """The history's own rehearsal had no rows."""
    site = make_site(
        tmp_path,
        server,
        target,
        clean_environment,
        upgrade='op.create_check_constraint("few", "users", "id < 20")',
        downgrade='op.drop_constraint("few", "users")',
    )
    site.release()
    ran = site.deploy()
    record = site.record()
    assert (ran.returncode, record["outcome"]) == (1, "refused"), ran.stdout + ran.stderr
    steps = outcomes(record)
    assert (steps["restore-rehearsal"], steps["apply"]) == ("failed", "skipped")
    reason = next(s["reason"] for s in record["steps"] if s["step"] == "restore-rehearsal")
    assert 'check constraint "few"' in reason
    assert (site.version, site.columns) == (["a001"], ["id", "note"])


def test_a_lock_that_is_never_free_leaves_the_target_unchanged(
    tmp_path: Path, server: Server, target: Database, clean_environment: dict[str, str]
) -> None:
    policy = environment_of(lock_timeout_seconds=1, lock_attempts=2)
    site = make_site(tmp_path, server, target, clean_environment, policy=policy)
    site.release()
    with target.session(autocommit=False) as blocker:
        blocker.cursor().execute("LOCK TABLE users IN ACCESS SHARE MODE")
        ran = site.deploy()
        blocker.rollback()
    record = site.record()
    assert (ran.returncode, record["outcome"]) == (1, "unchanged"), ran.stdout + ran.stderr
    reason = next(s["reason"] for s in record["steps"] if s["step"] == "apply")
    assert "LOCK TABLE users" in reason
    assert (site.version, site.columns) == (["a001"], ["id", "note"])


@pytest.mark.parametrize(
    ("has_maintenance", "code", "outcome"),
    [
        pytest.param(True, 1, "restored", id="nobody could write since the backup"),
        pytest.param(False, 3, "stopped", id="somebody may have written"),
    ],
)
def test_a_downgrade_that_cannot_bring_the_data_back(
    tmp_path: Path,
    server: Server,
    target_apart: Database,
    clean_environment: dict[str, str],
    has_maintenance: bool,
    code: int,
    outcome: str,
) -> None:
    """`auto` restores where that loses nothing, and asks a person otherwise."""
    log = tmp_path / "maintenance"
    log.touch()
    maintenance = {"on": f"echo on >> {log}", "off": f"echo off >> {log}"}
    policy = environment_of(
        **SMOKE_FAILS, **({"maintenance": maintenance} if has_maintenance else {})
    )
    site = make_site(
        tmp_path,
        server,
        target_apart,
        clean_environment,
        upgrade='op.drop_column("users", "note"); op.create_index("ix", "users", ["id"])',
        downgrade='op.drop_index("ix"); op.add_column("users", sa.Column("note", sa.Text))',
        policy=policy,
    )
    site.release()
    ran = site.deploy()
    record = site.record()
    assert (ran.returncode, record["outcome"]) == (code, outcome), ran.stdout + ran.stderr
    said = next(s["output"] for s in record["steps"] if s["step"] == "restore-rehearsal")
    assert said[1].startswith("the way back is not proven: after the downgrade rows are not what")
    steps = outcomes(record)
    switched = "passed" if has_maintenance else "skipped"
    assert (steps["maintenance-on"], steps["maintenance-off"]) == (switched, switched)
    if has_maintenance:
        assert log.read_text() == "on\noff\n"
        assert record["maintenance_seconds"] > 0
        assert site.ask("SELECT note FROM users WHERE id = 7") == ["note 7"]
        assert site.version == ["a001"]
    else:
        assert "there is no backup" not in record["next"]
        assert "would be lost by a restore" in record["next"]
        assert site.version == ["a002"]


@pytest.mark.parametrize(
    ("upgrade", "downgrade", "settings", "rollback", "told"),
    [
        pytest.param(
            'op.drop_column("users", "note")',
            'op.add_column("users", sa.Column("note", sa.Text))',
            {},
            "passed",
            "in the rehearsal not all came back: after the downgrade rows are not what they were "
            "in public.users. See what is missing, and put it back by hand. The backup is ",
            id="values that the rehearsal lost",
        ),
        pytest.param(
            'op.drop_column("users", "note")',
            'op.add_column("users", sa.Column("note", sa.Text))',
            {"backup": "off"},
            "passed",
            "in the rehearsal not all came back: `a002`: its downgrade cannot bring back the data "
            "of column public.users.note. See what is missing, and put it back by hand. There is "
            "no backup of this deploy.",
            id="values that the plan says are lost",
        ),
        pytest.param(
            'op.execute("DELETE FROM users WHERE id > 5")',
            'op.execute("SELECT 1")',
            {"backup": "off", "row_counts": ["users"]},
            "failed",
            "the target is not as it was before the deploy: public.users has 5 rows, not 25. ",
            id="rows that nobody knows to be lost",
        ),
    ],
)
def test_a_downgrade_that_loses_something_is_no_way_back(
    tmp_path: Path,
    server: Server,
    target: Database,
    clean_environment: dict[str, str],
    upgrade: str,
    downgrade: str,
    settings: dict[str, Any],
    rollback: str,
    told: str,
) -> None:
    """The policy wants it all the same, and a person is told what it did not bring back."""
    policy = environment_of(on_failure="downgrade", **SMOKE_FAILS, **settings)
    site = make_site(tmp_path, server, target, clean_environment, upgrade, downgrade, policy=policy)
    site.release()
    ran = site.deploy()
    record = site.record()
    assert (ran.returncode, record["outcome"]) == (3, "stopped"), ran.stdout + ran.stderr
    assert outcomes(record)["rollback"] == rollback
    assert told in record["next"]
    assert "the login is broken" in record["next"]
    assert (site.version, sorted(site.columns)) == (["a001"], ["id", "note"])


@pytest.mark.parametrize(
    ("variables", "options", "what"),
    [
        pytest.param(
            {"GATEKEEPER_TARGET_URL": ""},
            (),
            "gatekeeper: `GATEKEEPER_TARGET_URL` does not say which database is meant\n",
            id="no target",
        ),
        pytest.param(
            {},
            ("--environment", "stagin"),
            "gatekeeper: --environment: the policy knows no environment `stagin`\n"
            "Did you mean `staging`?\n",
            id="an environment that is not there",
        ),
    ],
)
def test_what_is_asked_wrongly(
    tmp_path: Path,
    server: Server,
    target: Database,
    clean_environment: dict[str, str],
    variables: dict[str, str],
    options: tuple[str, ...],
    what: str,
) -> None:
    site = make_site(tmp_path, server, target, clean_environment)
    site.release()
    ran = site.deploy(*options, **variables)
    assert ran.returncode == 2
    assert ran.stderr.startswith(what)
    assert not (tmp_path / "record").exists()


def test_a_deploy_is_taken_back_by_its_record(
    tmp_path: Path, server: Server, target: Database, clean_environment: dict[str, str]
) -> None:
    told = tmp_path / "told"
    tell = f"python3 -c 'import json, sys; print(json.load(sys.stdin)[\"outcome\"])' >> {told}"
    policy = environment_of(row_counts=["users"], notify=[{"command": tell}])
    site = make_site(tmp_path, server, target, clean_environment, policy=policy)
    site.release()
    assert site.deploy().returncode == 0
    again = site.deploy()
    assert (again.returncode, site.record()["steps"][4]["outcome"]) == (0, "passed")
    assert "There was nothing to do" in again.stdout
    shutil.rmtree(tmp_path / "plan")  # the record has its own copy
    execute(
        target,
        "UPDATE users SET note = 'written since' WHERE id = 3",
        "DELETE FROM users WHERE id > 3",  # by users, who may
    )
    for said in ("Taken back by downgrade", "There was nothing to do: the target is as it was"):
        ran = site.roll_back()
        assert said in ran.stdout
        assert ran.returncode == 0, ran.stdout + ran.stderr
        assert (site.version, site.columns) == (["a001"], ["id", "note"])
        assert site.ask("SELECT note FROM users WHERE id = 3") == ["written since"]
    assert told.read_text().split() == ["deployed"] * 2 + ["rolled-back"] * 2
    taken = json.loads((tmp_path / "record" / "rollback.json").read_text())
    hold_to_schema("record", taken)
    assert (taken["outcome"], outcomes(taken)["rollback"]) == ("rolled-back", "passed")
    assert site.record()["outcome"] == "deployed"


def test_a_deploy_that_was_taken_up_is_taken_back_by_its_record(
    tmp_path: Path, server: Server, target: Database, clean_environment: dict[str, str]
) -> None:
    """The record is that of the whole, and not of what the last process did."""
    begun, may_go = tmp_path / "begun", tmp_path / "may_go"
    waits = f"touch {begun}; while ! test -e {may_go}; do sleep 0.1; done"
    policy = environment_of(smoke_test=[waits])
    site = make_site(tmp_path, server, target, clean_environment, policy=policy)
    site.release()
    started = site.start(*site.of_deploy())
    while not begun.exists():
        assert started.poll() is None, started.communicate()
        time.sleep(0.05)
    started.terminate()
    _, errors = started.communicate()
    assert started.returncode == 130
    assert "Start it again with the same `--record`" in errors
    assert site.record()["outcome"] == "stopped"
    may_go.touch()
    ran = site.deploy()
    assert ran.returncode == 0, ran.stdout + ran.stderr
    passed = [step for step, outcome in outcomes(site.record()).items() if outcome == "passed"]
    assert passed == ["preflight", "backup", "restore-rehearsal", "apply", "verify", "smoke-test"]
    ran = site.roll_back()
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert (site.version, site.columns) == (["a001"], ["id", "note"])


def test_a_target_that_was_changed_since_is_not_taken_back(
    tmp_path: Path, server: Server, target: Database, clean_environment: dict[str, str]
) -> None:
    site = make_site(tmp_path, server, target, clean_environment)
    site.release()
    assert site.deploy().returncode == 0
    execute(target, "CREATE INDEX byhand ON users (note)")
    ran = site.roll_back()
    assert ran.returncode == 1
    assert "index public.byhand" in " ".join(ran.stdout.split())
    assert site.version == ["a002"]


def test_without_a_record_there_is_nothing_to_take_back(
    tmp_path: Path, server: Server, target: Database, clean_environment: dict[str, str]
) -> None:
    site = make_site(tmp_path, server, target, clean_environment)
    (tmp_path / "record").mkdir()
    ran = site.roll_back()
    assert ran.returncode == 2
    file = tmp_path / "record" / "record.json"
    assert ran.stderr.startswith(f"gatekeeper: {file}: it cannot be read: No such file")
    assert "Give `--record` the folder that `gatekeeper deploy` has written." in ran.stderr
    assert list((tmp_path / "record").iterdir()) == []


def test_the_record_holds_no_data_of_the_rows(
    tmp_path: Path, server: Server, target: Database, clean_environment: dict[str, str]
) -> None:
    """PostgreSQL tells the key that is there twice."""
    site = make_site(
        tmp_path,
        server,
        target,
        clean_environment,
        upgrade='op.create_unique_constraint("once", "users", ["note"])',
        downgrade='op.drop_constraint("once", "users")',
    )
    execute(target, "UPDATE users SET note = 'kim@example.org' WHERE id < 3")
    site.release()
    ran = site.deploy()
    assert site.record()["outcome"] == "refused", ran.stdout
    told = ran.stdout + ran.stderr
    for file in (tmp_path / "record").iterdir():
        if file.suffix in (".json", ".jsonl", ".md"):
            told += file.read_text(encoding="utf-8")
    assert "could not create unique index" in told
    assert "kim@example" not in told


def test_without_a_backup_the_evidence_tells_what_the_target_is_to_be(
    tmp_path: Path, server: Server, target: Database, clean_environment: dict[str, str]
) -> None:
    site = make_site(
        tmp_path, server, target, clean_environment, policy=environment_of(backup="off")
    )
    site.release()
    ran = site.deploy()
    assert ran.returncode == 0, ran.stdout + ran.stderr
    record = site.record()
    assert outcomes(record)["backup"] == "skipped"
    verified = next(step for step in record["steps"] if step["step"] == "verify")
    assert any("the release's rehearsal" in line for line in verified["output"])


def test_what_was_written_since_the_upgrade_keeps_it_from_being_taken_back(
    tmp_path: Path, server: Server, target: Database, clean_environment: dict[str, str]
) -> None:
    script = tmp_path / "smoke.py"
    script.write_text(
        "import os, psycopg2\n"
        "with psycopg2.connect(os.environ['GATEKEEPER_TARGET_URL']) as connection:\n"
        "    connection.cursor().execute('UPDATE users SET email = note WHERE id = 7')\n"
        "raise SystemExit('the login is broken')\n"
    )
    policy = environment_of(smoke_test=[f"{sys.executable} {script}"])
    site = make_site(tmp_path, server, target, clean_environment, policy=policy)
    site.release()
    ran = site.deploy()
    record = site.record()
    assert (ran.returncode, record["outcome"]) == (3, "stopped"), ran.stdout + ran.stderr
    assert "what was written since to column public.users.email" in record["next"]
    assert site.ask("SELECT email FROM users WHERE id = 7") == ["note 7"]


def test_the_copy_is_restored_on_a_server_of_the_targets_major(
    tmp_path: Path,
    start_once: Callable[[Place], Server | None],
    clean_environment: dict[str, str],
) -> None:
    """The one that a machine prefers may be another."""
    server = start_once(ServerSource.EMBEDDED)
    if server is None:
        pytest.skip(why_missing(ServerSource.EMBEDDED))
    with open_database(server) as target:
        site = make_site(tmp_path, server, target, clean_environment)
        site.release()
        ran = site.deploy(GATEKEEPER_DATABASE_URL="")
        assert ran.returncode == 0, ran.stdout + ran.stderr
        assert site.version == ["a002"]


def test_the_first_release_can_be_taken_back(
    tmp_path: Path, server: Server, target: Database, clean_environment: dict[str, str]
) -> None:
    """Alembic's own table stays where all revisions are taken back."""
    policy = environment_of(**SMOKE_FAILS)
    site = make_site(tmp_path, server, target, clean_environment, policy=policy)
    execute(target, "DROP TABLE users", "DROP TABLE alembic_version")
    site.release("v1.0.0")
    ran = site.deploy()
    assert site.record()["outcome"] == "rolled-back", ran.stdout + ran.stderr
    assert site.ask("SELECT to_regclass('users')") == [None]


def test_all_that_speaks_against_a_deploy_is_told_at_once(
    tmp_path: Path, server: Server, target: Database, clean_environment: dict[str, str]
) -> None:
    site = make_site(tmp_path, server, target, clean_environment)
    site.release()
    site.shop.commit({"README": "a later commit"})
    execute(target, "CREATE INDEX byhand ON users (note)")
    ran = site.deploy()
    assert (ran.returncode, site.record()["outcome"]) == (1, "refused")
    (preflight,) = (s for s in site.record()["steps"] if s["step"] == "preflight")
    assert len(preflight["output"]) == 2
    assert "git checkout v1.1.0" in preflight["output"][0]
    assert "index public.byhand" in preflight["output"][1]
