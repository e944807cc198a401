"""What a rehearsal starts from: bootstrap, stamp, models; and bases that would blind it."""

from __future__ import annotations

from pathlib import Path

import pytest

from gatekeeper.errors import ConfigError
from gatekeeper.model import Drift, NotRehearsed, Report, Verdict
from gatekeeper.postgres.servers import Server
from tests.live import (
    ENV_PY,
    Files,
    a_table,
    check_change,
    finding_lines,
    live_revision,
    rehearsal_of,
)

pytestmark = [pytest.mark.postgres, pytest.mark.slow]

V = "migrations/versions"
POLICY = ".gatekeeper.yml"
ENV = ENV_PY.replace("from alembic", "import models\nfrom alembic", 1).replace(
    "target_metadata=None", "target_metadata=models.metadata, include_schemas=True"
)


def models(*tables: str, schema: str | None = None) -> str:
    """Return models: each table is its name and, after a colon, its columns beside `id`."""
    text = f"import sqlalchemy as sa\n\nmetadata = sa.MetaData(schema={schema!r})\n"
    for table in tables:
        name, _, columns = table.partition(":")
        more = "".join(f', sa.Column("{column}", sa.Text)' for column in columns.split())
        text += (
            f'sa.Table("{name}", metadata, sa.Column("id", sa.Integer, primary_key=True){more})\n'
        )
    return text


def add_column(table: str, column: str, schema: str | None = None) -> tuple[str, str]:
    where = f", schema={schema!r}"
    return (
        f'op.add_column("{table}", sa.Column("{column}", sa.Text){where})',
        f'op.drop_column("{table}", "{column}"{where})',
    )


def revision(name: str, down: str | None, bodies: tuple[str, str]) -> Files:
    return {f"{V}/{name}.py": live_revision(name, down, *bodies)}


# A history whose first revision alters a table that only the models make.
ALTERS = {
    "migrations/env.py": ENV,
    "models.py": models("users:name email"),
    **revision("a001", None, add_column("users", "email")),
}
SQL = "CREATE TABLE users (id int PRIMARY KEY, name text);\n"
PHONE = {
    "models.py": models("users:name email phone"),
    **revision("b001", "a001", add_column("users", "phone")),
}


def reason(report: Report) -> str:
    """Return why there was no rehearsal; whatever the reason, that is never green."""
    assert isinstance(report.rehearsal, NotRehearsed)
    assert report.rehearsal.is_failure
    assert report.verdict is Verdict.UNDETERMINED
    return report.rehearsal.reason


def drift(report: Report) -> Drift:
    found = rehearsal_of(report).drift
    assert isinstance(found, Drift)
    return found


# --- The models ----------------------------------------------------------------------


def test_a_history_that_does_not_start_from_empty_starts_from_the_models(
    tmp_path: Path, server: Server
) -> None:
    report = check_change(tmp_path, server, ALTERS, PHONE)
    assert report.verdict is Verdict.PASS
    assert finding_lines(report) == [("missing-lock-timeout", "b001", 12)]
    assert drift(report) == Drift(())
    assert report.to_save == "project:\n  bootstrap: models\n"
    assert rehearsal_of(report).catalog_before is None  # no catalog of a history to compare with
    notes = [n for n in rehearsal_of(report).project if "create_all" in n]
    assert notes == [
        "the history does not start from an empty database (migrations/versions/a001.py:12: "
        'UndefinedTable: relation "users" does not exist): the base was made from its models '
        "(create_all, tables: 1), stamped `a001`. To keep it so, add to the policy file "
        "`project: {bootstrap: models}`; what the models do not describe is missing from it, so "
        'production\'s own schema is better: `pg_dump --schema-only "$PRODUCTION_URL" > '
        "schema.sql && pg_dump --data-only --table='*.alembic_version' \"$PRODUCTION_URL\" >> "
        "schema.sql` and `project: {bootstrap: schema.sql}`"
    ]


def test_the_models_can_be_the_base_for_good(tmp_path: Path, server: Server) -> None:
    policy = {POLICY: "project: {bootstrap: models}"}
    report = check_change(tmp_path, server, {**ALTERS, **policy}, PHONE)
    assert report.verdict is Verdict.PASS
    assert rehearsal_of(report).project[-1] == (
        "the base was made from its models (create_all, tables: 1), stamped `a001`"
    )


