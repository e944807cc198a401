"""Without the project's dependencies: the revisions run, env.py and the models do not."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from gatekeeper.model import NotRehearsed, Outcome, Report, Skipped, Verdict
from gatekeeper.postgres.servers import Server
from gatekeeper.reporters import json as json_report
from gatekeeper.reporters import markdown, terminal, words
from tests.live import (
    Files,
    a_table,
    check_change,
    check_repository,
    finding_lines,
    live_project,
    live_revision,
    make_change,
    rehearsal_of,
)
from tests.reporters.samples import CONTEXT

pytestmark = [pytest.mark.postgres, pytest.mark.slow]

V = "migrations/versions"
WHY = "requirements.txt: the project's dependencies could not be installed"

# What nobody can install, and an env.py that needs it.
PROJECT: Files = {
    **live_project(env="import no_such_package\n"),
    "requirements.txt": "alembic\n./vendor/no_such_package\n",
    ".gatekeeper.yml": "version: 1\nproject: {without_dependencies: true}\n",
    f"{V}/a001.py": live_revision("a001", None, *a_table("a")),
}
CHANGE = {f"{V}/b001.py": live_revision("b001", "a001", *a_table("b"))}


def check(root: Path, server: Server, base: Files, change: Files, **request: object) -> Report:
    cache = str(root.parent / "cache")
    return check_change(root, server, {**PROJECT, **base}, change, cache=cache, **request)


def env_with(options: str, more: str = "") -> Files:
    return {
        "migrations/env.py": f"""\
import no_such_package
from alembic import context
TABLE = "shop_version"
{more}

with no_such_package.engine.connect() as connection:
    context.configure(connection=connection, {options})
    with context.begin_transaction():
        context.run_migrations()
