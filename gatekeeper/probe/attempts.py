"""From a failed attempt to the next: one thing is changed at a time, and it is said.

Values are read when the application is imported, so each attempt is a process of its own,
on a database of its own. Nothing here runs anything.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace

from gatekeeper.model import Learned, Way
from gatekeeper.probe import guesses
from gatekeeper.probe.layout import import_paths
from gatekeeper.probe.placeholders import PRIVATE_FOLDER, Placeholder, names_database
from gatekeeper.probe.protocol import Fault, Kind, Launch, ProbeFacts, StartFailure, Wanted

# Most need one or two. A project that reads its variables one by one needs one for each.
ATTEMPTS_AT_MOST = 16

_IN_ENV = "`project: {{env: {{{entries}}}}}`"


@dataclass(frozen=True)
class Attempt:
    """How the project is started. `reasons` holds one line for each thing changed.

    The values of `variables` and `home_files` may hold placeholders. `guessed` are the
    variables whose value is made up.
    """

    variables: tuple[tuple[str, str], ...] = ()
    guessed: tuple[str, ...] = ()
    ways: tuple[Way, ...] = ()
    home_files: tuple[tuple[str, str], ...] = ()
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class Stop:
    """No attempt is left: what a person has to know and do."""

    what: str
    fix: str


_WAYS = {
    Fault.ASYNC_DRIVER: (
        Way.ASYNCPG,
        "env.py needs an asynchronous driver: asyncpg was chosen",
    ),
    Fault.NO_CONNECTION: (
        Way.CONNECTION,
        "env.py demands a Connection of its caller: one to the ephemeral database was given",
    ),
    Fault.WORKER_THREAD: (
        Way.WORKER_THREAD,
        "env.py wants to be run in a worker thread of AnyIO: it was",
    ),
    Fault.THREAD: (
        Way.THREAD,
        "an event loop runs already where env.py is run: it was run in a thread",
    ),
    Fault.RUNNING_LOOP: (
        Way.RUNNING_LOOP,
        "env.py wants a running event loop: it was run inside of one",
    ),
}


def next_attempt(
    attempt: Attempt, failure: StartFailure, launch: Launch, examples: Mapping[str, str]
) -> Attempt | Stop:
    """Return what to try after a failure, or why there is nothing left to try.

    `examples` are values that the checkout's own files give to variables.
    """
    if failure.fault is Fault.BROKEN_PROMISE and failure.error is not None:
        return Stop(failure.error.message, "Call `run()` once in it, and let it end.")
    if failure.fault is Fault.MISSING_MODULE:
        return _incomplete(failure, launch)
    if failure.fault is Fault.MISSING_ARGUMENT:
        return _ask_for_arguments(failure)
    way = _WAYS.get(failure.fault)
    if way is not None and way[0] not in attempt.ways:
        return _with_way(attempt, *way)
    following = (
        _fill_wanted(attempt, _wanted(attempt, failure, launch), examples)
        or _give_folder(attempt, failure, launch)
        or _give_home_file(attempt, failure)
        or _fill_database(attempt, failure.absent_variables, launch.environment)
        or _flip(attempt, failure)
    )
    if following is not None:
        return following
    can_be_bare = launch.project.flask_migrate and not launch.has_own_app
    if can_be_bare and Way.BARE_FLASK_APP not in attempt.ways:
        return _with_way(
            attempt,
            Way.BARE_FLASK_APP,
            "the application's own Flask object could not be made; a bare one took its place",
        )
    unknown = _without_value(_wanted(attempt, failure, launch), examples)
    if unknown:
        return _ask_for(unknown, failure)
    return _give_up(attempt, failure, launch.environment)


def attempt_after_success(
    attempt: Attempt, facts: ProbeFacts, environment: Collection[str]
) -> Attempt | None:
    """Return an attempt that may be better than a success on a rewritten dialect.

    A project whose default is SQLite often decides by it what a migration does; with its
    database variable set it would not.
    """
    if not facts.other_dialects or Way.OTHER_DIALECT in attempt.ways:
        return None
    if any(names_database(value) for _, value in attempt.variables):
        return None
    return _fill_database(attempt, facts.absent_variables, environment)


def without_variables(fallback: Attempt, tried: Attempt) -> Attempt:
    """Return the attempt that went well before, once what was to be better has failed."""
    names = [name for name, _ in tried.variables if name not in dict(fallback.variables)]
    reason = "with " + ", ".join(names) + " set it does not start"
    return _with_way(fallback, Way.OTHER_DIALECT, reason)


def learned_by(attempt: Attempt, launch: Launch) -> Learned:
    """Return what an attempt holds beyond what the launch began with."""
    return Learned(
        env=dict(attempt.variables),
        start=tuple(way for way in attempt.ways if way not in launch.ways),
        home={n: text for n, text in attempt.home_files if n not in launch.home_files},
    )


# --- Variables -----------------------------------------------------------------------


def _wanted(attempt: Attempt, failure: StartFailure, launch: Launch) -> list[Wanted]:
    """Return the variables that the failure asks for and that have no value yet."""
    wanted = list(failure.variables)
    if failure.fault is Fault.SECRET and not wanted:
        wanted = [Wanted(name) for name in guesses.secrets_among(failure.absent_variables)]
    known = {name for name, _ in attempt.variables} | set(launch.environment)
    return [each for each in wanted if each.name not in known]


def _fill_wanted(
    attempt: Attempt, wanted: list[Wanted], examples: Mapping[str, str]
) -> Attempt | None:
    """Set the variables that a failure names; None where one has no value that is right."""
    if not wanted or _without_value(wanted, examples):
        return None
    for each in wanted:
        value = _value(each, examples)
        assert value is not None
        reason = None
        if value == examples.get(each.name):
            reason = f"{each.name} was unset; its value in the checkout's example was taken"
        elif guesses.of_database(each.name) != value and not names_database(value):
            attempt = replace(attempt, guessed=(*attempt.guessed, each.name))
        attempt = _with_variable(attempt, each.name, value, reason)
    return attempt


def _value(wanted: Wanted, examples: Mapping[str, str]) -> str | None:
    of_database = None if wanted.kind is Kind.OTHER else guesses.of_database(wanted.name)
    return of_database or examples.get(wanted.name) or guesses.made_up(wanted)


def _without_value(wanted: list[Wanted], examples: Mapping[str, str]) -> list[str]:
    return [each.name for each in wanted if _value(each, examples) is None]


def _fill_database(
    attempt: Attempt, names: Collection[str], environment: Collection[str]
) -> Attempt | None:
    """Set the URLs first and the parts only after that: parts guess more."""
    known = {name for name, _ in attempt.variables} | set(environment)
    wanted = {
        name: value
        for name in names
        if name not in known and (value := guesses.of_database(name)) is not None
    }
    urls = {name: value for name, value in wanted.items() if value in guesses.URLS}
    if not wanted:
        return None
    for name, value in (urls or wanted).items():
        attempt = _with_variable(attempt, name, value)
    return attempt


def _flip(attempt: Attempt, failure: StartFailure) -> Attempt | None:
    """Set the made-up booleans to true, those that the error names or else all."""
    off = [name for name, value in attempt.variables if value == "false"]
    off = [name for name in off if name in attempt.guessed]
    text = "" if failure.error is None else failure.error.message.upper()
    named = [name for name in off if name.upper() in text] or off
    if not named or failure.variables:
        return None
    variables = tuple((n, "true" if n in named else value) for n, value in attempt.variables)
    reason = f"with {', '.join(named)} false it does not start: set to true"
    return replace(attempt, variables=variables, reasons=(*attempt.reasons, reason))


def _give_folder(attempt: Attempt, failure: StartFailure, launch: Launch) -> Attempt | None:
    if failure.fault is not Fault.CLOSED_PATH or failure.path is None:
        return None
    known = {name for name, _ in attempt.variables} | set(launch.environment)
    absent = [name for name in failure.absent_variables if name not in known]
    names = guesses.folders_among(absent, failure.path)
    for name in names:
        reason = f"{failure.path} could not be had; {name} was set to a private folder"
        attempt = _with_variable(attempt, name, PRIVATE_FOLDER, reason)
    return attempt if names else None


def _give_home_file(attempt: Attempt, failure: StartFailure) -> Attempt | None:
    """Give the file that is read in the home directory the database's URL."""
    path = failure.path
    if failure.fault is not Fault.HOME_FILE or path is None or not path.isprintable():
        return None
    if path in dict(attempt.home_files):
        return None
    reason = f"~/{path} is not there; one with the ephemeral database's URL was given"
    return replace(
        attempt,
        home_files=(*attempt.home_files, (path, Placeholder.URL.value)),
        reasons=(*attempt.reasons, reason),
    )


