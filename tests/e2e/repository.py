"""A small Alembic project in a git repository, and the event of a pull request on it."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TESTS = Path(__file__).parents[1]
EVENT = TESTS / "github" / "events" / "pull_request_opened.json"

INI = """\
[alembic]
script_location = migrations
sqlalchemy.url = postgresql+psycopg2://shop:shop@db.invalid/shop
"""

ENV = """\
from alembic import context
from sqlalchemy import engine_from_config, pool

engine = engine_from_config(
    context.config.get_section("alembic"), prefix="sqlalchemy.", poolclass=pool.NullPool
)
with engine.connect() as connection:
    context.configure(connection=connection, target_metadata=None)
    with context.begin_transaction():
        context.run_migrations()
"""

BASE = '''\
"""Create users."""

import sqlalchemy as sa
from alembic import op

revision = "a001"
down_revision = None


def upgrade():
    op.create_table("users", sa.Column("id", sa.Integer, primary_key=True))


def downgrade():
    op.drop_table("users")
'''

CLEAN = '''\
"""Add a nickname."""

import sqlalchemy as sa
from alembic import op

revision = "b002"
down_revision = "a001"


def upgrade():
    op.execute("SET LOCAL lock_timeout = '2s'")
    op.add_column("users", sa.Column("nickname", sa.Text))


def downgrade():
    op.execute("SET LOCAL lock_timeout = '2s'")
    op.drop_column("users", "nickname")
'''

WITHOUT_DOWNGRADE = CLEAN.partition("\n\ndef downgrade")[0] + "\n"


@dataclass(frozen=True)
class Repository:
    """A checkout of a pull request's head; `base` and `head` are commit shas."""

    path: Path
    base: str
    head: str

    def status(self) -> str:
        return git(self.path, "status", "--porcelain", "--untracked-files=all")


def make_repository(
    path: Path, revision: str | None, others: Mapping[str, str] | None = None
) -> Repository:
    """Make main with one revision and a branch that adds another, or a text where None.

    `others` are files that both have.
    """
    versions = path / "migrations" / "versions"
    versions.mkdir(parents=True)
    (path / "alembic.ini").write_text(INI, encoding="utf-8")
    (path / "migrations" / "env.py").write_text(ENV, encoding="utf-8")
    (versions / "a001_create_users.py").write_text(BASE, encoding="utf-8")
    return _with_change(path, others or {}, revision)


def make_releases(path: Path, releases: Mapping[str, str], others: Mapping[str, str]) -> None:
    """Make main with a tag for each release, each adding the text of one revision."""
    versions = path / "migrations" / "versions"
    versions.mkdir(parents=True)
    git(path, "init", "--quiet", "--initial-branch=main")
    git(path, "remote", "add", "origin", "https://github.com/octo/shop.git")
    (path / "alembic.ini").write_text(INI, encoding="utf-8")
    (path / "migrations" / "env.py").write_text(ENV, encoding="utf-8")
    for name, text in others.items():
        (path / name).write_text(text, encoding="utf-8")
    for number, (tag, text) in enumerate(releases.items(), 1):
        (versions / f"r{number:03}.py").write_text(text, encoding="utf-8")
        commit(path, f"Prepare {tag}")
        git(path, "tag", tag)


def tag_event(path: Path, tag: str) -> dict[str, Any]:
    """Return GitHub's example payload of a pushed tag, pointed at this repository."""
    event: dict[str, Any] = json.loads(EVENT.with_name("push_tag.json").read_text("utf-8"))
    event["repository"]["full_name"] = "octo/shop"
    event["repository"]["default_branch"] = "main"
    head = git(path, "rev-parse", f"{tag}^{{commit}}").strip()
    return {**event, "ref": f"refs/tags/{tag}", "after": head}


def copy_project(path: Path, situation: str, others: Mapping[str, str]) -> Repository:
    """Make main of a project of `tests/projects` and a branch that adds a revision to it."""
    shutil.copytree(TESTS / "projects" / situation, path)
    return _with_change(path, others, CLEAN.replace('"a001"', '"a003"'))


def _with_change(path: Path, others: Mapping[str, str], revision: str | None) -> Repository:
    git(path, "init", "--quiet", "--initial-branch=main")
    git(path, "remote", "add", "origin", "https://github.com/octo/shop.git")
    for name, text in others.items():
        (path / name).write_text(text, encoding="utf-8")
    base = commit(path, "Begin")
    git(path, "update-ref", "refs/remotes/origin/main", base)
    git(path, "switch", "--quiet", "-c", "topic")
    if revision is None:
        (path / "NOTES.md").write_text("Nothing about the database.\n", encoding="utf-8")
    else:
        file = path / "migrations" / "versions" / "b002_add_a_nickname.py"
        file.write_text(revision, encoding="utf-8")
    return Repository(path, base, commit(path, "Change something"))


def pull_request_event(repository: Repository) -> dict[str, Any]:
    """Return GitHub's example payload, pointed at this repository."""
    event: dict[str, Any] = json.loads(EVENT.read_text(encoding="utf-8"))
    request = event["pull_request"]
    event["number"] = request["number"] = 7
    event["repository"]["full_name"] = "octo/shop"
    for side, sha, ref in (
        ("base", repository.base, "main"),
        ("head", repository.head, "topic"),
    ):
        request[side]["sha"], request[side]["ref"] = sha, ref
        request[side]["repo"]["full_name"] = "octo/shop"
        request[side]["repo"]["default_branch"] = "main"
    return event


def commit(path: Path, message: str) -> str:
    git(path, "add", "--all")
    git(path, "commit", "--quiet", "--message", message)
    return git(path, "rev-parse", "HEAD").strip()


def git(path: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=Kim", "-c", "user.email=kim@example.org")
    command = ["git", "-c", "safe.directory=*", *identity, *arguments]
    done = subprocess.run(command, cwd=path, check=True, capture_output=True, text=True)
    return done.stdout
