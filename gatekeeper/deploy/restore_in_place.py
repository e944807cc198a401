"""The target replaced by what its backup holds, in one transaction that is checked at its end."""

from __future__ import annotations

import contextlib
import io
import random
import re
import sys
import time
from collections.abc import Collection
from pathlib import Path
from typing import IO

import psycopg2
import psycopg2.errors
from psycopg2.extensions import cursor as Cursor  # noqa: N812 - it is a class

from gatekeeper.deploy.backup import clients_for, is_archive, list_archive, verify_backup
from gatekeeper.deploy.clients import Clients, read_client
from gatekeeper.deploy.model import Backup, Deployment, StepFailed, TargetState
from gatekeeper.deploy.target import state_of
from gatekeeper.errors import DatabaseError
from gatekeeper.postgres.difference import compare
from gatekeeper.postgres.readiness import find_unrestorable
from gatekeeper.postgres.target import connect_to, telling
from gatekeeper.probe.model import VersionTable
from gatekeeper.reporters import words

_CHUNK = 64 * 1024
_SHOWN = 5
_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 30.0

# Statements that drop all that users have made in a database. An extension that is as it was
# is kept, because to make it anew may take a superuser; and so are the schemas that it and
# `public` are, with their privileges as a dump takes them for granted. Of default privileges
# a dump tells what is not PostgreSQL's own default.
_DROP = """
WITH kept AS MATERIALIZED (
    SELECT e.oid, e.extnamespace FROM pg_extension e
    WHERE e.extname = ANY (%(kept)s)
), kept_space AS MATERIALIZED (
    SELECT n.oid, n.nspname, n.nspowner, n.nspacl FROM pg_namespace n
    WHERE n.nspname = 'public' OR n.oid IN (SELECT extnamespace FROM kept) AND n.oid >= 16384
), made AS (
    SELECT 1 AS rank, 'pg_event_trigger'::regclass AS catalog, oid FROM pg_event_trigger
    UNION ALL SELECT 2, 'pg_publication'::regclass, oid FROM pg_publication
    UNION ALL SELECT 3, 'pg_extension'::regclass, oid FROM pg_extension
        WHERE oid >= 16384 AND oid NOT IN (SELECT oid FROM kept)
    UNION ALL SELECT 4, 'pg_namespace'::regclass, oid FROM pg_namespace
        WHERE oid >= 16384 AND nspname !~ '^pg_' AND oid NOT IN (SELECT oid FROM kept_space)
    UNION ALL SELECT 5, 'pg_class'::regclass, oid FROM pg_class
        WHERE relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
        AND relnamespace IN (SELECT oid FROM kept_space)
    UNION ALL SELECT 6, 'pg_proc'::regclass, oid FROM pg_proc
        WHERE pronamespace IN (SELECT oid FROM kept_space)
    UNION ALL SELECT 7, 'pg_type'::regclass, t.oid FROM pg_type t
        LEFT JOIN pg_class c ON c.oid = t.typrelid
        WHERE (t.typtype IN ('b', 'd', 'e', 'r') OR c.relkind = 'c')
        AND t.typnamespace IN (SELECT oid FROM kept_space)
    UNION ALL SELECT 8, 'pg_operator'::regclass, oid FROM pg_operator
        WHERE oprnamespace IN (SELECT oid FROM kept_space)
    UNION ALL SELECT 9, 'pg_opclass'::regclass, oid FROM pg_opclass
        WHERE opcnamespace IN (SELECT oid FROM kept_space)
    UNION ALL SELECT 10, 'pg_opfamily'::regclass, oid FROM pg_opfamily
        WHERE opfnamespace IN (SELECT oid FROM kept_space)
    UNION ALL SELECT 11, 'pg_collation'::regclass, oid FROM pg_collation
        WHERE collnamespace IN (SELECT oid FROM kept_space)
    UNION ALL SELECT 12, 'pg_conversion'::regclass, oid FROM pg_conversion
        WHERE connamespace IN (SELECT oid FROM kept_space)
    UNION ALL SELECT 13, 'pg_ts_config'::regclass, oid FROM pg_ts_config
        WHERE cfgnamespace IN (SELECT oid FROM kept_space)
    UNION ALL SELECT 14, 'pg_ts_dict'::regclass, oid FROM pg_ts_dict
        WHERE dictnamespace IN (SELECT oid FROM kept_space)
    UNION ALL SELECT 15, 'pg_ts_parser'::regclass, oid FROM pg_ts_parser
        WHERE prsnamespace IN (SELECT oid FROM kept_space)
    UNION ALL SELECT 16, 'pg_ts_template'::regclass, oid FROM pg_ts_template
        WHERE tmplnamespace IN (SELECT oid FROM kept_space)
    UNION ALL SELECT 17, 'pg_statistic_ext'::regclass, oid FROM pg_statistic_ext
        WHERE stxnamespace IN (SELECT oid FROM kept_space)
    UNION ALL SELECT 18, 'pg_cast'::regclass, oid FROM pg_cast
    UNION ALL SELECT 19, 'pg_transform'::regclass, oid FROM pg_transform
    UNION ALL SELECT 20, 'pg_foreign_server'::regclass, oid FROM pg_foreign_server
    UNION ALL SELECT 21, 'pg_foreign_data_wrapper'::regclass, oid FROM pg_foreign_data_wrapper
    UNION ALL SELECT 22, 'pg_language'::regclass, oid FROM pg_language
    UNION ALL SELECT 23, 'pg_am'::regclass, oid FROM pg_am
), default_rights AS (
    SELECT a.oid, a.defaclnamespace = 0 AS is_global, a.defaclobjtype, a.defaclrole,
        concat('ALTER DEFAULT PRIVILEGES FOR ROLE ', a.defaclrole::regrole,
            ' IN SCHEMA ' || nullif(a.defaclnamespace, 0)::regnamespace::text, ' ') AS start,
        ' ON ' || CASE a.defaclobjtype WHEN 'r' THEN 'TABLES' WHEN 'S' THEN 'SEQUENCES'
            WHEN 'f' THEN 'FUNCTIONS' WHEN 'T' THEN 'TYPES' WHEN 'n' THEN 'SCHEMAS'
            ELSE 'LARGE OBJECTS' END AS objects, a.defaclacl
    FROM pg_default_acl a
), statement AS (
    SELECT 0 AS rank, d.oid, 0 AS part, start || 'REVOKE ALL' || objects || ' FROM '
        || CASE WHEN r.grantee = 0 THEN 'PUBLIC' ELSE r.grantee::regrole::text END AS sql
    FROM default_rights d, LATERAL (SELECT DISTINCT grantee FROM aclexplode(defaclacl)) r
    UNION ALL
    SELECT 0, d.oid, 1, start || 'GRANT ALL' || objects || ' TO ' || defaclrole::regrole
    FROM default_rights d WHERE is_global
    UNION ALL
    SELECT 0, d.oid, 1, start || CASE defaclobjtype WHEN 'f' THEN 'GRANT EXECUTE'
        ELSE 'GRANT USAGE' END || objects || ' TO PUBLIC'
    FROM default_rights d WHERE is_global AND defaclobjtype IN ('f', 'T')
    UNION ALL
    SELECT rank, m.oid, 2, format('DROP %%s IF EXISTS %%s CASCADE',
        CASE i.type WHEN 'statistics object' THEN 'statistics'
            WHEN 'foreign-data wrapper' THEN 'foreign data wrapper' ELSE i.type END, i.identity)
    FROM made m, LATERAL pg_identify_object(m.catalog, m.oid, 0) i
    WHERE m.oid >= 16384 AND NOT EXISTS (
        SELECT FROM pg_depend d
        WHERE d.classid = m.catalog AND d.objid = m.oid AND d.deptype IN ('e', 'i')
    )
    UNION ALL
    SELECT 24, oid, 2, format('SELECT lo_unlink(%%s)', oid) FROM pg_largeobject_metadata
    UNION ALL
    SELECT 25, k.oid, 2, format('DELETE FROM %%s %%s', c.relation::regclass, c.condition)
    FROM kept k JOIN pg_extension e ON e.oid = k.oid,
    LATERAL unnest(e.extconfig, e.extcondition) c (relation, condition)
    UNION ALL
    SELECT 26, k.oid, 0, format('REVOKE ALL ON SCHEMA %%I FROM %%s CASCADE', k.nspname,
        CASE WHEN r.grantee = 0 THEN 'PUBLIC' ELSE r.grantee::regrole::text END)
    FROM kept_space k, LATERAL (SELECT DISTINCT grantee FROM aclexplode(k.nspacl)) r
    UNION ALL
    SELECT 26, k.oid, 1, format('GRANT ALL ON SCHEMA %%I TO %%s', k.nspname, k.nspowner::regrole)
    FROM kept_space k WHERE k.nspacl IS NOT NULL
    UNION ALL
    SELECT 26, k.oid, 1, format('GRANT %%s ON SCHEMA public TO PUBLIC', CASE
        WHEN current_setting('server_version_num')::int < 150000 THEN 'ALL' ELSE 'USAGE' END)
    FROM kept_space k WHERE k.nspacl IS NOT NULL AND k.nspname = 'public'
    UNION ALL
    SELECT 27, k.oid, 0, 'COMMENT ON SCHEMA public IS ''standard public schema'''
    FROM kept_space k WHERE k.nspname = 'public'
    AND obj_description(k.oid, 'pg_namespace') IS DISTINCT FROM 'standard public schema'
)
SELECT sql FROM statement ORDER BY rank, part, oid
"""

