from __future__ import annotations

import importlib.util
import shlex
import warnings
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

from gatekeeper.errors import ConfigError
from gatekeeper.git import WorkTree, open_tree
from gatekeeper.model import Project
from gatekeeper.revisions.discover import choose_project, choose_projects, find_projects
from tests.build_git import ALEMBIC_INI, ENV, a_project, a_repository

ROOT = Project(
    path=".",
    config="alembic.ini",
    section="alembic",
    script_location="migrations",
    version_locations=("migrations/versions",),
)
FLASK_ENV = "from flask import current_app\nfrom alembic import context\n"
ONE = "[alembic]\nscript_location = "
TOML = '[project]\nname = "x"\n[tool.alembic]\n'


def project(config: str | None, script_location: str = "migrations", **fields: object) -> Project:
    values: dict[str, object] = {
        "path": ".",
        "section": "alembic",
        "version_locations": (f"{script_location}/versions",),
    }
    return Project(config=config, script_location=script_location, **{**values, **fields})


def tree_of(tmp_path: Path, files: dict[str, str]) -> WorkTree:
    repository = a_repository(tmp_path / "repository")
    repository.write(files)
    return WorkTree(repository.value)


def env(*folders: str) -> dict[str, str]:
    return {f"{folder}/env.py": ENV for folder in folders}


