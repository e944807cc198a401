"""`gatekeeper deploy --environment local`: one's own database is brought to the work tree."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gatekeeper.postgres.databases import Database
from tests.build_git import a_repository
from tests.deploy.shop.place import Place, open_place
from tests.live import a_table, live_project, live_revision

pytestmark = [pytest.mark.postgres, pytest.mark.slow]

V = "migrations/versions"
TESTED = "environments: {local: {smoke_test: ['echo tested']}}\n"


@pytest.fixture
def place(tmp_path: Path, database: Database, clean_environment: dict[str, str]) -> Iterator[Place]:
    """A project with one committed revision and one that is still being written."""
    repository = a_repository(
        tmp_path / "shop",
        {
            **live_project(),
            ".gatekeeper.yml": TESTED,
            f"{V}/a001.py": live_revision("a001", None, *a_table("users")),
        },
    )
    repository.write({f"{V}/a002.py": live_revision("a002", "a001", *a_table("orders"))})
    with open_place(repository, database, clean_environment, tmp_path) as place:
        yield place


def tables(place: Place) -> list[str]:
    found = place.ask("SELECT relname::text FROM pg_stat_user_tables ORDER BY 1")
    return [name for (name,) in found]


def test_what_is_pending_is_shown_applied_verified_and_tested(place: Place) -> None:
    ran = place.run("deploy", "--environment", "local")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran.stdout.startswith(
        "The database stands at no revision.\n"
        "2 revisions to the head, `a002`:\n"
        "  a001 message of a001 (migrations/versions/a001.py)\n"
        "  a002 message of a002 (migrations/versions/a002.py)\n"
        "\n`work tree` on `local`: deployed\n"
    )
    assert "tested" in ran.stdout
    assert tables(place) == ["alembic_version", "orders", "users"]
    again = place.run("deploy", "--environment", "local")
    assert again.returncode == 0, again.stdout + again.stderr
    assert again.stdout.startswith(
        "The database stands at `a002`.\n\n`work tree` on `local`: deployed\n"
    )
    assert "The record is" not in ran.stdout + again.stdout, "it is thrown away"


def test_a_revision_that_fails_leaves_the_database_as_it_was(place: Place) -> None:
    place.repository.write(
        {f"{V}/a003.py": live_revision("a003", "a002", "op.execute('SELECT 1/0')")}
    )
    ran = place.run("deploy", "--environment", "local")
    assert ran.returncode == 1, ran.stdout + ran.stderr
    assert "\n`work tree` on `local`: unchanged\n" in ran.stdout
    assert "division by zero" in " ".join(ran.stdout.split())
    assert tables(place) == []


def test_a_revision_of_another_branch_is_named(place: Place) -> None:
    place.repository.git("switch", "--quiet", "--create", "experiment")
    place.repository.commit({f"{V}/f00d.py": live_revision("f00d", "a001")})
    place.repository.git("switch", "--quiet", "main")
    place.repository.write({f"{V}/a002.py": live_revision("a002", "a001", *a_table("orders"))})
    with place.session() as connection, connection.cursor() as cursor:
        cursor.execute(
            "CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY);"
            "INSERT INTO alembic_version VALUES ('f00d')"
        )
    ran = place.run("deploy", "--environment", "local")
    assert ran.returncode == 1, ran.stdout + ran.stderr
    assert ran.stdout.startswith(
        "The database stands at `f00d`.\n\n`work tree` on `local`: refused\n"
    )
    assert "which is in `experiment`" in " ".join(ran.stdout.split())


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--environment", "staging"), "a deploy needs `--plan`"),
        (("--environment", "staging", "--plan", "plan.json"), "a deploy needs `--record`"),
    ],
)
def test_other_places_need_plan_and_record(
    place: Place, options: tuple[str, ...], told: str
) -> None:
    ran = place.run("deploy", *options)
    assert ran.returncode == 2
    assert ran.stderr.startswith(f"gatekeeper: {told}\n")
