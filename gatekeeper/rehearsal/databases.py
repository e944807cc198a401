"""The ephemeral databases that stand for those of a project."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from gatekeeper.postgres.databases import Database
from gatekeeper.probe.model import Origin, Target

UNKNOWN = Origin("postgresql", None, None, None)
DATABASE = "{database}"


@dataclass(frozen=True)
class Databases:
    """One state of all databases that env.py migrates, mostly of one.

    `origins` says for each where env.py would have gone.
    """

    origins: tuple[Origin, ...]
    each: tuple[Database, ...]

    @property
    def target(self) -> Target:
        """The first database for the probe, with the others and what leads to them."""
        first, *others = (
            replace(target_of(database), origin=origin)
            for origin, database in zip(self.origins, self.each, strict=True)
        )
        return replace(first, others=tuple(others))


def target_of(database: Database) -> Target:
    """Return where a request to the probe goes, once the server's roles are the database's."""
    server = database.server
    server.use_roles_of(database.name)
    return Target(
        host=server.host,
        port=server.port,
        user=server.user if database.owner is None else database.owner.name,
        password=server.password if database.owner is None else database.owner.password,
        database=database.name,
        marker=database.marker,
        sslmode=server.parameters.get("sslmode"),
    )


def seed_of(seed: Path, database: str) -> Path:
    """Return the file of a database: its original name takes the place of `{database}`.

    That name comes from the project's code; as a file's it has no folders.
    """
    plain = re.sub(r"[^\w.-]", "_", database)
    return Path(str(seed).replace(DATABASE, plain))


def names_of(origins: Sequence[Origin]) -> tuple[str, ...]:
    """Return the names by which people know the databases, with the host where two share one.

    That of a URL which is not set is unknown: it is called as PostgreSQL calls its own.
    """
    names = [origin.database or "postgres" for origin in origins]
    times = Counter(names)
    return tuple(
        name if times[name] == 1 else f"{origin.host or 'unset'}/{name}"
        for name, origin in zip(names, origins, strict=True)
    )
