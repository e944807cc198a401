"""`gatekeeper release`, as a workflow on a tag calls it."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gatekeeper.postgres.servers import Server
from tests.build_git import GitRepository, a_repository
from tests.live import a_table, live_project, live_revision, server_url

pytestmark = [pytest.mark.postgres, pytest.mark.slow]

V = "migrations/versions"
ADD_EMAIL = 'op.add_column("users", sa.Column("email", sa.Text))'
DROP_EMAIL = 'op.drop_column("users", "email")'


@pytest.fixture
def shop(tmp_path: Path) -> GitRepository:
    """Three releases: the first, one with two revisions, one without."""
    repository = a_repository(
        tmp_path / "shop",
        {**live_project(), f"{V}/a001.py": live_revision("a001", None, *a_table("users"))},
    )
    repository.git("tag", "--annotate", "--message", "The first", "v1.0.0")
    repository.commit(
        {
            f"{V}/a002.py": live_revision("a002", "a001", ADD_EMAIL, DROP_EMAIL),
            f"{V}/a003.py": live_revision("a003", "a002", DROP_EMAIL, ADD_EMAIL),
        }
    )
    repository.git("tag", "v1.1.0")
    repository.commit({"README": "words"})
    repository.git("tag", "v2.0.0-rc.1")
    return repository


def correct(shop: GitRepository) -> None:
    """Release a correction of the second release from a line of its own."""
    shop.git("switch", "--quiet", "--create", "line-1.1", "v1.1.0")
    shop.commit({f"{V}/c001.py": live_revision("c001", "a003", "1/0")})
    shop.git("tag", "v1.1.1")


def release(
    shop: GitRepository, server: Server, environment: dict[str, str], tag: str, *options: str
) -> tuple[subprocess.CompletedProcess[str], Path]:
    shop.git("checkout", "--quiet", tag)
    output = shop.root.parent / "release"
    ran = subprocess.run(
        [sys.executable, "-m", "gatekeeper", "release", "--output", str(output), *options],
        cwd=shop.root,
        env={**environment, "GATEKEEPER_DATABASE_URL": server_url(server)},
        capture_output=True,
        text=True,
        check=False,
    )
    return ran, output


def read(output: Path, name: str) -> Any:
    return json.loads((output / name).read_text(encoding="utf-8"))


def test_the_plan_of_a_release(
    shop: GitRepository, server: Server, clean_environment: dict[str, str]
) -> None:
    ran, output = release(shop, server, clean_environment, "v1.1.0")
    assert (ran.returncode, ran.stderr) == (0, ""), ran.stdout
    assert sorted(file.name for file in output.iterdir()) == [
        "evidence.json",
        "plan.json",
        "plan.md",
        "report.json",
    ]
    plan, evidence = read(output, "plan.json"), read(output, "evidence.json")
    commit = shop.git("rev-parse", "v1.1.0^{commit}")
    assert (plan["tag"], plan["previous"], plan["commit"]) == ("v1.1.0", "v1.0.0", commit)
    assert (plan["from_revisions"], plan["to_revisions"]) == (["a001"], ["a003"])
    told = [
        (
            revision["revision"],
            [(s["sql"], s["line"]) for s in revision["upgrade"]["statements"]],
            [(s["sql"], s["line"]) for s in revision["downgrade"]["statements"]],
            revision["drops"],
            revision["rollback"],
        )
        for revision in plan["revisions"]
    ]
    add, drop = "ALTER TABLE users ADD COLUMN email TEXT", "ALTER TABLE users DROP COLUMN email"
    email = ["column public.users.email"]
    assert told == [
        ("a002", [(add, 12)], [(drop, 16)], [], {"obstacle": None, "loses": email}),
        (
            "a003",
            [(drop, 12)],
            [(add, 16)],
            email,
            {
                "obstacle": "its downgrade cannot bring back the data of column public.users.email",
                "loses": [],
            },
        ),
    ]
    locks = [s["locks"] for r in plan["revisions"] for s in r["upgrade"]["statements"]]
    # Both run in one transaction, which has the lock once the first has taken it.
    assert locks == [[{"relation": "public.users", "mode": "ACCESS EXCLUSIVE"}], []]
    assert plan["maintenance_window"] == {"needed": False, "reasons": []}
    assert plan["rollback"]["proven"] is False
    written = (output / "plan.json").read_bytes()
    assert evidence["plan_sha256"] == hashlib.sha256(written).hexdigest()
    assert evidence["content_hash"] == read(output, "report.json")["content_hash"]
    assert (evidence["verdict"], evidence["is_rehearsed"]) == ("pass", True)
    assert evidence["head_revisions"] == ["a003"]
    assert [r["transactional"] for r in plan["revisions"]] == [True, True]
    page = (output / "plan.md").read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if line.startswith("| `a00")]
    assert [row.split(" | ")[-2] for row in rows] == ["nothing is left", "nothing is left"]
    assert ran.stdout.startswith("Release `v1.1.0`: the database\nRehearsed without an error; ")
    assert " ".join(ran.stdout.split()).count("If it fails: nothing is left") == 2
    assert ran.stdout.endswith(
        f"    gatekeeper deploy --environment NAME --plan {output / 'plan.json'} --record DIR\n"
    )
    assert "|" not in ran.stdout
    assert (
        evidence["catalog"]["before"] == evidence["catalog"]["after"]
    )  # what a003 drops is a002's
    assert "column public.users.id" in evidence["catalog"]["before"]
    assert evidence["attestations"][0] == {
        "id": "migrations-reviewed",
        "title": "Migration files reviewed and approved",
        "required_for": ["production"],
        "ticked": False,
    }


def test_the_first_release_begins_with_an_empty_database(
    shop: GitRepository, server: Server, clean_environment: dict[str, str]
) -> None:
    ran, output = release(shop, server, clean_environment, "v1.0.0")
    assert ran.returncode == 0
    plan = read(output, "plan.json")
    assert (plan["previous"], plan["from_revisions"]) == (None, [])
    assert [r["revision"] for r in plan["revisions"]] == ["a001"]
    catalog = read(output, "evidence.json")["catalog"]
    assert sorted(catalog["before"]) == ["extension plpgsql", "schema public"]
    assert sorted(catalog["after"].keys() - catalog["before"].keys()) == [
        "column public.users.id",
        "constraint public.users.users_pkey",
        "sequence public.users_id_seq",
        "table public.users",
    ]
    told = " ".join(ran.stdout.split())
    assert "1 revision in the first release, from an empty database to `a001`" in told


def test_a_release_without_a_migration(
    shop: GitRepository, server: Server, clean_environment: dict[str, str]
) -> None:
    ran, output = release(shop, server, clean_environment, "v2.0.0-rc.1")
    assert ran.returncode == 0
    assert read(output, "plan.json")["revisions"] == []
    evidence = read(output, "evidence.json")
    assert (evidence["is_rehearsed"], evidence["server"]) == (False, None)
    assert evidence["catalog"] == {"before": None, "after": None}
    assert "The release has no migration." in ran.stdout


def test_a_release_of_another_line_whose_migration_fails(
    shop: GitRepository, server: Server, clean_environment: dict[str, str]
) -> None:
    correct(shop)
    ran, output = release(shop, server, clean_environment, "v1.1.1")
    assert ran.returncode == 1
    plan = read(output, "plan.json")
    assert (plan["previous"], plan["verdict"]) == ("v1.1.0", "fail")
    assert plan["rollback"]["obstacles"] == [
        "`c001`: its downgrade was not run: the upgrade failed"
    ]
    assert "Not to be deployed." in ran.stdout


def test_what_an_earlier_release_has_and_this_one_lacks(
    shop: GitRepository, server: Server, clean_environment: dict[str, str]
) -> None:
    """A correction went out on another line and was not taken over."""
    correct(shop)
    shop.git("tag", "v2.0.0", "v2.0.0-rc.1^{commit}")
    ran, output = release(shop, server, clean_environment, "v2.0.0", "--tag", "v2.0.0")
    assert ran.returncode == 1
    assert read(output, "plan.json")["previous"] == "v1.1.1"
    told = " ".join(ran.stdout.split())
    assert "`c001` was merged before and this change deletes it" in told


@pytest.mark.parametrize(
    ("tag", "options", "said"),
    [
        pytest.param(
            "main",
            (),
            "Check a tag out, or name one with `--tag TAG`.",
            id="a commit that is no release",
        ),
        pytest.param(
            "main",
            ("--tag", "v1.0.0"),
            "gatekeeper: --tag: the tag `v1.0.0` is not what is checked out\n"
            "Check it out: `git checkout v1.0.0`.\n",
            id="not what is checked out",
        ),
        pytest.param(
            "v1.1.0", ("--previous", "v0.9"), "git knows no tag `v0.9`", id="no such previous one"
        ),
        pytest.param("v1.1.0", ("--tags", "api-*"), "matches `api-*`", id="no such pattern"),
    ],
)
def test_what_cannot_be_released_is_said(
    tag: str,
    options: tuple[str, ...],
    said: str,
    shop: GitRepository,
    server: Server,
    clean_environment: dict[str, str],
) -> None:
    shop.git("switch", "--quiet", "main")
    shop.commit({"README": "after the last release"})
    ran, output = release(shop, server, clean_environment, tag, *options)
    assert ran.returncode == 2
    assert said in ran.stderr
    assert not output.exists()


def test_a_shallow_clone_does_not_make_a_first_release(
    shop: GitRepository, server: Server, clean_environment: dict[str, str], tmp_path: Path
) -> None:
    options = ("--quiet", "--depth", "1", "--branch", "v1.1.0")
    shop.git("clone", *options, shop.root.as_uri(), str(tmp_path / "clone"))
    ran, _ = release(GitRepository(tmp_path / "clone"), server, clean_environment, "v1.1.0")
    assert ran.returncode == 2
    assert "what `v1.1.0` follows cannot be told: this is a shallow clone" in ran.stderr
