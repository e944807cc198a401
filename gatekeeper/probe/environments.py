"""Makes the project's environment where there is none, and keeps it for the next run.

What is installed, and how, is the author's word, so it is done in the sandbox, on a copy
of the checkout. An environment lies at its final place from the beginning, because the
programs in it hold its path; it counts only once a mark beside it says that it is whole.
It may hold what an author's build has put there: it is used for nothing but the very
dependencies it was made from, and only ever started by `sandbox.py`.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib.metadata
import os
import platform
import shutil
import stat
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from gatekeeper.errors import ConfigError, ProbeError
from gatekeeper.probe.dependencies import (
    Dependencies,
    Files,
    Source,
    find_dependencies,
    hash_of,
    is_python,
    is_satisfied,
    request_python,
    requirement_files,
)
from gatekeeper.probe.indexes import index_variables, mask, pip_files, secrets_of
from gatekeeper.probe.interpreter import is_own_active, own_interpreter
from gatekeeper.probe.mishaps import last_lines, read_mishap
from gatekeeper.probe.model import Interpreter
from gatekeeper.probe.placeholders import names_database
from gatekeeper.probe.pythons import describe_python, find_python, find_uv
from gatekeeper.probe.recipes import Step, environment_step, has_groups, install_steps
from gatekeeper.probe.sandbox import Sandbox, open_sandbox
from gatekeeper.signals import kill_group

FORMAT = "1"  # of the folders, and of what goes into an environment's name
INSTALL_SECONDS = 900.0
KEPT_DAYS = 30
OUTPUT_KEPT = 64 * 1024
OUTPUT_AT_MOST = 50 * 1024 * 1024
LOOK_SECONDS = 0.1

_SHARED_CACHE = Path("/var/cache/gatekeeper")
_IN_FOLDER = 'cd -- "$0" && exec "$@"'


@dataclass(frozen=True)
class Wish:
    """What people say about the project's environment; None where they say nothing.

    `cache` is the folder that made environments are kept in. `variables` are those that the
    project's code is given.
    """

    python: str | None = None
    install: str | None = None
    cache: Path | None = None
    variables: Mapping[str, str] = field(default_factory=dict, repr=False)


def make_interpreter(
    files: Files,
    project: str,
    repository: Path,
    wish: Wish,
    environ: Mapping[str, str],
    progress: Callable[[str], None],
) -> Interpreter:
    """Return the interpreter for a project without an environment beside it.

    It is gatekeeper's own where the project declares no dependencies or none that is not
    there, and where gatekeeper runs in the environment that the person has activated.
    """
    if is_own_active(environ):
        return own_interpreter("gatekeeper's own, which is the active environment")
    if wish.install is not None:
        dependencies: Dependencies | None = Dependencies(Source.COMMAND, wish.install, project)
    else:
        dependencies = find_dependencies(files, project)
    if dependencies is None:
        if wish.python is not None:
            raise ConfigError(
                f"Python {wish.python} is asked for, and the project declares no dependencies "
                "to install with it",
                where="python-version",
                fix="Add a lock or requirements file, or say how to install with "
                "`install: pip install alembic …`.",
            )
        own = own_interpreter(
            "gatekeeper's own: the project has no environment that was found, and declares no "
            "dependencies"
        )
        return replace(own, is_undeclared=True)
    request = request_python(files, dependencies, project, wish.python)
    own_python = platform.python_version()
    if is_python(request, own_python) and is_satisfied(files, dependencies, _own_version):
        own = own_interpreter(f"gatekeeper's own, which has all of {dependencies.path}")
        return replace(own, made_from=_spoken(dependencies))
    return _provide(files, dependencies, project, repository, wish, environ, progress)


def _own_version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _provide(
    files: Files,
    dependencies: Dependencies,
    project: str,
    repository: Path,
    wish: Wish,
    environ: Mapping[str, str],
    progress: Callable[[str], None],
) -> Interpreter:
    cache = _open_cache(wish.cache, repository, environ)
    indexes = index_variables(environ, pip_files(environ))
    request = request_python(files, dependencies, project, wish.python)
    pythons = cache / "pythons"
    python = find_python(request, pythons, environ, indexes)
    if python.is_relative_to(pythons) and _owner(python) != _owner(pythons):
        _take_back(pythons, _owner(pythons))  # it has just been downloaded
    version = describe_python(python)
    # Another account could have changed it since; at another place its programs fail.
    ours = (FORMAT, str(os.geteuid()), str(cache))
    name = hash_of(files, dependencies, *ours, str(python), version)
    place = _Place(cache / "environments" / name)
    _sweep(cache / "environments")
    told = f"{_spoken(dependencies)}, with Python {version.split()[0]}"
    if request is not None:
        told += f" for {request.asked_by}"
    with _locked(place.lock):
        if place.is_whole():
            return Interpreter(
                place.python, f"made by an earlier run from {told}", _spoken(dependencies)
            )
        progress(f"Installing the project's dependencies ({_spoken(dependencies)})")
        place.clear()
        try:
            _build(files, dependencies, python, repository, place, wish, environ, indexes)
        except BaseException:
            place.clear()
            raise
        place.finish(told)
    return Interpreter(place.python, f"made from {told}", _spoken(dependencies))


def _spoken(dependencies: Dependencies) -> str:
    if dependencies.source is Source.COMMAND:
        lines = dependencies.path.strip().splitlines()
        return f"the install command `{lines[0][:60]}{' …' if len(lines) > 1 else ''}`"
    return dependencies.path


# --- Where environments are kept -----------------------------------------------------


@dataclass(frozen=True)
class _Place:
    """The folder of one environment; what tells of it lies beside it, out of its reach."""

    folder: Path

    @property
    def environment(self) -> Path:
        return self.folder / "environment"

    @property
    def python(self) -> Path:
        return self.environment / "bin" / "python"

    @property
    def mark(self) -> Path:
        return self.folder.with_name(f"{self.folder.name}.made")

    @property
    def lock(self) -> Path:
        return self.folder.with_name(f"{self.folder.name}.lock")

    def is_whole(self) -> bool:
        return self.mark.is_file() and self.python.is_file()

    def clear(self) -> None:
        """Remove the environment, the mark first."""
        self.mark.unlink(missing_ok=True)
        _open_up(self.folder)
        shutil.rmtree(self.folder, ignore_errors=True)

    def finish(self, told: str) -> None:
        """Keep the environment alone, read-only for the build's account, and mark it whole."""
        for other in self.folder.iterdir():
            if other != self.environment:
                shutil.rmtree(other) if _is_folder(other) else other.unlink()
        owner = _owner(self.folder.parent)
        _take_back(self.folder, owner)
        with tempfile.NamedTemporaryFile("w", dir=self.folder.parent, delete=False) as file:
            file.write(told + "\n")
        Path(file.name).chmod(0o644)
        _give(Path(file.name), owner)
        Path(file.name).replace(self.mark)


