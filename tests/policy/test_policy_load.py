from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from gatekeeper.checks import ALL
from gatekeeper.errors import ConfigError
from gatekeeper.model import Attestation, Severity, Way
from gatekeeper.policy import waivers, weakening
from gatekeeper.policy.document import read_document
from gatekeeper.policy.load import find_policy, load_policy
from gatekeeper.policy.model import (
    Backup,
    BackupMode,
    CheckSetting,
    Environment,
    ErrorCounter,
    HealthProbe,
    Maintenance,
    Notification,
    OnFailure,
    Override,
    Policy,
    ProjectSettings,
    Watch,
)
from gatekeeper.policy.shipped import POLICIES, read_shipped
from tests.policy.known import BY_ID, KNOWN

RECOMMENDED = load_policy(None, KNOWN)
IDS = ", ".join(f"`{check_id}`" for check_id in BY_ID)


def load(folder: Path, text: str) -> Policy:
    path = folder / ".gatekeeper.yml"
    path.write_text(text)
    return load_policy(path, KNOWN)


def setting(severity: str, **options: int | str | bool) -> CheckSetting:
    return CheckSetting(Severity[severity.upper()], options)


# --- What ships ----------------------------------------------------------------------


@pytest.mark.parametrize("name", POLICIES)
def test_a_shipped_policy_names_every_check(name: str) -> None:
    ids = {module.CHECK.id for module in ALL} | {waivers.CHECK.id, weakening.CHECK.id}
    assert set(read_document(name, read_shipped(f"{name}.yml")).data["checks"]) == ids


def test_the_shipped_policies_name_the_same_checks() -> None:
    strict = read_document("strict.yml", read_shipped("strict.yml"))
    assert list(strict.data["checks"]) == list(BY_ID)


@pytest.mark.parametrize("name", POLICIES)
def test_a_shipped_policy_says_why_on_every_line(name: str) -> None:
    lines = read_shipped(f"{name}.yml").splitlines()
    start = lines.index("checks:")
    assert [line for line in lines[start + 1 :] if line.strip() and "# " not in line] == []


def test_recommended_warns_where_a_change_works_but_may_hurt() -> None:
    errors = (
        *("upgrade-fails", "downgrade-fails", "reupgrade-fails", "silently-not-applied"),
        *("downgrade-missing", "downgrade-empty", "downgrade-raises", "downgrade-incomplete"),
        *("multiple-heads", "edited-merged-revision", "deleted-revision"),
        *("enum-drop-unguarded", "invalid-index-left"),
    )
    warnings = (
        *("not-atomic", "index-not-concurrent", "missing-lock-timeout", "model-drift"),
        *("unusable-waiver", "policy-weakened"),
    )
    severities = {check_id: s.severity for check_id, s in RECOMMENDED.checks.items()}
    assert severities.items() >= dict.fromkeys(errors, Severity.ERROR).items()
    assert severities.items() >= dict.fromkeys(warnings, Severity.WARNING).items()


def test_strict_makes_everything_an_error(tmp_path: Path) -> None:
    strict = load(tmp_path, "extends: strict")
    assert strict == Policy(
        checks={check_id: setting("error") for check_id in BY_ID},
        attestations=RECOMMENDED.attestations,
    )


def test_what_ships_asks_people_of_production_and_of_no_change() -> None:
    asked = {(a.required_for, a.of_release) for a in RECOMMENDED.attestations}
    assert asked == {(("production",), True)}


def test_a_file_takes_an_attestation_that_ships_for_another_place(tmp_path: Path) -> None:
    line = "{id: team-notified, title: Team told, required_for: [staging], asked: release}"
    policy = load(tmp_path, f"attestations: [{line}]")
    there = {a.id: a for a in policy.attestations}
    assert there["team-notified"] == Attestation(
        "team-notified", "Team told", ("staging",), of_release=True
    )
    assert list(there) == [a.id for a in RECOMMENDED.attestations]


def test_the_published_schema_is_one_and_takes_what_ships() -> None:
    schema = json.loads(read_shipped("policy.schema.json"))
    jsonschema.Draft202012Validator.check_schema(schema)
    for name in POLICIES:
        jsonschema.validate(read_document(name, read_shipped(f"{name}.yml")).data, schema)


