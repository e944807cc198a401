"""The shop's own traffic: threads that place and change orders, and keep books about it.

A write counts from the moment at which PostgreSQL has acknowledged its COMMIT. What the
connection did not tell about is neither written nor failed, but open.
"""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psycopg2
from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class

from tests.deploy.shop.project import BREAKING

_PAUSE_SECONDS = 0.02


@dataclass(frozen=True)
class Failure:
    """A write that was not acknowledged: when it began, how long it took, and why."""

    at: float
    seconds: float
    reason: str


@dataclass
class Books:
    """What one thread knows of its writes: totals by reference, as acknowledged.

    `open` has what each order may hold besides, where a COMMIT was not answered.
    """

    totals: dict[str, int] = field(default_factory=dict)
    open: dict[str, set[int]] = field(default_factory=dict)
    writes: int = 0
    failures: list[Failure] = field(default_factory=list)
    outages: list[float] = field(default_factory=list)
    closed_seconds: float = 0.0


@dataclass(frozen=True)
class Account:
    """What became of all writes. `lost` are the orders that do not hold what was acknowledged.

    `outage_seconds` is the longest time in which one thread could not write while the shop was
    open; `closed_seconds` the longest that one stood still because it was closed.
    """

    writes: int
    lost: tuple[str, ...]
    failures: tuple[Failure, ...]
    outage_seconds: float
    closed_seconds: float


class Traffic:
    """Threads that write until they are stopped; `control` is the folder of `switch.py`."""

    def __init__(self, connect: Callable[[], Connection], control: Path, threads: int) -> None:
        self._connect = connect
        self._control = control
        self._stop = threading.Event()
        self._standing = 0
        self._lock = threading.Lock()
        self.books = [Books() for _ in range(threads)]
        self._threads = [
            threading.Thread(target=self._write_on, args=(number, books), daemon=True)
            for number, books in enumerate(self.books)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    @property
    def writes(self) -> int:
        return sum(books.writes for books in self.books)

    def wait_for(self, writes: int, seconds: float = 30) -> None:
        """Return once there are so many writes more."""
        wanted, end = self.writes + writes, time.monotonic() + seconds
        while self.writes < wanted:
            assert time.monotonic() < end, f"no {writes} writes in {seconds} seconds"
            time.sleep(0.01)

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(30)
            assert not thread.is_alive(), "the traffic does not stop"

    def account(self, connection: Connection) -> Account:
        """Hold the books against the orders that are there; the traffic has stopped."""
        with connection.cursor() as cursor:
            cursor.execute("SELECT reference, total FROM orders WHERE reference LIKE 'new-%'")
            there = dict(cursor.fetchall())
        failures = sorted((f for books in self.books for f in books.failures), key=lambda f: f.at)
        return Account(
            writes=self.writes,
            lost=tuple(lost for books in self.books for lost in _lost(books, there)),
            failures=tuple(failures),
            outage_seconds=max((s for books in self.books for s in books.outages), default=0.0),
            closed_seconds=max(books.closed_seconds for books in self.books),
        )

    def _write_on(self, number: int, books: Books) -> None:
        chance = random.Random(number)
        connection: Connection | None = None
        placed: list[str] = []
        count, failing_since = 0, None
        while not self._stop.is_set():
            if (self._control / "closed").exists():
                if connection is not None:
                    connection.close()  # as an application that is stopped
                    connection = None
                if failing_since is not None:
                    books.outages.append(time.monotonic() - failing_since)
                    failing_since = None
                books.closed_seconds += self._stand_still()
                continue
            began = time.monotonic()
            if placed and chance.random() < 0.5:
                reference = chance.choice(placed)
            else:
                count += 1
                reference = f"new-{number}-{count}"
            total = chance.randrange(1_000_000)
            try:
                if connection is None:
                    connection = self._connect()
                self._write(connection, reference, total, is_new=reference not in books.totals)
            except psycopg2.Error as error:
                now = time.monotonic()
                reason = " ".join(str(error).split())[:200]
                books.failures.append(Failure(time.time(), now - began, reason))
                failing_since = failing_since or began
                if error.pgcode is None:  # the connection broke: nobody knows what came of it
                    books.open.setdefault(reference, set()).add(total)
                if connection is not None:
                    with contextlib.suppress(psycopg2.Error):
                        connection.close()
                    connection = None
            else:
                books.writes += 1
                if reference not in books.totals:
                    placed.append(reference)
                books.totals[reference] = total
                books.open.pop(reference, None)
                if failing_since is not None:
                    books.outages.append(time.monotonic() - failing_since)
                    failing_since = None
            time.sleep(_PAUSE_SECONDS)
        if failing_since is not None:
            books.outages.append(time.monotonic() - failing_since)
        if connection is not None:
            connection.close()

    def _write(self, connection: Connection, reference: str, total: int, is_new: bool) -> None:
        version = (self._control / "serving").read_text()
        note = "remark" if _key(version) >= _key(BREAKING) else "note"
        with connection, connection.cursor() as cursor:
            # As an application that would rather say "try again" than hang.
            cursor.execute("SET LOCAL statement_timeout = '3s'")
            if is_new:
                cursor.execute(
                    f"INSERT INTO orders (reference, customer_id, total, {note})"
                    " VALUES (%s, 1, %s, 'new')",
                    (reference, total),
                )
            else:
                cursor.execute(
                    f"UPDATE orders SET total = %s, {note} = 'changed' WHERE reference = %s",
                    (total, reference),
                )
                assert cursor.rowcount == 1, f"{reference} is not there any more"

    def _stand_still(self) -> float:
        """Wait until the shop opens again; the last thread to stand says so in `drained`."""
        began = time.monotonic()
        with self._lock:
            self._standing += 1
            if self._standing == len(self._threads):
                (self._control / "drained").touch()
        while (self._control / "closed").exists() and not self._stop.is_set():
            time.sleep(0.01)
        with self._lock:
            self._standing -= 1
            (self._control / "drained").unlink(missing_ok=True)
        return time.monotonic() - began


def serve(control: Path, version: str) -> None:
    """Let the application of a version answer from the next write on."""
    (control / "next").write_text(version)
    (control / "next").replace(control / "serving")


@contextlib.contextmanager
def run_traffic(
    connect: Callable[[], Connection], control: Path, version: str, threads: int = 4
) -> Iterator[Traffic]:
    """Write until the block ends; the application starts with a version."""
    serve(control, version)
    traffic = Traffic(connect, control, threads)
    traffic.start()
    try:
        yield traffic
    finally:
        traffic.stop()


def _lost(books: Books, there: Mapping[str, int]) -> Iterator[str]:
    for reference, total in books.totals.items():
        if there.get(reference) not in {total, *books.open.get(reference, ())}:
            yield reference


def _key(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.strip().removeprefix("v").split("."))
