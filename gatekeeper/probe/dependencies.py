"""Where a project says what it depends on, and which Python it asks for. No I/O.

The files are their author's: what is taken from them is matched against what it may look
like before it becomes a part of a command.
"""

from __future__ import annotations

import configparser
import enum
import hashlib
import json
import posixpath
import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet

from gatekeeper.errors import ConfigError


class Files(Protocol):
    """The files of one state of the repository, paths relative to its root."""

    def paths(self) -> tuple[str, ...]: ...

    def read(self, path: str) -> bytes | None: ...

    def read_many(self, paths: Iterable[str]) -> dict[str, bytes]: ...

    def export(self, destination: Path) -> None: ...


class Source(enum.Enum):
    """What an environment is made from; the values of lock files are their names."""

    UV = "uv.lock"
    POETRY = "poetry.lock"
    PDM = "pdm.lock"
    PIPENV = "Pipfile.lock"
    PYLOCK = "pylock.toml"
    REQUIREMENTS = "requirements"
    DECLARED = "declared"  # the `[project] dependencies` of a pyproject.toml that builds nothing
    PACKAGE = "package"
    COMMAND = "command"


LOCKS = (Source.UV, Source.POETRY, Source.PDM, Source.PIPENV, Source.PYLOCK)


@dataclass(frozen=True)
class Dependencies:
    """Where they are written: `path` names the file, `folder` is where its tool is run.

    For a command, `path` is the command itself and `folder` the project's.
    """

    source: Source
    path: str
    folder: str


@dataclass(frozen=True)
class PythonRequest:
    """A version (`3.12`, `3.12.4`) or a specifier (`>=3.11,<3.14`), and who asks for it."""

    version: str
    asked_by: str


def find_dependencies(files: Files, project: str) -> Dependencies | None:
    """Return the lock or requirements file nearest to the project, else its declaration.

    A declaration never outranks a lock further up: in a workspace the members declare and
    the root locks.
    """
    paths = frozenset(files.paths())
    folders = tuple(folders_up(project))
    for folder in folders:
        for lock in LOCKS:
            if _join(folder, lock.value) in paths:
                return _locked(files, lock, folder, folders)
        chosen = choose_requirements(_names_below(paths, folder))
        if chosen is not None:
            return Dependencies(Source.REQUIREMENTS, _join(folder, chosen), folder)
    for folder in folders:
        declared = _declared(files, paths, folder)
        if declared is not None:
            return declared
    return None


def folders_up(project: str) -> Iterator[str]:
    """Yield the project's folder and those above it; the root is "."."""
    folder = posixpath.normpath(project)
    while folder not in (".", ""):
        yield folder
        folder = posixpath.dirname(folder)
    yield "."


def choose_requirements(names: Iterable[str]) -> str | None:
    """Return the file for running the project, None where there is none.

    The names are relative to one folder: `requirements-prod.txt`, `requirements/base.txt`.
    """
    ranked = [(rank, name) for name in names if (rank := _rank(name)) is not None]
    return min(ranked)[1] if ranked else None


_NOT_FOR_RUNNING = frozenset(
    {"dev", "devel", "develop", "development", "test", "tests", "testing", "lint", "linting"}
    | {"doc", "docs", "ci", "local", "debug", "typing", "mypy", "bench", "benchmark", "build"}
    | {"constraint", "constraints", "tools", "tooling", "style", "optional", "pre", "commit"}
)
_REQUIREMENTS_NAME = re.compile(r"(requirements?/[^/]+\.txt|requirements?[^/]*\.(txt|lock))\Z")


def _rank(name: str) -> int | None:
    if not _REQUIREMENTS_NAME.match(name):
        return None
    words = {w for w in re.split(r"[^a-z0-9]+", name.lower()) if w}
    words -= {"requirements", "requirement", "txt", "in"}
    if words & _NOT_FOR_RUNNING:
        return None
    if words == {"lock"}:
        return 0
    if not words:
        return 1
    if words & {"prod", "production", "deploy"}:
        return 2
    return 3 if words <= {"base", "main", "common", "app", "core", "server", "lock"} else 4