def _open_cache(asked: Path | None, repository: Path, environ: Mapping[str, str]) -> Path:
    """Return the cache's folder, made and marked as nobody's business to copy or commit.

    What root makes belongs to whom the cache's place belongs to: a runner's user has to
    save it, and to clear it away.
    """
    folder = _default_cache(environ) if asked is None else asked.absolute()
    root = repository.resolve()
    if folder.resolve().is_relative_to(root) != folder.is_relative_to(repository):
        raise ConfigError(
            f"`{folder}` is or lies behind a symbolic link",
            where="cache",
            fix="Take another folder, or remove the link from the repository.",
        )
    parts = [folder / part for part in ("environments", "pythons")]
    tags = {folder / ".gitignore": "*\n", folder / "CACHEDIR.TAG": _CACHEDIR_TAG}
    made = [path for path in (*parts, *tags, folder, *folder.parents) if not path.exists()]
    owner = _owner(next(path for path in (folder, *folder.parents) if path.exists()))
    try:
        for part in parts:
            part.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=part).close()
        for path, text in tags.items():
            if path in made:
                path.write_text(text, encoding="utf-8")
        for path in made:
            _give(path, owner)
    except OSError as error:
        raise ConfigError(
            f"the folder for made environments cannot be written: {error.strerror}",
            where=str(folder),
            fix="Name another with `GATEKEEPER_CACHE` or the input `cache`.",
        ) from error
    return folder.resolve()


