"""What a change does to a project's revisions, told by identifier and code."""

from __future__ import annotations

import hashlib
import posixpath
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from gatekeeper.git import Base, CommitTree, Repository, Tree, head_commit, is_dirty
from gatekeeper.model import (
    Change,
    ChangedRevision,
    ChangeSet,
    Project,
    Revision,
    RevisionProblem,
)
from gatekeeper.revisions.discover import find_projects
from gatekeeper.revisions.graph import Graph, build_graph
from gatekeeper.revisions.parse import is_revision_file, parse_revision, same_code


def read_change_set(
    repository: Repository, project: Project, base: Base | None, head: Tree, *, audit: bool = False
) -> ChangeSet:
    """Return what lies between the base and the head; in an audit every revision is new.

    `base` None, without an audit, is a repository whose first commit is still to come.
    """
    at_head = _read_revisions(project, head)
    base = None if audit else base
    if base is None:
        before, tip = _NOTHING, _NOTHING
    else:
        before = _read_base(project, CommitTree(repository, base.commit), at_head)
        tip = (
            before
            if base.tip == base.commit
            else _read_base(project, CommitTree(repository, base.tip), at_head)
        )
    graph = build_graph(_known_first(before, at_head))
    base_graph = build_graph(before.revisions)
    merged = build_graph(_merge(base_graph, graph, build_graph(tip.revisions)))
    return ChangeSet(
        project=project,
        base=base.commit if base else None,
        head=head.commit if isinstance(head, CommitTree) else head_commit(repository),
        dirty=not isinstance(head, CommitTree) and is_dirty(repository),
        base_tip=base.name if base else None,
        revisions=_compare(base_graph, graph),
        base_history=base_graph.revisions,
        head_history=graph.revisions,
        base_heads=base_graph.heads,
        head_heads=graph.heads,
        merged_heads=merged.heads,
        problems=_once(
            (
                *at_head.problems,
                *graph.problems,
                *merged.problems,
                *_strayed(project, repository, base, head),
            )
        ),
        content_hash=_hash_content(project, head),
        is_audit=audit,
    )


# --- One side ------------------------------------------------------------------------


@dataclass(frozen=True)
class _Side:
    """The revision files of one state, in the order of their paths, and the broken ones."""

    revisions: tuple[Revision, ...]
    problems: tuple[RevisionProblem, ...]


_NOTHING = _Side((), ())


def _read_revisions(project: Project, tree: Tree) -> _Side:
    paths = [path for path in tree.paths() if _is_revision_path(project, path)]
    contents = tree.read_many(paths)
    parsed = [parse_revision(path, contents[path]) for path in paths]
    return _Side(
        tuple(p for p in parsed if isinstance(p, Revision)),
        tuple(p for p in parsed if isinstance(p, RevisionProblem)),
    )


def _is_revision_path(project: Project, path: str) -> bool:
    folder, name = posixpath.split(path)
    if not is_revision_file(name) or folder.endswith("__pycache__"):
        return False
    if project.recursive_version_locations:
        return _is_below_any(folder, project.version_locations)
    return (folder or ".") in project.version_locations


def _is_below_any(path: str, folders: Iterable[str]) -> bool:
    return any(f == "." or path == f or path.startswith(f"{f}/") for f in folders)


def _read_base(project: Project, tree: CommitTree, at_head: _Side) -> _Side:
    """Return the revisions of the same project at the base, wherever it lay then.

    The base's own configuration says where they are. A script directory that was moved is
    known again by its revisions.
    """
    candidates = find_projects(tree)
    same = [p for p in candidates if p.script_location == project.script_location]
    if same:
        same.sort(
            key=lambda p: (
                p.version_locations != project.version_locations,
                p.section != project.section,
            )
        )
        return _read_revisions(same[0], tree)
    in_place = _read_revisions(project, tree)
    if in_place.revisions:
        return in_place
    identifiers = {revision.revision for revision in at_head.revisions}
    moved, most = in_place, 0
    for candidate in candidates:
        side = _read_revisions(candidate, tree)
        shared = len(identifiers & {revision.revision for revision in side.revisions})
        if shared > most:
            moved, most = side, shared
    return moved


# An env.py that chooses the folder by the dialect has others for these.
_OTHER_DIALECT = re.compile(r"sqlite|mysql|mariadb|mssql|oracle|snowflake", re.IGNORECASE)