def test_schemas_and_several_metadatas_are_made(tmp_path: Path, server: Server) -> None:
    """What is no MetaData among them is left out; only the first revisions ask for a base."""
    env = ENV.replace("=models.metadata", "=[models.metadata, other.metadata]")
    base = {
        "migrations/env.py": env.replace("import models", "import models, other"),
        "models.py": models("users:name email", schema="Shop"),
        "other.py": models("audit"),
        **revision("a001", None, add_column("users", "email", "Shop")),
    }
    change = {
        "models.py": models("users:name email", "notes", schema="Shop"),
        **revision("b001", "a001", add_column("users", "phone", "Shop")),
    }
    report = check_change(tmp_path, server, base, change)
    assert sorted(drift(report).operations) == [
        "add table Shop.notes",
        "drop column Shop.users.phone",
    ]


def test_an_env_py_that_commits_each_migration_keeps_what_the_models_made(
    tmp_path: Path, server: Server
) -> None:
    env = ENV.replace("(connection=", "(transaction_per_migration=True, connection=")
    report = check_change(tmp_path, server, {**ALTERS, "migrations/env.py": env}, PHONE)
    assert report.verdict is Verdict.PASS


def test_the_first_database_error_is_told(tmp_path: Path, server: Server) -> None:
    """Not the "current transaction is aborted" that a revision runs into later."""
    body = """
        try:
            op.execute("UPDATE users SET name = 'x'")
        except Exception:
            pass
        op.execute("SELECT 1")
        """
    base = {f"{V}/a001.py": live_revision("a001", None, body)}
    change = revision("b001", "a001", a_table("b"))
    told = reason(check_change(tmp_path, server, base, change))
    assert told.startswith(
        "the history up to the base does not run: migrations/versions/a001.py:14: "
        'UndefinedTable: relation "users" does not exist'
    )
    assert "aborted" not in told


@pytest.mark.parametrize(
    ("base", "change", "request_", "told"),
    [
        pytest.param(
            {"migrations/env.py": ENV_PY, **revision("a001", None, add_column("users", "x"))},
            revision("b001", "a001", a_table("b")),
            {},
            "nor could the base be made from the models: env.py of the base gives no "
            "`target_metadata` with a table in it. The first revisions expect a schema that "
            "something else made. Dump production's",
            id="no metadata",
        ),
        pytest.param(
            {
                **ALTERS,
                "models.py": models("users:name")
                + 'sa.Table("x", metadata, sa.Column("y", sa.Text, server_default=sa.text("f()")))',
            },
            PHONE,
            {},
            "UndefinedFunction: function f() does not exist",
            id="models that need more",
        ),
        pytest.param(
            ALTERS,
            PHONE,
            {"is_audit": True},
            'UndefinedTable: relation "users" does not exist. The first revisions expect a schema '
            "that something else made. Dump production's, `pg_dump --schema-only",
            id="an audit",
        ),
        pytest.param(
            {**ALTERS, POLICY: "project: {bootstrap: models}"},
            PHONE,
            {"is_audit": True},
            "the base could not be made from the models: there is no base whose models could",
            id="an audit by the models",
        ),
        pytest.param(
            {**ALTERS, "models.py": models("users:name email phone")},
            PHONE,
            {},
            "`b001` makes `users.phone`, which the models of the base, from which it was made, "
            'describe already: migrations/versions/b001.py:12: DuplicateColumn: column "phone" of '
            'relation "users" already exists. The history does not start from an empty database: '
            'migrations/versions/a001.py:12: UndefinedTable: relation "users" does not exist. ',
            id="models that are ahead",
        ),
        pytest.param(
            ALTERS,
            revision("b001", "a001", add_column("parcels", "x")),
            {},
            "`b001` needs what the models of the base, from which it was made, do not describe",
            id="models that lack a table",
        ),
        pytest.param(
            {
                **ALTERS,
                **revision("a001", None, a_table("one")),
                **revision("a002", "a001", a_table("two")),
                **revision("a003", "a002", a_table("three")),
                **revision("a004", "a003", add_column("users", "x")),
            },
            revision("b001", "a004", a_table("b")),
            {},
            "the history up to the base does not run: migrations/versions/a004.py:12: "
            'UndefinedTable: relation "users" does not exist. The first revisions',
            id="later than the first revisions",
        ),
    ],
)
def test_a_base_that_cannot_be_made_is_told_with_what_to_do(
    base: Files,
    change: Files,
    request_: dict[str, object],
    told: str,
    tmp_path: Path,
    server: Server,
) -> None:
    assert told in reason(check_change(tmp_path, server, base, change, **request_))


# --- A bootstrap and what it stands for ----------------------------------------------


def stamped(stamp: str, **more: str) -> Files:
    lines = "".join(f"  {key}: {value}\n" for key, value in more.items())
    return {POLICY: f"project:\n  bootstrap: base.sql\n  stamp: {stamp}\n{lines}", "base.sql": SQL}


