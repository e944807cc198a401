"""Drift on real projects: what is new is found, a metadata that lacks tables is told as that."""

from __future__ import annotations

from pathlib import Path

import pytest

from gatekeeper.model import Drift, Skipped, Verdict
from gatekeeper.postgres.servers import Server
from tests.live import (
    Files,
    a_table,
    check_change,
    finding_lines,
    live_project,
    live_revision,
    rehearsal_of,
)

pytestmark = [pytest.mark.postgres, pytest.mark.slow]

V = "migrations/versions"


def env_of(metadata: str, options: str = "", before: str = "") -> Files:
    """Return an env.py whose `target_metadata` is that expression, beside `shop/models.py`."""
    return {
        "migrations/env.py": f"""\
from alembic import context
from sqlalchemy import MetaData, engine_from_config, pool, text
{before}

engine = engine_from_config(
    context.config.get_section(context.config.config_ini_section), poolclass=pool.NullPool
)
with engine.connect() as connection:
    context.configure(connection=connection, target_metadata={metadata}, {options})
    with context.begin_transaction():
        context.run_migrations()
"""
    }


def models(*tables: str, more: str = "") -> Files:
    """Return a package `shop` whose models are in a module for each table."""
    files: dict[str, str | bytes | None] = {
        "shop/__init__.py": "",
        "shop/base.py": "import sqlalchemy as sa\n\nmetadata = sa.MetaData()\n",
    }
    for table in tables:
        files[f"shop/{table}.py"] = (
            "import sqlalchemy as sa\n\nfrom shop.base import metadata\n\n"
            f'sa.Table("{table}", metadata, sa.Column("id", sa.Integer, primary_key=True){more})\n'
        )
    return files


def importing(*tables: str) -> str:
    return "\n".join(["from shop.base import metadata", *(f"import shop.{t}" for t in tables)])


def history(*tables: str) -> Files:
    upgrade = "\n".join(a_table(t)[0] for t in tables)
    downgrade = "\n".join(a_table(t)[1] for t in reversed(tables))
    return {f"{V}/a001.py": live_revision("a001", None, upgrade, downgrade)}


def adding(table: str, more: str = "") -> Files:
    upgrade, downgrade = a_table(table)
    return {f"{V}/b001.py": live_revision("b001", "a001", f"{upgrade}\n{more}", downgrade)}


A_COLUMN = live_revision(
    "b001", "a001", 'op.add_column("a", sa.Column("x", sa.Integer))', 'op.drop_column("a", "x")'
)
INI = {"alembic.ini": live_project()["alembic.ini"] + "\nprepend_sys_path = .\n"}  # type: ignore[operator]

ABC = ("a", "b", "c")
ALL_KNOWN = {**models(*ABC), **env_of("metadata", before=importing(*ABC)), **history(*ABC)}