def _strayed(
    project: Project, repository: Repository, base: Base | None, head: Tree
) -> Iterator[RevisionProblem]:
    """Yield the new revisions that lie where Alembic does not look: they would never run."""
    if base is None:
        return
    before = set(CommitTree(repository, base.commit).paths())
    paths = [
        path
        for path in head.paths()
        if path not in before
        and is_revision_file(posixpath.basename(path))
        and _is_below_any(path, (project.script_location, *project.version_locations))
        and not _is_revision_path(project, path)
        and not _OTHER_DIALECT.search(posixpath.dirname(path))
    ]
    if paths:
        others = find_projects(head)
        paths = [p for p in paths if not any(_is_revision_path(other, p) for other in others)]
    for path, content in head.read_many(paths).items():
        revision = parse_revision(path, content) if b"down_revision" in content else None
        if isinstance(revision, Revision):
            yield RevisionProblem(
                path,
                revision.line,
                f"`{revision.revision}` lies where Alembic does not look for revisions "
                f"({', '.join(f'`{folder}`' for folder in project.version_locations)}), so it "
                "would never run.",
                f"Move the file there, or add `{posixpath.dirname(path)}` to "
                f"`version_locations` in {project.config or 'the configuration of Alembic'}.",
                revision.revision,
            )


# --- Both sides ----------------------------------------------------------------------


def _known_first(before: _Side, at_head: _Side) -> list[Revision]:
    """Return the head's revisions, those first whose files were there before.

    Of two files with one identifier the older one keeps it. A file that can no longer be
    read keeps its former revision, so that the problem is told once and not as a deletion
    with everything that comes after.
    """
    known = {revision.path for revision in before.revisions}
    broken = {problem.path for problem in at_head.problems}
    there = {revision.revision for revision in at_head.revisions}
    unread = [r for r in before.revisions if r.path in broken and r.revision not in there]
    old = [revision for revision in at_head.revisions if revision.path in known]
    new = [revision for revision in at_head.revisions if revision.path not in known]
    return [*old, *new, *unread]


def _compare(base: Graph, head: Graph) -> tuple[ChangedRevision, ...]:
    """Return what changed, in the head's order, then what was deleted."""
    before = {revision.revision: revision for revision in base.revisions}
    there = {revision.revision for revision in head.revisions}
    changed = [
        ChangedRevision(revision, change, before.get(revision.revision))
        for revision in head.revisions
        if (change := _tell(before.get(revision.revision), revision)) is not Change.UNCHANGED
    ]
    deleted = [
        ChangedRevision(revision, Change.DELETED, revision)
        for revision in base.revisions
        if revision.revision not in there
    ]
    return (*changed, *deleted)


def _tell(before: Revision | None, after: Revision) -> Change:
    if before is None:
        return Change.ADDED
    if not same_code(before.source, after.source):
        return Change.MODIFIED
    return Change.UNCHANGED if before.path == after.path else Change.RENAMED


def _merge(base: Graph, head: Graph, tip: Graph) -> list[Revision]:
    """Return the revisions that merging the head into the tip would give.

    As in git: a side that left a revision as it was takes the other side's. Where both
    added one identifier in different files, both files will be there.
    """
    before, ours, theirs = (
        {revision.revision: revision for revision in graph.revisions} for graph in (base, head, tip)
    )
    merged = []
    for name in dict.fromkeys((*before, *theirs, *ours)):
        was, our, their = before.get(name), ours.get(name), theirs.get(name)
        if was is not None:
            kept = their if our is not None and our.source == was.source else our
            merged += [kept] if kept is not None else []
        else:
            added = {r.path: r for r in (their, our) if r is not None}
            merged += added.values()
    return merged


def _once(problems: Iterable[RevisionProblem]) -> tuple[RevisionProblem, ...]:
    return tuple(dict.fromkeys(problems))


def _hash_content(project: Project, tree: Tree) -> str:
    """Return a digest of the script directory's files; another path is another content."""
    folders = (project.script_location, *project.version_locations)
    paths = [
        path
        for path in tree.paths()
        if _is_below_any(path, folders) and "__pycache__" not in path.split("/")
    ]
    contents = tree.read_many(paths)
    digest = hashlib.sha256()
    for path in paths:
        name = path.encode(errors="surrogateescape")
        digest.update(b"%d:%s%d:" % (len(name), name, len(contents[path])))
        digest.update(contents[path])
    return digest.hexdigest()