CASES = [
    pytest.param({}, (), id="nothing"),
    pytest.param(
        {"setup.cfg": "[metadata]\n", "pyproject.toml": "[tool.x]\n"}, (), id="no Alembic"
    ),
    pytest.param({"alembic.ini": ALEMBIC_INI, **env("migrations")}, (ROOT,), id="alembic init"),
    pytest.param(
        {"alembic.ini": f"{ONE}%(here)s/migrations\n", **env("migrations")}, (ROOT,), id="here"
    ),
    pytest.param({"alembic.ini": f"{ONE}./migrations/\n", **env("migrations")}, (ROOT,), id="dots"),
    pytest.param(
        {"alembic.ini": ALEMBIC_INI, "migrations/versions/a.py": ""}, (ROOT,), id="no env.py"
    ),
    pytest.param(
        {"api/alembic.ini": ALEMBIC_INI, **env("api/migrations")},
        (project("api/alembic.ini", "api/migrations", path="api"),),
        id="in a folder",
    ),
    pytest.param(
        {"api/alembic.ini": f"{ONE}/app/db/migrations\n", **env("api/db/migrations")},
        (project("api/alembic.ini", "api/db/migrations", path="api"),),
        id="absolute in an image",
    ),
    pytest.param(
        {"config/alembic.ini": ALEMBIC_INI, **env("migrations")},
        (project("config/alembic.ini"),),
        id="relative to the working directory",
    ),
    pytest.param(
        {"config/alembic.ini": f"{ONE}%(here)s/../migrations\n", **env("migrations")},
        (project("config/alembic.ini", path="config"),),
        id="here and up",
    ),
    pytest.param(
        {"alembic.ini": f"{ONE}shop.db:alembic\n", **env("shop/db/alembic")},
        (project("alembic.ini", "shop/db/alembic"),),
        id="package",
    ),
    pytest.param(
        {"alembic.ini": f"{ONE}shop:db:alembic\n", **env("src/shop/db/alembic")},
        (project("alembic.ini", "src/shop/db/alembic"),),
        id="package in src",
    ),
    pytest.param(
        {"shop/alembic.ini": f"{ONE}shop:alembic\n", **env("shop/alembic")},
        (project("shop/alembic.ini", "shop/alembic", path="shop"),),
        id="configuration inside the package",
    ),
    pytest.param(
        {"migrate.cfg": ALEMBIC_INI, **env("migrations")}, (project("migrate.cfg"),), id="cfg"
    ),
    pytest.param(
        {
            "alembic.ini": "[DEFAULT]\nscript_location = migrations\n[alembic]\n[x]\ny=z\n",
            **env("migrations"),
        },
        (ROOT,),
        id="DEFAULT section",
    ),
    pytest.param(
        {
            "alembic.ini": f"{ONE}migrations\n[staging]\nscript_location = migrations\n",
            **env("migrations"),
        },
        (ROOT,),
        id="two sections, one history",
    ),
    pytest.param(
        {
            "alembic.ini": "[core]\nscript_location = core\n[tenant]\nscript_location = tenant\n",
            **env("core", "tenant"),
        },
        (
            project("alembic.ini", "core", section="core"),
            project("alembic.ini", "tenant", section="tenant"),
        ),
        id="two sections, two histories",
    ),
    pytest.param(
        {
            "alembic.ini": (
                f"{ONE}migrations\nversion_path_separator = os\n"
                "[public]\nscript_location = migrations\nversion_locations = migrations/public\n"
                "[tenant]\nscript_location = migrations\nversion_locations = migrations/tenant\n"
            ),
            **env("migrations"),
        },
        (
            ROOT,
            project("alembic.ini", section="public", version_locations=("migrations/public",)),
            project("alembic.ini", section="tenant", version_locations=("migrations/tenant",)),
        ),
        id="one script directory, three histories",
    ),
    pytest.param(
        {"alembic.ini": ALEMBIC_INI, "alembic-prod.ini": ALEMBIC_INI, **env("migrations")},
        (ROOT,),
        id="two files, one history",
    ),
    pytest.param(
        {
            "alembic.ini": ALEMBIC_INI,
            "a/alembic.ini": f"{ONE}%(here)s/../migrations\n",
            **env("migrations"),
        },
        (ROOT,),
        id="two folders, one history",
    ),
    pytest.param(
        {"pyproject.toml": f'{TOML}script_location = "%(here)s/migrations"\n', **env("migrations")},
        (project("pyproject.toml"),),
        id="pyproject",
    ),
    pytest.param(
        {
            "pyproject.toml": (
                f'{TOML}script_location = "migrations"\n'
                'version_locations = ["%(here)s/a", "b"]\nrecursive_version_locations = true\n'
                'prepend_sys_path = ["."]\n'
            ),
            **env("migrations"),
        },
        (
            project(
                "pyproject.toml", version_locations=("a", "b"), recursive_version_locations=True
            ),
        ),
        id="pyproject with lists",
    ),
    pytest.param(
        {
            "pyproject.toml": f'{TOML}script_location = "migrations"\n',
            "alembic.ini": "[alembic]\nsqlalchemy.url = postgresql://localhost/%%40\n",
            **env("migrations"),
        },
        (ROOT,),
        id="pyproject and ini share the work",
    ),
    pytest.param(
        {
            "shop/alembic.ini": f"{ONE}shop:db\nversion_locations = shop:db/versions\n",
            "shop/db/versions/a.py": "",
            **env("shop/db"),
        },
        (project("shop/alembic.ini", "shop/db", path="shop"),),
        id="an ini in the package that holds the revisions",
    ),
    pytest.param(
        {"migrations/alembic.ini": "[alembic]\n[loggers]\n", "migrations/env.py": FLASK_ENV},
        (project("migrations/alembic.ini", flask_migrate=True),),
        id="Flask-Migrate",
    ),
    pytest.param(
        {"web/db/alembic.ini": "[alembic]\n", "web/db/env.py": FLASK_ENV},
        (project("web/db/alembic.ini", "web/db", path="web", flask_migrate=True),),
        id="Flask-Migrate in a folder",
    ),
    pytest.param(
        {
            "migrations/alembic.ini": f"{ONE}/usr/src/app/migrations\n",
            "migrations/env.py": f"{ENV}# metadata = current_app.extensions['migrate'].metadata\n",
        },
        (project("migrations/alembic.ini"),),
        id="Flask-Migrate that a comment remembers",
    ),
    pytest.param(
        {"src/shop/migrations/versions/a.py": "", **env("src/shop/migrations")},
        (project(None, "src/shop/migrations", path="src/shop"),),
        id="no configuration file",
    ),
    pytest.param(
        {
            "alembic.ini": ALEMBIC_INI,
            "migrations/versions/postgresql/a.py": "",
            "migrations/versions/sqlite/a.py": "",
            **env("migrations"),
        },
        (project("alembic.ini", version_locations=("migrations/versions/postgresql",)),),
        id="a folder for each dialect, chosen by env.py",
    ),
    pytest.param(
        {
            "alembic.ini": ALEMBIC_INI,
            "migrations/postgresql/a.py": "down_revision = None",
            "migrations/helpers/a.py": "",
            **env("migrations"),
        },
        (project("alembic.ini", version_locations=("migrations/postgresql",)),),
        id="beside where `versions` would be, chosen by env.py",
    ),
    pytest.param(
        {
            "alembic.ini": ALEMBIC_INI,
            "migrations/versions/core/a.py": "",
            "migrations/versions/tenant/a.py": "",
            "migrations/versions/__init__.py": "",
            **env("migrations"),
        },
        (
            project(
                "alembic.ini",
                version_locations=("migrations/versions/core", "migrations/versions/tenant"),
            ),
        ),
        id="folders set by env.py",
    ),
    pytest.param(
        {
            "alembic.ini": ALEMBIC_INI,
            "migrations/versions/a.py": "",
            "migrations/versions/old/b.py": "",
            **env("migrations"),
        },
        (ROOT,),
        id="a folder beside revisions",
    ),
    pytest.param({"app/env.py": ENV}, (), id="env.py without versions"),
    pytest.param({"app/env.py": "", "app/versions/a.py": ""}, (), id="env.py without Alembic"),
    pytest.param({"tox.ini": "[alembic\n", "a.cfg": "x = [alembic]\n"}, (), id="other formats"),
    pytest.param({"alembic.ini": ALEMBIC_INI}, (), id="script directory missing"),
    pytest.param({"alembic.ini": f"{ONE}/srv/migrations\n"}, (), id="absolute, elsewhere"),
]


