"""What an environment is made from, which Python it gets, and what its name depends on."""

from __future__ import annotations

from pathlib import Path

import pytest

from gatekeeper.errors import ConfigError
from gatekeeper.git import open_tree
from gatekeeper.probe.dependencies import (
    Dependencies,
    PythonRequest,
    Source,
    builds_local_code,
    choose_requirements,
    find_dependencies,
    hash_of,
    is_python,
    is_satisfied,
    plain_specifier,
    request_python,
    requirement_files,
)
from gatekeeper.probe.pythons import search_path
from tests.build_git import a_repository

PROJECT = '[project]\nname = "shop"\nversion = "1"\n'
DECLARING = PROJECT + 'dependencies = ["alembic"]\n'
BUILDS = '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
WORKSPACE = """\
version = 1

[[package]]
name = "shop"
version = "1"
source = { editable = "services/shop" }

[[package]]
name = "root"
version = "1"
source = { virtual = "." }
"""


class Memory:
    """The files of a repository, held in memory."""

    def __init__(self, files):
        self.files = {path: text.encode() for path, text in files.items()}

    def paths(self):
        return tuple(sorted(self.files))

    def read(self, path):
        return self.files.get(path)

    def read_many(self, paths):
        return {path: self.files[path] for path in paths if path in self.files}

    def export(self, destination):
        raise NotImplementedError


@pytest.mark.parametrize(
    ("files", "project", "expected"),
    [
        pytest.param({"alembic.ini": "", "app.py": ""}, ".", None, id="nothing declared"),
        pytest.param({"pyproject.toml": "[tool.alembic]\n"}, ".", None, id="tools only"),
        pytest.param({"pyproject.toml": PROJECT}, ".", None, id="no dependencies"),
        pytest.param({"setup.cfg": "[flake8]\nmax-line-length = 9\n"}, ".", None, id="only tools"),
        pytest.param({"requirements-dev.txt": "ruff"}, ".", None, id="for developers only"),
        pytest.param(
            {"requirements.txt": "", "uv.lock": "", "poetry.lock": "", "pyproject.toml": ""},
            ".",
            Dependencies(Source.UV, "uv.lock", "."),
            id="a lock before a list",
        ),
        *(
            pytest.param({name: "", "pyproject.toml": DECLARING}, ".", expected, id=name)
            for name, expected in {
                "poetry.lock": Dependencies(Source.POETRY, "poetry.lock", "."),
                "pdm.lock": Dependencies(Source.PDM, "pdm.lock", "."),
                "Pipfile.lock": Dependencies(Source.PIPENV, "Pipfile.lock", "."),
                "pylock.toml": Dependencies(Source.PYLOCK, "pylock.toml", "."),
                "requirements.txt": Dependencies(Source.REQUIREMENTS, "requirements.txt", "."),
                "requirements/base.txt": Dependencies(
                    Source.REQUIREMENTS, "requirements/base.txt", "."
                ),
            }.items()
        ),
        pytest.param(
            {"uv.lock": "", "services/shop/requirements.txt": ""},
            "services/shop",
            Dependencies(Source.REQUIREMENTS, "services/shop/requirements.txt", "services/shop"),
            id="the nearest",
        ),
        pytest.param(
            {"poetry.lock": "", "services/other/requirements.txt": ""},
            "services/shop/db",
            Dependencies(Source.POETRY, "poetry.lock", "."),
            id="further up, not beside",
        ),
        pytest.param(
            {"uv.lock": WORKSPACE, "services/shop/pyproject.toml": DECLARING},
            "services/shop/db",
            Dependencies(Source.UV, "uv.lock", "services/shop"),
            id="a member of a workspace",
        ),
        pytest.param(
            {"uv.lock": WORKSPACE, "services/mail/pyproject.toml": DECLARING},
            "services/mail",
            Dependencies(Source.UV, "uv.lock", "."),
            id="no member: the lock is not ignored",
        ),
        pytest.param(
            {"pyproject.toml": DECLARING},
            ".",
            Dependencies(Source.DECLARED, "pyproject.toml", "."),
            id="an application that is no package",
        ),
        pytest.param(
            {"pyproject.toml": DECLARING + BUILDS},
            ".",
            Dependencies(Source.PACKAGE, "pyproject.toml", "."),
            id="a package",
        ),
        pytest.param(
            {"pyproject.toml": PROJECT + 'dynamic = ["dependencies"]\n'},
            ".",
            Dependencies(Source.PACKAGE, "pyproject.toml", "."),
            id="only a build knows",
        ),
        pytest.param(
            {"pyproject.toml": '[tool.poetry.dependencies]\npython = "^3.11"\nalembic = "*"\n'},
            ".",
            Dependencies(Source.PACKAGE, "pyproject.toml", "."),
            id="Poetry without a lock",
        ),
        pytest.param(
            {"setup.cfg": "[options]\ninstall_requires =\n    alembic\n"},
            ".",
            Dependencies(Source.PACKAGE, "setup.cfg", "."),
            id="setup.cfg",
        ),
        pytest.param(
            {"setup.py": "setup()", "pyproject.toml": "[tool.ruff]\n"},
            ".",
            Dependencies(Source.PACKAGE, "setup.py", "."),
            id="setup.py",
        ),
    ],
)
def test_what_an_environment_is_made_from(files, project, expected):
    assert find_dependencies(Memory(files), project) == expected


