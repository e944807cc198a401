from __future__ import annotations

import json
from pathlib import Path

import pytest

from gatekeeper.errors import ConfigError
from gatekeeper.policy.model import BackupMode, OnFailure
from gatekeeper.settings import (
    ActionInputs,
    CommentPolicy,
    FailOn,
    GitHubContext,
    Mode,
    read_context,
    read_inputs,
)

ALL_DEFAULTS = {
    "INPUT_MODE": "auto",
    "INPUT_PROJECT": "",
    "INPUT_DATABASE-URL": "",
    "INPUT_COMMENT": "changes",
    "INPUT_CHECK-RUN": "false",
    "INPUT_ANNOTATIONS": "true",
    "INPUT_TARGET-URL": "",
}


@pytest.mark.parametrize("environ", [{}, ALL_DEFAULTS], ids=["nothing", "action.yml's defaults"])
def test_left_out_inputs_have_defaults(environ: dict[str, str]) -> None:
    assert read_inputs(environ) == ActionInputs()


@pytest.mark.parametrize(
    ("given", "cache"),
    [
        (".gatekeeper", ".gatekeeper"),
        ("{workspace}/.gatekeeper", "{workspace}/.gatekeeper"),
        ("{temporary}/gatekeeper/", "{temporary}/gatekeeper"),
        ("~/.cache/gatekeeper", None),
        ("{temporary}", None),
        ("{temporary}/../elsewhere", None),
        ("{temporary}elsewhere/gatekeeper", None),
        ("/github/home/gatekeeper", None),
    ],
)
def test_the_cache_lies_where_a_later_step_finds_it(
    tmp_path: Path, given: str, cache: str | None
) -> None:
    """The runner has translated its paths to those of the container."""
    roots = {"workspace": "/github/workspace", "temporary": str(tmp_path)}
    environ = {
        "GITHUB_WORKSPACE": roots["workspace"],
        "RUNNER_TEMP": roots["temporary"],
        "INPUT_CACHE": given.format(**roots),
    }
    if cache is None:
        with pytest.raises(ConfigError, match="the input `cache` is"):
            read_inputs(environ)
    else:
        assert read_inputs(environ).cache == cache.format(**roots)


def test_an_older_runner_keeps_its_temporary_folder_to_itself() -> None:
    environ = {"RUNNER_TEMP": "/home/runner/_temp", "INPUT_CACHE": "/home/runner/_temp/gatekeeper"}
    with pytest.raises(ConfigError) as caught:
        read_inputs(environ)
    assert str(caught.value) == (
        "with: cache: this runner does not show its temporary folder to a container\n"
        "Update the runner to 2.329 or newer, or take a folder below the workspace, such as "
        "`cache: .gatekeeper`."
    )


def test_every_input_is_read() -> None:
    environ = {
        "INPUT_MODE": "check",
        "INPUT_PROJECT": "services/shop",
        "INPUT_CONFIG": "alembic.ini",
        "INPUT_SECTION": "orders\n\n  billing\n",
        "INPUT_BASE": "origin/main",
        "INPUT_POLICY": "policy.yml",
        "INPUT_DATABASE-URL": " postgresql://u:p@localhost/postgres ",
        "INPUT_PYTHON-VERSION": "3.12",
        "INPUT_INSTALL": "pip install -r requirements.txt\n",
        "INPUT_ENV": "# for settings.py\nSECRET_KEY=a=b\n\nDEBUG=",
        "INPUT_SEED": "seed.sql",
        "INPUT_COMMENT": "failures",
        "INPUT_COMMENT-ID": "billing",
        "INPUT_ANNOTATIONS": "False",
        "INPUT_FAIL-ON": "warning",
        "INPUT_REPORT-DIR": "out/gate/",
        "INPUT_GITHUB-TOKEN": "t0ken",
        "INPUT_CACHE": ".cache/gatekeeper",
    }
    assert read_inputs(environ) == ActionInputs(
        mode=Mode.CHECK,
        project="services/shop",
        config="alembic.ini",
        section=("orders", "billing"),
        base="origin/main",
        policy="policy.yml",
        database_url="postgresql://u:p@localhost/postgres",
        python_version="3.12",
        install="pip install -r requirements.txt",
        env={"SECRET_KEY": "a=b", "DEBUG": ""},
        seed="seed.sql",
        comment=CommentPolicy.FAILURES,
        comment_id="billing",
        annotations=False,
        fail_on=FailOn.WARNING,
        report_dir="out/gate",
        github_token="t0ken",
        cache=".cache/gatekeeper",
    )