def test_every_rule_of_the_schema_has_a_sentence() -> None:
    """`_config_error` knows these keywords; a pattern is told by its description."""
    schema = json.loads(read_shipped("policy.schema.json"))
    annotations = {"$schema", "$defs", "$ref", "title", "description"}
    structure = {"properties", "items", "propertyNames", "if", "then", "else"}
    told = {
        *("additionalProperties", "enum", "type", "required", "oneOf", "minimum", "maximum"),
        *("minItems", "maxItems", "minLength", "maxLength", "pattern"),
    }
    schemas = list(_schemas(schema))
    assert {key for s in schemas for key in s} <= annotations | structure | told
    assert [s for s in schemas if "pattern" in s and "description" not in s] == []


def _schemas(schema: Any) -> Iterator[dict[str, Any]]:
    if not isinstance(schema, dict):
        return
    yield schema
    for key in ("properties", "$defs"):
        for child in schema.get(key, {}).values():
            yield from _schemas(child)
    for key in ("items", "propertyNames", "additionalProperties", "if", "then", "else"):
        yield from _schemas(schema.get(key))


# --- Files that are read -------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# nothing yet\n",
        "version: 1\n",
        'version: "1"\n',
        "extends: recommended\n",
        "checks:\noverrides: []\nattestations:\nproject: {}\nenvironments:\n",
        "checks: {not-atomic: warning}\n",
        "checks: {not-atomic: {}}\n",
    ],
)
def test_a_file_that_says_nothing_new_is_recommended(tmp_path: Path, text: str) -> None:
    assert load(tmp_path, text) == RECOMMENDED


@pytest.mark.parametrize("text", ["postgres: 16", 'postgres: "16"', "postgres: '16'"])
def test_the_major_version_may_be_quoted_or_not(tmp_path: Path, text: str) -> None:
    assert load(tmp_path, text).postgres == "16"


@pytest.mark.parametrize(
    ("text", "check_id", "expected"),
    [
        ("checks: {downgrade-missing: off}", "downgrade-missing", setting("off")),
        ("checks: {downgrade-missing: 'off'}", "downgrade-missing", setting("off")),
        ("checks: {downgrade-missing: notice}", "downgrade-missing", setting("notice")),
        (
            "checks: {not-atomic: {severity: error, max_relations: 3}}",
            "not-atomic",
            setting("error", max_relations=3),
        ),
        (
            "checks: {not-atomic: {max_relations: 3}}",
            "not-atomic",
            setting("warning", max_relations=3),
        ),
        (
            "checks: {model-drift: {ignore: 'audit.*', strict_types: true}}",
            "model-drift",
            setting("warning", ignore="audit.*", strict_types=True),
        ),
    ],
)
def test_a_check_is_set_and_the_others_stay(
    tmp_path: Path, text: str, check_id: str, expected: CheckSetting
) -> None:
    assert load(tmp_path, text).checks == {**RECOMMENDED.checks, check_id: expected}


