"""What the checks ask of a rehearsal: a revision's steps, its own statements, what was there."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from gatekeeper.lock_modes import LockMode
from gatekeeper.model import (
    Basis,
    Check,
    CheckContext,
    Difference,
    DifferenceKind,
    Direction,
    Finding,
    Lock,
    Outcome,
    RehearsedRevision,
    Revision,
    Skipped,
    Statement,
    Step,
)
from gatekeeper.sql import (
    Kind,
    ParsedStatement,
    find_name,
    is_same_name,
    shorten,
    statements_of,
)


@dataclass(frozen=True)
class Seen:
    """A statement that was sent, and one of the statements that its text holds."""

    statement: Statement
    parsed: ParsedStatement


def find_upgrade(context: CheckContext, revision: Revision) -> Step | Skipped:
    """Return a revision's step of the deploy pass."""
    if context.rehearsal is not None:
        for step in context.rehearsal.deploy:
            if step.revision == revision.revision and step.direction is Direction.UPGRADE:
                return step
    return Skipped(f"`{revision.revision}` was not rehearsed")


def upgrades(context: CheckContext) -> Iterator[tuple[Revision, Step] | Skipped]:
    """Yield the new revisions with their steps of the deploy pass.

    A step that did not come to its end is yielded all the same: what it did until then
    was seen. The `Skipped` that precedes it says that the rest was not.
    """
    if context.rehearsal is None:
        return
    for revision in context.changes.to_rehearse:
        step = find_upgrade(context, revision)
        if isinstance(step, Skipped):
            yield step
            continue
        if (unfinished := tell_unfinished(step)) is not None:
            yield unfinished
        yield revision, step


def stairways(context: CheckContext) -> Iterator[RehearsedRevision | Skipped]:
    """Yield the stairways of the new revisions."""
    if context.rehearsal is None:
        return
    for revision in context.changes.to_rehearse:
        rehearsed = context.rehearsal.of(revision.revision)
        yield rehearsed or Skipped(f"`{revision.revision}` was not rehearsed")


def tell_unfinished(step: Step, name: str | None = None) -> Skipped | None:
    """Say that a step did not come to its end, None where it did."""
    name = name or step.direction.value
    if step.outcome is Outcome.COMPLETED:
        return None
    if step.outcome is Outcome.FAILED:
        return Skipped(f"the {name} of `{step.revision}` failed")
    reason = "" if step.reason is None else f": {step.reason}"
    return Skipped(f"the {name} of `{step.revision}` was not run{reason}", cause=step.reason)


def own_statements(revision: Revision, step: Step) -> tuple[Seen, ...]:
    """Return what a revision's own code sent in a step, without Alembic's bookkeeping.

    What stands for statements that were not recorded changes "maybe"; what works on
    temporary tables alone changes nothing.
    """
    return _without_temporary(
        Seen(statement, parsed)
        for statement in step.statements
        if statement.path == revision.path
        or (statement.path is None and "version_num" not in statement.sql)
        for parsed in ((_UNKNOWN,) if statement.is_unseen else statements_of(statement.sql))
    )


def _without_temporary(statements: Iterable[Seen]) -> tuple[Seen, ...]:
    found: list[Seen] = []
    temporary: set[str] = set()
    for each in statements:
        parsed = each.parsed
        if parsed.kind is Kind.CREATE_TABLE and parsed.changes_schema is False:
            temporary |= set(parsed.relations)
        if parsed.relations and temporary.issuperset(parsed.relations):
            parsed = replace(parsed, changes_schema=False, changes_rows=False)
        found.append(Seen(each.statement, parsed))
    return tuple(found)


_UNKNOWN = ParsedStatement(Kind.OTHER, changes_schema=None, changes_rows=None)


def tell_unseen(context: CheckContext, revision: Revision, step: Step) -> Skipped | None:
    """Say that a step did more than the texts of its statements tell, None where not.

    What changed the schema though no statement can have done it went past SQLAlchemy, too.
    """
    for statement in step.statements:
        if statement.is_unseen:
            return Skipped(f"`{revision.revision}` ran {in_words(statement)}")
    return tell_unexplained(context, revision, step)