DEPLOY = {"INPUT_MODE": "deploy", "INPUT_ENVIRONMENT": "staging"}


def test_the_inputs_of_a_deploy_are_read() -> None:
    given = {
        "INPUT_TARGET-URL": "postgresql://u:p@db/shop",
        "INPUT_BACKUP": "off",
        "INPUT_SMOKE-TEST": "pytest tests/smoke\n\ncurl --fail https://staging.example.org\n",
        "INPUT_ON-FAILURE": "downgrade",
    }
    assert read_inputs(DEPLOY) == ActionInputs(mode=Mode.DEPLOY, environment="staging")
    read = read_inputs({**DEPLOY, **given})
    assert read == ActionInputs(
        mode=Mode.DEPLOY,
        environment="staging",
        target_url="postgresql://u:p@db/shop",
        backup=BackupMode.OFF,
        smoke_test=("pytest tests/smoke", "curl --fail https://staging.example.org"),
        on_failure=OnFailure.DOWNGRADE,
    )
    assert "u:p" not in repr(read)


def test_the_target_may_be_named_by_a_variable() -> None:
    variable = {"GATEKEEPER_TARGET_URL": "postgresql://db/shop"}
    assert read_inputs({**DEPLOY, **variable}).target_url == "postgresql://db/shop"
    given = {**DEPLOY, **variable, "INPUT_TARGET-URL": "postgresql://other/shop"}
    assert read_inputs(given).target_url == "postgresql://other/shop"
    assert read_inputs(variable).target_url is None


