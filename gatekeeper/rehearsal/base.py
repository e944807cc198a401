"""Brings a database to the base: by its revisions, a bootstrap or the models; or says why not."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from gatekeeper.errors import ProbeError
from gatekeeper.extensions import extension_of
from gatekeeper.lineage import applied_at
from gatekeeper.model import Change, ChangeSet, Outcome, Revision, Step, StepError
from gatekeeper.postgres.snapshot import Snapshot
from gatekeeper.probe.model import Launch
from gatekeeper.rehearsal.beginning import (
    beginning_remedy,
    dump_commands,
    is_missing,
    lacks_beginning,
)
from gatekeeper.rehearsal.databases import Databases
from gatekeeper.rehearsal.history import history_remedy, run_history
from gatekeeper.rehearsal.stage import Ran, Stage, describe, open_stage
from gatekeeper.rehearsal.stamp import refuse_elsewhere, refuse_standing

# SQLSTATEs of a name that is there already (manual, appendix A): table or index, column,
# object, schema, function.
_DUPLICATE = ("42P07", "42701", "42710", "42P06", "42723")


class BaseStage:
    """The base's code, brought up as the head's was when something first asks for it."""

    def __init__(
        self, head: Stage, launch: Callable[[], Launch], stack: contextlib.ExitStack
    ) -> None:
        self._head = head
        self._launch = launch
        self._stack = stack
        self._stage: Stage | None = None

    def open(self) -> Stage:
        if self._stage is None:
            head = self._head
            opened = open_stage(head.ground, self._launch, head.probe.attempt)
            self._stage = self._stack.enter_context(opened)
        return self._stage


@dataclass(frozen=True)
class Base:
    """Databases at the base, and the run that has brought them there, where one had to.

    `stood_for` are revisions that did not run, because the bootstrap stands for them.
    """

    databases: Databases
    applied: tuple[str, ...]
    stood_for: frozenset[str]
    ran: Ran | None

    @property
    def steps(self) -> tuple[Step, ...]:
        return () if self.ran is None else self.ran.steps[0]

    @property
    def failure(self) -> StepError | None:
        return None if self.ran is None else self.ran.failure


def base_of(changes: ChangeSet) -> tuple[tuple[Revision, ...], tuple[str, ...], frozenset[str]]:
    """Return the history up to the base, its heads, and what is new on top of it."""
    if changes.is_audit:
        return changes.head_history, changes.head_heads, frozenset()
    there = {r.revision for r in changes.base_history}
    new = {r.revision for r in changes.to_rehearse} - there
    return changes.base_history, changes.base_heads, frozenset(new)


def refuse_bootstrap(changes: ChangeSet, head: Stage) -> None:
    """Refuse a bootstrap that leaves its database where no new revision would run."""
    preparation = head.ground.preparation
    if not preparation.bootstrap:
        return
    databases = head.bootstrapped()
    versions = head.versions(databases)
    if not versions and (elsewhere := head.version_tables(databases)):
        refuse_elsewhere(preparation, elsewhere, head.probe.facts)
    refuse_standing(preparation, versions, *base_of(changes))


def reach_base(changes: ChangeSet, head: Stage, base_stage: BaseStage) -> Base:
    """Bring databases to the base; where its first revisions cannot, by the base's models."""
    facts, preparation = head.probe.facts, head.ground.preparation
    if preparation.from_models:
        try:
            _make_from_models(changes, base_stage, None)
        except ProbeError as error:
            what = f"the base could not be made from the models: {error.what}"
            raise ProbeError(what, where=error.where, fix=beginning_remedy(facts)) from error
        head.begin_anew()
    base = run_base(changes, head, base_stage)
    failure = base.failure
    if failure is None:
        return base
    what = _does_not_run(failure)
    if not head.ground.is_bare or not lacks_beginning(base.steps, failure):
        raise ProbeError(what, fix=history_remedy(head, failure))
    try:
        _make_from_models(changes, base_stage, failure)
    except ProbeError as error:
        what += f"; nor could the base be made from the models: {error.what}"
        raise ProbeError(what, fix=beginning_remedy(facts)) from error
    base = run_base(changes, head, base_stage)
    if base.failure is not None:
        raise ProbeError(_does_not_run(base.failure), fix=beginning_remedy(facts))
    return base


def refuse_no_beginning(head: Stage, upgrades: Sequence[Step]) -> None:
    """Refuse an audit of a history that lacks its base: its revisions are not at fault."""
    error = next((s.error for s in upgrades if s.error is not None), None)
    if error is not None and head.ground.is_bare and lacks_beginning(upgrades, error):
        what = f"the history does not run on an empty database: {describe(error)}"
        raise ProbeError(what, fix=beginning_remedy(head.probe.facts))


def _does_not_run(failure: StepError) -> str:
    return f"the history up to the base does not run: {describe(failure)}"