def tell_unexplained(context: CheckContext, revision: Revision, step: Step) -> Skipped | None:
    """Say that the schema was changed by none of a step's statements, None where not.

    Neither its text nor its locks are known: it ran on a connection that nobody watched.
    """
    seen = own_statements(revision, step)
    if changes_of(context, revision) and all(s.parsed.changes_schema is False for s in seen):
        return Skipped(f"what changed the schema in `{revision.revision}` was not seen")
    return None


def tell_opaque(seen: Iterable[Seen], before: Iterable[str]) -> Skipped | None:
    """Say that a statement did something that its text does not tell, None where not.

    A block or a function of the user's counts where it was seen to lock what was there.
    """
    for each in seen:
        statement = each.statement
        if each.parsed.changes_schema is not None or statement.is_unseen:
            continue
        modes = [lock.mode for lock in locks_on(statement, before)]
        # Where nobody watched, a block may have done anything; most queries' functions did not.
        is_unwatched = statement.locks is None and each.parsed.kind is not Kind.SELECT
        if is_unwatched or any(mode >= LockMode.ROW_EXCLUSIVE for mode in modes):
            return Skipped(f"what {in_words(statement)} changed is not in its text")
    return None


def qualify(context: CheckContext, revision: Revision, name: str) -> str:
    """Return a relation's name with its schema, as written where the schema is not known."""
    changed = (each.relation for each in changes_of(context, revision))
    known = (*relations_before(context, revision), *filter(None, changed))
    return find_name(name, known) or name


def changes_of(context: CheckContext, revision: Revision) -> tuple[Difference, ...]:
    """Return what the upgrade changed in the schema, as the stairway saw it."""
    rehearsed = context.rehearsal.of(revision.revision) if context.rehearsal else None
    return (rehearsed.changes if rehearsed else None) or ()


def in_words(statement: Statement, width: int = 60) -> str:
    """Return a statement's text for use in a sentence."""
    if statement.is_unseen:
        how = "sent past SQLAlchemy" if "SQLAlchemy" in statement.sql else "that was not recorded"
        return f"a statement {how}"
    return f"`{shorten(statement.sql, width)}`"


def relations_before(context: CheckContext, revision: Revision) -> frozenset[str]:
    """Return the relations that a revision finds and that this change did not make itself.

    In an audit every revision belongs to the change: what its predecessors made counts.
    """
    if context.rehearsal is None:
        return frozenset()
    if context.changes.is_audit:
        rehearsed = context.rehearsal.of(revision.revision)
        return frozenset() if rehearsed is None else rehearsed.relations_before
    return context.rehearsal.relations_before


def foreign_keys_before(context: CheckContext, revision: Revision) -> frozenset[tuple[str, str]]:
    """Return the foreign keys that a revision finds: the referencing, the referenced table."""
    if context.rehearsal is None:
        return frozenset()
    rehearsed = context.rehearsal.of(revision.revision)
    own = frozenset() if rehearsed is None else rehearsed.foreign_keys_before
    return context.rehearsal.foreign_keys_before | own


def locks_on(statement: Statement, before: Iterable[str]) -> tuple[Lock, ...]:
    """Return the locks that a statement added on relations of `before`, strongest first."""
    names = frozenset(before)
    locks = (lock for lock in statement.locks or () if find_name(lock.relation, names) is not None)
    return tuple(sorted(locks, key=lambda lock: (-lock.mode, lock.relation)))


def blocking_lock(seen: Seen, before: Iterable[str]) -> Lock | None:
    """Return the lock that says most of those that block reads or writes, None without one.

    The table that a statement names says more than others, the index that it drops less.
    """
    blocking = [lock for lock in locks_on(seen.statement, before) if lock.mode.blocks]
    named = [lock for lock in blocking if is_named(lock.relation, seen.parsed.relations)]
    tables = [lock for lock in blocking if not is_named(lock.relation, seen.parsed.names)]
    return next(iter((*named, *tables, *blocking)), None)