def _with_variable(attempt: Attempt, name: str, value: str, reason: str | None = None) -> Attempt:
    return replace(
        attempt,
        variables=(*attempt.variables, (name, value)),
        reasons=(*attempt.reasons, reason or f"{name} was unset; set to {_spoken(value)}"),
    )


def _spoken(value: str) -> str:
    if value in guesses.URLS:
        return "the ephemeral database"
    parts = {
        Placeholder.HOST.value: "host",
        Placeholder.PORT.value: "port",
        Placeholder.USER.value: "user",
        Placeholder.PASSWORD.value: "password",
        Placeholder.NAME.value: "name",
        f"{Placeholder.USER.value}:{Placeholder.PASSWORD.value}": "user and password",
        "postgres": "kind",
    }
    if value in parts:
        return f"the ephemeral database's {parts[value]}"
    if value == PRIVATE_FOLDER:
        return "a private folder"
    return f"the made-up `{value if value != guesses.SECRET else value[:6] + '…'}`"


def _with_way(attempt: Attempt, way: Way, reason: str) -> Attempt:
    return replace(attempt, ways=(*attempt.ways, way), reasons=(*attempt.reasons, reason))


# --- What a person has to do ---------------------------------------------------------


def _incomplete(failure: StartFailure, launch: Launch) -> Stop:
    package, _, inner = (failure.module or "").partition(".")
    folders = import_paths(launch.checkout, launch.project)
    if inner and any((folder / package).is_dir() for folder in folders):
        return Stop(
            f"there is no module `{failure.module}` in the project's own package `{package}`",
            "Correct the import, or commit the file. Where a build step writes it, let that run "
            "before gatekeeper.",
        )
    return Stop(
        f"the environment of {launch.interpreter.path} is incomplete: it cannot import "
        f"`{failure.module}`",
        _completion(launch.interpreter.made_from, package),
    )