def _names_below(paths: Iterable[str], folder: str) -> Iterator[str]:
    prefix = "" if folder == "." else f"{folder}/"
    return (path.removeprefix(prefix) for path in paths if path.startswith(prefix))


def _join(folder: str, name: str) -> str:
    return posixpath.normpath(posixpath.join(folder, name))


def _locked(files: Files, lock: Source, folder: str, folders: tuple[str, ...]) -> Dependencies:
    """Return the lock; of a uv workspace the member nearest to the project is installed."""
    path = _join(folder, lock.value)
    where = folder
    if lock is Source.UV:
        locked = _toml(files, path).get("package", [])
        sources = [p.get("source", {}) for p in locked if isinstance(p, dict)]
        members = {
            _join(folder, str(place))
            for source in sources
            if isinstance(source, dict)
            for key in ("editable", "virtual", "directory")
            if (place := source.get(key)) is not None
        }
        where = next((f for f in folders[: folders.index(folder)] if f in members), folder)
    return Dependencies(lock, path, where)


def _declared(files: Files, paths: frozenset[str], folder: str) -> Dependencies | None:
    pyproject, setup_cfg, setup_py = (
        _join(folder, name) for name in ("pyproject.toml", "setup.cfg", "setup.py")
    )
    if pyproject in paths:
        data = _toml(files, pyproject)
        project, builds = _table(data, "project"), "build-system" in data or setup_py in paths
        poetry = set(_table(data, "tool", "poetry", "dependencies")) - {"python"}
        is_dynamic = "dependencies" in (project.get("dynamic") or ())
        if project.get("dependencies") or is_dynamic or poetry:
            source = Source.PACKAGE if builds or is_dynamic or poetry else Source.DECLARED
            return Dependencies(source, pyproject, folder)
    if setup_cfg in paths:
        parser = configparser.RawConfigParser(strict=False)
        try:
            parser.read_string((files.read(setup_cfg) or b"").decode("utf-8", "replace"))
        except configparser.Error as error:
            raise _unreadable(setup_cfg, error) from error
        if parser.get("options", "install_requires", fallback="").strip():
            return Dependencies(Source.PACKAGE, setup_cfg, folder)
    if setup_py in paths:
        return Dependencies(Source.PACKAGE, setup_py, folder)
    return None


def _toml(files: Files, path: str) -> dict[str, Any]:
    content = files.read(path)
    try:
        return {} if content is None else tomllib.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: str, error: Exception) -> ConfigError:
    return ConfigError(
        f"the project's dependencies cannot be read from it: {error}",
        where=path,
        fix="Mend the file, or name the interpreter that has the dependencies with "
        "`--python PATH`.",
    )


def _table(data: Mapping[str, Any], *keys: str) -> Mapping[str, Any]:
    for key in keys:
        value = data.get(key)
        data = value if isinstance(value, dict) else {}
    return data


# --- Python --------------------------------------------------------------------------

_VERSION = re.compile(r"3(\.[0-9]{1,3}){1,2}\Z")
_SPECIFIERS = re.compile(r"([<>=!~]=?=?\s*[0-9]+(\.[0-9]+)*(\.\*)?\s*(,\s*|\Z))+\Z")


def request_python(
    files: Files, dependencies: Dependencies | None, project: str, asked: str | None
) -> PythonRequest | None:
    """Return the Python that is asked for: by a person, else by the project's files."""
    if asked is not None:
        if not _VERSION.match(asked) and not _SPECIFIERS.match(asked):
            raise ConfigError(
                f"`{asked[:40]}` is no Python version",
                where="python-version",
                fix="Write it as `3.12`, `3.12.4` or `>=3.11,<3.14`; in a policy file with "
                "quotes around it.",
            )
        return PythonRequest(asked, "python-version")
    folders = tuple(folders_up(project))
    for folder in folders:
        path = _join(folder, ".python-version")
        pinned = _first_version(files.read(path))
        if pinned is not None:
            return PythonRequest(pinned, path)
    # A lock's own statement holds for a whole workspace, its members' for themselves alone.
    places = [] if dependencies is None else [dependencies.folder]
    for folder in dict.fromkeys((*places, *folders)):
        required = _required_python(files, folder)
        if required is not None:
            return required
    for folder in folders:
        path = _join(folder, "runtime.txt")
        pinned = _first_version(files.read(path))
        if pinned is not None:
            return PythonRequest(pinned, path)
    return None