def test_a_lock_that_cannot_be_read_is_said():
    with pytest.raises(ConfigError) as caught:
        find_dependencies(Memory({"uv.lock": "version = \n"}), ".")
    assert caught.value.where == "uv.lock"
    assert caught.value.what.startswith("the project's dependencies cannot be read from it")


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        ([], None),
        (["requirements-dev.txt", "requirements/test.txt", "dev-requirements.txt"], None),
        (["constraints.txt", "docs/requirements.txt", "README.txt"], None),
        (["requirements.txt", "requirements-test.txt", "requirements.in"], "requirements.txt"),
        (["requirements.txt", "requirements/prod.txt"], "requirements.txt"),
        (["requirements.txt", "requirements.lock"], "requirements.lock"),
        (["requirements-dev.lock", "requirements.lock"], "requirements.lock"),
        (["requirements/base.txt", "requirements/production.txt"], "requirements/production.txt"),
        (["requirements/base.txt", "requirements/local.txt"], "requirements/base.txt"),
        (["requirements-aws.txt", "requirements_prod.txt"], "requirements_prod.txt"),
        (["requirements-worker.txt", "requirements-api.txt"], "requirements-api.txt"),
    ],
)
def test_the_requirements_for_running_are_chosen(names, chosen):
    assert choose_requirements(names) == chosen


@pytest.mark.parametrize(
    ("files", "project", "asked", "expected"),
    [
        ({}, ".", None, None),
        ({".python-version": "3.11\n"}, ".", "3.12", ("3.12", "python-version")),
        ({}, ".", ">=3.11, <3.14", (">=3.11, <3.14", "python-version")),
        (
            {".python-version": "# ours\nmyenv\n3.12.4\n"},
            "a/b",
            None,
            ("3.12.4", ".python-version"),
        ),
        (
            {".python-version": "system", "runtime.txt": "python-3.11.9"},
            ".",
            None,
            ("3.11.9", "runtime.txt"),
        ),
        (
            {"a/.python-version": "3.13", ".python-version": "3.11"},
            "a",
            None,
            ("3.13", "a/.python-version"),
        ),
        (
            {"pyproject.toml": '[project]\nrequires-python = ">=3.11, <4"\n', "runtime.txt": "3.9"},
            ".",
            None,
            (">=3.11,<4", "pyproject.toml"),
        ),
        (
            {"pyproject.toml": '[tool.poetry.dependencies]\npython = "^3.11"\n'},
            "a",
            None,
            (">=3.11,<4", "pyproject.toml"),
        ),
        ({"Pipfile": '[requires]\npython_version = "3.11"\n'}, ".", None, ("3.11", "Pipfile")),
        ({".python-version": "/tmp/evil/python\n--help\n"}, ".", None, None),
        ({"pyproject.toml": '[project]\nrequires-python = "/tmp/evil"\n'}, ".", None, None),
    ],
)
def test_which_python_is_asked_for(files, project, asked, expected):
    memory = Memory(files)
    request = request_python(memory, find_dependencies(memory, project), project, asked)
    assert request == (None if expected is None else PythonRequest(*expected))


