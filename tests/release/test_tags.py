"""Which tags are releases, in which order, and what a release follows."""

from __future__ import annotations

import pytest

from gatekeeper.errors import ConfigError
from gatekeeper.git import Tag
from gatekeeper.release.tags import (
    choose_release,
    previous_release,
    read_release,
    read_releases,
)


def tags(*names: str) -> tuple[Tag, ...]:
    return tuple(Tag(name, f"{number:040x}", True) for number, name in enumerate(names))


@pytest.mark.parametrize(
    ("name", "series", "version"),
    [
        ("v1.4.0", "", "1.4.0"),
        ("1.4", "", "1.4"),
        ("v2", "", "2"),
        ("2026.11.24-1", "", "2026.11.24.post1"),
        ("v1.4.0-rc.1", "", "1.4.0rc1"),
        ("v1.4.0+build.7", "", "1.4.0+build.7"),
        ("api-v1.4.0", "api-", "1.4.0"),
        ("release/1.4", "release/", "1.4"),
        ("py3-v1.0", "py3-", "1.0"),
        ("nightly", None, None),
        ("v1.4.0-final-really", None, None),
    ],
)
def test_reads_a_version_from_a_name(name, series, version):
    release = read_release(Tag(name, "0" * 40, False))
    told = (None, None) if release is None else (release.series, str(release.version))
    assert told == (series, version)


@pytest.mark.parametrize(
    ("name", "previous"),
    [
        pytest.param("v1.0.0", None, id="the first"),
        ("v1.2.0", "v1.0.0"),
        pytest.param("v1.10.0", "v1.2.1", id="by number and not by letter"),
        pytest.param("v1.2.1", "v1.2.0", id="a correction of an older line"),
        pytest.param("v2.0.0", "v1.10.0", id="over its own pre-releases"),
        pytest.param("v2.0.0-rc.2", "v2.0.0-rc.1", id="a pre-release follows one"),
        pytest.param("v2.0.0-rc.1", "v1.10.0", id="the first pre-release"),
        pytest.param("api-v0.2.0", "api-v0.1.0", id="another series"),
    ],
)
def test_what_a_release_follows(name, previous):
    all_tags = tags(
        *("v1.10.0", "v1.0.0", "v1.2.0", "v2.0.0", "v1.2.1", "v2.0.0-rc.2", "v2.0.0-rc.1"),
        *("api-v0.1.0", "api-v0.2.0", "nightly"),
    )
    release = choose_release(all_tags, name, "", None)
    found = previous_release(read_releases(all_tags, None), release)
    assert (found.tag.name if found else None) == previous


def test_a_pattern_leaves_tags_out():
    names = [r.tag.name for r in read_releases(tags("v1.0", "v1.1-rc1", "demo-v1"), "v*")]
    assert names == ["v1.0", "v1.1-rc1"]


def test_takes_the_newest_of_the_tags_at_a_commit():
    here = "a" * 40
    all_tags = (Tag("v1.0", here, True), Tag("v1.1", here, False), Tag("v9", "b" * 40, True))
    assert choose_release(all_tags, None, here, None).tag.name == "v1.1"


@pytest.mark.parametrize(
    ("name", "pattern", "message"),
    [
        (
            "v3",
            None,
            "git knows no tag `v3`\nFetch it: `git fetch origin tag v3`.",
        ),
        (
            "nightly",
            None,
            "the tag `nightly` names no version\n"
            "Name releases like `v1.4.0`, `api-v1.4.0` or `2026.11.1`.",
        ),
        (
            None,
            None,
            "no release tag is at commit aaaaaaa\nCheck a tag out, or name one with `--tag TAG`.",
        ),
        (
            None,
            "v*",
            "no release tag that matches `v*` is at commit aaaaaaa\n"
            "Check a tag out, or name one with `--tag TAG`.",
        ),
    ],
)
def test_says_why_there_is_no_release(name, pattern, message):
    with pytest.raises(ConfigError) as error:
        choose_release(tags("v1.0", "nightly"), name, "a" * 40, pattern)
    assert str(error.value) == message
