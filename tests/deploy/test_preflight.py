"""The preflight has nothing to say of an ordinary target, and names all that is wrong."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import string
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from gatekeeper.deploy.model import Deployment, Release, ReleasedRevision, TargetState
from gatekeeper.deploy.phantoms import find_phantoms
from gatekeeper.deploy.preflight import (
    Problem,
    examine_release,
    examine_replicas,
    examine_room,
    examine_target,
)
from gatekeeper.deploy.target import read_state
from gatekeeper.git import Repository, open_tree
from gatekeeper.lock_modes import LockMode
from gatekeeper.model import Attestation, ChangeSet, Lock
from gatekeeper.policy.model import Backup, BackupMode, Environment, OnFailure, Watch
from gatekeeper.postgres.activity import Replica
from gatekeeper.postgres.databases import Database, open_database
from gatekeeper.postgres.likeness import read_traits
from gatekeeper.postgres.servers import Server
from gatekeeper.postgres.snapshot import Snapshot, take_snapshot
from gatekeeper.probe.model import VersionTable
from gatekeeper.revisions.changes import read_change_set
from tests.build import PROJECT
from tests.build_git import GitRepository, a_project, a_repository, revision_text
from tests.databases import execute
from tests.deploy.targets import an_ordinary_target, target_of

V = "migrations/versions"
NO_LIMIT = Watch(1, query_seconds=0)
AT_A002 = "INSERT INTO alembic_version VALUES ('a002')"
BASE = (
    "CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY)",
    AT_A002,
    "CREATE TYPE status AS ENUM ('open', 'closed')",
    "CREATE TABLE users (id int PRIMARY KEY, name text)",
    "CREATE TABLE orders (id int PRIMARY KEY, user_id int REFERENCES users, status status)",
    "CREATE TABLE notes (id int PRIMARY KEY)",
    "CREATE INDEX ix_orders_status ON orders (status)",
)
# What the release adds: b003 and b004.
RELEASE = (
    "ALTER TABLE users ADD email text",
    "CREATE TABLE payments (id int PRIMARY KEY, order_id int REFERENCES orders)",
    "CREATE INDEX ix_orders_user_id ON orders (user_id)",
    "DROP INDEX ix_orders_status",
    "ALTER TYPE status ADD VALUE 'lost'",
)


def revision(name: str, down: str, *locks: Lock, **fields: Any) -> ReleasedRevision:
    values = {"is_transactional": True, "obstacle": None, "loses": (), **fields}
    path = f"{V}/{name}.py"
    return ReleasedRevision(name, (down,), name, path, 0.1, locks=locks, **values)


REVISIONS = (
    revision("b003", "a002", Lock("public.users", LockMode.ACCESS_EXCLUSIVE)),
    revision("b004", "b003", Lock("public.orders", LockMode.SHARE)),
)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> GitRepository:
    """The release `v2`, and a branch with a revision that it does not have."""
    made = a_repository(
        tmp_path_factory.mktemp("git") / "shop", a_project("a001", "a002", "b003", "b004")
    )
    made.git("tag", "v2")
    made.git("tag", "v2.0.1")  # later, so nothing that a target at `v2` begins with
    made.git("switch", "--quiet", "--create", "topic")
    made.commit({f"{V}/f00d.py": revision_text("f00d", "b004")})
    made.commit({f"{V}/c005.py": revision_text("c005", "f00d")})
    made.git("switch", "--quiet", "main")
    return made


@pytest.fixture(scope="module")
def changes(repository: GitRepository) -> ChangeSet:
    tree = open_tree(repository.value, None)
    return read_change_set(repository.value, PROJECT, None, tree, audit=True)


@pytest.fixture(scope="module")
def release(server: Server, changes: ChangeSet) -> Release:
    """The release as a rehearsal by a superuser has shown it."""
    traits = []
    with open_database(server) as database:
        for statements in (BASE, RELEASE):
            execute(database, *statements)
            with database.session() as connection:
                version_table = frozenset({"public.alembic_version"})
                traits.append(read_traits(take_snapshot(connection, version_table)))
    return Release(
        tag="v2",
        commit=changes.head or "",
        previous="v1",
        verdict="pass",
        project=PROJECT,
        from_revisions=("a002",),
        to_revisions=("b004",),
        revisions=REVISIONS,
        window=(),
        obstacles=(),
        content_hash=changes.content_hash,
        is_rehearsed=True,
        server_major=server.info.major,
        catalog_before=traits[0],
        catalog_after=traits[1],
        attestations=(),
    )


def a_deployment(
    release: Release, target: Server, folder: Path, environment: Environment, **fields: Any
) -> Deployment:
    values = {"name": "staging", "environ": {}, "tell": lambda text: None, **fields}
    now = lambda: dt.datetime.now(dt.UTC)  # noqa: E731
    return Deployment(
        release=release, environment=environment, target=target, folder=folder, now=now, **values
    )


# --- The release ---------------------------------------------------------------------


@dataclass(frozen=True)
class OfRelease:
    """A release that is not as it should be, and what is said of it."""

    fields: dict[str, Any] = field(default_factory=dict)
    ticked: frozenset[str] = frozenset()
    problems: tuple[Problem, ...] = ()


TEAM = Attestation("team-notified", "The team is notified", ("staging",))
PEOPLE = Problem(
    "nobody has ticked “The team is notified”, which staging requires",
    "See to it, then say so: `--attested team-notified`.",
)


@pytest.mark.postgres
@pytest.mark.parametrize(
    "case",
    [
        pytest.param(OfRelease(), id="as it was rehearsed"),
        pytest.param(
            OfRelease({"attestations": (TEAM,)}, frozenset({"team-notified"})), id="ticked now"
        ),
        pytest.param(
            OfRelease({"attestations": (dataclasses.replace(TEAM, ticked=True),)}),
            id="ticked before",
        ),
        pytest.param(
            OfRelease({"attestations": (Attestation("x", "X", ("production",)),)}),
            id="asked of another environment",
        ),
        pytest.param(
            OfRelease({"attestations": (TEAM,)}, problems=(PEOPLE,)), id="nobody ticked it"
        ),
        pytest.param(
            OfRelease(
                {"verdict": "fail", "content_hash": "0" * 64, "attestations": (TEAM,)},
                problems=(
                    Problem(
                        "the verdict on the release `v2` is fail",
                        "See `report.json` beside the plan for what is wrong, mend it, and make a "
                        "new tag.",
                    ),
                    Problem(
                        "the files of `migrations` are not those that were rehearsed",
                        "See what differs and take it back: `git status -- migrations`, `git stash "
                        "--include-untracked -- migrations`.",
                    ),
                    PEOPLE,
                ),
            ),
            id="all at once",
        ),
    ],
)
def test_a_release_that_may_be_deployed(
    case: OfRelease, release: Release, changes: ChangeSet, server: Server, tmp_path: Path
) -> None:
    altered = dataclasses.replace(release, **case.fields)
    deployment = a_deployment(altered, server, tmp_path, Environment(), ticked=case.ticked)
    assert examine_release(deployment, changes) == case.problems


@pytest.mark.postgres
def test_the_plan_of_another_commit(
    release: Release, changes: ChangeSet, server: Server, tmp_path: Path
) -> None:
    altered = dataclasses.replace(release, commit="f" * 40, content_hash="0" * 64)
    (problem,) = examine_release(a_deployment(altered, server, tmp_path, Environment()), changes)
    assert problem == Problem(
        f"commit {(changes.head or '')[:12]} is checked out, and the plan is that of `v2`, commit "
        "ffffffffffff",
        "Check it out: `git checkout v2`. If the tag was moved, write the plan anew: `gatekeeper "
        "release --output DIR`.",
    )


# --- The target ----------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """A target, made by its owner, and what a superuser and others do to it.

    `open` is what another session of the superuser has done in a transaction that it leaves
    open. `$ROLE`, `$ADMIN` and `$PID` stand for the target's role, the superuser and that
    session.
    """

    by_owner: Sequence[str] = ()
    by_superuser: Sequence[str] = ()
    open: str | None = None
    base: Sequence[str] = BASE
    release: dict[str, Any] = field(default_factory=dict)
    environment: Environment = field(default_factory=lambda: Environment(watch=NO_LIMIT))
    problems: tuple[tuple[str, str], ...] = ()


CLEAN = {
    "as it is run usually": Case(),
    "at the release's head": Case(("UPDATE alembic_version SET version_num = 'b004'",)),
    "extensions, and schemas of other programs": Case(
        (
            "CREATE EXTENSION citext",
            "CREATE SCHEMA extensions",
            "CREATE EXTENSION hstore SCHEMA extensions",
            "CREATE SCHEMA cron",
            "CREATE TABLE cron.jobs (id int)",
        )
    ),
    "another program's table that nobody else may read, with a backup of the team's own": Case(
        by_superuser=("CREATE SCHEMA auth", "CREATE TABLE auth.users (id int)"),
        environment=Environment(backup=Backup(BackupMode.COMMAND, "make backup")),
    ),
    "a table of another role that the release does not alter": Case(
        by_superuser=(
            "ALTER TABLE notes OWNER TO CURRENT_USER",
            "GRANT SELECT ON notes TO PUBLIC",
        )
    ),
    "a long transaction on what the release does not touch": Case(
        by_superuser=("GRANT pg_read_all_stats TO $ROLE",), open="SELECT FROM notes"
    ),
    "a transaction that has just begun": Case(
        by_superuser=("GRANT pg_read_all_stats TO $ROLE",),
        open="SELECT FROM users",
        environment=Environment(),
    ),
    "a long transaction that reads what the release builds an index on": Case(
        by_superuser=("GRANT pg_read_all_stats TO $ROLE",), open="SELECT FROM orders"
    ),
    "a long transaction, and a release that commits in between": Case(
        by_superuser=("GRANT pg_read_all_stats TO $ROLE",),
        open="SELECT FROM notes",
        release={"revisions": (revision("b004", "a002", is_transactional=False),)},
    ),
    "tuned and replicated by administrators": Case(
        ("ALTER TABLE users SET (autovacuum_vacuum_scale_factor = 0.01)",),
        ("CREATE PUBLICATION all_of_it FOR ALL TABLES",),
    ),
    "an invalid index that the release drops": Case(
        by_superuser=(
            "UPDATE pg_index SET indisvalid = false"
            " WHERE indexrelid = 'public.ix_orders_status'::regclass",
        )
    ),
    "differences that are accepted": Case(
        ("ALTER TABLE notes ADD by_hand text",),
        environment=Environment(differences_accepted=True),
    ),
    "rehearsed on models, which say nothing of this catalog": Case(
        ("ALTER TABLE notes ADD by_hand text",),
        release={"catalog_before": None, "catalog_after": None},
    ),
    "an extension that its owner may make": Case(
        release={"catalog_after": {"extension citext": "there"}, "catalog_before": None}
    ),
}

FROM_THERE = (
    "release from where the target is: tag the commit that runs there now (`git tag v0.9.0 "
    "COMMIT`) and `gatekeeper release --previous v0.9.0 --output DIR`, on GitHub `base: v0.9.0` "
    "(this plan begins with `v1`)"
)
WRONG = {
    "behind": Case(
        ("UPDATE alembic_version SET version_num = 'a001'",),
        problems=(
            (
                "the target stands at `a001` and `v2` begins at `a002`: `a002` was never applied",
                f"Deploy what lies between first, or {FROM_THERE}.",
            ),
        ),
    ),
    "in the middle": Case(
        ("UPDATE alembic_version SET version_num = 'b003'",),
        problems=(
            (
                "the target stands at `b003`, in the middle of `v2`, and `v2` begins at `a002`",
                "If a deploy stopped there, take the target back by its record (`gatekeeper "
                f"rollback`). Else {FROM_THERE}.",
            ),
        ),
    ),
    "the first release of a project that is in use": Case(
        release={
            "previous": None,
            "from_revisions": (),
            "catalog_before": {"schema public": "there"},
        },
        problems=(
            (
                "the target stands at `a002`, in the middle of `v2`, and `v2` begins at no "
                "revision",
                "If a deploy stopped there, take the target back by its record (`gatekeeper "
                f"rollback`). Else {FROM_THERE.replace('`v1`', 'an empty database')}.",
            ),
        ),
    ),
    "ahead": Case(
        ("UPDATE alembic_version SET version_num = 'b004'",),
        release={"to_revisions": ("b003",), "revisions": REVISIONS[:1]},
        problems=(
            (
                "the target stands at `b004`, which is ahead of `v2`",
                "Deploy a later release, or take the target back by that one's record: "
                "`gatekeeper rollback`.",
            ),
        ),
    ),
    "never stamped": Case(
        ("DELETE FROM alembic_version",),
        problems=(
            (
                "the target stands at no revision, has tables, and `v2` begins at `a002`",
                "If the tables are what that revision makes, say so: `alembic stamp a002`. If the "
                "version table is elsewhere, see `version_table` and `version_table_schema` in "
                "env.py.",
            ),
        ),
    ),
    "an empty database": Case(
        base=BASE[:1],
        problems=(
            (
                "the target stands at no revision and `v2` begins at `a002`: `a001`, `a002` were "
                "never applied",
                f"Deploy what lies between first, or {FROM_THERE}.",
            ),
        ),
    ),
    "another major version": Case(
        release={"server_major": 9},
        problems=(
            (
                "the target is PostgreSQL $MAJOR, and the release was rehearsed on 9",
                'Put `postgres: "$MAJOR"` into the policy file and release with a server of that '
                "version: `gatekeeper release --database-url …`, on GitHub `services: {postgres: "
                "{image: postgres:$MAJOR}}`.",
            ),
        ),
    ),
    "read only": Case(
        by_superuser=("ALTER ROLE $ROLE SET default_transaction_read_only = on",),
        problems=(
            (
                "the target starts all transactions of this role read only "
                "(`default_transaction_read_only`)",
                "Let it write: `ALTER ROLE $ROLE SET default_transaction_read_only = off;`, or "
                "look in the settings of the database and the server.",
            ),
        ),
    ),
    "a transaction in the way": Case(
        by_superuser=("GRANT pg_read_all_stats TO $ROLE",),
        open="SELECT 'secret' FROM users",
        problems=(
            (
                "the transaction of process $PID of $ADMIN (reports), idle in transaction, runs "
                "for 0 s and has a lock on `public.users`: SELECT ? FROM users",
                "Wait for its end, or end it: `SELECT pg_terminate_backend($PID);`. What is too "
                "long says `watch: {query_seconds: …}` of the environment.",
            ),
        ),
    ),
    "a transaction that has written": Case(
        by_superuser=("GRANT pg_read_all_stats TO $ROLE",),
        open="DELETE FROM orders",
        problems=(
            (
                "the transaction of process $PID of $ADMIN (reports), idle in transaction, runs "
                "for 0 s and has a lock on `public.orders`: DELETE FROM orders",
                "Wait for its end, or end it: `SELECT pg_terminate_backend($PID);`. What is too "
                "long says `watch: {query_seconds: …}` of the environment.",
            ),
        ),
    ),
    "a transaction that CONCURRENTLY waits for": Case(
        by_superuser=("GRANT pg_read_all_stats TO $ROLE",),
        open="SELECT FROM notes",
        release={
            "revisions": (
                *REVISIONS[:1],
                revision("b004", "b003", is_transactional=False, waits_for_all=True),
            ),
        },
        problems=(
            (
                "the transaction of process $PID of $ADMIN (reports), idle in transaction, runs "
                "for 0 s and is waited for by what the release does CONCURRENTLY: SELECT FROM "
                "notes",
                "Wait for its end, or end it: `SELECT pg_terminate_backend($PID);`. What is too "
                "long says `watch: {query_seconds: …}` of the environment.",
            ),
        ),
    ),
    "a prepared transaction": Case(
        by_superuser=("BEGIN; SELECT FROM notes; PREPARE TRANSACTION '$DATABASE'",),
        problems=(
            (
                "the transaction `$DATABASE` of $ADMIN has been prepared for 0 s and keeps its "
                "locks",
                "End it: `ROLLBACK PREPARED '$DATABASE';`, or `COMMIT PREPARED '$DATABASE';`.",
            ),
        ),
    ),
    "an invalid index": Case(
        by_superuser=(
            "UPDATE pg_index SET indisvalid = false"
            " WHERE indexrelid = 'public.notes_pkey'::regclass",
        ),
        problems=(
            (
                "the index `public.notes_pkey` is invalid: it costs every write and serves no "
                "query",
                "Build it anew, `REINDEX INDEX CONCURRENTLY public.notes_pkey;`, or drop it, "
                "`DROP INDEX CONCURRENTLY public.notes_pkey;`. One that is being built now becomes "
                "valid in the end.",
            ),
        ),
    ),
    "objects of another role": Case(
        by_superuser=(
            "ALTER TABLE orders OWNER TO CURRENT_USER",
            "ALTER TYPE status OWNER TO CURRENT_USER",
            "ALTER TABLE users OWNER TO CURRENT_USER",
            "GRANT SELECT ON users, orders TO $ROLE",
        ),
        problems=(
            (
                "the role $ROLE cannot alter `public.orders`, `public.status`, `public.users`: the "
                "owner is $ADMIN",
                "Let $ADMIN give each to it: `ALTER TABLE public.orders OWNER TO $ROLE;`, for a "
                "type `ALTER TYPE`. Or deploy with a role that is a member of that one.",
            ),
        ),
    ),
    "a schema of another role": Case(
        by_superuser=("ALTER SCHEMA public OWNER TO CURRENT_USER",),
        problems=(
            (
                "the role $ROLE may not create anything in the schema `public`",
                "Let it: `GRANT CREATE ON SCHEMA public TO $ROLE;`.",
            ),
        ),
    ),
    "a schema and extensions that it may not make": Case(
        by_superuser=("ALTER DATABASE $DATABASE OWNER TO CURRENT_USER",),
        release={
            "catalog_before": None,
            "catalog_after": {
                "schema reports": "there",
                "extension postgres_fdw": "there",
                "extension nowhere": "there",
            },
        },
        problems=(
            (
                "the role $ROLE may not create a schema, as the release does",
                "Let it: `GRANT CREATE ON DATABASE $DATABASE TO $ROLE;`.",
            ),
            (
                "the release makes the extension `nowhere`, which the target's server does not "
                "have",
                "Install its package on the server, or choose it in the settings of the host.",
            ),
            (
                "the release makes the extension `postgres_fdw`, for which one must be a "
                "superuser, and the role $ROLE is none",
                "Let a superuser make it first, `CREATE EXTENSION postgres_fdw;`, and the revision "
                "ask: `CREATE EXTENSION IF NOT EXISTS`.",
            ),
        ),
    ),
    "tables that pg_dump cannot read": Case(
        by_superuser=(
            "CREATE SCHEMA auth",
            "CREATE TABLE auth.users (id int)",
            "CREATE TABLE public.hidden (id int)",
            "ALTER TABLE public.hidden ENABLE ROW LEVEL SECURITY",
            "GRANT SELECT ON public.hidden TO PUBLIC",
        ),
        environment=Environment(differences_accepted=True),
        problems=(
            (
                "the role $ROLE cannot read all of `auth.users`, `public.hidden`, so `pg_dump` "
                "would fail",
                "Let it: `GRANT pg_read_all_data TO $ROLE;`, with row-level security also `ALTER "
                "ROLE $ROLE BYPASSRLS;`. Or give a command of your own: `backup: {command: …}`.",
            ),
        ),
    ),
    "objects of others in the way of a restore": Case(
        ("CREATE EXTENSION citext", "CREATE SCHEMA own", "CREATE TABLE own.parts (id serial)"),
        by_superuser=(
            "DROP SCHEMA traps CASCADE",
            "CREATE SCHEMA auth",
            "GRANT USAGE ON SCHEMA auth TO PUBLIC",
            "CREATE TABLE auth.users (id serial)",
            "CREATE TYPE auth.kind AS ENUM ('a')",
            "CREATE FUNCTION auth.uid() RETURNS int LANGUAGE sql AS 'SELECT 1'",
            "GRANT SELECT ON ALL TABLES IN SCHEMA auth TO PUBLIC",
            "GRANT SELECT ON ALL SEQUENCES IN SCHEMA auth TO PUBLIC",
        ),
        environment=Environment(differences_accepted=True, on_failure=OnFailure.RESTORE),
        problems=(
            (
                "the role $ROLE could not restore the backup, as `on_failure: restore` says: it "
                "does not own `function auth.uid()`, `schema auth`, `sequence "
                "auth.users_id_seq`, `table auth.users`, `type auth.kind`",
                "Deploy with a role that owns them or is a member of their owners, or say "
                "`on_failure: downgrade` or `stop`.",
            ),
        ),
    ),
    "all of it at once": Case(
        ("ALTER TABLE notes ADD by_hand text",),
        (
            "ALTER SCHEMA public OWNER TO CURRENT_USER",
            "UPDATE pg_index SET indisvalid = false"
            " WHERE indexrelid = 'public.notes_pkey'::regclass",
            "UPDATE alembic_version SET version_num = 'b003'",
        ),
        release={"server_major": 9},
        problems=(
            (
                "the target stands at `b003`, in the middle of `v2`, and `v2` begins at `a002`",
                "If a deploy stopped there, take the target back by its record (`gatekeeper "
                f"rollback`). Else {FROM_THERE}.",
            ),
            (
                "the target is PostgreSQL $MAJOR, and the release was rehearsed on 9",
                'Put `postgres: "$MAJOR"` into the policy file and release with a server of that '
                "version: `gatekeeper release --database-url …`, on GitHub `services: {postgres: "
                "{image: postgres:$MAJOR}}`.",
            ),
            (
                "the index `public.notes_pkey` is invalid: it costs every write and serves no "
                "query",
                "Build it anew, `REINDEX INDEX CONCURRENTLY public.notes_pkey;`, or drop it, "
                "`DROP INDEX CONCURRENTLY public.notes_pkey;`. One that is being built now becomes "
                "valid in the end.",
            ),
            (
                "the role $ROLE may not create anything in the schema `public`",
                "Let it: `GRANT CREATE ON SCHEMA public TO $ROLE;`.",
            ),
        ),
    ),
    "changed by hand": Case(
        ("ALTER TABLE notes ADD by_hand text", "DROP INDEX ix_orders_status"),
        problems=(
            (
                "the target is not what the release was rehearsed from (`a002`): `index "
                "public.ix_orders_status` is missing; `column public.notes.by_hand` is not "
                "expected",
                "Put into a revision what was changed by hand, or take it back. To deploy all the "
                "same: `differences: accepted` for this environment in the policy file.",
            ),
        ),
    ),
    "a first release whose env.py makes its schema": Case(
        ("DELETE FROM alembic_version",),
        release={
            "from_revisions": (),
            "previous": None,
            "catalog_before": {"schema public": "there", "schema app": "there"},
            "catalog_after": None,
        },
        base=BASE[:2],
    ),
    "a first release, and no base": Case(
        ("DELETE FROM alembic_version",),
        release={
            "from_revisions": (),
            "previous": None,
            "catalog_before": {
                "schema public": "there",
                "schema meta": "there",
                "table meta.tenants": "there",
            },
            "catalog_after": None,
        },
        base=BASE[:2],
        problems=(
            (
                "the target is not what the release was rehearsed from (the base): `schema meta` "
                "is missing; `table meta.tenants` is missing",
                "A first release begins with an empty database and what `project: {bootstrap: …}` "
                "of the policy file makes there: run that on the target first, and take away what "
                "else is there. To deploy all the same: `differences: accepted` for this "
                "environment in the policy file.",
            ),
        ),
    ),
    "bare names lead elsewhere": Case(
        by_superuser=(
            "CREATE SCHEMA app AUTHORIZATION $ROLE",
            "ALTER TABLE public.notes SET SCHEMA app",
            "ALTER ROLE $ROLE IN DATABASE $DATABASE SET search_path = app",
        ),
        problems=(
            (
                "the target is not what the release was rehearsed from (`a002`): `table "
                "public.notes` is missing",
                "Bare names lead to the schema `app` (`search_path`), and in the rehearsal to "
                "another. Let it be the same there, by `project: {bootstrap: bootstrap.sql}` in "
                "the policy file: `CREATE SCHEMA app; DO $$$$BEGIN EXECUTE format('ALTER DATABASE "
                "%I SET search_path = app', current_database()); END$$$$;`.",
            ),
        ),
    ),
}


@contextlib.contextmanager
def session(database: Database, statement: str | None) -> Iterator[int]:
    """Yield the process of a session that has run a statement and leaves its transaction open."""
    with database.session(autocommit=False) as connection, connection.cursor() as cursor:
        if statement is not None:
            cursor.execute("SET application_name = 'reports'")
            cursor.execute(statement)
        yield connection.info.backend_pid
        connection.rollback()


@pytest.mark.postgres
@pytest.mark.parametrize("case", [*CLEAN.values(), *WRONG.values()], ids=[*CLEAN, *WRONG])
def test_a_target_that_may_be_upgraded(
    case: Case,
    release: Release,
    changes: ChangeSet,
    repository: GitRepository,
    database: Database,
    tmp_path: Path,
) -> None:
    with an_ordinary_target(database) as target:
        words = {
            "ROLE": target.user,
            "DATABASE": database.name,
            "ADMIN": database.server.user,
            "MAJOR": str(database.server.info.major),
        }
        with contextlib.closing(target.connect(target.maintenance_database)) as connection:
            connection.cursor().execute("SET search_path = public")
            for statement in (*case.base, *case.by_owner):
                connection.cursor().execute(statement)
        execute(database, *(_filled(statement, words) for statement in case.by_superuser))
        altered = dataclasses.replace(release, **case.release)
        deployment = a_deployment(altered, target, tmp_path, case.environment)
        with session(database, case.open) as pid:
            versions = (VersionTable("public", "alembic_version"),)
            state = read_state(target, versions, ("public.users",))
            found = examine_target(deployment, repository.value, changes, state)
        execute(database, *_prepared(database))
    words["PID"] = str(pid)
    assert found == tuple(
        Problem(_filled(what, words), _filled(fix, words)) for what, fix in case.problems
    )


def _filled(text: str, words: dict[str, str]) -> str:
    return string.Template(text).substitute(words)


def _prepared(database: Database) -> list[str]:
    with database.session() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT gid FROM pg_prepared_xacts WHERE database = current_database()")
        return [f"ROLLBACK PREPARED '{gid}'" for (gid,) in cursor.fetchall()]


@pytest.mark.postgres
def test_a_target_at_a_pre_release_is_told_how_the_release_goes_on_from_it(
    release: Release, database: Database, tmp_path: Path
) -> None:
    """The plan of a final release begins with the final one before it."""
    made = a_repository(tmp_path / "shop", a_project("a001", "a002"))
    made.git("tag", "v1")
    made.commit({f"{V}/b003.py": revision_text("b003", "a002")})
    for tag in ("v2-rc.1", "v2-rc.2", "api-v1"):
        made.git("tag", tag)
    made.commit({f"{V}/b004.py": revision_text("b004", "b003")})
    made.git("tag", "v2")
    changes = read_change_set(made.value, PROJECT, None, open_tree(made.value, None), audit=True)
    deployment = a_deployment(release, target_of(database), tmp_path, Environment())
    (problem,) = examine_target(deployment, made.value, changes, at("b003"))
    assert problem == Problem(
        "the target stands at `b003`, in the middle of `v2`, and `v2` begins at `a002`",
        "If a deploy stopped there, take the target back by its record (`gatekeeper rollback`). "
        "Else release from where the target is, `v2-rc.2`: `gatekeeper release --previous v2-rc.2 "
        "--output DIR`, on GitHub `base: v2-rc.2` (this plan begins with `v1`).",
    )


# --- Phantoms ------------------------------------------------------------------------


def at(*versions: str) -> TargetState:
    """Return the state of a target at these revisions, with nothing else in it."""
    return TargetState(frozenset(versions), Snapshot({}), {})


@pytest.mark.postgres
def test_a_revision_of_another_branch_is_named_with_it(
    release: Release,
    changes: ChangeSet,
    repository: GitRepository,
    database: Database,
    tmp_path: Path,
) -> None:
    deployment = a_deployment(release, target_of(database), tmp_path, Environment())
    (problem,) = examine_target(deployment, repository.value, changes, at("c005"))
    commit = repository.git("rev-parse", "topic")[:12]
    assert problem == Problem(
        "the target stands at `c005`, which the release does not have: commit "
        f"{commit} made its file, which is in `topic`",
        "Deploy a release that has it, or merge it and release that, or take the target back with "
        "a checkout of it: "
        f"`git checkout {commit}`, `alembic downgrade a002`.",
    )


@pytest.mark.parametrize(
    ("revision", "told"),
    [
        pytest.param("f00d", "commit {before} made its file, which is in `topic`", id="below"),
        pytest.param("cafe", "no branch or tag of this clone ever had a file of it", id="nowhere"),
        pytest.param(
            "c.05", "no branch or tag of this clone ever had a file of it", id="taken to the letter"
        ),
        pytest.param(
            "c005'); --", "no branch or tag of this clone ever had a file of it", id="no identifier"
        ),
    ],
)
def test_where_a_phantom_is_from(
    revision: str, told: str, changes: ChangeSet, repository: GitRepository
) -> None:
    before = repository.git("rev-parse", "topic~")[:12]
    (phantom,) = find_phantoms(repository.value, changes, ("a002", revision))
    assert (phantom.revision, phantom.sentence) == (revision, told.format(before=before))


def test_a_shallow_clone_says_that_it_may_miss_it(
    changes: ChangeSet, repository: GitRepository, tmp_path: Path
) -> None:
    options = ("--quiet", "--depth", "1", "--branch", "main")
    repository.git("clone", *options, repository.root.as_uri(), str(tmp_path / "clone"))
    (phantom,) = find_phantoms(Repository(tmp_path / "clone"), changes, ("c005",))
    assert phantom.sentence == (
        "no branch or tag of this clone (a shallow clone) ever had a file of it"
    )


def test_a_file_that_was_deleted_since_is_found(tmp_path: Path) -> None:
    made = a_repository(tmp_path / "shop", a_project("a001", "a002"))
    first = made.git("rev-parse", "HEAD")[:12]
    made.commit({f"{V}/a002.py": None})
    found = read_change_set(made.value, PROJECT, None, open_tree(made.value, None), audit=True)
    (phantom,) = find_phantoms(made.value, found, ("a002",))
    assert phantom.sentence == f"commit {first} made its file, which is in `main`"


# --- Replicas ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lags", "told"),
    [
        pytest.param({}, (), id="none"),
        pytest.param({"standby1": 0.0, "standby2": 30.0}, (), id="as far as is borne"),
        pytest.param(
            {"standby1": 31.0, "standby2": 300.0},
            (
                "the replica `standby1` is 31 s behind",
                "the replica `standby2` is 5 min behind",
            ),
            id="behind",
        ),
    ],
)
def test_replicas_that_are_behind(lags: dict[str, float], told: tuple[str, ...]) -> None:
    replicas = [Replica(name, 1, seconds) for name, seconds in lags.items()]
    problems = tuple(examine_replicas(replicas, 30))
    assert tuple(problem.what for problem in problems) == told


# --- Room ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("free", "tables", "is_told"),
    [
        pytest.param(10, 10, False, id="as much as the tables"),
        pytest.param(2, 10, False, id="enough for a compressed dump"),
        pytest.param(0, 0, False, id="nothing to dump"),
        pytest.param(2, 30, True, id="too little for any"),
    ],
)
def test_room_for_the_dump(free: int, tables: int, is_told: bool, tmp_path: Path) -> None:
    problem = Problem(
        "the folder of the record has 2.0 GB left, too little for a dump of 30.0 GB of tables",
        f"Make room at {tmp_path}, or give `--record` a folder on a larger disk.",
    )
    found = tuple(examine_room(tmp_path, free * 1024**3, tables * 1024**3))
    assert found == ((problem,) if is_told else ())
