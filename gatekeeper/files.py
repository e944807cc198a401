"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import tempfile
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


def make_folder(folder: Path, option: str = "--output") -> None:
    """Make a folder that an option names, and those above it; it can be written to."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ConfigError(
            f"the folder cannot be written to: {error.strerror}",
            where=str(folder),
            fix=f"Give `{option}` a folder that you may write to.",
        ) from error


def unwritable(target: str, error: Exception | None) -> ConfigError:
    """Return the error to raise for what cannot be written."""
    reason = f": {error.strerror}" if isinstance(error, OSError) else ""
    return ConfigError(
        f"the report cannot be written{reason}",
        where=target or "--output",
        fix="Give `--output` a file in a folder that exists.",
    )
