"""What is tried after a failure, and when to stop."""

from __future__ import annotations

from pathlib import Path

import pytest

from gatekeeper.model import Project, StepError, Way
from gatekeeper.probe import guesses
from gatekeeper.probe.advice import Stop
from gatekeeper.probe.attempts import (
    Attempt,
    attempt_after_success,
    next_attempt,
    without_variables,
)
from gatekeeper.probe.model import (
    Fault,
    Interpreter,
    Kind,
    Launch,
    ProbeFacts,
    StartFailure,
    Wanted,
)


def a_failure(fault=Fault.OTHER, **fields):
    values = {
        "fault": fault,
        "error": StepError("KeyError", "'X'", None, None, "migrations/env.py", 3),
        "module": None,
        "variables": (),
        "absent_variables": (),
        "other_dialects": (),
        "drivers": (),
    }
    return StartFailure(**{**values, **fields})


def some_facts(**fields):
    values = {
        "python": "3.12.1",
        "alembic": "1.16.0",
        "sqlalchemy": "2.0.40",
        "dialect": "postgresql",
        "driver": "psycopg2",
        "version_table": "alembic_version",
        "version_table_schema": None,
        "has_target_metadata": True,
        "transaction_per_migration": False,
        "transactional_ddl": True,
        "fn_calls": 1,
        "origins": (),
        "absent_variables": (),
        "other_dialects": (),
    }
    return ProbeFacts(**{**values, **fields})


def a_launch(**fields):
    """Return a launch of a plain project; what tells its interpreter may be given, too."""
    project = Project(
        ".", None, "alembic", "m", ("m/versions",), fields.pop("flask_migrate", False)
    )
    told = {name: fields.pop(name) for name in ("made_from", "is_undeclared") if name in fields}
    interpreter = Interpreter(Path("python"), "found", **told)
    return Launch(interpreter, Path("checkout"), project, **fields)


def follow(attempt, failure, examples=None, **fields):
    return next_attempt(attempt, failure, a_launch(**fields), examples or {})


URL_REASON = "DATABASE_URL was unset; set to the ephemeral database"


