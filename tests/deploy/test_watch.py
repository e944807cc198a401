"""While a target is watched, each threshold that is crossed fails the deploy, and says why."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from gatekeeper.deploy.model import Deployment, StepFailed
from gatekeeper.deploy.watch import _Progress, watch_target
from gatekeeper.policy.model import Environment, ErrorCounter, Watch
from gatekeeper.postgres.activity import Load, Replica
from gatekeeper.postgres.databases import Database
from gatekeeper.postgres.servers import Server
from tests.databases import execute
from tests.deploy.addresses import Web
from tests.deploy.deployments import a_deployment
from tests.deploy.targets import an_ordinary_target, busy, target_of

pytestmark = pytest.mark.postgres

SHORT = Watch(minutes=0)
LONG = Watch(minutes=5)
QUIET = (
    "the longest query took 0 s, the longest wait for a lock 0 s",
    "replicas were at most 0 s behind",
)

Deploy = Callable[..., Deployment]


@pytest.fixture
def deploy(tmp_path: Path, database: Database) -> Deploy:
    """A function that returns a deployment to the test's database, watched as given."""

    def make(watch: Watch | None, **fields: object) -> Deployment:
        values = {"target": target_of(database), **fields}
        return a_deployment(tmp_path, Environment(watch=watch), **values)  # type: ignore[arg-type]

    return make


def failed(deployment: Deployment) -> StepFailed:
    with pytest.raises(StepFailed) as raised:
        watch_target(deployment, sample_seconds=0.05)
    return raised.value


# --- The server ----------------------------------------------------------------------


def test_no_watch(deploy: Deploy) -> None:
    assert watch_target(deploy(None)) == ()


def test_a_quiet_target(deploy: Deploy) -> None:
    told: list[str] = []
    connections, *others = watch_target(deploy(SHORT, told=told))
    taken, most = (int(word) for word in connections.split() if word.isdigit())
    assert connections == f"at most {taken} of {most} connections were in use"
    assert 1 <= taken < most <= 200
    assert tuple(others) == QUIET
    assert told == ["watching the target for 0 minutes"]


@pytest.mark.slow
def test_a_target_is_watched_to_the_end(deploy: Deploy, tmp_path: Path) -> None:
    counter = ErrorCounter(0, command=f"echo x >> {tmp_path}/count; echo 0")
    watch = replace(SHORT, minutes=0.02, errors=(counter,))  # type: ignore[arg-type]
    watch_target(deploy(watch), sample_seconds=0.2)
    assert 4 <= len((tmp_path / "count").read_text().split()) <= 8


@pytest.mark.slow
def test_a_long_query(deploy: Deploy, database: Database) -> None:
    with busy(database, "SELECT pg_sleep(60), 'secret'", after_seconds=0.5) as pid:
        error = failed(deploy(replace(LONG, query_seconds=1)))
    what, _, limit = error.what.partition(", and ")
    assert what.startswith(f"a query of process {pid} of postgres (shop) has run for ")
    assert what.endswith(" s: SELECT pg_sleep(?), ?")
    assert limit == "the environment allows `query_seconds: 1`"
    assert error.details == {"watched": what, "limit": "query_seconds: 1"}
    assert error.fix is not None


@pytest.mark.slow
def test_a_long_wait_for_a_lock(deploy: Deploy, database: Database) -> None:
    execute(database, "CREATE TABLE shop (id int)")
    with (
        busy(database, "LOCK shop", "SELECT pg_sleep(60)"),
        busy(database, "INSERT INTO shop VALUES (4711)") as pid,
    ):
        error = failed(deploy(replace(LONG, lock_wait_seconds=0)))
    what, _, limit = error.what.partition(", and ")
    assert what.startswith(f"process {pid} of postgres (shop) has waited for a lock for ")
    assert what.endswith(" s: INSERT INTO shop VALUES (?)")
    assert limit == "the environment allows `lock_wait_seconds: 0`"


def test_too_many_connections(deploy: Deploy) -> None:
    error = failed(deploy(replace(LONG, connections_percent=0)))
    assert "connections are in use, and the environment allows `connections_percent: 0`" in (
        error.what
    )


def test_what_a_role_may_not_see_is_said(deploy: Deploy, database: Database) -> None:
    with an_ordinary_target(database) as target, busy(database, "SELECT pg_sleep(60)"):
        (*_, last) = watch_target(deploy(SHORT, target=target))
    count, rest = last.split(" ", 1)
    assert int(count) >= 1, "PostgreSQL's own workers may be beside it"
    assert rest == (
        "sessions did not show what they do, so that was not watched: "
        f'`GRANT pg_read_all_stats TO "{target.user}"` shows it'
    )


def test_a_server_that_does_not_answer(deploy: Deploy, database: Database) -> None:
    told: list[str] = []
    error = failed(deploy(LONG, target=replace(target_of(database), port=1), told=told))
    assert error.what.startswith(
        "the state of the target's server could not be read 3 times in succession: 127.0.0.1:1: "
    )
    assert len(told) == 4


def a_load(position: int, *replicas: Replica) -> Load:
    return Load(1, 100, None, None, position, replicas, 0)


