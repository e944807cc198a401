"""What is told from what uv and pip really printed, shortened to the lines that count."""

from __future__ import annotations

import pytest

from gatekeeper.probe.mishaps import last_lines, read_mishap

BUILD = """\
Resolved 1 package in 436ms
   Building {0}
error: Failed to build `{0}`
  cause: The build backend returned an error
  cause: Call to `setuptools.build_meta:__legacy__.get_requires_for_build_wheel` failed \
(exit status: 1)

         [stderr]
         {1}

hint: Build failures usually indicate a problem with the package or the build environment
"""


@pytest.mark.parametrize(
    ("package", "said", "missing"),
    [
        ("psycopg2==2.9.9", "Error: pg_config executable not found.", "libpq-dev"),
        ("psycopg2==2.9.9", "./psycopg/psycopg.h:36:10: fatal error: libpq-fe.h: No such file or "
         "directory", "libpq-dev"),
        ("psycopg2==2.9.9", "./psycopg/psycopg.h:35:10: fatal error: Python.h: No such file or "
         "directory", "python3-dev"),
        ("python-ldap==3.4.5", "error: [Errno 2] No such file or directory: 'gcc'",
         "build-essential"),
        ("uwsgi==2.0.27", "error: command 'x86_64-linux-gnu-gcc' failed: No such file or "
         "directory", "build-essential"),
        ("cffi==1.16.0", "c/_cffi_backend.c:15:10: fatal error: ffi.h: No such file or directory",
         "libffi-dev"),
        ("lxml==4.9.3", "Error: Please make sure the libxml2 and libxslt development packages are "
         "installed.", "libxml2-dev libxslt1-dev"),
        ("mysqlclient==2.3.1", "Exception: Can not find valid pkg-config name.\n"
         "         Specify MYSQLCLIENT_CFLAGS and MYSQLCLIENT_LDFLAGS env vars manually",
         "default-libmysqlclient-dev"),
        ("pydantic-core==2.14.1", "Rust not found, installing into a temporary directory\n"
         "         Downloading rustup-init", "cargo"),
    ],
)  # fmt: skip
def test_a_build_that_lacks_a_package_of_the_system(package, said, missing):
    mishap = read_mishap(BUILD.format(package, said))
    assert mishap.package == package
    assert mishap.fix is not None
    assert f"needs `{missing}`: `apt-get install {missing}`" in mishap.fix
    assert ("psycopg2-binary" in mishap.fix) is package.startswith("psycopg2")


@pytest.mark.parametrize(
    ("text", "package", "fix"),
    [
        ("", None, None),
        (BUILD.format("shop==1", "ZeroDivisionError: division by zero"), "shop==1", None),
        (
            "error: No solution found when resolving dependencies\n  cause: Because our-lib was "
            "not found in the package registry and you require our-lib==3.1, we can conclude "
            "that your requirements are unsatisfiable.\n",
            "our-lib",
            None,
        ),
        (
            "error: No solution found when resolving dependencies\n  cause: Because there is no "
            "version of alembic==99 and you require alembic==99, we can conclude that your "
            "requirements are unsatisfiable.\n",
            "alembic==99",
            None,
        ),
        (
            "error: Failed to download `iniconfig==2.3.1`\n"
            "  cause: Hash mismatch for `iniconfig==2.3.1`\n",
            "iniconfig==2.3.1",
            "The index serves other files than those that were locked. Lock again, or find out "
            "who changed them.",
        ),
        (
            "error: Request failed after 3 retries in 4.4s\n"
            "  cause: Failed to fetch: https://localhost:9/simple/iniconfig/\n"
            "  cause: Connection refused (os error 111)\n",
            None,
            "The package index was not reached. Behind a proxy or with an index of your own set "
            "`HTTPS_PROXY`, `UV_DEFAULT_INDEX` or `PIP_INDEX_URL`.",
        ),
        (
            "pyproject.toml changed significantly since poetry.lock was last generated. Run "
            "`poetry lock` to fix the lock file.\n",
            None,
            "Lock again and commit the lock file.",
        ),
        (
            "ERROR: Could not find a version that satisfies the requirement our-lib\n"
            "ERROR: No matching distribution found for our-lib\n",
            "our-lib",
            None,
        ),
    ],
)
def test_other_failures(text, package, fix):
    mishap = read_mishap(text)
    assert (mishap.package, mishap.fix) == (package, fix)


def test_git_is_missing():
    mishap = read_mishap(
        "error: Failed to download and build `our-lib @ git+https://example.org/our-lib.git`\n"
        "  cause: Git operation failed\n"
        "  cause: Git executable not found. Ensure that Git is installed and available.\n"
    )
    assert mishap.package == "our-lib @ git+https://example.org/our-lib.git"
    assert mishap.fix is not None
    assert "`apt-get install git`" in mishap.fix


def test_the_last_lines_that_say_something():
    hint = "hint: Build failures usually indicate a problem with the package"
    text = "\n".join([*map(str, range(20)), "  !!", " ****", "x" * 400, "", hint])
    shown = last_lines(text).splitlines()
    assert shown == ["; it printed last:", *(f"    {n}" for n in range(15, 20)), "    " + "x" * 300]
    assert last_lines("\n \n") == ""