def dropped_tables(seen: Iterable[Seen]) -> frozenset[str]:
    """Return the names, as written, of the tables that these statements drop."""
    drops = (each.parsed for each in seen if each.parsed.kind is Kind.DROP_TABLE)
    return frozenset(name for parsed in drops for name in parsed.relations)


def is_named(relation: str, names: Iterable[str]) -> bool:
    """Tell whether a qualified relation is meant by one of the names as written."""
    return any(is_same_name(name, relation) for name in names)


def name_differences(differences: Iterable[Difference], limit: int = 8) -> str:
    """Return differences as a list in words; beyond `limit` only how many there are."""
    return join_some([_in_words(each) for each in differences], limit)


def is_accepted(difference: Difference) -> bool:
    """Tell whether a difference after the way back is one that people accept.

    PostgreSQL puts a column that comes back at the end, and can't remove a label.
    """
    if difference.object_type == "column order":
        return True
    left = difference.kind is DifferenceKind.LEFT
    return left and difference.object_type in ("extension", "enum label")


def join_some(parts: list[str], limit: int = 8) -> str:
    """Return the parts separated by commas; beyond `limit` only how many there are."""
    shown = ", ".join(parts[:limit])
    return shown if len(parts) <= limit else f"{shown} and {len(parts) - limit} more"


def _in_words(difference: Difference) -> str:
    thing = f"{difference.object_type} `{difference.name}`"
    if difference.kind is DifferenceKind.CHANGED:
        before = "none" if difference.before is None else f"`{difference.before}`"
        after = "none" if difference.after is None else f"`{difference.after}`"
        if difference.attribute is None:
            return f"{thing} differs"
        return f"{thing}: {difference.attribute} was {before}, is {after}"
    return f"{thing} is {'missing' if difference.kind is DifferenceKind.MISSING else 'left'}"


def at_statement(
    check: Check,
    revision: Revision,
    statement: Statement,
    message: str,
    remedy: str,
    *,
    basis: Basis = Basis.OBSERVED,
    relation: str | None = None,
) -> Finding:
    """Return a finding on the call that sent a statement."""
    return Finding(
        check=check.id,
        message=message[:1].upper() + message[1:],
        remedy=remedy,
        basis=basis,
        revision=revision.revision,
        path=statement.path or revision.path,
        line=statement.line or revision.line,
        end_line=statement.end_line or statement.line or revision.line,
        statement=statement.ordinal,
        relation=relation,
    )


def at_function(
    check: Check,
    revision: Revision,
    direction: Direction,
    message: str,
    remedy: str,
    *,
    basis: Basis = Basis.OBSERVED,
) -> Finding:
    """Return a finding on the line of a revision's upgrade or downgrade function."""
    function = revision.upgrade if direction is Direction.UPGRADE else revision.downgrade
    line = revision.line if function is None else function.line
    return Finding(
        check=check.id,
        message=message,
        remedy=remedy,
        basis=basis,
        revision=revision.revision,
        path=revision.path,
        line=line,
        end_line=line,
    )


def at_error(check: Check, revision: Revision, step: Step, message: str, remedy: str) -> Finding:
    """Return a finding on the line where a step raised, else on its function's."""
    finding = at_function(check, revision, step.direction, message, remedy)
    error = step.error
    if error is None or error.path is None or error.line is None:
        return finding
    sent = [s for s in step.statements if s.sql == error.sql and s.line == error.line]
    return Finding(
        check=check.id,
        message=message,
        remedy=remedy,
        basis=Basis.OBSERVED,
        revision=revision.revision,
        path=error.path,
        line=error.line,
        end_line=sent[-1].end_line if sent else error.line,
        statement=sent[-1].ordinal if sent else None,
    )


# PostgreSQL's hint may be the wrong advice here ("use CASCADE"); the position says nothing.
_NOISE = re.compile(r"HINT:|LINE \d+:|\s*\^\s*$")


def raised(step: Step) -> str:
    """Return what a step raised, as the last words of a sentence."""
    error = step.error
    if error is None:
        return step.reason or "no error was recorded"
    lines = [line for line in error.message.splitlines() if not _NOISE.match(line)]
    message = " ".join(" ".join(lines).split()).rstrip(".")
    return f"{error.type}: {message}" if message else error.type