# Names are qualified in what is made of them here.
_SESSION = """
SELECT pg_catalog.set_config('search_path', 'pg_catalog', true),
    pg_catalog.set_config('lock_timeout', %s, true)
"""
_EXTENSIONS = "SELECT extname, extversion, extnamespace::regnamespace::text FROM pg_extension"
_SUBSCRIPTIONS = """
SELECT subname FROM pg_catalog.pg_subscription s JOIN pg_catalog.pg_database d ON d.oid = s.subdbid
WHERE d.datname = pg_catalog.current_database()
"""

_LOOK = "See with `gatekeeper status` and by the rows what the target holds."

# How `pg_restore` writes what has to be another here.
_EXTENSION_ENTRY = re.compile(r"\d+; \d+ \d+ EXTENSION - (\S+) ")
_FIRST_ENTRY = b"\n--\n-- Name: "
_SET = re.compile(rb"SET (\w+) = ")
_CREATE_SCHEMA = re.compile(
    rb"(?m)^(-- Name: .+; Type: SCHEMA; .+\n--\n\nCREATE SCHEMA )(.+;)$",
)
_CREATE_EXTENSION = re.compile(
    rb"(?m)^(-- Name: (.+); Type: EXTENSION; .+\n--\n\nCREATE EXTENSION .+);$"
)
_COMMENT_ON_EXTENSION = re.compile(
    rb"(?m)^(-- Name: EXTENSION (.+); Type: COMMENT; .+\n--\n\n)COMMENT ON .+ IS '(?:[^']|'')*';$"
)
_UNRESTRICT = re.compile(rb"(?m)^\\unrestrict \w+$")
_COPY = re.compile(rb"COPY .+ FROM stdin;$")
_OF_PSQL = re.compile(rb"(?:\\(?:un)?restrict \w+|BEGIN;|COMMIT;|SET transaction_timeout = .+)$")


