"""A deploy from what a command asks for to its record: plan, policy and project in, files out."""

from __future__ import annotations

import contextlib
import datetime as dt
import difflib
import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from gatekeeper.deploy.access import session_name
from gatekeeper.deploy.journal import Journal, open_journal
from gatekeeper.deploy.local import make_local_release
from gatekeeper.deploy.model import (
    Deployment,
    DeployOutcome,
    Release,
    StepName,
    StepOutcome,
    StepRecord,
)
from gatekeeper.deploy.notify import send_record
from gatekeeper.deploy.past import FILE_NAME
from gatekeeper.deploy.plan_file import read_release
from gatekeeper.deploy.record import Record, read_past, render_json, render_page
from gatekeeper.deploy.rollback import carry_back
from gatekeeper.deploy.run import Ended, Means
from gatekeeper.deploy.runbook import carry_out
from gatekeeper.deploy.status import read_status
from gatekeeper.deploy.target import find_target
from gatekeeper.directories import open_run_directory
from gatekeeper.errors import ConfigError, GatekeeperError, Interrupted
from gatekeeper.files import make_folder, require_folder, write_file, write_folder
from gatekeeper.git import Repository, Tree, find_repository, open_tree, relative_folder
from gatekeeper.histories import Occasion
from gatekeeper.model import Project
from gatekeeper.pipeline import KNOWN
from gatekeeper.policy.load import LOCAL, default_environment, find_policy, load_policy
from gatekeeper.policy.model import BackupMode, Environment, OnFailure, Policy
from gatekeeper.postgres.servers import open_server
from gatekeeper.preparing import (
    choose_interpreter,
    copy_files,
    read_preparation,
    read_project_hook,
    with_settings,
)
from gatekeeper.probe.model import Launch
from gatekeeper.probe.workspace import private_folders
from gatekeeper.rehearsal.ground import open_ground
from gatekeeper.rehearsal.stage import Stage, open_stage
from gatekeeper.request import Request, Surroundings
from gatekeeper.revisions.changes import read_change_set
from gatekeeper.revisions.discover import choose_projects

_RECORD = "record.json"
_PLAN_NAMES = ("plan.json", "evidence.json")
_RECORD_NAMES = (_RECORD, "record.md", FILE_NAME, *_PLAN_NAMES)


@dataclass(frozen=True)
class DeployRequest:
    """What a deploy is asked for; `project` says how the project is found and run.

    `plan` is the plan.json of a release, its evidence beside it; None stands for what is pending
    of the work tree. `record` is the folder of the record. `ticked` are the attestations that a
    person has ticked. `backup`, `smoke_test` and `on_failure` count more than what the policy
    says of the environment, where they are given.
    """

    project: Request
    environment: str
    plan: Path | None
    record: Path
    ticked: frozenset[str] = frozenset()
    backup: BackupMode | None = None
    smoke_test: tuple[str, ...] = ()
    on_failure: OnFailure | None = None


class DeployInterrupted(Interrupted):
    """A signal stopped a deploy or a rollback; `record` is what it came to, and is written."""

    def __init__(self, signal: Interrupted, record: Record) -> None:
        super().__init__(signal.what, where=signal.where, fix=record.next or signal.fix)
        self.record = record


def deploy(
    request: DeployRequest,
    surroundings: Surroundings,
    begun: Callable[[Deployment], None] = lambda deployment: None,
) -> Record:
    """Carry a release out and write its record.

    A signal is raised as `DeployInterrupted` once that is written. `begun` is called when it
    is known what is asked for, before the first step.
    """
    require_folder(request.record, _RECORD_NAMES, "--record")
    means = _means(request, surroundings)
    make_folder(request.record, "--record")
    identity = _identity(means.deployment)
    run = session_name(means.deployment.target)
    with open_journal(request.record, identity, run, means.deployment.now) as (journal, past):
        if request.plan is not None:
            _copy_plan(request.plan, request.record)
        begun(means.deployment)
        ended = carry_out(means, journal, past)
        record = _record(means, journal, ended)
        # What has upgraded the target goes on to tell how it is taken back.
        if not (record.had_nothing_to_do and _has_record(request.record, request.environment)):
            _write_record(request.record, "record", record)
        journal.write("stopped" if ended.outcome is DeployOutcome.STOPPED else "closed")
    return _sent(means.deployment, record, ended.signal)


