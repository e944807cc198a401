"""Where the target stands, above all where a process that was killed has left it.

Until apply begins nothing is done to the target. From then on the journal tells how far it came,
and the target itself what is there of it.
"""

from __future__ import annotations

import enum
from collections.abc import Collection
from pathlib import Path

from gatekeeper.deploy.journal import Noted
from gatekeeper.deploy.model import Backup, DeployOutcome, StepFailed, StepName, TargetState
from gatekeeper.deploy.past import Past
from gatekeeper.deploy.phrases import name_revisions
from gatekeeper.deploy.run import Ended, Run, differing_from, is_as
from gatekeeper.deploy.statements import Loose, find_loose


class Position(enum.Enum):
    """Where the target stands when a deploy begins, or is taken up again."""

    AT_START = enum.auto()  # nothing was done to it, or nothing of that is there
    ON_THE_WAY = enum.auto()  # some revisions are there, and nothing of the next one
    UPGRADED = enum.auto()
    ON_THE_WAY_BACK = enum.auto()
    IN_PART = enum.auto()  # of some revision a part is there
    ARRIVED = enum.auto()  # before anything was done


def position_of(run: Run, past: Past, state: TargetState, noted: Noted) -> Position:
    """Return where the target stands since the process that had begun to change it ended."""
    before = past.details(StepName.PREFLIGHT)
    revisions, release = run.means.revisions(), run.deployment.release
    run.loose = find_loose(run.deployment, revisions, state.versions, past.statements)
    run.backup = backup_of(past)
    # What it was is told in the beginning; from then on maintenance kept users out.
    was_current = past.begun[StepName.APPLY].get("is_backup_current", False)
    run.is_backup_current = was_current and run.is_switched_on
    is_as_before = is_as(state, before) and all(each.is_in_catalog for each in run.loose)
    known = {revision.revision for revision in revisions} | set(release.from_revisions)
    if StepName.ROLLBACK in past.cut_off and (is_as_before or not run.loose):
        noted.say("taken up again: the target is on its way back")
        return Position.ON_THE_WAY_BACK
    if is_as_before:
        noted.say("begun anew: the target is as before, nothing is there of what was begun")
        return Position.AT_START
    if run.loose or not state.versions <= known:
        noted.say("taken up again: the target is neither as before nor upgraded")
        return Position.IN_PART
    if state.versions == frozenset(release.to_revisions):
        noted.say("taken up again: the target is upgraded")
        return Position.UPGRADED
    if sorted(state.versions) == before["revisions"] or StepName.ROLLBACK in past.begun:
        noted.say("taken up again: the target is neither as before nor upgraded")
        return Position.IN_PART
    noted.say(f"taken up again: the target is at {name_revisions(state.versions)}")
    return Position.ON_THE_WAY


def is_on_the_way_back(run: Run, state: TargetState) -> bool:
    """Whether some revisions were taken back before, and nothing of the next one.

    Raises where of one a part was taken back.
    """
    if run.left is None or not run.has_begun_back:
        return False
    revisions, release = run.means.revisions(), run.deployment.release
    loose = find_loose(run.deployment, revisions, state.versions, run.left.statements)
    is_upgraded = state.versions == frozenset(release.to_revisions)
    if any(not each.is_in_catalog for each in loose) or (loose and not is_upgraded):
        raise StepFailed(
            f"the target stands at {name_revisions(state.versions)}, and this was committed of a "
            f"revision that is not taken back, or may be: {_listed_loose(loose)}",
            fix="Take back by hand what is there of that revision, and stamp what is reached.",
        )
    known = {revision.revision for revision in revisions} | set(release.from_revisions)
    return not is_upgraded and state.versions <= known


def left_in_part(run: Run) -> Ended:
    """Say what a killed process has left that neither goes on nor back by itself."""
    assert run.found is not None
    differing = differing_from(run.found, run.told_before())
    told = [f"it stands at {name_revisions(run.found.versions)}"]
    if run.loose:
        told.append(
            "this was committed of a revision that is not there, or may be: "
            + _listed_loose(run.loose)
        )
    if differing:
        told.append(f"since the deploy began it differs in: {', '.join(differing)}")
    return Ended(
        DeployOutcome.STOPPED,
        f"The deploy was killed and left the target neither as before nor upgraded: "
        f"{'; '.join(told)}. Finish or take back by hand what is there in part, then deploy "
        f"with a new `--record`. {run.backup_told()}",
    )


def backup_of(past: Past) -> Backup | None:
    """Return the backup that the killed process made before it began to apply."""
    if not past.has_passed(StepName.BACKUP):
        return None
    told = past.details(StepName.BACKUP)
    path = None if told["path"] is None else Path(told["path"])
    return Backup(path, told["size_bytes"], told["sha256"], None)


def _listed_loose(loose: Collection[Loose]) -> str:
    return ", ".join(each.told for each in loose)
