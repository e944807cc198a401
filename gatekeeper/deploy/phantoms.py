"""Revisions that a database stands at and that no file of the checkout has."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from gatekeeper.git import Repository, Sighting, find_introduction, is_shallow
from gatekeeper.model import ChangeSet

_REFS_SHOWN = 3


@dataclass(frozen=True)
class Phantom:
    """A revision that no file has; `sighting` is where one had it, None where none did."""

    revision: str
    sighting: Sighting | None
    is_shallow: bool

    @property
    def sentence(self) -> str:
        """Where its file is to be found, on one line."""
        if self.sighting is None:
            missing = " (a shallow clone)" if self.is_shallow else ""
            return f"no branch or tag of this clone{missing} ever had a file of it"
        refs = self.sighting.refs
        named = ", ".join(f"`{name}`" for name in refs[:_REFS_SHOWN])
        more = f" and {len(refs) - _REFS_SHOWN} more" if len(refs) > _REFS_SHOWN else ""
        where = f", which is in {named}{more}" if refs else ""
        return f"commit {self.sighting.commit[:12]} made its file{where}"


def find_phantoms(
    repository: Repository, changes: ChangeSet, versions: Iterable[str]
) -> tuple[Phantom, ...]:
    """Return those of the revisions that the history does not have."""
    known = {revision.revision for revision in changes.head_history}
    folders = (changes.project.script_location, *changes.project.version_locations)
    return tuple(
        Phantom(
            name,
            find_introduction(repository, _assignment_of(name), dict.fromkeys(folders)),
            is_shallow(repository),
        )
        for name in sorted(set(versions) - known)
    )


def _assignment_of(revision: str) -> str:
    """Return what finds the line of a revision file that says which one it is."""
    # Alembic's own identifiers are plain; whatever else a version table holds is taken as text.
    text = re.sub(r"([^A-Za-z0-9_])", r"[\1]", revision).replace("[^]", r"\^")
    return rf"^revision[^=]*=[^=]*[\"']{text}[\"']"
