"""Why nothing is left to try, and the very line that a person has to write."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from gatekeeper.probe.layout import import_paths
from gatekeeper.probe.model import Fault, Interpreter, Launch, StartFailure
from gatekeeper.probe.placeholders import PRIVATE_FOLDER

_NAMED = 6  # variables, where any of them may be the one
_IN_ENV = "`project: {{env: {{{entries}}}}}`"


@dataclass(frozen=True)
class Stop:
    """No attempt is left: what a person has to know and do."""

    what: str
    fix: str


def incomplete(failure: StartFailure, launch: Launch) -> Stop:
    """Return which module the environment lacks and where it has to be added."""
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
        _completion(launch.interpreter, package),
    )


def _completion(interpreter: Interpreter, package: str) -> str:
    if interpreter.is_undeclared:
        return (
            "Nothing says what the project depends on. Name it in `requirements.txt` or "
            "`pyproject.toml`, or in the policy file: "
            f"`project: {{install: pip install alembic {package} …}}`; or name the interpreter "
            "that has it with `--python PATH`."
        )
    made_from = interpreter.made_from
    if made_from is None:
        return (
            "Install the project's dependencies there, or name the interpreter that has them "
            "with `--python PATH`."
        )
    told = f"add the package that has `{package}` there"
    if " " in made_from:  # a command, and no file
        return f"It was made from {made_from}: {told}, such as ` && pip install {package}`."
    told = f"It has what {made_from} names: {told}"
    file = f"-r {made_from}" if made_from.endswith(".txt") else "."
    return f"{told}, or in the policy file: `project: {{install: pip install {file} {package}}}`"


def ask_for_arguments(failure: StartFailure) -> Stop:
    """Return which arguments of `-x` env.py demands."""
    named = ", ".join(f"`-x {name}=…`" for name in failure.arguments)
    return Stop(
        f"env.py demands the argument {named}{_reason(failure)}",
        f"Give it in the policy file: `project: {{x: {{{_entries(failure.arguments)}}}}}`",
    )


def ask_for(names: list[str], failure: StartFailure) -> Stop:
    """Return which variables are missing, of which none could be made up."""
    listed = ", ".join(f"`{name}`" for name in names)
    return Stop(
        f"the project does not start without {listed}{_reason(failure)}",
        "Give a value to the project's code in the policy file: "
        + _IN_ENV.format(entries=_entries(names)),
    )


def _entries(names: Iterable[str]) -> str:
    return ", ".join(f"{name}: …" for name in names)


@dataclass(frozen=True)
class Tried:
    """What the last attempt gave: names of variables and of files in the home directory.

    `guessed` are those of the variables whose value is made up, `unset` are those that the
    project's code reads and that have no value yet.
    """

    variables: tuple[str, ...] = ()
    guessed: tuple[str, ...] = ()
    unset: tuple[str, ...] = ()
    home_files: tuple[str, ...] = ()


def give_up(tried: Tried, failure: StartFailure, environment: Mapping[str, str]) -> Stop:
    """Return what can be said of a failure after which nothing is left to try."""
    guessed = tried.guessed
    if guessed:
        listed = ", ".join(f"`{name}`" for name in guessed)
        return Stop(
            f"the project starts with a made-up value of {listed} no further than to"
            f"{_reason(failure) or ' an env.py that runs no migrations'}",
            "Give the right value in the policy file: " + _IN_ENV.format(entries=_entries(guessed)),
        )
    if failure.fault is Fault.NEVER_CONNECTED:
        return _never_ran(failure)
    if failure.fault is Fault.NO_APP_CONTEXT:
        return Stop(
            f"env.py needs a Flask application and none was found{_reason(failure)}",
            "Name it as `flask` would take it: `project: {env: {FLASK_APP: package.module:app}}`",
        )
    made_up_file = failure.path if failure.fault is Fault.HOME_FILE else None
    if made_up_file is None and tried.home_files:
        made_up_file = tried.home_files[-1]
    if made_up_file is not None:
        return Stop(
            f"env.py cannot use a made-up ~/{made_up_file}{_reason(failure)}",
            "Give the file in the policy file; `{database_url}` and the like are filled in: "
            f"`project: {{home: {{{made_up_file}: …}}}}`",
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
        "it needs go into the policy file: "
        + _IN_ENV.format(entries=_entries((*tried.variables, *tried.unset)[:_NAMED]) or "NAME: …")
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
