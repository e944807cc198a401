"""What a command asks for, and what a run takes from outside."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Since:
    """The very state that is compared with, wherever the lines parted; None is nothing yet."""

    ref: str | None


@dataclass(frozen=True)
class Request:
    """What a command asks for; paths are as given, `directory` is where it was called.

    `head` None is the work tree. `event_base` is what the workflow's event compares with;
    `base` is a person's word and counts more; `since` takes the place of both. `env` is
    added to the policy's. `ticked` are the attestations that a person has ticked. `python`
    is an interpreter; `python_version` and `install` say how to make an environment where
    none is found, `cache` where it is kept. `paths` limits an audit to these files.
    """

    directory: Path
    project: str | None = None
    config: str | None = None
    section: tuple[str, ...] = ()
    base: str | None = None
    event_base: str | None = None
    since: Since | None = None
    head: str | None = None
    database_url: str | None = field(default=None, repr=False)
    python: str | None = None
    python_version: str | None = None
    install: str | None = None
    cache: str | None = None
    policy: Path | None = None
    seed: str | None = None
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    ticked: frozenset[str] = frozenset()
    paths: tuple[str, ...] = ()
    is_audit: bool = False
    is_lint: bool = False


@dataclass(frozen=True)
class Surroundings:
    """What a run takes from outside: its environment, the time, where progress goes."""

    environ: Mapping[str, str] = field(repr=False)
    now: dt.datetime
    progress: Callable[[str], None]
