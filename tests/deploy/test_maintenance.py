"""Maintenance is switched by the team's commands, and off with patience."""

from __future__ import annotations

from pathlib import Path

import pytest

from gatekeeper.deploy import maintenance
from gatekeeper.deploy.maintenance import switch_off, switch_on
from gatekeeper.deploy.model import StepFailed
from gatekeeper.policy.model import Environment, Maintenance
from tests.deploy.deployments import a_deployment


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maintenance, "_PAUSES_SECONDS", (0, 0))


def test_on_and_off(tmp_path: Path) -> None:
    environment = Environment(maintenance=Maintenance("echo on $GATEKEEPER_TAG", "echo off"))
    deployment = a_deployment(tmp_path, environment)
    assert (switch_on(deployment), switch_off(deployment)) == (("on v1.2",), ("off",))


def test_without_commands(tmp_path: Path) -> None:
    deployment = a_deployment(tmp_path, Environment())
    assert switch_off(deployment) == ()
    with pytest.raises(StepFailed) as raised:
        switch_on(deployment)
    assert raised.value.what == 'the environment "staging" has no commands for maintenance'
    assert '      staging:\n        maintenance: {on: "…", off: "…"}' in (raised.value.fix or "")


def test_off_is_tried_again(tmp_path: Path) -> None:
    mark = tmp_path / "tried"
    told: list[str] = []
    line = f"[ -e {mark} ] && echo off || {{ touch {mark}; exit 7; }}"
    environment = Environment(maintenance=Maintenance("true", line))
    assert switch_off(a_deployment(tmp_path, environment, told=told)) == ("off",)
    assert [line.partition(":")[0] for line in told] == ["maintenance is still on"]


def test_off_that_never_succeeds(tmp_path: Path) -> None:
    count = tmp_path / "count"
    environment = Environment(maintenance=Maintenance("exit 1", f"echo x >> {count}; exit 7"))
    deployment = a_deployment(tmp_path, environment)
    with pytest.raises(StepFailed, match="ended with exit status 7"):
        switch_off(deployment)
    assert count.read_text() == "x\n" * 3
    with pytest.raises(StepFailed, match="`exit 1` ended with exit status 1"):
        switch_on(deployment)
