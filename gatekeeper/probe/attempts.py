"""From a failed attempt to the next: one thing is changed at a time, and it is said.

Values are read when the application is imported, so each attempt is a process of its own,
on a database of its own. Nothing here runs anything.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Collection
from dataclasses import dataclass, replace

from gatekeeper.probe.protocol import Fault, ProbeFacts, StartFailure, Target

ATTEMPTS_AT_MOST = 6


class Piece(enum.Enum):
    """Which part of the ephemeral database's address a variable is to hold."""

    URL = "URL"
    ASYNC_URL = "asyncpg URL"
    HOST = "host"
    PORT = "port"
    USER = "user"
    PASSWORD = "password"
    DATABASE = "name"
    CREDENTIALS = "user and password"
    DRIVER = "kind"


class FlaskApp(enum.Enum):
    """Which application Flask-Migrate's env.py finds as `current_app`."""

    OWN = "own"
    BARE = "bare"


@dataclass(frozen=True)
class Attempt:
    """How the project is started. `reasons` holds one line for each thing changed."""

    variables: tuple[tuple[str, Piece], ...] = ()
    prefers_async: bool = False
    gives_connection: bool = False
    flask: FlaskApp | None = None
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class Stop:
    """No attempt is left: what a person has to know and do."""

    what: str
    fix: str


def next_attempt(
    attempt: Attempt, failure: StartFailure, environment: Collection[str], interpreter: str
) -> Attempt | Stop:
    """Return what to try after a failure, or why there is nothing left to try.

    `environment` names the variables that are set already.
    """
    if failure.fault is Fault.MISSING_MODULE:
        return _incomplete(failure, interpreter)
    unknown = [name for name in failure.variables if piece_of(name) is None]
    if failure.fault is Fault.MISSING_VARIABLE and unknown and attempt.flask is not FlaskApp.OWN:
        return _ask_for(unknown, failure)
    if failure.fault is Fault.ASYNC_DRIVER and not attempt.prefers_async:
        return _changed(
            attempt, "env.py needs an asynchronous driver: asyncpg was chosen", prefers_async=True
        )
    if failure.fault is Fault.NO_CONNECTION and not attempt.gives_connection:
        return replace(
            attempt,
            gives_connection=True,
            reasons=(
                *attempt.reasons,
                "env.py demands a Connection of its caller: one to the ephemeral database was "
                "given",
            ),
        )
    names = [*failure.variables, *failure.absent_variables]
    filled = _fill(attempt, names, environment)
    if filled is not None:
        return filled
    if attempt.flask is FlaskApp.OWN:
        return _changed(
            attempt,
            "the application's own Flask object could not be made; a bare one took its place",
            flask=FlaskApp.BARE,
        )
    return _ask_for(unknown, failure) if unknown else _give_up(failure)


def attempt_after_success(
    attempt: Attempt, facts: ProbeFacts, environment: Collection[str]
) -> Attempt | None:
    """Return an attempt that may be better than a success on a rewritten dialect.

    A project whose default is SQLite often decides by it what a migration does; with its
    database variable set it would not.
    """
    if not facts.other_dialects or attempt.variables:
        return None
    return _fill(attempt, facts.absent_variables, environment)


def values_of(attempt: Attempt, target: Target) -> dict[str, str]:
    """Return the environment variables that an attempt sets."""
    return {name: _value(piece, target) for name, piece in attempt.variables}


def piece_of(name: str) -> Piece | None:
    """Tell what a variable wants by its name; None where it is not the database's."""
    words = name.upper().split("_")
    if not _names_a_database(words) or _EXCLUDED.intersection(words):
        return None
    if name.upper().endswith(("_CMD", "_FILE", "_SECRET")):
        return None
    last = "_".join(words[-2:])
    if words[-1] in _URL_WORDS or last in ("CONNECTION_STRING", "CONNECTION_URL"):
        return Piece.ASYNC_URL if "ASYNC" in words else Piece.URL
    return _PARTS.get(words[-1])


