"""Runs the SQL files that a policy names, a dump as `pg_dump` writes it among them."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg2
from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class

from gatekeeper.errors import ConfigError, DatabaseError
from gatekeeper.postgres.databases import Database, drop_database
from gatekeeper.postgres.servers import Server

_ROLES_AT_MOST = 100
_CUSTOM_FORMAT = b"PGDMP"
_QUOTED = re.compile(r'"([^"]+)"')


@dataclass(frozen=True)
class _Piece:
    """Statements, or one COPY with its rows, and the line on which they begin."""

    line: int
    sql: str
    rows: str | None = None


class _RoleIsMissing(Exception):
    def __init__(self, name: str) -> None:
        self.name = name


def restore_script(path: Path, new_database: Callable[[], Database]) -> Database:
    """Return a new database in which the file has run; roles that it lacks are made first.

    Half a dump cannot be run again, so each role that turns out to be missing costs a
    database. The roles go with the run.
    """
    for _ in range(_ROLES_AT_MOST):
        database = new_database()
        try:
            _run(database, path)
        except _RoleIsMissing as missing:
            drop_database(database)
            _make_role(database.server, missing.name, path)
        else:
            return database
    raise ConfigError(
        f"the SQL file names more than {_ROLES_AT_MOST} roles that do not exist",
        where=str(path),
        fix="Dump with `pg_dump --schema-only --no-owner --no-privileges`.",
    )


def run_script(database: Database, path: Path) -> None:
    """Run a file of SQL; a failure is the file's fault: the policy names what does not run."""
    try:
        _run(database, path)
    except _RoleIsMissing as missing:
        raise ConfigError(
            f'the SQL file names the role "{missing.name}", which does not exist',
            where=str(path),
            fix=f'Create it in the file of `project.bootstrap`: `CREATE ROLE "{missing.name}";`',
        ) from missing.__cause__


def _make_role(server: Server, name: str, path: Path) -> None:
    """Make a role that a dump names: what it owns has to have an owner."""
    try:
        server.make_role(name)
    except DatabaseError as error:
        raise DatabaseError(
            f'the role "{name}", which the SQL file names, cannot be made: {error.what}',
            where=str(path),
            fix="Let the user of `--database-url` make roles (CREATEROLE), or dump with "
            "`pg_dump --schema-only --no-owner --no-privileges`.",
        ) from error


def _run(database: Database, path: Path) -> None:
    content = path.read_bytes()
    if content.startswith(_CUSTOM_FORMAT):
        raise ConfigError(
            "the file is a dump in pg_dump's custom format, not SQL",
            where=str(path),
            fix="Dump again with `pg_dump --format=plain --schema-only`, or convert it: "
            "`pg_restore --schema-only --file=NEW.sql OLD`.",
        )
    try:
        text = content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError(
            "the SQL file is not UTF-8",
            where=f"{path}:{line}",
            fix="Save it as UTF-8; a dump is made so by `pg_dump --encoding=UTF8`.",
        ) from error
    with contextlib.closing(database.connect()) as connection, connection.cursor() as cursor:
        known = _parameters(connection)
        for piece in _pieces(text, known):
            try:
                if piece.rows is None:
                    cursor.execute(piece.sql)
                else:
                    cursor.copy_expert(piece.sql, io.StringIO(piece.rows))
            except psycopg2.errors.UndefinedObject as error:
                name = _role_in(error)
                if name is not None:
                    raise _RoleIsMissing(name) from error
                raise _does_not_run(database, path, piece, error) from error
            except psycopg2.Error as error:
                raise _does_not_run(database, path, piece, error) from error
    database.server.claim([text])


def _role_in(error: psycopg2.Error) -> str | None:
    """Return the role that does not exist; PostgreSQL names it in the text alone."""
    message = error.diag.message_primary or ""
    match = re.fullmatch(r'role "(.+)" does not exist', message)
    return match and match[1]


def _parameters(connection: Connection) -> frozenset[str]:
    """Return the names of the parameters that the server knows."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT name FROM pg_catalog.pg_settings")
        return frozenset(name.lower() for (name,) in cursor.fetchall())


def _for_server(text: str, known: Collection[str]) -> str:
    r"""Return a dump's statements without the lines that only another server or psql takes.

    Dumps are bracketed by `\restrict` lines since August 2025, set parameters of the major
    they come from (`transaction_timeout`: 17), create the schema `public` where its owner
    or rights were changed, and comment on extensions, which only their owner may.
    """

    def without_unknown(match: re.Match[str]) -> str:
        return match[0] if match[1].lower() in known else ""

    text = re.sub(r"(?m)^SET (\w+) = [^;\n]*;$", without_unknown, text)
    text = re.sub(r"(?m)^\\(?:un)?restrict\b.*$", "", text)
    text = re.sub(r"(?m)^COMMENT ON EXTENSION \S+ IS '(?:[^'\n]|'')*';$", "", text)
    return re.sub(r"(?m)^CREATE SCHEMA public;$", "CREATE SCHEMA IF NOT EXISTS public;", text)


def _pieces(text: str, known: Collection[str]) -> Iterator[_Piece]:
    """Yield the statements between rows of COPY, and each COPY with its rows."""
    line, end = 1, 0
    copies = re.compile(r"(?ms)^(COPY [^\n]+ FROM stdin;)\n(.*?)^\\\.$")
    for match in copies.finditer(text):
        between = _for_server(text[end : match.start()], known)
        if _has_statement(between):
            yield _Piece(line, between)
        line += between.count("\n")
        yield _Piece(line, match[1], match[2])
        line += match[0].count("\n")
        end = match.end()
    rest = _for_server(text[end:], known)
    if _has_statement(rest):
        yield _Piece(line, rest)


def _has_statement(text: str) -> bool:
    """Tell statements from comments alone, which PostgreSQL refuses as an empty query."""
    return re.sub(r"--[^\n]*", "", text).strip(" \t\r\n;") != ""


def _does_not_run(
    database: Database, path: Path, piece: _Piece, error: psycopg2.Error
) -> ConfigError:
    line, position = piece.line, error.diag.statement_position
    if position is not None and piece.rows is None:
        line += piece.sql.count("\n", 0, int(position) - 1)
    where = str(path) if position is None else f"{path}:{line}"
    version = database.server.info.version
    said = error.diag.message_primary or str(error).strip()
    fix = (
        "Make it run with `psql -f` on a database like this one; leave out psql's meta-commands "
        "(lines with a backslash)."
    )
    if isinstance(error, (psycopg2.errors.FeatureNotSupported, psycopg2.errors.UndefinedFile)):
        named = _QUOTED.search(said)
        fix = (
            "Give `--database-url` a server that has "
            + (f'"{named[1]}"' if named else "it")
            + ", such as a service container of an image with the extension, or take what "
            "needs it out of the file."
        )
    return ConfigError(
        f"the SQL file does not run on PostgreSQL {version}: {said}", where=where, fix=fix
    )
