"""Where a database stands in the history that is checked out; it is only read, and no code run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gatekeeper.deploy.phantoms import Phantom, find_phantoms
from gatekeeper.deploy.phrases import name_revisions
from gatekeeper.errors import ConfigError, ExitCode
from gatekeeper.git import Repository, find_repository, open_tree, relative_folder
from gatekeeper.lineage import applied_at
from gatekeeper.model import ChangeSet, Revision
from gatekeeper.postgres.observation import find_version_tables, read_version_tables
from gatekeeper.postgres.servers import Server
from gatekeeper.postgres.target import look_at
from gatekeeper.reporters import words
from gatekeeper.revisions.changes import read_change_set
from gatekeeper.revisions.discover import choose_projects

_USUAL_NAME = "alembic_version"


@dataclass(frozen=True)
class Status:
    """Where a target stands: `revisions` are what its version tables hold.

    `pending` is in the order in which it would be applied, and None where that cannot be told:
    `phantoms` are revisions that no file has, so nobody knows what they come after.
    """

    revisions: tuple[str, ...]
    heads: tuple[str, ...]
    pending: tuple[Revision, ...] | None
    phantoms: tuple[Phantom, ...]

    @property
    def exit_code(self) -> ExitCode:
        """PASS for a target that is at the head and nowhere else."""
        is_there = self.pending == () and not self.phantoms
        return ExitCode.PASS if is_there else ExitCode.FAIL


def find_status(
    target: Server,
    directory: Path,
    project: str | None,
    config: str | None,
    sections: Sequence[str],
) -> Status:
    """Return where the target stands in the history of a project, which is found as usual."""
    repository = find_repository(directory)
    tree = open_tree(repository, None)
    start = relative_folder(repository, directory)
    found = choose_projects(tree, start, project, config, sections)
    if len(found) > 1:
        raise ConfigError(
            "there are several histories, and a target is held against one",
            where=found[0].config,
            fix=f"Name one: `--section {found[0].section}`.",
        )
    return read_status(
        target, repository, read_change_set(repository, found[0], None, tree, audit=True)
    )


def read_status(target: Server, repository: Repository, changes: ChangeSet) -> Status:
    """Return where the target stands in a whole history.

    Each tenant may have a version table of its own: what one of them lacks is pending.
    """
    history = changes.head_history
    known = {revision.revision for revision in history}
    with look_at(target) as connection:
        tables = {
            (schema, name): held
            for schema, name in find_version_tables(connection)
            for held in read_version_tables(connection, schema, name)
        }
    # Another program's history may have its table beside ours.
    ours = [held for held in tables.values() if held & known]
    ours = ours or [held for (_, name), held in tables.items() if name == _USUAL_NAME]
    each = ours or list(tables.values()) or [frozenset()]
    applied = frozenset.intersection(*(applied_at(held, history) for held in each))
    versions = frozenset().union(*each)
    phantoms = find_phantoms(repository, changes, versions)
    pending = tuple(r for r in history if r.revision not in applied)
    return Status(
        revisions=(
            *(r.revision for r in history if r.revision in versions),
            *sorted(versions - known),
        ),
        heads=changes.head_heads,
        pending=None if phantoms and pending else pending,
        phantoms=phantoms,
    )


def render_text(status: Status) -> str:
    """Return the status as a person reads it."""
    lines = [f"The target stands at {name_revisions(status.revisions)}."]
    lines += [
        f"{words.code(p.revision)} is unknown, no file here has it: {p.sentence}."
        for p in status.phantoms
    ]
    if status.pending is None:
        lines.append("What is pending cannot be told here, only from a checkout that has its file.")
    elif status.pending:
        count = words.count(len(status.pending), "revision")
        lines.append(f"{count} to the head, {name_revisions(status.heads)}:")
        lines += [
            f"  {words.one_line(f'{r.revision}  {r.message} ({r.path})')}" for r in status.pending
        ]
    elif not status.phantoms:
        lines.append("Nothing is pending.")
    return "\n".join(lines) + "\n"


def render_json(status: Status) -> str:
    """Return the status as data (schema 1)."""
    data: dict[str, Any] = {
        "schema": 1,
        "revisions": list(status.revisions),
        "heads": list(status.heads),
        "pending": None
        if status.pending is None
        else [
            {"revision": r.revision, "message": r.message, "path": r.path} for r in status.pending
        ],
        "phantoms": [
            {
                "revision": p.revision,
                "commit": None if p.sighting is None else p.sighting.commit,
                "refs": [] if p.sighting is None else list(p.sighting.refs),
            }
            for p in status.phantoms
        ],
    }
    return json.dumps(data, indent=2, ensure_ascii=False) + "\n"