@pytest.mark.parametrize(
    ("loads", "furthest"),
    [
        pytest.param([a_load(10)], ("that is gone", 0), id="no replica"),
        pytest.param([a_load(10, Replica("r", 10, 0))] * 3, ("that is gone", 0), id="idle"),
        pytest.param(
            [a_load(10, Replica("r", 10, 0)), a_load(20, Replica("r", 20, 0))],
            ("that is gone", 0),
            id="at the end",
        ),
        pytest.param(
            [a_load(n, Replica("r", 5, 0), Replica("s", n, 0)) for n in (10, 20, 30)],
            ("r", 20),
            id="stands still",
        ),
        pytest.param(
            [a_load(n, Replica("r", n - 11, 0)) for n in (10, 20, 30, 40)], ("r", 10), id="behind"
        ),
        pytest.param([a_load(10, Replica("r", 5, 7.5))], ("r", 7.5), id="behind before"),
        pytest.param(
            [a_load(10, Replica("r", 10, 0)), a_load(10), a_load(10)],
            ("that is gone", 20),
            id="gone",
        ),
    ],
)
def test_how_far_a_replica_is_behind(loads: list[Load], furthest: tuple[str, float]) -> None:
    progress = _Progress()
    followed = [progress.follow(load, 10.0 * n) for n, load in enumerate(loads)]
    assert followed[-1] == furthest


# --- Counters ------------------------------------------------------------------------


def numbers(tmp_path: Path, *values: str) -> str:
    """Return a command that prints one value after the other, the last one again and again."""
    for number, value in enumerate(values, start=1):
        (tmp_path / f"value-{number}").write_text(value)
    count = tmp_path / "count"
    return (
        f"echo x >> {count}; n=$(wc -l < {count}); [ $n -gt {len(values)} ] && n={len(values)};"
        f" cat {tmp_path}/value-$n; [ -s {tmp_path}/value-$n ]"
    )


@pytest.mark.parametrize(
    ("values", "new"),
    [
        (["7"], "0"),
        (["7", "9"], "2"),
        (["warning: slow\n7\n\n", "errors_total 9.5\n"], "2.5"),
        (["1e3", "1002"], "2"),
        pytest.param(["100", "1", "3"], "3", id="begun anew"),
        pytest.param(["7", "", "", "9"], "2", id="not read twice"),
    ],
)
def test_errors_that_are_not_too_many(
    deploy: Deploy, tmp_path: Path, values: list[str], new: str
) -> None:
    line = numbers(tmp_path, *values)
    watch = replace(SHORT, minutes=0.005, errors=(ErrorCounter(3, line),))  # type: ignore[arg-type]
    (*_, last) = watch_target(deploy(watch), sample_seconds=0.02)
    assert last == f"{new} new of the errors of `{line}`"


def test_too_many_errors_by_a_command(deploy: Deploy, tmp_path: Path) -> None:
    line = numbers(tmp_path, "7", "8", "11")
    error = failed(deploy(replace(LONG, errors=(ErrorCounter(3, line),))))
    assert error.what == f"4 new of the errors of `{line}`, and the environment allows `most: 3`"


def test_too_many_errors_by_an_address(deploy: Deploy, web: Web) -> None:
    url = web.url("/errors", (200, '{"errors": 7}'), (503, ""), (200, '{"errors": 8}'))
    told: list[str] = []
    error = failed(deploy(replace(LONG, errors=(ErrorCounter(0, url=url),)), told=told))
    assert error.what == f"1 new of the errors of `{url}`, and the environment allows `most: 0`"
    assert told[1:] == [f"the errors of `{url}` could not be read: it answered with 503"]


@pytest.mark.parametrize(
    ("answers", "problem"),
    [
        ([(200, "no idea")], "one number was expected in the answer, there are 0"),
        ([(200, 'errors{code="500"} 3')], "one number was expected in the answer, there are 2"),
        ([(200, "v1.2.3")], "one number was expected in the answer, there are 0"),
        ([(404, "7")], "it answered with 404"),
        ([(200, "7"), (500, "7")], "it answered with 500"),
    ],
)
def test_errors_that_cannot_be_counted(
    deploy: Deploy, web: Web, answers: list[tuple[int, str]], problem: str
) -> None:
    url = web.url("/errors", *answers)
    error = failed(deploy(replace(LONG, errors=(ErrorCounter(0, url=url),))))
    assert error.what == (
        f"the errors of `{url}` could not be read 3 times in succession: {problem}"
    )


def test_a_command_that_fails_counts_nothing(deploy: Deploy) -> None:
    error = failed(deploy(replace(LONG, errors=(ErrorCounter(0, command="echo 7; exit 2"),))))
    assert "ended with exit status 2" in error.what


def test_no_secret_is_told(deploy: Deploy, server: Server) -> None:
    told: list[str] = []
    counter = ErrorCounter(0, url="http://user:hunter22@127.0.0.1:1/abcdef-token")
    watch = replace(LONG, errors=(counter,))
    error = failed(deploy(watch, environ={"A_TOKEN": "abcdef-token"}, told=told))
    text = f"{error}{error.details}{told}"
    for secret in ("hunter22", "abcdef-token", server.password):
        assert secret not in text
