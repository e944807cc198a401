"""Where a repository's Alembic projects are, told from files alone.

Nothing is imported: what env.py sets at run time is not known here.
"""

from __future__ import annotations

import configparser
import difflib
import functools
import os
import posixpath
import re
import shlex
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from gatekeeper.errors import ConfigError
from gatekeeper.git import Tree
from gatekeeper.model import Project
from gatekeeper.revisions.parse import is_revision_file

# Stands for the configuration file's folder, whose absolute path Alembic puts in.
_HERE = "/.here"
_SEPARATORS = {"space": " ", "newline": "\n", "os": os.pathsep, ":": ":", ";": ";"}
_NOT_PRODUCTION = frozenset(
    {"test", "tests", "fixtures", "examples", "docs", "node_modules", ".venv", "site-packages"}
)

_OPTIONS = ("script_location", "version_locations", "recursive_version_locations")
_SEPARATOR_OPTIONS = ("path_separator", "version_path_separator")

_Values = Mapping[str, object]


class _UnusableError(Exception):
    """A configuration names no script directory that is there; the text says which."""


@dataclass(frozen=True)
class _Survey:
    """The projects, one entry for each configuration section, and what was no project."""

    projects: tuple[Project, ...]
    rejected: tuple[tuple[str, str], ...]  # the file, and what is wrong with it


def find_projects(tree: Tree, start: str = ".") -> tuple[Project, ...]:
    """Return the Alembic projects of a folder and all below it, one for each history."""
    return _distinct(_survey(tree, start, start).projects)


def choose_project(
    tree: Tree, start: str, project: str | None, config: str | None, section: str | None
) -> Project:
    """Return the one project that is meant, where there may be no other."""
    sections = () if section is None else (section,)
    chosen = choose_projects(tree, start, project, config, sections)
    if len(chosen) > 1:
        raise _several(chosen, start)
    return chosen[0]


def choose_projects(
    tree: Tree, start: str, project: str | None, config: str | None, sections: Sequence[str]
) -> tuple[Project, ...]:
    """Return the projects that are meant, all of one configuration file.

    The names are those of the options. `start` is the current directory relative to the
    repository's root. `project` and `config` are as a person typed them, relative to it or
    absolute. Without `sections` all of the file's that have a history of their own are
    meant.
    """
    survey = _survey(tree, start if project is None and config is None else ".", start)
    found = survey.projects
    if project is not None:
        found = _of_folder(found, _typed(tree, start, project))
    if config is not None:
        found = _of_config(found, tree, start, config)
    if sections:
        found = tuple(p for section in sections for p in _of_section(found, section))
    distinct = _distinct(found)
    likely = tuple(p for p in distinct if not _is_beside_production(p, start))
    for chosen in (likely, distinct):
        if chosen and (len(chosen) == 1 or _are_of_one_file(chosen)):
            if project is None and config is None:
                _refuse_unconfigured(chosen[0], survey, start)
            return chosen
    if distinct:
        raise _several(distinct, start)
    raise _none(tree, survey, start, project or config)


def _refuse_unconfigured(chosen: Project, survey: _Survey, start: str) -> None:
    """Refuse a script directory that a configuration above it was meant to name.

    Alembic itself would not run with that file.
    """
    for file, text in survey.rejected:
        is_its_own = posixpath.basename(file) in ("alembic.ini", "pyproject.toml")
        is_above = _is_below(chosen.script_location, posixpath.dirname(file) or ".")
        if chosen.config is None and is_its_own and is_above:
            raise ConfigError(
                text,
                fix="Correct the file. Where it is not what the project runs with, name the "
                f"script directory:\n{_choices((chosen,), start)[0]}",
            )


# --- Options -------------------------------------------------------------------------


