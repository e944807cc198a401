"""Which tags are releases, and which release comes before another.

The order is that of the versions (PEP 440, which also reads most of SemVer), not of the
commits: a `v1.2.1` that is made when `v2.0.0` is out follows `v1.2.0`.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from packaging.version import InvalidVersion, Version

from gatekeeper.errors import ConfigError
from gatekeeper.git import Repository, Tag, head_commit, is_shallow, open_tree, read_tags

# Where a version may begin: not within a word or a number.
_VERSION = re.compile(r"(?<![\w.+])v?\d")


@dataclass(frozen=True)
class Release:
    """A tag that names a version. `series` is what stands before it: `api-` of `api-v1.2`.

    One repository may release several things, each in a series of its own.
    """

    tag: Tag
    series: str
    version: Version


def read_release(tag: Tag) -> Release | None:
    """Return the release that a tag stands for, None where its name holds no version."""
    for start in (match.start() for match in _VERSION.finditer(tag.name)):
        with contextlib.suppress(InvalidVersion):
            return Release(tag, tag.name[:start], Version(tag.name[start:]))
    return None


def read_releases(tags: Iterable[Tag], pattern: str | None) -> tuple[Release, ...]:
    """Return the releases among the tags, those that match the glob where one is given."""
    wanted = (t for t in tags if pattern is None or fnmatchcase(t.name, pattern))
    return tuple(release for tag in wanted if (release := read_release(tag)) is not None)


def choose_release(
    tags: Sequence[Tag], name: str | None, commit: str, pattern: str | None
) -> Release:
    """Return the named release, else the newest of those at a commit."""
    if name is not None:
        tag = next((tag for tag in tags if tag.name == name), None)
        if tag is None:
            raise ConfigError(
                f"git knows no tag `{name}`",
                fix=f"Fetch it: `git fetch origin tag {name}`.",
            )
        release = read_release(tag)
        if release is None:
            raise ConfigError(
                f"the tag `{name}` names no version",
                fix="Name releases like `v1.4.0`, `api-v1.4.0` or `2026.11.1`.",
            )
        return release
    here = [r for r in read_releases(tags, pattern) if r.tag.commit == commit]
    if not here:
        shown = "" if pattern is None else f" that matches `{pattern}`"
        raise ConfigError(
            f"no release tag{shown} is at commit {commit[:7]}",
            fix="Check a tag out, or name one with `--tag TAG`.",
        )
    return max(here, key=lambda release: release.version)


def previous_release(releases: Iterable[Release], release: Release) -> Release | None:
    """Return the release before one in its series, None for the first.

    What goes to production follows what went there: before a final release lies a final
    one. A pre-release is held against whatever was released last.
    """
    earlier = (
        other
        for other in releases
        if other.series == release.series
        if other.version < release.version
        if release.version.is_prerelease or not other.version.is_prerelease
    )
    return max(earlier, key=lambda other: other.version, default=None)


def find_release_with(
    repository: Repository, name: str, has: Collection[str], lacks: Collection[str]
) -> str | None:
    """Return the newest release before one in its series that has some files and lacks others.

    Pre-releases count as well.
    """
    releases = {each.tag.name: each for each in read_releases(read_tags(repository), None)}
    this = releases.get(name)
    if this is None:
        return None
    earlier = (r for r in releases.values() if r.series == this.series and r.version < this.version)
    for release in sorted(earlier, key=lambda each: each.version, reverse=True):
        files = open_tree(repository, release.tag.commit).paths()
        if set(has) <= set(files) and not set(lacks) & set(files):
            return release.tag.name
    return None


def choose_range(
    repository: Repository, name: str | None, previous: str | None, pattern: str | None
) -> tuple[Release, Tag | None]:
    """Return the release that is checked out, and the tag that it follows.

    `name` and `previous` name tags; without them they are found. The second is None for
    the first release.
    """
    tags = read_tags(repository)
    commit = head_commit(repository) or ""
    release = choose_release(tags, name, commit, pattern)
    tag = release.tag
    if tag.commit != commit:
        raise ConfigError(
            f"the tag `{tag.name}` is not what is checked out",
            where="--tag",
            fix=f"Check it out: `git checkout {tag.name}`.",
        )
    if previous is not None:
        return release, choose_release(tags, previous, commit, pattern).tag
    found = previous_release(read_releases(tags, pattern), release)
    if found is None and is_shallow(repository):
        raise ConfigError(
            f"what `{tag.name}` follows cannot be told: this is a shallow clone",
            fix="Set `fetch-depth: 0` for actions/checkout, or run `git fetch --unshallow --tags`.",
        )
    return release, None if found is None else found.tag
