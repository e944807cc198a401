"""Starts the probe, keeps it within its limits and turns its answers into values."""

from __future__ import annotations

import contextlib
import math
import os
import select
import selectors
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gatekeeper.errors import EnvFailed, MissingModule, ProbeError
from gatekeeper.model import StepError, Way
from gatekeeper.probe import inside, layout, protocol
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
from gatekeeper.probe.interpreter import editable_folders
from gatekeeper.probe.placeholders import fill, fill_each
from gatekeeper.probe.plain import ENV_PY
from gatekeeper.probe.protocol import (
    Begun,
    Fate,
    Launch,
    Origin,
    ProbeDrift,
    ProbeFacts,
    ProbeRun,
    ProbeStatement,
    ProbeStep,
    ProtocolError,
    RequestedStep,
    StartFailure,
    Target,
    Unavailable,
)
from gatekeeper.probe.sandbox import open_sandbox

PACKAGE = "gatekeeper_probe"  # the folder `inside`, in the project's interpreter
CACHE = "__pycache__"
OUTPUT_KEPT = 64 * 1024
OUTPUT_AT_MOST = 50 * 1024 * 1024
ANSWERS_AT_MOST = 128 * 1024 * 1024  # to one request
LINE_AT_MOST = 64 * 1024 * 1024
LINES_SHOWN = 8
CHUNK = 64 * 1024
_WITHOUT_LIMIT = 14 * 24 * 3600.0  # seconds; the longest wait that every selector takes
SECONDS_TO_FINISH = 5.0
# What is called when a statement begins and has ended, with the step that it belongs to.
Told = Callable[[RequestedStep | None, Begun | ProbeStatement], None]
_LOOPS = (Way.WORKER_THREAD, Way.THREAD, Way.RUNNING_LOOP)


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
        self._where = _where(launch)

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
        gathering = _Gathering(tuple(steps), 1 + len(target.others), told)
        with self._speaking(), contextlib.ExitStack() as stack:
            if told is not None:
                stack.callback(self._break_off, gathering)
            try:
                for message in self._process.ask(request, has_limit):
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

    def _break_off(self, gathering: _Gathering) -> None:
        """End the process, and hear what it had said until then."""
        with contextlib.suppress(ProtocolError):
            for message in self._process.end():
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
        where=_where(launch),
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
        raise spoiled(error, _where(launch)) from error


def open_process(
    stack: contextlib.ExitStack,
    launch: Launch,
    attempt: Attempt,
    target: Target,
    more: Mapping[str, str] | None = None,
) -> tuple[Process, Path]:
    """Return the probe's process in its sandbox, and where its env.py is.

    Both end with the stack. `more` are variables that count more than the others.
    """
    texts = {**dict(attempt.variables), **launch.environment}
    variables = fill_each(texts, target)
    variables.update(more or {})
    sandbox = stack.enter_context(
        open_sandbox(
            launch.interpreter.path,
            launch.checkout.resolve(),
            launch.repository,
            launch.environ,
            variables,
            {name: fill(text, target) for name, text in attempt.home_files},
        )
    )
    # The project's account may not be able to read where gatekeeper is installed.
    _copy_inside(sandbox.private / PACKAGE)
    script_location = launch.checkout.resolve() / launch.project.script_location
    if launch.plain is not None:
        script_location = sandbox.private / "plain"
        script_location.mkdir(mode=0o755)
        (script_location / "env.py").write_text(ENV_PY, encoding="utf-8")
        (script_location / "env.py").chmod(0o644)
    secrets = (*launch.environment.values(), target.password)
    start = sandbox.start([sandbox.interpreter, "-B", "-m", PACKAGE])
    popen = subprocess.Popen(
        start.arguments,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=sandbox.private,
        env=start.environment,
        start_new_session=True,
        bufsize=0,
    )
    process = Process(popen, launch.timeout_seconds, _where(launch), secrets)
    stack.callback(process.kill)
    return process, script_location


def _copy_inside(folder: Path) -> None:
    """Copy what runs in the project's interpreter, and what an installation compiled of it.

    An interpreter of another version passes over that; one of ours need not compile it anew,
    for which the times of the files have to be those of the originals.
    """
    source = Path(inside.__file__).parent
    compiled = folder / CACHE
    folder.mkdir(mode=0o755)
    compiled.mkdir(mode=0o755)
    for file in (*source.glob("*.py"), *source.glob(f"{CACHE}/*.pyc")):
        copied = folder / file.relative_to(source)
        shutil.copy2(file, copied)
        copied.chmod(0o644)


