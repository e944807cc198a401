"""What stops a check, on small real projects and a real server: the clean case first."""

from __future__ import annotations

import venv
from collections.abc import Callable
from pathlib import Path

import pytest

from gatekeeper.doctor.chart import Subject
from gatekeeper.doctor.examine import examine, exit_code
from gatekeeper.errors import ExitCode
from gatekeeper.model import Condition, Diagnosis
from gatekeeper.postgres.databases import Database
from gatekeeper.postgres.servers import Server
from gatekeeper.request import Request, Surroundings
from tests.build_git import a_repository
from tests.databases import execute, url_of
from tests.live import (
    ALEMBIC_INI,
    ENV_PY,
    NOW,
    Files,
    a_table,
    live_project,
    live_revision,
    server_url,
)

pytestmark = [pytest.mark.postgres, pytest.mark.slow]

V = "migrations/versions"
UPGRADE_LINE = 12  # of the first statement of `upgrade` in what `live_revision` writes
CREATE_STATUS = "op.execute(\"CREATE TYPE reportstatus AS ENUM ('draft', 'sent')\")"
ASK_FIRST = """
from sqlalchemy.dialects import postgresql
status = postgresql.ENUM("draft", "sent", name="reportstatus")
status.create(op.get_bind(), checkfirst=True)
"""

Examine = Callable[..., "Told"]


class Told(dict[Subject, Diagnosis]):
    """The diagnoses by their subject."""

    def __init__(self, diagnoses: tuple[Diagnosis, ...]) -> None:
        super().__init__((Subject(each.subject), each) for each in diagnoses)
        self.exit_code = exit_code(diagnoses)

    def problems(self) -> dict[Subject, str]:
        return {s: d.detail for s, d in self.items() if d.condition is Condition.PROBLEM}

    def not_looked_at(self) -> dict[Subject, str]:
        return {s: d.detail for s, d in self.items() if d.condition is Condition.NOT_LOOKED_AT}


def env_with(*tables: str) -> str:
    """Return an env.py whose models are these tables."""
    models = ["import sqlalchemy as sa", "metadata = sa.MetaData()"]
    models += [
        f'sa.Table("{name}", metadata, sa.Column("id", sa.Integer, primary_key=True))'
        for name in tables
    ]
    return "\n".join([*models, ENV_PY.replace("=None", "=metadata")])


def history(*tables: str) -> dict[str, str | bytes | None]:
    """Return revisions a001, a002, … each of which makes a table."""
    names = [f"a{number:03}" for number in range(1, len(tables) + 1)]
    return {
        f"{V}/{name}.py": live_revision(name, down, *a_table(table))
        for name, down, table in zip(names, [None, *names], tables, strict=False)
    }


@pytest.fixture
def examined(tmp_path: Path, server: Server) -> Examine:
    """A function that examines a repository made of files."""

    def run(
        files: Files,
        target: str | None = None,
        environ: dict[str, str] | None = None,
        **request: object,
    ) -> Told:
        root = a_repository(tmp_path / "shop", files).root
        values = {"directory": root, "database_url": server_url(server), **request}
        surroundings = Surroundings(environ or {}, NOW, lambda step: None)
        return Told(examine(Request(**values), target, surroundings))  # type: ignore[arg-type]

    return run


def stand_at(database: Database, *revisions: str) -> None:
    execute(database, "CREATE TABLE alembic_version (version_num text)")
    for revision in revisions:
        execute(database, f"INSERT INTO alembic_version VALUES ('{revision}')")


# --- All is well ---------------------------------------------------------------------


def test_a_sound_project(examined: Examine, server: Server) -> None:
    told = examined({**live_project(env_with("a", "b")), **history("a", "b")})
    assert told.exit_code is ExitCode.PASS
    assert told.problems() == {}
    assert told.not_looked_at() == {Subject.TARGET: "no `--target-url` is given"}
    python = told.pop(Subject.PYTHON).detail
    assert "Alembic" in python
    assert "SQLAlchemy" in python
    assert {subject: each.detail for subject, each in told.items()} == {
        Subject.REPOSITORY: "a change is compared with `main`",
        Subject.PROJECT: "`migrations`, by `alembic.ini`",
        Subject.REVISIONS: "2 revisions",
        Subject.HEADS: "`a002`",
        Subject.POLICY: "the built-in `recommended`",
        Subject.SERVER: f"{told[Subject.SERVER].detail.split(',')[0]}, the server that was given; "
        "it may create databases",
        Subject.ENVIRONMENT: "connections to postgresql 192.0.2.1/shop were redirected",
        Subject.URL: "it is set; a rehearsal goes to a database of its own instead",
        Subject.HISTORY: "2 revisions ran on an empty database",
        Subject.MODELS: "autogenerate misses none of 2 tables in `target_metadata`",
        Subject.TARGET: "no `--target-url` is given",
    }
    assert all(each.remedy is None for each in told.values())