def _first_version(content: bytes | None) -> str | None:
    """Return the first line that is a version; pyenv also takes names and `system`."""
    for line in (content or b"").decode("utf-8", "replace").splitlines():
        version = re.sub(r"\A(cpython|python)[-@]?", "", line.strip().lower())
        if _VERSION.match(version):
            return version
    return None


def _required_python(files: Files, folder: str) -> PythonRequest | None:
    pyproject, pipfile = _join(folder, "pyproject.toml"), _join(folder, "Pipfile")
    data = _toml(files, pyproject)
    required = _table(data, "project").get("requires-python")
    if required is None:
        required = _table(data, "tool", "poetry", "dependencies").get("python")
    if isinstance(required, str):
        specifier = plain_specifier(required)
        if specifier is not None:
            return PythonRequest(specifier, pyproject)
    requires = _table(_toml(files, pipfile), "requires")
    for key in ("python_full_version", "python_version"):
        version = requires.get(key)
        if isinstance(version, str) and _VERSION.match(version):
            return PythonRequest(version, pipfile)
    return None


def plain_specifier(written: str) -> str | None:
    """Return a specifier without Poetry's `^` and `~`, None where it says nothing usable."""
    parts = []
    for part in written.split(","):
        part = part.strip()
        match = re.fullmatch(r"([\^~])\s*([0-9]+)((?:\.[0-9]+)*)", part)
        if match:
            sign, major, rest = match.groups()
            minor = rest.split(".")[1] if rest else None
            upper = f"{major}.{int(minor) + 1}" if sign == "~" and minor else str(int(major) + 1)
            part = f">={major}{rest},<{upper}"
        elif re.fullmatch(r"[0-9]+(\.[0-9]+)*(\.\*)?", part):
            part = f"=={part}"
        if part not in ("", "*"):
            parts.append(re.sub(r"\s+", "", part))
    specifier = ",".join(parts)
    return specifier if _SPECIFIERS.match(specifier) else None


# --- What the environment depends on -------------------------------------------------

_MATTERS = re.compile(
    r"(\A|/)(uv\.lock|uv\.toml|poetry\.lock|pdm\.lock|Pipfile|Pipfile\.lock|pylock[^/]*\.toml"
    r"|pyproject\.toml|poetry\.toml|pdm\.toml|setup\.py|setup\.cfg|\.python-version|runtime\.txt"
    r"|(requirements?|constraints?)[^/]*\.(txt|in|lock)|requirements?/[^/]+)\Z"
)
_INCLUDED = re.compile(r"^\s*(?:-r|-c|--requirements?|--constraints?)(?:\s+|=)?(\S+)", re.MULTILINE)
_LOCAL = {
    Source.UV: re.compile(r"^source = \{ (editable|directory|path) = ", re.MULTILINE),
    Source.POETRY: re.compile(r'^type = "(directory|file)"', re.MULTILINE),
    Source.PDM: re.compile(r"^path = ", re.MULTILINE),
    Source.PIPENV: re.compile(r'"(path|file|editable)":'),
    Source.PYLOCK: re.compile(r"\b(directory|path) = |\[packages\.(directory|archive)"),
    Source.REQUIREMENTS: re.compile(
        r"^\s*(-e|--editable)|^\s*[./]|\bfile:"
        r"|^\s*[^-#\s][^\s#:]*/[^\s:]*\s*$|^\s*[^-#\s]\S*\.(whl|zip|tar\.gz)\b",
        re.MULTILINE,
    ),
}
FILES_AT_ONCE = 500
_NO_REQUIREMENT = re.compile(r"#|(-r|--requirement)[ =]")