def test_the_whole_format_is_read(tmp_path: Path) -> None:
    policy = load(
        tmp_path,
        """\
version: 1
extends: recommended
postgres: "16"
checks:
  downgrade-missing: error
  not-atomic: {severity: error, max_relations: 3}
overrides:
  - paths: ["migrations/versions/2023_*"]
    checks: {downgrade-missing: off}
  - revisions: [4f1c2a, 123456, 00012, 4e12]
    checks: {not-atomic: notice}
  - before: 4f1c2a
    checks: {model-drift: off}
attestations:
  - {id: backup-verified, title: Database backup completed, required_for: [staging, production]}
  - {id: docs-read, title: Manual read, asked: change}
  - {id: data-team-asked, title: Data team asked, required_for: [staging], asked: release}
project:
  python: 3.10
  install: pip install -r requirements.txt
  env: {SECRET_KEY: dummy, PORT: 80, DEBUG: true, MODE: on, RATIO: 0.50}
  start: [asyncpg, worker-thread]
  x: {tenant: a, shard: 1}
  home: {.shop/url: "{database_url}"}
  timeout_minutes: 20
  extensions: [citext]
  bootstrap: db/bootstrap.sql
  stamp: 0012
  role: restricted
  seed: db/seed.sql
  hook: gatekeeper_hook.py
  without_dependencies: true
environments:
  staging:
    backup: off
    on_failure: restore
    smoke_test: ["pytest tests/smoke"]
    health: [{url: "https://staging.example.org/health", status: 204}, {url: "http://a/"}]
    watch: {minutes: 15}
    maintenance: {on: turn on, off: turn off}
    row_counts: [users, payments]
    notify: [{command: ./tell}, {url: "https://a/b"}, {variable: CHAT_WEBHOOK_URL}]
  production:
    backup: {command: make backup}
    differences: accepted
    lock_timeout_seconds: 2
    lock_attempts: 30
    watch:
      minutes: 30
      lock_wait_seconds: 5
      query_seconds: 10
      connections_percent: 80
      replication_lag_seconds: 15
      errors: [{command: ./errors, most: 0}, {url: "https://a/errors", most: 5}]
  large:
    backup: {jobs: 4, largest_gb: 50}
    differences: refused
    on_failure: auto
  given:
    backup: {command: make snapshot, largest_gb: 1}
  preview: {}
""",
    )
    assert policy == Policy(
        checks={
            **RECOMMENDED.checks,
            "downgrade-missing": setting("error"),
            "not-atomic": setting("error", max_relations=3),
        },
        overrides=(
            Override({"downgrade-missing": Severity.OFF}, paths=("migrations/versions/2023_*",)),
            Override(
                {"not-atomic": Severity.NOTICE}, revisions=("4f1c2a", "123456", "00012", "4e12")
            ),
            Override({"model-drift": Severity.OFF}, before="4f1c2a"),
        ),
        postgres="16",
        attestations=(
            *RECOMMENDED.attestations,
            Attestation("backup-verified", "Database backup completed", ("staging", "production")),
            Attestation("docs-read", "Manual read", ()),
            Attestation("data-team-asked", "Data team asked", ("staging",), of_release=True),
        ),
        project=ProjectSettings(
            python="3.10",
            install="pip install -r requirements.txt",
            env={
                "SECRET_KEY": "dummy",
                "PORT": "80",
                "DEBUG": "true",
                "MODE": "on",
                "RATIO": "0.50",
            },
            start=(Way.ASYNCPG, Way.WORKER_THREAD),
            x={"tenant": "a", "shard": "1"},
            home={".shop/url": "{database_url}"},
            timeout_minutes=20,
            extensions=("citext",),
            bootstrap="db/bootstrap.sql",
            stamp="0012",
            role="restricted",
            seed="db/seed.sql",
            hook="gatekeeper_hook.py",
            without_dependencies=True,
        ),
        environments={
            "staging": Environment(
                backup=Backup(BackupMode.OFF),
                on_failure=OnFailure.RESTORE,
                smoke_test=("pytest tests/smoke",),
                health=(
                    HealthProbe("https://staging.example.org/health", 204),
                    HealthProbe("http://a/", 200),
                ),
                watch=Watch(15, 30),
                maintenance=Maintenance("turn on", "turn off"),
                row_counts=("users", "payments"),
                notify=(
                    Notification(command="./tell"),
                    Notification(url="https://a/b"),
                    Notification(variable="CHAT_WEBHOOK_URL"),
                ),
            ),
            "production": Environment(
                backup=Backup(BackupMode.COMMAND, "make backup"),
                on_failure=OnFailure.STOP,
                differences_accepted=True,
                lock_timeout_seconds=2,
                lock_attempts=30,
                watch=Watch(
                    30,
                    5,
                    query_seconds=10,
                    connections_percent=80,
                    replication_lag_seconds=15,
                    errors=(
                        ErrorCounter(0, command="./errors"),
                        ErrorCounter(5, url="https://a/errors"),
                    ),
                ),
            ),
            "large": Environment(backup=Backup(jobs=4, largest_gb=50)),
            "given": Environment(backup=Backup(BackupMode.COMMAND, "make snapshot", 1, 1)),
            "preview": Environment(),
        },
    )