def start_message(
    launch: Launch, attempt: Attempt, target: Target, script_location: Path
) -> dict[str, Any]:
    """Return what the process has to know of the project, whatever it is to do."""
    checkout, project = launch.checkout.resolve(), launch.project
    folders = [str(checkout / location) for location in project.version_locations]
    usual = [str(script_location / "versions")]
    return {
        "target": protocol.ephemeral_message(target),
        "checkout": str(checkout),
        "repository": None if launch.repository is None else str(launch.repository),
        "config": None if project.config is None else str(checkout / project.config),
        "section": project.section,
        "script_location": str(script_location),
        "version_locations": [] if folders == usual else folders,
        "version_folders": folders,
        "working_directory": str(layout.working_directory(checkout, project)),
        "import_paths": [str(path) for path in layout.import_paths(checkout, project)],
        "editable_paths": _editable_paths(launch, checkout),
        "flask": _flask(launch, attempt),
        "prefers_async": Way.ASYNCPG in attempt.ways,
        "gives_connection": Way.CONNECTION in attempt.ways,
        "loop": next((way.value for way in reversed(attempt.ways) if way in _LOOPS), None),
        "arguments": dict(launch.arguments),
        "configure": None if launch.plain is None else dict(launch.plain.options),
        "hook": None if launch.hook is None else str(checkout / launch.hook.path),
    }


def _flask(launch: Launch, attempt: Attempt) -> str | None:
    if not launch.project.flask_migrate or launch.plain is not None or launch.has_own_app:
        return None
    return "bare" if Way.BARE_FLASK_APP in attempt.ways else "own"


def _editable_paths(launch: Launch, checkout: Path) -> list[str]:
    """Return where editable installations in the repository lead, in the copy of it."""
    if launch.repository is None:
        return []
    root = launch.repository.resolve()
    folders = editable_folders(launch.interpreter.path)
    inside = (folder.relative_to(root) for folder in folders if folder.is_relative_to(root))
    return [str(checkout / folder) for folder in inside if (checkout / folder).is_dir()]