CASES: dict[str, tuple[Files, Files, Drift | Skipped]] = {
    "models and schema agree": (
        ALL_KNOWN,
        {**adding("d"), **models("d"), **env_of("metadata", before=importing(*ABC, "d"))},
        Drift(()),
    ),
    "what differed at the base is not counted": (
        {**ALL_KNOWN, **models("a", more=', sa.Column("y", sa.Text)')},
        {
            **adding("d"),
            **models("d", more=', sa.Column("z", sa.Text)'),
            **env_of("metadata", before=importing(*ABC, "d")),
        },
        Drift(("add column public.d.z",), already=1, tables=4),
    ),
    "most models are not imported": (
        {**models(*ABC), **env_of("metadata", before=importing("a")), **history(*ABC)},
        adding("d"),
        Drift((), unknown=("public.b", "public.c", "public.d"), tables=4),
    ),
    "most models are not imported, and the known one differs": (
        {**models(*ABC), **env_of("metadata", before=importing("a")), **history(*ABC)},
        {f"{V}/b001.py": A_COLUMN},
        Drift(("drop column public.a.x",), unknown=("public.b", "public.c"), tables=3),
    ),
    "one table has no model and never had one": (
        {**models(*ABC), **env_of("metadata", before=importing("a", "b")), **history(*ABC)},
        {f"{V}/b001.py": live_revision("b001", "a001")},
        Drift((), unknown=("public.c",), tables=3),
    ),
    "an empty metadata": (
        {**env_of("MetaData()"), **history(*ABC)},
        adding("d"),
        Drift((), unknown=("public.a", "public.b", "public.c", "public.d"), tables=4),
    ),
    "an empty metadata and the first revision": (
        env_of("MetaData()"),
        history("a"),
        Drift((), unknown=("public.a",), tables=1),
    ),
    "no metadata": (
        {**env_of("None"), **history(*ABC)},
        adding("d"),
        Skipped("env.py has no `target_metadata`"),
    ),
    "the change gives env.py its first metadata": (
        {**env_of("None"), **history(*ABC)},
        {
            **models("a", more=', sa.Column("y", sa.Text)'),
            **env_of("metadata", before=importing("a")),
            **adding("d"),
        },
        Drift(("add column public.a.y",), unknown=("public.b", "public.c", "public.d"), tables=4),
    ),
    "a new table whose model is not imported": (
        ALL_KNOWN,
        {**adding("d", 'op.create_index("ix_d", "d", ["id"])'), **models("d")},
        Drift(("drop table public.d",), tables=4),
    ),
    "two metadatas": (
        {
            **models("a", "b"),
            **env_of(
                "[metadata, other]",
                before=importing("a", "b")
                + "\nother = MetaData()\n"
                + 'import sqlalchemy as sa\nsa.Table("c", other, sa.Column("id", sa.Integer, '
                "primary_key=True))",
            ),
            **history(*ABC),
        },
        adding("d"),
        Drift(("drop table public.d",), tables=4),
    ),
    "a model is removed and its table stays": (
        ALL_KNOWN,
        {
            **env_of("metadata", before=importing("a", "b")),
            "shop/c.py": None,
            f"{V}/b001.py": live_revision("b001", "a001"),
        },
        Drift(("drop table public.c",), tables=3),
    ),
    "the change takes the imports away": (
        ALL_KNOWN,
        {
            **env_of("metadata", before=importing()),
            f"{V}/b001.py": live_revision("b001", "a001"),
        },
        Drift(("drop table public.a", "drop table public.b", "drop table public.c"), tables=3),
    ),
    "the version table lies in a schema of its own": (
        {
            **models("a"),
            **env_of(
                "metadata",
                'include_schemas=True, version_table_schema="meta"',
                importing("a"),
            ),
            f"{V}/a001.py": live_revision("a001", None, a_table("a")[0], a_table("a")[1]),
            ".gatekeeper.yml": "version: 1\nproject: {bootstrap: meta.sql}\n",
            "meta.sql": "CREATE SCHEMA meta;\n",
        },
        {f"{V}/b001.py": live_revision("b001", "a001")},
        Drift(()),
    ),
    "include_object leaves the tables of others out": (
        {
            **models("a"),
            **env_of(
                "metadata",
                'include_object=lambda o, name, kind, there, other: name not in ("b", "c")',
                importing("a"),
            ),
            **history(*ABC),
        },
        {f"{V}/b001.py": live_revision("b001", "a001")},
        Drift(()),
    ),
    "include_name leaves a schema out": (
        {
            **models("a"),
            **env_of(
                "metadata",
                "include_schemas=True, "
                'include_name=lambda name, kind, parents: kind != "schema" or name is None',
                importing("a"),
            ),
            **history("a"),
        },
        {
            f"{V}/b001.py": live_revision(
                "b001",
                "a001",
                'op.execute("CREATE SCHEMA stock")\nop.execute("CREATE TABLE stock.s (id int)")',
                'op.execute("DROP SCHEMA stock CASCADE")',
            )
        },
        Drift(()),
    ),
    "a new partition": (
        {
            **models("a"),
            **env_of("metadata", before=importing("a")),
            f"{V}/a001.py": live_revision(
                "a001",
                None,
                'op.execute("CREATE TABLE a (id int PRIMARY KEY) PARTITION BY RANGE (id)")',
                'op.drop_table("a")',
            ),
        },
        {
            f"{V}/b001.py": live_revision(
                "b001",
                "a001",
                'op.execute("CREATE TABLE a_1 PARTITION OF a FOR VALUES FROM (1) TO (9)")',
                'op.drop_table("a_1")',
            )
        },
        Drift((), tables=1),
    ),
}