def _typed(tree: Tree, start: str, path: str) -> str:
    """Return a path as a person typed it, relative to the repository's root."""
    root = tree.repository.root.as_posix()
    whole = posixpath.normpath(posixpath.join(root, start, path))
    relative = posixpath.relpath(whole, root)
    if relative == ".." or relative.startswith("../"):
        raise ConfigError(
            f"`{path}` is outside the repository `{root}`.", fix="Name a path in the repository."
        )
    return relative


def _of_folder(found: Sequence[Project], folder: str) -> tuple[Project, ...]:
    """Return the projects that a folder is the home of, else those that are below it."""
    exact = tuple(p for p in found if folder in (p.path, p.script_location))
    return exact or tuple(p for p in found if _is_below(p.script_location, folder))


def _of_config(
    found: Sequence[Project], tree: Tree, start: str, config: str
) -> tuple[Project, ...]:
    file = _typed(tree, start, config)
    if tree.read(file) is not None:
        return tuple(p for p in found if p.config == file)
    files = [posixpath.relpath(path, start) for path in tree.paths() if _is_config(path)]
    near = difflib.get_close_matches(config, files, n=1)
    fix = "Name the file relative to the current directory: `--config FILE`."
    raise ConfigError(
        f"The configuration file `{config}` does not exist.",
        fix=f"Did you mean `--config {shlex.quote(near[0])}`?" if near else fix,
    )


def _of_section(found: Sequence[Project], section: str) -> tuple[Project, ...]:
    chosen = tuple(p for p in found if p.section == section)
    if chosen or not found:
        return chosen
    names = sorted({p.section for p in found})
    near = difflib.get_close_matches(section, names, n=1)
    hint = f"Did you mean `--section {shlex.quote(near[0])}`? " if near else ""
    known = ", ".join(f"`{name}`" for name in names)
    raise ConfigError(
        f"No Alembic configuration has a section `[{section}]` that names a script directory.",
        fix=f"{hint}There is: {known}.",
    )


def _are_of_one_file(projects: Sequence[Project]) -> bool:
    """Return whether the projects are sections of one configuration file."""
    files = {project.config for project in projects}
    return len(files) == 1 and None not in files


def _is_beside_production(project: Project, start: str) -> bool:
    """Return whether a folder below `start` says that this is a test's or an example's."""
    parts = PurePosixPath(posixpath.relpath(project.script_location, start)).parts
    return not _NOT_PRODUCTION.isdisjoint(parts)


def _several(projects: Sequence[Project], start: str) -> ConfigError:
    return ConfigError(
        f"There are {len(projects)} Alembic projects here.",
        fix="\n".join(["Say which one is meant:", *_choices(projects, start)]),
    )


def _none(tree: Tree, survey: _Survey, start: str, named: str | None) -> ConfigError:
    where = f"`{named}`" if named else "the repository" if start == "." else f"`{start}`"
    elsewhere = find_projects(tree)
    if elsewhere:
        lines = ["Say which one of the repository is meant:", *_choices(elsewhere, start)]
    else:
        lines = [
            "Name the folder of `alembic.ini` with `--project DIR`, or the configuration file "
            "with `--config FILE`; files that git ignores are not seen."
        ]
    return ConfigError(
        f"No Alembic project was found in {where}.",
        fix="\n".join([*(text for _, text in survey.rejected), *lines]),
    )


def _choices(projects: Sequence[Project], start: str) -> list[str]:
    """Return the options that tell each project from the others, a line each."""
    lines = []
    for project in projects:
        same_folder = [p for p in projects if p.path == project.path]
        same_config = [p for p in same_folder if p.config == project.config]
        if len(same_folder) == 1:
            options = [("--project", posixpath.relpath(project.path, start))]
        elif project.config is None:
            options = [("--project", posixpath.relpath(project.script_location, start))]
        else:
            options = [("--config", posixpath.relpath(project.config, start))]
            if len(same_config) > 1:
                options.append(("--section", project.section))
        typed = " ".join(f"{option} {shlex.quote(value)}" for option, value in options)
        lines.append(f"  {typed}  (script directory `{project.script_location}`)")
    return lines


