"""Extensions that production's history has and a new database has not."""

from __future__ import annotations

import pytest

from gatekeeper.model import Learned, NotRehearsed, Verdict
from tests.build_git import a_repository
from tests.live import (
    ENV_PY,
    a_table,
    check_change,
    check_repository,
    finding_lines,
    live_project,
    live_revision,
    make_change,
    rehearsal_of,
)

pytestmark = [pytest.mark.postgres, pytest.mark.slow]

V = "migrations/versions"
CITEXT = 'op.execute("CREATE TABLE users (id int, email citext)")'
TRIGRAM = 'op.execute("CREATE INDEX ix ON users USING gin ((email::text) gin_trgm_ops)")'
GEOMETRY = 'op.execute("CREATE TABLE places (at geometry)")'
DROP = 'op.execute("DROP TABLE users")'


def test_an_extension_of_the_base_is_made_and_told(server, tmp_path):
    report = check_change(
        tmp_path,
        server,
        {
            f"{V}/a001.py": live_revision("a001", None, CITEXT, DROP),
            f"{V}/a002.py": live_revision("a002", "a001", TRIGRAM, "op.execute('DROP INDEX ix')"),
        },
        {
            f"{V}/b001.py": live_revision(
                "b001", "a002", 'op.execute("CREATE TABLE t (c citext)")', 'op.drop_table("t")'
            )
        },
    )
    rehearsal = rehearsal_of(report)
    assert rehearsal.project[-2:] == (
        "the history needs the extension citext: made",
        "the history needs the extension pg_trgm: made",
    )
    assert rehearsal.learned == Learned(extensions=("citext", "pg_trgm"))
    assert report.to_save == "project:\n  extensions: [citext, pg_trgm]\n"
    assert finding_lines(report) == []


def test_an_extension_that_the_base_lacks_is_made_on_the_bases_own_code_too(server, tmp_path):
    """A changed revision: the base's code runs the base."""
    report = check_change(
        tmp_path,
        server,
        {f"{V}/a001.py": live_revision("a001", None, CITEXT, DROP)},
        {
            f"{V}/a001.py": live_revision("a001", None, CITEXT + "  # changed\npass\n1", DROP),
            f"{V}/b001.py": live_revision(
                "b001", "a001", 'op.execute("CREATE TABLE t (c citext)")', 'op.drop_table("t")'
            ),
        },
    )
    assert rehearsal_of(report).learned == Learned(extensions=("citext",))


def test_an_extension_that_a_new_revision_lacks_is_not_made(server, tmp_path):
    report = check_change(
        tmp_path,
        server,
        {f"{V}/a001.py": live_revision("a001", None)},
        {f"{V}/b001.py": live_revision("b001", "a001", CITEXT, DROP)},
    )
    assert rehearsal_of(report).learned == Learned()
    assert finding_lines(report) == [("upgrade-fails", "b001", 12)]
    assert report.findings[0].remedy == (
        "Make the extension in this revision or one before it: "
        "`op.execute('CREATE EXTENSION IF NOT EXISTS \"citext\"')`. Where production has it "
        "already, name it in the policy file: `project: {extensions: [citext]}`"
    )


def test_an_audit_tells_at_which_revision_an_extension_is_missing(server, tmp_path):
    a_repository(
        tmp_path, {**live_project(), f"{V}/a001.py": live_revision("a001", None, CITEXT, DROP)}
    )
    report = check_repository(tmp_path, server, is_audit=True)
    assert finding_lines(report) == [("upgrade-fails", "a001", 12)]
    assert "`project: {extensions: [citext]}`" in report.findings[0].remedy


def test_a_base_that_fails_on_a_made_up_value_names_the_variable(server, tmp_path):
    read = "import os\n{'dev': 1, 'prod': 2}[os.environ['STAGE']]"
    report = check_change(
        tmp_path,
        server,
        {
            "migrations/env.py": f"import os\nos.environ['STAGE']\n{ENV_PY}",
            f"{V}/a001.py": live_revision("a001", None, read),
        },
        {f"{V}/b001.py": live_revision("b001", "a001")},
    )
    assert isinstance(report.rehearsal, NotRehearsed)
    assert report.rehearsal.reason == (
        "the history up to the base does not run: migrations/versions/a001.py:13: "
        "KeyError: 'dummy'. It ran with made-up values. Where one of them is to blame, give the "
        "right one in the policy file: `project: {env: {STAGE: …}}`"
    )


def test_a_base_that_asks_at_the_keyboard_is_told_so(server, tmp_path):
    report = check_change(
        tmp_path,
        server,
        {f"{V}/a001.py": live_revision("a001", None, "input('Which region? ')")},
        {f"{V}/b001.py": live_revision("b001", "a001")},
    )
    assert isinstance(report.rehearsal, NotRehearsed)
    assert report.rehearsal.reason == (
        "the history up to the base does not run: migrations/versions/a001.py:12: EOFError: EOF "
        "when reading a line. It asks at the keyboard, where nobody is: let it take the answer "
        "from a variable, and give that in the policy file: `project: {env: {NAME: …}}`"
    )