class Process:
    """The probe's process: requests in, answers out, within its limits."""

    def __init__(
        self,
        popen: subprocess.Popen[bytes],
        timeout_seconds: float,
        where: str,
        secrets: Sequence[str],
    ) -> None:
        assert popen.stdin is not None
        assert popen.stdout is not None
        assert popen.stderr is not None
        self._popen = popen
        self._requests = popen.stdin
        self._timeout_seconds = timeout_seconds
        self._where = where
        self._secrets = set(secrets)
        self._answers = bytearray()
        self._output = bytearray()
        self._output_size = 0
        self._selector = selectors.DefaultSelector()
        os.set_blocking(popen.stdin.fileno(), False)
        for stream in (popen.stdout, popen.stderr):
            os.set_blocking(stream.fileno(), False)
            self._selector.register(stream, selectors.EVENT_READ)

    def ask(
        self, request: Mapping[str, Any], has_limit: bool = True
    ) -> Iterator[Mapping[str, Any]]:
        """Send a request and yield its answers; the last one ends it."""
        deadline = time.monotonic() + (self._timeout_seconds if has_limit else _WITHOUT_LIMIT)
        with contextlib.suppress(BrokenPipeError):  # the answers' end tells more
            self._send(protocol.encode(request), deadline)
        size = 0
        while True:
            line = self._read_line(deadline)
            size += len(line)
            if size > ANSWERS_AT_MOST:
                raise self._ended(_too_much("answered", ANSWERS_AT_MOST))
            message = protocol.decode(line)
            yield message
            if message.get("kind") in ("started", "failed", "done", "finished"):
                return

    def last_answer(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        answer: Mapping[str, Any] = {}
        for message in self.ask(request):
            answer = message
        return answer

    def hide(self, secret: str) -> None:
        """Let nothing that is told of what the project printed hold the secret."""
        self._secrets.add(secret)

    @property
    def has_ended(self) -> bool:
        return self._popen.returncode is not None

    def end(self) -> Iterator[Mapping[str, Any]]:
        """Kill the process and yield the answers that it had still given."""
        self._kill()
        deadline = time.monotonic() + SECONDS_TO_FINISH
        with contextlib.suppress(ProbeError):  # there are no more
            while True:
                yield protocol.decode(self._read_line(deadline))

    def finish(self) -> None:
        """Let the process end by itself; one that does not is killed all the same."""
        if self.has_ended:
            return
        self._timeout_seconds = SECONDS_TO_FINISH
        with contextlib.suppress(ProbeError, ProtocolError):
            self.last_answer({"kind": "finish"})

    def _kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._popen.pid, signal.SIGKILL)
        self._popen.wait()

    def kill(self) -> None:
        self._kill()
        self._selector.close()
        for stream in (self._popen.stdin, self._popen.stdout, self._popen.stderr):
            if stream is not None:
                stream.close()

    def _send(self, line: bytes, deadline: float) -> None:
        """Write a request, of which a process that has stopped reads nothing."""
        while line:
            remaining = max(0.0, deadline - time.monotonic())
            _, ready, _ = select.select([], [self._requests], [], remaining)
            if not ready:
                raise self._late()
            line = line[os.write(self._requests.fileno(), line) :]

    def _read_line(self, deadline: float) -> bytes:
        searched = 0
        while True:
            if time.monotonic() > deadline:  # also for one that goes on answering
                raise self._late()
            end = self._answers.find(b"\n", searched)
            if end >= 0:
                line = bytes(self._answers[:end])
                del self._answers[: end + 1]
                return line
            searched = len(self._answers)
            if searched > LINE_AT_MOST:
                raise self._ended("sent an answer without end and was stopped")
            self._wait(deadline)

    def _wait(self, deadline: float) -> None:
        ready = self._selector.select(max(0.0, deadline - time.monotonic()))
        if not ready:
            raise self._late()
        for key, _ in ready:
            chunk = os.read(key.fd, CHUNK)
            if key.fileobj is self._popen.stderr:
                self._take_output(chunk)
            elif chunk:
                self._answers += chunk
            else:
                raise self._ended(f"ended before it had answered ({self._exit()})")

    def _take_output(self, chunk: bytes) -> None:
        if not chunk:
            assert self._popen.stderr is not None
            self._selector.unregister(self._popen.stderr)
        self._output_size += len(chunk)
        self._output += chunk
        del self._output[:-OUTPUT_KEPT]
        if self._output_size > OUTPUT_AT_MOST:
            raise self._ended(_too_much("printed", OUTPUT_AT_MOST))

    def _exit(self) -> str:
        try:
            status = self._popen.wait(SECONDS_TO_FINISH)
        except subprocess.TimeoutExpired:
            return "still running"
        self._drain()
        if status - 128 in signal.valid_signals():
            status = 128 - status  # `unshare` passes a child's signal on as a shell does
        return f"exit status {status}" if status >= 0 else signal.Signals(-status).name

    def _drain(self) -> None:
        assert self._popen.stderr is not None
        with contextlib.suppress(BlockingIOError):
            for _ in range(OUTPUT_AT_MOST // CHUNK):
                chunk = os.read(self._popen.stderr.fileno(), CHUNK)
                if not chunk:
                    return
                self._output += chunk
                del self._output[:-OUTPUT_KEPT]

    def _late(self) -> ProbeError:
        minutes = math.ceil(self._timeout_seconds / 60) * 2
        return self._ended(
            f"did not answer within {self._timeout_seconds:.0f} seconds",
            " Where it needs longer than that, say so in the policy file: "
            f"`project: {{timeout_minutes: {minutes}}}`",
        )

    def _ended(self, what: str, fix: str = "") -> ProbeError:
        return ProbeError(
            f"the project's process {what}{self.last_lines()}",
            where=self._where,
            fix="Run `alembic upgrade head` on an empty database in the project's own "
            f"environment to see where it stops.{fix}",
        )

    def last_lines(self) -> str:
        """Return the end of what the project printed, without values that were given to it."""
        self._drain()
        text = self._output.decode("utf-8", "replace")
        for secret in self._secrets:
            if len(secret) > 3:
                text = text.replace(secret, "***")
        lines = [line for line in text.splitlines() if line.strip()][-LINES_SHOWN:]
        return "\n    ".join(["; it printed last:", *lines]) if lines else ""


def _too_much(did: str, limit: int) -> str:
    return f"{did} more than {limit // (1024 * 1024)} MB and was stopped"


@dataclass
class _StepSoFar:
    begun: int = 0
    completed: int = 0
    seconds: float = 0.0
    error: StepError | None = None
    applied: bool = False


class _Gathering:
    """Puts the messages of a run together; fates are known only at its end."""

    def __init__(
        self, steps: tuple[RequestedStep, ...], database_count: int, told: Told | None
    ) -> None:
        self._requested = steps
        self._told = told
        self._databases = range(database_count)
        self._steps = [[_StepSoFar() for _ in steps] for _ in self._databases]
        self._statements: list[tuple[int | None, int, Mapping[str, Any]]] = []
        self._done: Mapping[str, Any] = {}
        self._running: int | None = None

    def place(self, error: ProbeError) -> ProbeError:
        """Return an error that ended the run, with the step that was running then."""
        if self._running is None:
            return error
        step = self._requested[self._running]
        what = f"while the {step.direction.value} of `{step.revision}` ran, {error.what}"
        return ProbeError(what, where=error.where, fix=error.fix)

    def add(self, message: Mapping[str, Any]) -> None:
        kind = protocol.read(message, "kind", str)
        if kind == "statement":
            self._statements.append((self._index(message), self._database(message), message))
            if self._told is not None:
                told = protocol.read_statement(message, _fate_of(message, {}))
                self._told(self._step_of(message), told)
        elif kind == "begun" and self._told is not None:
            self._told(self._step_of(message), protocol.read_begun(message))
        elif kind == "done":
            self._done = message
        else:
            index = self._index(message)
            if index is None:
                raise ProtocolError(f"{kind!r} names no step")
            step = self._steps[self._database(message)][index]
            if kind == "begin":
                step.begun += 1
                self._running = index
            elif kind == "applied":
                step.applied = True
            elif kind == "end":
                self._running = None
                step.completed += protocol.read(message, "completed", bool)
                step.seconds += protocol.read(message, "seconds", float)
                step.error = step.error or protocol.read_error(message.get("error"))
            else:
                raise ProtocolError(f"{kind!r} is no kind of answer")

    def _step_of(self, message: Mapping[str, Any]) -> RequestedStep | None:
        index = self._index(message)
        return None if index is None else self._requested[index]

    def _index(self, message: Mapping[str, Any]) -> int | None:
        index = protocol.optional(message, "step", int)
        if index is not None and not 0 <= index < len(self._requested):
            raise ProtocolError(f"there is no step {index}")
        return index

    def is_simultaneous(self) -> bool:
        """Whether a step began while another one ran: what was seen of them is mixed up."""
        return protocol.read(self._done, "simultaneous", bool)

    def unavailable(self) -> Unavailable | None:
        """Return what a revision could not run without, in place of an error of its own."""
        return protocol.read_unavailable(self._done)

    def _database(self, message: Mapping[str, Any]) -> int:
        database = protocol.read(message, "database", int)
        if database not in self._databases:
            raise ProtocolError(f"there is no database {database}")
        return database

    def finish(self) -> ProbeRun:
        fates = protocol.read_fates(self._done)
        statements = [
            (index, database, protocol.read_statement(message, _fate_of(message, fates)))
            for index, database, message in self._statements
        ]
        told = protocol.read_list(self._done, "databases", len(self._databases))
        first, *others = (
            self._run([(i, s) for i, of, s in statements if of == database], database, entry)
            for database, entry in enumerate(map(protocol.read_object, told))
        )
        return replace(first, others=tuple(others))

    def _run(
        self,
        statements: Sequence[tuple[int | None, ProbeStatement]],
        database: int,
        told: Mapping[str, Any],
    ) -> ProbeRun:
        by_step: dict[int | None, list[ProbeStatement]] = {}
        for index, statement in statements:
            by_step.setdefault(index, []).append(statement)
        return ProbeRun(
            steps=tuple(
                self._step(index, database, by_step.get(index, ()))
                for index in range(len(self._requested))
            ),
            error=protocol.read_error(self._done.get("error")),
            environment_statements=tuple(by_step.get(None, ())),
            fn_calls=protocol.read(told, "fn_calls", int),
            other_dialects=protocol.read_texts(self._done, "other_dialects"),
            version_tables=protocol.read_version_tables(told),
        )

    def _step(self, index: int, database: int, statements: Sequence[ProbeStatement]) -> ProbeStep:
        step, requested = self._steps[database][index], self._requested[index]
        omitted = protocol.read(self._done, "omitted", dict)
        return ProbeStep(
            revision=requested.revision,
            direction=requested.direction,
            started=step.begun > 0,
            completed=step.begun > 0 and step.completed == step.begun and step.error is None,
            seconds=step.seconds,
            statements=tuple(statements),
            error=step.error,
            already_applied=step.applied and step.begun == 0,
            omitted=protocol.optional(omitted, str(index), int) or 0,
        )


def _fate_of(message: Mapping[str, Any], fates: Mapping[int, Fate]) -> Fate | None:
    """Return a statement's fate; outside a transaction it is its own."""
    transaction = protocol.optional(message, "transaction", int)
    if transaction is not None:
        return fates.get(transaction)
    return None if protocol.read(message, "failed", bool) else Fate.COMMITTED


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
            where=_where(launch),
            fix="Restore and commit it; `alembic init` in an empty folder makes one to start "
            "from. Files that git ignores in ignored folders are not seen.",
        )


def _where(launch: Launch) -> str:
    return str(Path(launch.project.script_location) / "env.py")


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
    where = _where(launch)
    if failure.error is not None and failure.error.path is not None:
        where = f"{failure.error.path}:{failure.error.line}"
    tried = f" (tried: {'; '.join(attempt.reasons)})" if attempt.reasons else ""
    if failure.module is not None:
        return MissingModule(stop.what + tried, module=failure.module, where=where, fix=stop.fix)
    return ProbeError(stop.what + tried, where=where, fix=stop.fix)


def spoiled(error: ProtocolError, where: str) -> ProbeError:
    return ProbeError(
        f"the project's process answered what was not agreed: {error}",
        where=where,
        fix="Something in the project writes to descriptors that it did not open.",
    )
