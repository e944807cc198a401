"""The whole story: change set → rehearsal → checks → judge → report."""

from __future__ import annotations

import datetime as dt
import functools
import posixpath
import shlex
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from gatekeeper import checks
from gatekeeper.directories import open_run_directory
from gatekeeper.errors import ConfigError, DatabaseError, ProbeError
from gatekeeper.git import (
    Repository,
    Tree,
    choose_base,
    find_repository,
    find_tracked,
    open_tree,
    relative_folder,
)
from gatekeeper.merging import History, merge_changes, merge_rehearsals, merge_runs
from gatekeeper.model import (
    ChangeSet,
    CheckRun,
    Learned,
    NotRehearsed,
    Project,
    Report,
    Skipped,
)
from gatekeeper.policy import waivers, weakening
from gatekeeper.policy.document import Document, read_document
from gatekeeper.policy.judge import judge
from gatekeeper.policy.load import (
    FILE_NAME,
    find_committed_policy,
    find_policy,
    load_committed_policy,
    load_policy,
)
from gatekeeper.policy.model import Policy, ProjectSettings
from gatekeeper.policy.saving import render_block, save_learned
from gatekeeper.policy.severity import options_of
from gatekeeper.policy.shipped import POLICIES
from gatekeeper.postgres.servers import open_server
from gatekeeper.probe.bootstrap import ProjectBootstrap
from gatekeeper.probe.environments import Wish, make_interpreter
from gatekeeper.probe.hook import Hook, read_hook
from gatekeeper.probe.interpreter import find_interpreter, own_interpreter
from gatekeeper.probe.plain import read_plain
from gatekeeper.probe.protocol import Interpreter, Launch
from gatekeeper.probe.workspace import private_folders
from gatekeeper.rehearsal.databases import DATABASE
from gatekeeper.rehearsal.ground import Preparation
from gatekeeper.rehearsal.rehearse import Script, rehearse
from gatekeeper.revisions.changes import read_change_set
from gatekeeper.revisions.discover import choose_projects, find_projects

FROM_MODELS = "models"  # as a bootstrap: what the models of env.py describe
KNOWN = (*checks.CHECKS, waivers.CHECK, weakening.CHECK)


@dataclass(frozen=True)
class Request:
    """What a command asks for; paths are as given, `directory` is where it was called.

    `head` None is the work tree. `event_base` is what the workflow's event compares with;
    `base` is a person's word and counts more. `env` is added to the policy's. `ticked` are
    the attestations that a person has ticked. `python` is an interpreter; `python_version`
    and `install` say how to make an environment where none is found, `cache` where it is
    kept. `paths` limits an audit to these files.
    """

    directory: Path
    project: str | None = None
    config: str | None = None
    section: tuple[str, ...] = ()
    base: str | None = None
    event_base: str | None = None
    head: str | None = None
    database_url: str | None = field(default=None, repr=False)
    python: str | None = None
    python_version: str | None = None
    install: str | None = None
    cache: str | None = None
    policy: Path | None = None
    seed: str | None = None
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    ticked: frozenset[str] = frozenset()
    paths: tuple[str, ...] = ()
    is_audit: bool = False
    is_lint: bool = False


@dataclass(frozen=True)
class Surroundings:
    """What a run takes from outside: its environment, the time, where progress goes."""

    environ: Mapping[str, str] = field(repr=False)
    now: dt.datetime
    progress: Callable[[str], None]


def check(request: Request, surroundings: Surroundings) -> Report:
    """Return the report on a change; what stops the run before there is one is raised."""
    started = time.monotonic()
    repository = find_repository(request.directory)
    tree = open_tree(repository, request.head)
    projects = choose_projects(
        tree,
        relative_folder(repository, request.directory),
        request.project,
        request.config,
        request.section,
    )
    folder = repository.root / projects[0].path
    policy_file = request.policy or find_policy(folder, repository.root)
    policy = load_policy(policy_file, KNOWN, repository.root if request.policy is None else None)
    base = None
    if not request.is_audit:
        base = choose_base(repository, request.base, request.event_base, request.head)
    surroundings.progress("Reading the revisions")
    read = [
        read_change_set(repository, project, base, tree, audit=request.is_audit)
        for project in projects
    ]
    if request.paths:
        read = [_only(changes, request, repository) for changes in read]
    if request.is_lint:
        histories = [History(each, NotRehearsed("`lint` runs nothing", False)) for each in read]
    elif not any(changes.to_rehearse for changes in read):
        histories = [History(each, NotRehearsed("no revision is new", False)) for each in read]
    else:
        histories = _rehearse(request, surroundings, repository, tree, read, policy)
    options = functools.partial(options_of, policy)
    runs = [
        [checks.run_checks(history.changes, seen, options) for seen in history.each]
        for history in histories
    ]
    changes = merge_changes(histories)
    of_policy, policy = _compare_policy(request, repository, changes, policy_file, policy)
    report = judge(
        (*merge_runs(histories, runs), of_policy),
        policy,
        changes,
        merge_rehearsals(histories),
        known=KNOWN,
        today=surroundings.now.date(),
        seconds=time.monotonic() - started,
        ticked=request.ticked,
    )
    learned = learned_of(report)
    return report if learned is None else replace(report, to_save=render_block(learned))


