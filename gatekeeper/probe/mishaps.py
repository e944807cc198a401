"""What an installer printed before it failed → which package, and what is missing. No I/O."""

from __future__ import annotations

import re
from dataclasses import dataclass

LINES_SHOWN = 6

_PACKAGES = (
    re.compile(r"Failed to (?:build|download|download and build|fetch|install) `([^`]+)`"),
    re.compile(r"Failed building wheel for (\S+)"),
    re.compile(r"No matching distribution found for (\S+)"),
    re.compile(r"Because (?:there is no version of )?(\S+) was not found"),
    re.compile(r"Because there is no version of ([^\s,]+)"),
)

# What the text shows → what to install. The first match counts: special before general.
_MISSING = (
    (re.compile(r"pg_config(?: executable not found|: .*not found| is required)"), "libpq-dev"),
    (re.compile(r"libpq-fe\.h"), "libpq-dev"),
    (re.compile(r"Python\.h"), "python3-dev"),
    (re.compile(r"\bffi\.h"), "libffi-dev"),
    (re.compile(r"openssl/\w+\.h|Could not find openssl via"), "libssl-dev"),
    (re.compile(r"libxml2 and libxslt development|libxml/\w+\.h"), "libxml2-dev libxslt1-dev"),
    (re.compile(r"mysql\.h|MYSQLCLIENT_CFLAGS|mysql_config"), "default-libmysqlclient-dev"),
    (re.compile(r"\blber\.h|\bldap\.h"), "libldap2-dev libsasl2-dev"),
    (re.compile(r"\bsasl\.h"), "libsasl2-dev"),
    (re.compile(r"krb5-config|gssapi\.h"), "libkrb5-dev"),
    (re.compile(r"geos_c\.h|geos-config"), "libgeos-dev"),
    (re.compile(r"gdal-config"), "libgdal-dev"),
    (re.compile(r"\bjpeglib\.h|RequiredDependencyException: jpeg"), "libjpeg-dev"),
    (re.compile(r"\bzlib\.h|RequiredDependencyException: zlib"), "zlib1g-dev"),
    (re.compile(r"snappy-c\.h"), "libsnappy-dev"),
    (re.compile(r"\bsqlext?\.h|\bsql\.h"), "unixodbc-dev"),
    (re.compile(r"pkg-config: not found|pkg-config: command not found"), "pkg-config"),
    (re.compile(r"'(?:[\w-]*gcc|cc|[gc]\+\+)'|g?cc: not found"), "build-essential"),
    (re.compile(r"[Cc]argo, the Rust package manager|rustup|can't find Rust compiler"), "cargo"),
    (re.compile(r"cmake: not found|'cmake'|CMake must be installed"), "cmake"),
    (re.compile(r"Git executable not found|Cannot find command 'git'|git: not found"), "git"),
)  # fmt: skip

# Failures of another kind, with what to do about them.
_KINDS = (
    (
        re.compile(r"setuptools[-_]scm was unable to detect version", re.IGNORECASE),
        "The copy that is built has no git history. Give the version in the policy file: "
        "`project: {env: {SETUPTOOLS_SCM_PRETEND_VERSION_FOR_<NAME>: '0'}}`, or leave the "
        "project itself out with `install`.",
    ),
    (
        re.compile(r"changed significantly since|lockfile.*(?:needs to be updated|is outdated)"),
        "Lock again and commit the lock file.",
    ),
    (
        re.compile(r"Hash mismatch|DO NOT MATCH THE HASHES|hash(?:es)? .*mismatch", re.I),
        "The index serves other files than those that were locked. Lock again, or find out "
        "who changed them.",
    ),
    (
        re.compile(r"401 Unauthorized|403 Forbidden|Missing credentials|status code 40[13]"),
        "Give the index's credentials to this step: `UV_INDEX_<NAME>_USERNAME` and "
        "`UV_INDEX_<NAME>_PASSWORD`, or `UV_DEFAULT_INDEX`, in the step's `env`.",
    ),
    (
        re.compile(r"Request failed after|dns error|Connection refused|timed out|error sending"),
        "The package index was not reached. Behind a proxy or with an index of your own set "
        "`HTTPS_PROXY`, `UV_DEFAULT_INDEX` or `PIP_INDEX_URL`.",
    ),
)  # fmt: skip

_ALWAYS_SAID = "hint: Build failures usually indicate a problem"


@dataclass(frozen=True)
class Mishap:
    """Which package could not be installed, and what to do; None for what is not known."""

    package: str | None
    fix: str | None


def read_mishap(text: str) -> Mishap:
    """Return what can be told from the output of a failed installation."""
    package = next((m.group(1) for p in _PACKAGES if (m := p.search(text))), None)
    missing = next((name for pattern, name in _MISSING if pattern.search(text)), None)
    if missing is not None:
        wheel = "`psycopg2-binary`" if (package or "").startswith("psycopg2=") else "a release"
        return Mishap(
            package,
            f"It is built from source and needs `{missing}`: `apt-get install {missing}` where "
            f"gatekeeper runs, or take {wheel} that has a wheel for this Python; or name an "
            "interpreter that has the dependencies with `--python PATH`.",
        )
    return Mishap(package, next((fix for pattern, fix in _KINDS if pattern.search(text)), None))


def last_lines(text: str) -> str:
    """Return the end of the output that tells something, indented, each line cut."""
    lines = [
        line.rstrip()[:300]
        for line in text.splitlines()
        if line.strip(" !*") and not line.startswith(_ALWAYS_SAID)
    ]
    shown = lines[-LINES_SHOWN:]
    return "\n    ".join(["; it printed last:", *shown]) if shown else ""
