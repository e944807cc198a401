"""What real env.py's do beside migrating, and that it neither harms nor is harmed."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from gatekeeper.errors import ProbeError
from gatekeeper.model import Direction
from gatekeeper.probe.model import Fate, RequestedStep
from gatekeeper.probe.runner import open_probe

pytestmark = [pytest.mark.postgres, pytest.mark.slow]

UP = [RequestedStep(revision, Direction.UPGRADE) for revision in ("a001", "a002")]
DOWN = [RequestedStep(revision, Direction.DOWNGRADE) for revision in ("a002", "a001")]
OBSERVE = "SELECT 'seen', current_setting('search_path')"


@pytest.mark.parametrize(
    "habit",
    [
        "none",
        "session lock",
        "transaction lock",
        "kept open",
        "timeouts",
        "search_path",
        "commits",
        "no transactional ddl",
        "transaction per migration",
        "own arguments",
        "logs into a file",
        "signal handlers",
        "threads",
        "prints",
        "subprocess",
        "at exit",
        "exits",
    ],
)
def test_runs_up_and_down_again_and_again(habit, launch, probe_server):
    launched = launch("habits", environment={"SHOP_HABIT": habit}, timeout_seconds=20.0)
    target = probe_server.new_target()
    with open_probe(launched, probe_server.new_target) as probe:
        assert probe.attempt.reasons == ()
        runs = [probe.run(target, steps, OBSERVE) for steps in (UP, DOWN, UP, DOWN)]
        began = time.monotonic()
    assert time.monotonic() - began < 5
    assert [r.error for r in runs] == [None] * 4
    assert [s.error for r in runs for s in r.steps] == [None] * 8
    statements = [s.statements[0] for r in runs for s in r.steps]
    assert {s.fate for s in statements} == {Fate.COMMITTED}
    assert {(s.path, s.line) for s in statements} == {
        (f"migrations/versions/{name}.py", line)
        for name in ("a001_users", "a002_email")
        for line in (10, 14)
    }


def test_an_alarm_does_not_outlive_the_run(launch, probe_server):
    launched = launch("habits", environment={"SHOP_HABIT": "alarm"})
    with open_probe(launched, probe_server.new_target) as probe:
        time.sleep(1.2)
        assert probe.run(probe_server.new_target(), UP).error is None


def test_a_run_that_waits_for_a_lock_ends(launch, probe_server):
    """Somebody else on the server holds it: the limit of the request is the last resort."""
    launched = launch("habits", environment={"SHOP_HABIT": "session lock"})
    launched = replace(launched, timeout_seconds=3.0)
    target = probe_server.new_target()
    with (
        open_probe(launched, probe_server.new_target) as probe,
        probe_server.holding(target.database, "SELECT pg_advisory_lock(4711)"),
        pytest.raises(ProbeError) as raised,
    ):
        probe.run(target, UP)
    assert "did not answer within 3 seconds" in raised.value.what
    assert "`project: {timeout_minutes: 2}`" in str(raised.value.fix)


@pytest.mark.parametrize(
    ("habit", "what"),
    [
        ("exits with a code", "env.py could not be run: SystemExit: 3"),
        (
            "git",
            "env.py could not be run: CalledProcessError: Command '['git', 'rev-parse', 'HEAD']' "
            "returned non-zero exit status 128.",
        ),
    ],
)
def test_what_cannot_be_gone_along_with(habit, what, launch, probe_server):
    launched = launch("habits", environment={"SHOP_HABIT": habit})
    with (
        pytest.raises(ProbeError) as raised,
        open_probe(launched, probe_server.new_target),
    ):
        pass
    assert raised.value.what == what
    assert raised.value.where is not None
    assert raised.value.where.startswith("migrations/env.py:")


def test_transactions_are_those_that_env_py_chooses(launch, probe_server):
    seen = {}
    for habit in ("none", "no transactional ddl", "transaction per migration"):
        launched = launch("habits", environment={"SHOP_HABIT": habit})
        launched = replace(
            launched, checkout=launched.checkout.rename(launched.checkout.parent / habit)
        )
        with open_probe(launched, probe_server.new_target) as probe:
            facts = probe.facts
            run = probe.run(probe_server.new_target(), UP)
        numbers = [s.statements[0].transaction for s in run.steps]
        seen[habit] = (
            facts.transactional_ddl,
            facts.transaction_per_migration,
            numbers[0] == numbers[1],
        )
    assert seen == {
        "none": (True, False, True),
        "no transactional ddl": (False, False, True),  # env.py's own transaction is around all
        "transaction per migration": (True, True, True),
    }