# --- Candidates ----------------------------------------------------------------------


def _survey(tree: Tree, folder: str, start: str) -> _Survey:
    """Return every configuration section and folder below a folder that is a project."""
    there = _There(tree, start)
    paths = [path for path in tree.paths() if _is_below(path, folder)]
    files = [p for p in paths if _is_config(p) or posixpath.basename(p) == "pyproject.toml"]
    contents = tree.read_many(files)
    projects: list[Project] = []
    rejected: list[tuple[str, str]] = []
    for file in sorted(files, key=_rank):
        beside = contents.get(posixpath.join(posixpath.dirname(file), "pyproject.toml"), b"")
        try:
            sections = _sections(file, contents[file], beside)
        except _UnusableError as error:
            rejected.append((file, str(error)))
            continue
        for section, values in sections:
            try:
                projects.extend(_read_project(there, file, section, values))
            except _UnusableError as error:
                rejected.append((file, str(error)))
    covered = {project.script_location for project in projects}
    for path in paths:
        home = posixpath.dirname(path) or "."
        if posixpath.basename(path) == "env.py" and home not in covered:
            projects.extend(_bare_project(there, home))
    return _Survey(tuple(projects), tuple(rejected))


def _distinct(projects: Iterable[Project]) -> tuple[Project, ...]:
    """Return one project for each history; `alembic.ini` and `[alembic]` come first."""
    distinct: dict[tuple[str, tuple[str, ...]], Project] = {}
    for project in projects:
        distinct.setdefault((project.script_location, project.version_locations), project)
    return tuple(sorted(distinct.values(), key=lambda p: (p.path, p.config or "", p.section)))


def _is_config(path: str) -> bool:
    return path.endswith((".ini", ".cfg"))


def _rank(path: str) -> tuple[bool, bool, int, str]:
    """Sort as Alembic looks: `alembic.ini` first, `pyproject.toml` last; top folders first."""
    name = posixpath.basename(path)
    return name != "alembic.ini", name == "pyproject.toml", path.count("/"), path


def _is_below(path: str, folder: str) -> bool:
    return folder == "." or path == folder or path.startswith(f"{folder}/")


def _sections(file: str, content: bytes, pyproject: bytes) -> list[tuple[str, _Values]]:
    """Return each section that may describe a project, with its options.

    What an ini file does not say, Alembic looks up in the `pyproject.toml` beside it.
    """
    if not _is_config(file):
        table = _toml_table(file, content)
        return [("alembic", table)] if table else []
    if b"alembic" not in content and b"script_location" not in content:
        return []
    parser = configparser.ConfigParser({"here": _HERE})
    try:
        parser.read_string(content.decode(), source=file)
    except (configparser.Error, UnicodeDecodeError) as error:
        if posixpath.basename(file) != "alembic.ini":
            return []
        text = " ".join(str(error).split())
        raise _UnusableError(f"`{file}` cannot be read: {text}") from error
    inherited = "script_location" in parser.defaults()
    sections = [
        name
        for name in sorted(parser.sections(), key=lambda name: name != "alembic")
        if name == "alembic" or ("script_location" in parser[name] and not inherited)
    ]
    fallback = _toml_table(file, pyproject) if sections else {}
    return [(name, {**fallback, **_ini_values(parser, file, name)}) for name in sections]


def _ini_values(parser: configparser.ConfigParser, file: str, section: str) -> _Values:
    options = parser[section]
    try:
        return {name: options[name] for name in (*_OPTIONS, *_SEPARATOR_OPTIONS) if name in options}
    except configparser.InterpolationError as error:
        text = " ".join(str(error).split())
        raise _UnusableError(f"`{file}` [{section}] cannot be read: {text}") from error


