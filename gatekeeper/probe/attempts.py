"""From a failed attempt to the next: one thing is changed at a time, and it is said.

Values are read when the application is imported, so each attempt is a process of its own,
on a database of its own. Nothing here runs anything.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from gatekeeper.model import Learned, Way
from gatekeeper.probe import guesses
from gatekeeper.probe.advice import Stop, Tried, ask_for, ask_for_arguments, give_up, incomplete
from gatekeeper.probe.model import Fault, Kind, Launch, ProbeFacts, StartFailure, Wanted
from gatekeeper.probe.placeholders import PRIVATE_FOLDER, Placeholder, names_database

# Most need one or two. A project that reads its variables one by one needs one for each.
ATTEMPTS_AT_MOST = 16


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
        return incomplete(failure, launch)
    if failure.fault is Fault.MISSING_ARGUMENT:
        return ask_for_arguments(failure)
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
        return ask_for(unknown, failure)
    return give_up(_tried(attempt, failure, launch), failure, launch.environment)


def _tried(attempt: Attempt, failure: StartFailure, launch: Launch) -> Tried:
    names = tuple(name for name, _ in attempt.variables)
    known = {*names, *launch.environment}
    unset = [name for name in failure.absent_variables if name not in known]
    return Tried(
        names,
        attempt.guessed,
        tuple(name for name in unset if not guesses.is_of_others(name)),
        tuple(path for path, _ in attempt.home_files if path not in launch.home_files),
    )


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
    """Set the variables that a failure names, but for those that no value is right for.

    None where there is no other: what is asked of a person is only what is left.
    """
    before = attempt
    for each in wanted:
        value = _value(each, examples)
        if value is None:
            continue
        reason = None
        if value == examples.get(each.name):
            reason = f"{each.name} was unset; its value in the checkout's example was taken"
        elif guesses.of_database(each.name) != value and not names_database(value):
            attempt = replace(attempt, guessed=(*attempt.guessed, each.name))
        attempt = _with_variable(attempt, each.name, value, reason)
    return None if attempt is before else attempt


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