VERSIONED = (
    "CREATE TABLE users (id int PRIMARY KEY, name text, email text);\n"
    "CREATE TABLE {0}alembic_version (version_num text);\n"
    "INSERT INTO {0}alembic_version VALUES ('{1}');\n"
)


def brought(version: str, schema: str = "") -> Files:
    """Return a bootstrap that brings a version table along."""
    make = f"CREATE SCHEMA {schema};\n" if schema else ""
    text = make + VERSIONED.format(f"{schema}." if schema else "", version)
    return {POLICY: "project:\n  bootstrap: base.sql\n", "base.sql": text}


EMAIL = {"base.sql": SQL.replace("name text", "name text, email text")}


@pytest.mark.parametrize(
    "base",
    [
        pytest.param({**stamped("a001"), **EMAIL}, id="stamped"),
        pytest.param({**stamped("heads"), **EMAIL}, id="stamped with heads"),
        pytest.param(brought("a001"), id="brings its version"),
    ],
)
def test_a_bootstrap_stands_for_the_history(base: Files, tmp_path: Path, server: Server) -> None:
    report = check_change(tmp_path, server, {**ALTERS, **base}, PHONE)
    assert report.verdict is Verdict.PASS
    assert finding_lines(report) == [("missing-lock-timeout", "b001", 12)]
    assert drift(report) == Drift(())


def test_an_audit_rehearses_what_lies_above_the_bootstrap(tmp_path: Path, server: Server) -> None:
    base = {**ALTERS, **stamped("a001"), **EMAIL}
    report = check_change(tmp_path, server, base, PHONE, is_audit=True)
    below, above = rehearsal_of(report).revisions
    assert below.upgrade.reason == "the bootstrap stands for it, so it did not run"
    assert (above.revision.revision, above.round_trip) == ("b001", ())


def test_an_audit_of_what_the_bootstrap_stands_for_is_not_green(
    tmp_path: Path, server: Server
) -> None:
    base = {**ALTERS, **stamped("heads"), **EMAIL}
    report = check_change(tmp_path, server, base, PHONE, is_audit=True)
    assert reason(report) == (
        "none of the revisions ran: the bootstrap stands for it, so it did not run"
    )


@pytest.mark.parametrize(
    ("base", "line", "what", "fix"),
    [
        pytest.param(
            stamped("b001"),
            3,
            "`project.stamp` is `b001`, which is new here: it would count as applied and never run",
            "Stamp what the bootstrap was made at; the base's head is `a001`.",
            id="stamp above the base",
        ),
        pytest.param(
            stamped("a01"),
            3,
            "`project.stamp` is `a01`, which is no revision of the history up to the base",
            "Did you mean `a001`? The base's head is `a001`.",
            id="stamp that does not exist",
        ),
        pytest.param(
            {POLICY: "project: {stamp: a001}"},
            1,
            "`project.stamp` is `a001`, and there is no `project.bootstrap` for it to stand for: "
            "the database would be empty",
            "Add what makes the schema of that revision, such as `bootstrap: db/schema.sql`, or "
            "take `stamp` out.",
            id="stamp alone",
        ),
        pytest.param(
            brought("b001"),
            2,
            "the bootstrap brings a database that stands at `b001`, which is new here: it would "
            "count as applied and never run",
            "Make the bootstrap at the base, `a001`: dump a database that stands there.",
            id="dump of a database that has the change",
        ),
        pytest.param(
            brought("f00d"),
            2,
            "the bootstrap brings a database that stands at `f00d`, which is no revision of the "
            "history up to the base",
            "The base's head is `a001`.",
            id="dump of another history",
        ),
        pytest.param(
            brought("a001", "meta"),
            2,
            "the bootstrap brings the version table `meta.alembic_version`, and env.py looks at "
            "`alembic_version`: the whole history would run once more",
            "Give `version_table_schema` and `version_table` in `context.configure(…)` of env.py "
            "as they are in production, or dump the schema that env.py migrates.",
            id="version table elsewhere",
        ),
        pytest.param(
            {POLICY: "project:\n  bootstrap: bse.sql\n"},
            2,
            "`project.bootstrap` names `bse.sql`, which is no SQL file of the repository",
            None,
            id="no such file",
        ),
        pytest.param(
            {POLICY: "project:\n  seed: rows.sql\n"},
            2,
            "`project.seed` names `rows.sql`, which is no SQL file of the repository",
            None,
            id="no such seed",
        ),
        pytest.param(
            {POLICY: "project:\n  bootstrap: python -c 'x\n"},
            2,
            "`project.bootstrap` is `python -c 'x`, which is no command: No closing quotation",
            "Close the quotes.",
            id="quotes",
        ),
    ],
)
def test_what_is_asked_wrongly_is_refused_at_its_line(
    base: Files, line: int, what: str, fix: str | None, tmp_path: Path, server: Server
) -> None:
    with pytest.raises(ConfigError) as caught:
        check_change(tmp_path, server, {**ALTERS, **base}, PHONE)
    assert caught.value.where == f"{tmp_path / POLICY}:{line}"
    assert caught.value.what == what
    assert fix is None or caught.value.fix == fix


