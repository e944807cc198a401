"""The preflight: all that speaks against a deploy, found before anything is touched.

What is told is certain: a target that is run as usual, by a role that owns its tables and may
no more, with other programs' schemas and extensions beside them, has no problem.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gatekeeper.deploy.model import Deployment, Release, TargetState
from gatekeeper.deploy.phantoms import find_phantoms
from gatekeeper.deploy.phrases import join_some, name_revisions, name_size
from gatekeeper.deploy.rights import read_needs
from gatekeeper.git import Repository
from gatekeeper.lineage import applied_at
from gatekeeper.model import ChangeSet, Revision
from gatekeeper.policy.model import BackupMode, OnFailure, Watch
from gatekeeper.postgres.activity import Replica, read_replicas
from gatekeeper.postgres.likeness import find_unlike
from gatekeeper.postgres.observation import invalid_indexes
from gatekeeper.postgres.readiness import (
    LongTransaction,
    Standing,
    find_closed_schemas,
    find_home,
    find_long_transactions,
    find_missing_extensions,
    find_of_others,
    find_prepared,
    find_unreadable,
    find_unrestorable,
    may_create_schemas,
    read_sizes,
    read_standing,
)
from gatekeeper.postgres.target import look_at
from gatekeeper.release.tags import find_release_with
from gatekeeper.reporters import words

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class

# The custom format is compressed: it takes a tenth to a third of the tables.
_LEAST_SHARE_OF_DUMP = 10


@dataclass(frozen=True)
class Problem:
    """One thing that speaks against a deploy, and what to do about it."""

    what: str
    fix: str


# --- The release ---------------------------------------------------------------------


def examine_release(deployment: Deployment, changes: ChangeSet) -> tuple[Problem, ...]:
    """Return what speaks against the release itself, without a look at the target."""
    release = deployment.release
    return (*_of_verdict(release), *_of_files(release, changes), *_of_people(deployment))


def _of_verdict(release: Release) -> Iterator[Problem]:
    if release.verdict != "pass":
        yield Problem(
            f"the verdict on the release `{release.tag}` is {release.verdict}",
            "See `report.json` beside the plan for what is wrong, mend it, and make a new tag.",
        )


def _of_files(release: Release, changes: ChangeSet) -> Iterator[Problem]:
    if changes.head != release.commit:
        here = "no commit" if changes.head is None else f"commit {changes.head[:12]}"
        yield Problem(
            f"{here} is checked out, and the plan is that of `{release.tag}`, commit "
            f"{release.commit[:12]}",
            f"Check it out: `git checkout {release.tag}`. If the tag was moved, write the plan "
            "anew: `gatekeeper release --output DIR`.",
        )
    elif changes.content_hash != release.content_hash:
        folder = release.project.script_location
        yield Problem(
            f"the files of `{folder}` are not those that were rehearsed",
            f"See what differs and take it back: `git status -- {folder}`, `git stash "
            f"--include-untracked -- {folder}`.",
        )


def _of_people(deployment: Deployment) -> Iterator[Problem]:
    for each in deployment.release.attestations:
        is_ticked = each.ticked or each.id in deployment.ticked
        if deployment.name in each.required_for and not is_ticked:
            yield Problem(
                f"nobody has ticked “{each.title}”, which {deployment.name} requires",
                f"See to it, then say so: `--attested {each.id}`.",
            )


# --- The target ----------------------------------------------------------------------


def examine_target(
    deployment: Deployment, repository: Repository, changes: ChangeSet, state: TargetState
) -> tuple[Problem, ...]:
    """Return all that speaks against a deploy to the target, which is only read.

    `state` is what it holds. One that is at the release's head already has nothing to fear.
    """
    release = deployment.release
    applied = applied_at(state.versions, changes.head_history)
    if applied == applied_at(release.to_revisions, changes.head_history):
        return ()
    # What the environment bears after the deploy is the measure before it as well.
    limits = deployment.environment.watch or Watch(0)
    of_revision = tuple(_of_revision(release, repository, changes, state))
    with look_at(deployment.target, statement_seconds=60) as connection:
        home = find_home(connection)
        standing = read_standing(connection)
        found = [
            *of_revision,
            *_of_server(release, standing),
            *_of_sessions(deployment, connection, standing, limits.query_seconds),
            *examine_replicas(read_replicas(connection), limits.replication_lag_seconds),
            *_of_indexes(release, connection),
            *_of_rights(release, connection, standing),
            *_of_backup(deployment, connection, standing),
        ]
        sizes = read_sizes(connection, _rewritten(release))
    if not of_revision and standing.major == release.server_major:
        found += _of_catalog(deployment, state, home)
    _tell_rewrites(deployment.tell, sizes)
    return tuple(found)


def _of_revision(
    release: Release, repository: Repository, changes: ChangeSet, state: TargetState
) -> Iterator[Problem]:
    history = changes.head_history
    phantoms = find_phantoms(repository, changes, state.versions)
    for phantom in phantoms:
        fetch = " (`git fetch --all --unshallow`)" if phantom.is_shallow else ""
        way_back = ""
        if phantom.sighting is not None and release.from_revisions:
            way_back = (
                ", or take the target back with a checkout of it: `git checkout "
                f"{phantom.sighting.commit[:12]}`, `alembic downgrade "
                f"{_one(release.from_revisions)}`"
            )
        yield Problem(
            f"the target stands at `{phantom.revision}`, which the release does not have: "
            f"{phantom.sentence}",
            f"Deploy a release that has it, or merge it{fetch} and release that{way_back}.",
        )
    at = applied_at(state.versions, history)
    start = applied_at(release.from_revisions, history)
    goal = applied_at(release.to_revisions, history)
    if phantoms or at == start:
        return
    stands = f"the target stands at {name_revisions(state.versions)}"
    begins = f"`{release.tag}` begins at {name_revisions(release.from_revisions)}"
    since = "an empty database" if release.previous is None else f"`{release.previous}`"
    tag = _tag_at(release, repository, history, at)
    there, tagging = f", `{tag}`", ""
    if tag is None:
        tag, there = "v0.9.0", ""
        tagging = "tag the commit that runs there now (`git tag v0.9.0 COMMIT`) and "
    from_there = (
        f"release from where the target is{there}: {tagging}`gatekeeper release --previous {tag} "
        f"--output DIR`, on GitHub `base: {tag}` (this plan begins with {since})"
    )
    rehearsed = release.catalog_before or {}
    if not at and any(
        f"table {name}" in rehearsed for kind, name in state.catalog.rows if kind == "table"
    ):
        yield Problem(
            f"{stands}, has tables, and {begins}",
            "If the tables are what that revision makes, say so: `alembic stamp "
            f"{_one(release.from_revisions)}`. If the version table is elsewhere, see "
            "`version_table` and `version_table_schema` in env.py.",
        )
    elif at < start:
        missing = [r.revision for r in history if r.revision in start - at]
        yield Problem(
            f"{stands} and {begins}: {words.listed(missing)} "
            f"{'was' if len(missing) == 1 else 'were'} never applied",
            f"Deploy what lies between first, or {from_there}.",
        )
    elif goal < at:
        yield Problem(
            f"{stands}, which is ahead of `{release.tag}`",
            "Deploy a later release, or take the target back by that one's record: "
            "`gatekeeper rollback`.",
        )
    elif start < at < goal:
        yield Problem(
            f"{stands}, in the middle of `{release.tag}`, and {begins}",
            "If a deploy stopped there, take the target back by its record (`gatekeeper "
            f"rollback`). Else {from_there}.",
        )
    else:
        yield Problem(
            f"{stands}, on another branch of the history than {begins}",
            f"{from_there[0].upper()}{from_there[1:]}.",
        )


def _tag_at(
    release: Release, repository: Repository, history: Sequence[Revision], at: Collection[str]
) -> str | None:
    """Return the earlier release that the target stands at, such as a pre-release of this one."""
    if not at:
        return None
    return find_release_with(
        repository,
        release.tag,
        has=[each.path for each in history if each.revision in at],
        lacks=[each.path for each in history if each.revision not in at],
    )


def _of_server(release: Release, standing: Standing) -> Iterator[Problem]:
    if standing.is_replica:
        yield Problem(
            "the target is a replica, which nothing can be written to",
            "Give GATEKEEPER_TARGET_URL the address of the primary.",
        )
    elif standing.is_read_only:
        yield Problem(
            "the target starts all transactions of this role read only "
            "(`default_transaction_read_only`)",
            f"Let it write: `ALTER ROLE {standing.role} SET default_transaction_read_only = off;`, "
            "or look in the settings of the database and the server.",
        )
    if release.server_major is not None and release.server_major != standing.major:
        yield Problem(
            f"the target is PostgreSQL {standing.major}, and the release was rehearsed on "
            f"{release.server_major}",
            f'Put `postgres: "{standing.major}"` into the policy file and release with a server '
            f"of that version: `gatekeeper release --database-url …`, on GitHub "
            f"`services: {{postgres: {{image: postgres:{standing.major}}}}}`.",
        )


def _of_sessions(
    deployment: Deployment, connection: Connection, standing: Standing, limit: int
) -> Iterator[Problem]:
    """Yield the transactions that the upgrade would wait for, in front of all others."""
    revisions = deployment.release.revisions
    wanted = {lock for revision in revisions for lock in revision.locks}
    waits_for_all = any(revision.waits_for_all for revision in revisions)
    if not standing.sees_others:
        deployment.tell(
            f"The role {standing.role} does not see for how long other roles' transactions run: "
            f"`GRANT pg_read_all_stats TO {standing.role};` lets it"
        )
    for each in find_long_transactions(connection, limit):
        in_the_way = [
            name
            for name in dict.fromkeys(lock.relation for lock in each.locks)
            if any(
                held.mode.conflicts_with(lock.mode)
                for held in each.locks
                for lock in wanted
                if held.relation == name == lock.relation
            )
        ]
        if in_the_way or waits_for_all:
            yield _of_long_transaction(each, sorted(in_the_way))
    for name, owner, seconds in find_prepared(connection, limit):
        yield Problem(
            f"the transaction `{name}` of {owner} has been prepared for {_age(seconds)} and keeps "
            "its locks",
            f"End it: `ROLLBACK PREPARED '{name}';`, or `COMMIT PREPARED '{name}';`.",
        )


def _of_long_transaction(each: LongTransaction, in_the_way: list[str]) -> Problem:
    holds = f"has a lock on {words.listed(in_the_way)}"
    if not in_the_way:
        holds = "is waited for by what the release does CONCURRENTLY"
    return Problem(
        f"the transaction of {each.who}, {each.state}, runs for {_age(each.age_seconds)} and "
        f"{holds}: {each.query}",
        f"Wait for its end, or end it: `SELECT pg_terminate_backend({each.pid});`. What is too "
        "long says `watch: {query_seconds: …}` of the environment.",
    )


def examine_replicas(replicas: Iterable[Replica], limit_seconds: int) -> Iterator[Problem]:
    """Yield the replicas that are further behind than the limit."""
    for replica in replicas:
        if replica.lag_seconds > limit_seconds:
            yield Problem(
                f"the replica `{replica.name}` is {_age(replica.lag_seconds)} behind",
                "Wait until it has caught up: `SELECT application_name, replay_lag FROM "
                "pg_stat_replication;`. What is too far says `watch: {replication_lag_seconds: "
                "…}` of the environment.",
            )


def _of_indexes(release: Release, connection: Connection) -> Iterator[Problem]:
    before, after = release.catalog_before or {}, release.catalog_after or {}
    for name in invalid_indexes(connection):
        told = f"index {name}"
        if told in before and told not in after:
            continue  # the release drops it
        yield Problem(
            f"the index `{name}` is invalid: it costs every write and serves no query",
            f"Build it anew, `REINDEX INDEX CONCURRENTLY {name};`, or drop it, `DROP INDEX "
            f"CONCURRENTLY {name};`. One that is being built now becomes valid in the end.",
        )


def _of_rights(release: Release, connection: Connection, standing: Standing) -> Iterator[Problem]:
    needs = read_needs(release)
    role = standing.role
    owners: dict[str, list[str]] = {}
    for name, owner in find_of_others(connection, needs.owned).items():
        owners.setdefault(owner, []).append(name)
    for owner, names in owners.items():
        yield Problem(
            f"the role {role} cannot alter {words.listed(names)}: the owner is {owner}",
            f"Let {owner} give each to it: `ALTER TABLE {names[0]} OWNER TO {role};`, for a type "
            "`ALTER TYPE`. Or deploy with a role that is a member of that one.",
        )
    for schema in find_closed_schemas(connection, needs.schemas):
        yield Problem(
            f"the role {role} may not create anything in the schema `{schema}`",
            f"Let it: `GRANT CREATE ON SCHEMA {schema} TO {role};`.",
        )
    if needs.makes_schema and not may_create_schemas(connection):
        yield Problem(
            f"the role {role} may not create a schema, as the release does",
            f"Let it: `GRANT CREATE ON DATABASE {_database(connection)} TO {role};`.",
        )
    for extension in find_missing_extensions(connection, needs.extensions):
        if not extension.is_available:
            yield Problem(
                f"the release makes the extension `{extension.name}`, which the target's server "
                "does not have",
                "Install its package on the server, or choose it in the settings of the host.",
            )
        elif not extension.is_allowed:
            yield Problem(
                f"the release makes the extension `{extension.name}`, for which one must be a "
                f"superuser, and the role {role} is none",
                f"Let a superuser make it first, `CREATE EXTENSION {extension.name};`, and the "
                "revision ask: `CREATE EXTENSION IF NOT EXISTS`.",
            )


def _of_backup(
    deployment: Deployment, connection: Connection, standing: Standing
) -> Iterator[Problem]:
    if deployment.environment.backup.mode is not BackupMode.REQUIRED:
        return
    unreadable = find_unreadable(connection)
    if unreadable:
        yield Problem(
            f"the role {standing.role} cannot read all of {words.listed(unreadable)}, so `pg_dump` "
            "would fail",
            f"Let it: `GRANT pg_read_all_data TO {standing.role};`, with row-level security also "
            f"`ALTER ROLE {standing.role} BYPASSRLS;`. Or give a command of your own: "
            "`backup: {command: …}`.",
        )
    if deployment.environment.on_failure is OnFailure.RESTORE:
        unrestorable = find_unrestorable(connection)
        if unrestorable:
            yield Problem(
                f"the role {standing.role} could not restore the backup, as `on_failure: restore` "
                f"says: it does not own {words.listed(unrestorable)}",
                "Deploy with a role that owns them or is a member of their owners, or say "
                "`on_failure: downgrade` or `stop`.",
            )
    folder = _existing(deployment.folder)
    yield from examine_room(folder, shutil.disk_usage(folder).free, standing.table_bytes)


def examine_room(folder: Path, free_bytes: int, table_bytes: int) -> Iterator[Problem]:
    """Yield that a folder has too little room left for a dump, however well it is compressed."""
    if free_bytes < table_bytes // _LEAST_SHARE_OF_DUMP:
        yield Problem(
            f"the folder of the record has {name_size(free_bytes)} left, too little for a dump of "
            f"{name_size(table_bytes)} of tables",
            f"Make room at {folder}, or give `--record` a folder on a larger disk.",
        )


def _of_catalog(deployment: Deployment, state: TargetState, home: str | None) -> Iterator[Problem]:
    release = deployment.release
    if deployment.environment.differences_accepted or release.catalog_before is None:
        return
    also = release.catalog_after or {}
    expected = release.catalog_before
    if not release.from_revisions:
        expected = _without_schemas_to_be_made(expected, state)
    unlike = find_unlike(expected, state.catalog, also)
    if unlike:
        begins = words.listed(release.from_revisions) or "the base"
        yield Problem(
            f"the target is not what the release was rehearsed from ({begins}): "
            f"{join_some(unlike)}",
            _of_home(release.catalog_before, state, home)
            or _of_base(release)
            or "Put into a revision what was changed by hand, or take it back. To deploy all the "
            "same: `differences: accepted` for this environment in the policy file.",
        )


def _without_schemas_to_be_made(expected: Mapping[str, str], state: TargetState) -> dict[str, str]:
    """Return the traits of a base without the schemas that env.py may be what makes.

    In the rehearsal it had run once before anything was read. Where it does not make them, the
    upgrade of the restored copy fails.
    """
    used = {told.partition(" ")[2].partition(".")[0] for told in expected if "." in told}
    there = {name for kind, name in state.catalog.rows if kind == "schema"}
    return {
        told: trait
        for told, trait in expected.items()
        if not told.startswith("schema ") or told.removeprefix("schema ") in used | there
    }


def _of_base(release: Release) -> str | None:
    """Return what to do where a first release did not begin with nothing."""
    if release.from_revisions:
        return None
    return (
        "A first release begins with an empty database and what `project: {bootstrap: …}` of the "
        "policy file makes there: run that on the target first, and take away what else is there. "
        "To deploy all the same: `differences: accepted` for this environment in the policy file."
    )


def _of_home(expected: Mapping[str, str], state: TargetState, home: str | None) -> str | None:
    """Return what to do where tables are missing because bare names lead to another schema."""
    there = {name for kind, name in state.catalog.rows if kind == "table"}
    missing = {told.removeprefix("table ") for told in expected if told.startswith("table ")}
    if not any(f"{home}.{name.partition('.')[2]}" in there for name in missing - there):
        return None
    return (
        f"Bare names lead to the schema `{home}` (`search_path`), and in the rehearsal to another. "
        "Let it be the same there, by `project: {bootstrap: bootstrap.sql}` in the policy file: "
        f"`CREATE SCHEMA {home}; DO $$BEGIN EXECUTE format('ALTER DATABASE %I SET search_path = "
        f"{home}', current_database()); END$$;`."
    )


# --- Words ---------------------------------------------------------------------------


def _rewritten(release: Release) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for r in release.revisions for name in r.rewrites))


def _tell_rewrites(tell: Callable[[str], None], sizes: Mapping[str, int]) -> None:
    """Say what cannot be looked up from here: the room on the target's own disk."""
    for name, size in sizes.items():
        tell(f"The upgrade writes `{name}` anew: see that the target has {name_size(size)} left")


def _existing(folder: Path) -> Path:
    return next(path for path in (folder, *folder.absolute().parents) if path.exists())


def _database(connection: Connection) -> str:
    return str(connection.info.dbname)


def _one(revisions: tuple[str, ...]) -> str:
    return revisions[0] if len(revisions) == 1 else "base" if not revisions else "REVISION"


def _age(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