@pytest.mark.parametrize("asked", ["python3.12", "/usr/bin/python3", "3", "--help", "3.12\n"])
def test_what_is_no_version_is_refused(asked):
    with pytest.raises(ConfigError) as caught:
        request_python(Memory({}), None, ".", asked)
    assert caught.value.where == "python-version"


@pytest.mark.parametrize(
    ("written", "plain"),
    [
        (">=3.11", ">=3.11"),
        (">= 3.11 , < 4.0", ">=3.11,<4.0"),
        ("==3.12.*", "==3.12.*"),
        ("3.12", "==3.12"),
        ("^3.11", ">=3.11,<4"),
        ("~3.11", ">=3.11,<3.12"),
        ("~3.11.2", ">=3.11.2,<3.12"),
        ("~=3.11", "~=3.11"),
        ("^3.8,!=3.9.7", ">=3.8,<4,!=3.9.7"),
        ("*", None),
        ("^3.8 || ^3.11", None),
        ("$(id)", None),
    ],
)
def test_specifiers_are_made_plain(written, plain):
    assert plain_specifier(written) == plain


@pytest.mark.parametrize(
    ("source", "text", "expected"),
    [
        (Source.REQUIREMENTS, "alembic==1.20\n# -e .\npsycopg2 ; python_version > '3'\n", False),
        (
            Source.REQUIREMENTS,
            "a==1 \\\n    --hash=sha256:ab12\n--index-url https://x.org/a\n",
            False,
        ),
        (
            Source.REQUIREMENTS,
            "a @ https://example.org/a/b.whl\ngit+https://example.org/b\n",
            False,
        ),
        (Source.REQUIREMENTS, "-e .\n", True),
        (Source.REQUIREMENTS, "alembic\n./packages/common\n", True),
        (Source.REQUIREMENTS, "packages/common\n", True),
        (Source.REQUIREMENTS, "vendored.whl\n", True),
        (Source.REQUIREMENTS, "common @ file:packages/common\n", True),
        (Source.UV, 'source = { registry = "https://x" }\nsource = { virtual = "." }\n', False),
        (Source.UV, 'source = { editable = "." }\n', True),
        (Source.POETRY, '[package.source]\ntype = "git"\n', False),
        (Source.POETRY, '[package.source]\ntype = "directory"\nurl = "common"\n', True),
        (Source.PDM, 'path = "./common"\n', True),
        (Source.PIPENV, '{"default": {"a": {"version": "==1"}}}', False),
        (Source.PIPENV, '{"default": {"a": {"path": "./a"}}}', True),
        (Source.PYLOCK, "[[packages]]\nname = 'a'\n", False),
        (Source.PYLOCK, "[packages.directory]\npath = '.'\n", True),
        (Source.DECLARED, "", False),
        (Source.PACKAGE, "", True),
        (Source.COMMAND, "", True),
    ],
)
def test_code_of_the_repository_is_recognized(source, text, expected):
    assert builds_local_code(Memory({"f": text}), Dependencies(source, "f", ".")) is expected


def test_included_requirements_are_followed():
    files = Memory(
        {
            "r/prod.txt": "-r base.txt\n-c ../limits.txt\n--requirement=gone.txt\n",
            "r/base.txt": "-r prod.txt\nalembic\n",
            "limits.txt": "alembic<2\n",
        }
    )
    assert requirement_files(files, "r/prod.txt") == ("r/prod.txt", "r/base.txt", "limits.txt")


REQUIREMENTS = Dependencies(Source.REQUIREMENTS, "requirements.txt", ".")
LISTED = {"requirements.txt": "-r more\n", "more": "alembic\n", "app.py": "", "setup.cfg": ""}


@pytest.mark.parametrize(
    ("change", "is_same"),
    [
        ({}, True),
        ({"app.py": "print()", "README.md": "new"}, True),
        ({"requirements.txt": "-r more\nredis\n"}, False),
        ({"more": "alembic==1.20\n"}, False),
        ({"setup.cfg": "[options]\n"}, False),
        ({"constraints.txt": "alembic<2\n"}, False),
    ],
)
def test_an_environment_is_named_by_what_it_is_made_from(change, is_same):
    names = [hash_of(Memory(files), REQUIREMENTS, "3.12") for files in (LISTED, LISTED | change)]
    assert (names[0] == names[1]) is is_same