def _completion(made_from: str | None, package: str) -> str:
    if made_from is None:
        return (
            "Install the project's dependencies there, or name the interpreter that has them "
            "with `--python PATH`."
        )
    told = f"It was made from {made_from}: add the package that has `{package}` there"
    if " " in made_from:  # a command, and no file
        return f"{told}, such as ` && pip install {package}`."
    file = f"-r {made_from}" if made_from.endswith(".txt") else "."
    return f"{told}, or in the policy file: `project: {{install: pip install {file} {package}}}`"


def _ask_for_arguments(failure: StartFailure) -> Stop:
    named = ", ".join(f"`-x {name}=…`" for name in failure.arguments)
    return Stop(
        f"env.py demands the argument {named}{_reason(failure)}",
        f"Give it in the policy file: `project: {{x: {{{_entries(failure.arguments)}}}}}`",
    )


def _ask_for(names: list[str], failure: StartFailure) -> Stop:
    listed = ", ".join(f"`{name}`" for name in names)
    return Stop(
        f"the project does not start without {listed}{_reason(failure)}",
        "Give a value to the project's code in the policy file: "
        + _IN_ENV.format(entries=_entries(names)),
    )


def _entries(names: Iterable[str]) -> str:
    return ", ".join(f"{name}: …" for name in names)