"""
    }


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "shop"


def test_the_revisions_run(root: Path, server: Server) -> None:
    report = check(root, server, {}, CHANGE)
    rehearsal = rehearsal_of(report)
    assert rehearsal.env_not_run == WHY
    assert rehearsal.drift == Skipped(f"the project's own env.py did not run: {WHY}")
    assert [(r.reupgrade.outcome, r.round_trip) for r in rehearsal.revisions] == [
        (Outcome.COMPLETED, ())
    ]
    assert finding_lines(report) == []
    assert report.verdict is Verdict.PASS


def test_the_first_line_of_every_format_says_so(root: Path, server: Server) -> None:
    report = check(root, server, {}, CHANGE)
    told = f"Migrations: nothing to fix (env.py did not run: {WHY})"
    assert terminal.render(report, CONTEXT).startswith(f"✓ {told}"[:60])
    heading = markdown.render(report, CONTEXT).splitlines()[2]
    assert heading == f"### ✅ {told}"
    assert f'"env_not_run": "{WHY}"' in json_report.render(report, CONTEXT)


UNDECLARED = {name: text for name, text in PROJECT.items() if name != "requirements.txt"}


def test_a_project_that_declares_no_dependencies(root: Path, server: Server) -> None:
    report = check_change(root, server, UNDECLARED, CHANGE)
    assert rehearsal_of(report).env_not_run == "`no_such_package` is not installed"
    assert report.verdict is Verdict.PASS


def test_an_import_that_the_requirements_do_not_name_is_no_excuse(
    root: Path, server: Server
) -> None:
    """All that is declared is there, so env.py would fail in production just the same."""
    declared = {**UNDECLARED, "requirements.txt": "alembic\nsqlalchemy\n"}
    report = check_change(root, server, declared, CHANGE)
    assert isinstance(report.rehearsal, NotRehearsed)
    assert "it cannot import `no_such_package`" in report.rehearsal.reason
    assert report.verdict is Verdict.UNDETERMINED


def test_a_given_interpreter_that_lacks_something_is_not_replaced(
    root: Path, server: Server
) -> None:
    other = root.parent / "bin" / "python"
    other.parent.mkdir()
    other.symlink_to(sys.executable)
    report = check_change(root, server, UNDECLARED, CHANGE, python=str(other))
    assert isinstance(report.rehearsal, NotRehearsed)
    assert report.verdict is Verdict.UNDETERMINED


def test_without_the_policys_word_nothing_runs(root: Path, server: Server) -> None:
    report = check(root, server, {".gatekeeper.yml": "version: 1\n"}, CHANGE)
    assert isinstance(report.rehearsal, NotRehearsed)
    assert report.rehearsal.reason.startswith(WHY)
    assert report.verdict is Verdict.UNDETERMINED


def test_a_failing_revision_is_still_at_fault(root: Path, server: Server) -> None:
    change = {f"{V}/b001.py": live_revision("b001", "a001", 'op.drop_table("nowhere")')}
    report = check(root, server, {}, change)
    assert [f for f in finding_lines(report) if f[0] == "upgrade-fails"] == [
        ("upgrade-fails", "b001", 12)
    ]
    assert report.verdict is Verdict.FAIL


# --- Revisions that need the application ---------------------------------------------

SHOP: Files = {
    "shop/__init__.py": "",
    "shop/models.py": "import no_such_package\n",
    "shop/settings.py": 'import os\n\nSECRET = os.environ["SHOP_SECRET"]\n',
    "shop/names.py": 'TABLE = "b"\n',
    "backend/lib/hidden.py": "",
    "alembic.ini": f"{live_project()['alembic.ini']!s}prepend_sys_path = .\n",
}
DEPENDENT: dict[str, tuple[str, str]] = {
    "in the function": (
        live_revision("b001", "a001", "from shop.models import User"),
        f"{V}/b001.py:12: `b001` needs the project's dependencies, which are not installed: "
        "`from shop.models import User` does not run without `no_such_package`",
    ),
    "at the top": (
        live_revision("b001", "a001").replace(
            "import sqlalchemy", "import shop.models, sqlalchemy"
        ),
        f"{V}/b001.py:2: `b001` needs the project's dependencies, which are not installed: "
        "`import shop.models, sqlalchemy as sa` does not run without `no_such_package`",
    ),
    "in the downgrade": (
        live_revision("b001", "a001", "pass", "import shop.models"),
        f"{V}/b001.py:16: `b001` needs the project's dependencies, which are not installed: "
        "`import shop.models` does not run without `no_such_package`",
    ),
    "a package of its own": (
        live_revision("b001", "a001", "import no_such_types"),
        f"{V}/b001.py:12: `b001` needs the project's dependencies, which are not installed: "
        "`import no_such_types` does not run without `no_such_types`",
    ),
    "a module of the application that is not found": (
        live_revision("b001", "a001", "import hidden"),
        f"{V}/b001.py:12: `b001` needs the project's dependencies, which are not installed: "
        "`import hidden` does not run without `hidden`",
    ),
    "settings that crash": (
        live_revision("b001", "a001", "import shop.settings"),
        f"{V}/b001.py:12: `b001` needs the project's dependencies, which are not installed: "
        "`import shop.settings` does not run without `shop/settings.py`",
    ),
    "code of SQLAlchemy 1.4": (
        live_revision("b001", "a001", 'op.get_bind().execute("SELECT 1")'),
        f"{V}/b001.py:12: `b001` needs the project's dependencies, which are not installed: "
        '`op.get_bind().execute("SELECT 1")` does not run without the project\'s own versions of '
        "SQLAlchemy and Alembic",
    ),
}


@pytest.mark.parametrize(("source", "told"), DEPENDENT.values(), ids=DEPENDENT)
def test_a_revision_that_needs_the_application_is_no_failing_one(
    source: str, told: str, root: Path, server: Server
) -> None:
    report = check(root, server, SHOP, {f"{V}/b001.py": source})
    assert isinstance(report.rehearsal, NotRehearsed)
    assert report.rehearsal.reason.startswith(told)
    assert report.rehearsal.env_not_run == WHY
    assert words.heading(report).endswith(f"are safe (env.py did not run: {WHY})")
    assert report.verdict is Verdict.UNDETERMINED
    assert not any(f.check.endswith("-fails") for f in report.findings)


def test_an_old_one_below_the_stamp_does_not_matter(root: Path, server: Server) -> None:
    """Of 344 revisions of one project 192 import the application."""
    base = {
        **SHOP,
        f"{V}/a001.py": "from shop.models import User\n"
        + live_revision("a001", None, *a_table("a"), branch_labels="shop"),
        "base.sql": "CREATE TABLE a (id int PRIMARY KEY);\n",
        "seed.sql": "INSERT INTO a VALUES (1);\n",
        ".gatekeeper.yml": "version: 1\nproject: {without_dependencies: true, "
        "extensions: [citext], bootstrap: base.sql, stamp: a001, seed: seed.sql}\n",
    }
    change = {
        f"{V}/b001.py": live_revision(
            "b001",
            "a001",
            "from shop.names import TABLE\n"
            "op.execute(f\"CREATE TABLE {TABLE} AS SELECT id, 'x'::citext AS name FROM a\")\n"
            'assert op.get_bind().scalar(sa.text("SELECT count(*) FROM b")) == 1',
            'op.drop_table("b")',
        )
    }
    report = check(root, server, base, change)
    assert rehearsal_of(report).revisions[0].reupgrade.outcome is Outcome.COMPLETED
    assert not any(f.check.endswith("-fails") for f in report.findings)


# --- What env.py says ----------------------------------------------------------------


def test_what_can_be_read_of_env_py_is_kept(root: Path, server: Server) -> None:
    """The label is used after its own transaction: that needs one for each revision."""
    options = "version_table=TABLE, version_table_schema='meta', transaction_per_migration=True"
    base = {
        **env_with(options),
        "base.sql": "CREATE TYPE mood AS ENUM ('ok');\n",
        ".gatekeeper.yml": "version: 1\nproject: {without_dependencies: true, "
        "bootstrap: base.sql}\n",
    }
    label = "op.execute(\"ALTER TYPE mood ADD VALUE 'meh'\")"
    use = "op.execute(\"CREATE TABLE m AS SELECT 'meh'::mood AS mood\")"
    change = {
        f"{V}/b001.py": live_revision("b001", "a001", label),
        f"{V}/b002.py": live_revision("b002", "b001", use, 'op.drop_table("m")'),
    }
    report = check(root, server, base, change)
    rehearsal = rehearsal_of(report)
    assert [s.outcome for s in rehearsal.deploy] == [Outcome.COMPLETED, Outcome.COMPLETED]
    assert rehearsal.project[1].startswith(f"the project's own env.py did not run: {WHY}; it ")
    assert rehearsal.project[2:] == (
        "read from migrations/env.py: version_table='shop_version', version_table_schema='meta', "
        "transaction_per_migration=True",
        "connections to postgresql 192.0.2.1/shop were redirected",
        "the databases begin with what `base.sql` makes",
    )


def test_an_env_py_that_hands_values_to_the_revisions(root: Path, server: Server) -> None:
    env = str(env_with("")["migrations/env.py"]).replace("migrations()", "migrations(tables=1)")
    report = check(root, server, {"migrations/env.py": env}, CHANGE)
    assert isinstance(report.rehearsal, NotRehearsed)
    assert report.rehearsal.reason == (
        "migrations/env.py:9: env.py hands arguments of its own to the revisions, so they cannot "
        "run without it. Say how to install what env.py imports: `project: {install: …}` in the "
        "policy file"
    )


PROJECTS = Path(__file__).parents[1] / "projects"


@pytest.mark.parametrize("name", ["flask_migrate", "async_env", "settings_in_code"])
def test_any_kind_of_env_py_is_replaced(name: str, root: Path, server: Server) -> None:
    folder = PROJECTS / name
    files = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "expected.yml"
    }
    extra = {n: PROJECT[n] for n in ("requirements.txt", ".gatekeeper.yml")}
    make_change(root, {**files, **extra}, {"README": "a change\n"})
    report = check_repository(root, server, is_audit=True, cache=str(root.parent / "cache"))
    rehearsal = rehearsal_of(report)
    assert rehearsal.env_not_run == WHY
    assert {r.upgrade.outcome for r in rehearsal.revisions} == {Outcome.COMPLETED}