@pytest.mark.parametrize(
    ("variable", "value", "sentence"),
    [
        (
            "INPUT_BACKUP",
            "pg_dump",
            "with: backup: the input `backup` is `pg_dump`\nAllowed: required, off, command.",
        ),
        (
            "INPUT_BACKUP",
            "command",
            "with: backup: the input `backup` does not say which command makes the backup\n"
            "Write it into the policy file: `environments: {staging: {backup: {command: …}}}`.",
        ),
        (
            "INPUT_ON-FAILURE",
            "rollback",
            "with: on-failure: the input `on-failure` is `rollback`\n"
            "Allowed: stop, downgrade, restore, auto.",
        ),
    ],
)
def test_a_wrong_input_of_a_deploy_is_refused(variable: str, value: str, sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_inputs({**DEPLOY, variable: value})
    assert str(caught.value) == sentence


@pytest.mark.parametrize(
    ("variable", "value", "sentence"),
    [
        (
            "INPUT_MODE",
            "chek",
            "with: mode: the input `mode` is `chek`\n"
            "Allowed: auto, check, release, deploy, publish (did you mean `check`?).",
        ),
        (
            "INPUT_COMMENT",
            "sometimes",
            "with: comment: the input `comment` is `sometimes`\n"
            "Allowed: always, changes, failures, off.",
        ),
        (
            "INPUT_FAIL-ON",
            "Error",
            "with: fail-on: the input `fail-on` is `Error`\n"
            "Allowed: error, warning, never (did you mean `error`?).",
        ),
        (
            "INPUT_ANNOTATIONS",
            "yes",
            "with: annotations: the input `annotations` is `yes`\nAllowed: true, false.",
        ),
        *(
            (
                "INPUT_COMMENT-ID",
                value,
                f"with: comment-id: the input `comment-id` is `{value}`\n"
                "Allowed: up to 64 letters, digits and `_`, in words joined by `.` or `-`.",
            )
            for value in ("a --> b", "a--b", "-a", "x" * 65, "größe")
        ),
        *(
            (
                "INPUT_REPORT-DIR",
                folder,
                f"with: report-dir: the input `report-dir` is `{folder}`\n"
                "Allowed: a folder below the workspace, such as `gatekeeper-report`.",
            )
            for folder in ("/tmp/out", "../out", "a/../../b", ".")
        ),
        (
            "INPUT_CACHE",
            "/var/cache/gatekeeper",
            "with: cache: the input `cache` is `/var/cache/gatekeeper`\n"
            "Allowed: `${{ runner.temp }}/gatekeeper`, or a folder below the workspace, such as "
            "`.gatekeeper`.",
        ),
        (
            "INPUT_ENV",
            "SECRET KEY: hush",
            "with: env: the input `env` has a line that is not `NAME=value`\n"
            "Write one variable a line, such as `SECRET_KEY=dummy`.",
        ),
        (
            "INPUT_CHECK-RUN",
            "true",
            "with: the input `check-run` is not in this version\nTake `check-run` out of the step.",
        ),
        *(
            (
                f"INPUT_{name.upper()}",
                value,
                f"with: {name}: the input `{name}` is of a deploy, and `mode: auto` deploys nothing"
                f"\nTake `{name}` out of the step, or set `mode: deploy`.",
            )
            for name, value in [
                ("target-url", "postgresql://production/shop"),
                ("environment", "staging"),
                ("backup", "off"),
                ("smoke-test", "curl https://example.org/health"),
                ("on-failure", "auto"),
            ]
        ),
        (
            "INPUT_MODE",
            "deploy",
            "with: environment: `mode: deploy` does not say which environment to deploy to\n"
            "Name one of the policy's `environments`, such as `environment: staging`.",
        ),
        (
            "INPUT_DATABASE-ULR",
            "x",
            "with: the action has no input `database-ulr`\nDid you mean `database-url`?",
        ),
    ],
)
def test_a_wrong_input_is_refused(variable: str, value: str, sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_inputs({variable: value})
    assert str(caught.value) == sentence


def test_secrets_are_in_no_representation() -> None:
    environ = {
        "INPUT_GITHUB-TOKEN": "hush",
        "INPUT_DATABASE-URL": "postgresql://u:hush@localhost/x",
        "INPUT_ENV": "SECRET_KEY=hush",
    }
    assert "hush" not in repr(read_inputs(environ))


def a_run(tmp_path: Path, **variables: str) -> dict[str, str]:
    event = tmp_path / "event.json"
    event.write_text(json.dumps({"action": "opened"}), encoding="utf-8")
    return {
        "GITHUB_EVENT_NAME": "pull_request",
        "GITHUB_EVENT_PATH": str(event),
        "GITHUB_SHA": "1" * 40,
        "GITHUB_REF": "refs/pull/7/merge",
        "GITHUB_REPOSITORY": "octo/shop",
        "GITHUB_RUN_ID": "99",
        "GITHUB_WORKSPACE": str(tmp_path),
        **variables,
    }


def test_a_run_is_read(tmp_path: Path) -> None:
    environ = a_run(
        tmp_path,
        GITHUB_SERVER_URL="https://git.example.org",
        GITHUB_API_URL="https://git.example.org/api/v3",
        GITHUB_RUN_ATTEMPT="2",
        GITHUB_OUTPUT="/out",
        GITHUB_STEP_SUMMARY="/summary",
        RUNNER_TEMP="/temp",
        GITHUB_ACTOR="kim",
    )
    context = read_context(environ)
    assert context == GitHubContext(
        event_name="pull_request",
        payload={"action": "opened"},
        sha="1" * 40,
        ref="refs/pull/7/merge",
        repository="octo/shop",
        server_url="https://git.example.org",
        api_url="https://git.example.org/api/v3",
        run_id="99",
        run_attempt="2",
        workspace=tmp_path,
        step_output=Path("/out"),
        step_summary=Path("/summary"),
        runner_temp=Path("/temp"),
        actor="kim",
    )
    assert context.run_url == "https://git.example.org/octo/shop/actions/runs/99/attempts/2"


def test_a_run_without_files_and_urls_is_github_com(tmp_path: Path) -> None:
    context = read_context(a_run(tmp_path))
    assert (context.step_output, context.step_summary, context.runner_temp) == (None, None, None)
    assert (context.server_url, context.api_url) == (
        "https://github.com",
        "https://api.github.com",
    )


@pytest.mark.parametrize(
    "missing", ["GITHUB_EVENT_PATH", "GITHUB_EVENT_NAME", "GITHUB_SHA", "GITHUB_WORKSPACE"]
)
def test_outside_a_workflow_it_is_said_what_to_run(tmp_path: Path, missing: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_context(a_run(tmp_path, **{missing: ""}))
    assert str(caught.value) == (
        f"environment: `{missing}` is not set\n"
        "Run `gatekeeper action` as a step of a workflow; elsewhere run `gatekeeper check`."
    )


@pytest.mark.parametrize("text", ["", "{", "[]"])
def test_an_unreadable_event_is_said(tmp_path: Path, text: str) -> None:
    environ = a_run(tmp_path)
    Path(environ["GITHUB_EVENT_PATH"]).write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match="the event that GitHub wrote"):
        read_context(environ)


def test_an_event_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read_context(a_run(tmp_path, GITHUB_EVENT_PATH=str(tmp_path / "none.json")))
