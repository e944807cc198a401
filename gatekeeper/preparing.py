"""What the request and the policy say of how the project is run."""

from __future__ import annotations

import posixpath
import shlex
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from gatekeeper.errors import ConfigError, ProbeError
from gatekeeper.git import (
    Repository,
    Tree,
    find_tracked,
)
from gatekeeper.model import (
    Project,
)
from gatekeeper.policy.model import ProjectSettings
from gatekeeper.probe.bootstrap import ProjectBootstrap
from gatekeeper.probe.environments import Wish, make_interpreter
from gatekeeper.probe.hook import Hook, read_hook
from gatekeeper.probe.interpreter import find_interpreter, own_interpreter
from gatekeeper.probe.model import Interpreter, Launch
from gatekeeper.probe.plain import read_plain
from gatekeeper.rehearsal.databases import DATABASE
from gatekeeper.rehearsal.ground import FROM_MODELS, Preparation
from gatekeeper.request import Request, Surroundings


def read_project_hook(head: Tree, settings: ProjectSettings) -> Hook | None:
    """Return the hook that the policy names, as the head has it, as the policy is."""
    if settings.hook is None:
        return None
    path = posixpath.normpath(settings.hook)
    source = None if path.startswith(("/", "..")) else head.read(path)
    if source is None or not path.endswith(".py"):
        raise ConfigError(
            f"`project.hook` names `{settings.hook}`, which is no Python file of the repository",
            where=settings.places.get("hook"),
            fix="Give a path that ends in `.py`, from the repository's root: `hook: "
            "gatekeeper_hook.py`. docs/hook.md shows what is in it.",
        )
    return read_hook(path, source)


def read_preparation(
    request: Request, repository: Repository, settings: ProjectSettings, hook: Hook | None
) -> Preparation:
    """Return what every ephemeral database gets first; what cannot be had is refused."""
    root = repository.root
    bootstrap: list[Path | ProjectBootstrap] = []
    from_models = settings.bootstrap == FROM_MODELS
    if settings.bootstrap is not None and not from_models:
        bootstrap.append(_read_bootstrap(root, settings.bootstrap, settings))
    if hook is not None and "bootstrap" in hook.functions:
        bootstrap.append(ProjectBootstrap("`bootstrap(url)`", hook.path))
    seed = request.seed or settings.seed
    return Preparation(
        extensions=settings.extensions,
        bootstrap=tuple(bootstrap),
        from_models=from_models,
        stamp=settings.stamp,
        seed=None if seed is None else _seed_file(root, seed, settings),
        places=settings.places,
        is_restricted=settings.role == "restricted",
    )


def _read_bootstrap(root: Path, written: str, settings: ProjectSettings) -> Path | ProjectBootstrap:
    """Return an SQL file, or a command in the words that a shell would make of it."""
    try:
        words = shlex.split(written)
    except ValueError as error:
        raise ConfigError(
            f"`project.bootstrap` is `{written}`, which is no command: {error}",
            where=settings.places.get("bootstrap"),
            fix="Close the quotes.",
        ) from error
    if len(words) == 1 and ("/" in written or "." in written) and not written.startswith("./"):
        return _sql_file(root, written, "bootstrap", settings)
    where = settings.places.get("bootstrap", "project.bootstrap")
    return ProjectBootstrap(f"`{written}`", where, tuple(words))


def _sql_file(root: Path, name: str, key: str, settings: ProjectSettings) -> Path:
    """Return the file; what it holds can be read on the server by the project's code.

    So neither `..` nor a link in a pull request may lead out of the work tree, nor to git's
    own files.
    """
    path = root / name
    if path.suffix != ".sql" or not path.is_file() or not _is_in_work_tree(root, path):
        also = " A command has several words: `python FILE`." if key == "bootstrap" else ""
        raise ConfigError(
            f"`project.{key}` names `{name}`, which is no SQL file of the repository",
            where=settings.places.get(key),
            fix=f"Give a path to a file that ends in `.sql`, relative to {root}.{also}",
        )
    return path


