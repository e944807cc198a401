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

from gatekeeper.directories import is_run_directory
from gatekeeper.errors import ProbeError

OTHERS = stat.S_IRWXG | stat.S_IRWXO
PASSING = stat.S_IXGRP | stat.S_IXOTH

# Below the runner's temporary folder; a container action sees them at other paths as well.
_MOUNTED = ("_github_home", "_github_workflow", "_runner_file_commands")


def private_folders(repository: Path | None, environ: Mapping[str, str]) -> tuple[Path, ...]:
    """Return the repository's root, a git directory elsewhere, the runner's temporary folder."""
    candidates: list[Path] = []
    if repository is not None:
        candidates += [repository, *_git_directory_elsewhere(repository)]
    if environ.get("RUNNER_TEMP"):
        temporary = Path(environ["RUNNER_TEMP"])
        candidates += [temporary, *(temporary / name for name in _MOUNTED)]
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


def around_needed(
    folders: Collection[Path], needed: Collection[Path], uid: int
) -> Iterator[tuple[Path, int]]:
    """Yield what to close of folders, with the rights that others keep on it.

    A folder in which something needed lies can be passed through and not be listed; what
    else lies in it is closed, but for what is the account's own and what runs of gatekeeper
    are using: where the runner's temporary folder is the system's, that of another probe.
    """
    for folder in folders:
        below = [path for path in needed if path.is_relative_to(folder)]
        if not below:
            yield folder, 0
        elif folder in below:
            yield from ((place, 0) for place in (folder / ".git",) if place.is_dir())
        else:
            yield folder, PASSING
            ways = {path.relative_to(folder).parts[0] for path in below}
            for place in sorted(folder.iterdir()):
                if place.name not in ways and _is_to_close(place, uid):
                    yield place, 0


def _is_to_close(place: Path, uid: int) -> bool:
    try:
        status = place.lstat()
    except FileNotFoundError:  # others work in a temporary folder as well
        return False
    has_content = stat.S_ISDIR(status.st_mode) or stat.S_ISREG(status.st_mode)
    return has_content and status.st_uid != uid and not is_run_directory(place)


@contextlib.contextmanager
def keep_closed(path: Path, uid: int, kept: int = 0) -> Iterator[None]:
    """Let only its owner and root use a folder or file until the block ends.

    For plain Docker, where nothing can be hidden. `kept` are the rights that others keep.
    The former mode comes back once no other run needs it closed: each holds a lock on it
    that also ends with a killed one. What a killed run leaves behind keeps out others,
    never the owner. What is gone needs no closing.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        yield
        return
    except OSError as error:
        raise _cannot_close(path, str(error.strerror)) from error
    try:
        _lock(descriptor, fcntl.LOCK_SH)
        status = os.fstat(descriptor)
        mode = stat.S_IMODE(status.st_mode)
        closed = mode & (~OTHERS | kept)
        if status.st_uid == uid:
            raise _cannot_close(path, "it belongs to the account that runs the project's code")
        try:
            try:
                os.fchmod(descriptor, closed)
            except OSError as error:  # a volume mounted read-only
                raise _cannot_close(path, str(error.strerror)) from error
            yield
        finally:
            if mode != closed:
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


def _cannot_close(path: Path, why: str) -> ProbeError:
    return ProbeError(
        f"the project's code must not read the user's own files, and they cannot be kept from "
        f"it: {why}",
        where=str(path),
        fix="Permit namespaces (`docker run --cap-add SYS_ADMIN`), or run gatekeeper as an "
        "unprivileged user.",
    )
