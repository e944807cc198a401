"""What a workflow asks for: the `INPUT_*` and `GITHUB_*` variables as frozen values.

The environment comes in as a mapping; nothing else of gatekeeper looks into it for these
names. The runner spells the input `database-url` as `INPUT_DATABASE-URL`: upper case,
hyphens kept, blanks turned into underscores. An input that was left out is an empty string.
"""

from __future__ import annotations

import dataclasses
import difflib
import enum
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from gatekeeper.errors import ConfigError
from gatekeeper.policy.model import BackupMode, OnFailure

DEFAULT_REPORT_DIR = "gatekeeper-report"


class Mode(enum.Enum):
    """What the action does; AUTO leaves it to the event."""

    AUTO = "auto"
    CHECK = "check"
    RELEASE = "release"
    DEPLOY = "deploy"
    PUBLISH = "publish"


class CommentPolicy(enum.Enum):
    """When a new comment is made; one that is there already is kept up to date."""

    ALWAYS = "always"
    CHANGES = "changes"
    FAILURES = "failures"
    OFF = "off"


class FailOn(enum.Enum):
    """The least finding that makes the job fail; an unknown outcome always does."""

    ERROR = "error"
    WARNING = "warning"
    NEVER = "never"


@dataclass(frozen=True)
class ActionInputs:
    """The inputs that this version acts on, checked; None stands for "not given"."""

    mode: Mode = Mode.AUTO
    project: str | None = None
    config: str | None = None
    section: tuple[str, ...] = ()
    base: str | None = None
    policy: str | None = None
    database_url: str | None = field(default=None, repr=False)
    python_version: str | None = None
    install: str | None = None
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    seed: str | None = None
    comment: CommentPolicy = CommentPolicy.CHANGES
    comment_id: str = "default"
    annotations: bool = True
    fail_on: FailOn = FailOn.ERROR
    report_dir: str = DEFAULT_REPORT_DIR
    github_token: str | None = field(default=None, repr=False)
    cache: str | None = None
    target_url: str | None = field(default=None, repr=False)
    environment: str | None = None
    backup: BackupMode | None = None
    smoke_test: tuple[str, ...] = ()
    on_failure: OnFailure | None = None


@dataclass(frozen=True)
class GitHubContext:
    """The workflow run that gatekeeper is a step of.

    `payload` is the event as GitHub sent it. `step_output` and `step_summary` are the
    files that the runner reads after the step, None outside a runner.
    """

    event_name: str
    payload: Mapping[str, Any] = field(repr=False)
    sha: str
    ref: str
    repository: str
    server_url: str
    api_url: str
    run_id: str
    run_attempt: str
    workspace: Path
    step_output: Path | None
    step_summary: Path | None
    runner_temp: Path | None
    actor: str

    @property
    def repository_url(self) -> str:
        return f"{self.server_url}/{self.repository}"

    @property
    def run_url(self) -> str:
        return f"{self.repository_url}/actions/runs/{self.run_id}/attempts/{self.run_attempt}"


# Inputs of action.yml that this version cannot act on. They are refused when given.
NOT_YET = ("check-run",)

# A workflow that sets one of these believes that something is deployed.
_OF_DEPLOY = ("target-url", "environment", "backup", "smoke-test", "on-failure")

_OUTSIDE = "Run `gatekeeper action` as a step of a workflow; elsewhere run `gatekeeper check`."
_COMMENT_ID = re.compile(r"(?=.{1,64}\Z)\w+([.-]\w+)*", re.ASCII)  # `--` would end an HTML comment


def read_inputs(environ: Mapping[str, str]) -> ActionInputs:
    """Return the inputs of the action; a wrong value is a `ConfigError`."""
    _refuse_unknown_inputs(environ)
    for name in NOT_YET:
        if _text(environ, name) not in (None, "false"):
            raise ConfigError(
                f"the input `{name}` is not in this version",
                where="with",
                fix=f"Take `{name}` out of the step.",
            )
    mode = _choice(environ, "mode", Mode, Mode.AUTO)
    _require_deploy(environ, mode)
    comment_id = _text(environ, "comment-id") or "default"
    if not _COMMENT_ID.fullmatch(comment_id):
        raise _wrong(
            "comment-id",
            comment_id,
            "up to 64 letters, digits and `_`, in words joined by `.` or `-`",
        )
    return ActionInputs(
        mode=mode,
        project=_text(environ, "project"),
        config=_text(environ, "config"),
        section=_lines(environ, "section"),
        base=_text(environ, "base"),
        policy=_text(environ, "policy"),
        database_url=_text(environ, "database-url"),
        python_version=_text(environ, "python-version"),
        install=_text(environ, "install"),
        env=_variables(environ, "env"),
        seed=_text(environ, "seed"),
        comment=_choice(environ, "comment", CommentPolicy, CommentPolicy.CHANGES),
        comment_id=comment_id,
        annotations=_flag(environ, "annotations", True),
        fail_on=_choice(environ, "fail-on", FailOn, FailOn.ERROR),
        report_dir=_folder(environ, "report-dir", DEFAULT_REPORT_DIR) or DEFAULT_REPORT_DIR,
        github_token=_text(environ, "github-token"),
        cache=_cache(environ),
        target_url=_target_url(environ, mode),
        environment=_text(environ, "environment"),
        backup=_backup(environ),
        smoke_test=_lines(environ, "smoke-test"),
        on_failure=_choice(environ, "on-failure", OnFailure, None),
    )