@pytest.mark.parametrize(("files", "expected"), CASES)
def test_projects(tmp_path: Path, files: dict[str, str], expected: tuple[Project, ...]) -> None:
    assert find_projects(tree_of(tmp_path, files)) == expected


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("version_locations =", ("migrations/versions",)),
        ("version_locations = a b", ("a", "b")),
        ("version_locations = a, b", ("a", "b")),
        ("version_locations = %(here)s/a %(here)s/../b", ("x/a", "b")),
        ("path_separator = os\nversion_locations = a:b", ("a", "b")),
        ("path_separator = :\nversion_locations = a: b :", ("a", "b")),
        ("path_separator = ;\nversion_locations = a;b", ("a", "b")),
        ("path_separator = space\nversion_locations = a b", ("a", "b")),
        ("path_separator = newline\nversion_locations =\n  a b\n  c", ("a b", "c")),
        ("version_path_separator = newline\nversion_locations =\n  a\n  b", ("a", "b")),
        ("version_path_separator = space\npath_separator = os\nversion_locations = a b", ("a b",)),
        ("path_separator = newline\nversion_locations =\n  shop:versions", ("shop/versions",)),
        ("version_locations = a a ./a", ("a",)),
        ("version_locations = %(script_location)s/v", ("migrations/v",)),
    ],
)
def test_version_locations(tmp_path: Path, options: str, expected: tuple[str, ...]) -> None:
    """Those without `%(here)s` start at the project's folder `x`."""
    files = {
        "x/alembic.ini": f"{ALEMBIC_INI}{options}\n",
        **env("x/migrations"),
        "x/shop/versions/a.py": "",
    }
    (found,) = find_projects(tree_of(tmp_path, files))
    relative = {"x/a": "x/a", "b": "b"} if "here" in options else {}
    assert found.version_locations == tuple(relative.get(e, f"x/{e}") for e in expected)


@pytest.mark.parametrize(
    "options",
    [
        "",
        "version_locations = a b",
        "version_locations = a, b,c",
        "version_locations = %(here)s/a %(here)s/../b",
        "path_separator = os\nversion_locations = a:b",
        "path_separator = os\nversion_locations = %(here)s/a:b",
        "path_separator = ;\nversion_locations = a; b;",
        "path_separator = newline\nversion_locations =\n  a\n  b",
        "version_path_separator = space\nversion_locations = a b",
        "version_path_separator = space\npath_separator = os\nversion_locations = a b:c",
        "recursive_version_locations = true",
        "recursive_version_locations = True",
    ],
)
def test_alembic_reads_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: str
) -> None:
    """Alembic itself, in the project's folder, finds the script directory where we do."""
    files = {"x/alembic.ini": f"{ALEMBIC_INI}{options}\n", **env("x/migrations")}
    tree = tree_of(tmp_path, files)
    root = tree.repository.root
    (found,) = find_projects(tree)
    monkeypatch.chdir(root / found.path)
    assert found.config is not None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it deprecates lists without a separator
        config = Config(root / found.config)
        script = ScriptDirectory.from_config(config)
        locations = config.get_version_locations_list() or ["migrations/versions"]
    assert Path(script.dir).resolve() == root / found.script_location
    assert [Path(item).resolve() for item in locations] == [
        root / item for item in found.version_locations
    ]
    assert script.recursive_version_locations is found.recursive_version_locations