def roll_back(request: DeployRequest, surroundings: Surroundings) -> Record:
    """Take a target back to what it was before the deploy of a record; write a record of that.

    `plan` is the copy in the record's folder.
    """
    past = read_past(request.record / _RECORD, request.environment)
    means = _means(request, surroundings)
    run = session_name(means.deployment.target)
    identity = _identity(means.deployment)
    opened = open_journal(request.record, identity, run, means.deployment.now, "rollback")
    with opened as (journal, left):
        ended = carry_back(means, journal, past, left)
        record = _record(means, journal, ended, "it is no part of a rollback")
        if not (record.had_nothing_to_do and (request.record / "rollback.json").exists()):
            _write_record(request.record, "rollback", record)
        journal.write("closed" if ended.outcome is DeployOutcome.ROLLED_BACK else "stopped")
    return _sent(means.deployment, record, ended.signal)


def _sent(deployment: Deployment, record: Record, signal: Interrupted | None) -> Record:
    """Return the record once all have it who want it; a signal that stopped us is raised then."""
    notifications = deployment.environment.notify
    for line in send_record(notifications, render_json(record), deployment.environ):
        deployment.tell(line)
    if signal is not None:
        raise DeployInterrupted(signal, record) from signal
    return record


def _identity(deployment: Deployment) -> dict[str, str]:
    release = deployment.release
    return {
        "environment": deployment.name,
        "tag": release.tag,
        "commit": release.commit,
        "content_hash": release.content_hash,
    }


def _copy_plan(plan: Path, folder: Path) -> None:
    """Keep what was carried out with the record of it."""
    for name in _PLAN_NAMES:
        source = plan.with_name(name) if name != "plan.json" else plan
        if source.resolve() != (folder / name).resolve():
            write_file(folder / name, source.read_text(encoding="utf-8"))


def _means(request: DeployRequest, surroundings: Surroundings) -> Means:
    planned = None if request.plan is None else read_release(request.plan)
    target = find_target(surroundings.environ)
    project_request = request.project
    repository = find_repository(project_request.directory)
    tree = open_tree(repository, None)
    project = _choose_project(project_request, planned, tree, repository)
    policy_file = project_request.policy or find_policy(
        repository.root / project.path, repository.root
    )
    policy = load_policy(policy_file, KNOWN, repository.root)
    changes = read_change_set(repository, project, None, tree, audit=True)
    occasion = Occasion(project_request, surroundings, repository, tree, (changes,), policy)
    deployment = Deployment(
        release=planned or make_local_release(changes, read_status(target, repository, changes)),
        name=request.environment,
        environment=_overruled(request, _environment(policy, request.environment)),
        target=target,
        folder=request.record,
        environ=surroundings.environ,
        tell=surroundings.progress,
        now=lambda: dt.datetime.now(dt.UTC),
        ticked=request.ticked,
    )
    return Means(deployment, repository, changes, functools.partial(_open_stage, occasion))


def _choose_project(
    request: Request, release: Release | None, tree: Tree, repository: Repository
) -> Project:
    """Return the project of the plan, or the one that a person names or that is found."""
    is_named = request.project is not None or request.config is not None or request.section
    if release is not None and not is_named:
        planned = release.project
        found = choose_projects(tree, ".", planned.path, planned.config, (planned.section,))
    else:
        start = relative_folder(repository, request.directory)
        found = choose_projects(tree, start, request.project, request.config, request.section)
    if len(found) > 1:
        raise ConfigError(
            "a deploy is of one history, and the configuration file has several",
            where=found[0].config,
            fix=f"Name one: `--section {found[0].section}`.",
        )
    return found[0]


def _environment(policy: Policy, name: str) -> Environment:
    """Return what the policy says of an environment; one that it does not know is refused.

    Without any in the policy each has what is usual, and one's own machine always has.
    """
    if name in policy.environments:
        return policy.environments[name]
    if not policy.environments or name == LOCAL:
        return default_environment(name)
    near = difflib.get_close_matches(name, policy.environments, n=1)
    known = ", ".join(f"`{other}`" for other in policy.environments)
    raise ConfigError(
        f"the policy knows no environment `{name}`",
        where="--environment",
        fix=f"Did you mean `{near[0]}`?" if near else f"It knows {known}.",
    )


