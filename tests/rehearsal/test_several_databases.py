"""Projects whose env.py migrates more than one database."""

from __future__ import annotations

from pathlib import Path

import pytest

from gatekeeper.model import Outcome, Report, Verdict
from gatekeeper.postgres.servers import Server
from tests.live import Files, check_repository, make_change, rehearsal_of
from tests.situations import project_files, read_situation

pytestmark = [pytest.mark.postgres, pytest.mark.slow]

REVISION = '''\
"""Message of a003."""

import sqlalchemy as sa
from alembic import op

revision = "a003"
down_revision = "a002"


def upgrade(engine_name):
    globals()["upgrade_" + engine_name]()


def downgrade(engine_name):
    globals()["downgrade_" + engine_name]()


def upgrade_shop():
    {shop}


def downgrade_shop():
    {shop_down}


def upgrade_stock():
    {stock}


def downgrade_stock():
    {stock_down}
'''
V = "migrations/versions"


def a003(
    shop: str = "pass", shop_down: str = "pass", stock: str = "pass", stock_down: str = "pass"
) -> str:
    return REVISION.format(shop=shop, shop_down=shop_down, stock=stock, stock_down=stock_down)


NOTE = 'sa.Table("items", metadata["stock"], sa.Column("note", sa.Text), extend_existing=True)'
ENV_PY = "migrations/env.py"


def changed_env(*replacements: tuple[str, str], situation: str = "multidb") -> str:
    """Return the project's env.py with texts replaced that each occur once."""
    text = project_files(read_situation(situation))[ENV_PY].decode()
    for old, new in replacements:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


WITH_NOTE = ("\nengines = {}", f"\n{NOTE}\nengines = {{}}")
TWO_PHASES = ("USE_TWOPHASE = False", "USE_TWOPHASE = True")
UNSET = (
    'sa.engine_from_config(\n        context.config.get_section(name, {}), prefix="sqlalchemy.",',
    'sa.create_engine(\n        __import__("os").environ[f"{name.upper()}_DATABASE_URL"],',
)
OWN_TABLES = (
    "connection=connection,",
    'connection=connection,\n            version_table=f"{name}_version",\n'
    '            version_table_schema="public" if name == "shop" else None,',
)


def check(root: Path, server: Server, change: Files, situation: str = "multidb") -> Report:
    make_change(root, project_files(read_situation(situation)), change)
    return check_repository(root, server)


def told(report: Report) -> list[tuple[str, int | None, str]]:
    return [(f.check, f.line, f.message) for f in report.findings]


LOCK_TIMEOUT = "op.execute(\"SET lock_timeout = '1s'\")"
ADD = f'{LOCK_TIMEOUT}\n    op.add_column("items", sa.Column("note", sa.Text))'
DROP = 'op.drop_column("items", "note")'
CLEAN = a003(stock=ADD, stock_down=DROP)


@pytest.mark.parametrize(
    "replacements",
    [
        pytest.param((), id="one transaction each"),
        pytest.param((TWO_PHASES,), id="two phases"),
        pytest.param((OWN_TABLES,), id="a version table for each"),
    ],
)
def test_each_database_gets_its_own_half_of_a_revision(
    replacements: tuple[tuple[str, str], ...], tmp_path: Path, server: Server
) -> None:
    change = {f"{V}/a003.py": CLEAN, ENV_PY: changed_env(WITH_NOTE, *replacements)}
    report = check(tmp_path, server, change)
    rehearsal = rehearsal_of(report)
    assert told(report) == []
    assert report.verdict is Verdict.PASS
    assert rehearsal.database == "shop, stock"
    assert (rehearsal.catalog_before, rehearsal.catalog_after) == (None, None)
    assert rehearsal.project[-1] == (
        "env.py migrates 2 databases: shop, stock; each had one of its own"
    )
    (rehearsed,) = rehearsal.revisions
    for step in (*rehearsal.deploy, rehearsed.upgrade, rehearsed.downgrade, rehearsed.reupgrade):
        assert (step.outcome, step.version_moved, step.committed) == (
            Outcome.COMPLETED,
            True,
            True,
        )
        assert {s.database for s in step.statements} == {"stock"}
    assert [str(difference) for difference in rehearsed.changes or ()] == [
        "stock: column public.items.note is left"
    ]


INDEX = 'op.create_index("ix_places", "places", ["id"])'
PLACES = f'op.create_table("places", sa.Column("id", sa.Integer))\n    {INDEX}'
DEFECTS = {
    "a downgrade forgets one database's half": (
        {"stock": ADD},
        [
            (
                "reupgrade-fails",
                28,
                "Database `stock`: The second upgrade of `a003` failed: DuplicateColumn: column "
                '"note" of relation "items" already exists. Its downgrade left column '
                "`public.items.note`",
            ),
            (
                "downgrade-incomplete",
                14,
                "Database `stock`: After the upgrade and downgrade of `a003`: column "
                "`public.items.note` is left",
            ),
        ],
    ),
    "what is new in one is old in the other": (
        {
            "shop": PLACES,
            "shop_down": 'op.drop_table("places")',
            "stock": f"{LOCK_TIMEOUT}\n    {INDEX}",
            "stock_down": 'op.drop_index("ix_places")',
        },
        [
            (
                "index-not-concurrent",
                29,
                "Database `stock`: `CREATE INDEX` `ix_places` on `public.places` took SHARE and "
                "blocked writes until the transaction ended",
            ),
        ],
    ),
    "a revision fails on the second database": (
        {"shop": ADD, "shop_down": DROP, "stock": 'op.drop_table("nowhere")'},
        [
            (
                "upgrade-fails",
                28,
                "Database `stock`: The upgrade of `a003` failed: UndefinedTable: table "
                '"nowhere" does not exist',
            ),
        ],
    ),
}