def test_a_file_changes_what_it_extends(tmp_path: Path) -> None:
    (tmp_path / "org").mkdir()
    (tmp_path / "org" / "base.yml").write_text(
        """\
extends: strict
postgres: 15
checks: {not-atomic: {max_relations: 2}, model-drift: off}
overrides: [{before: a1, checks: {downgrade-missing: off}}]
attestations: [{id: a, title: A}, {id: b, title: B}]
project: {role: restricted, env: {X: 1, Y: 2}}
environments: {staging: {backup: off, row_counts: [t]}}
"""
    )
    policy = load(
        tmp_path,
        """\
extends: org/base.yml
checks: {not-atomic: warning}
overrides: [{before: a2, checks: {downgrade-missing: error}}]
attestations: [{id: a, title: Better}, {id: c, title: C}]
project: {python: 3.12, env: {Y: 3}}
environments: {staging: {backup: required}, production: {}}
""",
    )
    assert policy == Policy(
        checks={
            **{check_id: setting("error") for check_id in BY_ID},
            "not-atomic": setting("warning", max_relations=2),
            "model-drift": setting("off"),
        },
        overrides=(
            Override({"downgrade-missing": Severity.OFF}, before="a1"),
            Override({"downgrade-missing": Severity.ERROR}, before="a2"),
        ),
        postgres="15",
        attestations=(
            *RECOMMENDED.attestations,
            Attestation("a", "Better", ()),
            Attestation("b", "B", ()),
            Attestation("c", "C", ()),
        ),
        project=ProjectSettings(python="3.12", role="restricted", env={"X": "1", "Y": "3"}),
        environments={
            "staging": Environment(row_counts=("t",)),
            "production": Environment(on_failure=OnFailure.STOP),
        },
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("staging: {}", OnFailure.AUTO),
        ("pre-production: {}", OnFailure.AUTO),
        ("production: {on_failure: auto}", OnFailure.AUTO),
        ("production: {}", OnFailure.STOP),
        ("Production: {}", OnFailure.STOP),
    ],
)
def test_a_failure_in_production_is_left_to_a_person(
    tmp_path: Path, text: str, expected: OnFailure
) -> None:
    (environment,) = load(tmp_path, f"environments: {{{text}}}").environments.values()
    assert environment.on_failure is expected


def test_a_project_may_extend_a_file_of_its_repository(tmp_path: Path) -> None:
    (tmp_path / "base.yml").write_text("postgres: 15")
    project = tmp_path / "backend"
    project.mkdir()
    (project / ".gatekeeper.yml").write_text("extends: ../base.yml")
    path = find_policy(project, tmp_path)
    assert load_policy(path, KNOWN, root=tmp_path).postgres == "15"


def test_variables_for_the_project_are_not_shown() -> None:
    assert "hunter2" not in repr(ProjectSettings(env={"PASSWORD": "hunter2"}))