def test_a_target_that_is_up_to_date(examined: Examine, database: Database) -> None:
    stand_at(database, "a002")
    files = {**live_project(env_with("a", "b")), **history("a", "b")}
    told = examined(files, url_of(database))
    assert (told.exit_code, told.problems(), told.not_looked_at()) == (ExitCode.PASS, {}, {})
    assert told[Subject.TARGET_REVISION].detail == "`a002`"
    assert told[Subject.TARGET_PENDING].detail == "none"
    assert told[Subject.TARGET_TYPES].detail == "nothing is pending"


def test_an_empty_history(examined: Examine) -> None:
    told = examined(live_project(env_with()))
    assert told.exit_code is ExitCode.PASS
    assert told[Subject.HISTORY].detail == "there is no revision yet"
    assert (
        told[Subject.MODELS].detail == "autogenerate misses none of 0 tables in `target_metadata`"
    )


def test_what_lies_below_the_stamp_is_not_run(examined: Examine) -> None:
    bootstrap = {
        ".gatekeeper.yml": "version: 1\nproject: {bootstrap: base.sql, stamp: a001}\n",
        "base.sql": "CREATE TABLE a (id int PRIMARY KEY);",
        f"{V}/a001.py": live_revision("a001", None, 'op.execute("SELECT nonsense")'),
        f"{V}/a002.py": live_revision("a002", "a001", *a_table("b")),
    }
    told = examined({**live_project(env_with("a", "b")), **bootstrap})
    assert told.problems() == {}
    assert told[Subject.HISTORY].detail == "1 revision ran on what the bootstrap made"
    assert told[Subject.POLICY].detail == "`.gatekeeper.yml`"


def test_dependencies_that_the_policy_lets_be_missing(examined: Examine, tmp_path: Path) -> None:
    files = {
        **live_project("import no_such_package\n"),
        **history("a"),
        "requirements.txt": "alembic\n./vendor/no_such_package\n",
        ".gatekeeper.yml": "version: 1\nproject: {without_dependencies: true}\n",
    }
    told = examined(files, cache=str(tmp_path / "cache"))
    assert told.exit_code is ExitCode.PASS
    assert told.problems() == {}
    assert told[Subject.PYTHON].detail == (
        "requirements.txt: the project's dependencies could not be installed; the revisions run "
        "without env.py, as the policy allows"
    )
    assert told[Subject.HISTORY].detail == "1 revision ran on an empty database"
    not_run = "env.py does not run without the project's dependencies"
    assert {s: r for s, r in told.not_looked_at().items() if s is not Subject.TARGET} == {
        Subject.URL: not_run,
        Subject.MODELS: not_run,
    }


def test_an_ephemeral_server_of_our_own(examined: Examine) -> None:
    told = examined({**live_project(env_with("a")), **history("a")}, database_url=None)
    assert told.problems() == {}
    assert told[Subject.SERVER].detail.endswith("started for each run")


# --- Files ---------------------------------------------------------------------------


def test_outside_of_a_repository_only_the_server_is_looked_at(
    tmp_path: Path, server: Server
) -> None:
    request = Request(directory=tmp_path, database_url=server_url(server))
    told = Told(examine(request, None, Surroundings({}, NOW, lambda step: None)))
    assert told.exit_code is ExitCode.ASKED_WRONGLY
    assert told.problems() == {Subject.REPOSITORY: f"`{tmp_path}` is not in a git repository."}
    skipped = told.not_looked_at()
    assert skipped.pop(Subject.TARGET) == "no `--target-url` is given"
    assert set(skipped.values()) == {"“Git repository” has a problem"}
    assert told[Subject.SERVER].condition is Condition.OK
    assert len(told) == len(skipped) + 3


def test_no_project(examined: Examine) -> None:
    told = examined({"README": ""})
    assert told.exit_code is ExitCode.ASKED_WRONGLY
    assert told.problems() == {Subject.PROJECT: "No Alembic project was found in the repository."}
    assert "--project DIR" in (told[Subject.PROJECT].remedy or "")
    assert told[Subject.HISTORY].detail == "“Alembic project” has a problem"