_CACHEDIR_TAG = "Signature: 8a477f597d28d172789f06886806bc55\n# Made by gatekeeper.\n"


def _default_cache(environ: Mapping[str, str]) -> Path:
    """Return a folder of the user's; as root one that other accounts can reach."""
    home = Path(environ.get("HOME") or Path.home())
    caches = Path(environ.get("XDG_CACHE_HOME") or home / ".cache")
    if os.geteuid() == 0:
        there = [folder for folder in (caches, *caches.parents) if folder.is_dir()]
        if not all(folder.stat().st_mode & stat.S_IXOTH for folder in there):
            return _SHARED_CACHE
    return caches / "gatekeeper"


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Wait for whoever makes the same environment; the lock ends with its process."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        os.utime(descriptor)
        _give(path, _owner(path.parent))
        yield
    finally:
        os.close(descriptor)


def _sweep(folder: Path) -> None:
    """Remove environments that no run has used for a month, whole or not."""
    oldest = time.time() - KEPT_DAYS * 24 * 60 * 60
    for lock in folder.glob("*.lock"):
        with contextlib.suppress(FileNotFoundError):
            if lock.stat().st_mtime < oldest:
                _Place(lock.with_suffix("")).clear()
                lock.unlink()


def _is_folder(path: Path) -> bool:
    return stat.S_ISDIR(path.lstat().st_mode)


def _open_up(folder: Path) -> None:
    """Let its folders be emptied, whatever rights a build has taken from us."""
    for place, folders, _ in os.walk(folder):
        for name in folders:
            path = Path(place) / name
            if _is_folder(path):
                path.chmod(0o700)


