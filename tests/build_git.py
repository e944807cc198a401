"""Real git repositories for tests, and the text of small revision files."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gatekeeper.git import Repository

_ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    "HOME": "/nonexistent",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "Ada",
    "GIT_AUTHOR_EMAIL": "ada@example.org",
    "GIT_COMMITTER_NAME": "Ada",
    "GIT_COMMITTER_EMAIL": "ada@example.org",
    "GIT_AUTHOR_DATE": "2026-01-01T00:00:00Z",
    "GIT_COMMITTER_DATE": "2026-01-01T00:00:00Z",
}

ALEMBIC_INI = "[alembic]\nscript_location = migrations\n"
ENV = "from alembic import context\n"


@dataclass(frozen=True)
class GitRepository:
    """A repository in a folder of the test; `main` is its first branch."""

    root: Path

    @property
    def value(self) -> Repository:
        return Repository(self.root)

    def git(self, *arguments: str) -> str:
        done = subprocess.run(
            ["git", *arguments],
            cwd=self.root,
            env=_ENVIRONMENT,
            check=True,
            capture_output=True,
        )
        return os.fsdecode(done.stdout).strip()

    def write(self, files: Mapping[str, str | bytes | None]) -> None:
        """Write files; None removes one."""
        for path, content in files.items():
            target = self.root / path
            if content is None:
                target.unlink()
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content.encode() if isinstance(content, str) else content)

    def commit(self, files: Mapping[str, str | bytes | None], message: str = "Change") -> str:
        """Commit files and return the commit's sha."""
        self.write(files)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", message)
        return self.git("rev-parse", "HEAD")


def a_repository(
    root: Path, files: Mapping[str, str | bytes | None] | None = None
) -> GitRepository:
    """Make a repository; its first commit holds the files, None makes no commit."""
    root.mkdir(parents=True, exist_ok=True)
    repository = GitRepository(root)
    repository.git("init", "--quiet", "--initial-branch=main")
    if files is not None:
        repository.commit(files, "Start")
    return repository


def revision_text(
    revision: str,
    down: str | tuple[str, ...] | None,
    *,
    upgrade: str = "op.execute('SELECT 1')",
    extra: str = "",
) -> str:
    """Return a revision file as Alembic's template writes it."""
    return f'''"""message of {revision}

Revises: {down}
"""
from alembic import op

revision: str = {revision!r}
down_revision = {down!r}
branch_labels = None
depends_on = None
{extra}

def upgrade() -> None:
    {upgrade}


def downgrade() -> None:
    pass
'''


def history(*revisions: str, folder: str = "migrations/versions") -> dict[str, str | bytes | None]:
    """Return the files of revisions that come after each other."""
    downs = (None, *revisions)
    return {
        f"{folder}/{revision}.py": revision_text(revision, down)
        for revision, down in zip(revisions, downs, strict=False)
    }


def a_project(*revisions: str) -> dict[str, str | bytes | None]:
    """Return the files of an Alembic project with a straight history."""
    return {
        "alembic.ini": ALEMBIC_INI,
        "migrations/env.py": ENV,
        "migrations/script.py.mako": "",
        **history(*revisions),
    }