def test_an_unreadable_revision(examined: Examine) -> None:
    """The rest is looked at as far as Alembic need not load the revisions for it."""
    files = {**live_project(env_with("a")), f"{V}/a001.py": 'revision = "a001"\n'}
    told = examined(files)
    assert told.exit_code is ExitCode.FAIL
    assert told.problems() == {
        Subject.REVISIONS: f"{V}/a001.py:1: The file sets no `down_revision`, which Alembic "
        "asks for."
    }
    assert "down_revision" in (told[Subject.REVISIONS].remedy or "")
    reason = "“Revision files” has a problem"
    assert [s for s, why in told.not_looked_at().items() if why == reason] == [
        Subject.HEADS,
        Subject.ENVIRONMENT,
        Subject.URL,
        Subject.HISTORY,
        Subject.MODELS,
    ]
    assert told[Subject.PYTHON].condition is Condition.OK


def test_two_heads(examined: Examine) -> None:
    branch = {f"{V}/c001.py": live_revision("c001", "a001", *a_table("c"))}
    files = {**live_project(env_with("a", "b", "c")), **history("a", "b"), **branch}
    told = examined(files)
    assert told.exit_code is ExitCode.FAIL
    assert told.problems() == {
        Subject.HEADS: f"There are 2 heads: `a002` ({V}/a002.py), `c001` ({V}/c001.py)"
    }
    assert 'alembic merge -m "merge heads" a002 c001' in (told[Subject.HEADS].remedy or "")
    assert told[Subject.HISTORY].detail == "3 revisions ran on an empty database"


@pytest.mark.parametrize(
    ("policy", "detail"),
    [
        ("version: 1\nchecks: {downgrade-mising: off}\n", "downgrade-mising"),
        ("version: 1\nproject: {hook: hook.py}\n", "`hook.py`, which is no Python file"),
        ("version: 1\nproject: {bootstrap: no.sql}\n", "`no.sql`, which is no SQL file"),
    ],
)
def test_a_policy_that_cannot_be_used(policy: str, detail: str, examined: Examine) -> None:
    files = {**live_project(env_with("a")), **history("a"), ".gatekeeper.yml": policy}
    told = examined(files)
    assert told.exit_code is ExitCode.ASKED_WRONGLY
    assert list(told.problems()) == [Subject.POLICY]
    assert detail in told[Subject.POLICY].detail
    assert told[Subject.PYTHON].detail == "“Policy” has a problem"
    assert told[Subject.SERVER].condition is Condition.OK


# --- What runs -----------------------------------------------------------------------


def test_no_server(examined: Examine) -> None:
    files = {**live_project(env_with("a")), **history("a")}
    told = examined(files, database_url="postgresql://x:secret@127.0.0.1:1/x")
    assert told.exit_code is ExitCode.UNDETERMINED
    assert list(told.problems()) == [Subject.SERVER]
    assert "Connection refused" in told[Subject.SERVER].detail
    assert "`--database-url`" in (told[Subject.SERVER].remedy or "")
    assert "secret" not in repr(told)
    assert told[Subject.ENVIRONMENT].detail == "“PostgreSQL” has a problem"
    assert told[Subject.PYTHON].condition is Condition.OK


def test_a_python_without_alembic(examined: Examine, tmp_path: Path) -> None:
    venv.create(tmp_path / "bare", with_pip=False, symlinks=True)
    files = {**live_project(env_with("a")), **history("a")}
    told = examined(files, python=str(tmp_path / "bare"))
    assert told.exit_code is ExitCode.UNDETERMINED
    assert list(told.problems()) == [Subject.PYTHON]
    assert "it cannot import `alembic`" in told[Subject.PYTHON].detail
    assert "--python PATH" in (told[Subject.PYTHON].remedy or "")
    assert told[Subject.ENVIRONMENT].detail == "“The project's Python” has a problem"


@pytest.mark.parametrize(
    ("line", "detail", "remedy"),
    [
        ("import shop_of_nobody", "it cannot import `shop_of_nobody`", "--python PATH"),
        ('import os\nos.environ["KEY_FILE"]', "without `KEY_FILE`", "env: {KEY_FILE: …}"),
    ],
)
def test_an_env_py_that_does_not_come_up(
    line: str, detail: str, remedy: str, examined: Examine
) -> None:
    told = examined({**live_project(f"{line}\n{env_with('a')}"), **history("a")})
    assert told.exit_code is ExitCode.UNDETERMINED
    assert list(told.problems()) == [Subject.ENVIRONMENT]
    assert detail in told[Subject.ENVIRONMENT].detail
    assert remedy in (told[Subject.ENVIRONMENT].remedy or "")
    assert told[Subject.MODELS].detail == "“env.py” has a problem"