def _toml_table(file: str, content: bytes) -> _Values:
    """Return `[tool.alembic]` with `%(here)s` put in, empty where there is none."""
    if b"alembic" not in content:
        return {}
    try:
        table = tomllib.loads(content.decode()).get("tool", {}).get("alembic", {})
        return {name: _interpolate(table[name]) for name in _OPTIONS if name in table}
    except (ValueError, AttributeError, KeyError, TypeError) as error:
        where = posixpath.join(posixpath.dirname(file), "pyproject.toml")
        raise _UnusableError(f"`{where}` [tool.alembic] cannot be read: {error}") from error


def _interpolate(value: object) -> object:
    if isinstance(value, list):
        return [_interpolate(item) for item in value]
    return value % {"here": _HERE} if isinstance(value, str) else value


# --- One project ---------------------------------------------------------------------


@dataclass(frozen=True)
class _There:
    """What is in the tree, and the folder that commands are typed in."""

    tree: Tree
    start: str

    @functools.cached_property
    def files(self) -> frozenset[str]:
        return frozenset(self.tree.paths())

    @functools.cached_property
    def folders(self) -> frozenset[str]:
        folders = {"."}
        for path in self.files:
            folder = posixpath.dirname(path)
            while folder and folder not in folders:
                folders.add(folder)
                folder = posixpath.dirname(folder)
        return frozenset(folders)

    def has_env(self, folder: str) -> bool:
        return _join(folder, "env.py") in self.files

    def env_mentions(self, folder: str, word: str) -> bool:
        """Whether env.py has the word outside of comments, where what it once was may stay."""
        env = self.tree.read(_join(folder, "env.py"))
        return env is not None and re.search(rb"(?m)^[^#\n]*" + word.encode(), env) is not None


def _read_project(there: _There, file: str, section: str, values: _Values) -> list[Project]:
    """Return the project that a section describes, nothing where it describes none."""
    folder = posixpath.dirname(file) or "."
    location = values.get("script_location")
    if not isinstance(location, str) or not location.strip():
        if not _is_config(file) or not there.has_env(folder):
            return []
        # Flask-Migrate gives the script directory in code: it is where the file is.
        path, script_location = posixpath.dirname(folder) or ".", folder
    else:
        found = _locate(there, location.strip(), folder, _places(there, folder))
        if found is None:
            raise _UnusableError(
                f"`{file}` [{section}] names the script directory `{_shown(location)}`, "
                "which is not in the repository."
            )
        path, script_location = found
    project = Project(
        path=path,
        config=file,
        section=section,
        script_location=script_location,
        version_locations=_version_locations(there, file, path, script_location, values),
        flask_migrate=there.env_mentions(script_location, "current_app"),
        recursive_version_locations=_is_recursive(values),
    )
    return [project]


def _is_recursive(values: _Values) -> bool:
    return values.get("recursive_version_locations") in (True, "true")


def _bare_project(there: _There, folder: str) -> Iterator[Project]:
    """Yield a script directory that no configuration file names: its program does."""
    if _join(folder, "versions") in there.folders and there.env_mentions(folder, "alembic"):
        yield Project(
            path=posixpath.dirname(folder) or ".",
            config=None,
            section="alembic",
            script_location=folder,
            version_locations=_usual_locations(there, folder),
            flask_migrate=there.env_mentions(folder, "current_app"),
        )


def _places(there: _There, folder: str) -> tuple[str, ...]:
    """Return the folders that a relative location may start from, the likeliest first.

    Alembic takes the working directory, which the file does not tell.
    """
    parents = [parent.as_posix() for parent in PurePosixPath(folder).parents]
    return tuple(dict.fromkeys((folder, there.start, *parents, ".")))


