"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Collection, Mapping
from pathlib import Path

from gatekeeper.errors import ConfigError


def write_file(path: Path, text: str) -> None:
    """Write a file; one that cannot be written is the user's to mend."""
    _write({path: text})


def write_folder(folder: Path, files: Mapping[str, str]) -> None:
    """Write all files into a folder, which is made where it is not there, or none of them."""
    make_folder(folder)
    _write({folder / name: text for name, text in files.items()})


def _write(files: Mapping[Path, str]) -> None:
    beside = {path: path.with_name(f".{path.name}.{os.getpid()}") for path in files}
    path = None
    try:
        for path, text in files.items():
            beside[path].write_text(text, encoding="utf-8")
        for path in files:
            beside[path].replace(path)
    except (OSError, ValueError) as error:
        for written in beside.values():
            written.unlink(missing_ok=True)
        raise unwritable(str(path), error) from error


def require_folder(folder: Path, names: Collection[str], option: str) -> None:
    """Refuse a folder that an option names and that those files could not be written to.

    It need not be there, and is not made: this is asked before the work is done for it.
    """
    there = folder
    try:
        there = _find_nearest(folder)
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        raise _no_folder(folder, there, option, error.strerror or str(error)) from error
    for name in names:
        if (folder / name).is_dir():
            raise _no_folder(folder, folder, option, f"`{name}` is a folder there")


def make_folder(folder: Path, option: str = "--output") -> None:
    """Make a folder that an option names, and those above it; it can be written to."""
    require_folder(folder, (), option)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _no_folder(folder, folder, option, error.strerror or str(error)) from error


def _find_nearest(folder: Path) -> Path:
    """Return the folder, or of those above it the first that is there."""
    for path in (folder, *folder.parents):
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            os.lstat(path)
            return path
    return folder


def _no_folder(folder: Path, there: Path, option: str, reason: str) -> ConfigError:
    what = "written to" if there == folder else f"made in {there}"
    return ConfigError(
        f"the folder cannot be {what}: {reason}",
        where=str(folder),
        fix=f"Give `{option}` a folder that you may write to.",
    )


def unwritable(target: str, error: Exception | None) -> ConfigError:
    """Return the error to raise for what cannot be written."""
    reason = f": {error.strerror}" if isinstance(error, OSError) else ""
    return ConfigError(
        f"the report cannot be written{reason}",
        where=target or "--output",
        fix="Give `--output` a file in a folder that exists.",
    )
