"""An upgraded target held against what the rehearsal led to."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gatekeeper.deploy.apply import apply_upgrade
from gatekeeper.deploy.model import Proof, StepFailed, TargetState
from gatekeeper.deploy.verify import Verified, render_tables, verify_target
from gatekeeper.postgres.databases import Database
from gatekeeper.postgres.likeness import read_traits
from gatekeeper.postgres.servers import Server
from tests.databases import execute
from tests.deploy.sites import BASE, Site, a_site
from tests.deploy.targets import target_of
from tests.live import ENV_PY

pytestmark = [pytest.mark.postgres, pytest.mark.slow]

UPGRADE = """
op.execute("CREATE TYPE mood AS ENUM ('sad', 'ok')")
op.execute("ALTER TABLE users ADD COLUMN mood mood")
op.execute("DELETE FROM users WHERE id > 100")
"""
NOT_VALID = "op.execute(\"ALTER TABLE users ADD CONSTRAINT short CHECK (name < 'x') NOT VALID\")"
MODELS = ENV_PY.replace("target_metadata=None", "target_metadata=metadata").replace(
    "engine = ",
    "import sqlalchemy as sa\n\nmetadata = sa.MetaData()\n"
    "sa.Table('users', metadata, sa.Column('id', sa.Integer, primary_key=True),\n"
    "    sa.Column('name', sa.Text), sa.Column('mood', sa.Enum('sad', 'ok', name='mood')))\n"
    "engine = ",
    1,
)


class Upgraded:
    """A target that was upgraded, and what it was before and after."""

    def __init__(self, site: Site, database: Database) -> None:
        self.site, self.database = site, database
        self.before = site.read()
        apply_upgrade(site.deployment, site.access, site.revisions, self.before, lambda line: None)
        self.proof = Proof(self.before, site.read(), 1.0, None)

    def verify(
        self, before: TargetState | None = None, proof: Proof | None = None, **release: Any
    ) -> Verified:
        deployment = self.site.deployment
        deployment = replace(deployment, release=replace(deployment.release, **release))
        return verify_target(deployment, self.site.access, before or self.before, proof)

    def wrong(self, proof: Proof | None, **more: Any) -> list[str]:
        with pytest.raises(StepFailed) as raised:
            self.verify(proof=proof, **more)
        assert raised.value.what.startswith("the target is not as rehearsed: ")
        assert raised.value.details["tables"]
        return list(raised.value.details["wrong"])


@pytest.fixture
def upgraded(
    server: Server, database: Database, tmp_path: Path
) -> Iterator[Callable[..., Upgraded]]:
    """A function that upgrades a target whose models fit it."""
    with contextlib.ExitStack() as stack:

        def make(upgrade: str = UPGRADE, **more: Any) -> Upgraded:
            execute(database, *BASE)
            execute(database, "INSERT INTO users SELECT n FROM generate_series(101, 300) n")
            files = {"migrations/env.py": MODELS}
            opened = a_site(server, target_of(database), tmp_path, {"b002": upgrade}, files, **more)
            return Upgraded(stack.enter_context(opened), database)

        yield make


def test_a_target_that_is_as_rehearsed(upgraded: Callable[..., Upgraded]) -> None:
    there = upgraded()
    verified = there.verify(proof=there.proof)
    objects = len(there.proof.after.catalog.rows)
    assert verified.lines == (
        "it stands at `b002`",
        f"its catalog is that of the restored copy: {objects} objects",
        "no index is invalid and no constraint NOT VALID that was not so before",
        "public.users has 5 rows, before 205, by the rehearsal 5",
        "the models fit the schema",
    )
    details = verified.details
    assert (details["revisions"], details["rows"]) == (["b002"], {"public.users": 5})
    assert details["models"] == []
    assert details["catalog"] == dict(there.proof.after.catalog.fingerprints)
    assert details["tables"]["ENUM labels"] == {
        "head": ["type", "labels"],
        "rows": [["public.mood", "sad, ok"]],
    }
    page = render_tables(details["tables"])
    assert "<details><summary>Columns (4)</summary>" in page
    assert "| `public.users` | `mood` | `public.mood` |" in page
    assert "Triggers" not in page


def test_without_a_backup_the_releases_rehearsal_tells(upgraded: Callable[..., Upgraded]) -> None:
    there = upgraded()
    catalog = dict(read_traits(there.proof.after.catalog))
    with there.database.session() as connection:
        major = connection.server_version // 10_000
    verified = there.verify(catalog_after=catalog, server_major=major)
    assert verified.lines[1].startswith("its catalog is that of the release's rehearsal: ")
    assert verified.lines[3] == "public.users has 5 rows"
    other = {**catalog, "table public.users": "0" * 16, "table public.lost": "0" * 16}
    del other["enum public.mood"]
    assert there.wrong(None, catalog_after=other, server_major=major) == [
        "against the release's rehearsal `table public.lost` is missing",
        "against the release's rehearsal `enum public.mood` is not expected",
        "against the release's rehearsal `table public.users` is another one",
    ]


@pytest.mark.parametrize(
    ("environment", "release", "why"),
    [
        ({}, {}, "the release was not rehearsed"),
        (
            {},
            {"catalog_after": {}, "server_major": 9},
            "it was rehearsed on PostgreSQL 9, the target is ",
        ),
        ({"differences_accepted": True}, {"catalog_after": {}}, "`differences: accepted`"),
    ],
)
def test_a_catalog_that_cannot_be_compared_is_said(
    environment: Any, release: Any, why: str, upgraded: Callable[..., Upgraded]
) -> None:
    there = upgraded(**environment)
    assert there.verify(**release).lines[1].startswith(f"its catalog was not compared: {why}")


WRONG = [
    pytest.param(
        "UPDATE alembic_version SET version_num = 'a001'",
        ["it stands at `a001`, not at `b002`"],
        id="version",
    ),
    pytest.param(
        "ALTER TYPE mood ADD VALUE 'happy'",
        ["against the restored copy enum label public.mood.happy is left"],
        id="enum",
    ),
    pytest.param(
        "ALTER TABLE users ADD CONSTRAINT ok CHECK (id > 0) NOT VALID",
        [
            "against the restored copy constraint public.users.ok is left",
            "the constraint public.users.ok is NOT VALID",
        ],
        id="constraint",
    ),
    pytest.param(
        "CREATE INDEX ix ON users (name); UPDATE pg_index SET indisvalid = false"
        " WHERE indexrelid = 'ix'::regclass",
        ["against the restored copy index public.ix is left", "the index public.ix is invalid"],
        id="index",
    ),
]


@pytest.mark.parametrize(("done", "wrong"), WRONG)
def test_what_is_not_as_rehearsed(
    done: str, wrong: list[str], upgraded: Callable[..., Upgraded]
) -> None:
    there = upgraded()
    execute(there.database, done)
    assert there.wrong(there.proof) == wrong


@pytest.mark.parametrize(
    ("row_counts", "before", "wrong"),
    [
        pytest.param(("users",), 205, ["has 0 rows, before 205, by the rehearsal 5"], id="all"),
        pytest.param(("users",), 220, ["has 0 rows, before 220, by the rehearsal 20"], id="many"),
        pytest.param((), 402, ["has 0 rows, before 402, by the rehearsal 202"], id="of any table"),
        pytest.param((), 250, [], id="a queue that has emptied itself"),
    ],
)
def test_rows_that_are_gone(
    upgraded: Callable[..., Upgraded], row_counts: Any, before: int, wrong: list[str]
) -> None:
    there = upgraded(row_counts=row_counts)
    execute(there.database, "DELETE FROM users")
    was = replace(there.before, rows={"public.users": before})
    if not wrong:
        there.verify(was, proof=there.proof)
        return
    with pytest.raises(StepFailed) as raised:
        there.verify(was, proof=there.proof)
    assert raised.value.details["wrong"] == [f"public.users {each}" for each in wrong]


def test_rows_that_users_add_are_the_traffic(upgraded: Callable[..., Upgraded]) -> None:
    there = upgraded(row_counts=("users",))
    execute(there.database, "INSERT INTO users SELECT n FROM generate_series(1001, 1100) n")
    lines = there.verify(proof=there.proof).lines
    assert "public.users has 105 rows, before 205, by the rehearsal 5" in lines


def test_a_few_rows_are_the_traffic(upgraded: Callable[..., Upgraded]) -> None:
    there = upgraded()
    execute(there.database, "DELETE FROM users WHERE id < 3")
    lines = there.verify(proof=there.proof).lines
    assert "public.users has 3 rows, before 205, by the rehearsal 5" in lines


def test_a_constraint_that_was_rehearsed_not_valid(upgraded: Callable[..., Upgraded]) -> None:
    there = upgraded(UPGRADE + NOT_VALID)
    lines = there.verify(proof=there.proof).lines
    assert "the constraint public.users.short is NOT VALID, as it was rehearsed" in lines


PARTITIONED = """
op.execute("CREATE TABLE events (id int) PARTITION BY RANGE (id)")
op.execute("CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM (1) TO (9)")
op.execute("ALTER TABLE events ADD CONSTRAINT positive CHECK (id > 0) NOT VALID")
"""


def test_a_constraint_of_a_partition_is_its_tables_or_its_own(
    upgraded: Callable[..., Upgraded],
) -> None:
    """The release's rehearsal tells of no partition: they come and go."""
    there = upgraded(PARTITIONED)
    with there.database.session() as connection:
        major = connection.server_version // 10_000
    rehearsed = {
        "catalog_after": dict(read_traits(there.proof.after.catalog)),
        "server_major": major,
    }
    lines = there.verify(**rehearsed).lines
    assert "the constraint public.events.positive is NOT VALID, as it was rehearsed" in lines
    assert "the constraint public.events_1.positive is NOT VALID, as it was rehearsed" in lines
    own = "ALTER TABLE events_1 ADD CONSTRAINT own CHECK (id > 1) NOT VALID"
    execute(there.database, own)
    assert there.wrong(None, **rehearsed) == ["the constraint public.events_1.own is NOT VALID"]


def test_models_that_want_more_are_told(upgraded: Callable[..., Upgraded]) -> None:
    there = upgraded('op.execute("SELECT 1")')
    verified = there.verify(proof=there.proof)
    assert verified.details["models"] == ["add column public.users.mood"]
    assert "the models want: add column public.users.mood" in verified.lines