# --- Files that are refused ----------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "line", "sentence"),
    [
        pytest.param(
            "version: 1\nchecks:\n  downgrade-mising: error\n",
            3,
            f"`checks.downgrade-mising` is not known.\nAllowed: {IDS}."
            " Did you mean `downgrade-missing`?",
            id="an unknown check",
        ),
        pytest.param(
            "overrides:\n- before: a\n  checks:\n    xyzzy: off\n",
            4,
            f"`overrides[0].checks.xyzzy` is not known.\nAllowed: {IDS}.",
            id="an unknown check in an override",
        ),
        pytest.param(
            "checks:\n  not-atomic: eror\n",
            2,
            "`checks.not-atomic` is `eror`.\n"
            "Allowed: `off`, `notice`, `warning`, `error`. Did you mean `error`?",
            id="an unknown severity",
        ),
        pytest.param(
            "checks:\n  not-atomic: false\n",
            2,
            "`checks.not-atomic` is a truth value: `false`.\nAllowed: a text or a mapping.",
            id="false is not off",
        ),
        pytest.param(
            "checks:\n  not-atomic:\n",
            2,
            "`checks.not-atomic` is empty: `null`.\nAllowed: a text or a mapping.",
            id="a check without a severity",
        ),
        pytest.param(
            "checks:\n  not-atomic:\n    severity: OFF\n",
            3,
            "`checks.not-atomic.severity` is `OFF`.\nAllowed: `off`, `notice`, `warning`, `error`.",
            id="a severity in capitals",
        ),
        pytest.param(
            "checks:\n  not-atomic: {max_relation: 3}\n",
            2,
            "`checks.not-atomic.max_relation` is not known.\n"
            "Allowed: `severity`, `max_relations`. Did you mean `max_relations`?",
            id="an unknown option",
        ),
        pytest.param(
            "checks:\n  downgrade-missing: {max_relations: 3}\n",
            2,
            "`checks.downgrade-missing.max_relations` is not known.\nAllowed: `severity`.",
            id="an option of another check",
        ),
        pytest.param(
            'checks:\n  not-atomic: {max_relations: "3"}\n',
            2,
            "`checks.not-atomic.max_relations` is a text: `3`.\nAllowed: a whole number.",
            id="an option of another type",
        ),
        pytest.param(
            "checks:\n  not-atomic: {max_relations: true}\n",
            2,
            "`checks.not-atomic.max_relations` is a truth value: `true`.\nAllowed: a whole number.",
            id="a truth value is no number",
        ),
        pytest.param(
            "checks:\n  model-drift: {strict_types: True}\n",
            2,
            "`checks.model-drift.strict_types` is a text: `True`.\nAllowed: true or false.",
            id="a truth value in capitals",
        ),
        pytest.param("version: 2\n", 1, "`version` is `2`.\nAllowed: `1`.", id="a version to come"),
        pytest.param(
            "verson: 1\n",
            1,
            "`verson` is not known.\nAllowed: `version`, `extends`, `postgres`, `checks`,"
            " `overrides`, `attestations`, `project`, `environments`. Did you mean `version`?",
            id="an unknown key",
        ),
        pytest.param(
            "postgres: 13\n",
            1,
            "`postgres` is `13`.\nAllowed: `14`, `15`, `16`, `17`, `18`.",
            id="a major version that is not supported",
        ),
        pytest.param(
            "postgres: 16.3\n",
            1,
            "`postgres` is `16.3`.\nAllowed: `14`, `15`, `16`, `17`, `18`. Did you mean `16`?",
            id="a minor version",
        ),
        pytest.param(
            "checks: [downgrade-missing]\n",
            1,
            '`checks` is a list: `["downgrade-missing"]`.\nAllowed: a mapping.',
            id="a list of checks",
        ),
        pytest.param(
            "postgres: 16\ncustom:\n- id: mine\n",
            2,
            "`custom` asks for checks of your own, which this version does not know yet.\n"
            "Remove the block; `checks` and `overrides` weigh the checks there are.",
            id="custom checks",
        ),
        pytest.param(
            "overrides:\n- checks: {not-atomic: off}\n",
            2,
            "`overrides[0]` is incomplete.\nGive exactly one of `paths`, `revisions`, `before`.",
            id="an override of nothing",
        ),
        pytest.param(
            "overrides:\n- paths: [a]\n  before: b\n  checks: {not-atomic: off}\n",
            2,
            "`overrides[0]` has `paths` and `before`.\n"
            "Give exactly one of `paths`, `revisions`, `before`.",
            id="an override of two kinds",
        ),
        pytest.param(
            "overrides:\n- paths: []\n  checks: {not-atomic: off}\n",
            2,
            "`overrides[0].paths` is `[]`.\nAllowed: a list of at least 1.",
            id="an override of no path",
        ),
        pytest.param(
            "overrides:\n- before: a\n",
            2,
            "`overrides[0]` has no `checks`.\nAdd `checks: …`.",
            id="an override without checks",
        ),
        pytest.param(
            "overrides:\n- before: a\n  checks: {not-atomic: {max_relations: 9}}\n",
            3,
            '`overrides[0].checks.not-atomic` is `{"max_relations": 9}`.\n'
            "Allowed: `off`, `notice`, `warning`, `error`.",
            id="options in an override",
        ),
        pytest.param(
            "attestations:\n- {id: Backup Verified, title: x}\n",
            2,
            "`attestations[0].id` is `Backup Verified`.\n"
            "Allowed: lower-case words joined by hyphens.",
            id="an attestation's id",
        ),
        pytest.param(
            'attestations:\n- {id: a, title: "x\\ny"}\n',
            2,
            '`attestations[0].title` is `"x\\ny"`.\n'
            "Allowed: one line of at most 2000 characters, not empty.",
            id="a title of two lines",
        ),
        pytest.param(
            "project:\n  env:\n    1A: x\n",
            3,
            "`project.env.1A` is `1A`.\n"
            "Allowed: letters, digits and underscores, not beginning with a digit.",
            id="the name of a variable",
        ),
        pytest.param(
            "project:\n  install: ''\n",
            2,
            '`project.install` is `""`.\nAllowed: a text that is not empty.',
            id="an empty command",
        ),
        pytest.param(
            "project:\n  start: [thread, asyncio]\n",
            2,
            "`project.start[1]` is `asyncio`.\nAllowed: `asyncpg`, `connection`,"
            " `bare-flask-app`, `worker-thread`, `thread`, `running-loop`, `other-dialect`."
            " Did you mean `asyncpg`?",
            id="a way to start that is none",
        ),
        pytest.param(
            "project:\n  home: {../../etc/passwd: x}\n",
            2,
            "`project.home.../../etc/passwd` is `../../etc/passwd`.\n"
            "Allowed: a path below the home directory, without `..`.",
            id="a file outside of the home directory",
        ),
        pytest.param(
            'extends: "a\\0b"\n',
            1,
            "an escape stands for U+0000, which is no character of a text.\nTake it out.",
            id="a path that is none",
        ),
        pytest.param(
            '"a\\n::warning::b": 1\n',
            1,
            '`"a\\n::warning::b"` is not known.\nAllowed: `version`, `extends`, `postgres`,'
            " `checks`, `overrides`, `attestations`, `project`, `environments`.",
            id="a key of two lines",
        ),
        pytest.param(
            f"extends: {'x' * 2001}\n",
            1,
            "`extends` has 2001 characters.\nAllowed: at most 2000.",
            id="a very long text",
        ),
        pytest.param(
            f"project:\n  extensions: [{', '.join(['a'] * 51)}]\n",
            2,
            "`project.extensions` has 51 entries.\nAllowed: at most 50.",
            id="a very long list",
        ),
        pytest.param(
            "environments:\n  staging:\n    backup: of\n",
            3,
            "`environments.staging.backup` is `of`.\n"
            "Allowed: `required`, `off`. Did you mean `off`?",
            id="a backup",
        ),
        pytest.param(
            "environments:\n  staging:\n    backup: {comand: make backup}\n",
            3,
            "`environments.staging.backup.comand` is not known.\n"
            "Allowed: `command`, `jobs`, `largest_gb`. Did you mean `command`?",
            id="a key of a backup",
        ),
        pytest.param(
            "environments:\n  staging:\n    backup: {command: make backup, jobs: 4}\n",
            3,
            "`environments.staging.backup.jobs` is not known.\nAllowed: `command`, `largest_gb`.",
            id="jobs of a command",
        ),
        pytest.param(
            "environments:\n  staging:\n    differences: accept\n",
            3,
            "`environments.staging.differences` is `accept`.\n"
            "Allowed: `refused`, `accepted`. Did you mean `accepted`?",
            id="differences",
        ),
        pytest.param(
            "environments:\n  staging:\n    watch: {minutes: 5, errors: [{most: 5}]}\n",
            3,
            "`environments.staging.watch.errors[0]` is incomplete.\n"
            "Give exactly one of `command`, `url`.",
            id="a counter of nothing",
        ),
        pytest.param(
            "environments:\n  staging:\n    notify: [{command: a, url: 'https://a/'}]\n",
            3,
            "`environments.staging.notify[0]` has `command` and `url`.\n"
            "Give exactly one of `command`, `url`, `variable`.",
            id="a notification of two kinds",
        ),
        pytest.param(
            "environments:\n  staging:\n    notify: [{variable: 'https://a/'}]\n",
            3,
            "`environments.staging.notify[0].variable` is `https://a/`.\n"
            "Allowed: letters, digits and underscores, not beginning with a digit:"
            " the environment variable that holds an address nobody else may know.",
            id="an address where a variable is asked for",
        ),
        pytest.param(
            "environments:\n  staging:\n    watch: {minutes: 0}\n",
            3,
            "`environments.staging.watch.minutes` is `0`.\nAllowed: 1 or more.",
            id="too few minutes",
        ),
        pytest.param(
            "environments:\n  staging:\n    watch: {minutes: 9999}\n",
            3,
            "`environments.staging.watch.minutes` is `9999`.\nAllowed: 1440 or less.",
            id="too many minutes",
        ),
        pytest.param(
            "environments:\n  staging:\n    smoke_test: pytest\n",
            3,
            "`environments.staging.smoke_test` is a text: `pytest`.\nAllowed: a list.",
            id="a command where commands are asked for",
        ),
        pytest.param(
            "environments:\n  staging:\n    smoke_tests: [pytest]\n",
            3,
            "`environments.staging.smoke_tests` is not known.\n"
            "Allowed: `backup`, `on_failure`, `differences`, `lock_timeout_seconds`,"
            " `lock_attempts`, `smoke_test`, `health`, `watch`, `maintenance`,"
            " `row_counts`, `notify`. Did you mean `smoke_test`?",
            id="a key of an environment",
        ),
        pytest.param(
            "postgres: 9\nchecks:\n  xyzzy: off\n",
            1,
            "`postgres` is `9`.\nAllowed: `14`, `15`, `16`, `17`, `18`.",
            id="of two things the first by line",
        ),
    ],
)
def test_a_wrong_file_is_refused_with_what_is_allowed(
    tmp_path: Path, text: str, line: int, sentence: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text)
    assert str(caught.value) == f"{tmp_path}/.gatekeeper.yml:{line}: {sentence}"


