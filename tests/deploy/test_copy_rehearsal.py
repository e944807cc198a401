"""The release is rehearsed on a copy of the target: forward, and back to what that held."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from gatekeeper.deploy.backup import make_backup
from gatekeeper.deploy.copy_rehearsal import rehearse_on_copy
from gatekeeper.deploy.model import Proof, StepFailed
from gatekeeper.model import Revision
from gatekeeper.policy.model import Backup, BackupMode
from gatekeeper.postgres.databases import Database, open_database
from gatekeeper.postgres.servers import Server, open_server
from gatekeeper.rehearsal.ground import Preparation
from tests.build import a_revision
from tests.databases import execute, url_of
from tests.deploy.stages import (
    FILES,
    FOLDER,
    SHOP,
    VERSIONS,
    a_stage,
    deploy_to,
    own_dump,
)
from tests.deploy.targets import an_ordinary_target, contents, target_of
from tests.live import a_table, live_revision, server_url
from tests.servers import OWN, Place, on_every_server

pytestmark = pytest.mark.postgres

ADD = 'op.add_column("users", sa.Column("age", sa.Integer))'
DROP = 'op.drop_column("users", "age")'


def rehearse(
    server: Server,
    target: Server,
    folder: Path,
    upgrade: str = ADD,
    downgrade: str | None = DROP,
    *,
    backup: Backup | None = None,
    environ: Mapping[str, str] | None = None,
    preparation: Preparation | None = None,
) -> Proof:
    """Back a target up and rehearse `b002` on the copy."""
    files = {**FILES, f"{FOLDER}/b002.py": live_revision("b002", "a001", upgrade, downgrade)}
    record = folder / "record"
    deployment = deploy_to(target, record, backup=backup or Backup(), environ=environ)
    made = make_backup(deployment, VERSIONS)
    fields = {} if downgrade is not None else {"downgrade": None}
    revisions: tuple[Revision, ...] = (a_revision("b002", "a001", **fields),)
    with a_stage(server, folder / "checkout", files, preparation) as stage:
        return rehearse_on_copy(deployment, stage, made, revisions, VERSIONS)


@pytest.mark.slow
@on_every_server("target_server", "server")
def test_there_and_back(server: Server, shop: Database, tmp_path: Path) -> None:
    held = contents(shop)
    proof = rehearse(server, target_of(shop), tmp_path)
    assert proof.obstacle is None
    assert proof.before.versions == {"a001"}
    assert proof.after.versions == {"b002"}
    assert proof.before.rows == proof.after.rows == {"public.users": 20}
    assert ("column", "public.users.age") in proof.after.catalog.rows
    assert 0 < proof.seconds < 60
    assert contents(shop) == held


@pytest.mark.slow
@pytest.mark.parametrize(
    ("upgrade", "downgrade", "obstacle"),
    [
        pytest.param(ADD, None, "`b002` has no downgrade", id="no downgrade"),
        pytest.param(
            ADD,
            "raise RuntimeError('never')",
            "the downgrade fails: migrations/versions/b002.py:16: RuntimeError: never",
            id="downgrade raises",
        ),
        pytest.param(
            ADD,
            "pass",
            "the downgrade leads to another catalog: column public.users.age is left",
            id="column left",
        ),
        pytest.param(
            'op.execute("UPDATE users SET name = NULL WHERE id = 7")',
            "pass",
            "after the downgrade rows are not what they were in public.users",
            id="values lost",
        ),
        pytest.param(
            'op.execute("DELETE FROM users WHERE id = 7")',
            "op.execute(\"INSERT INTO users VALUES (7, 'user 7')\")",
            None,
            id="row brought back",
        ),
        pytest.param(
            "op.execute(\"SELECT nextval('numbers')\")", "pass", None, id="sequence went on"
        ),
        pytest.param(
            'op.execute("DROP SEQUENCE numbers")',
            'op.execute("CREATE SEQUENCE numbers")',
            "after the downgrade values come again that were there already, from public.numbers",
            id="sequence went back",
        ),
    ],
)
def test_what_stands_in_the_way_back(
    server: Server,
    shop: Database,
    tmp_path: Path,
    upgrade: str,
    downgrade: str | None,
    obstacle: str | None,
) -> None:
    execute(shop, "CREATE SEQUENCE numbers", "SELECT setval('numbers', 100)")
    assert rehearse(server, target_of(shop), tmp_path, upgrade, downgrade).obstacle == obstacle


@pytest.mark.slow
def test_an_upgrade_that_fails_on_the_targets_rows(
    server: Server, shop: Database, tmp_path: Path
) -> None:
    execute(shop, "INSERT INTO users VALUES (99, NULL)")
    upgrade = 'op.alter_column("users", "name", nullable=False)'
    with pytest.raises(StepFailed) as raised:
        rehearse(server, target_of(shop), tmp_path, upgrade)
    assert raised.value.what.startswith(
        "the upgrade fails on a restored copy of the target: migrations/versions/b002.py:12: "
    )
    assert 'column "name" of relation "users" contains null values' in raised.value.what


@pytest.mark.slow
def test_revisions_name_roles_of_the_target(server: Server, shop: Database, tmp_path: Path) -> None:
    execute(shop, "CREATE ROLE reporting")
    try:
        proof = rehearse(
            server,
            target_of(shop),
            tmp_path,
            'op.execute("GRANT SELECT ON users TO reporting")',
            'op.execute("REVOKE SELECT ON users FROM reporting")',
        )
    finally:
        execute(shop, "DROP ROLE reporting")
    assert proof.obstacle is None


@pytest.mark.slow
def test_a_downgrade_that_forgets_who_may_read(
    server: Server, shop: Database, tmp_path: Path
) -> None:
    """The application would be locked out by a rollback that looks complete."""
    execute(
        shop,
        "CREATE ROLE application",
        "CREATE VIEW names AS SELECT name FROM users",
        "GRANT SELECT ON names TO application",
    )
    try:
        proof = rehearse(
            server,
            target_of(shop),
            tmp_path,
            'op.execute("DROP VIEW names")',
            'op.execute("CREATE VIEW names AS SELECT name FROM users")',
        )
    finally:
        execute(shop, "DROP OWNED BY application", "DROP ROLE application")
    assert proof.obstacle is not None
    assert proof.obstacle.startswith(
        "the downgrade leads to other privileges: view public.names: privileges was "
    )
    assert "application=r/postgres" in proof.obstacle


@pytest.mark.slow
@pytest.mark.parametrize("is_restricted", [False, True])
def test_the_target_of_an_ordinary_role(
    server: Server, target_database: Database, tmp_path: Path, is_restricted: bool
) -> None:
    with an_ordinary_target(target_database) as target:
        with target.connect(target.maintenance_database) as connection:
            cursor = connection.cursor()
            cursor.execute("SET search_path = public")
            for statement in SHOP:
                cursor.execute(statement)
        connection.close()
        proof = rehearse(
            server, target, tmp_path, preparation=Preparation(is_restricted=is_restricted)
        )
    assert proof.obstacle is None


@pytest.mark.slow
def test_a_copy_that_lacks_rows_is_no_proof(server: Server, shop: Database, tmp_path: Path) -> None:
    deployment = deploy_to(target_of(shop), tmp_path / "record")
    backup = make_backup(deployment, VERSIONS)
    assert backup.state is not None
    more = replace(backup, state=replace(backup.state, rows={"public.users": 21}))
    with (
        a_stage(server, tmp_path / "checkout", FILES) as stage,
        pytest.raises(StepFailed) as raised,
    ):
        rehearse_on_copy(deployment, stage, more, (), VERSIONS)
    assert raised.value.what == (
        "the restored copy does not hold what was backed up: public.users has 20 rows, not 21"
    )


@pytest.mark.slow
def test_a_server_that_is_given_keeps_nothing(
    start_once: Callable[[Place], Server | None], rich: Database, tmp_path: Path
) -> None:
    """The service container of a workflow, which may be used for more than this."""
    given = next(filter(None, map(start_once, OWN)))
    query = (
        "SELECT rolname FROM pg_roles UNION ALL SELECT datname FROM pg_database"
        " WHERE datname !~ '^gatekeeper_' ORDER BY 1"
    )
    before = given.administer(query)
    with open_server(server_url(given)) as service:
        proof = rehearse(service, target_of(rich), tmp_path, *a_table("later"))
    assert proof.obstacle is None
    assert given.administer(query) == before


@pytest.mark.slow
def test_an_extension_may_have_another_version_here(
    server: Server, shop: Database, tmp_path: Path
) -> None:
    """A dump does not tell it."""
    execute(
        shop,
        "CREATE EXTENSION citext",
        "UPDATE pg_extension SET extversion = '0.9' WHERE extname = 'citext'",
    )
    assert rehearse(server, target_of(shop), tmp_path).obstacle is None


TWO = """\
from alembic import context
from sqlalchemy import create_engine