@pytest.mark.parametrize(
    "template", ["generic", "async", "multidb", "pyproject", "pyproject_async"]
)
def test_what_alembic_init_makes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, template: str
) -> None:
    repository = a_repository(tmp_path / "repository").value
    monkeypatch.chdir(repository.root)
    command.init(Config("alembic.ini", toml_file="pyproject.toml"), "migrations", template=template)
    assert find_projects(WorkTree(repository)) == (ROOT,)


@pytest.mark.parametrize("template", ["flask", "flask-multidb", "aioflask"])
def test_what_flask_migrate_makes(tmp_path: Path, template: str) -> None:
    spec = importlib.util.find_spec("flask_migrate")
    assert spec is not None
    assert spec.origin is not None
    folder = Path(spec.origin).parent / "templates" / template
    files = {
        "migrations/alembic.ini": (folder / "alembic.ini.mako").read_text(),
        "migrations/env.py": (folder / "env.py").read_text(),
    }
    expected = (project("migrations/alembic.ini", flask_migrate=True),)
    assert find_projects(tree_of(tmp_path, files)) == expected


def test_recursive_version_locations_of_an_ini_file(tmp_path: Path) -> None:
    files = {
        "alembic.ini": f"{ALEMBIC_INI}recursive_version_locations = true\n",
        "migrations/versions/2026/a.py": "",
        **env("migrations"),
    }
    expected = (project("alembic.ini", recursive_version_locations=True),)
    assert find_projects(tree_of(tmp_path, files)) == expected


def test_the_project_of_a_commit(tmp_path: Path) -> None:
    repository = a_repository(tmp_path / "r", a_project("a001"))
    (repository.root / "alembic.ini").unlink()
    tree = open_tree(repository.value, "HEAD")
    assert choose_project(tree, ".", None, None, None) == ROOT


# --- The one that is meant -----------------------------------------------------------

MONOREPO = {
    "api/alembic.ini": "[alembic]\nscript_location = db\n[audit]\nscript_location = audit\n",
    **env("api/db", "api/audit"),
    "jobs/alembic.ini": ALEMBIC_INI,
    "jobs/other.ini": "[alembic]\nscript_location = other\n",
    **env("jobs/migrations", "jobs/other"),
    "tests/app/alembic.ini": ALEMBIC_INI,
    **env("tests/app/migrations"),
}


@pytest.mark.parametrize(
    ("start", "options", "script_location"),
    [
        ("api", (None, None, "alembic"), "api/db"),
        ("api", (None, None, "audit"), "api/audit"),
        (".", (None, None, "audit"), "api/audit"),
        (".", ("api", None, "alembic"), "api/db"),
        (".", ("api/audit", None, None), "api/audit"),
        (".", ("api/db/", None, None), "api/db"),
        (".", (None, "jobs/alembic.ini", None), "jobs/migrations"),
        ("jobs", (None, "alembic.ini", None), "jobs/migrations"),
        ("jobs", ("../tests", None, None), "tests/app/migrations"),
        ("jobs", ("../tests/app", None, None), "tests/app/migrations"),
        ("tests", (None, None, None), "tests/app/migrations"),
        (".", ("jobs", "jobs/other.ini", None), "jobs/other"),
    ],
)
def test_options_choose(
    tmp_path: Path,
    start: str,
    options: tuple[str | None, str | None, str | None],
    script_location: str,
) -> None:
    tree = tree_of(tmp_path, MONOREPO)
    assert choose_project(tree, start, *options).script_location == script_location


@pytest.mark.parametrize(
    ("start", "config", "sections", "script_locations"),
    [
        ("api", None, (), ["api/db", "api/audit"]),
        ("api", None, ("audit",), ["api/audit"]),
        ("api", None, ("audit", "alembic"), ["api/db", "api/audit"]),
        (".", "api/alembic.ini", (), ["api/db", "api/audit"]),
        (".", None, ("audit",), ["api/audit"]),
        (".", "jobs/other.ini", (), ["jobs/other"]),
    ],
)
def test_sections_of_one_file_are_all_meant(
    tmp_path: Path,
    start: str,
    config: str | None,
    sections: tuple[str, ...],
    script_locations: list[str],
) -> None:
    chosen = choose_projects(tree_of(tmp_path, MONOREPO), start, None, config, sections)
    assert [project.script_location for project in chosen] == script_locations


