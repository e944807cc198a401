"""Addresses on this machine that answer as a test says, and keep what they were sent."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Web:
    """Answers by path: one after the other, the last one again and again.

    Each is a status and a text, for 302 where it leads. A path without answers gets a 404.
    """

    base: str
    answers: dict[str, list[tuple[int, str]]] = field(default_factory=dict)
    received: list[tuple[str, str, str]] = field(default_factory=list)

    def url(self, path: str, *answers: tuple[int, str]) -> str:
        """Return the address of a path that answers so."""
        if answers:
            self.answers[path] = list(answers)
        return f"{self.base}{path}"

    def next_answer(self, path: str) -> tuple[int, str]:
        left = self.answers.get(path, [(404, "")])
        return left.pop(0) if len(left) > 1 else left[0]


@contextlib.contextmanager
def serving() -> Iterator[Web]:
    """Yield addresses that answer until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer("")

        def do_POST(self) -> None:
            self._answer(self.rfile.read(int(self.headers["Content-Length"])).decode())

        def _answer(self, body: str) -> None:
            web.received.append((self.command, self.path, body))
            status, text = web.next_answer(self.path)
            self.send_response(status)
            if status == 302:
                self.send_header("Location", text)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, format: str, *values: object) -> None:
            """Keep the output of the tests to themselves."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        web = Web(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield web
        finally:
            server.shutdown()
            thread.join()