for name in ("shop", "stock"):
    engine = create_engine(f"postgresql+psycopg2://nobody@192.0.2.1/{name}")
    with engine.connect() as connection:
        context.configure(connection=connection)
        with context.begin_transaction():
            context.run_migrations()
"""


@pytest.mark.slow
def test_one_database_is_deployed_to(server: Server, shop: Database, tmp_path: Path) -> None:
    deployment = deploy_to(target_of(shop), tmp_path / "record")
    backup = make_backup(deployment, VERSIONS)
    files = {**FILES, "migrations/env.py": TWO}
    with (
        a_stage(server, tmp_path / "checkout", files) as stage,
        pytest.raises(StepFailed) as raised,
    ):
        rehearse_on_copy(deployment, stage, backup, (), VERSIONS)
    assert raised.value.what == (
        "env.py migrates several databases (shop, stock), and a deploy is to one"
    )


@pytest.mark.slow
def test_on_the_dump_of_the_teams_own_command(
    server: Server, shop: Database, tmp_path: Path
) -> None:
    """It is of a moment that nobody knows: its rows may be fewer than the target's by now."""
    proof = rehearse(server, target_of(shop), tmp_path, backup=own_dump(shop, "--format=custom"))
    assert proof.obstacle is None
    assert proof.before.rows == {"public.users": 20}


@pytest.mark.slow
@pytest.mark.parametrize(
    "backup",
    [Backup(largest_gb=0), Backup(mode=BackupMode.COMMAND, command="true")],
    ids=["too large", "kept elsewhere"],
)
def test_on_a_copy_that_is_given(
    server: Server, shop: Database, target_server: Server, tmp_path: Path, backup: Backup
) -> None:
    with open_database(target_server) as given:
        execute(given, *SHOP, "DELETE FROM users WHERE id > 15")
        execute(given, f"ALTER DATABASE {given.name} RESET gatekeeper.marker")
        environ = {"GATEKEEPER_RESTORED_URL": url_of(given)}
        proof = rehearse(server, target_of(shop), tmp_path, backup=backup, environ=environ)
        assert proof.obstacle is None
        assert proof.before.rows == {"public.users": 15}
        with given.session() as connection, connection.cursor() as cursor:
            cursor.execute("SELECT current_setting('gatekeeper.marker', true)")
            assert cursor.fetchone() in ((None,), ("",))
