"""Smoke tests pass when all commands end well and all addresses answer as expected."""

from __future__ import annotations

from pathlib import Path

import pytest

from gatekeeper.deploy.model import StepFailed
from gatekeeper.deploy.smoke import run_smoke_tests
from gatekeeper.policy.model import Environment, HealthProbe
from tests.deploy.addresses import Web
from tests.deploy.deployments import a_deployment


def test_nothing_to_do(tmp_path: Path) -> None:
    assert run_smoke_tests(a_deployment(tmp_path, Environment())) == ()


def test_commands_in_their_order_then_addresses(tmp_path: Path, web: Web) -> None:
    health = web.url("/health", (200, "fine"))
    told: list[str] = []
    environment = Environment(
        smoke_test=("echo $GATEKEEPER_ENVIRONMENT", "echo $SHOP_TOKEN"),
        health=(HealthProbe(health, 200), HealthProbe(web.url("/gone"), 404)),
    )
    deployment = a_deployment(tmp_path, environment, environ={"SHOP_TOKEN": "abcdef"}, told=told)
    assert run_smoke_tests(deployment) == (
        "$ echo $GATEKEEPER_ENVIRONMENT",
        "staging",
        "$ echo $SHOP_TOKEN",
        "***",
        f"{health} answered with 200",
        f"{web.url('/gone')} answered with 404",
    )
    assert told == [
        "smoke test: echo $GATEKEEPER_ENVIRONMENT",
        "smoke test: echo $SHOP_TOKEN",
        f"health: {health}",
        f"health: {web.url('/gone')}",
    ]


def test_a_command_that_fails_is_the_last_one(tmp_path: Path, web: Web) -> None:
    environment = Environment(
        smoke_test=("exit 4", "touch reached"),
        health=(HealthProbe(web.url("/health", (200, "")), 200),),
    )
    with pytest.raises(StepFailed, match="`exit 4` ended with exit status 4"):
        run_smoke_tests(a_deployment(tmp_path, environment))
    assert web.received == []
    assert not Path("reached").exists()


@pytest.mark.slow
def test_an_application_that_is_still_starting(tmp_path: Path, web: Web) -> None:
    health = web.url("/health", (503, ""), (200, ""))
    environment = Environment(health=(HealthProbe(health, 200),))
    assert run_smoke_tests(a_deployment(tmp_path, environment)) == (f"{health} answered with 200",)


@pytest.mark.parametrize(
    ("path", "answers", "expected", "problem"),
    [
        ("/health", [(503, "")], 200, "answers with 503"),
        ("/moved", [(302, "/other")], 200, "answers with 404"),
        ("/moved", [(302, "/health")], 301, "answers with 302"),
        ("/circle", [(302, "/circle")], 200, "sends in circles"),
    ],
)
def test_another_answer(
    tmp_path: Path,
    web: Web,
    path: str,
    answers: list[tuple[int, str]],
    expected: int,
    problem: str,
) -> None:
    url = web.url(path, *answers)
    deployment = a_deployment(tmp_path, Environment(health=(HealthProbe(url, expected),)))
    with pytest.raises(StepFailed) as raised:
        run_smoke_tests(deployment, health_seconds=0)
    assert raised.value.what == f"{url} {problem} instead of answering with {expected}"
    assert raised.value.details == {"url": url, "expected": expected, "problem": problem}


def test_a_redirection_may_be_what_is_expected(tmp_path: Path, web: Web) -> None:
    url = web.url("/", (302, "/login"))
    deployment = a_deployment(tmp_path, Environment(health=(HealthProbe(url, 302),)))
    assert run_smoke_tests(deployment) == (f"{url} answered with 302",)


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("http://user:secret@127.0.0.1:1/", "http://***@127.0.0.1:1/ cannot be reached"),
        ("http://127.0.0.1:99999/", "http://127.0.0.1:99999/ is no address that can be asked"),
        ("http://a..b/", "http://a..b/ is no address that can be asked"),
        ("http://[::1/", "http://[::1/ is no address that can be asked"),
    ],
)
def test_an_address_that_cannot_be_reached(tmp_path: Path, url: str, problem: str) -> None:
    deployment = a_deployment(tmp_path, Environment(health=(HealthProbe(url, 200),)))
    with pytest.raises(StepFailed) as raised:
        run_smoke_tests(deployment, health_seconds=0)
    assert raised.value.what == f"{problem} instead of answering with 200"
    assert "secret" not in f"{raised.value}{raised.value.details}"
