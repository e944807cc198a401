"""What a variable is to hold, told by its name and the kind that was asked for. No I/O.

The values stand for themselves: what was tried is what can be saved. None of them is
secret, and none leads anywhere (RFC 2606 keeps `.invalid` free).
"""

from __future__ import annotations

import re
from collections.abc import Collection

from gatekeeper.probe.model import Kind, Wanted
from gatekeeper.probe.placeholders import PRIVATE_FOLDER, Placeholder

SECRET = "Dummy0" * 8  # 48 letters and digits: long enough for what checks its length

_USER, _PASSWORD = Placeholder.USER.value, Placeholder.PASSWORD.value
_PARTS = {
    "HOST": Placeholder.HOST.value,
    "HOSTNAME": Placeholder.HOST.value,
    "SERVER": Placeholder.HOST.value,
    "PORT": Placeholder.PORT.value,
    "USER": _USER,
    "USERNAME": _USER,
    "PASSWORD": _PASSWORD,
    "PASS": _PASSWORD,
    "PWD": _PASSWORD,
    "NAME": Placeholder.NAME.value,
    "DB": Placeholder.NAME.value,
    "DATABASE": Placeholder.NAME.value,
    "CREDENTIALS": f"{_USER}:{_PASSWORD}",
    "ENGINE": "postgres",
    "TYPE": "postgres",
    "DRIVER": "postgres",
}
URLS = (Placeholder.URL.value, Placeholder.ASYNC_URL.value)
_DATABASE_WORDS = frozenset(
    {"DATABASE", "DB", "POSTGRES", "POSTGRESQL", "PG", "SQLALCHEMY", "SQL", "ALCHEMY"}
)
_URL_WORDS = frozenset({"URL", "URI", "DSN", "CONN", "CONNECTION", "DATABASEURL", "DBURL"})
_EXCLUDED = frozenset(
    {"REDIS", "MONGO", "MONGODB", "MYSQL", "CLICKHOUSE", "VECTOR", "SSL", "TLS", "POOL"}
    | {"TIMEOUT", "SCHEMA", "GEOLOCATION", "SQLITE", "REPLICA"}
)
# Variants that some projects read of every variable: what stands there is run, opened or
# looked up elsewhere.
_VARIANTS = ("_CMD", "_COMMAND", "_FILE")
_FOLDER_WORDS = frozenset({"DIR", "DIRECTORY", "FOLDER", "PATH", "ROOT", "HOME"})
_OF_OTHERS = frozenset({"PYTHON", "PYTHONPATH", "PYTHONHOME", "XDG", "SSL", "LD", "VIRTUAL"})
_SECRET_WORDS = frozenset({"SECRET", "KEY", "SALT", "TOKEN", "PASSWORD", "PASSPHRASE"})
_SCHEMES = {
    "redis": "redis://dummy.invalid:6379/0",
    "rediss": "rediss://dummy.invalid:6379/0",
    "amqp": "amqp://dummy.invalid:5672",
    "amqps": "amqps://dummy.invalid:5671",
    "mongodb": "mongodb://dummy.invalid:27017/dummy",
    "http": "http://dummy.invalid",
    "https": "https://dummy.invalid",
}


def of_database(name: str) -> str | None:
    """Return what a variable of the database is to hold; None where it is another's."""
    words = name.upper().split("_")
    names_one = bool(_DATABASE_WORDS.intersection(words)) or words[-1] in ("DATABASEURL", "DBURL")
    if not names_one or _EXCLUDED.intersection(words):
        return None
    if name.upper().endswith((*_VARIANTS, "_SECRET")):
        return None
    last = "_".join(words[-2:])
    if words[-1] in _URL_WORDS or last in ("CONNECTION_STRING", "CONNECTION_URL"):
        return Placeholder.ASYNC_URL.value if "ASYNC" in words else Placeholder.URL.value
    return _PARTS.get(words[-1])


def made_up(wanted: Wanted) -> str | None:
    """Return a value for a variable that a failure asks for; None where any would be wrong."""
    words = wanted.name.upper().split("_")
    if wanted.name.upper().endswith(_VARIANTS):
        return None
    if wanted.kind is Kind.URL:
        return _url(wanted.scheme or "http")
    if wanted.kind is Kind.TEXT:
        return _text(words)
    return {
        Kind.SECRET: SECRET,
        Kind.BOOL: "false",
        Kind.INT: "1",
        Kind.FLOAT: "1.0",
        Kind.EMAIL: "dummy@example.com",
        Kind.FOLDER: PRIVATE_FOLDER,
    }.get(wanted.kind)


def is_of_others(name: str) -> bool:
    """Tell a variable that the interpreter or a library reads, whoever's code it runs."""
    return name.startswith(("PYTHON", "PYDANTIC_", "XDG_", "SSL_", "LC_", "LD_", "NO_COLOR"))


def is_secret(name: str) -> bool:
    """Tell whether a variable holds something secret, by its name."""
    return not _SECRET_WORDS.isdisjoint(name.upper().split("_"))


def _url(scheme: str) -> str | None:
    if scheme.startswith("postgres"):
        is_async = scheme == "postgresql+asyncpg"
        return Placeholder.ASYNC_URL.value if is_async else Placeholder.URL.value
    return _SCHEMES.get(scheme)


def _text(words: list[str]) -> str:
    """Return a text; where the name says what is parsed of it, one that can be."""
    if words[-1] in ("URL", "URI", "DSN"):
        return _SCHEMES[next((word.lower() for word in words if word.lower() in _SCHEMES), "https")]
    if words[-1] == "PORT":
        return "1"
    if words[-1] in _FOLDER_WORDS:
        return PRIVATE_FOLDER
    return SECRET if is_secret("_".join(words)) else "dummy"


def secrets_among(names: Collection[str]) -> list[str]:
    """Return the variables that hold the application's own secrets.

    Keys of other people's services are left out, and so is the variant of a variable that
    names an entry of a secret store.
    """
    return [
        name
        for name in names
        if re.search(r"SECRET|SALT$|_KEY$", name.upper())
        and not re.search(r"API_|ACCESS_|PUBLIC_|^AWS_|^AZURE_|^GOOGLE_", name.upper())
        and not name.upper().endswith(_VARIANTS)
        and name.removesuffix("_SECRET") not in (set(names) - {name})
    ]


def folders_among(names: Collection[str], path: str) -> list[str]:
    """Return the variables that could have led elsewhere than to a path that is closed."""
    found = [
        name
        for name in names
        if name.upper().split("_")[-1] in _FOLDER_WORDS
        and "_" in name
        and not _OF_OTHERS.intersection(name.upper().split("_"))
    ]
    parts = _singular(re.split(r"[/_.-]", path.lower()))
    near = [name for name in found if parts & _singular(name.lower().split("_")[:-1])]
    return near or (found if len(found) == 1 else [])


def _singular(words: list[str]) -> set[str]:
    return {word.removesuffix("s") for word in words if word}