def read_context(environ: Mapping[str, str]) -> GitHubContext:
    """Return the workflow run; outside a workflow this is a `ConfigError`."""
    path = Path(_needed(environ, "GITHUB_EVENT_PATH"))
    try:
        payload = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"the event that GitHub wrote cannot be read ({error})",
            where="GITHUB_EVENT_PATH",
            fix=_OUTSIDE,
        ) from error
    if not isinstance(payload, dict):
        raise ConfigError(
            "the event that GitHub wrote is not a JSON object", where="GITHUB_EVENT_PATH"
        )
    return GitHubContext(
        event_name=_needed(environ, "GITHUB_EVENT_NAME"),
        payload=payload,
        sha=_needed(environ, "GITHUB_SHA"),
        ref=environ.get("GITHUB_REF", ""),
        repository=_needed(environ, "GITHUB_REPOSITORY"),
        server_url=environ.get("GITHUB_SERVER_URL") or "https://github.com",
        api_url=environ.get("GITHUB_API_URL") or "https://api.github.com",
        run_id=environ.get("GITHUB_RUN_ID", ""),
        run_attempt=environ.get("GITHUB_RUN_ATTEMPT") or "1",
        workspace=Path(_needed(environ, "GITHUB_WORKSPACE")),
        step_output=_path(environ, "GITHUB_OUTPUT"),
        step_summary=_path(environ, "GITHUB_STEP_SUMMARY"),
        runner_temp=_path(environ, "RUNNER_TEMP"),
        actor=environ.get("GITHUB_ACTOR", ""),
    )


INPUT_NAMES = (*(f.name.replace("_", "-") for f in dataclasses.fields(ActionInputs)), *NOT_YET)

_Choice = TypeVar("_Choice", bound=enum.Enum)
_Default = TypeVar("_Default", bound=enum.Enum | None)


def _variable(name: str) -> str:
    return "INPUT_" + name.replace(" ", "_").upper()


def _text(environ: Mapping[str, str], name: str) -> str | None:
    return environ.get(_variable(name), "").strip() or None


def _wrong(name: str, value: str, allowed: str) -> ConfigError:
    return ConfigError(
        f"the input `{name}` is `{value}`", where=f"with: {name}", fix=f"Allowed: {allowed}."
    )


def _choice(
    environ: Mapping[str, str], name: str, choices: type[_Choice], default: _Default
) -> _Choice | _Default:
    value = _text(environ, name)
    if value is None:
        return default
    allowed = [str(choice.value) for choice in choices]
    if value in allowed:
        return choices(value)
    near = difflib.get_close_matches(value.lower(), allowed, n=1)
    hint = f" (did you mean `{near[0]}`?)" if near else ""
    raise _wrong(name, value, ", ".join(allowed) + hint)


def _require_deploy(environ: Mapping[str, str], mode: Mode) -> None:
    """Hold the inputs of a deploy against the mode: none without it, the place with it."""
    given = [name for name in _OF_DEPLOY if _text(environ, name) is not None]
    if mode is not Mode.DEPLOY and given:
        raise ConfigError(
            f"the input `{given[0]}` is of a deploy, and `mode: {mode.value}` deploys nothing",
            where=f"with: {given[0]}",
            fix=f"Take `{given[0]}` out of the step, or set `mode: deploy`.",
        )
    if mode is Mode.DEPLOY and "environment" not in given:
        raise ConfigError(
            "`mode: deploy` does not say which environment to deploy to",
            where="with: environment",
            fix="Name one of the policy's `environments`, such as `environment: staging`.",
        )


def _target_url(environ: Mapping[str, str], mode: Mode) -> str | None:
    """Return the input, else the variable by which the command takes it."""
    given = _text(environ, "target-url")
    if given is None and mode is Mode.DEPLOY:
        return environ.get("GATEKEEPER_TARGET_URL") or None
    return given