def _owner(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_uid, status.st_gid


def _give(path: Path, owner: tuple[int, int]) -> None:
    """As root: give a file or folder to whom the cache belongs."""
    if os.geteuid() == 0:
        os.chown(path, *owner, follow_symlinks=False)


def _take_back(folder: Path, owner: tuple[int, int]) -> None:
    """As root: take all from the build's account; others can read it and not write it."""
    if os.geteuid() != 0:
        return
    for place, folders, files in os.walk(folder):
        for path in (Path(place), *(Path(place) / name for name in (*folders, *files))):
            os.chown(path, *owner, follow_symlinks=False)
            mode = path.lstat().st_mode
            if stat.S_ISDIR(mode) or stat.S_ISREG(mode):
                runs = 0o111 if stat.S_ISDIR(mode) or mode & 0o111 else 0
                path.chmod(stat.S_IMODE(mode) & 0o755 | 0o444 | runs)


# --- Making one ----------------------------------------------------------------------


def _build(
    files: Files,
    dependencies: Dependencies,
    python: Path,
    repository: Path,
    place: _Place,
    wish: Wish,
    environ: Mapping[str, str],
    indexes: Mapping[str, str],
) -> None:
    source, scratch = place.folder / "source", place.folder / "scratch"
    scratch.mkdir(parents=True)
    place.folder.chmod(0o755)
    files.export(source)
    folder = source / dependencies.folder
    folder.mkdir(parents=True, exist_ok=True)
    included: tuple[str, ...] = ()
    if dependencies.source is Source.REQUIREMENTS:
        included = requirement_files(files, dependencies.path)

    def steps(*, everything: bool) -> tuple[Step, ...]:
        return install_steps(
            dependencies,
            python,
            place.environment,
            scratch,
            [source / path for path in included],
            everything=everything,
        )

    # A build has no database: what would be filled with one's address is left unset.
    given = {name: text for name, text in wish.variables.items() if not names_database(text)}
    variables = {**_variables(place), **indexes, **given}
    if os.geteuid() != 0:
        variables["UV_CACHE_DIR"] = str(place.folder.parent.parent / "downloads")
    secrets = (*secrets_of(variables), *given.values())
    with open_sandbox(python, place.folder, repository, environ, variables) as sandbox:
        programs = sandbox.private / "bin"
        programs.mkdir()
        # The account may not be able to read where gatekeeper is installed.
        shutil.copy2(find_uv(), programs / "uv")
        path = (place.environment / "bin", programs, sandbox.environment["PATH"])
        installer = _Installer(
            sandbox,
            os.pathsep.join(map(str, path)),
            time.monotonic() + INSTALL_SECONDS,
            dependencies,
            secrets,
        )
        installer.run(environment_step(dependencies.source, python, place.environment), source)
        for everything in (False, True) if has_groups(dependencies.source) else (False,):
            for step in steps(everything=everything):
                installer.run(step, folder)
            if _has_alembic(place.environment):
                return
    raise ProbeError(
        f"alembic is not in the environment that was made from {_spoken(dependencies)}",
        where=_where(dependencies),
        fix="Add it to the dependencies there, or say how to install it: `install: …` in the "
        "workflow step, or `project: {install: …}` in the policy file"
        + (
            ". The command has to install into the environment of `$VIRTUAL_ENV`, whose `python` "
            "and `pip` are first on the PATH."
            if dependencies.source is Source.COMMAND
            else "."
        ),
    )


def _variables(place: _Place) -> dict[str, str]:
    """Return what makes uv and the tools install into the environment, and only there."""
    environment = str(place.environment)
    return {
        "VIRTUAL_ENV": environment,
        "UV_PROJECT_ENVIRONMENT": environment,
        "UV_LINK_MODE": "copy",
        "UV_PYTHON_DOWNLOADS": "never",
        "UV_NO_PROGRESS": "1",
        "NO_COLOR": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PDM_CHECK_UPDATE": "0",
        "PDM_IGNORE_SAVED_PYTHON": "1",
        "POETRY_VIRTUALENVS_CREATE": "false",
        "PIPENV_VERBOSITY": "-1",
    }


@dataclass(frozen=True)
class _Installer:
    """Runs commands in the sandbox until a common deadline."""

    sandbox: Sandbox
    path: str
    deadline: float
    dependencies: Dependencies
    secrets: tuple[str, ...] = field(repr=False)

    def run(self, step: Step, folder: Path) -> None:
        """Run a step to its end; one that fails is told of by its last lines."""
        script = _IN_FOLDER if step.output is None else f'{_IN_FOLDER} > "$OUTPUT"'
        output = {} if step.output is None else {"OUTPUT": str(step.output)}
        start = self.sandbox.start(
            ["sh", "-c", script, str(folder), *step.command], {"PATH": self.path, **output}
        )
        with tempfile.TemporaryFile(dir=self.sandbox.private) as printed:
            popen = subprocess.Popen(
                start.arguments,
                stdin=subprocess.DEVNULL,
                stdout=printed,
                stderr=subprocess.STDOUT,
                cwd=self.sandbox.private,
                env=start.environment,
                start_new_session=True,
            )
            try:
                stopped = self._wait(popen, printed.fileno())
            finally:
                kill_group(popen)
            size = os.fstat(printed.fileno()).st_size
            printed.seek(max(0, size - OUTPUT_KEPT))
            text = mask(printed.read().decode("utf-8", "replace"), self.secrets)
        if stopped is not None:
            raise self._failed(f"were not installed: `{step.command[0]}` {stopped}", text)
        if popen.returncode != 0:
            raise self._failed("could not be installed", text)

    def _wait(self, popen: subprocess.Popen[bytes], printed: int) -> str | None:
        """Return why the process was stopped, None where it ended by itself."""
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                popen.wait(LOOK_SECONDS)
                return None
            if time.monotonic() > self.deadline:
                return f"did not end within {INSTALL_SECONDS / 60:.0f} minutes"
            if os.fstat(printed).st_size > OUTPUT_AT_MOST:
                return f"printed more than {OUTPUT_AT_MOST // (1024 * 1024)} MB"

    def _failed(self, what: str, text: str) -> ProbeError:
        mishap = read_mishap(text)
        package = "" if mishap.package is None else f": it failed at `{mishap.package}`"
        return ProbeError(
            f"the project's dependencies {what}{package}{last_lines(text)}",
            where=_where(self.dependencies),
            fix=mishap.fix
            or "Say how to install them: `install: …` in the workflow step, or `project: "
            "{install: …}` in the policy file; or name an interpreter that has them with "
            "`--python PATH`.",
        )


def _where(dependencies: Dependencies) -> str:
    return "install" if dependencies.source is Source.COMMAND else dependencies.path


def _has_alembic(environment: Path) -> bool:
    return any(environment.glob("lib/python3*/site-packages/alembic/__init__.py"))
