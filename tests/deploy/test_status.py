"""`gatekeeper status`, on databases in every state that one may be in."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gatekeeper.postgres.databases import Database
from tests.build_git import GitRepository, a_project, a_repository, revision_text
from tests.databases import execute, url_of
from tests.deploy.targets import an_ordinary_target

pytestmark = pytest.mark.postgres

V = "migrations/versions"
TABLE = "CREATE TABLE {} (version_num varchar(32) NOT NULL PRIMARY KEY)"


@pytest.fixture
def repository(tmp_path: Path) -> GitRepository:
    """Three revisions, and a branch with a fourth."""
    made = a_repository(tmp_path / "shop", a_project("a001", "a002", "b003"))
    made.git("switch", "--quiet", "--create", "topic")
    made.commit({f"{V}/f00d.py": revision_text("f00d", "b003")})
    made.git("switch", "--quiet", "main")
    return made


def version_table(*versions: str, name: str = "alembic_version") -> tuple[str, ...]:
    inserts = (f"INSERT INTO {name} VALUES ('{version}')" for version in versions)
    return (TABLE.format(name), *inserts)


def status(
    repository: GitRepository, environment: dict[str, str], url: str | None, *options: str
) -> subprocess.CompletedProcess[str]:
    told = {} if url is None else {"GATEKEEPER_TARGET_URL": url}
    return subprocess.run(
        [sys.executable, "-m", "gatekeeper", "status", *options],
        cwd=repository.root,
        env={**environment, **told},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("statements", "code", "revisions", "pending"),
    [
        pytest.param(version_table("b003"), 0, ["b003"], [], id="at the head"),
        pytest.param(
            version_table("b003", name="history"), 0, ["b003"], [], id="in a table of another name"
        ),
        pytest.param(
            ("CREATE SCHEMA a", *version_table("b003", name="a.alembic_version")),
            0,
            ["b003"],
            [],
            id="in a table of another schema",
        ),
        pytest.param(
            (*version_table("b003"), *version_table("elsewhere", name="other_version")),
            0,
            ["b003"],
            [],
            id="beside another program's",
        ),
        pytest.param(version_table("a002"), 1, ["a002"], ["b003"], id="behind"),
        pytest.param(version_table(), 1, [], ["a001", "a002", "b003"], id="nothing applied"),
        pytest.param((), 1, [], ["a001", "a002", "b003"], id="an empty database"),
        pytest.param(
            (
                "CREATE SCHEMA a",
                "CREATE SCHEMA b",
                *version_table("b003", name="a.alembic_version"),
                *version_table("a002", name="b.alembic_version"),
            ),
            1,
            ["a002", "b003"],
            ["b003"],
            id="one of two tenants behind",
        ),
    ],
)
def test_where_a_target_stands(
    statements: tuple[str, ...],
    code: int,
    revisions: list[str],
    pending: list[str],
    repository: GitRepository,
    database: Database,
    clean_environment: dict[str, str],
) -> None:
    execute(database, *statements)
    ran = status(repository, clean_environment, url_of(database), "--format", "json")
    assert (ran.returncode, ran.stderr) == (code, "")
    assert json.loads(ran.stdout) == {
        "schema": 1,
        "revisions": revisions,
        "heads": ["b003"],
        "pending": [
            {"revision": r, "message": f"message of {r}", "path": f"{V}/{r}.py"} for r in pending
        ],
        "phantoms": [],
    }


@pytest.mark.slow
def test_a_revision_of_another_branch(
    repository: GitRepository, database: Database, clean_environment: dict[str, str]
) -> None:
    execute(database, *version_table("f00d"))
    ran = status(repository, clean_environment, url_of(database), "--format", "json")
    told: dict[str, Any] = json.loads(ran.stdout)
    commit = repository.git("rev-parse", "topic")
    assert ran.returncode == 1
    assert told["revisions"] == ["f00d"]
    assert told["phantoms"] == [{"revision": "f00d", "commit": commit, "refs": ["topic"]}]
    assert told["pending"] is None, "what it comes after is not known here"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("known", "pending", "said"),
    [
        pytest.param(
            "a002",
            None,
            "What is pending cannot be told here, only from a checkout that has its file.",
            id="behind",
        ),
        pytest.param("b003", [], None, id="at the head"),
    ],
)
def test_a_revision_that_no_branch_has_beside_one_that_is_known(
    known: str,
    pending: list[Any] | None,
    said: str | None,
    repository: GitRepository,
    database: Database,
    clean_environment: dict[str, str],
) -> None:
    execute(database, *version_table(known, "beef"))
    ran = status(repository, clean_environment, url_of(database), "--format", "json")
    assert (ran.returncode, json.loads(ran.stdout)["pending"]) == (1, pending)
    ran = status(repository, clean_environment, url_of(database))
    assert ran.returncode == 1
    assert ran.stdout.splitlines() == [
        f"The target stands at `{known}`, `beef`.",
        "`beef` is unknown, no file here has it: no branch or tag of this clone ever had a file "
        "of it.",
        *([] if said is None else [said]),
    ]


@pytest.mark.slow
def test_what_a_person_reads(
    repository: GitRepository, database: Database, clean_environment: dict[str, str]
) -> None:
    with an_ordinary_target(database) as target:
        execute(
            database, *version_table("a001"), f"GRANT SELECT ON alembic_version TO {target.user}"
        )
        url = url_of(database, target.user, target.password)
        ran = status(repository, clean_environment, url)
        assert ran.stdout == (
            "The target stands at `a001`.\n"
            "2 revisions to the head, `b003`:\n"
            f"  a002 message of a002 ({V}/a002.py)\n"
            f"  b003 message of b003 ({V}/b003.py)\n"
        )
        execute(database, "UPDATE alembic_version SET version_num = 'b003'")
        ran = status(repository, clean_environment, url)
        assert ran.stdout == "The target stands at `b003`.\nNothing is pending.\n"
        execute(database, "UPDATE alembic_version SET version_num = 'f00d'")
        ran = status(repository, clean_environment, url)
        commit = repository.git("rev-parse", "topic")[:12]
        assert ran.stdout == (
            "The target stands at `f00d`.\n"
            f"`f00d` is unknown, no file here has it: commit {commit} made its file, which is in "
            "`topic`.\n"
            "What is pending cannot be told here, only from a checkout that has its file.\n"
        )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("url", "code", "said"),
    [
        pytest.param(
            None, 2, "`GATEKEEPER_TARGET_URL` does not say which database is meant", id="none"
        ),
        pytest.param("sqlite:///x", 2, "is one of sqlite, not of PostgreSQL", id="another kind"),
        pytest.param(
            "postgresql://a:secret@127.0.0.1:1/x", 3, "127.0.0.1:1: PostgreSQL did", id="nobody"
        ),
    ],
)
def test_a_target_that_cannot_be_reached(
    url: str | None,
    code: int,
    said: str,
    repository: GitRepository,
    clean_environment: dict[str, str],
) -> None:
    ran = status(repository, clean_environment, url)
    assert (ran.returncode, ran.stdout) == (code, "")
    assert said in ran.stderr
    assert "secret" not in ran.stderr