@pytest.mark.parametrize(("base", "change", "expected"), CASES.values(), ids=CASES)
def test_drift(
    base: Files, change: Files, expected: Drift | Skipped, tmp_path: Path, server: Server
) -> None:
    report = check_change(tmp_path, server, {**INI, **base}, change)
    assert rehearsal_of(report).drift == expected


def test_a_blind_metadata_is_one_sentence_and_no_finding(tmp_path: Path, server: Server) -> None:
    base, change, _ = CASES["most models are not imported"]
    report = check_change(tmp_path, server, {**INI, **base}, change)
    assert finding_lines(report) == []
    assert report.verdict is Verdict.PASS
    (result,) = (r for r in report.checks if r.check.id == "model-drift")
    assert (result.status.value, result.reason) == (
        "skipped",
        "env.py's `target_metadata` lacks 3 of 4 tables, so nothing is known of their models "
        "(`public.b`, `public.c`, `public.d`): import the models in env.py, above "
        "`target_metadata`",
    )


# SQLAlchemy cannot even sort tables of which one refers to another that is not imported.
REFERRING = {
    **models("b"),
    "shop/a.py": "import sqlalchemy as sa\n\nfrom shop.base import metadata\n\n"
    'sa.Table("a", metadata, sa.Column("id", sa.Integer, primary_key=True), '
    'sa.Column("b_id", sa.ForeignKey("b.id")))\n',
    f"{V}/a001.py": live_revision(
        "a001",
        None,
        f"{a_table('b')[0]}\n{a_table('a')[0]}\n"
        'op.add_column("a", sa.Column("b_id", sa.Integer, sa.ForeignKey("b.id")))',
        f"{a_table('a')[1]}\n{a_table('b')[1]}",
    ),
    **INI,
}
FAILED = (
    "migrations/env.py:12: autogenerate failed: NoReferencedTableError: Foreign key associated "
    "with column 'a.b_id' could not find table 'b' with which to generate a foreign key to target "
    "column 'id'. Import the modules of all models in env.py, above `target_metadata`"
)
STRICT = {".gatekeeper.yml": "version: 1\nextends: strict\n"}


def test_autogenerate_that_fails_at_the_base_as_well(tmp_path: Path, server: Server) -> None:
    base = {**REFERRING, **STRICT, **env_of("metadata", before=importing("a"))}
    report = check_change(tmp_path, server, base, adding("d"))
    told = Skipped(f"{FAILED}. At the base it fails as well")
    assert rehearsal_of(report).drift == told
    (result,) = (r for r in report.checks if r.check.id == "model-drift")
    assert (result.status.value, result.reason) == ("skipped", told.reason)
    assert report.verdict is Verdict.PASS


def test_a_change_that_takes_the_metadata_away(tmp_path: Path, server: Server) -> None:
    base = {**INI, **STRICT, **env_of("metadata", before=importing("a")), **models("a")}
    base[f"{V}/a001.py"] = live_revision("a001", None, *a_table("a"))
    report = check_change(tmp_path, server, base, {**adding("d"), **env_of("None")})
    (result,) = (r for r in report.checks if r.check.id == "model-drift")
    assert (result.status.value, result.reason) == (
        "errored",
        "env.py has no `target_metadata`; at the base it has one. Give it back to env.py",
    )
    assert report.verdict is Verdict.UNDETERMINED


def test_autogenerate_that_the_change_breaks(tmp_path: Path, server: Server) -> None:
    base = {**REFERRING, **STRICT, **env_of("metadata", before=importing("a", "b"))}
    change = {**adding("d"), **env_of("metadata", before=importing("a") + "\n")}
    report = check_change(tmp_path, server, base, change)
    (result,) = (r for r in report.checks if r.check.id == "model-drift")
    assert (result.status.value, result.reason) == ("errored", FAILED.replace(":12", ":13"))
    assert report.verdict is Verdict.UNDETERMINED