def test_a_bootstrap_that_holds_what_is_new_is_told(tmp_path: Path, server: Server) -> None:
    base = {**ALTERS, **stamped("a001")}
    held = {"base.sql": SQL.replace("name text", "name text, email text, phone text")}
    assert reason(check_change(tmp_path, server, {**base, **held}, PHONE)) == (
        f"{tmp_path / POLICY}:2: `b001` makes `users.phone`, which the bootstrap brings already: "
        'migrations/versions/b001.py:12: DuplicateColumn: column "phone" of relation "users" '
        "already exists. Make the bootstrap at the base, `a001`, without what is new: dump a "
        "database that stands there"
    )


def test_a_revision_that_repeats_the_history_is_at_fault_itself(
    tmp_path: Path, server: Server
) -> None:
    """The bootstrap has nothing to do with what its later revisions made."""
    base = {**ALTERS, **stamped("a001"), **EMAIL, **revision("a002", "a001", a_table("parcels"))}
    report = check_change(tmp_path, server, base, revision("b001", "a002", a_table("parcels")))
    assert report.verdict is Verdict.FAIL
    assert ("upgrade-fails", "b001", 12) in finding_lines(report)


def test_an_env_py_that_stamps_by_itself_is_not_green(tmp_path: Path, server: Server) -> None:
    """The new revision counts as applied before it could run."""
    stamps = (
        "    connection.exec_driver_sql('CREATE TABLE IF NOT EXISTS alembic_version "
        "(version_num text)')\n"
        "    connection.exec_driver_sql('DELETE FROM alembic_version')\n"
        "    connection.exec_driver_sql(\"INSERT INTO alembic_version VALUES ('b001')\")\n"
        "    connection.commit()\n"
    )
    env = ENV_PY.replace("    context.configure", f"{stamps}    context.configure", 1)
    assert env != ENV_PY
    base = revision("a001", None, a_table("a"))
    change = {"migrations/env.py": env, **revision("b001", "a001", a_table("b"))}
    report = check_change(tmp_path, server, base, change)
    assert report.verdict is Verdict.UNDETERMINED
    assert report.undetermined == (
        "`b001` was not upgraded: a001, b001 counted as applied already when env.py began"
    )


def test_an_extension_that_the_models_name_is_made(tmp_path: Path, server: Server) -> None:
    citext = 'from sqlalchemy.dialects.postgresql import CITEXT\nsa.Table("tags", metadata, '
    text = ALTERS["models.py"] + citext + 'sa.Column("name", CITEXT, primary_key=True))\n'
    change = {**PHONE, "models.py": text.replace("email", "phone")}
    report = check_change(tmp_path, server, {**ALTERS, "models.py": text}, change)
    assert rehearsal_of(report).learned.extensions == ("citext",)


def test_a_hook_may_come_with_the_change(tmp_path: Path, server: Server) -> None:
    """The base's code has no such file; the policy that names it is the change's, too."""
    hook = (
        "import sqlalchemy as sa\n\ndef bootstrap(url):\n"
        "    with sa.create_engine(url).begin() as connection:\n"
        f"        connection.execute(sa.text({SQL!r}))\n"
    )
    policy = "project: {hook: ci/hook.py}"
    report = check_change(tmp_path, server, ALTERS, {**PHONE, "ci/hook.py": hook, POLICY: policy})
    notes = [n for n in rehearsal_of(report).project if "bootstrap(url)" in n]
    assert notes == [
        "ci/hook.py took part with `bootstrap(url)`",
        "the databases begin with what `bootstrap(url)` makes",
    ]
    assert report.verdict is Verdict.PASS


def test_a_bootstrap_command_runs_in_the_code_of_the_base(tmp_path: Path, server: Server) -> None:
    """Models of the change would bring what its revisions are to make."""
    command = "import models, sqlalchemy as s; models.metadata.create_all(s.create_engine('postgresql://'))"
    policy = f'project:\n  bootstrap: "python -c \\"{command}\\""\n  stamp: heads\n'
    report = check_change(tmp_path, server, {**ALTERS, POLICY: policy}, PHONE)
    assert report.verdict is Verdict.PASS
    assert drift(report) == Drift(())
