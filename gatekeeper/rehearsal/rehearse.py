"""The rehearsal from beginning to end: base, deploy pass, drift, stairway."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from gatekeeper.errors import DatabaseError, EnvFailed, MissingModule, ProbeError
from gatekeeper.model import (
    Change,
    ChangeSet,
    Difference,
    Direction,
    Drift,
    NotRehearsed,
    Outcome,
    Rehearsal,
    RehearsedRevision,
    Revision,
    RevisionProblem,
    Skipped,
    Step,
)
from gatekeeper.postgres.likeness import read_traits
from gatekeeper.postgres.servers import Server, leave_clean
from gatekeeper.postgres.snapshot import Snapshot
from gatekeeper.probe.model import Launch, ProbeDrift
from gatekeeper.rehearsal.base import (
    BaseStage,
    base_of,
    reach_base,
    refuse_bootstrap,
    refuse_no_beginning,
    refuse_nothing_run,
    refuse_unfit_base,
    run_base,
)
from gatekeeper.rehearsal.databases import Databases
from gatekeeper.rehearsal.drift import judge_drift
from gatekeeper.rehearsal.ground import Preparation, open_ground
from gatekeeper.rehearsal.history import history_remedy, refuse_lacking_server
from gatekeeper.rehearsal.stage import Stage, describe, open_stage
from gatekeeper.rehearsal.stairway import Line, walk
from gatekeeper.rehearsal.stamp import resolve_stamp
from gatekeeper.rehearsal.variation import compare_runs


@dataclass(frozen=True)
class Script:
    """What is rehearsed, on what: `head` and `base` make a copy of that state's code.

    `bootstrap` makes one of the base's in which the project prepares the databases.
    `env_not_run` is why they go without the project's own env.py, None where they do not.
    With `tells_catalogs` the rehearsal tells the catalog before and after.
    """

    changes: ChangeSet
    server: Server
    preparation: Preparation
    head: Callable[[], Launch]
    base: Callable[[], Launch]
    bootstrap: Callable[[], Launch]
    env_not_run: str | None = None
    tells_catalogs: bool = False


Rehearsals = tuple[Rehearsal, ...]  # one for each database that env.py migrates


def rehearse(script: Script, progress: Callable[[str], None]) -> Rehearsals | NotRehearsed:
    """Return what was seen on each database; where the project could not be run, why."""
    if not script.changes.to_rehearse:
        return NotRehearsed("no revision is new", is_failure=False)
    started = time.monotonic()
    try:
        rehearsals = _rehearse(script, progress, started)
        left = leave_clean(script.server)
    except (ProbeError, DatabaseError) as error:
        problems = script.changes.problems
        return NotRehearsed(
            _unordered(problems[0]) if problems else error.sentence,
            is_failure=True,
            server=script.server.info,
            missing_module=error.module if isinstance(error, MissingModule) else None,
        )
    if left and not isinstance(rehearsals, NotRehearsed):
        return tuple(replace(each, project=(*each.project, *left)) for each in rehearsals)
    return rehearsals


def _unordered(problem: RevisionProblem) -> str:
    """Return why nothing ran where Alembic cannot put the revisions in order."""
    return f"{problem.path}:{problem.line}: {problem.message} {problem.remedy}".removesuffix(".")


def _rehearse(
    script: Script, progress: Callable[[str], None], started: float
) -> Rehearsals | NotRehearsed:
    changes, server = script.changes, script.server
    with contextlib.ExitStack() as stack:
        ground = stack.enter_context(open_ground(server, script.preparation, script.bootstrap))
        ground.stamp = resolve_stamp(script.preparation, *base_of(changes))
        progress("Starting the project's environment")
        head = stack.enter_context(open_stage(ground, script.head))
        base_stage = BaseStage(head, script.base, stack)
        refuse_bootstrap(changes, head)
        progress("Running the history up to the base")
        try:
            base = reach_base(changes, head, base_stage)
        except MissingModule:
            raise
        except ProbeError as error:
            return NotRehearsed(error.sentence, True, server.info, learned=head.learned)
        databases = base.databases
        if base.ran is not None and not base.ran.has_moved:
            return _nothing_committed(script, head, databases, started)
        head.seed(databases)
        line = Line(head, databases, base.applied)
        before = line.snapshots
        deployed: tuple[Snapshot, ...] | None = None
        if not changes.is_audit:
            progress("Upgrading in one go, as a deployment would")
            clones = head.clone(databases)
            deploy = _deploy(changes, head, clones)
            refuse_lacking_server(head, deploy)
            refuse_unfit_base(changes, head, deploy)
            if len(deploy[0]) == len(changes.to_rehearse) and _is_complete(deploy):
                deployed = head.snapshot(clones)
            progress("Comparing the models with the schema")
            if script.env_not_run is None:
                drift = _drift(changes, deploy, head, clones, base_stage, databases, before)
            else:
                reason = f"the project's own env.py did not run: {script.env_not_run}"
                drift = (Skipped(reason),) * len(before)
        walked = walk(
            head, line, changes.to_rehearse, changes.head_history, base.stood_for, progress
        )
        upgrades = tuple(tuple(r.upgrade for r in each) for each in walked.revisions)
        refuse_nothing_run(upgrades)
        refuse_lacking_server(head, upgrades)
        if changes.is_audit:
            refuse_no_beginning(head, [steps[0] for steps in upgrades])

        def base_again() -> Line:
            progress("Running the history up to the base once more: two runs differ")
            again = run_base(changes, head, base_stage)
            if again.failure is not None:
                raise ProbeError(describe(again.failure), fix=history_remedy(head, again.failure))
            head.seed(again.databases)
            return Line(head, again.databases, again.applied)

        each, in_one_go = compare_runs(head, walked, deployed, before, base_again)
        revisions = tuple(zip(*each, strict=True))
        if changes.is_audit:
            deploy = tuple(tuple(r.upgrade for r in on_one) for on_one in revisions)
            reason = "in an audit there is no base to compare with"
            drift = (Skipped(reason),) * len(before)
        return _rehearsals(
            script, head, deploy, revisions, drift, before, started, in_one_go, deployed
        )


def _deploy(changes: ChangeSet, stage: Stage, databases: Databases) -> tuple[tuple[Step, ...], ...]:
    """Run what is new in one go, with the transactions that env.py chooses."""
    added = [c.revision for c in changes.revisions if c.change is Change.ADDED]
    there = {r.revision for r in changes.head_history}
    lost = [head for head in changes.base_heads if head not in there]
    if lost:
        reason = f"a database that stands at {lost[0]} cannot be located in this history"
        up, skipped = Direction.UPGRADE, Outcome.SKIPPED
        steps = tuple(Step(r.revision, up, skipped, reason, path=r.path) for r in added)
        return (steps,) * len(databases.each)
    if not added:
        return ((),) * len(databases.each)
    return stage.run(databases, added, Direction.UPGRADE).blamed_steps()


def _is_complete(deploy: Sequence[Sequence[Step]]) -> bool:
    return all(step.outcome is Outcome.COMPLETED for steps in deploy for step in steps)


def _drift(
    changes: ChangeSet,
    deploy: Sequence[Sequence[Step]],
    head: Stage,
    deployed: Databases,
    base_stage: BaseStage,
    base: Databases,
    before: Sequence[Snapshot],
) -> tuple[Drift | Skipped, ...]:
    """Return what the models want beyond each schema and did not want at the base."""
    if not _is_complete(deploy):
        return (Skipped("the upgrade did not run to its end"),) * len(deploy)
    try:
        wanted = head.probe.drift(deployed.target).each
    except EnvFailed as error:
        return (_not_compared(error, base_stage, base),) * len(deploy)
    if all(drift.operations is None for drift in wanted):
        return (_no_metadata(base_stage),) * len(deploy)
    already: tuple[ProbeDrift, ...] = ()
    unread = None
    if changes.base is None:
        already = (ProbeDrift(()),) * len(wanted)
    elif any(drift.operations for drift in wanted):
        try:
            stage = base_stage.open()
            already = stage.probe.drift(stage.clone(base).target).each
        except ProbeError as error:
            unread = Skipped(f"the models of the base could not be read: {error.what}")
    drifts: list[Drift | Skipped] = []
    after = head.snapshot(deployed) if already else ()
    for number, drift in enumerate(wanted):
        if drift.operations is None:
            drifts.append(Skipped("env.py has no `target_metadata`"))
        elif not drift.operations:
            drifts.append(Drift(()))
        elif unread is not None:
            drifts.append(unread)
        else:
            known = already[number].operations
            drifts.append(judge_drift(drift.operations, after[number], known, before[number]))
    return tuple(drifts)


def _no_metadata(base_stage: BaseStage) -> Skipped:
    """Return why there are no models to compare; the change may have taken them away."""
    told = "env.py has no `target_metadata`"
    try:
        is_lost = base_stage.open().probe.facts.has_target_metadata
    except ProbeError:
        is_lost = False
    if not is_lost:
        return Skipped(told)
    return Skipped(f"{told}; at the base it has one. Give it back to env.py", is_failure=True)


def _not_compared(error: EnvFailed, base_stage: BaseStage, base: Databases) -> Skipped:
    """Return why the models were not compared; where the base's are, the change broke it."""
    try:
        stage = base_stage.open()
        stage.probe.drift(stage.clone(base).target)
    except ProbeError:
        return Skipped(f"{error.sentence}. At the base it fails as well")
    return Skipped(error.sentence, is_failure=True)