def learned_of(report: Report) -> Learned | None:
    """Return what the run had to find out; None where it is all in the policy file."""
    learned = report.rehearsal.learned
    return None if learned == Learned() else learned


def require_saving(request: Request) -> None:
    """Refuse to save into a policy that ships with gatekeeper."""
    policy = request.policy
    if policy is not None and str(policy) in POLICIES and not policy.exists():
        raise ConfigError(
            f"`{policy}` ships with gatekeeper, and nothing can be saved into it",
            where="--save",
            fix=f"Leave `--policy` out and put `extends: {policy}` into {FILE_NAME}.",
        )


def save(request: Request, report: Report) -> Path | None:
    """Put what was found out into the policy file; return it, None where nothing was."""
    learned = learned_of(report)
    if learned is None:
        return None
    root = find_repository(request.directory).root
    project = root / report.changes.project.path
    path = request.policy or find_policy(project, root) or project / FILE_NAME
    save_learned(path, learned)
    return path


def _compare_policy(
    request: Request,
    repository: Repository,
    changes: ChangeSet,
    policy_file: Path | None,
    policy: Policy,
) -> tuple[CheckRun, Policy]:
    """Return what the change did to its policy, and the policy with the base's word on that."""
    if changes.base is None:
        is_audit = changes.is_audit
        reason = "an audit has no base" if is_audit else "there is no commit to compare with"
        return CheckRun(weakening.CHECK, (), (Skipped(reason),)), policy
    if request.policy is not None:
        reason = "the policy is the one of `--policy`"
        return CheckRun(weakening.CHECK, (), (Skipped(reason),)), policy
    try:
        tree = open_tree(repository, changes.base)
        path = find_committed_policy(_policy_folders(tree, changes), tree.read)
        base = load_committed_policy(path, KNOWN, tree.read)
    except ConfigError as error:
        reason = f"the policy at the base cannot be read: {error.sentence}"
        run = CheckRun(weakening.CHECK, (), (), reason)
        return run, weakening.held_to(load_policy(None, KNOWN), policy)
    weakenings = weakening.compare_policies(base, policy, KNOWN, changes)
    document = None if policy_file is None else _policy_document(policy_file, repository)
    findings = weakening.find_weakened(weakenings, policy, document, path)
    return CheckRun(weakening.CHECK, tuple(findings), ()), weakening.held_to(base, policy)


def _policy_folders(tree: Tree, changes: ChangeSet) -> Iterator[str]:
    """Yield where the base's policy file may be; the project may have lain elsewhere then."""
    yield changes.project.path
    versions = {posixpath.dirname(revision.path) for revision in changes.base_history}
    for project in find_projects(tree):
        if not versions.isdisjoint(project.version_locations):
            yield project.path
    yield "."


def _policy_document(policy_file: Path, repository: Repository) -> Document:
    name = policy_file.relative_to(repository.root).as_posix()
    return read_document(name, policy_file.read_text(encoding="utf-8-sig"))


def _rehearse(
    request: Request,
    surroundings: Surroundings,
    repository: Repository,
    head: Tree,
    read: Sequence[ChangeSet],
    policy: Policy,
) -> list[History]:
    """Return what was seen of each history, of all of them on one server.

    That is with the project's env.py, or without it where the policy lets it be missing.
    """
    hook = read_project_hook(head, policy.project)
    preparation = read_preparation(request, repository, policy.project, hook)
    is_allowed = policy.project.without_dependencies
    own = stand_in()

    def run(interpreter: Interpreter, lacking: ProbeError | None) -> list[History]:
        return _rehearse_with(
            interpreter,
            lacking,
            preparation,
            hook,
            request,
            surroundings,
            repository,
            head,
            read,
            policy,
        )

    try:
        interpreter = choose_interpreter(
            request, surroundings, repository, head, read[0].project, policy.project
        )
    except ProbeError as error:
        if is_allowed:
            return run(own, error)
        return [History(each, NotRehearsed(error.sentence, is_failure=True)) for each in read]
    histories = run(interpreter, None)
    if is_allowed and interpreter.path == own.path:
        # Nothing says what the project depends on, so nothing could be installed.
        failed = (h.rehearsals for h in histories if isinstance(h.rehearsals, NotRehearsed))
        missing = next((each.missing_module for each in failed if each.missing_module), None)
        if missing is not None:
            return run(own, ProbeError(f"`{missing}` is not installed"))
    return histories


