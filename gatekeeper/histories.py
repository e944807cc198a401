"""Rehearses what a change does to its histories, one after the other on one server."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from gatekeeper.directories import open_run_directory
from gatekeeper.errors import DatabaseError, ProbeError
from gatekeeper.git import (
    Repository,
    Tree,
    open_tree,
)
from gatekeeper.merging import History
from gatekeeper.model import (
    ChangeSet,
    NotRehearsed,
)
from gatekeeper.policy.model import Policy
from gatekeeper.postgres.servers import Server, open_server
from gatekeeper.preparing import (
    choose_interpreter,
    copy_files,
    read_preparation,
    read_project_hook,
    stand_in,
    with_settings,
    without_env,
)
from gatekeeper.probe.hook import Hook
from gatekeeper.probe.model import Interpreter, Launch
from gatekeeper.probe.workspace import private_folders
from gatekeeper.rehearsal.ground import Preparation
from gatekeeper.rehearsal.rehearse import Script, rehearse
from gatekeeper.request import Request, Surroundings


@dataclass(frozen=True)
class Occasion:
    """What is rehearsed, in which state of the code, as the request and the policy say."""

    request: Request
    surroundings: Surroundings
    repository: Repository
    head: Tree
    read: tuple[ChangeSet, ...]
    policy: Policy


@dataclass(frozen=True)
class _Cast:
    """Who runs the revisions, and with what of the project.

    What is `lacking` keeps the project's own env.py from running.
    """

    interpreter: Interpreter
    preparation: Preparation
    hook: Hook | None
    lacking: ProbeError | None = None


def rehearse_histories(occasion: Occasion) -> list[History]:
    """Return what was seen of each history.

    That is with the project's env.py, or without it where the policy lets it be missing.
    """
    settings, read = occasion.policy.project, occasion.read
    hook = read_project_hook(occasion.head, settings)
    preparation = read_preparation(occasion.request, occasion.repository, settings, hook)
    stand_ins = _Cast(stand_in(), preparation, hook)
    is_allowed = settings.without_dependencies
    try:
        interpreter = choose_interpreter(
            occasion.request,
            occasion.surroundings,
            occasion.repository,
            occasion.head,
            read[0].project,
            settings,
        )
    except ProbeError as error:
        if is_allowed:
            return _rehearse(occasion, replace(stand_ins, lacking=error))
        return [History(each, NotRehearsed(error.sentence, is_failure=True)) for each in read]
    histories = _rehearse(occasion, _Cast(interpreter, preparation, hook))
    if is_allowed and interpreter.is_undeclared:
        # Nothing could be installed. Where all that is declared is there, an import that
        # fails is the change's own.
        failed = (h.rehearsals for h in histories if isinstance(h.rehearsals, NotRehearsed))
        missing = next((each.missing_module for each in failed if each.missing_module), None)
        if missing is not None:
            lacking = ProbeError(f"`{missing}` is not installed")
            return _rehearse(occasion, replace(stand_ins, lacking=lacking))
    return histories


def _rehearse(occasion: Occasion, cast: _Cast) -> list[History]:
    read, progress = occasion.read, occasion.surroundings.progress
    env_not_run = None if cast.lacking is None else cast.lacking.brief
    try:
        progress(f"The project's Python: {cast.interpreter.reason}")
        progress("Starting PostgreSQL")
        with (
            open_server(
                occasion.request.database_url,
                hidden=private_folders(occasion.repository.root, occasion.surroundings.environ),
                production=occasion.policy.postgres,
            ) as server,
            open_run_directory("gatekeeper-run-") as directory,
        ):
            directory.chmod(0o711)  # the account of the probe passes through it
            seen = [
                rehearse(
                    _script(occasion, cast, server, directory / str(number), changes), progress
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


def _script(
    occasion: Occasion, cast: _Cast, server: Server, directory: Path, changes: ChangeSet
) -> Script:
    """Return what is rehearsed of one history; the copies of its code lie in the directory."""
    directory.mkdir(mode=0o711)

    def copy(side: str, tree: Tree) -> Launch:
        checkout = copy_files(tree, directory / side, cast.hook)
        root = occasion.repository.root
        launch = Launch(cast.interpreter, checkout, changes.project, root, hook=cast.hook)
        settings = occasion.policy.project
        return with_settings(launch, occasion.request, settings, occasion.surroundings)

    def launch(side: str, tree: Tree) -> Launch:
        copied = copy(side, tree)
        return copied if cast.lacking is None else without_env(copied, cast.lacking)

    base = occasion.head
    if not changes.is_audit:
        base = open_tree(occasion.repository, changes.base)
    return Script(
        changes=changes,
        server=server,
        preparation=_of_history(cast.preparation, changes, occasion.read),
        head=functools.partial(launch, "head", occasion.head),
        base=functools.partial(launch, "base", base),
        bootstrap=functools.partial(copy, "bootstrap", base),
        env_not_run=None if cast.lacking is None else cast.lacking.brief,
        tells_catalogs=occasion.request.since is not None,
    )


def _of_history(
    preparation: Preparation, changes: ChangeSet, read: Sequence[ChangeSet]
) -> Preparation:
    """Return the preparation without a stamp that is another history's revision."""
    stamped = [r for c in read for r in c.head_history if r.revision == preparation.stamp]
    if stamped and not any(r.revision == preparation.stamp for r in changes.head_history):
        return replace(preparation, stamp=None)
    return preparation
