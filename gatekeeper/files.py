"""Files that appear whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from gatekeeper.errors import ConfigError


def write_file(path: Path, text: str) -> None:
    """Write a file; one that cannot be written is the user's to mend."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_text(text, encoding="utf-8")
        beside.replace(path)
    except (OSError, ValueError) as error:
        beside.unlink(missing_ok=True)
        raise unwritable(str(path), error) from error


def write_folder(folder: Path, files: Mapping[str, str]) -> None:
    """Write files into a folder, which is made where it is not there."""
    make_folder(folder)
    for name, text in files.items():
        write_file(folder / name, text)


def make_folder(folder: Path) -> None:
    """Make a folder and those above it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(str(folder), error) from error


def unwritable(target: str, error: Exception | None) -> ConfigError:
    """Return the error to raise for what cannot be written."""
    reason = f": {error.strerror}" if isinstance(error, OSError) else ""
    return ConfigError(
        f"the report cannot be written{reason}",
        where=target or "--output",
        fix="Give `--output` a file in a folder that exists.",
    )
