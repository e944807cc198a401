"""`gatekeeper check`, without options or configuration, on what `alembic init` makes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

from tests.build_git import a_repository
from tests.live import live_revision

pytestmark = [pytest.mark.postgres, pytest.mark.slow]

SCHEMA = Path(__file__).parent.parent / "policies" / "report.schema.json"

CLEAN = live_revision(
    "b001",
    "a001",
    'op.execute("SET LOCAL lock_timeout = 4000")\n'
    'op.add_column("orders", sa.Column("note", sa.Text))',
    'op.drop_column("orders", "note")',
)
RISKY = live_revision(
    "b001", "a001", 'op.create_index("ix_orders_total", "orders", ["total"])', "pass"
)
ORDERS = live_revision(
    "a001",
    None,
    'op.create_table("orders", sa.Column("id", sa.Integer), sa.Column("total", sa.Integer))',
    'op.drop_table("orders")',
)


@pytest.mark.parametrize("template", ["generic", "async", "pyproject", "pyproject_async"])
@pytest.mark.parametrize(
    ("text", "code", "verdict", "found"),
    [
        pytest.param(CLEAN, 0, "pass", set(), id="clean"),
        pytest.param(
            RISKY,
            1,
            "fail",
            {
                ("index-not-concurrent", 12),
                ("missing-lock-timeout", 12),
                ("downgrade-empty", 15),
                ("reupgrade-fails", 12),
            },
            id="risky",
        ),
    ],
)
def test_a_template_needs_no_configuration(
    template: str,
    text: str,
    code: int,
    verdict: str,
    found: set[tuple[str, int]],
    tmp_path: Path,
    clean_environment: dict[str, str],
) -> None:
    origin, clone = tmp_path / "origin", tmp_path / "clone"
    origin.mkdir()
    subprocess.run(
        [sys.executable, "-m", "alembic", "init", "--template", template, "migrations"],
        cwd=origin,
        check=True,
        capture_output=True,
    )
    repository = a_repository(origin, {"migrations/versions/a001.py": ORDERS})
    repository.git("clone", "--quiet", str(origin), str(clone))
    cloned = a_repository(clone)
    cloned.git("switch", "--quiet", "--create", "topic")
    cloned.commit({"migrations/versions/b001.py": text})
    ran = subprocess.run(
        [sys.executable, "-m", "gatekeeper", "check", "--format", "json"],
        cwd=clone,
        env=clean_environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == code, ran.stderr
    report = json.loads(ran.stdout)
    jsonschema.validate(report, json.loads(SCHEMA.read_text()))
    assert report["verdict"] == verdict
    assert {(f["check"], f["line"]) for f in report["findings"]} == found
    statement = next(s for s in report["statements"] if "orders" in s["sql"])
    assert statement["path"] == "migrations/versions/b001.py"
    assert statement["line"] == text[: text.index('"orders"')].count("\n") + 1