def restore_target(
    deployment: Deployment, backup: Backup, version_tables: Collection[VersionTable]
) -> None:
    """Put the target back to what the backup holds, in one transaction.

    It commits only after version, catalog and number of rows were seen to be those of the
    backup; otherwise the target is left as it was. What was written since is gone.
    """
    verify_backup(deployment, backup)
    assert backup.path is not None
    if not is_archive(backup.path):
        raise StepFailed(
            "the backup of the team's own command is SQL, which is not restored in one transaction",
            where=str(backup.path),
            fix="Restore it by hand, or let the command dump with `pg_dump --format=custom`.",
        )
    clients, attempts = clients_for(deployment), deployment.environment.lock_attempts
    for attempt in range(1, attempts + 1):
        try:
            _restore(deployment, clients, backup, version_tables)
            break
        except (psycopg2.errors.LockNotAvailable, psycopg2.errors.DeadlockDetected) as error:
            said = error.diag.message_primary
            if attempt == attempts:
                raise StepFailed(
                    f"the backup was not restored, and the target is as it was: {said}, "
                    f"{attempts} times",
                    fix="End the sessions that use the target, then restore again.",
                ) from error
            pause = min(_PAUSE_SECONDS * 2 ** (attempt - 1), _LONGEST_PAUSE_SECONDS)
            deployment.tell(f"The target is in use ({said}); again in a moment")
            time.sleep(pause * random.uniform(0.5, 1.0))
    _analyze(deployment)