def test_a_missing_extended_file_is_said_where_it_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, "version: 1\nextends: recomended\n")
    assert str(caught.value) == (
        f"{tmp_path}/.gatekeeper.yml:2: there is no policy file {tmp_path}/recomended.\n"
        "Allowed: `recommended`, `strict`. Did you mean `recommended`? Or give the path of a file."
    )


def test_a_circle_of_extends_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text("extends: b.yml")
    (tmp_path / "b.yml").write_text("\nextends: ./a.yml")
    with pytest.raises(ConfigError) as caught:
        load_policy(tmp_path / "a.yml", KNOWN)
    assert str(caught.value) == (
        f"{tmp_path}/b.yml:2: `extends` leads back to a.yml.\n"
        "Extend recommended or strict at the end of the chain."
    )


@pytest.mark.parametrize("extends", ["../outside.yml", "/proc/self/environ", "link.yml"])
def test_no_file_outside_of_the_repository_is_read(tmp_path: Path, extends: str) -> None:
    """An error quotes what it read, and the author of a pull request sees the error."""
    root = tmp_path / "repository"
    root.mkdir()
    (tmp_path / "outside.yml").write_text("secret")
    (root / "link.yml").symlink_to(tmp_path / "outside.yml")
    with pytest.raises(ConfigError) as caught:
        load(root, f"extends: {extends}")
    assert str(caught.value) == (
        f"{root}/.gatekeeper.yml:1: the policy file {root / extends} lies outside of {root}.\n"
        "Copy it into the repository, and name it by a path without symbolic links."
    )