def _locate(
    there: _There, location: str, folder: str, places: Sequence[str]
) -> tuple[str, str] | None:
    """Return the working directory and the folder that a location means, if it is there."""
    candidates = []
    if location == _HERE or location.startswith(f"{_HERE}/"):
        candidates = [(folder, _join(folder, location.removeprefix(_HERE).lstrip("/")))]
    elif posixpath.isabs(location):
        # `/app/migrations` is how an image or another machine calls `migrations`.
        parts = PurePosixPath(location).parts[1:]
        ends = (posixpath.join(*parts[n:]) for n in range(len(parts)))
        candidates = [(place, _join(place, end)) for end in ends for place in places]
        return next((c for c in candidates if there.has_env(c[1])), None)
    elif ":" in location:
        package, *rest = location.split(":")
        path = posixpath.join(package.replace(".", "/"), *rest)
        candidates = [(folder, _join(place, inner, path)) for place in places for inner in _ROOTS]
    else:
        candidates = [(place, _join(place, location)) for place in places]
    known = (c for c in candidates if c[1] in there.folders)
    return next((c for c in candidates if there.has_env(c[1])), next(known, None))


# A package lies in the working directory or in one of the usual source folders.
_ROOTS = ("", "src", "lib", "python")


def _join(*parts: str) -> str:
    return posixpath.normpath(posixpath.join(*parts))


def _version_locations(
    there: _There, file: str, path: str, script_location: str, values: _Values
) -> tuple[str, ...]:
    """Return the folders of the revisions, those included that do not exist yet."""
    written = values.get("version_locations")
    if not written:
        if _is_recursive(values):
            return (_join(script_location, "versions"),)
        return _usual_locations(there, script_location)
    items = map(str, written) if isinstance(written, list) else _split(file, str(written), values)
    folder = posixpath.dirname(file) or "."
    locations = []
    for item in items:
        places = _places(there, folder) if ":" in item else ()
        found = _locate(there, item, folder, (path, *places))
        if found is not None:
            locations.append(found[1])
        elif item.startswith(_HERE):
            locations.append(_join(folder, item.removeprefix(_HERE).lstrip("/")))
        elif not posixpath.isabs(item) and ":" not in item:
            locations.append(_join(path, item))
    if not locations:
        raise _UnusableError(
            f"`{file}` names the version location `{_shown(str(written))}`, which is not in the "
            "repository."
        )
    return tuple(dict.fromkeys(locations))


def _usual_locations(there: _There, script_location: str) -> tuple[str, ...]:
    """Return the folder `versions`, or the folders in it where they alone hold revisions.

    An env.py can set the version locations at run time, by the dialect for example. To see
    no revision in such a project would be to pass everything.
    """
    versions = _join(script_location, "versions")
    # Without that folder they lie beside it, where other modules may lie as well.
    is_beside = versions not in there.folders
    above = script_location if is_beside else versions
    files = [
        path
        for path in there.files
        if path.startswith(f"{above}/") and is_revision_file(posixpath.basename(path))
    ]
    if is_beside:
        contents = there.tree.read_many(files)
        files = [path for path in files if b"down_revision" in contents.get(path, b"")]
    homes = {posixpath.dirname(path) for path in files}
    inner = tuple(sorted(h for h in homes if posixpath.dirname(h) == above))
    if versions in homes or not inner:
        return (versions,)
    postgres = tuple(
        h for h in inner if posixpath.basename(h).lower().startswith(("pg", "postgres"))
    )
    return postgres or inner


def _split(file: str, written: str, values: _Values) -> list[str]:
    """Return the parts of a list in an ini file, separated as Alembic does it."""
    name = next((n for n in _SEPARATOR_OPTIONS if n in values), None)
    if name is None:
        return [item for item in re.split(r", *|\s+", written.strip()) if item]
    separator = _SEPARATORS.get(str(values[name]))
    if separator is None:
        allowed = ", ".join(f"`{word}`" for word in _SEPARATORS)
        raise _UnusableError(f"`{file}` has `{name} = {values[name]}`; Alembic allows {allowed}.")
    return [item.strip() for item in written.split(separator) if item.strip()]


def _shown(location: str) -> str:
    return location.replace(_HERE, "%(here)s")
