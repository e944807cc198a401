"""Which relation that was there before a name means, while the revisions run."""

from __future__ import annotations

from collections.abc import Mapping

from gatekeeper.checks.observed import (
    Seen,
    find_upgrade,
    own_statements,
    relations_before,
)
from gatekeeper.model import CheckContext, Revision, Step
from gatekeeper.sql import Kind, find_name

Names = Mapping[str, str]


def names_of(context: CheckContext, revision: Revision) -> Names:
    """Return the names that a revision finds or gives, each with that from before the change.

    A renamed table stays the one that it was; another one may get its old name.
    """
    names = {name: name for name in relations_before(context, revision)}
    away: set[str] = set()
    for each in _statements_up_to(context, revision):
        for written in each.parsed.relations:
            known = find_name(written, names)
            if known is None:
                continue
            if each.parsed.kind is Kind.DROP_TABLE:
                away.add(known)
            elif each.parsed.new_name is not None:
                away.add(known)
                schema = known.rpartition(".")[0]
                names[f"{schema}.{each.parsed.new_name}"] = names[known]
            elif each.parsed.kind is Kind.CREATE_TABLE and known in away:
                del names[known]
    return names


def find_before(written: str, names: Names) -> str | None:
    """Return the name from before of what a name means now, None for what is new."""
    known = find_name(written, names)
    return None if known is None else names[known]


def dropped_by_change(context: CheckContext, revision: Revision, names: Names) -> frozenset[str]:
    """Return the relations from before that this revision drops, or a later one of the change.

    In an audit the change is the whole history: there only the revision itself counts.
    """
    new = list(context.changes.to_rehearse)
    later = [revision] if context.changes.is_audit else new[new.index(revision) :]
    dropped = (
        find_before(name, names)
        for each in later
        for seen in _statements(context, each)
        if seen.parsed.kind is Kind.DROP_TABLE
        for name in seen.parsed.relations
    )
    return frozenset(name for name in dropped if name is not None)


def _statements_up_to(context: CheckContext, revision: Revision) -> list[Seen]:
    new = list(context.changes.to_rehearse)
    until = [revision] if context.changes.is_audit else new[: new.index(revision) + 1]
    return [seen for each in until for seen in _statements(context, each)]


def _statements(context: CheckContext, revision: Revision) -> tuple[Seen, ...]:
    step = find_upgrade(context, revision)
    return own_statements(revision, step) if isinstance(step, Step) else ()