MAKE_LACKING = "op.execute('CREATE EXTENSION IF NOT EXISTS \"no_server_has_it\"')"
OTHER_SERVER = (
    "Give `--database-url` a server that has it, such as a service container of an image with "
    "the extension"
)


@pytest.mark.parametrize("is_audit", [False, True])
def test_a_new_revision_is_not_blamed_for_an_extension_that_the_server_lacks(
    server, tmp_path, is_audit
):
    """PostGIS and the like are in production's image and not in ours."""
    make_change(
        tmp_path,
        {**live_project(), f"{V}/a001.py": live_revision("a001", None)},
        {f"{V}/b001.py": live_revision("b001", "a001", MAKE_LACKING, DROP)},
    )
    report = check_repository(tmp_path, server, is_audit=is_audit)
    assert report.verdict is Verdict.UNDETERMINED
    assert report.verdict is Verdict.UNDETERMINED
    assert isinstance(report.rehearsal, NotRehearsed)
    assert report.rehearsal.reason.startswith(
        "`b001` makes the extension `no_server_has_it`, which the server of the rehearsal "
        f"(PostgreSQL {server.info.version}, service) does not have: {V}/b001.py:12: "
        'FeatureNotSupported: extension "no_server_has_it" is not available'
    )
    assert report.rehearsal.reason.endswith(OTHER_SERVER)


def test_an_extension_that_a_revision_of_the_base_makes_and_the_server_lacks(server, tmp_path):
    report = check_change(
        tmp_path,
        server,
        {f"{V}/a001.py": live_revision("a001", None, MAKE_LACKING)},
        {f"{V}/b001.py": live_revision("b001", "a001")},
    )
    assert isinstance(report.rehearsal, NotRehearsed)
    assert report.rehearsal.reason.endswith(OTHER_SERVER)


def test_an_extension_that_the_server_lacks_is_named(server, tmp_path):
    offered = server.administer("SELECT FROM pg_available_extensions WHERE name = 'postgis'")
    if offered:
        pytest.skip("this server has PostGIS")
    report = check_change(
        tmp_path,
        server,
        {f"{V}/a001.py": live_revision("a001", None, GEOMETRY)},
        {f"{V}/b001.py": live_revision("b001", "a001")},
    )
    assert isinstance(report.rehearsal, NotRehearsed)
    info = server.info
    assert report.rehearsal.reason.endswith(
        "Production's database has the extension `postgis` already, and the server of the "
        f"rehearsal (PostgreSQL {info.version}, service) lacks it: give `--database-url` a "
        "server that has it, and in the policy file: `project: {extensions: [postgis]}`"
    )


GRANT = 'op.execute("GRANT SELECT ON t TO reporting_of_a_test")'


@pytest.mark.parametrize("role", ["", "project: {role: restricted}\n"], ids=["owner", "restricted"])
def test_a_role_and_a_schema_that_the_base_needs_are_made_for_the_run(server, tmp_path, role):
    """An administrator made them in production: the history itself is what runs."""
    in_schema = 'op.execute("CREATE TABLE shop.t (id int)")'
    report = check_change(
        tmp_path,
        server,
        {
            ".gatekeeper.yml": f"version: 1\n{role}",
            f"{V}/a001.py": live_revision(
                "a001", None, in_schema, 'op.execute("DROP TABLE shop.t")'
            ),
            f"{V}/a002.py": live_revision("a002", "a001", GRANT.replace("t TO", "shop.t TO")),
        },
        {
            f"{V}/b001.py": live_revision(
                "b001",
                "a002",
                'op.execute("ALTER TABLE shop.t OWNER TO CURRENT_USER")\n'
                'op.execute("GRANT INSERT ON shop.t TO reporting_of_a_test")',
                'op.execute("REVOKE INSERT ON shop.t FROM reporting_of_a_test")',
            )
        },
    )
    rehearsal = rehearsal_of(report)
    assert [note for note in rehearsal.project if note.startswith("the history needs")] == [
        "the history needs the role reporting_of_a_test: made",
        "the history needs the schema shop: made",
    ]
    assert [f for f in report.findings if f.check != "missing-lock-timeout"] == []
    roles = "SELECT FROM pg_catalog.pg_roles WHERE rolname = 'reporting_of_a_test'"
    assert server.administer(roles) == []


def test_a_role_that_only_a_new_revision_needs_is_not_made(server, tmp_path):
    report = check_change(
        tmp_path,
        server,
        {f"{V}/a001.py": live_revision("a001", None, *a_table("t"))},
        {f"{V}/b001.py": live_revision("b001", "a001", GRANT)},
    )
    assert finding_lines(report)[0] == ("upgrade-fails", "b001", 12)
    assert report.findings[0].remedy == (
        "Make the role in this revision or one before it. Where production has it already, put "
        "`CREATE ROLE reporting_of_a_test;` into a file, and that into the policy file: "
        "`project: {bootstrap: roles.sql}`"
    )
