"""What a variable is to hold, by its name and kind, and how it is filled in."""

from __future__ import annotations

import pytest

from gatekeeper.probe.guesses import SECRET, folders_among, made_up, of_database, secrets_among
from gatekeeper.probe.model import Kind, Target, Wanted
from gatekeeper.probe.placeholders import Placeholder, fill, fill_each, names_database

TARGET = Target("127.0.0.1", 5433, "gate", "w:rd", "db_1", "marker")


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
    assert of_database(name) is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", "{database_url}"),
        ("SQLALCHEMY_DATABASE_URI", "{database_url}"),
        ("shop_db_dsn", "{database_url}"),
        ("SHOP_SQL_ALCHEMY_CONN", "{database_url}"),
        ("DB_CONNECTION_STRING", "{database_url}"),
        ("ASYNC_DATABASE_URL", "{async_database_url}"),
        ("POSTGRES_HOST", "{database_host}"),
        ("DB_SERVER", "{database_host}"),
        ("DB_PORT", "{database_port}"),
        ("POSTGRES_USER", "{database_user}"),
        ("DATABASE_PWD", "{database_password}"),
        ("POSTGRES_DB", "{database_name}"),
        ("DB_NAME", "{database_name}"),
        ("DB_CREDENTIALS", "{database_user}:{database_password}"),
        ("DB_ENGINE", "postgres"),
        ("DATABASEURL", "{database_url}"),
    ],
)
def test_variables_that_are_the_database(name, value):
    assert of_database(name) == value


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("plain", "plain"),
        (
            "{database} {} {DATABASE_URL} {database_url",
            "{database} {} {DATABASE_URL} {database_url",
        ),
        ("{database_url}", "postgresql://gate:w%3Ard@127.0.0.1:5433/db_1"),
        ("{async_database_url}", "postgresql+asyncpg://gate:w%3Ard@127.0.0.1:5433/db_1"),
        (
            "{database_host} {database_port} {database_user} {database_password} {database_name}",
            "127.0.0.1 5433 gate w:rd db_1",
        ),
        ("{{database_host}}", "{127.0.0.1}"),
    ],
)
def test_placeholders_and_no_other_braces_are_filled(text, filled):
    assert fill(text, TARGET) == filled
    assert names_database(text) == (text != filled)


def test_urls_of_several_variables_are_told_apart():
    texts = {"A": "a", "DATABASE_URL": "{database_url}", "STOCK_URL": "{database_url}"}
    assert fill_each({**texts, "NAME": "{database_name}"}, TARGET) == {
        "A": "a",
        "DATABASE_URL": "postgresql://gate:w%3Ard@127.0.0.1:5433/db_1",
        "STOCK_URL": "postgresql://gate:w%3Ard@127.0.0.1:5433/stock_url",
        "NAME": "db_1",
    }


def test_every_placeholder_has_a_word():
    assert all(fill(p.value, TARGET) != p.value for p in Placeholder)


@pytest.mark.parametrize(
    ("wanted", "value"),
    [
        (Wanted("STAGE"), "dummy"),
        (Wanted("SECRET_KEY"), SECRET),
        (Wanted("PASSWORD_SALT"), SECRET),
        (Wanted("MAIL", Kind.SECRET), SECRET),
        (Wanted("DEBUG", Kind.BOOL), "false"),
        (Wanted("WORKERS", Kind.INT), "1"),
        (Wanted("SMTP_PORT"), "1"),
        (Wanted("RATE", Kind.FLOAT), "1.0"),
        (Wanted("ADMIN", Kind.EMAIL), "dummy@example.com"),
        (Wanted("UPLOADS", Kind.FOLDER), "{private_folder}"),
        (Wanted("UPLOAD_DIR"), "{private_folder}"),
        (Wanted("FRONTEND_URL"), "https://dummy.invalid"),
        (Wanted("REDIS_URL"), "redis://dummy.invalid:6379/0"),
        (Wanted("BROKER", Kind.URL, "amqp"), "amqp://dummy.invalid:5672"),
        (Wanted("STORE", Kind.URL, "postgresql"), "{database_url}"),
        (Wanted("STORE", Kind.URL, "postgresql+asyncpg"), "{async_database_url}"),
        (Wanted("STORE", Kind.URL, "clickhouse"), None),
        (Wanted("PLANS", Kind.OTHER), None),
        (Wanted("SECRET_KEY_CMD"), None),
        (Wanted("SECRET_KEY_FILE"), None),
    ],
)
def test_values_that_are_made_up(wanted, value):
    assert made_up(wanted) == value


def test_a_made_up_secret_is_long_and_plain():
    assert len(SECRET) == 48
    assert SECRET.isalnum()


def test_secrets_of_the_application_and_not_of_other_services():
    names = (
        *("SECRET_KEY", "SHOP_JWT_SECRET", "SIGNING_KEY", "PASSWORD_SALT"),
        *("OPENAI_API_KEY", "AWS_SECRET_ACCESS_KEY", "SECRET_KEY_CMD", "BROKER_URL"),
        *("BROKER_URL_SECRET", "PUBLIC_KEY"),
    )
    assert secrets_among(names) == ["SECRET_KEY", "SHOP_JWT_SECRET", "SIGNING_KEY", "PASSWORD_SALT"]


@pytest.mark.parametrize(
    ("names", "path", "folders"),
    [
        (("PYTHONPATH", "XDG_CACHE_HOME", "HOME", "SSL_CERT_DIR"), "/srv/data", []),
        (("UPLOAD_DIR", "LOG_DIR"), "/srv/data", []),
        (("UPLOAD_DIR",), "/srv/data", ["UPLOAD_DIR"]),
        (("UPLOAD_DIR", "LOG_DIR"), "/var/log/shop", ["LOG_DIR"]),
        (("UPLOAD_DIR", "LOG_DIR"), "/srv/uploads", ["UPLOAD_DIR"]),
    ],
)
def test_folders_that_could_have_led_elsewhere(names, path, folders):
    assert folders_among(names, path) == folders