FROM_VARIABLE = """\
import os
from alembic import context
context.config.set_main_option("sqlalchemy.url", os.environ["DATABASE_URL"])
"""


def test_a_variable_that_had_to_be_set(examined: Examine) -> None:
    """It stops no check: the line is well, and says what `alembic` itself would need."""
    told = examined({**live_project(FROM_VARIABLE + env_with("a")), **history("a")})
    assert told.exit_code is ExitCode.PASS
    filled = "DATABASE_URL was unset; set to the ephemeral database"
    assert told[Subject.ENVIRONMENT].detail == filled
    assert told[Subject.URL] == Diagnosis(
        Subject.URL.value,
        Condition.OK,
        "`DATABASE_URL` is unset: a rehearsal fills it, `alembic` on your own database needs it",
        "For your own database, here or in `.env`:\n\n"
        "    export DATABASE_URL=postgresql://USER:PASSWORD@localhost:5432/NAME",
    )


def test_a_variable_that_is_set_here(examined: Examine) -> None:
    files = {**live_project(FROM_VARIABLE + env_with("a")), **history("a")}
    told = examined(files, environ={"DATABASE_URL": "postgresql://me:secret@192.0.2.7/mine"})
    assert told[Subject.URL].remedy is None
    assert "secret" not in repr(told)


def test_a_url_that_nobody_sets(examined: Examine) -> None:
    ini = ALEMBIC_INI.partition("sqlalchemy.url")[0]
    told = examined({**live_project(env_with("a"), ini), **history("a")})
    assert told.exit_code is ExitCode.PASS
    assert told[Subject.URL].detail.startswith("none is set")
    assert "sqlalchemy.url" in (told[Subject.URL].remedy or "")


def test_a_type_that_exists_at_that_point(examined: Examine) -> None:
    files = {
        **live_project(env_with()),
        f"{V}/a001.py": live_revision("a001", None, CREATE_STATUS),
        f"{V}/a002.py": live_revision("a002", "a001", CREATE_STATUS),
    }
    told = examined(files)
    assert told.exit_code is ExitCode.FAIL
    assert told.problems() == {
        Subject.HISTORY: f"{V}/a002.py:{UPGRADE_LINE}: the ENUM type `reportstatus` is created "
        "and exists already at that point (DuplicateObject); `a001` has made it"
    }
    remedy = told[Subject.HISTORY].remedy or ""
    assert 'postgresql.ENUM("draft", "sent", name="reportstatus", create_type=False)' in remedy
    assert "checkfirst=True" in remedy
    assert "CASCADE" not in remedy
    assert told[Subject.MODELS].detail == "“History” has a problem"


def test_a_type_of_another_schema(examined: Examine) -> None:
    schema = 'op.execute("CREATE SCHEMA own")\n'
    create = r"""op.execute("CREATE TYPE own.status AS ENUM ('a \"b\"')")"""
    files = {
        **live_project(env_with()),
        f"{V}/a001.py": live_revision("a001", None, schema + create),
        f"{V}/a002.py": live_revision("a002", "a001", create),
    }
    told = examined(files)
    assert "the ENUM type `own.status` is created" in told[Subject.HISTORY].detail
    assert r'postgresql.ENUM("a \"b\"", name="status", schema="own", create_type=False)' in (
        told[Subject.HISTORY].remedy or ""
    )


def test_a_type_that_is_asked_for_first(examined: Examine) -> None:
    files = {
        **live_project(env_with()),
        f"{V}/a001.py": live_revision("a001", None, CREATE_STATUS),
        f"{V}/a002.py": live_revision("a002", "a001", ASK_FIRST),
    }
    assert examined(files).problems() == {}


def test_a_history_that_does_not_begin_with_an_empty_database(examined: Examine) -> None:
    body = 'op.add_column("users", sa.Column("email", sa.Text))'
    files = {**live_project(env_with()), f"{V}/a001.py": live_revision("a001", None, body)}
    told = examined(files)
    assert told.exit_code is ExitCode.FAIL
    assert list(told.problems()) == [Subject.HISTORY]
    assert f"{V}/a001.py:{UPGRADE_LINE}: UndefinedTable" in told[Subject.HISTORY].detail
    assert "bootstrap: schema.sql" in (told[Subject.HISTORY].remedy or "")


