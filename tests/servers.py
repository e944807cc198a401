"""The PostgreSQL servers that tests run on: this machine's own, and others that are named.

`GATEKEEPER_TESTS_POSTGRES` lists the folders of server programs (`…/bin`) as PATH does;
`python -m tests.combinations 17` fetches those of a major version and says where they are.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

import pytest

from gatekeeper.model import ServerSource
from gatekeeper.postgres.installations import (
    OLDEST_MAJOR,
    Account,
    Installation,
    find_installations,
    inspect_programs,
)
from gatekeeper.postgres.servers import Server, start_server

VARIABLE = "GATEKEEPER_TESTS_POSTGRES"

# A source stands for the preferred installation of it, a folder for the programs in it, and
# the word for a folder that is not named.
Place = ServerSource | Path | Literal["further"]

OWN: tuple[Place, ...] = (ServerSource.INSTALLED, ServerSource.EMBEDDED)
NAMED = tuple(Path(folder) for folder in os.environ.get(VARIABLE, "").split(os.pathsep) if folder)


def name_of(place: Place) -> str:
    if isinstance(place, Path):
        return f"named {NAMED.index(place) + 1}"
    return place.value if isinstance(place, ServerSource) else place


def on_every_server(*arguments: str) -> pytest.MarkDecorator:
    """Return the mark that runs a test once for each place, by the fixtures of those names.

    With several all are of one place; by default it is the one called `server`.
    """
    names = arguments or ("server",)
    places = (*OWN, *(NAMED or ("further",)))
    return pytest.mark.parametrize(
        names,
        [(place,) * len(names) for place in places],
        indirect=True,
        ids=map(name_of, places),
        scope="session",
    )


def find_places(account: Account | None) -> dict[Place, Installation]:
    """Return what can be started on this machine; a folder that cannot is an error."""
    found: dict[Place, Installation] = {}
    for installation in find_installations(account):
        if installation.source is ServerSource.EMBEDDED or installation.major >= OLDEST_MAJOR:
            found.setdefault(installation.source, installation)
    for folder in NAMED:
        installation = inspect_programs(folder, ServerSource.INSTALLED, account)
        assert installation.is_reachable, f"{folder}, which {VARIABLE} names, cannot be run"
        found[folder] = installation
    return found


@contextlib.contextmanager
def start_apart(place: Place, installations: Mapping[Place, Installation]) -> Iterator[Server]:
    """Run a server that other tests do not use, for what all databases of a server share."""
    if place not in installations:
        pytest.skip(why_missing(place))
    with start_server(installations[place]) as server:
        yield server


def why_missing(place: Place) -> str:
    """Return the sentence for a skipped test."""
    if place == "further":
        get = "`python -m tests.combinations 17` gets one"
        return f"no further PostgreSQL is named by {VARIABLE} ({get})"
    return f"no PostgreSQL server: {name_of(place)}"
