"""What is tried after a failure, and when to stop."""

from __future__ import annotations

import pytest

from gatekeeper.model import StepError
from gatekeeper.probe.attempts import (
    Attempt,
    FlaskApp,
    Piece,
    Stop,
    attempt_after_success,
    next_attempt,
    piece_of,
    values_of,
)
from gatekeeper.probe.protocol import Fault, ProbeFacts, StartFailure, Target

TARGET = Target("127.0.0.1", 5433, "gate", "word", "db_1", "marker")


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


@pytest.mark.parametrize(
    "name",
    [
        "SECRET_KEY",
        "HOME",
        "REDIS_URL",
        "DATABASE_POOL_SIZE",
        "DB_SSL_HOST",
        "DATABASE_SCHEMA",
        "IP_GEOLOCATION_DATABASE_NAME",
        "PYTZ_TZDATADIR",
        "MAPBOX_API_KEY",
        "OPENAI_API_KEY",
        "DATABASE_URL_CMD",
        "DATABASE_PASSWORD_FILE",
        "DB_TIMEOUT",
        "HOST",
        "SERVER_NAME",
    ],
)
def test_variables_that_are_not_the_database(name):
    assert piece_of(name) is None


@pytest.mark.parametrize(
    ("name", "piece"),
    [
        ("DATABASE_URL", Piece.URL),
        ("SQLALCHEMY_DATABASE_URI", Piece.URL),
        ("shop_db_dsn", Piece.URL),
        ("SHOP_SQL_ALCHEMY_CONN", Piece.URL),
        ("DB_CONNECTION_STRING", Piece.URL),
        ("ASYNC_DATABASE_URL", Piece.ASYNC_URL),
        ("POSTGRES_HOST", Piece.HOST),
        ("DB_SERVER", Piece.HOST),
        ("DB_PORT", Piece.PORT),
        ("POSTGRES_USER", Piece.USER),
        ("DATABASE_PWD", Piece.PASSWORD),
        ("POSTGRES_DB", Piece.DATABASE),
        ("DB_NAME", Piece.DATABASE),
        ("DB_CREDENTIALS", Piece.CREDENTIALS),
        ("DB_ENGINE", Piece.DRIVER),
        ("DATABASEURL", Piece.URL),
    ],
)
def test_variables_that_are_the_database(name, piece):
    assert piece_of(name) is piece


def test_values_lead_to_the_target():
    attempt = Attempt(variables=tuple((piece.name, piece) for piece in Piece))
    assert values_of(attempt, TARGET) == {
        "URL": "postgresql://gate:word@127.0.0.1:5433/db_1",
        "ASYNC_URL": "postgresql+asyncpg://gate:word@127.0.0.1:5433/db_1",
        "HOST": "127.0.0.1",
        "PORT": "5433",
        "USER": "gate",
        "PASSWORD": "word",
        "DATABASE": "db_1",
        "CREDENTIALS": "gate:word",
        "DRIVER": "postgres",
    }


@pytest.mark.parametrize(
    ("attempt", "failure", "following"),
    [
        pytest.param(
            Attempt(),
            a_failure(absent_variables=("HOME", "DB_HOST", "DATABASE_URL")),
            Attempt(
                variables=(("DATABASE_URL", Piece.URL),),
                reasons=("DATABASE_URL was unset; set to the ephemeral database",),
            ),
            id="URLs before parts",
        ),
        pytest.param(
            Attempt(variables=(("DATABASE_URL", Piece.URL),), reasons=("r",)),
            a_failure(absent_variables=("DB_HOST", "DATABASE_URL")),
            Attempt(
                variables=(("DATABASE_URL", Piece.URL), ("DB_HOST", Piece.HOST)),
                reasons=("r", "DB_HOST was unset; set to the ephemeral database's host"),
            ),
            id="then parts",
        ),
        pytest.param(
            Attempt(),
            a_failure(Fault.ASYNC_DRIVER, absent_variables=("DATABASE_URL",)),
            Attempt(
                prefers_async=True,
                reasons=("env.py needs an asynchronous driver: asyncpg was chosen",),
            ),
            id="asynchronous driver",
        ),
        pytest.param(
            Attempt(flask=FlaskApp.OWN),
            a_failure(Fault.MISSING_VARIABLE, variables=("SECRET_KEY",)),
            Attempt(
                flask=FlaskApp.BARE,
                reasons=(
                    "the application's own Flask object could not be made; "
                    "a bare one took its place",
                ),
            ),
            id="bare Flask application",
        ),
    ],
)
def test_one_change_at_a_time(attempt, failure, following):
    assert next_attempt(attempt, failure, (), "python") == following


@pytest.mark.parametrize(
    ("failure", "stop"),
    [
        pytest.param(
            a_failure(Fault.MISSING_MODULE, module="celery", absent_variables=("DATABASE_URL",)),
            Stop(
                "the environment of .venv/bin/python is incomplete: it cannot import `celery`",
                "Install the project's dependencies there, or name the interpreter that has them "
                "with `--python PATH`.",
            ),
            id="package",
        ),
        pytest.param(
            a_failure(
                Fault.MISSING_VARIABLE,
                variables=("SECRET_KEY", "DATABASE_URL", "SALT"),
                absent_variables=("SECRET_KEY", "DATABASE_URL", "SALT"),
            ),
            Stop(
                "the project does not start without `SECRET_KEY`, `SALT`: KeyError: 'X'",
                "Give a value to the project's code in the policy file: "
                "`project: {env: {SECRET_KEY: …, SALT: …}}`",
            ),
            id="variables of other things",
        ),
        pytest.param(
            a_failure(absent_variables=("DATABASE_URL",)),
            Stop(
                "env.py could not be run: KeyError: 'X'",
                "Check that `alembic current` works with the project's own environment; "
                "variables that it needs go into the policy file: `project: {env: {NAME: …}}`",
            ),
            id="nothing left",
        ),
    ],
)
def test_stops_with_what_to_do(failure, stop):
    given = {"DATABASE_URL": "postgresql://db.example.com/shop"}
    assert next_attempt(Attempt(), failure, given, ".venv/bin/python") == stop


@pytest.mark.parametrize(
    ("attempt", "facts"),
    [
        (Attempt(), some_facts(absent_variables=("DATABASE_URL",))),
        (Attempt(), some_facts(other_dialects=("sqlite",), absent_variables=("SECRET_KEY",))),
        (
            Attempt(variables=(("DB_HOST", Piece.HOST),)),
            some_facts(other_dialects=("sqlite",), absent_variables=("DATABASE_URL",)),
        ),
    ],
)
def test_success_that_is_good_enough(attempt, facts):
    assert attempt_after_success(attempt, facts, ()) is None


def test_success_on_another_dialect_is_tried_once_more():
    facts = some_facts(other_dialects=("sqlite",), absent_variables=("DATABASE_URL",))
    following = attempt_after_success(Attempt(), facts, ())
    assert following is not None
    assert following.variables == (("DATABASE_URL", Piece.URL),)
