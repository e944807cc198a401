"""Files of releases and deploys that have a JSON Schema: they keep to it, or are refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema

from gatekeeper.errors import ConfigError
from gatekeeper.policy.shipped import read_shipped


def read_bytes(path: Path, fix: str) -> bytes:
    """Return what a file holds; `fix` is what to do where it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"it cannot be read: {error.strerror}", where=str(path), fix=fix
        ) from error


def parse(path: Path, text: bytes, kind: str, fix: str) -> Any:
    """Return the data of a file that keeps to the schema of its kind."""
    try:
        data = json.loads(text)
    except ValueError as error:  # neither JSON nor UTF-8
        raise ConfigError(f"it is no JSON: {error}", where=str(path), fix=fix) from error
    schema = json.loads(read_shipped(f"{kind}.schema.json"))
    wrong = jsonschema.exceptions.best_match(
        jsonschema.Draft202012Validator(schema).iter_errors(data)
    )
    if wrong is not None:
        place = wrong.json_path.removeprefix("$").removeprefix(".")
        raise ConfigError(
            f"it is no {kind} of schema 1: {f'`{place}`: ' if place else ''}{wrong.message[:300]}",
            where=str(path),
            fix=f"{fix} Use one version of gatekeeper for all of a release.",
        )
    return data