def _nothing_committed(
    script: Script, stage: Stage, databases: Databases, started: float
) -> Rehearsals:
    """Return what can be said when env.py ends well and leaves nothing behind.

    The base cannot be reached, so the whole history runs in one go: the new revisions are
    seen not to arrive, and there is nothing to go down from.
    """
    changes = script.changes
    before = stage.snapshot(databases)
    ran = stage.run(databases, changes.head_history, Direction.UPGRADE)
    new = {r.revision for r in changes.to_rehearse}
    reason = "env.py committed nothing, so there is nothing to go down from"
    deploy = tuple(tuple(s for s in steps if s.revision in new) for steps in ran.blamed_steps())

    def only_up(step: Step, revision: Revision) -> RehearsedRevision:
        down = Step(step.revision, Direction.DOWNGRADE, Outcome.SKIPPED, reason)
        again = Step(step.revision, Direction.UPGRADE, Outcome.SKIPPED, reason)
        return RehearsedRevision(revision, step, down, again, None, None, None)

    revisions = tuple(tuple(map(only_up, steps, changes.to_rehearse)) for steps in deploy)
    drift = (Skipped("env.py committed nothing"),) * len(deploy)
    in_one_go = ((),) * len(deploy)
    return _rehearsals(script, stage, deploy, revisions, drift, before, started, in_one_go)


def _rehearsals(
    script: Script,
    stage: Stage,
    deploy: Sequence[tuple[Step, ...]],
    revisions: Sequence[tuple[RehearsedRevision, ...]],
    drift: Sequence[Drift | Skipped],
    before: Sequence[Snapshot],
    started: float,
    in_one_go: Sequence[tuple[Difference, ...]],
    deployed: Sequence[Snapshot] | None = None,
) -> Rehearsals:
    is_told = script.tells_catalogs and not stage.ground.is_of_models
    return tuple(
        Rehearsal(
            server=script.server.info,
            database=database,
            deploy=deploy[number],
            revisions=revisions[number],
            drift=drift[number],
            relations_before=before[number].relations,
            enums_before=before[number].enums,
            project=stage.notes,
            learned=stage.learned,
            seconds=time.monotonic() - started,
            foreign_keys_before=before[number].foreign_keys,
            is_restricted=script.preparation.is_restricted,
            in_one_go=in_one_go[number],
            env_not_run=script.env_not_run,
            catalog_before=read_traits(before[number]) if is_told else None,
            catalog_after=read_traits(deployed[number]) if is_told and deployed else None,
        )
        for number, database in enumerate(stage.database_names)
    )