def requirement_files(files: Files, path: str) -> tuple[str, ...]:
    """Return a requirements file with all that it includes, those not there left out."""
    found: dict[str, None] = {}
    waiting = [path]
    while waiting:
        path = waiting.pop(0)
        content = files.read(path)
        if content is None or path in found:
            continue
        found[path] = None
        for name in _INCLUDED.findall(content.decode("utf-8", "replace")):
            waiting.append(_join(posixpath.dirname(path), name))
    return tuple(found)


def _lacks_included(files: Files, path: str) -> bool:
    found = requirement_files(files, path)
    named = {
        _join(posixpath.dirname(file), name)
        for file in found
        for name in _INCLUDED.findall((files.read(file) or b"").decode("utf-8", "replace"))
    }
    return not named <= set(found)


def is_python(request: PythonRequest | None, version: str) -> bool:
    """Tell whether a Python of that version is one that is asked for."""
    if request is None:
        return True
    wanted = request.version
    return version in SpecifierSet(f"=={wanted}.*" if _VERSION.match(wanted) else wanted)


def is_satisfied(
    files: Files, dependencies: Dependencies, installed: Callable[[str], str | None]
) -> bool:
    """Tell whether an environment has all that is asked for by name and version.

    `installed` gives a distribution's version, None where it is not there. A lock wants the
    very environment it describes, and a package wants to be built: neither is satisfied.
    """
    if dependencies.source is Source.DECLARED:
        lines = _table(_toml(files, dependencies.path), "project").get("dependencies", [])
    elif dependencies.source is Source.REQUIREMENTS:
        contents = files.read_many(requirement_files(files, dependencies.path)).values()
        text = "\n".join(content.decode("utf-8", "replace") for content in contents)
        lines = [line.partition(" #")[0].strip() for line in text.splitlines()]
        lines = [line for line in lines if line and not _NO_REQUIREMENT.match(line)]
        if _lacks_included(files, dependencies.path):  # uv says which
            return False
    else:
        return False
    try:
        wanted = [Requirement(line) for line in lines]
    except (InvalidRequirement, TypeError):  # a path, an option, a line that goes on
        return False
    return all(_has(requirement, installed) for requirement in wanted)


def _has(requirement: Requirement, installed: Callable[[str], str | None]) -> bool:
    if requirement.marker is not None and not requirement.marker.evaluate():
        return True
    if requirement.extras or requirement.url is not None:
        return False
    version = installed(requirement.name)
    return version is not None and requirement.specifier.contains(version, prereleases=True)


def builds_local_code(files: Files, dependencies: Dependencies) -> bool:
    """Tell whether code of the repository itself runs or ends up in the environment."""
    pattern = _LOCAL.get(dependencies.source)
    if pattern is None:
        return dependencies.source is not Source.DECLARED
    paths: tuple[str, ...] = (dependencies.path,)
    if dependencies.source is Source.REQUIREMENTS:
        paths = requirement_files(files, dependencies.path)
    contents = files.read_many(paths).values()
    return any(pattern.search(content.decode("utf-8", "replace")) for content in contents)


def hash_of(files: Files, dependencies: Dependencies, *others: str) -> str:
    """Return a name for the environment that is the same only if all it is made from is.

    A build of the repository's own code may read any file of it, so all of them count then:
    otherwise one change's build could stand in for another's.
    """
    paths: Iterable[str] = files.paths()
    if not builds_local_code(files, dependencies):
        named = requirement_files(files, dependencies.path)
        paths = {*filter(_MATTERS.search, paths), *named}
    digest = hashlib.sha256()
    facts = (dependencies.source.value, dependencies.path, dependencies.folder, *others)
    digest.update(json.dumps(facts).encode())
    ordered = sorted(paths)
    for start in range(0, len(ordered), FILES_AT_ONCE):
        contents = files.read_many(ordered[start : start + FILES_AT_ONCE])
        for path, content in contents.items():
            digest.update(f"\n{json.dumps(path)} {len(content)}\n".encode())
            digest.update(content)
    return digest.hexdigest()[:40]