@pytest.mark.parametrize(
    ("attempt", "failure", "following"),
    [
        pytest.param(
            Attempt(),
            a_failure(absent_variables=("HOME", "DB_HOST", "DATABASE_URL")),
            Attempt(variables=(("DATABASE_URL", "{database_url}"),), reasons=(URL_REASON,)),
            id="URLs before parts",
        ),
        pytest.param(
            Attempt(variables=(("DATABASE_URL", "{database_url}"),), reasons=("r",)),
            a_failure(absent_variables=("DB_HOST", "DATABASE_URL")),
            Attempt(
                variables=(("DATABASE_URL", "{database_url}"), ("DB_HOST", "{database_host}")),
                reasons=("r", "DB_HOST was unset; set to the ephemeral database's host"),
            ),
            id="then parts",
        ),
        pytest.param(
            Attempt(),
            a_failure(Fault.ASYNC_DRIVER, absent_variables=("DATABASE_URL",)),
            Attempt(
                ways=(Way.ASYNCPG,),
                reasons=("env.py needs an asynchronous driver: asyncpg was chosen",),
            ),
            id="asynchronous driver",
        ),
        pytest.param(
            Attempt(),
            a_failure(Fault.WORKER_THREAD),
            Attempt(
                ways=(Way.WORKER_THREAD,),
                reasons=("env.py wants to be run in a worker thread of AnyIO: it was",),
            ),
            id="worker thread",
        ),
        pytest.param(
            Attempt(),
            a_failure(Fault.RUNNING_LOOP),
            Attempt(
                ways=(Way.RUNNING_LOOP,),
                reasons=("env.py wants a running event loop: it was run inside of one",),
            ),
            id="running loop",
        ),
        pytest.param(
            Attempt(),
            a_failure(
                Fault.MISSING_VARIABLE,
                variables=(
                    Wanted("JWT_SECRET"),
                    Wanted("DATABASE_URL", Kind.URL, "postgresql+asyncpg"),
                    Wanted("DEBUG", Kind.BOOL),
                ),
                absent_variables=("OPENAI_API_KEY", "JWT_SECRET"),
            ),
            Attempt(
                variables=(
                    ("JWT_SECRET", guesses.SECRET),
                    ("DATABASE_URL", "{database_url}"),
                    ("DEBUG", "false"),
                ),
                guessed=("JWT_SECRET", "DEBUG"),
                reasons=(
                    "JWT_SECRET was unset; set to the made-up `Dummy0…`",
                    URL_REASON,
                    "DEBUG was unset; set to the made-up `false`",
                ),
            ),
            id="what the failure names, and nothing else",
        ),
        pytest.param(
            Attempt(),
            a_failure(
                Fault.SECRET,
                absent_variables=(
                    "APP_SALT",
                    "STRIPE_API_KEY",
                    "SECRET_KEY",
                    "X_CMD",
                    "X",
                    "X_SECRET",
                ),
            ),
            Attempt(
                variables=(("APP_SALT", guesses.SECRET), ("SECRET_KEY", guesses.SECRET)),
                guessed=("APP_SALT", "SECRET_KEY"),
                reasons=(
                    "APP_SALT was unset; set to the made-up `Dummy0…`",
                    "SECRET_KEY was unset; set to the made-up `Dummy0…`",
                ),
            ),
            id="a secret that has no name",
        ),
        pytest.param(
            Attempt(
                variables=(("A", "x"), ("DEBUG", "false"), ("TLS", "false")),
                guessed=("A", "DEBUG", "TLS"),
            ),
            a_failure(error=StepError("ValueError", "debug must be on", None, None, None, None)),
            Attempt(
                variables=(("A", "x"), ("DEBUG", "true"), ("TLS", "false")),
                guessed=("A", "DEBUG", "TLS"),
                reasons=("with DEBUG false it does not start: set to true",),
            ),
            id="a boolean the other way round",
        ),
        pytest.param(
            Attempt(),
            a_failure(
                Fault.CLOSED_PATH,
                path="/srv/shop/data",
                absent_variables=("XDG_DATA_HOME", "LOG_DIR", "SHOP_DATA_DIR", "DATA_DIR_CMD"),
            ),
            Attempt(
                variables=(("SHOP_DATA_DIR", "{private_folder}"),),
                reasons=(
                    "/srv/shop/data could not be had; SHOP_DATA_DIR was set to a private folder",
                ),
            ),
            id="a folder elsewhere",
        ),
        pytest.param(
            Attempt(),
            a_failure(Fault.HOME_FILE, path=".shop/url"),
            Attempt(
                home_files=((".shop/url", "{database_url}"),),
                reasons=(
                    "~/.shop/url is not there; one with the ephemeral database's URL was given",
                ),
            ),
            id="a file of the home directory",
        ),
    ],
)
def test_one_change_at_a_time(attempt, failure, following):
    assert follow(attempt, failure) == following


def test_values_of_the_checkouts_examples_are_taken_before_made_up_ones():
    failure = a_failure(Fault.MISSING_VARIABLE, variables=(Wanted("STAGE"), Wanted("DB_HOST")))
    assert follow(Attempt(), failure, {"STAGE": "dev", "DB_HOST": "db", "OTHER": "x"}) == Attempt(
        variables=(("STAGE", "dev"), ("DB_HOST", "{database_host}")),
        reasons=(
            "STAGE was unset; its value in the checkout's example was taken",
            "DB_HOST was unset; set to the ephemeral database's host",
        ),
    )


def test_a_bare_flask_application_comes_last():
    failure = a_failure(Fault.MISSING_VARIABLE, variables=(Wanted("SECRET_KEY"),))
    filled = follow(Attempt(), failure, flask_migrate=True)
    assert (filled.guessed, filled.ways) == (("SECRET_KEY",), ())
    bare = follow(filled, a_failure(), flask_migrate=True)
    assert bare.ways == (Way.BARE_FLASK_APP,)
    assert isinstance(follow(bare, a_failure(), flask_migrate=True), Stop)