def test_its_name_tells_python_and_command_apart():
    files = Memory(LISTED)
    names = {
        hash_of(files, REQUIREMENTS, "3.12"),
        hash_of(files, REQUIREMENTS, "3.13"),
        hash_of(files, Dependencies(Source.COMMAND, "pip install .", "."), "3.12"),
        hash_of(files, Dependencies(Source.COMMAND, "pip install -e .", "."), "3.12"),
    }
    assert len(names) == 4


def test_one_changes_build_never_stands_in_for_anothers():
    """Where the repository's code runs, every file of it counts."""
    files = {"setup.py": "import build_steps", "build_steps.py": "a"}
    package = Dependencies(Source.PACKAGE, "setup.py", ".")
    changed = Memory(files | {"build_steps.py": "b"})
    assert hash_of(Memory(files), package) != hash_of(changed, package)


def test_a_tree_of_git_will_do(tmp_path: Path):
    repository = a_repository(tmp_path / "r", {"requirements.txt": "alembic\n"})
    trees = [open_tree(repository.value, ref) for ref in (None, "HEAD")]
    assert {find_dependencies(tree, ".") for tree in trees} == {REQUIREMENTS}
    assert len({hash_of(tree, REQUIREMENTS) for tree in trees}) == 1


def test_versions_are_searched_instead_of_shims(tmp_path: Path):
    for name in ("3.9.18", "3.12.1", "3.13.0", "2.7.18", "pypy3.10"):
        (tmp_path / "versions" / name / "bin").mkdir(parents=True)
    path = list(search_path({"PATH": f"{tmp_path}/shims:/usr/bin"}))[1:]
    assert path == [
        *(f"{tmp_path}/versions/{name}/bin" for name in ("3.13.0", "3.12.1", "3.9.18")),
        "/usr/bin",
    ]


INSTALLED = {"alembic": "1.20.1", "sqlalchemy": "2.1.9"}


@pytest.mark.parametrize(
    ("source", "text", "expected"),
    [
        (Source.REQUIREMENTS, "alembic\nSQLAlchemy>=2  # the toolkit\n\n# drivers\n", True),
        (Source.REQUIREMENTS, "alembic==1.20.1\n", True),
        (Source.REQUIREMENTS, "pywin32; sys_platform == 'win32'\nalembic\n", True),
        (Source.REQUIREMENTS, "-r more/all.txt\nalembic\n", True),
        (Source.DECLARED, DECLARING, True),
        (Source.REQUIREMENTS, "alembic==1.13.0\n", False),
        (Source.REQUIREMENTS, "alembic\nflask\n", False),
        (Source.REQUIREMENTS, "sqlalchemy[asyncio]\n", False),
        (Source.REQUIREMENTS, "alembic @ https://example.org/a.whl\n", False),
        (Source.REQUIREMENTS, "alembic==1.20.1 \\\n    --hash=sha256:ab12\n", False),
        (Source.REQUIREMENTS, "-e .\n", False),
        (Source.REQUIREMENTS, "-r not_there.txt\nalembic\n", False),
        (Source.REQUIREMENTS, "--index-url https://example.org/simple\nalembic\n", False),
        (Source.PACKAGE, DECLARING + BUILDS, False),
        (Source.UV, "version = 1\n", False),
        (Source.COMMAND, "", False),
    ],
)
def test_what_is_there_already_need_not_be_made(source, text, expected):
    dependencies = Dependencies(source, "f", ".")
    files = Memory({"f": text, "more/all.txt": "sqlalchemy\n"})
    assert is_satisfied(files, dependencies, _version_of) is expected


def _version_of(name):
    return INSTALLED.get(name.lower())


@pytest.mark.parametrize(
    ("asked", "version", "expected"),
    [
        (None, "3.13.0", True),
        ("3.13", "3.13.2", True),
        ("3.13.2", "3.13.2", True),
        (">=3.11,<4", "3.13.2", True),
        ("3.12", "3.13.2", False),
        ("3.1", "3.13.2", False),
        (">=3.14", "3.13.2", False),
    ],
)
def test_whether_a_python_is_the_one_asked_for(asked, version, expected):
    request = None if asked is None else PythonRequest(asked, "pyproject.toml")
    assert is_python(request, version) is expected
