"""The folders of the user and the runner that the project's code must not look into.

actions/checkout leaves the job's token in the workspace (`.git/config`), since v6 in the
runner's temporary folder, and other steps leave theirs beside it. All of it is readable
by every account of the machine.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from gatekeeper.errors import ProbeError

OTHERS = stat.S_IRWXG | stat.S_IRWXO


def private_folders(repository: Path | None, environ: Mapping[str, str]) -> tuple[Path, ...]:
    """Return the repository's root, a git directory elsewhere, the runner's temporary folder."""
    candidates: list[Path] = []
    if repository is not None:
        candidates += [repository, *_git_directory_elsewhere(repository)]
    if environ.get("RUNNER_TEMP"):
        candidates.append(Path(environ["RUNNER_TEMP"]))
    folders = [folder.resolve() for folder in candidates if folder.is_dir()]
    return tuple(folder for folder in dict.fromkeys(folders) if folder != Path("/"))


def _git_directory_elsewhere(repository: Path) -> Iterator[Path]:
    """Yield where the configuration lies for a linked work tree or a submodule."""
    link = repository / ".git"
    if not link.is_file():
        return
    _, _, written = link.read_text(encoding="utf-8", errors="surrogateescape").partition("gitdir:")
    directory = (repository / written.strip()).resolve()
    inside = (folder for folder in (directory, *directory.parents) if folder.name == ".git")
    yield next(inside, directory)


def without_needed(folders: Collection[Path], needed: Collection[Path]) -> tuple[Path, ...]:
    """Return the folders; where something needed lies in one, its `.git` takes its place."""
    chosen = []
    for folder in folders:
        is_needed = any(path == folder or folder in path.parents for path in needed)
        place = folder / ".git" if is_needed else folder
        if place.is_dir():
            chosen.append(place.resolve())
    return tuple(chosen)


@contextlib.contextmanager
def keep_closed(folder: Path, uid: int) -> Iterator[None]:
    """Let only its owner and root into a folder until the block ends.

    For plain Docker, where nothing can be hidden. The former mode comes back once no
    other run needs the folder closed: each holds a lock on it that also ends with a
    killed one. What a killed run leaves behind keeps out others, never the owner.
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError as error:
        raise _cannot_close(folder, str(error.strerror)) from error
    try:
        _lock(descriptor, fcntl.LOCK_SH)
        status = os.fstat(descriptor)
        mode = stat.S_IMODE(status.st_mode)
        if status.st_uid == uid:
            raise _cannot_close(folder, "it belongs to the account that runs the project's code")
        try:
            try:
                os.fchmod(descriptor, mode & ~OTHERS)
            except OSError as error:  # a volume mounted read-only
                raise _cannot_close(folder, str(error.strerror)) from error
            yield
        finally:
            if mode & OTHERS:
                try:
                    _lock(descriptor, fcntl.LOCK_EX)
                finally:
                    with contextlib.suppress(OSError):  # it could not be closed either
                        os.fchmod(descriptor, mode)
    finally:
        os.close(descriptor)


def _lock(descriptor: int, kind: int) -> None:
    with contextlib.suppress(OSError):  # a network file system may have none
        fcntl.flock(descriptor, kind)


def _cannot_close(folder: Path, why: str) -> ProbeError:
    return ProbeError(
        f"the project's code must not read the user's own files, and they cannot be kept from "
        f"it: {why}",
        where=str(folder),
        fix="Permit namespaces (`docker run --cap-add SYS_ADMIN`), or run gatekeeper as an "
        "unprivileged user.",
    )
