"""Each situation, set up wrongly as a person would: the file or variable, and what to write."""

from __future__ import annotations

import importlib.util
import sys
import venv
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from gatekeeper.errors import GatekeeperError
from gatekeeper.model import NotRehearsed, Report, Severity, Verdict
from gatekeeper.postgres.servers import Server
from tests.live import check_repository, server_url
from tests.situations import make_repository, project_files, read_situation

pytestmark = [pytest.mark.postgres, pytest.mark.slow]

V = "migrations/versions"
EXIT = {Verdict.PASS: 0, Verdict.FAIL: 1, Verdict.UNDETERMINED: 3}


@dataclass(frozen=True)
class Wrong:
    """What is changed of a situation, and what has to be said of it.

    A change is a file's whole text, None where it is gone, or what is replaced by what.
    """

    situation: str
    says: str
    exit: int = 3
    changes: dict[str, str | tuple[str, str] | None] = field(default_factory=dict)
    request: dict[str, Any] = field(default_factory=dict)
    new: tuple[str, ...] | None = None


def policy(text: str) -> dict[str, str | tuple[str, str] | None]:
    return {".gatekeeper.yml": text}


CHECK_CURRENT = (
    "Check that `alembic current` works with the project's own environment; variables that it "
    "needs go into the policy file: `project: {env: {NAME: …}}`"
)
COMMIT = (
    "Commit the file, or have it made before gatekeeper runs: the project's code runs in a copy "
    "of what git tracks and of small files that it ignores"
)
OTHERWISE = (
    "Correct the file. Where it is not what the project runs with, name the script directory:"
)
INSTALL_THERE = (
    "Install the project's dependencies there, or name the interpreter that has them with "
    "`--python PATH`"
)
DRIVERLESS = ("alembic", "greenlet", "mako", "markupsafe", "sqlalchemy", "typing_extensions")
WRITE_URL = "Write it as `postgresql://user:password@host:5432/postgres`"