def _overruled(request: DeployRequest, environment: Environment) -> Environment:
    """Return what the policy says of an environment, but for what the request says itself."""
    backup = environment.backup
    if request.backup is not None and request.backup is not backup.mode:
        backup = replace(backup, mode=request.backup, command=None)
    return replace(
        environment,
        backup=backup,
        smoke_test=request.smoke_test or environment.smoke_test,
        on_failure=request.on_failure or environment.on_failure,
    )


@contextlib.contextmanager
def _open_stage(occasion: Occasion, major: int) -> Iterator[Stage]:
    """Yield the project's env.py on databases of an ephemeral PostgreSQL."""
    request, settings = occasion.request, occasion.policy.project
    root = occasion.repository.root
    (changes,) = occasion.read
    hook = read_project_hook(occasion.head, settings)
    preparation = read_preparation(request, occasion.repository, settings, hook)
    interpreter = choose_interpreter(
        request,
        occasion.surroundings,
        occasion.repository,
        occasion.head,
        changes.project,
        settings,
    )
    with (
        open_server(
            request.database_url,
            hidden=private_folders(root, occasion.surroundings.environ),
            production=str(major),
        ) as server,
        open_run_directory("gatekeeper-run-") as directory,
        contextlib.ExitStack() as stack,
    ):
        directory.chmod(0o711)  # the account of the probe passes through it

        def launch(side: str) -> Launch:
            checkout = copy_files(occasion.head, directory / side, hook)
            launched = Launch(interpreter, checkout, changes.project, root, hook=hook)
            return with_settings(launched, request, settings, occasion.surroundings)

        bootstrap = functools.partial(launch, "bootstrap")
        ground = stack.enter_context(open_ground(server, preparation, bootstrap))
        yield stack.enter_context(open_stage(ground, functools.partial(launch, "head")))


def _record(
    means: Means,
    journal: Journal,
    ended: Ended,
    otherwise: str = "there was nothing to do",
) -> Record:
    """Return the record, in which every step of the runbook stands.

    Where a deploy was taken up, what it did before is in it: it tells of the whole.
    """
    release = means.deployment.release
    done = journal.all_steps()
    failed = next((s for s in done.values() if s.outcome is StepOutcome.FAILED), None)
    why = otherwise if failed is None else f"{failed.step.value} failed"
    now = means.deployment.now()
    return Record(
        environment=means.deployment.name,
        outcome=ended.outcome,
        tag=release.tag,
        commit=release.commit,
        from_revisions=release.from_revisions,
        to_revisions=release.to_revisions,
        steps=tuple(
            done.get(name) or StepRecord(name, StepOutcome.SKIPPED, _why_not(name, why), now, 0.0)
            for name in StepName
        ),
        next=ended.next,
        evidence={
            "previous": release.previous,
            "verdict": release.verdict,
            "content_hash": release.content_hash,
            "server_major": release.server_major,
        },
    )


def _why_not(name: StepName, why: str) -> str:
    return "there was nothing to take back" if name is StepName.ROLLBACK else why


def _has_record(folder: Path, environment: str) -> bool:
    """Whether the record of a deploy that can be taken back lies there."""
    with contextlib.suppress(ConfigError):
        read_past(folder / _RECORD, environment)
        return True
    return False


def _write_record(folder: Path, name: str, record: Record) -> None:
    """Write what came of it; until that is done the next process goes on with it."""
    try:
        write_folder(
            folder, {f"{name}.json": render_json(record), f"{name}.md": render_page(record)}
        )
    except ConfigError as error:
        reason = error.__cause__.strerror if isinstance(error.__cause__, OSError) else error.what
        raise GatekeeperError(
            f"it ended as `{record.outcome.value}`, and no record of that can be written: {reason}",
            where=str(folder / f"{name}.json"),
            fix=f"{'' if record.next is None else f'{record.next} '}Make the folder writable, "
            "then start the same command again with the same `--record`.",
        ) from error
