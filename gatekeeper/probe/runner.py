"""A project whose env.py runs, and what is asked of it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from gatekeeper.errors import EnvFailed, MissingModule, ProbeError
from gatekeeper.model import StepError
from gatekeeper.probe import layout, protocol
from gatekeeper.probe.advice import Stop
from gatekeeper.probe.attempts import (
    ATTEMPTS_AT_MOST,
    Attempt,
    attempt_after_success,
    learned_by,
    next_attempt,
    without_variables,
)
from gatekeeper.probe.examples import read_examples
from gatekeeper.probe.gathering import Gathering, Told
from gatekeeper.probe.model import (
    Launch,
    Origin,
    ProbeDrift,
    ProbeFacts,
    ProbeRun,
    RequestedStep,
    StartFailure,
    Target,
    Unavailable,
)
from gatekeeper.probe.process import Process, spoiled
from gatekeeper.probe.protocol import ProtocolError
from gatekeeper.probe.start import env_py_of, open_process, start_message


class Probe:
    """A project's environment that has been started and answers requests.

    `attempt` is the one that went well, `learned` what it holds beyond the policy file.
    `is_plain` says that env.py is not the project's own.
    """

    def __init__(
        self, process: Process, facts: ProbeFacts, attempt: Attempt, launch: Launch
    ) -> None:
        self.facts = facts
        self.attempt = attempt
        self.learned = learned_by(attempt, launch)
        self.is_plain = launch.plain is not None
        self._process = process
        self._where = env_py_of(launch)

    def run(
        self,
        target: Target,
        steps: Sequence[RequestedStep],
        observe: str | None = None,
        is_told: bool = True,
        told: Told | None = None,
        has_limit: bool = True,
    ) -> ProbeRun:
        """Execute steps in one run of env.py; `observe` is asked after each statement.

        Without `is_told` statements have neither place nor parameters. An error has its place.
        What a transaction left open held is gone afterwards: its connection is closed. Without
        `has_limit` it may take as long as it needs: real rows are many.

        With `told` that is called when a statement begins and when it has ended, while it is not
        known what becomes of its transaction; `observe` is asked until it has an answer in one.
        Nothing is committed before `told` has returned from all that came before it.
        A run that does not come to its end then, whatever ends it, ends the process with it: no
        code of the project goes on where nobody looks.
        """
        if target.identity is not None:
            self._process.hide(target.password)
        request = {
            "kind": "run",
            "target": protocol.target_message(target),
            "steps": protocol.step_messages(steps),
            "observe": observe,
            "is_told": is_told,
            "at_once": told is not None,
        }
        gathering = Gathering(tuple(steps), 1 + len(target.others), told)
        with self._speaking(), contextlib.ExitStack() as stack:
            if told is not None:
                stack.callback(self._break_off, gathering)
            try:
                for message in self._process.ask(request, has_limit):
                    if told is not None and message.get("kind") == "waiting":
                        self._process.go_on()
                    else:
                        gathering.add(message)
            except ProbeError as error:
                raise gathering.place(error) from error
            stack.pop_all()
            lacking = gathering.unavailable()
            if lacking is not None:
                raise _needs_dependencies(lacking)
            if gathering.is_simultaneous():
                raise ProbeError(
                    "env.py runs migrations in several threads at the same time, and Alembic "
                    "has one `context` and one `op` for all of them",
                    where=self._where,
                    fix="Let one end before the next begins: `thread.join()`, or "
                    "`ThreadPoolExecutor(max_workers=1)`.",
                )
            return gathering.finish()

    @property
    def has_ended(self) -> bool:
        """Whether nothing can be asked any more, because a run was broken off."""
        return self._process.has_ended

    def _break_off(self, gathering: Gathering) -> None:
        """End the process, and hear what it had said until then."""
        with contextlib.suppress(ProtocolError):
            for message in self._process.end():
                if message.get("kind") != "waiting":
                    gathering.add(message)

    def drift(self, target: Target) -> ProbeDrift:
        """Ask autogenerate, with env.py's own options, what it would still change."""
        answer = self._simple({"kind": "drift", "target": protocol.target_message(target)})
        with self._speaking():
            return protocol.read_drift(answer, 1 + len(target.others))

    def stamp(self, target: Target, revisions: Sequence[str]) -> None:
        """Set the version table to these revisions without running them."""
        self._simple(
            {
                "kind": "stamp",
                "target": protocol.ephemeral_message(target),
                "revisions": list(revisions),
            }
        )

    def heads(self, target: Target) -> frozenset[str]:
        """Return the revisions at which env.py finds the databases."""
        answer = self._simple({"kind": "heads", "target": protocol.target_message(target)})
        with self._speaking():
            return frozenset(protocol.read_texts(answer, "heads"))

    def create_all(self, target: Target, revisions: Sequence[str]) -> int | StepError:
        """Make what env.py's models describe and stamp it; return how many tables they have."""
        request = {
            "kind": "create_all",
            "target": protocol.ephemeral_message(target),
            "revisions": list(revisions),
        }
        with self._speaking():
            answer = self._process.last_answer(request)
            error = protocol.read_error(answer.get("error"))
            return protocol.read(answer, "tables", int) if error is None else error

    def _simple(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        with self._speaking():
            answer = self._process.last_answer(request)
            error = protocol.read_error(answer.get("error"))
        if error is not None:
            failed = "autogenerate failed" if request["kind"] == "drift" else "env.py failed"
            fix = "Check that `alembic check` works in the project's own environment."
            if error.type == "NoReferencedTableError":
                fix = "Import the modules of all models in env.py, above `target_metadata`."
            raise EnvFailed(
                f"{failed}: {error.type}: {error.message}",
                where=self._where if error.path is None else f"{error.path}:{error.line}",
                fix=fix,
            )
        return answer

    @contextlib.contextmanager
    def _speaking(self) -> Iterator[None]:
        try:
            yield
        except ProtocolError as error:
            raise spoiled(error, self._where) from error


@contextlib.contextmanager
def open_probe(
    launch: Launch, new_target: Callable[[], Target], first: Attempt | None = None
) -> Iterator[Probe]:
    """Start the project's environment, with as little help as it needs.

    Each attempt has a process and a database of its own: what the failed one imported or
    wrote would spoil the next. `first` is what another state of the project needed; where
    that fails, it is found out as if nothing were known.
    """
    _require_env(launch)
    plain = Attempt(ways=launch.ways, home_files=tuple(launch.home_files.items()))
    attempt = first or plain
    working = layout.working_directory(launch.checkout, launch.project)
    examples = read_examples((working, launch.checkout), launch.checkout)
    fallback: Attempt | None = None
    for _ in range(ATTEMPTS_AT_MOST):
        with contextlib.ExitStack() as stack:
            process, outcome = _start(stack, launch, attempt, new_target())
            if isinstance(outcome, ProbeFacts):
                better = (
                    None
                    if fallback is not None
                    else attempt_after_success(attempt, outcome, launch.environment)
                )
                if better is None:
                    facts = replace(outcome, notes=_notes(launch, attempt, outcome))
                    yield Probe(process, facts, attempt, launch)
                    process.finish()
                    return
                fallback, attempt = attempt, better
                continue
        if fallback is not None:
            attempt = without_variables(fallback, attempt)
            continue
        if attempt is first and first != plain:
            attempt = plain
            continue
        following = next_attempt(attempt, outcome, launch, examples)
        if isinstance(following, Stop):
            raise _stopped(following, outcome, attempt, launch)
        attempt = following
    raise ProbeError(
        f"env.py could not be run in {ATTEMPTS_AT_MOST} attempts: " + "; ".join(attempt.reasons),
        where=env_py_of(launch),
        fix="Set what the project needs in the policy file: `project: {env: {NAME: …}}`",
    )


def _start(
    stack: contextlib.ExitStack, launch: Launch, attempt: Attempt, target: Target
) -> tuple[Process, ProbeFacts | StartFailure]:
    process, script_location = open_process(stack, launch, attempt, target)
    message = start_message(launch, attempt, target, script_location)
    try:
        answer = process.last_answer({"kind": "start", **message})
        if answer.get("kind") == "started":
            return process, protocol.read_facts(answer)
        return process, protocol.read_start_failure(answer)
    except ProtocolError as error:
        raise spoiled(error, env_py_of(launch)) from error


def _notes(launch: Launch, attempt: Attempt, facts: ProbeFacts) -> tuple[str, ...]:
    versions = f"Python {facts.python}, Alembic {facts.alembic}, SQLAlchemy {facts.sqlalchemy}"
    lines = [
        f"{launch.interpreter.path} ({versions}): {launch.interpreter.reason}",
        *(() if launch.plain is None else launch.plain.notes),
        *(() if launch.hook is None else (launch.hook.note,)),
        *attempt.reasons,
        *(f"connections to {_tell(o)} were redirected" for o in facts.origins),
        *facts.notes,
    ]
    return tuple(lines)


def _tell(origin: Origin) -> str:
    if origin.host is None:
        unnamed = "without a host" if origin.dialect == "postgresql" else "in memory"
        return f"{origin.dialect} {origin.database or unnamed}"
    port = "" if origin.port is None else f":{origin.port}"
    return f"{origin.dialect} {origin.host}{port}/{origin.database or ''}"


def _require_env(launch: Launch) -> None:
    if not (launch.checkout / launch.project.script_location / "env.py").is_file():
        raise ProbeError(
            f"there is no env.py in the script directory `{launch.project.script_location}`",
            where=env_py_of(launch),
            fix="Restore and commit it; `alembic init` in an empty folder makes one to start "
            "from. Files that git ignores in ignored folders are not seen.",
        )


def _needs_dependencies(lacking: Unavailable) -> ProbeError:
    lacks = lacking.lacks if " " in lacking.lacks else f"`{lacking.lacks}`"
    return MissingModule(
        f"`{lacking.revision}` needs the project's dependencies, which are not installed: "
        f"`{lacking.source}` does not run without {lacks}",
        module=lacking.lacks,
        where=f"{lacking.path}:{lacking.line}",
        fix="Mend the installation, or let the revision define the tables that it works on itself.",
    )


def _stopped(stop: Stop, failure: StartFailure, attempt: Attempt, launch: Launch) -> ProbeError:
    where = env_py_of(launch)
    if failure.error is not None and failure.error.path is not None:
        where = f"{failure.error.path}:{failure.error.line}"
    tried = f" (tried: {'; '.join(attempt.reasons)})" if attempt.reasons else ""
    if failure.module is not None:
        return MissingModule(stop.what + tried, module=failure.module, where=where, fix=stop.fix)
    return ProbeError(stop.what + tried, where=where, fix=stop.fix)