def test_each_line_of_the_error_leads_to_its_project(tmp_path: Path) -> None:
    tree = tree_of(tmp_path, MONOREPO)
    with pytest.raises(ConfigError) as error:
        choose_projects(tree, ".", None, None, ())
    for line in str(error.value).splitlines()[2:]:
        typed, _, place = line.partition("  (script directory `")
        words = shlex.split(typed)
        options = dict(zip(words[::2], words[1::2], strict=True))
        project, config = options.get("--project"), options.get("--config")
        sections = [options["--section"]] if "--section" in options else []
        (chosen,) = choose_projects(tree, ".", project, config, sections)
        assert chosen.script_location == place.removesuffix("`)")


def test_an_absolute_project_path(tmp_path: Path) -> None:
    tree = tree_of(tmp_path, MONOREPO)
    typed = str(tree.repository.root / "tests" / "app")
    found = choose_project(tree, "jobs", typed, None, None)
    assert found.script_location == "tests/app/migrations"


@pytest.mark.parametrize(
    "folder",
    ["tests/app", "test", "a/fixtures", "examples/x", "docs", "node_modules/y", "venv/lib"],
)
def test_tests_and_examples_do_not_make_it_ambiguous(tmp_path: Path, folder: str) -> None:
    files = {
        "service/alembic.ini": ALEMBIC_INI,
        **env("service/migrations"),
        f"{folder}/alembic.ini": ALEMBIC_INI,
        **env(f"{folder}/migrations"),
        "lib/site-packages/z/versions/a.py": "",
        **env("lib/site-packages/z"),
    }
    tree = tree_of(tmp_path, files)
    if folder != "venv/lib":
        assert choose_project(tree, ".", None, None, None).path == "service"
        return
    with pytest.raises(ConfigError):
        choose_project(tree, ".", None, None, None)


def test_tests_count_where_there_is_nothing_else(tmp_path: Path) -> None:
    tree = tree_of(tmp_path, {"tests/alembic.ini": ALEMBIC_INI, **env("tests/migrations")})
    assert choose_project(tree, ".", None, None, None).path == "tests"


# --- The stairway of errors ----------------------------------------------------------

HOW = (
    "Name the folder of `alembic.ini` with `--project DIR`, or the configuration file with "
    "`--config FILE`; files that git ignores are not seen."
)