WRONG = {
    # --- The configuration of Alembic
    "the script directory is elsewhere": Wrong(
        "sync_ini",
        "`alembic.ini` [alembic] names the script directory `db`, which is not in the "
        f"repository. {OTHERWISE} --project . (script directory `migrations`)",
        exit=2,
        changes={"alembic.ini": ("= migrations", "= db")},
    ),
    "the script directory's package is elsewhere": Wrong(
        "package_path",
        "`alembic.ini` [alembic] names the script directory `shop.database:migrations`, which is "
        f"not in the repository. {OTHERWISE} --project shop/db (script directory "
        "`shop/db/migrations`)",
        exit=2,
        changes={"alembic.ini": ("shop.db:", "shop.database:")},
    ),
    "the ini file cannot be read": Wrong(
        "sync_ini",
        "`alembic.ini` cannot be read: File contains no section headers. file: 'alembic.ini', "
        rf"line: 1 'alembic]\n'. {OTHERWISE} --project . (script directory `migrations`)",
        exit=2,
        changes={"alembic.ini": ("[alembic]", "alembic]")},
    ),
    "pyproject.toml cannot be read": Wrong(
        "pyproject_toml",
        "`pyproject.toml` [tool.alembic] cannot be read: Expected ']' at the end of a table "
        f"declaration (at line 1, column 14). {OTHERWISE} --project . (script directory `db`)",
        exit=2,
        changes={"pyproject.toml": ("[tool.alembic]", "[tool.alembic")},
    ),
    "a separator that Alembic does not know": Wrong(
        "branches",
        "No Alembic project was found in the repository. `alembic.ini` has `path_separator = "
        "comma`; Alembic allows `space`, `newline`, `os`, `:`, `;`. Name the folder of "
        "`alembic.ini` with `--project DIR`, or the configuration file with `--config FILE`; "
        "files that git ignores are not seen",
        exit=2,
        changes={
            "alembic.ini": ("version_locations =", "path_separator = comma\nversion_locations =")
        },
    ),
    "a version location that is misspelled": Wrong(
        "branches",
        "migrations/billing/b001.py:5: `b001` lies where Alembic does not look for revisions "
        "(`migrations/orders`, `migrations/bills`), so it would never run. Move the file there, "
        "or add `migrations/billing` to `version_locations` in alembic.ini.",
        exit=1,
        changes={"alembic.ini": ("migrations/billing", "migrations/bills")},
    ),
    "a section that is not there": Wrong(
        "sync_ini",
        "No Alembic configuration has a section `[alembik]` that names a script directory. Did "
        "you mean `--section alembic`? There is: `alembic`",
        exit=2,
        request={"section": ("alembik",)},
    ),
    "a configuration file that is not there": Wrong(
        "sync_ini",
        "The configuration file `alembik.ini` does not exist. Did you mean `--config alembic.ini`?",
        exit=2,
        request={"config": "alembik.ini"},
    ),
    "a project that is not there": Wrong(
        "sync_ini",
        "No Alembic project was found in `shopp`. Say which one of the repository is meant: "
        "--project . (script directory `migrations`)",
        exit=2,
        request={"project": "shopp"},
    ),
    "several projects and none named": Wrong(
        "monorepo",
        "There are 2 Alembic projects here. Say which one is meant: --project billing (script "
        "directory `billing/migrations`) --project store (script directory `store/migrations`)",
        exit=2,
        request={"project": None},
    ),
    "a base that git does not know": Wrong(
        "sync_ini",
        "git knows no commit, branch or tag `nowhere`. `git branch --all` and `git tag` list "
        "what can be named",
        exit=2,
        request={"base": "nowhere"},
    ),
    # --- The revisions
    "a new revision that cannot be parsed": Wrong(
        "sync_ini",
        "the history up to the base does not run: migrations/versions/a003_index.py:10: "
        "SyntaxError: expected ':' (a003_index.py, line 10). Correct the file; it is no Python "
        "that the project's interpreter takes",
        exit=1,
        changes={f"{V}/a003_index.py": ("def upgrade():", "def upgrade()")},
    ),
    "two heads": Wrong(
        "sync_ini",
        "migrations/versions/a002_email.py:6: There are 2 heads after merging `main`: `a002` "
        "(migrations/versions/a002_email.py), `a003` (migrations/versions/a003_index.py) In "
        'migrations/versions/a002_email.py write `down_revision = "a003"`, or run: alembic merge '
        '-m "merge heads" a002 a003',
        exit=1,
        changes={f"{V}/a003_index.py": ("'a002'", "'a001'")},
    ),
    "a down_revision that is misspelled": Wrong(
        "sync_ini",
        "migrations/versions/a003_index.py:6: `a003` names `a0O2` in `down_revision`, but no "
        "file has that revision. Restore the file of `a0O2`, or name an existing revision in "
        "`down_revision`",
        exit=1,
        changes={f"{V}/a003_index.py": ("'a002'", "'a0O2'")},
    ),
    "a depends_on that is misspelled": Wrong(
        "branches",
        "migrations/billing/b001.py:5: `b001` names `a00Z` in `depends_on`, but no file has that "
        "revision. Restore the file of `a00Z`, or name an existing revision in `depends_on`",
        exit=1,
        changes={"migrations/billing/b001.py": ("'a002'", "'a00Z'")},
    ),
    "one identifier twice": Wrong(
        "sync_ini",
        "migrations/versions/a003_index.py:6: The revision identifier `a002` is also that of "
        "`migrations/versions/a002_email.py`. Give one of them a new identifier: `alembic "
        "revision` makes one, or edit `revision`",
        exit=1,
        changes={f"{V}/a003_index.py": ('\nrevision = "a003"', '\nrevision = "a002"')},
    ),
    "revisions in a circle": Wrong(
        "sync_ini",
        "migrations/versions/a001_users.py:6: The revisions come after each other in a circle: "
        "`a001` → `a002` → `a003` → `a001`. Correct `down_revision` or `depends_on` of the one "
        "that was edited last",
        exit=1,
        changes={f"{V}/a001_users.py": ("down_revision = None", 'down_revision = "a003"')},
    ),
    "a history that cannot start from empty": Wrong(
        "sync_ini",
        "The history does not start from an empty database: migrations/versions/a002_email.py:11: "
        'UndefinedTable: relation "users" does not exist. Give the base that production has. The '
        "first revisions expect a schema that something else made. Dump production's, ",
        changes={f"{V}/a001_users.py": ("    op.create_table(", "    dict and (")},
        new=("a003",),
    ),
    # --- env.py and what it imports
    "no env.py": Wrong(
        "sync_ini",
        "migrations/env.py: there is no env.py in the script directory `migrations`. Restore and "
        "commit it; `alembic init` in an empty folder makes one to start from. Files that git "
        "ignores in ignored folders are not seen",
        changes={"migrations/env.py": None},
    ),
    "env.py raises": Wrong(
        "sync_ini",
        f"migrations/env.py:6: env.py could not be run: RuntimeError: no licence. {CHECK_CURRENT}",
        changes={"migrations/env.py": ("target_metadata =", 'raise RuntimeError("no licence") #')},
    ),
    "env.py cannot be parsed": Wrong(
        "sync_ini",
        "migrations/env.py:6: env.py could not be run: SyntaxError: invalid syntax (env.py, line "
        f"6). {CHECK_CURRENT}",
        changes={"migrations/env.py": ("target_metadata =", "target_metadata = =")},
    ),
    "env.py imports a name that is not there": Wrong(
        "sync_ini",
        "migrations/env.py:4: env.py could not be run: ImportError: cannot import name 'tables' "
        f"from 'shop.models' (shop/models.py). {CHECK_CURRENT}",
        changes={"migrations/env.py": ("import metadata", "import tables")},
    ),
    "env.py imports a file that is not there": Wrong(
        "src_layout",
        "migrations/env.py:4: there is no module `shop.tables` in the project's own package "
        "`shop`. Correct the import, or commit the file. Where a build step writes it, let that "
        "run before gatekeeper",
        changes={"migrations/env.py": ("shop.models", "shop.tables")},
    ),
    "a package that is not installed": Wrong(
        "missing_module",
        "migrations/env.py:1: the environment of PYTHON is incomplete: it cannot import "
        f"`a_package_that_nobody_has`. {INSTALL_THERE}",
    ),
    "settings without their `.env`": Wrong(
        "url_in_dotenv",
        "shop/settings.py:5: env.py could not be run: FileNotFoundError: [Errno 2] No such file "
        f"or directory: '.env'. {COMMIT}. What stands in a `.env` can be given in the policy "
        "file: `project: {env: {NAME: …}}`",
        changes={".env": None},
    ),
    "a file of the base that is not committed": Wrong(
        "squashed_base",
        "the history up to the base does not run: migrations/versions/a001_squashed.py:13: "
        "FileNotFoundError: [Errno 2] No such file or directory: 'migrations/schema.sql'. "
        f"{COMMIT}",
        changes={"migrations/schema.sql": None},
    ),
    "a loop over no schema": Wrong(
        "never_runs",
        "migrations/env.py: env.py came to its end without running migrations on any connection. "
        "Look at what env.py needs before it calls `context.run_migrations()`; variables go into "
        "the policy file: `project: {env: {NAME: …}}`",
    ),
    "an argument of -x that is not given": Wrong(
        "x_argument",
        "migrations/env.py:4: env.py demands the argument `-x tenant=…`: KeyError: 'tenant'. Give "
        "it in the policy file: `project: {x: {tenant: …}}`",
    ),
    # --- The policy file
    "a check that is misspelled": Wrong(
        "sync_ini",
        "Did you mean `downgrade-empty`?",
        exit=2,
        changes=policy("checks:\n  downgrade-empyt: off\n"),
    ),
    "a severity that is misspelled": Wrong(
        "sync_ini",
        "REPOSITORY/.gatekeeper.yml:2: `checks.downgrade-empty` is `warn`. Allowed: `off`, "
        "`notice`, `warning`, `error`. Did you mean `warning`?",
        exit=2,
        changes=policy("checks:\n  downgrade-empty: warn\n"),
    ),
    "a block that is misspelled": Wrong(
        "sync_ini",
        "REPOSITORY/.gatekeeper.yml:1: `projekt` is not known. Allowed: `version`, `extends`, "
        "`postgres`, `checks`, `overrides`, `attestations`, `project`, `environments`. Did you "
        "mean `project`?",
        exit=2,
        changes=policy("projekt:\n  env: {A: b}\n"),
    ),
    "a key of the project that is misspelled": Wrong(
        "sync_ini",
        "REPOSITORY/.gatekeeper.yml:2: `project.envs` is not known.",
        exit=2,
        changes=policy("project:\n  envs: {A: b}\n"),
    ),
    "variables as a list": Wrong(
        "sync_ini",
        'REPOSITORY/.gatekeeper.yml:2: `project.env` is a list: `["A=b"]`. Allowed: a mapping',
        exit=2,
        changes=policy("project:\n  env: [A=b]\n"),
    ),
    "a variable without a value": Wrong(
        "secret_from_environment",
        "REPOSITORY/.gatekeeper.yml:2: `project.env.PAYMENT_SECRET` is empty: `null`.",
        exit=2,
        changes=policy("project:\n  env: {PAYMENT_SECRET: }\n"),
    ),
    "a policy file that is no YAML": Wrong(
        "sync_ini",
        "REPOSITORY/.gatekeeper.yml:2: this is not YAML that can be read: found character '\\t' "
        "that cannot start any token. Indent with spaces: YAML does not allow tabs",
        exit=2,
        changes=policy("project:\n\tenv: {}\n"),
    ),
    "a role that is none": Wrong(
        "sync_ini",
        "REPOSITORY/.gatekeeper.yml:2: `project.role` is `superuser`. Allowed: `owner`, "
        "`restricted`",
        exit=2,
        changes=policy("project:\n  role: superuser\n"),
    ),
    "a seed that is not there": Wrong(
        "sync_ini",
        "`project.seed` names `db/seed.sql`",
        exit=2,
        changes=policy("project:\n  seed: db/seed.sql\n"),
    ),
    "a seed with an error": Wrong(
        "sync_ini",
        'syntax error at or near "user". Make it run with `psql -f` on a database like this one',
        exit=2,
        changes=policy("project:\n  seed: db/seed.sql\n")
        | {"db/seed.sql": "INSERT INTO user VALUES (1);\n"},
    ),
    "an extension that is misspelled": Wrong(
        "extension_first",
        'extension "citxt" is not available. Did you mean `citext`? Else give `--database-url` a '
        "server that has it, such as a service container of an image with the extension",
        changes=policy("project:\n  extensions: [citxt]\n"),
    ),
    "an extension that only the change needs": Wrong(
        "extension_first",
        "migrations/versions/a003_default.py:12: The upgrade of `a003` failed: UndefinedObject: "
        'operator class "gin_trgm_ops" does not exist for access method "gin" Make the extension '
        "in this revision or one before it: `op.execute('CREATE EXTENSION IF NOT EXISTS "
        '"pg_trgm"\')`. Where production has it already, name it in the policy file: `project: '
        "{extensions: [pg_trgm]}`",
        exit=1,
        changes={".gatekeeper.yml": None},
    ),
    # --- The interpreter
    "an interpreter that is not there": Wrong(
        "sync_ini",
        "--python /nowhere/bin/python: there is no interpreter at /nowhere/bin/python. Give the "
        "path of a `python` that has the project's dependencies, such as `--python "
        ".venv/bin/python`",
        exit=2,
        request={"python": "/nowhere/bin/python"},
    ),
    "an interpreter without Alembic": Wrong(
        "sync_ini",
        "migrations/env.py: the environment of BARE is incomplete: it cannot import `alembic`. "
        f"{INSTALL_THERE}",
        request={"python": "BARE"},
    ),
    "an interpreter without a driver": Wrong(
        "url_in_other_option",
        "migrations/env.py:4: the environment of DRIVERLESS is incomplete: it cannot import "
        f"`psycopg2`. {INSTALL_THERE}",
        request={"python": "DRIVERLESS"},
    ),
    "an interpreter without an asynchronous driver": Wrong(
        "async_env",
        "migrations/env.py:18: the environment of DRIVERLESS is incomplete: it cannot import "
        f"`asyncpg`. {INSTALL_THERE}",
        request={"python": "DRIVERLESS"},
    ),
    "an interpreter without Flask": Wrong(
        "flask_migrate",
        "migrations/env.py: the environment of DRIVERLESS is incomplete: it cannot import "
        f"`flask`. {INSTALL_THERE}",
        request={"python": "DRIVERLESS"},
    ),
    "a lock file that cannot be read": Wrong(
        "sync_ini",
        "uv.lock: the project's dependencies cannot be read from it: Expected '=' after a key in "
        "a key/value pair (at line 1, column 10). Mend the file, or name the interpreter that "
        "has the dependencies with `--python PATH`",
        exit=2,
        changes={"uv.lock": "nonsense [", "pyproject.toml": '[project]\nname = "shop"\n'},
        request={"python": None},
    ),
    "a Python that nobody has": Wrong(
        "sync_ini",
        ".python-version: Python 3.99, which .python-version asks for, is not installed here",
        changes={".python-version": "3.99\n", "requirements.txt": "alembic\n"},
        request={"python": None},
    ),
    "an installation that fails": Wrong(
        "sync_ini",
        "install: the project's dependencies could not be installed; it printed last: ",
        request={"python": None, "install": "false; echo no >&2; exit 1"},
    ),
    # --- The server
    "a server that is not there": Wrong(
        "sync_ini",
        "See that the server of `--database-url` runs and accepts connections",
        request={"database_url": "postgresql://shop:pw@127.0.0.1:1/shop"},
    ),
    "a wrong password": Wrong(
        "sync_ini",
        'FATAL: password authentication failed for user "plain". Correct the user and password '
        "of `--database-url` (`GATEKEEPER_DATABASE_URL`): "
        "`postgresql://user:password@host:5432/postgres`",
        request={"database_url": "WRONG"},
    ),
    "a role that may not create databases": Wrong(
        "sync_ini",
        'the role "plain" may not create databases. Let it: `ALTER ROLE "plain" CREATEDB;`, or '
        "name another role in `--database-url`",
        request={"database_url": "PLAIN"},
    ),
    "a server of another kind": Wrong(
        "sync_ini",
        "--database-url: the database URL is one of mysql, not of PostgreSQL. " + WRITE_URL,
        exit=2,
        request={"database_url": "mysql://shop:pw@127.0.0.1/shop"},
    ),
    "a URL that is none": Wrong(
        "sync_ini",
        "--database-url: the database URL cannot be read. " + WRITE_URL,
        exit=2,
        request={"database_url": "localhost:5432"},
    ),
    "a value that the settings cannot take": Wrong(
        "settings_in_code",
        "That is the value of `project.env` (or of the input `env`); correct it: `project: {env: "
        "{STORE_DB_PORT: …}}`",
        request={"env": {"STORE_DB_PORT": "abc"}},
    ),
}


