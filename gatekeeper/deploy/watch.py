"""For some time after the upgrade the target is watched: what is too much fails the deploy.

What cannot be read once may be read the next time; what cannot be read several times in
succession is a failure as well.
"""

from __future__ import annotations

import datetime as dt
import re
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from gatekeeper.deploy.commands import environ_of, run_command, secrets_of_deployment
from gatekeeper.deploy.model import Deployment, StepFailed
from gatekeeper.deploy.web import Unanswered, ask
from gatekeeper.errors import DatabaseError
from gatekeeper.policy.model import ErrorCounter, Watch
from gatekeeper.postgres.activity import Load, Session, read_load, read_time
from gatekeeper.postgres.target import look_at
from gatekeeper.probe.indexes import mask

_SAMPLE_SECONDS = 5
_COUNTER_SECONDS = 30
_FAILURES_AT_MOST = 3
_NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?(?![\w.])")


class _Unreadable(Exception):
    """Something could not be read this time."""


class _Look(Protocol):
    """Something that is looked at again and again; too much of it is a `StepFailed`."""

    @property
    def name(self) -> str: ...

    def take(self) -> None: ...

    def tell(self) -> tuple[str, ...]: ...


def watch_target(
    deployment: Deployment, *, sample_seconds: float = _SAMPLE_SECONDS
) -> tuple[str, ...]:
    """Return what was seen while the target was watched; nothing of it was too much.

    A threshold that is crossed is a `StepFailed` at once. Nothing is watched where the
    environment does not say for how long.
    """
    watch = deployment.environment.watch
    if watch is None:
        return ()
    deployment.tell(f"watching the target for {watch.minutes} minutes")
    counters = [_Counter(deployment, counter) for counter in watch.errors]
    looks: list[_Look] = [_Burden(deployment, watch), *counters]
    failures = dict.fromkeys(range(len(looks)), 0)
    deadline = time.monotonic() + watch.minutes * 60
    while True:
        for number, look in enumerate(looks):
            try:
                look.take()
                failures[number] = 0
            except _Unreadable as error:
                failures[number] += 1
                deployment.tell(f"{look.name} could not be read: {error}")
                if failures[number] == _FAILURES_AT_MOST:
                    raise _unreadable(look.name, error) from error
        left = deadline - time.monotonic()
        if left <= 0 and not any(failures.values()):
            return tuple(line for look in looks for line in look.tell())
        time.sleep(min(sample_seconds, left) if left > 0 else sample_seconds)


def _unreadable(name: str, error: _Unreadable) -> StepFailed:
    return StepFailed(
        f"{name} could not be read {_FAILURES_AT_MOST} times in succession: {error}",
        fix="Mend that, or take it out of `watch` of the environment.",
        details={"watched": name, "problem": str(error)},
    )


# --- What the server bears -----------------------------------------------------------


@dataclass
class _Progress:
    """How far the server's log was written and when, to tell how late a replica replays it."""

    written: list[tuple[float, int]] = field(default_factory=list)
    replicas: int = 0
    complete_at: float = 0.0

    def follow(self, load: Load, now: float) -> tuple[str, float]:
        """Return the replica that is the furthest behind, and by how many seconds."""
        self.written.append((now, load.position))
        if len(load.replicas) >= self.replicas:
            self.replicas, self.complete_at = len(load.replicas), now
        lags = [("that is gone", now - self.complete_at)]
        for replica in load.replicas:
            late = (when for when, position in self.written if position > replica.position)
            lags.append((replica.name, max(replica.lag_seconds, now - next(late, now))))
        return max(lags, key=lambda lag: lag[1])