COULD_NOT = "env.py could not be run: KeyError: 'X'"
CHECK_ALEMBIC = (
    "Check that `alembic current` works with the project's own environment; variables that it "
    "needs go into the policy file: `project: {env: {NAME: …}}`"
)
CELERY = "the environment of python is incomplete: it cannot import `celery.schedules`"


@pytest.mark.parametrize(
    ("failure", "fields", "stop"),
    [
        pytest.param(
            a_failure(
                Fault.MISSING_MODULE,
                module="celery.schedules",
                absent_variables=("DATABASE_URL",),
            ),
            {},
            Stop(
                CELERY,
                "Install the project's dependencies there, or name the interpreter that has them "
                "with `--python PATH`.",
            ),
            id="package",
        ),
        pytest.param(
            a_failure(Fault.MISSING_MODULE, module="celery.schedules"),
            {"made_from": "requirements/base.txt"},
            Stop(
                CELERY,
                "It has what requirements/base.txt names: add the package that has `celery` there, "
                "or in the policy file: "
                "`project: {install: pip install -r requirements/base.txt celery}`",
            ),
            id="package that the requirements lack",
        ),
        pytest.param(
            a_failure(Fault.MISSING_MODULE, module="celery.schedules"),
            {"is_undeclared": True},
            Stop(
                CELERY,
                "Nothing says what the project depends on. Name it in `requirements.txt` or "
                "`pyproject.toml`, or in the policy file: "
                "`project: {install: pip install alembic celery …}`; or name the interpreter that "
                "has it with `--python PATH`.",
            ),
            id="package of a project that declares none",
        ),
        pytest.param(
            a_failure(Fault.MISSING_MODULE, module="celery.schedules"),
            {"made_from": "the install command `make deps`"},
            Stop(
                CELERY,
                "It was made from the install command `make deps`: add the package that has "
                "`celery` there, such as ` && pip install celery`.",
            ),
            id="package that the command lacks",
        ),
        pytest.param(
            a_failure(
                Fault.MISSING_VARIABLE,
                variables=(
                    Wanted("SEED_CMD"),
                    Wanted("DATABASE_URL"),
                    Wanted("PLANS", Kind.OTHER),
                ),
            ),
            {},
            Stop(
                "the project does not start without `SEED_CMD`, `PLANS`: KeyError: 'X'",
                "Give a value to the project's code in the policy file: "
                "`project: {env: {SEED_CMD: …, PLANS: …}}`",
            ),
            id="variables that no value can be made up for",
        ),
        pytest.param(
            a_failure(Fault.MISSING_ARGUMENT, arguments=("tenant",)),
            {},
            Stop(
                "env.py demands the argument `-x tenant=…`: KeyError: 'X'",
                "Give it in the policy file: `project: {x: {tenant: …}}`",
            ),
            id="argument",
        ),
        pytest.param(
            a_failure(absent_variables=("DATABASE_URL",)),
            {},
            Stop(COULD_NOT, CHECK_ALEMBIC),
            id="nothing left",
        ),
        pytest.param(
            a_failure(arguments=("tenant", "stage")),
            {},
            Stop(
                COULD_NOT,
                CHECK_ALEMBIC
                + "; arguments of `-x` as well: `project: {x: {tenant: …, stage: …}}`",
            ),
            id="arguments that are read",
        ),
        pytest.param(
            a_failure(Fault.CLOSED_PATH, path="/srv/data", absent_variables=("A_DIR", "B_DIR")),
            {},
            Stop(
                "the project's code cannot have /srv/data: KeyError: 'X'",
                "Name a place of its own in the policy file, by the variable that leads there: "
                "`project: {env: {NAME: '{private_folder}'}}`",
            ),
            id="folder of which no variable is known",
        ),
    ],
)
def test_stops_with_what_to_do(failure, fields, stop):
    given = {"DATABASE_URL": "postgresql://db.example.com/shop"}
    assert follow(Attempt(), failure, environment=given, **fields) == stop


