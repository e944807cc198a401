"""Looks at the project as its files tell it: repository, revisions, heads, policy."""

from __future__ import annotations

from dataclasses import dataclass

from gatekeeper.checks import multiple_heads
from gatekeeper.doctor.chart import Chart, Found, Problem, Subject
from gatekeeper.doctor.words import NAMES_SHOWN, count, listed
from gatekeeper.errors import ConfigError, ExitCode
from gatekeeper.git import (
    Repository,
    Tree,
    choose_base,
    find_repository,
    open_tree,
    relative_folder,
)
from gatekeeper.model import ChangeSet, CheckContext, Finding, Project
from gatekeeper.pipeline import KNOWN
from gatekeeper.policy.load import find_policy, load_policy
from gatekeeper.policy.model import ProjectSettings
from gatekeeper.preparing import read_preparation, read_project_hook
from gatekeeper.probe.hook import Hook
from gatekeeper.rehearsal.ground import Preparation
from gatekeeper.request import Request
from gatekeeper.revisions.changes import read_change_set
from gatekeeper.revisions.discover import choose_project


@dataclass(frozen=True)
class Source:
    """The project as its files tell it; `changes` is None where they cannot be read."""

    repository: Repository
    tree: Tree
    project: Project
    changes: ChangeSet | None
    rules: Rules | None


@dataclass(frozen=True)
class Rules:
    """What the policy says of the project, None of it unknown to this version."""

    settings: ProjectSettings
    preparation: Preparation
    hook: Hook | None


def examine_files(chart: Chart, request: Request) -> Source | None:
    """Return what the files tell; None where no project is found."""
    files = chart.look(Subject.REPOSITORY, lambda: _see_repository(request))
    if files is None:
        return None
    repository, tree = files
    project = chart.look(Subject.PROJECT, lambda: _see_project(request, repository, tree))
    if project is None:
        return None
    changes = chart.look(Subject.REVISIONS, lambda: _see_revisions(repository, project, tree))
    if changes is not None:
        chart.look(Subject.HEADS, lambda: _see_heads(changes))
    rules = chart.look(Subject.POLICY, lambda: _see_policy(request, repository, project, tree))
    return Source(repository, tree, project, changes, rules)


def _see_repository(request: Request) -> Found[tuple[Repository, Tree]]:
    repository = find_repository(request.directory)
    tree = open_tree(repository, None)
    base = choose_base(repository, request.base, request.event_base, None)
    told = "there is no commit yet" if base is None else f"a change is compared with `{base.name}`"
    return Found((repository, tree), told)


def _see_project(request: Request, repository: Repository, tree: Tree) -> Found[Project]:
    project = choose_project(
        tree,
        relative_folder(repository, request.directory),
        request.project,
        request.config,
        _one_section(request.section),
    )
    told = f"`{project.script_location}`"
    return Found(project, told if project.config is None else f"{told}, by `{project.config}`")


def _one_section(sections: tuple[str, ...]) -> str | None:
    if len(sections) > 1:
        raise ConfigError(
            "several sections are given, and the doctor looks at one history",
            where="--section",
            fix="Run it once for each section.",
        )
    return sections[0] if sections else None


def _see_revisions(repository: Repository, project: Project, tree: Tree) -> Found[ChangeSet]:
    """Return the whole history: what is new is of no account here."""
    changes = read_change_set(repository, project, None, tree, audit=True)
    if changes.problems:
        told = [f"{p.path}:{p.line}: {p.message}" for p in changes.problems[:NAMES_SHOWN]]
        remedies = dict.fromkeys(p.remedy for p in changes.problems[:NAMES_SHOWN])
        raise Problem(" ".join(told), "\n\n".join(remedies), ExitCode.FAIL)
    return Found(changes, count(len(changes.head_history), "revision"))


def _see_heads(changes: ChangeSet) -> Found[None]:
    for finding in multiple_heads.find(CheckContext(changes, None, {})):
        if isinstance(finding, Finding):
            raise Problem(finding.message, finding.remedy, ExitCode.FAIL)
    return Found(None, listed(changes.head_heads) or "the history is empty")


def _see_policy(
    request: Request, repository: Repository, project: Project, tree: Tree
) -> Found[Rules]:
    root = repository.root
    file = request.policy or find_policy(root / project.path, root)
    policy = load_policy(file, KNOWN, root if request.policy is None else None)
    hook = read_project_hook(tree, policy.project)
    preparation = read_preparation(request, repository, policy.project, hook)
    told = "the built-in `recommended`" if file is None else f"`{file.name}`"
    return Found(Rules(policy.project, preparation, hook), told)
