"""Directories that last as long as a run, and are swept by the next if it was killed.

A lock on the directory itself says that its run is alive; the kernel lets go of it
however the process ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from gatekeeper.signals import held_back

PREFIX = "gatekeeper-"


@contextlib.contextmanager
def open_run_directory(
    prefix: str, root: Path | None = None, owner: tuple[int, int] | None = None
) -> Iterator[Path]:
    """Yield a new directory that is gone when the block ends; its name begins with `PREFIX`.

    `owner` is the user and group it is given to, which only root can do; None keeps it
    ours. `root` is where it is made, the system's temporary directory by default. What
    killed runs left there under the same prefix is removed first.
    """
    root = root or Path(tempfile.gettempdir())
    _sweep(root, prefix, {os.geteuid()} if owner is None else {os.geteuid(), owner[0]})
    while True:
        directory = Path(tempfile.mkdtemp(prefix=prefix, dir=root))
        lock = _lock(directory)
        if lock is not None:
            break  # otherwise another run has just swept it
    try:
        if owner is not None:
            os.chown(directory, *owner)
        yield directory
    finally:
        with held_back():
            shutil.rmtree(directory, ignore_errors=True)
            os.close(lock)


def is_run_directory(path: Path) -> bool:
    """Whether a run that is alive, this one or another, keeps its files there."""
    if not path.name.startswith(PREFIX) or path.is_symlink() or not path.is_dir():
        return False
    lock = _lock(path)
    if lock is not None:
        os.close(lock)
    return lock is None


def _sweep(root: Path, prefix: str, owners: set[int]) -> None:
    for directory in root.glob(f"{prefix}*"):
        with contextlib.suppress(FileNotFoundError):
            if directory.is_symlink() or directory.stat().st_uid not in owners:
                continue
            lock = _lock(directory)
            if lock is not None:
                shutil.rmtree(directory, ignore_errors=True)
                os.close(lock)


def _lock(directory: Path) -> int | None:
    """Return a descriptor that holds the directory's lock, None where another does."""
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except (FileNotFoundError, PermissionError, NotADirectoryError):
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if directory.stat().st_ino == os.fstat(descriptor).st_ino:
            return descriptor
    except (BlockingIOError, FileNotFoundError):
        pass
    os.close(descriptor)
    return None