def _is_in_work_tree(root: Path, path: Path) -> bool:
    root, path = root.resolve(), path.resolve()
    return path.is_relative_to(root) and not any(
        part.lower() == ".git" for part in path.relative_to(root).parts
    )


def choose_interpreter(
    request: Request,
    surroundings: Surroundings,
    repository: Repository,
    head: Tree,
    project: Project,
    settings: ProjectSettings,
) -> Interpreter:
    """Return the Python of the project, made where none is found."""
    root = repository.root
    return find_interpreter(
        root / project.path, root, request.python, surroundings.environ
    ) or make_interpreter(
        head,
        project.path,
        root,
        Wish(
            python=request.python_version or settings.python,
            install=request.install or settings.install,
            cache=_choose_cache(request, repository),
            variables=environment_of(request, settings),
        ),
        surroundings.environ,
        surroundings.progress,
    )


def stand_in() -> Interpreter:
    """Return the Python that runs revisions without the project's dependencies."""
    return own_interpreter("gatekeeper's own, for want of the project's")


def with_settings(
    launch: Launch, request: Request, settings: ProjectSettings, surroundings: Surroundings
) -> Launch:
    """Return the launch with what the policy says of how the project is run."""
    minutes = settings.timeout_minutes
    return replace(
        launch,
        environment=environment_of(request, settings),
        environ=surroundings.environ,
        ways=settings.start,
        arguments=settings.x,
        home_files=settings.home,
        timeout_seconds=launch.timeout_seconds if minutes is None else minutes * 60.0,
    )


def without_env(launch: Launch, lacking: ProbeError) -> Launch:
    """Return the launch with an env.py of ours, for what is lacking to run the project's."""
    plain = read_plain(launch.checkout, launch.project, lacking.sentence)
    return replace(launch, ways=(), plain=plain, hook=None)


def environment_of(request: Request, settings: ProjectSettings) -> Mapping[str, str]:
    """Return the variables that the project's code is given."""
    return {**settings.env, **request.env}


def copy_files(tree: Tree, checkout: Path, hook: Hook | None) -> Path:
    """Copy the files of one state to a new folder and return it.

    The hook is the same in each state: as the policy is, that of the head.
    """
    checkout.mkdir()
    tree.export(checkout)
    if hook is not None:
        file = checkout / hook.path
        if not file.parent.resolve().is_relative_to(checkout.resolve()):
            raise ConfigError(
                "the hook lies behind a symbolic link",
                where=hook.path,
                fix="Put it into a folder of the repository.",
            )
        file.parent.mkdir(parents=True, exist_ok=True)
        file.unlink(missing_ok=True)
        file.write_bytes(hook.source)
    return checkout


def _choose_cache(request: Request, repository: Repository) -> Path | None:
    """Return the folder for made environments; one that came with the checkout is refused.

    A Python that is kept in it is asked for its version as ourselves.
    """
    if request.cache is None:
        return None
    cache = request.directory / request.cache
    for place in (cache.absolute(), cache.resolve()):
        if place.is_relative_to(repository.root):
            folder = place.relative_to(repository.root).as_posix()
            tracked = find_tracked(repository, folder)
            if tracked is not None:
                raise ConfigError(
                    f"the repository has `{tracked}` where made environments are to be kept",
                    where="cache",
                    fix="Take a folder that nothing of the repository is in.",
                )
    return cache


def _seed_file(root: Path, name: str, settings: ProjectSettings) -> Path:
    """Return the file of the seed; with `{database}` in it there is one at least."""
    is_inside = not name.startswith("/") and ".." not in name.split("/")
    found = list(root.glob(name.replace(DATABASE, "*"))) if DATABASE in name and is_inside else []
    for file in found:
        _sql_file(root, file.relative_to(root).as_posix(), "seed", settings)
    return root / name if found else _sql_file(root, name, "seed", settings)