@pytest.fixture(scope="module")
def pythons(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Interpreters that lack what they should have, by their names in the table."""
    folder = tmp_path_factory.mktemp("pythons")
    found = {}
    for name, packages in {
        "BARE": (),
        "DRIVERLESS": (
            "alembic",
            "greenlet",
            "mako",
            "markupsafe",
            "sqlalchemy",
            "typing_extensions",
        ),
    }.items():
        venv.create(folder / name, symlinks=True)
        (site,) = (folder / name).glob("lib/python*/site-packages")
        for package in packages:
            spec = importlib.util.find_spec(package)
            assert spec is not None
            assert spec.origin is not None
            origin = Path(spec.origin)
            source = origin.parent if origin.name == "__init__.py" else origin
            (site / source.name).symlink_to(source)
        found[name] = folder / name / "bin" / "python"
    return found


@pytest.fixture(scope="module")
def urls(server: Server) -> Iterator[dict[str, str]]:
    """Ways to the server that do not suffice, by their names in the table."""
    server.administer("CREATE ROLE plain LOGIN PASSWORD 'plain'")
    _, _, place = server_url(server).rpartition("@")
    yield {name: f"postgresql://plain:{name.lower()}@{place}" for name in ("PLAIN", "WRONG")}
    server.administer("DROP ROLE plain")


@pytest.mark.parametrize("what", WRONG)
def test_what_is_said_of(
    what: str,
    server: Server,
    tmp_path: Path,
    pythons: dict[str, Path],
    urls: dict[str, str],
) -> None:
    wrong = WRONG[what]
    situation = read_situation(wrong.situation)
    if wrong.new is not None:
        situation = replace(situation, new=wrong.new)
    root = make_repository(tmp_path / "repository", situation, changed_files(wrong)).root
    request = {"python": sys.executable, **situation.request, **wrong.request}
    request["python"] = str(pythons.get(request["python"], request["python"] or "")) or None
    if "database_url" in request:
        request["database_url"] = urls.get(request["database_url"], request["database_url"])
    try:
        report = check_repository(root, server, **request)
        code, said = EXIT[report.verdict], first_sentence(report)
    except GatekeeperError as error:
        code, said = error.exit_code.value, error.sentence
    said = " ".join(said.replace(str(root), "REPOSITORY").split())
    for name, path in {**pythons, "PYTHON": sys.executable}.items():
        said = said.replace(str(path), name)
    assert wrong.says in said
    assert code == wrong.exit


def first_sentence(report: Report) -> str:
    """Return why nothing was seen, else the first error with its place and remedy."""
    if isinstance(report.rehearsal, NotRehearsed):
        return report.rehearsal.reason
    first = next(f for f in report.findings if f.severity is Severity.ERROR)
    return f"{first.path}:{first.line}: {first.message} {first.remedy}"


def changed_files(wrong: Wrong) -> dict[str, bytes]:
    files = project_files(read_situation(wrong.situation))
    for path, change in wrong.changes.items():
        if change is None:
            del files[path]
        elif isinstance(change, str):
            files[path] = change.encode()
        else:
            old, new = (text.encode() for text in change)
            assert old in files[path], f"{path} does not hold {change[0]!r}"
            files[path] = files[path].replace(old, new)
    return files
