"""Runs what prepares a database with the project's own code: a command, or its hook."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass

from gatekeeper.errors import ConfigError, ProbeError
from gatekeeper.probe import layout, protocol
from gatekeeper.probe.advice import Stop
from gatekeeper.probe.attempts import ATTEMPTS_AT_MOST, Attempt, next_attempt
from gatekeeper.probe.examples import read_examples
from gatekeeper.probe.model import Fault, Launch, StartFailure, Target
from gatekeeper.probe.process import spoiled
from gatekeeper.probe.protocol import ProtocolError
from gatekeeper.probe.start import open_process, start_message


@dataclass(frozen=True)
class ProjectBootstrap:
    """A command in words, or None for the function `bootstrap` of the hook.

    `name` is what people call it, `where` where they have written it.
    """

    name: str
    where: str
    words: tuple[str, ...] | None = None


def run_bootstrap(
    launch: Launch, bootstrap: ProjectBootstrap, new_target: Callable[[], Target]
) -> None:
    """Run it on a new database; the last one asked for is prepared afterwards.

    A Python command gets the redirection, the guard and the attempts of env.py, any other
    one the database's address in `PG*` and `DATABASE_URL`.
    """
    attempt = Attempt(ways=launch.ways, home_files=tuple(launch.home_files.items()))
    working = layout.working_directory(launch.checkout, launch.project)
    examples = read_examples((working, launch.checkout), launch.checkout)
    for _ in range(ATTEMPTS_AT_MOST):
        target = new_target()
        with contextlib.ExitStack() as stack:
            process, script_location = open_process(
                stack, launch, attempt, target, addresses_of(target)
            )
            request = {
                "kind": "bootstrap",
                "command": None if bootstrap.words is None else list(bootstrap.words),
                **start_message(launch, attempt, target, script_location),
            }
            try:
                answer = process.last_answer(request)
                if answer.get("kind") == "done":
                    process.finish()
                    return
                failure = protocol.read_start_failure(answer)
            except ProtocolError as error:
                raise spoiled(error, bootstrap.where) from error
            except ProbeError as error:
                raise ProbeError(
                    f"the bootstrap {bootstrap.name}: {error.what}",
                    where=bootstrap.where,
                    fix="Run it in the project's own environment on an empty database.",
                ) from error
            printed = process.last_lines()
        if failure.fault in (Fault.NO_COMMAND, Fault.BROKEN_PROMISE):
            break
        following = next_attempt(attempt, failure, launch, examples)
        if isinstance(following, Stop):
            break
        attempt = following
    raise _failed(bootstrap, failure, attempt, printed)


def addresses_of(target: Target) -> dict[str, str]:
    """Return the variables by which other programs than Python find the database."""
    address = f"{target.user}:{target.password}@{target.host}:{target.port}/{target.database}"
    tls = {} if target.sslmode is None else {"PGSSLMODE": target.sslmode}
    return {
        "PGHOST": target.host,
        "PGPORT": str(target.port),
        "PGUSER": target.user,
        "PGPASSWORD": target.password,
        "PGDATABASE": target.database,
        "DATABASE_URL": f"postgresql://{address}",
        **tls,
    }


def _failed(
    bootstrap: ProjectBootstrap, failure: StartFailure, attempt: Attempt, printed: str
) -> ProbeError | ConfigError:
    error = failure.error
    said = "it failed" if error is None else f"{error.type}: {error.message}"
    if failure.fault is Fault.NO_COMMAND and error is not None:
        return ConfigError(
            f"the bootstrap {bootstrap.name} cannot be run: {error.message}",
            where=bootstrap.where,
            fix="Words are taken as in a shell, in the project's folder: an SQL file, "
            "`python -m MODULE`, `python FILE`, a program of the project's environment, or "
            "`sh -c '…'`. It runs in the code of the base.",
        )
    if failure.fault is Fault.BROKEN_PROMISE and error is not None:
        said = error.message
    place = "" if error is None or error.path is None else f" ({error.path}:{error.line})"
    tried = f" (tried: {'; '.join(attempt.reasons)})" if attempt.reasons else ""
    fix = "Run it in the project's own environment on an empty database."
    if failure.variables:
        entries = ", ".join(f"{variable.name}: …" for variable in failure.variables)
        fix = f"Give what it needs in the policy file: `project: {{env: {{{entries}}}}}`"
    elif failure.module is not None:
        fix = (
            f"The project's environment cannot import `{failure.module}`: install it there, or "
            "name another interpreter with `--python PATH`. It runs in the code of the base."
        )
    return ProbeError(
        f"the bootstrap {bootstrap.name} failed: {said}{place}{tried}{printed}",
        where=bootstrap.where,
        fix=fix,
    )