def test_the_policy_file_itself_may_not_lead_outside(tmp_path: Path) -> None:
    (tmp_path / ".gatekeeper.yml").symlink_to("/proc/self/environ")
    path = find_policy(tmp_path, tmp_path)
    with pytest.raises(ConfigError, match="lies outside of"):
        load_policy(path, KNOWN, root=tmp_path)


def test_a_folder_or_a_link_into_nowhere_is_not_the_default(tmp_path: Path) -> None:
    path = tmp_path / ".gatekeeper.yml"
    path.symlink_to(tmp_path / "gone.yml")
    assert find_policy(tmp_path, tmp_path) == path
    with pytest.raises(ConfigError, match="there is no policy file"):
        load_policy(path, KNOWN)
    path.unlink()
    path.mkdir()
    with pytest.raises(ConfigError, match="there is no policy file"):
        load_policy(path, KNOWN)


def test_a_file_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "p.yml"
    path.write_bytes(b"version: 1\n# caf\xe9\n")
    with pytest.raises(ConfigError) as caught:
        load_policy(path, KNOWN)
    assert str(caught.value) == f"{path}:2: the file is not UTF-8.\nSave it as UTF-8."


def test_a_byte_order_mark_is_no_error(tmp_path: Path) -> None:
    path = tmp_path / "p.yml"
    path.write_bytes(b"\xef\xbb\xbfpostgres: 16\r\n")
    assert load_policy(path, KNOWN).postgres == "16"


# --- Where it is found ---------------------------------------------------------------


def test_the_projects_file_is_found_before_the_repositorys(tmp_path: Path) -> None:
    project = tmp_path / "backend"
    project.mkdir()
    assert find_policy(project, tmp_path) is None
    (tmp_path / ".gatekeeper.yml").touch()
    assert find_policy(project, tmp_path) == tmp_path / ".gatekeeper.yml"
    (project / ".gatekeeper.yml").touch()
    assert find_policy(project, tmp_path) == project / ".gatekeeper.yml"


def test_a_shipped_policy_can_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    strict = load_policy(Path("strict"), KNOWN)
    assert strict.checks["unusable-waiver"].severity is Severity.ERROR
