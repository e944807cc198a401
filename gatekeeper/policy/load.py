"""Policy file → Policy: found, read with all that it extends, checked, merged."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gatekeeper.errors import ConfigError
from gatekeeper.model import Attestation, Check, Severity, Way
from gatekeeper.policy.document import MAX_BYTES, Document, read_document
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
from gatekeeper.policy.schema import suggestion, validate
from gatekeeper.policy.shipped import POLICIES, read_shipped

FILE_NAME = ".gatekeeper.yml"

# Where nobody wants a program to decide alone what is done about a failure.
_PRODUCTION = "production"
# One's own machine: what is there can be made anew.
LOCAL = "local"

# Takes a file's path and where it is asked for; returns what tells it from others, and its
# content.
_Read = Callable[[Path, str | None], tuple[Path, bytes]]


def find_policy(project_dir: Path, repository_root: Path) -> Path | None:
    """Return the policy file of the project, else of the repository, else None."""
    for folder in (project_dir, repository_root):
        path = folder / FILE_NAME
        # A link into nowhere is an error of `load_policy`, not "there is no policy".
        if path.exists() or path.is_symlink():
            return path
    return None


def load_policy(path: Path | None, known: Sequence[Check], root: Path | None = None) -> Policy:
    """Return a policy file merged into what it extends; None is `recommended`.

    A path that is no file and the name of a policy that ships (`strict`) is that policy.

    A policy file comes from a pull request, and an error quotes the line at fault. So
    neither the file nor one that it extends may lead out of `root` (the repository; the
    file's own folder where none is given), be it by `..` or by a symbolic link.
    """
    extends = "recommended"
    if path is not None and str(path) in POLICIES and not path.exists():
        extends, path = str(path), None
    inside = root or (path.parent if path else Path())
    return _merge_chain(_read_chain(path, extends, known, _on_disk(inside.resolve())))


def find_committed_policy(
    folders: Iterable[str], read: Callable[[str], bytes | None]
) -> str | None:
    """Return the first of the folders' policy files that a commit has, else None.

    `read` gives the content of one of the commit's files, None where there is none.
    """
    paths = (posixpath.normpath(f"{folder}/{FILE_NAME}") for folder in folders)
    return next((path for path in paths if read(path) is not None), None)


def load_committed_policy(
    path: str | None, known: Sequence[Check], read: Callable[[str], bytes | None]
) -> Policy:
    """Return a policy file of a commit merged into what it extends; None is `recommended`."""
    start = None if path is None else Path(path)
    return _merge_chain(_read_chain(start, "recommended", known, _in_commit(read)))


def _read_chain(
    path: Path | None, extends: str, known: Sequence[Check], read: _Read
) -> list[Document]:
    """Return the file, then what it extends, down to a policy that ships with gatekeeper."""
    chain: list[Document] = []
    seen: set[Path] = set()
    asked_at = None
    while path is not None:
        identity, content = read(path, asked_at)
        if identity in seen:
            raise ConfigError(
                f"`extends` leads back to {path.name}.",
                where=asked_at,
                fix=f"Extend {' or '.join(POLICIES)} at the end of the chain.",
            )
        seen.add(identity)
        document = read_document(str(path), _decode(path, content))
        validate(document, known)
        chain.append(document)
        extends = document.data.get("extends", "recommended")
        asked_at = document.where(("extends",))
        path = None if extends in POLICIES else path.parent / extends
    name = f"{extends}.yml"
    shipped = read_document(name, read_shipped(name))
    validate(shipped, known)
    return [*chain, shipped]


def _on_disk(inside: Path) -> _Read:
    def read(path: Path, asked_at: str | None) -> tuple[Path, bytes]:
        if not path.resolve().is_relative_to(inside):
            raise ConfigError(
                f"the policy file {path} lies outside of {inside}.",
                where=asked_at,
                fix="Copy it into the repository, and name it by a path without symbolic links.",
            )
        if not path.is_file():
            raise _missing(path, asked_at)
        with path.open("rb") as file:
            return path.resolve(), file.read(MAX_BYTES + 1)

    return read


def _in_commit(files: Callable[[str], bytes | None]) -> _Read:
    def read(path: Path, asked_at: str | None) -> tuple[Path, bytes]:
        name = posixpath.normpath(path.as_posix())
        content = files(name)
        if content is None:
            raise _missing(path, asked_at)
        return Path(name), content

    return read


def _missing(path: Path, asked_at: str | None) -> ConfigError:
    return ConfigError(
        f"there is no policy file {path}.",
        where=asked_at,
        fix=f"{suggestion(path.name, POLICIES)} Or give the path of a file.",
    )


def _decode(path: Path, content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError(
            "the file is not UTF-8.", where=f"{path}:{line}", fix="Save it as UTF-8."
        ) from error


def _merge_chain(chain: Sequence[Document]) -> Policy:
    merged: dict[str, Any] = {}
    for document in reversed(chain):
        merged = _merge(merged, document.data)
    return _build(merged, _project_places(chain))


def _project_places(chain: Sequence[Document]) -> dict[str, str]:
    """Return file and line of each key of `project:`, of the file that has the last word."""
    return {
        key: document.where(("project", key))
        for document in reversed(chain)
        for key in document.data.get("project", {})
    }


def _merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Return what `below` says where `above` is silent; overrides are kept in order.

    An attestation takes the place of one with the same id.
    """
    merged = {**below, **above}
    checks = {**below.get("checks", {})}
    for check_id, setting in above.get("checks", {}).items():
        checks[check_id] = {**checks.get(check_id, {}), **_as_mapping(setting)}
    merged["checks"] = checks
    merged["overrides"] = [*below.get("overrides", []), *above.get("overrides", [])]
    attestations = [*below.get("attestations", []), *above.get("attestations", [])]
    merged["attestations"] = list({entry["id"]: entry for entry in attestations}.values())
    merged["project"] = _merge_project(below.get("project", {}), above.get("project", {}))
    environments = {**below.get("environments", {})}
    for name, environment in above.get("environments", {}).items():
        environments[name] = {**environments.get(name, {}), **environment}
    merged["environments"] = environments
    return merged


def _merge_project(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    env = {**below.get("env", {}), **above.get("env", {})}
    return {**below, **above, "env": env}


def _as_mapping(setting: Any) -> dict[str, Any]:
    return {"severity": setting} if isinstance(setting, str) else setting


def _build(data: Mapping[str, Any], project_places: Mapping[str, str]) -> Policy:
    postgres = data.get("postgres")
    return Policy(
        checks={check_id: _check_setting(s) for check_id, s in data["checks"].items()},
        overrides=tuple(_override(entry) for entry in data["overrides"]),
        postgres=None if postgres is None else str(postgres),
        attestations=tuple(
            Attestation(
                entry["id"],
                entry["title"],
                tuple(entry.get("required_for", ())),
                of_release=entry.get("asked") == "release",
            )
            for entry in data["attestations"]
        ),
        project=_project(data["project"], project_places),
        environments={name: _environment(name, e) for name, e in data["environments"].items()},
    )


def _check_setting(setting: Mapping[str, Any]) -> CheckSetting:
    # Options without a severity, of a check that no shipped policy names: fail closed.
    severity = Severity[setting.get("severity", "error").upper()]
    return CheckSetting(severity, {k: v for k, v in setting.items() if k != "severity"})


def _override(data: Mapping[str, Any]) -> Override:
    return Override(
        checks={check_id: Severity[s.upper()] for check_id, s in data["checks"].items()},
        paths=tuple(data.get("paths", ())),
        revisions=tuple(str(r) for r in data.get("revisions", ())),
        before=str(data["before"]) if "before" in data else None,
    )


def _project(data: Mapping[str, Any], places: Mapping[str, str]) -> ProjectSettings:
    return ProjectSettings(
        python=str(data["python"]) if "python" in data else None,
        install=data.get("install"),
        env=_texts(data["env"]),
        start=tuple(Way(word) for word in data.get("start", ())),
        x=_texts(data.get("x", {})),
        home=data.get("home", {}),
        timeout_minutes=data.get("timeout_minutes"),
        extensions=tuple(data.get("extensions", ())),
        bootstrap=data.get("bootstrap"),
        stamp=str(data["stamp"]) if "stamp" in data else None,
        role=data.get("role"),
        seed=data.get("seed"),
        hook=data.get("hook"),
        without_dependencies=data.get("without_dependencies", False),
        places=places,
    )


def _texts(values: Mapping[str, str | int | bool]) -> dict[str, str]:
    return {name: _as_text(value) for name, value in values.items()}


def _as_text(value: str | int | bool) -> str:
    """Return the text that stands in the file."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def default_environment(name: str) -> Environment:
    """Return an environment of which the policy says nothing."""
    return _environment(name, {})


def _environment(name: str, data: Mapping[str, Any]) -> Environment:
    maintenance = data.get("maintenance")
    otherwise = OnFailure.STOP if name.lower() == _PRODUCTION else OnFailure.AUTO
    return Environment(
        backup=_backup(data.get("backup", "off" if name == LOCAL else "required")),
        on_failure=OnFailure(data.get("on_failure", otherwise)),
        differences_accepted=data.get("differences") == "accepted",
        lock_timeout_seconds=data.get("lock_timeout_seconds", Environment.lock_timeout_seconds),
        lock_attempts=data.get("lock_attempts", Environment.lock_attempts),
        smoke_test=tuple(data.get("smoke_test", ())),
        health=tuple(HealthProbe(h["url"], h.get("status", 200)) for h in data.get("health", ())),
        watch=_watch(data["watch"]) if "watch" in data else None,
        maintenance=maintenance and Maintenance(maintenance["on"], maintenance["off"]),
        row_counts=tuple(data.get("row_counts", ())),
        notify=tuple(Notification(**entry) for entry in data.get("notify", ())),
    )


def _watch(data: Mapping[str, Any]) -> Watch:
    errors = tuple(ErrorCounter(**entry) for entry in data.get("errors", ()))
    return Watch(**{**data, "errors": errors})


def _backup(data: str | Mapping[str, Any]) -> Backup:
    if isinstance(data, str):
        return Backup(BackupMode(data))
    mode = BackupMode.COMMAND if "command" in data else BackupMode.REQUIRED
    return Backup(mode, **data)