_DATABASE_WORDS = frozenset(
    {"DATABASE", "DB", "POSTGRES", "POSTGRESQL", "PG", "SQLALCHEMY", "SQL", "ALCHEMY"}
)
_GLUED = re.compile(r"^(DATABASE|DB|POSTGRES|PG)(URL|URI|DSN|HOST|PORT|USER|PASSWORD|NAME)$")
_URL_WORDS = frozenset({"URL", "URI", "DSN", "CONN", "CONNECTION", "DATABASEURL", "DBURL"})
_EXCLUDED = frozenset(
    {"REDIS", "MONGO", "MONGODB", "MYSQL", "CLICKHOUSE", "VECTOR", "SSL", "TLS", "POOL"}
    | {"TIMEOUT", "SCHEMA", "GEOLOCATION", "SQLITE", "REPLICA"}
)
_PARTS = {
    "HOST": Piece.HOST,
    "HOSTNAME": Piece.HOST,
    "SERVER": Piece.HOST,
    "PORT": Piece.PORT,
    "USER": Piece.USER,
    "USERNAME": Piece.USER,
    "PASSWORD": Piece.PASSWORD,
    "PASS": Piece.PASSWORD,
    "PWD": Piece.PASSWORD,
    "NAME": Piece.DATABASE,
    "DB": Piece.DATABASE,
    "DATABASE": Piece.DATABASE,
    "CREDENTIALS": Piece.CREDENTIALS,
    "ENGINE": Piece.DRIVER,
    "TYPE": Piece.DRIVER,
    "DRIVER": Piece.DRIVER,
}


def _names_a_database(words: list[str]) -> bool:
    return bool(_DATABASE_WORDS.intersection(words)) or words[-1] in ("DATABASEURL", "DBURL")


def _fill(attempt: Attempt, names: Collection[str], environment: Collection[str]) -> Attempt | None:
    """Set the URLs first and the parts only after that: parts guess more."""
    known = {name for name, _ in attempt.variables} | set(environment)
    wanted = {
        name: piece for name in names if name not in known and (piece := piece_of(name)) is not None
    }
    urls = {n: p for n, p in wanted.items() if p in (Piece.URL, Piece.ASYNC_URL)}
    chosen = urls or wanted
    if not chosen:
        return None
    reasons = tuple(
        f"{name} was unset; set to the ephemeral database"
        + ("" if piece in (Piece.URL, Piece.ASYNC_URL) else f"'s {piece.value}")
        for name, piece in chosen.items()
    )
    return replace(
        attempt,
        variables=(*attempt.variables, *chosen.items()),
        reasons=(*attempt.reasons, *reasons),
    )


def _changed(
    attempt: Attempt, reason: str, *, prefers_async: bool = False, flask: FlaskApp | None = None
) -> Attempt:
    return replace(
        attempt,
        prefers_async=prefers_async or attempt.prefers_async,
        flask=flask or attempt.flask,
        reasons=(*attempt.reasons, reason),
    )


def _value(piece: Piece, target: Target) -> str:
    address = f"{target.user}:{target.password}@{target.host}:{target.port}/{target.database}"
    return {
        Piece.URL: f"postgresql://{address}",
        Piece.ASYNC_URL: f"postgresql+asyncpg://{address}",
        Piece.HOST: target.host,
        Piece.PORT: str(target.port),
        Piece.USER: target.user,
        Piece.PASSWORD: target.password,
        Piece.DATABASE: target.database,
        Piece.CREDENTIALS: f"{target.user}:{target.password}",
        Piece.DRIVER: "postgres",
    }[piece]


def _incomplete(failure: StartFailure, interpreter: str) -> Stop:
    return Stop(
        f"the environment of {interpreter} is incomplete: it cannot import `{failure.module}`",
        "Install the project's dependencies there, or name the interpreter that has them "
        "with `--python PATH`.",
    )


def _ask_for(names: list[str], failure: StartFailure) -> Stop:
    listed = ", ".join(f"`{name}`" for name in names)
    entries = ", ".join(f"{name}: …" for name in names)
    return Stop(
        f"the project does not start without {listed}{_reason(failure)}",
        f"Give a value to the project's code in the policy file: `project: {{env: {{{entries}}}}}`",
    )


def _give_up(failure: StartFailure) -> Stop:
    if failure.fault is Fault.NEVER_CONNECTED:
        return Stop(
            "env.py came to its end without running migrations on any connection",
            "Look at what env.py needs before it calls `context.run_migrations()`; variables go "
            "into the policy file: `project: {env: {NAME: …}}`",
        )
    if failure.fault is Fault.NO_APP_CONTEXT:
        return Stop(
            f"env.py needs a Flask application and none was found{_reason(failure)}",
            "Name it as `flask` would take it: `project: {env: {FLASK_APP: package.module:app}}`",
        )
    return Stop(
        f"env.py could not be run{_reason(failure)}",
        "Check that `alembic current` works with the project's own environment; variables that "
        "it needs go into the policy file: `project: {env: {NAME: …}}`",
    )


def _reason(failure: StartFailure) -> str:
    if failure.error is None:
        return ""
    return f": {failure.error.type}: {failure.error.message}"