def test_an_env_py_that_commits_nothing(examined: Examine) -> None:
    begin = "    with context.begin_transaction():\n        context.run_migrations()"
    assert begin in ENV_PY
    env = env_with("a").replace(begin, "    connection.begin()\n    context.run_migrations()")
    told = examined({**live_project(env), **history("a")})
    assert told.exit_code is ExitCode.FAIL
    assert told.problems() == {Subject.HISTORY: "env.py comes to its end, and nothing is committed"}


@pytest.mark.parametrize(
    ("env", "detail"),
    [
        pytest.param(ENV_PY, "env.py gives no `target_metadata`: autogenerate is blind", id="none"),
        pytest.param(
            env_with(),
            "`target_metadata` lacks 2 of 2 tables: autogenerate is blind for `public.a`, "
            "`public.b`",
            id="empty",
        ),
        pytest.param(
            env_with("b"),
            "`target_metadata` lacks 1 of 2 tables: autogenerate is blind for `public.a`",
            id="fewer",
        ),
    ],
)
def test_models_that_are_not_imported(env: str, detail: str, examined: Examine) -> None:
    told = examined({**live_project(env), **history("a", "b")})
    assert told.exit_code is ExitCode.FAIL
    assert told.problems() == {Subject.MODELS: detail}
    assert "import YOUR_PACKAGE.models" in (told[Subject.MODELS].remedy or "")


def test_without_metadata_the_models_are_blind_whatever_the_history_does(
    examined: Examine,
) -> None:
    body = 'op.execute("SELECT nonsense")'
    told = examined({**live_project(), f"{V}/a001.py": live_revision("a001", None, body)})
    assert list(told.problems()) == [Subject.HISTORY, Subject.MODELS]


def test_a_partition_is_no_table_of_the_models(examined: Examine) -> None:
    body = """
    op.execute("CREATE TABLE a (id int PRIMARY KEY) PARTITION BY RANGE (id)")
    op.execute("CREATE TABLE a_1 PARTITION OF a FOR VALUES FROM (1) TO (9)")
    """
    files = {**live_project(env_with("a")), f"{V}/a001.py": live_revision("a001", None, body)}
    assert examined(files).problems() == {}


# --- The user's own database ---------------------------------------------------------


@pytest.fixture
def shop() -> Files:
    return {**live_project(env_with("a", "b")), **history("a", "b")}


def test_a_target_that_refuses_connections(examined: Examine, shop: Files) -> None:
    told = examined(shop, "postgresql://x:secret@127.0.0.1:1/x")
    assert told.exit_code is ExitCode.UNDETERMINED
    assert list(told.problems()) == [Subject.TARGET]
    assert "Connection refused" in told[Subject.TARGET].detail
    assert "supabase start" in (told[Subject.TARGET].remedy or "")
    assert "secret" not in repr(told)
    assert told.not_looked_at() == {
        Subject.TARGET_REVISION: "“Your database” has a problem",
        Subject.TARGET_PENDING: "“Your database” has a problem",
        Subject.TARGET_TYPES: "“Your database” has a problem",
    }


def test_a_target_that_lets_nobody_in(examined: Examine, shop: Files, database: Database) -> None:
    told = examined(shop, url_of(database).replace(database.name, "nowhere"))
    assert list(told.problems()) == [Subject.TARGET]
    assert "nowhere" in told[Subject.TARGET].detail
    assert "lets nobody in" in (told[Subject.TARGET].remedy or "")


def test_a_target_url_of_another_kind(examined: Examine, shop: Files) -> None:
    told = examined(shop, "sqlite:///shop.db")
    assert told.exit_code is ExitCode.ASKED_WRONGLY
    assert told.problems() == {
        Subject.TARGET: "--target-url: the database URL is one of sqlite, not of PostgreSQL"
    }


def test_a_target_that_is_ahead(examined: Examine, shop: Files, database: Database) -> None:
    stand_at(database, "z999")
    told = examined(shop, url_of(database))
    assert told.exit_code is ExitCode.UNDETERMINED
    assert told.problems() == {
        Subject.TARGET_REVISION: "it is ahead of the repository: it stands at `z999`, which no "
        "file has"
    }
    remedy = told[Subject.TARGET_REVISION].remedy or ""
    assert "git log --all --oneline -S z999 -- migrations" in remedy
    assert "alembic stamp --purge a002" in remedy
    assert told[Subject.TARGET_PENDING].detail == "“Its revision” has a problem"