def _give_up(attempt: Attempt, failure: StartFailure, environment: Mapping[str, str]) -> Stop:
    if attempt.guessed:
        listed = ", ".join(f"`{name}`" for name in attempt.guessed)
        return Stop(
            f"the project starts with a made-up value of {listed} no further than to"
            f"{_reason(failure) or ' an env.py that runs no migrations'}",
            "Give the right value in the policy file: "
            + _IN_ENV.format(entries=_entries(attempt.guessed)),
        )
    if failure.fault is Fault.NEVER_CONNECTED:
        return _never_ran(failure)
    if failure.fault is Fault.NO_APP_CONTEXT:
        return Stop(
            f"env.py needs a Flask application and none was found{_reason(failure)}",
            "Name it as `flask` would take it: `project: {env: {FLASK_APP: package.module:app}}`",
        )
    if failure.fault is Fault.HOME_FILE:
        return Stop(
            f"env.py cannot use a made-up ~/{failure.path}{_reason(failure)}",
            "Give the file in the policy file; `{database_url}` and the like are filled in: "
            f"`project: {{home: {{{failure.path}: …}}}}`",
        )
    if failure.fault is Fault.CLOSED_PATH:
        return Stop(
            f"the project's code cannot have {failure.path}{_reason(failure)}",
            "Name a place of its own in the policy file, by the variable that leads there: "
            f"`project: {{env: {{NAME: '{PRIVATE_FOLDER}'}}}}`",
        )
    if failure.error is not None and failure.error.sqlstate in _NOT_THERE:
        return Stop(
            f"env.py reads what an empty database does not have{_reason(failure)}",
            "Make it before env.py runs, in the policy file: `project: {bootstrap: base.sql}`",
        )
    if failure.error is not None and failure.error.type == "FileNotFoundError":
        return Stop(
            f"env.py could not be run{_reason(failure)}",
            "Commit the file, or have it made before gatekeeper runs: the project's code runs in "
            "a copy of what git tracks and of small files that it ignores. What stands in a "
            "`.env` can be given in the policy file: `project: {env: {NAME: …}}`",
        )
    return Stop(
        f"env.py could not be run{_reason(failure)}",
        _given_hint(failure, environment)
        or "Check that `alembic current` works with the project's own environment; variables that "
        "it needs go into the policy file: `project: {env: {NAME: …}}`"
        + _arguments_hint(failure)
        + _git_hint(failure),
    )


# SQLSTATEs of a schema and of a table that is not there (manual, appendix A).
_NOT_THERE = ("3F000", "42P01")


def _never_ran(failure: StartFailure) -> Stop:
    """Return what to do about an env.py that ends well and has run no migrations."""
    question = failure.question
    if question is None:
        return Stop(
            "env.py came to its end without running migrations on any connection",
            "Look at what env.py needs before it calls `context.run_migrations()`; variables go "
            "into the policy file: `project: {env: {NAME: …}}`" + _arguments_hint(failure),
        )
    gave = ", which gave no row" if question.rows == 0 else ""
    return Stop(
        "env.py came to its end without running migrations. What it last asked was "
        f"`{' '.join(question.sql.split())[:200]}` ({question.path}:{question.line}){gave}",
        "Where it migrates each tenant, it needs one: put what makes a tenant (`CREATE SCHEMA "
        "…`, `INSERT INTO …`) into a file, and into the policy file: "
        "`project: {bootstrap: tenant.sql}`" + _arguments_hint(failure),
    )


def _given_hint(failure: StartFailure, environment: Mapping[str, str]) -> str:
    """Return what to correct where the error shows a value that the policy file gives."""
    message = "" if failure.error is None else failure.error.message
    blamed = [name for name, value in environment.items() if value and repr(value) in message]
    if not blamed:
        return ""
    entries = _IN_ENV.format(entries=_entries(blamed))
    return f"That is the value of `project.env` (or of the input `env`); correct it: {entries}"


def _arguments_hint(failure: StartFailure) -> str:
    if not failure.arguments:
        return ""
    return f"; arguments of `-x` as well: `project: {{x: {{{_entries(failure.arguments)}}}}}`"


def _git_hint(failure: StartFailure) -> str:
    error = failure.error
    if error is None or "git" not in error.message:
        return ""
    return ". The code runs on a copy of the files, without git's history"


def _reason(failure: StartFailure) -> str:
    if failure.error is None:
        return ""
    return f": {failure.error.type}: {failure.error.message}"
