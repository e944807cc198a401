"""The whole story: change set → rehearsal → checks → judge → report."""

from __future__ import annotations

import functools
import posixpath
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from gatekeeper import checks
from gatekeeper.errors import ConfigError
from gatekeeper.git import (
    Base,
    Repository,
    Tree,
    choose_base,
    exact_base,
    find_repository,
    open_tree,
    relative_folder,
)
from gatekeeper.histories import Occasion, rehearse_histories
from gatekeeper.merging import History, merge_changes, merge_rehearsals, merge_runs
from gatekeeper.model import (
    ChangeSet,
    CheckRun,
    Learned,
    NotRehearsed,
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
from gatekeeper.policy.model import Policy
from gatekeeper.policy.severity import options_of
from gatekeeper.policy.shipped import POLICIES
from gatekeeper.request import Request, Surroundings
from gatekeeper.revisions.changes import read_change_set
from gatekeeper.revisions.discover import choose_projects, find_projects

KNOWN = (*checks.CHECKS, waivers.CHECK, weakening.CHECK)


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
    base = _choose_base(request, repository)
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
        histories = rehearse_histories(
            Occasion(request, surroundings, repository, tree, tuple(read), policy)
        )
    options = functools.partial(options_of, policy)
    runs = [
        [checks.run_checks(history.changes, seen, options) for seen in history.each]
        for history in histories
    ]
    changes = merge_changes(histories)
    of_policy, policy = _compare_policy(request, repository, changes, policy_file, policy)
    if request.since is None:
        asked = tuple(a for a in policy.attestations if not a.of_release)
        policy = replace(policy, attestations=asked)
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
    if learned is None:
        return report
    from gatekeeper.policy.saving import render_block  # few runs need it, and slow to load

    return replace(report, to_save=render_block(learned))


def _choose_base(request: Request, repository: Repository) -> Base | None:
    """Return what the head is compared with, None in an audit and before all else."""
    if request.is_audit:
        return None
    if request.since is None:
        return choose_base(repository, request.base, request.event_base, request.head)
    return None if request.since.ref is None else exact_base(repository, request.since.ref)


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
    from gatekeeper.policy.saving import save_learned  # as above

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
