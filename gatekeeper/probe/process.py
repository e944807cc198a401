"""The probe's process: requests go in, answers come out, within limits of time and size."""

from __future__ import annotations

import contextlib
import math
import os
import select
import selectors
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gatekeeper.errors import ProbeError
from gatekeeper.probe import protocol
from gatekeeper.probe.protocol import ProtocolError
from gatekeeper.signals import kill_group

OUTPUT_KEPT = 64 * 1024
OUTPUT_AT_MOST = 50 * 1024 * 1024
ANSWERS_AT_MOST = 128 * 1024 * 1024  # to one request
LINE_AT_MOST = 64 * 1024 * 1024
LINES_SHOWN = 8
CHUNK = 64 * 1024
_WITHOUT_LIMIT = 14 * 24 * 3600.0  # seconds; the longest wait that every selector takes
SECONDS_TO_FINISH = 5.0


class Process:
    """A process that has been started; each error ends it and says what it printed last."""

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

    def go_on(self) -> None:
        """Give the word that the process waits for in the middle of a request."""
        with contextlib.suppress(BrokenPipeError):  # the answers' end tells more
            self._send(protocol.encode({"kind": "go on"}), time.monotonic() + SECONDS_TO_FINISH)

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
        kill_group(self._popen)
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

    def kill(self) -> None:
        kill_group(self._popen)
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


def spoiled(error: ProtocolError, where: str) -> ProbeError:
    return ProbeError(
        f"the project's process answered what was not agreed: {error}",
        where=where,
        fix="Something in the project writes to descriptors that it did not open.",
    )