def test_a_target_with_pending_revisions(
    examined: Examine, shop: Files, database: Database
) -> None:
    stand_at(database, "a001")
    told = examined(shop, url_of(database))
    assert told.exit_code is ExitCode.UNDETERMINED
    assert told.problems() == {Subject.TARGET_PENDING: "it is not up to date: `a002`"}
    assert "alembic upgrade head\n" in (told[Subject.TARGET_PENDING].remedy or "")
    assert told[Subject.TARGET_TYPES].detail == "none is in the way"


def test_an_empty_target(examined: Examine, shop: Files, database: Database) -> None:
    told = examined(shop, url_of(database))
    assert told.problems() == {Subject.TARGET_PENDING: "it is not up to date: `a001`, `a002`"}
    assert told[Subject.TARGET_REVISION].detail == "nothing is applied yet"


def test_a_target_that_was_made_without_alembic(
    examined: Examine, shop: Files, database: Database
) -> None:
    execute(database, "CREATE TABLE a (id int)")
    told = examined(shop, url_of(database))
    assert told.problems() == {
        Subject.TARGET_REVISION: "it has 1 table and nothing in `alembic_version`: Alembic "
        "would begin with the first revision"
    }
    assert "alembic stamp a002" in (told[Subject.TARGET_REVISION].remedy or "")


def test_a_version_table_of_another_name(examined: Examine, database: Database) -> None:
    execute(database, "CREATE SCHEMA own", "CREATE TABLE own.steps (version_num text)")
    execute(database, "INSERT INTO own.steps VALUES ('a001')")
    env = env_with("a").replace(
        "target_metadata=metadata",
        'target_metadata=metadata, version_table="steps", version_table_schema="own"',
    )
    schema = 'op.execute("CREATE SCHEMA IF NOT EXISTS own")'
    files = {
        **live_project(env),
        ".gatekeeper.yml": "version: 1\nproject: {bootstrap: own.sql}\n",
        "own.sql": "CREATE SCHEMA own;",
        f"{V}/a001.py": live_revision("a001", None, f"{schema}\n{a_table('a')[0]}"),
    }
    told = examined(files, url_of(database))
    assert told.problems() == {}
    assert told[Subject.TARGET_REVISION].detail == "`a001`"


@pytest.mark.parametrize(
    ("body", "is_in_the_way"),
    [
        (ASK_FIRST, False),
        ('op.execute("DROP TYPE IF EXISTS reportstatus")\n' + CREATE_STATUS, False),
        (CREATE_STATUS, True),
    ],
)
def test_a_type_in_the_target_that_a_pending_revision_creates(
    body: str, is_in_the_way: bool, examined: Examine, database: Database
) -> None:
    stand_at(database, "a001")
    execute(database, "CREATE TYPE reportstatus AS ENUM ('draft')")
    files = {
        **live_project(env_with("a")),
        **history("a"),
        f"{V}/a002.py": live_revision("a002", "a001", body),
    }
    told = examined(files, url_of(database))
    problems = told.problems()
    assert problems.pop(Subject.TARGET_PENDING) == "it is not up to date: `a002`"
    if not is_in_the_way:
        assert problems == {}
        return
    assert problems == {
        Subject.TARGET_TYPES: f"`a002` creates the ENUM type `reportstatus` "
        f"({V}/a002.py:{UPGRADE_LINE}), which is there already: it would end with DuplicateObject"
    }
    remedy = told[Subject.TARGET_TYPES].remedy or ""
    assert "    DROP TYPE IF EXISTS reportstatus;\n" in remedy
    assert "'reportstatus'::regtype" in remedy
    only_named = 'sa.Column(…, postgresql.ENUM("draft", "sent", name="reportstatus", create_type'
    assert f"    {only_named}=False))" in remedy


# --- The exit code -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("codes", "whole"),
    [
        ((), ExitCode.PASS),
        ((0, 0), ExitCode.PASS),
        ((0, 3), ExitCode.UNDETERMINED),
        ((3, 1), ExitCode.FAIL),
        ((1, 3, 2), ExitCode.ASKED_WRONGLY),
    ],
)
def test_the_exit_code_of_the_whole(codes: tuple[int, ...], whole: ExitCode) -> None:
    diagnoses = [Diagnosis("x", Condition.OK, "", None, ExitCode(code)) for code in codes]
    assert exit_code(diagnoses) is whole