def _make_from_models(changes: ChangeSet, base_stage: BaseStage, because: StepError | None) -> None:
    """Let all further databases begin with what the base's models describe."""
    if changes.is_audit or not changes.base_heads:
        raise ProbeError("there is no base whose models could be taken")
    heads = ", ".join(f"`{head}`" for head in changes.base_heads)
    stage = base_stage.open()
    databases, tables = create_models(stage, changes.base_heads)
    if not tables:
        raise ProbeError("env.py of the base gives no `target_metadata` with a table in it")
    if stage.versions(databases) != frozenset(changes.base_heads):
        raise ProbeError("env.py of the base did not commit what the models made")
    note = f"the base was made from its models (create_all, tables: {tables}), stamped {heads}"
    if because is not None:
        note = (
            f"the history does not start from an empty database ({describe(because)}): {note}. "
            "To keep it so, add to the policy file `project: {bootstrap: models}`; what the "
            "models do not describe is missing from it, so production's own schema is better: "
            f"{dump_commands(stage.probe.facts)} and `project: {{bootstrap: schema.sql}}`"
        )
    stage.ground.take(databases.each, note, None if because is None else describe(because))


def create_models(stage: Stage, heads: tuple[str, ...]) -> tuple[Databases, int]:
    """Return databases with what the models describe; extensions that they name are made."""
    while True:
        databases = stage.new_databases()
        made = stage.probe.create_all(databases.target, heads)
        if isinstance(made, int):
            return databases, made
        extension = extension_of(made)
        if extension is None or not stage.ground.can_add(extension):
            raise ProbeError(describe(made))
        stage.drop(databases)
        stage.add_extension(extension)


def find_stood_for(stage: Stage, history: Sequence[Revision]) -> frozenset[str]:
    """Return the revisions that are applied to every new database of the stage."""
    ground = stage.ground
    there: Collection[str] = ground.stamp
    if not there and not ground.is_bare:
        there = stage.versions(stage.bootstrapped())
    return applied_at(there, history) & {r.revision for r in history}


def run_base(changes: ChangeSet, head: Stage, base_stage: BaseStage) -> Base:
    """Bring databases to the base by the revisions that it still lacks.

    The head's code serves where the change leaves the base's revisions as they are: one
    environment less to bring up.
    """
    rewrites = (Change.MODIFIED, Change.DELETED)
    if any(c.change in rewrites for c in changes.revisions):
        stage, history = base_stage.open(), changes.base_history
    else:
        new = {r.revision for r in changes.to_rehearse}
        stage = head
        history = tuple(r for r in changes.head_history if r.revision not in new)
    stood_for = find_stood_for(stage, base_of(changes)[0])
    applied = tuple(sorted(stood_for | {r.revision for r in history}))
    wanted = tuple(r for r in history if r.revision not in stood_for)
    if not wanted:
        return Base(head.new_databases(), applied, stood_for, None)
    databases, ran = run_history(head, stage, wanted)
    return Base(databases, applied, stood_for, ran)


def refuse_unfit_base(changes: ChangeSet, head: Stage, deploy: Sequence[Sequence[Step]]) -> None:
    """Refuse a deploy pass that says nothing of the revisions, but of the base under them."""
    there = {r.revision for r in changes.head_history}
    if not there.issuperset(changes.base_heads):
        return  # the deploy pass is skipped for that
    failed = next((s for steps in deploy for s in steps if s.error is not None), None)
    if failed is None or failed.error is None:
        refuse_nothing_run(deploy)
        return
    ground, error = head.ground, describe(failed.error)
    if ground.is_bare:
        return
    names = _names_of_duplicate(failed.error)
    if names and any(_holds(each, names) for each in head.snapshot(head.bootstrapped())):
        _refuse_present(changes, head, failed.revision, ".".join(reversed(names)), error)
    if ground.is_of_models and is_missing(failed.error):
        raise ProbeError(
            f"`{failed.revision}` needs what the models of the base, from which it was made, do "
            f"not describe: {error}{ground.why_of_models}",
            fix=beginning_remedy(head.probe.facts),
        )


def _names_of_duplicate(error: StepError) -> tuple[str, ...]:
    """Return what "already exists", in the words of PostgreSQL; empty for another error."""
    if error.sqlstate not in _DUPLICATE:
        return ()
    return tuple(re.findall(r'"([^"]+)"', error.message.partition("\n")[0]))


def _refuse_present(changes: ChangeSet, head: Stage, revision: str, name: str, error: str) -> None:
    if head.ground.is_of_models:
        raise ProbeError(
            f"`{revision}` makes `{name}`, which the models of the base, from which it was made, "
            f"describe already: {error}{head.ground.why_of_models}",
            fix=f"Give the base that production has. {beginning_remedy(head.probe.facts)}",
        )
    heads = ", ".join(f"`{each}`" for each in changes.base_heads)
    raise ProbeError(
        f"`{revision}` makes `{name}`, which the bootstrap brings already: {error}",
        where=head.ground.preparation.where("bootstrap"),
        fix=f"Make the bootstrap at the base, {heads}, without what is new: dump a database that "
        "stands there",
    )


def refuse_nothing_run(each: Sequence[Sequence[Step]]) -> None:
    """Refuse to judge revisions of which none ran, on whichever database."""
    steps = [step for steps in each for step in steps]
    if steps and all(step.outcome is Outcome.SKIPPED for step in steps):
        raise ProbeError(f"none of the revisions ran: {steps[0].reason}")


def _holds(snapshot: Snapshot, names: Sequence[str]) -> bool:
    """Tell whether a catalog has an object; the innermost name of its path comes first."""
    wanted = ".".join(reversed(names))
    found = (name.partition("(")[0] for _, name in snapshot.rows)
    return any(name == wanted or name.endswith(f".{wanted}") for name in found)
