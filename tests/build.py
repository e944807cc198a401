"""Short ways to make the nouns of `gatekeeper.model` for tests.

Every function fills in what the test at hand does not care about.
"""

from __future__ import annotations

from typing import Any

from gatekeeper.lock_modes import LockMode
from gatekeeper.model import (
    Body,
    Change,
    ChangedRevision,
    ChangeSet,
    Direction,
    Drift,
    Function,
    Lock,
    Outcome,
    Project,
    Rehearsal,
    RehearsedRevision,
    Revision,
    ServerInfo,
    ServerSource,
    Skipped,
    Statement,
    Step,
)

PROJECT = Project(
    path=".",
    config="alembic.ini",
    section="alembic",
    script_location="migrations",
    version_locations=("migrations/versions",),
)


def a_revision(revision: str = "b002", down: str | None = "a001", **fields: Any) -> Revision:
    """Return a revision with an upgrade and a downgrade that hold code."""
    values: dict[str, Any] = {
        "revision": revision,
        "down_revisions": () if down is None else (down,),
        "depends_on": (),
        "branch_labels": (),
        "message": f"message of {revision}",
        "path": f"migrations/versions/{revision}.py",
        "line": 8,
        "upgrade": Function(line=14, end_line=20, body=Body.CODE),
        "downgrade": Function(line=23, end_line=30, body=Body.CODE),
        "source": "",
    }
    return Revision(**{**values, **fields})


def a_change_set(*revisions: Revision | ChangedRevision, **fields: Any) -> ChangeSet:
    """Return a change set that adds the revisions on top of `a001`."""
    changed = tuple(
        r if isinstance(r, ChangedRevision) else ChangedRevision(r, Change.ADDED) for r in revisions
    )
    base = a_revision("a001", None)
    there = tuple(c.revision for c in changed if c.change is not Change.DELETED)
    heads = (there[-1].revision,) if there else ("a001",)
    values: dict[str, Any] = {
        "project": PROJECT,
        "base": "1" * 40,
        "head": "2" * 40,
        "dirty": False,
        "base_tip": "main",
        "revisions": changed,
        "base_history": (base,),
        "head_history": (base, *there),
        "base_heads": ("a001",),
        "head_heads": heads,
        "merged_heads": heads,
        "problems": (),
        "content_hash": "0" * 64,
    }
    return ChangeSet(**{**values, **fields})


def a_statement(sql: str, revision: str = "b002", **fields: Any) -> Statement:
    """Return a statement that ran in a transaction and took no lock on what was there.

    `locks` may be given as a mapping of relation to mode.
    """
    locks = fields.pop("locks", ())
    if isinstance(locks, dict):
        locks = tuple(Lock(relation, LockMode[mode]) for relation, mode in locks.items())
    values: dict[str, Any] = {
        "revision": revision,
        "direction": Direction.UPGRADE,
        "ordinal": 1,
        "sql": sql,
        "path": f"migrations/versions/{revision}.py",
        "line": 15,
        "end_line": 15,
        "in_transaction": True,
        "seconds": 0.001,
        "rows": None,
        "locks": locks,
        "rewrites": (),
        "lock_timeout_ms": 0,
        "committed": True,
    }
    return Statement(**{**values, **fields})


def a_step(revision: str = "b002", *statements: Statement, **fields: Any) -> Step:
    """Return a completed upgrade step whose post-conditions all hold."""
    values: dict[str, Any] = {
        "revision": revision,
        "direction": Direction.UPGRADE,
        "outcome": Outcome.COMPLETED,
        "seconds": 0.01,
        "statements": statements,
        "version_moved": True,
        "committed": True,
        "left_open": False,
        "invalid_indexes": (),
    }
    return Step(**{**values, **fields})


def a_rehearsed(revision: Revision | None = None, **fields: Any) -> RehearsedRevision:
    """Return a revision whose stairway ended as it should."""
    revision = revision or a_revision()
    step = a_step(revision.revision)
    values: dict[str, Any] = {
        "revision": revision,
        "upgrade": step,
        "downgrade": a_step(revision.revision, direction=Direction.DOWNGRADE),
        "reupgrade": step,
        "changes": (),
        "round_trip": (),
        "second_upgrade": (),
        "variation": (),
    }
    return RehearsedRevision(**{**values, **fields})


def a_rehearsal(*revisions: RehearsedRevision, **fields: Any) -> Rehearsal:
    """Return a rehearsal on PostgreSQL 17.5; its deploy pass is the first upgrades."""
    values: dict[str, Any] = {
        "server": ServerInfo(ServerSource.INSTALLED, "17.5"),
        "database": "shop",
        "deploy": tuple(r.upgrade for r in revisions),
        "revisions": revisions,
        "drift": Drift(()),
    }
    return Rehearsal(**{**values, **fields})


NO_METADATA = Skipped("env.py has no `target_metadata`")