@dataclass
class _Burden:
    """What the target's server says of itself, and the most of it so far."""

    deployment: Deployment
    watch: Watch
    name: str = "the state of the target's server"
    _since: dt.datetime | None = None
    _connections: tuple[int, int] = (0, 1)
    _query_seconds: float = 0.0
    _wait_seconds: float = 0.0
    _lag_seconds: float = 0.0
    _hidden: int = 0
    _progress: _Progress = field(default_factory=_Progress)

    def take(self) -> None:
        try:
            with look_at(self.deployment.target) as connection:
                self._since = self._since or read_time(connection)
                load = read_load(connection, self._since)
        except DatabaseError as error:
            raise _Unreadable(error.sentence) from error
        replica, lag_seconds = self._progress.follow(load, time.monotonic())
        self._judge(load, replica, lag_seconds)
        self._connections = max(self._connections, (load.connections, load.most_connections))
        self._query_seconds = max(self._query_seconds, _age(load.longest_query))
        self._wait_seconds = max(self._wait_seconds, _age(load.longest_wait))
        self._lag_seconds = max(self._lag_seconds, lag_seconds)
        self._hidden = max(self._hidden, load.hidden)

    def _judge(self, load: Load, replica: str, lag_seconds: float) -> None:
        watch = self.watch
        if 100 * load.connections > watch.connections_percent * load.most_connections:
            what = f"{load.connections} of {load.most_connections} connections are in use"
            raise _too_much(what, f"connections_percent: {watch.connections_percent}")
        query, wait = load.longest_query, load.longest_wait
        if wait is not None and wait.age_seconds > watch.lock_wait_seconds:
            what = f"{wait.who} has waited for a lock for {wait.age_seconds:.0f} s: {wait.query}"
            raise _too_much(what, f"lock_wait_seconds: {watch.lock_wait_seconds}")
        if query is not None and query.age_seconds > watch.query_seconds:
            what = f"a query of {query.who} has run for {query.age_seconds:.0f} s: {query.query}"
            raise _too_much(what, f"query_seconds: {watch.query_seconds}")
        if lag_seconds > watch.replication_lag_seconds:
            what = f"the replica {replica} is {lag_seconds:.0f} s behind"
            raise _too_much(what, f"replication_lag_seconds: {watch.replication_lag_seconds}")

    def tell(self) -> tuple[str, ...]:
        taken, most = self._connections
        seen = (
            f"at most {taken} of {most} connections were in use",
            f"the longest query took {self._query_seconds:.0f} s, "
            f"the longest wait for a lock {self._wait_seconds:.0f} s",
            f"replicas were at most {self._lag_seconds:.0f} s behind",
        )
        if not self._hidden:
            return seen
        role = self.deployment.target.user
        return (
            *seen,
            f"{self._hidden} sessions did not show what they do, so that was not watched: "
            f'`GRANT pg_read_all_stats TO "{role}"` shows it',
        )


def _age(session: Session | None) -> float:
    return 0.0 if session is None else session.age_seconds


def _too_much(what: str, limit: str) -> StepFailed:
    return StepFailed(
        f"{what}, and the environment allows `{limit}`",
        fix="See what of the release does that; where it is usual, allow more in `watch`.",
        details={"watched": what, "limit": limit},
    )


# --- Errors that somebody else counts ------------------------------------------------


@dataclass
class _Counter:
    """A number that grows with each error; one that became smaller has begun anew at 0."""

    deployment: Deployment
    counter: ErrorCounter
    _last: float | None = None
    _new: float = 0.0

    @property
    def name(self) -> str:
        secrets = secrets_of_deployment(self.deployment)
        return f"the errors of `{mask(self.counter.command or self.counter.url or '', secrets)}`"

    def take(self) -> None:
        value = _number(self._answer())
        if self._last is not None:
            self._new += value - self._last if value >= self._last else value
        self._last = value
        if self._new > self.counter.most:
            raise _too_much(f"{self._new:g} new of {self.name}", f"most: {self.counter.most}")

    def tell(self) -> tuple[str, ...]:
        return (f"{self._new:g} new of {self.name}",)

    def _answer(self) -> str:
        """Return the text that holds the number: the last line of a command, or a body."""
        if self.counter.url is not None:
            try:
                answer = ask(self.counter.url)
            except Unanswered as error:
                raise _Unreadable(f"it {error}") from error
            if answer.status != 200:
                raise _Unreadable(f"it answered with {answer.status}")
            return answer.text
        assert self.counter.command is not None
        secrets = secrets_of_deployment(self.deployment)
        environ = environ_of(self.deployment)
        try:
            ran = run_command(self.counter.command, environ, Path(), _COUNTER_SECONDS, secrets)
        except StepFailed as error:
            raise _Unreadable(error.what) from error
        return next((line for line in reversed(ran.output) if line.strip()), "")


def _number(text: str) -> float:
    """Return the one number that a text holds."""
    found = _NUMBER.findall(text)
    if len(found) != 1:
        raise _Unreadable(f"one number was expected in the answer, there are {len(found)}")
    return float(found[0])
