"""ENUM types that a revision creates and that are there already."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from gatekeeper.checks.labels import track_types
from gatekeeper.checks.observed import Seen, own_statements
from gatekeeper.doctor.chart import Found, Problem
from gatekeeper.errors import ExitCode
from gatekeeper.model import Outcome, Revision, Step, StepError
from gatekeeper.postgres.target import TargetState
from gatekeeper.sql import Kind, ParsedStatement, mentions, plain_name, statements_of

_DUPLICATE_OBJECT = "42710"  # SQLSTATE, manual, appendix A


def find_created_twice(
    failure: StepError, steps: Sequence[Step], revisions: Sequence[Revision]
) -> Problem | None:
    """Return the problem of a history that creates an ENUM type twice; None where it is another."""
    created = statements_of(failure.sql or "")
    enum_type = next((p for p in created if p.kind is Kind.CREATE_ENUM), None)
    if failure.sqlstate != _DUPLICATE_OBJECT or enum_type is None:
        return None
    plain = plain_name(enum_type.names[0])
    done = [step for step in steps if step.outcome is Outcome.COMPLETED]
    makers = [
        revision.revision
        for revision, seen in _statements(done, revisions)
        if seen.parsed.kind is Kind.CREATE_ENUM and plain_name(seen.parsed.names[0]) == plain
    ]
    made_by = f"; `{makers[-1]}` has made it" if makers else ""
    return Problem(
        f"{failure.path}:{failure.line}: the ENUM type `{plain}` is created and exists already "
        f"at that point (DuplicateObject){made_by}",
        "Create it once. Where it is there already, only name it:\n\n"
        f"    {_enum_call(enum_type, ', create_type=False')}\n\n"
        "Where it may be there, ask first:\n\n"
        f"    {_enum_call(enum_type)}.create(op.get_bind(), checkfirst=True)",
        ExitCode.FAIL,
    )


def see_types(
    state: TargetState, steps: Sequence[Step], pending: Sequence[Revision]
) -> Found[None]:
    """Hold what the pending revisions create against the types that are there."""
    there = track_types(state.snapshot.enums, ())
    has_asked = False  # SQLAlchemy's `checkfirst` is a query of pg_type
    for revision, seen in _statements(steps, pending):
        is_creation = seen.parsed.kind is Kind.CREATE_ENUM
        if is_creation and not has_asked and plain_name(seen.parsed.names[0]) in there:
            name = seen.parsed.names[0]
            raise Problem(
                f"`{revision.revision}` creates the ENUM type `{plain_name(name)}` ("
                f"{seen.statement.path}:{seen.statement.line}), which "
                "is there already: it would end with DuplicateObject",
                "See which columns have the type:\n\n"
                "    SELECT attrelid::regclass, attname FROM pg_attribute"
                f" WHERE atttypid = '{name}'::regtype AND NOT attisdropped;\n\n"
                "If none has, drop it; without CASCADE, which would drop the columns as well:\n\n"
                f"    DROP TYPE IF EXISTS {name};\n\n"
                "Or let the revision ask first, and its columns only name the type:\n\n"
                f"    {_enum_call(seen.parsed)}.create(op.get_bind(), checkfirst=True)\n"
                f"    sa.Column(…, {_enum_call(seen.parsed, ', create_type=False')})",
            )
        there = track_types(there, (seen,))
        has_asked = seen.parsed.kind is Kind.SELECT and mentions(seen.statement.sql, "pg_type")
    return Found(None, "none is in the way" if pending else "nothing is pending")


def _enum_call(created: ParsedStatement, more: str = "") -> str:
    """Return the type that a CREATE TYPE makes, as it is written in a revision."""
    schema, _, name = plain_name(created.names[0]).rpartition(".")
    place = f", schema={json.dumps(schema)}" if schema else ""
    labels = "".join(f"{json.dumps(label, ensure_ascii=False)}, " for label in created.labels)
    return f"postgresql.ENUM({labels}name={json.dumps(name)}{place}{more})"


def _statements(
    steps: Sequence[Step], revisions: Sequence[Revision]
) -> Iterator[tuple[Revision, Seen]]:
    """Yield what the revisions sent in those of the steps that are theirs."""
    for revision in revisions:
        for step in steps:
            if step.revision == revision.revision:
                for seen in own_statements(revision, step):
                    yield revision, seen