@pytest.mark.parametrize(
    ("files", "start", "options", "lines"),
    [
        pytest.param(
            {},
            ".",
            (None, None, None),
            ["No Alembic project was found in the repository.", HOW],
            id="none",
        ),
        pytest.param(
            {
                "alembic.ini": f"{ONE}migrations\nversion_locations = elsewhere:versions\n",
                **env("migrations"),
            },
            ".",
            (None, None, None),
            [
                "No Alembic project was found in the repository.",
                "`alembic.ini` names the version location `elsewhere:versions`, which is not in "
                "the repository.",
                HOW,
            ],
            id="no version location",
        ),
        pytest.param(
            {"alembic.ini": ALEMBIC_INI},
            ".",
            (None, None, None),
            [
                "No Alembic project was found in the repository.",
                "`alembic.ini` [alembic] names the script directory `migrations`, which is not in "
                "the repository.",
                HOW,
            ],
            id="script directory missing",
        ),
        pytest.param(
            {"alembic.ini": f"{ONE}%(here)s/gone\n"},
            ".",
            (None, None, None),
            [
                "No Alembic project was found in the repository.",
                "`alembic.ini` [alembic] names the script directory `%(here)s/gone`, which is not "
                "in the repository.",
                HOW,
            ],
            id="script directory missing, with here",
        ),
        pytest.param(
            {"alembic.ini": "alembic\n"},
            ".",
            (None, None, None),
            [
                "No Alembic project was found in the repository.",
                "`alembic.ini` cannot be read: File contains no section headers. file: "
                "'alembic.ini', line: 1 'alembic\\n'",
                HOW,
            ],
            id="malformed",
        ),
        pytest.param(
            {"alembic.ini": f"{ONE}%(HOME)s/x\n"},
            ".",
            (None, None, None),
            [
                "No Alembic project was found in the repository.",
                "`alembic.ini` [alembic] cannot be read: Bad value substitution: option "
                "'script_location' in section 'alembic' contains an interpolation key 'home' "
                "which is not a valid option name. Raw value: '%(HOME)s/x'",
                HOW,
            ],
            id="unknown variable",
        ),
        pytest.param(
            {"pyproject.toml": f"{TOML}script_location = [\n"},
            ".",
            (None, None, None),
            [
                "No Alembic project was found in the repository.",
                "`pyproject.toml` [tool.alembic] cannot be read: Invalid value (at end of "
                "document)",
                HOW,
            ],
            id="malformed pyproject",
        ),
        pytest.param(
            {
                "alembic.ini": f"{ALEMBIC_INI}path_separator = ,\nversion_locations = a,b\n",
                **env("migrations"),
            },
            ".",
            (None, None, None),
            [
                "No Alembic project was found in the repository.",
                "`alembic.ini` has `path_separator = ,`; Alembic allows `space`, `newline`, `os`, "
                "`:`, `;`.",
                HOW,
            ],
            id="separator",
        ),
        pytest.param(
            {**MONOREPO, "web/x": ""},
            "web",
            (None, None, None),
            [
                "No Alembic project was found in `web`.",
                "Say which one of the repository is meant:",
                "  --config ../api/alembic.ini --section alembic  (script directory `api/db`)",
                "  --config ../api/alembic.ini --section audit  (script directory `api/audit`)",
                "  --config ../jobs/alembic.ini  (script directory `jobs/migrations`)",
                "  --config ../jobs/other.ini  (script directory `jobs/other`)",
                "  --project ../tests/app  (script directory `tests/app/migrations`)",
            ],
            id="elsewhere",
        ),
        pytest.param(
            MONOREPO,
            ".",
            (None, None, None),
            [
                "There are 5 Alembic projects here.",
                "Say which one is meant:",
                "  --config api/alembic.ini --section alembic  (script directory `api/db`)",
                "  --config api/alembic.ini --section audit  (script directory `api/audit`)",
                "  --config jobs/alembic.ini  (script directory `jobs/migrations`)",
                "  --config jobs/other.ini  (script directory `jobs/other`)",
                "  --project tests/app  (script directory `tests/app/migrations`)",
            ],
            id="several",
        ),
        pytest.param(
            {"a b/alembic.ini": ALEMBIC_INI, **env("a b/migrations", "x/one", "x/two")}
            | {"x/one/versions/a.py": "", "x/two/versions/a.py": ""},
            ".",
            (None, None, None),
            [
                "There are 3 Alembic projects here.",
                "Say which one is meant:",
                "  --project 'a b'  (script directory `a b/migrations`)",
                "  --project x/one  (script directory `x/one`)",
                "  --project x/two  (script directory `x/two`)",
            ],
            id="several without configuration",
        ),
        pytest.param(
            MONOREPO,
            "api",
            (None, "alembic.in", None),
            [
                "The configuration file `alembic.in` does not exist.",
                "Did you mean `--config alembic.ini`?",
            ],
            id="config misspelled",
        ),
        pytest.param(
            {},
            ".",
            (None, "alembic.ini", None),
            [
                "The configuration file `alembic.ini` does not exist.",
                "Name the file relative to the current directory: `--config FILE`.",
            ],
            id="config missing",
        ),
        pytest.param(
            MONOREPO,
            "api",
            (None, None, "audti"),
            [
                "No Alembic configuration has a section `[audti]` that names a script directory.",
                "Did you mean `--section audit`? There is: `alembic`, `audit`.",
            ],
            id="section misspelled",
        ),
        pytest.param(
            {"api/alembic.ini": ALEMBIC_INI, **env("api/migrations")},
            ".",
            ("nowhere", None, None),
            [
                "No Alembic project was found in `nowhere`.",
                "Say which one of the repository is meant:",
                "  --project api  (script directory `api/migrations`)",
            ],
            id="project missing",
        ),
    ],
)
def test_errors(
    tmp_path: Path,
    files: dict[str, str],
    start: str,
    options: tuple[str | None, str | None, str | None],
    lines: list[str],
) -> None:
    with pytest.raises(ConfigError) as error:
        choose_project(tree_of(tmp_path, files), start, *options)
    assert str(error.value).splitlines() == lines


def test_a_project_outside_the_repository(tmp_path: Path) -> None:
    tree = tree_of(tmp_path, {})
    with pytest.raises(ConfigError) as error:
        choose_project(tree, ".", "../elsewhere", None, None)
    assert str(error.value).splitlines() == [
        f"`../elsewhere` is outside the repository `{tree.repository.root}`.",
        "Name a path in the repository.",
    ]