ROLE = 'op.execute("CREATE ROLE clerk"); op.execute("GRANT SELECT ON items TO clerk")'
NO_ROLE = 'op.execute("DROP OWNED BY clerk"); op.execute("DROP ROLE clerk")'


def test_databases_of_one_run_share_their_roles(tmp_path: Path, server: Server) -> None:
    """The role is there with both, and gone with both."""
    change = {f"{V}/a003.py": a003(shop=ROLE, shop_down=NO_ROLE)}
    report = check(tmp_path, server, change)
    assert [f for f in told(report) if f[0] not in ("model-drift", "missing-lock-timeout")] == []
    (rehearsed,) = rehearsal_of(report).revisions
    roles = [str(d) for d in rehearsed.changes or () if d.object_type == "role"]
    assert roles == ["shop: role clerk is left", "stock: role clerk is left"]


@pytest.mark.parametrize(
    ("seeds", "findings"),
    [
        pytest.param({"shop": "INSERT INTO items VALUES (1)"}, [], id="of the other"),
        pytest.param({"stock": "INSERT INTO items VALUES (1)"}, [("upgrade-fails", 27)], id="own"),
    ],
)
def test_a_seed_is_of_the_database_that_it_is_named_after(
    seeds: dict[str, str], findings: list[tuple[str, int]], tmp_path: Path, server: Server
) -> None:
    """NOT NULL without a default cannot be added where there are rows."""
    body = a003(
        stock='op.add_column("items", sa.Column("note", sa.Text, nullable=False))', stock_down=DROP
    )
    root = make_change(
        tmp_path,
        {
            **project_files(read_situation("multidb")),
            ".gatekeeper.yml": "project: {seed: 'db/{database}.sql'}",
            **{f"db/{name}.sql": sql for name, sql in seeds.items()},
        },
        {f"{V}/a003.py": body},
    ).root
    report = check_repository(root, server)
    seen = [(f.check, f.line) for f in report.findings_of("upgrade-fails")]
    assert seen == findings


def test_urls_that_are_unset_still_lead_to_one_database_each(
    tmp_path: Path, server: Server
) -> None:
    change = {f"{V}/a003.py": CLEAN, ENV_PY: changed_env(WITH_NOTE, UNSET)}
    report = check(tmp_path, server, change)
    assert told(report) == []
    assert rehearsal_of(report).database == "postgres, stock_database_url"


@pytest.mark.parametrize(("halves", "findings"), DEFECTS.values(), ids=DEFECTS)
def test_a_defect_is_told_with_its_line_and_its_database(
    halves: dict[str, str],
    findings: list[tuple[str, int, str]],
    tmp_path: Path,
    server: Server,
) -> None:
    report = check(tmp_path, server, {f"{V}/a003.py": a003(**halves)})
    assert [f for f in told(report) if f[0] != "model-drift"] == findings


FLASK_REVISION = '''\
"""Message of a002."""

import sqlalchemy as sa
from alembic import op

revision = "a002"
down_revision = "a001"


def upgrade(engine_name):
    globals()["upgrade_" + engine_name]()


def downgrade(engine_name):
    globals()["downgrade_" + engine_name]()


def upgrade_():
    op.create_table("orders", sa.Column("id", sa.Integer, primary_key=True))


def downgrade_():
    op.drop_table("orders")


def upgrade_stock():
    op.create_table("places", sa.Column("id", sa.Integer, primary_key=True))


def downgrade_stock():
    {stock_down}
'''


@pytest.mark.parametrize(
    ("stock_down", "findings"),
    [
        pytest.param('op.drop_table("places")', [], id="clean"),
        pytest.param(
            "pass",
            [
                ("reupgrade-fails", 27),
                ("downgrade-incomplete", 14),
            ],
            id="a bind's half is forgotten",
        ),
    ],
)
def test_flask_binds_are_databases_of_their_own(
    stock_down: str, findings: list[tuple[str, int]], tmp_path: Path, server: Server
) -> None:
    """The default one of this project is SQLite's."""
    change = {f"{V}/a002.py": FLASK_REVISION.format(stock_down=stock_down)}
    report = check(tmp_path, server, change, "multidb_flask")
    seen = [(check, line) for check, line, _ in told(report) if check != "model-drift"]
    assert seen == findings
    assert {m.split(":")[0] for check, _, m in told(report) if (check, _) in findings} == (
        {"Database `stock`"} if findings else set()
    )
    assert rehearsal_of(report).database == "instance/shop.db, stock"
