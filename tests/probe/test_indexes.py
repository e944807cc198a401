"""The machine's settings for package indexes reach uv, its secrets reach nobody."""

from __future__ import annotations

from pathlib import Path

import pytest

from gatekeeper.probe.indexes import index_variables, mask, pip_files, secrets_of


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, {}),
        ({"GITHUB_TOKEN": "t", "UV_PUBLISH_TOKEN": "t", "PIP_TARGET": "/", "PATH": "/bin"}, {}),
        ({"PIP_INDEX_URL": ""}, {}),
        (
            {"HTTPS_PROXY": "http://proxy", "no_proxy": "a", "SSL_CERT_FILE": "/ca.pem"},
            {"HTTPS_PROXY": "http://proxy", "no_proxy": "a", "SSL_CERT_FILE": "/ca.pem"},
        ),
        (
            {"UV_INDEX": "https://a", "UV_INDEX_OURS_PASSWORD": "p", "UV_OFFLINE": "1"},
            {"UV_INDEX": "https://a", "UV_INDEX_OURS_PASSWORD": "p", "UV_OFFLINE": "1"},
        ),
        (
            {"PIP_INDEX_URL": "https://a", "PIP_CERT": "/ca.pem", "PIP_NO_INDEX": "true"},
            {
                "PIP_INDEX_URL": "https://a",
                "PIP_CERT": "/ca.pem",
                "PIP_NO_INDEX": "true",
                "UV_DEFAULT_INDEX": "https://a",
                "UV_NO_INDEX": "1",
                "SSL_CERT_FILE": "/ca.pem",
                "REQUESTS_CA_BUNDLE": "/ca.pem",
            },
        ),
        (
            {"PIP_EXTRA_INDEX_URL": "https://a https://b", "PIP_FIND_LINKS": "/w /v"},
            {
                "PIP_EXTRA_INDEX_URL": "https://a https://b",
                "PIP_FIND_LINKS": "/w /v",
                "UV_INDEX": "https://a https://b",
                "UV_INDEX_STRATEGY": "unsafe-best-match",
                "UV_FIND_LINKS": "/w,/v",
            },
        ),
        (
            {"PIP_INDEX_URL": "https://a", "UV_DEFAULT_INDEX": "https://b"},
            {"PIP_INDEX_URL": "https://a", "UV_DEFAULT_INDEX": "https://b"},
        ),
        (
            {"PIP_CERT": "/theirs.pem", "SSL_CERT_FILE": "/ours.pem"},
            {
                "PIP_CERT": "/theirs.pem",
                "SSL_CERT_FILE": "/ours.pem",
                "REQUESTS_CA_BUNDLE": "/theirs.pem",
            },
        ),
    ],
)
def test_variables_that_reach_the_installer(environ, expected):
    assert index_variables(environ, ()) == expected


def test_pips_files_count_in_pips_order(tmp_path):
    first, second, broken = (tmp_path / name for name in ("a", "b", "c"))
    first.write_text("[global]\nindex-url = https://a\ntimeout = 9\n[install]\nno-index = yes\n")
    second.write_text(
        "[global]\nextra_index_url =\n  https://b\n  https://c\nindex-url=https://d\n"
    )
    broken.write_text("index-url = x\n")
    found = index_variables({"PIP_NO_INDEX": "0"}, (first, second, broken, tmp_path / "gone"))
    assert found == {
        "PIP_INDEX_URL": "https://d",
        "PIP_TIMEOUT": "9",
        "PIP_NO_INDEX": "0",
        "PIP_EXTRA_INDEX_URL": "https://b https://c",
        "UV_DEFAULT_INDEX": "https://d",
        "UV_INDEX": "https://b https://c",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
    }


def test_where_pip_looks():
    environ = {"HOME": "/home/ada", "PIP_CONFIG_FILE": "/ours"}
    files = pip_files(environ)
    assert files[:4] == (
        Path("/etc/xdg/pip/pip.conf"),
        Path("/etc/pip.conf"),
        Path("/home/ada/.pip/pip.conf"),
        Path("/home/ada/.config/pip/pip.conf"),
    )
    assert files[-1] == Path("/ours")
    assert pip_files({**environ, "PIP_CONFIG_FILE": "/dev/null"}) == ()


def test_secrets_are_masked():
    secrets = secrets_of(
        {
            "UV_DEFAULT_INDEX": "https://ada:pass%40word@index/simple",
            "PIP_EXTRA_INDEX_URL": "https://t0ken1234@other/simple",
            "UV_INDEX_OURS_PASSWORD": "hushhush",
            "UV_INDEX_OURS_USERNAME": "ada",
        }
    )
    assert secrets == ("pass%40word", "pass@word", "t0ken1234", "hushhush")
    text = "https://ada:x@index/a pass@word (t0ken1234) hushhush pass%40word git@host"
    assert mask(text, secrets) == "https://***@index/a *** (***) *** *** git@host"