def _restore(
    deployment: Deployment,
    clients: Clients,
    backup: Backup,
    version_tables: Collection[VersionTable],
) -> None:
    assert backup.path is not None
    lock_timeout = f"{deployment.environment.lock_timeout_seconds}s"
    with contextlib.closing(connect_to(deployment.target, autocommit=False)) as connection:
        try:
            with connection.cursor() as cursor:
                kept = _clear(cursor, clients, backup, lock_timeout)
                _run_schema(cursor, clients, backup, "pre-data", kept)
                _run_data(cursor, clients, backup.path)
                _run_schema(cursor, clients, backup, "post-data", kept)
            if backup.state is not None:
                _require_equal(backup.state, state_of(connection, version_tables))
        except (psycopg2.errors.LockNotAvailable, psycopg2.errors.DeadlockDetected):
            raise
        except psycopg2.Error as error:
            raise StepFailed(
                f"the backup was not restored, and the target is as it was: {_said(error)}",
                where=str(backup.path),
                fix=_fix_of(error),
            ) from error
        with telling(deployment.target, "it is not known whether the restore was committed", _LOOK):
            connection.commit()


def _fix_of(error: psycopg2.Error) -> str:
    if isinstance(error, psycopg2.errors.InsufficientPrivilege):
        return (
            "Restore it as a role that may do this: the owner of all that is in the database, or "
            "a superuser."
        )
    if isinstance(error, psycopg2.errors.OutOfMemory):
        return "Raise `max_locks_per_transaction` of the server, restart it, and restore again."
    return "See what PostgreSQL says, and restore the backup by hand."


def _said(error: psycopg2.Error) -> str:
    return error.diag.message_primary or " ".join(str(error).split())


def _clear(cursor: Cursor, clients: Clients, backup: Backup, lock_timeout: str) -> frozenset[str]:
    """Drop what users have made; return the extensions that are kept, as they were."""
    cursor.execute(_SESSION, (lock_timeout,))
    of_others = find_unrestorable(cursor.connection)
    if of_others:
        raise StepFailed(
            "the backup was not restored: the role of the target does not own "
            f"{words.listed(of_others)}",
            fix="Restore it as a role that owns them or is a member of their owners, such as a "
            "superuser.",
            details={"of_others": list(of_others)},
        )
    cursor.execute(_SUBSCRIPTIONS)
    subscriptions = [name for (name,) in cursor.fetchall()]
    if subscriptions:
        raise StepFailed(
            f"the target subscribes to another database ({', '.join(subscriptions)}), which "
            "cannot be taken up again in a transaction",
            fix="Restore the backup by hand.",
        )
    cursor.execute(_EXTENSIONS)
    there = {name: (version, schema) for name, version, schema in cursor.fetchall()}
    if backup.state is None:
        kept = frozenset(there) & _extensions_listed(clients, backup)
    else:
        wanted = _extensions_of(backup.state)
        kept = frozenset(name for name in there if wanted.get(name) == there[name])
    if backup.state is None or ("schema", "public") in backup.state.catalog.rows:
        cursor.execute("CREATE SCHEMA IF NOT EXISTS public")  # of which a dump does not tell
    else:
        cursor.execute("DROP SCHEMA IF EXISTS public CASCADE")
    cursor.execute(_DROP, {"kept": sorted(kept)})
    for (statement,) in cursor.fetchall():
        cursor.execute(statement)
    return kept


def _extensions_of(state: TargetState) -> dict[str, tuple[str, str]]:
    return {
        name: (attributes["version"], attributes["schema"])
        for (object_type, name), attributes in state.catalog.objects.items()
        if object_type == "extension"
    }


def _extensions_listed(clients: Clients, backup: Backup) -> frozenset[str]:
    """Return the extensions that an archive makes."""
    assert backup.path is not None
    entries = map(_EXTENSION_ENTRY.match, list_archive(clients, backup.path))
    return frozenset(entry[1] for entry in entries if entry is not None)