def stand_in() -> Interpreter:
    """Return the Python that runs revisions without the project's dependencies."""
    return own_interpreter("gatekeeper's own, for want of the project's")


def _rehearse_with(
    interpreter: Interpreter,
    lacking: ProbeError | None,
    preparation: Preparation,
    hook: Hook | None,
    request: Request,
    surroundings: Surroundings,
    repository: Repository,
    head: Tree,
    read: Sequence[ChangeSet],
    policy: Policy,
) -> list[History]:
    """Rehearse in that Python; what is `lacking` keeps the project's own env.py from running."""
    env_not_run = None if lacking is None else lacking.brief
    try:
        surroundings.progress(f"The project's Python: {interpreter.reason}")
        surroundings.progress("Starting PostgreSQL")
        hidden = private_folders(repository.root, surroundings.environ)
        with (
            open_server(request.database_url, hidden=hidden, production=policy.postgres) as server,
            open_run_directory("gatekeeper-run-") as directory,
        ):
            directory.chmod(0o711)  # the account of the probe passes through it

            def usual(side: str, number: int) -> Launch:
                changes = read[number]
                is_head = side == "head" or changes.is_audit
                tree = head if is_head else open_tree(repository, changes.base)
                checkout = copy_files(tree, directory / f"{side}{number}", hook)
                launch = Launch(interpreter, checkout, changes.project, repository.root, hook=hook)
                return with_settings(launch, request, policy.project, surroundings)

            def launch(side: str, number: int) -> Launch:
                settled = usual(side, number)
                if lacking is None:
                    return settled
                return without_env(settled, lacking)

            seen = [
                rehearse(
                    Script(
                        changes=changes,
                        server=server,
                        preparation=_of_history(preparation, changes, read),
                        head=functools.partial(launch, "head", number),
                        base=functools.partial(launch, "base", number),
                        bootstrap=functools.partial(usual, "bootstrap", number),
                        env_not_run=env_not_run,
                    ),
                    surroundings.progress,
                )
                for number, changes in enumerate(read)
            ]
    except (DatabaseError, ProbeError) as error:
        seen = [NotRehearsed(error.sentence, is_failure=True) for _ in read]
    return [
        History(
            changes,
            replace(each, env_not_run=env_not_run) if isinstance(each, NotRehearsed) else each,
        )
        for changes, each in zip(read, seen, strict=True)
    ]


def _of_history(
    preparation: Preparation, changes: ChangeSet, read: Sequence[ChangeSet]
) -> Preparation:
    """Return the preparation without a stamp that is another history's revision."""
    stamped = [r for c in read for r in c.head_history if r.revision == preparation.stamp]
    if stamped and not any(r.revision == preparation.stamp for r in changes.head_history):
        return replace(preparation, stamp=None)
    return preparation


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


def _only(changes: ChangeSet, request: Request, repository: Repository) -> ChangeSet:
    """Return the change set with the revisions of the requested files and folders alone."""
    wanted = [request.directory / path for path in request.paths]
    for path, given in zip(wanted, request.paths, strict=True):
        if not path.exists():
            raise ConfigError(
                "there is no such file or folder",
                where=given,
                fix="Give revision files, or the folder they are in.",
            )
    folders = [path.resolve() for path in wanted]

    def is_wanted(path: str) -> bool:
        file = repository.root.resolve() / path
        return any(file.is_relative_to(folder) for folder in folders)

    chosen = tuple(c for c in changes.revisions if is_wanted(c.revision.path))
    return replace(changes, revisions=chosen)


def _seed_file(root: Path, name: str, settings: ProjectSettings) -> Path:
    """Return the file of the seed; with `{database}` in it there is one at least."""
    is_inside = not name.startswith("/") and ".." not in name.split("/")
    for file in root.glob(name.replace(DATABASE, "*")) if DATABASE in name and is_inside else ():
        _sql_file(root, file.relative_to(root).as_posix(), "seed", settings)
        return root / name
    return _sql_file(root, name, "seed", settings)


def _sql_file(root: Path, name: str, key: str, settings: ProjectSettings) -> Path:
    path = root / name
    if path.suffix != ".sql" or not path.is_file():
        also = " A command has several words: `python FILE`." if key == "bootstrap" else ""
        raise ConfigError(
            f"`project.{key}` names `{name}`, which is no SQL file of the repository",
            where=settings.places.get(key),
            fix=f"Give a path to a file that ends in `.sql`, relative to {root}.{also}",
        )
    return path