def _backup(environ: Mapping[str, str]) -> BackupMode | None:
    mode = _choice(environ, "backup", BackupMode, None)
    if mode is BackupMode.COMMAND:
        raise ConfigError(
            "the input `backup` does not say which command makes the backup",
            where="with: backup",
            fix="Write it into the policy file: `environments: {staging: {backup: {command: …}}}`.",
        )
    return mode


def _flag(environ: Mapping[str, str], name: str, default: bool) -> bool:
    """Return a Boolean in the spellings of YAML's core schema, as GitHub's toolkit does."""
    value = _text(environ, name)
    if value is None:
        return default
    if value in ("true", "True", "TRUE"):
        return True
    if value in ("false", "False", "FALSE"):
        return False
    raise _wrong(name, value, "true, false")


def _lines(environ: Mapping[str, str], name: str) -> tuple[str, ...]:
    lines = (line.strip() for line in environ.get(_variable(name), "").splitlines())
    return tuple(line for line in lines if line)


def _variables(environ: Mapping[str, str], name: str) -> dict[str, str]:
    """Return the `NAME=value` lines; blank lines and lines that start with # are left out.

    The value is never repeated in an error: it may be a secret.
    """
    found: dict[str, str] = {}
    for line in _lines(environ, name):
        if line.startswith("#"):
            continue
        key, equals, value = line.partition("=")
        if not equals or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", key.strip()):
            raise ConfigError(
                "the input `env` has a line that is not `NAME=value`",
                where=f"with: {name}",
                fix="Write one variable a line, such as `SECRET_KEY=dummy`.",
            )
        found[key.strip()] = value.strip()
    return found


def _folder(environ: Mapping[str, str], name: str, example: str) -> str | None:
    """Return a folder below the workspace: what lies elsewhere is lost with the container."""
    value = _text(environ, name)
    if value is None:
        return None
    path = PurePosixPath(value)
    if not _is_below(path):
        raise _wrong(name, value, f"a folder below the workspace, such as `{example}`")
    return str(path)


def _cache(environ: Mapping[str, str]) -> str | None:
    """Return the cache's folder: below the workspace, or below the runner's temporary folder.

    The runner writes both as the container sees them, whatever they are called outside.
    Runners before 2.329 leave the temporary folder out.
    """
    value = _text(environ, "cache")
    if value is None:
        return None
    path = PurePosixPath(value)
    if not path.is_absolute() and _is_below(path) and not value.startswith("~"):
        return str(path)
    temporary = environ.get("RUNNER_TEMP", "")
    for root in filter(None, (temporary, environ.get("GITHUB_WORKSPACE", ""))):
        if path.is_relative_to(root) and _is_below(path.relative_to(root)):
            if root != temporary or Path(root).is_dir():
                return str(path)
            raise ConfigError(
                "this runner does not show its temporary folder to a container",
                where="with: cache",
                fix="Update the runner to 2.329 or newer, or take a folder below the workspace, "
                "such as `cache: .gatekeeper`.",
            )
    allowed = "`${{ runner.temp }}/gatekeeper`, or a folder below the workspace"
    raise _wrong("cache", value, f"{allowed}, such as `.gatekeeper`")


def _is_below(path: PurePosixPath) -> bool:
    """Tell whether a path leads to below where it starts."""
    return not path.is_absolute() and ".." not in path.parts and path != PurePosixPath(".")


def _needed(environ: Mapping[str, str], name: str) -> str:
    value = environ.get(name, "")
    if not value:
        raise ConfigError(
            f"`{name}` is not set",
            where="environment",
            fix=_OUTSIDE,
        )
    return value


def _path(environ: Mapping[str, str], name: str) -> Path | None:
    value = environ.get(name, "")
    return Path(value) if value else None


def _refuse_unknown_inputs(environ: Mapping[str, str]) -> None:
    """Refuse an input that action.yml does not have; the runner itself only warns.

    Only names with a hyphen or of ours are looked at as INPUT_* is not GitHub's alone.
    """
    known = {_variable(name): name for name in INPUT_NAMES}
    for variable in sorted(environ):
        if variable.startswith("INPUT_") and "-" in variable and variable not in known:
            name = variable.removeprefix("INPUT_").lower()
            near = difflib.get_close_matches(name, INPUT_NAMES, n=1)
            raise ConfigError(
                f"the action has no input `{name}`",
                where="with",
                fix=f"Did you mean `{near[0]}`?" if near else f"Inputs: {', '.join(INPUT_NAMES)}.",
            )