def _run_schema(
    cursor: Cursor, clients: Clients, backup: Backup, section: str, kept: Collection[str]
) -> None:
    """Run what the dump makes before its rows, or after them."""
    cursor.execute("SELECT name FROM pg_catalog.pg_settings")
    known = frozenset(name.lower() for (name,) in cursor.fetchall())
    arguments = [f"--section={section}", "--file=-", str(backup.path)]
    with read_client(clients, "pg_restore", arguments) as stream:
        text = stream.read()
    head, first, rest = text.partition(_FIRST_ENTRY)
    versions = {} if backup.state is None else _extensions_of(backup.state)

    def with_version(match: re.Match[bytes]) -> bytes:
        name = match[2].decode().strip('"')
        if name in kept or name not in versions:
            return match[0]
        return match[1] + f" VERSION '{versions[name][0]}';".encode()

    def without_kept(match: re.Match[bytes]) -> bytes:
        return match[1] if match[2].decode().strip('"') in kept else match[0]

    body = _CREATE_SCHEMA.sub(rb"\1IF NOT EXISTS \2", first + rest)
    body = _CREATE_EXTENSION.sub(with_version, body)
    body = _COMMENT_ON_EXTENSION.sub(without_kept, body)
    cursor.execute(_for_server(head, known) + _UNRESTRICT.sub(b"", body))


def _for_server(head: bytes, known: Collection[str]) -> bytes:
    """Return how a dump begins, without what only `psql` or a newer server understands."""
    lines = []
    for line in head.splitlines(keepends=True):
        match = _SET.match(line)
        is_unknown = match is not None and match[1].decode().lower() not in known
        if not line.startswith((b"\\restrict", b"\\unrestrict")) and not is_unknown:
            lines.append(line)
    return b"".join(lines)


def _run_data(cursor: Cursor, clients: Clients, path: Path) -> None:
    """Run what puts rows, large objects and the numbers of sequences into place."""
    with read_client(clients, "pg_restore", ["--section=data", "--file=-", str(path)]) as stream:
        statements: list[bytes] = []
        for line in stream:
            if _COPY.match(line):
                _flush(cursor, statements)
                cursor.copy_expert(line, _Rows(stream), _CHUNK)
            elif line.startswith(b"SELECT pg_catalog.lowrite("):
                statements.append(line)
                _flush(cursor, statements)
            elif not _OF_PSQL.match(line):
                statements.append(line)
        _flush(cursor, statements)


def _flush(cursor: Cursor, statements: list[bytes]) -> None:
    if any(line.strip() and not line.startswith(b"--") for line in statements):
        cursor.execute(b"".join(statements))
    statements.clear()


class _Rows(io.BufferedIOBase):
    """The rows of one COPY as a file that ends where they do."""

    def __init__(self, stream: IO[bytes]) -> None:
        super().__init__()
        self._stream = stream
        self._rest = b""
        self._has_ended = False

    def read(self, size: int | None = None, /) -> bytes:
        wanted = sys.maxsize if size is None or size < 0 else size
        lines = [self._rest]
        length = len(self._rest)
        while length < wanted and not self._has_ended:
            line = self._stream.readline()
            self._has_ended = line in (b"\\.\n", b"")
            if not self._has_ended:
                lines.append(line)
                length += len(line)
        read = b"".join(lines)
        self._rest = read[wanted:]
        return read[:wanted]


def _require_equal(before: TargetState, now: TargetState) -> None:
    """Raise where the restored target is not what was backed up, which is then not committed."""
    differing = [str(each) for each in compare(before.catalog, now.catalog)]
    differing += [
        f"{table} has {now.rows.get(table, 0)} rows, not {before.rows.get(table, 0)}"
        for table in sorted(before.rows.keys() | now.rows.keys())
        if before.rows.get(table) != now.rows.get(table)
    ]
    if before.versions != now.versions:
        differing.append("the revision is another one")
    if differing:
        raise StepFailed(
            "what the backup restores is not what the target held, so it was not committed, and "
            f"the target is as it was: {'; '.join(differing[:_SHOWN])}",
            fix="Restore the backup by hand.",
            details={"differences": differing},
        )


def _analyze(deployment: Deployment) -> None:
    """Let the planner know the restored rows; without that queries are slow, not wrong."""
    try:
        with (
            contextlib.closing(connect_to(deployment.target)) as connection,
            telling(deployment.target, "ANALYZE failed", "Run `ANALYZE;` on it."),
            connection.cursor() as cursor,
        ):
            cursor.execute("ANALYZE")
    except DatabaseError as error:
        deployment.tell(error.sentence)