def test_a_made_up_value_that_leads_no_further_is_named():
    attempt = Attempt(variables=(("STAGE", "dummy"),), guessed=("STAGE",))
    assert follow(attempt, a_failure()) == Stop(
        "the project starts with a made-up value of `STAGE` no further than to: KeyError: 'X'",
        "Give the right value in the policy file: `project: {env: {STAGE: …}}`",
    )


def test_a_home_file_that_is_no_url_is_asked_for():
    attempt = Attempt(home_files=((".shop/db.ini", "{database_url}"),))
    assert follow(attempt, a_failure(Fault.HOME_FILE, path=".shop/db.ini")) == Stop(
        "env.py cannot use a made-up ~/.shop/db.ini: KeyError: 'X'",
        "Give the file in the policy file; `{database_url}` and the like are filled in: "
        "`project: {home: {.shop/db.ini: …}}`",
    )


def test_a_home_file_of_another_form_is_asked_for():
    """Its error is the parser's, and names no file."""
    attempt = Attempt(home_files=((".shop/db.json", "{database_url}"),))
    assert follow(attempt, a_failure()) == Stop(
        "env.py cannot use a made-up ~/.shop/db.json: KeyError: 'X'",
        "Give the file in the policy file; `{database_url}` and the like are filled in: "
        "`project: {home: {.shop/db.json: …}}`",
    )


def test_variables_that_are_read_and_those_of_the_last_attempt_are_named():
    attempt = Attempt(variables=(("DB_CREDENTIALS", "{database_user}"),))
    failure = a_failure(absent_variables=("PYTHONASYNCIODEBUG", "APP_ENV"))
    assert follow(attempt, failure) == Stop(
        COULD_NOT, CHECK_ALEMBIC.replace("NAME: …", "DB_CREDENTIALS: …, APP_ENV: …")
    )


def test_of_several_variables_those_are_set_that_have_a_value():
    failure = a_failure(
        Fault.MISSING_VARIABLE, variables=(Wanted("PORT", Kind.INT), Wanted("PLANS", Kind.OTHER))
    )
    following = follow(Attempt(), failure)
    assert isinstance(following, Attempt)
    assert following.variables == (("PORT", "1"),)
    assert follow(following, failure) == Stop(
        "the project does not start without `PLANS`: KeyError: 'X'",
        "Give a value to the project's code in the policy file: `project: {env: {PLANS: …}}`",
    )


@pytest.mark.parametrize(
    ("attempt", "facts"),
    [
        (Attempt(), some_facts(absent_variables=("DATABASE_URL",))),
        (Attempt(), some_facts(other_dialects=("sqlite",), absent_variables=("SECRET_KEY",))),
        (
            Attempt(variables=(("DB_HOST", "{database_host}"),)),
            some_facts(other_dialects=("sqlite",), absent_variables=("DATABASE_URL",)),
        ),
        (
            Attempt(ways=(Way.OTHER_DIALECT,)),
            some_facts(other_dialects=("sqlite",), absent_variables=("DATABASE_URL",)),
        ),
    ],
)
def test_success_that_is_good_enough(attempt, facts):
    assert attempt_after_success(attempt, facts, ()) is None


def test_success_on_another_dialect_is_tried_once_more_and_come_back_to():
    facts = some_facts(other_dialects=("sqlite",), absent_variables=("DATABASE_URL",))
    before = Attempt(variables=(("STAGE", "dummy"),), guessed=("STAGE",))
    better = attempt_after_success(before, facts, ())
    assert better is not None
    assert better.variables == (("STAGE", "dummy"), ("DATABASE_URL", "{database_url}"))
    assert without_variables(before, better) == Attempt(
        variables=before.variables,
        guessed=before.guessed,
        ways=(Way.OTHER_DIALECT,),
        reasons=("with DATABASE_URL set it does not start",),
    )
