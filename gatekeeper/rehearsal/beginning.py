"""What a history lacks to begin on an empty database, and how to give it that."""

from __future__ import annotations

from collections.abc import Sequence

from gatekeeper.extensions import extension_of
from gatekeeper.model import Outcome, Step, StepError
from gatekeeper.probe.model import ProbeFacts

# SQLSTATEs of a name that is not there (manual, appendix A): schema, column, function,
# table, object.
_MISSING = ("3F000", "42703", "42883", "42P01", "42704")
# A history that needs a base of something else's making says so this early.
_FIRST_REVISIONS = 3


def lacks_beginning(steps: Sequence[Step], error: StepError | None) -> bool:
    """Tell a history whose first revisions expect what something else has made.

    An extension that is not there is no schema that is not there.
    """
    if error is None or not is_missing(error) or extension_of(error) is not None:
        return False
    ran = [s for s in steps if s.statements or s.outcome is Outcome.FAILED]
    failed = next((i for i, s in enumerate(ran) if s.outcome is Outcome.FAILED), None)
    return failed is not None and failed < _FIRST_REVISIONS


def dump_commands(facts: ProbeFacts) -> str:
    """Return how to dump production's schema with the revision that it stands at."""
    table = f"{facts.version_table_schema or '*'}.{facts.version_table}"
    return (
        '`pg_dump --schema-only "$PRODUCTION_URL" > schema.sql && pg_dump --data-only '
        f"--table='{table}' \"$PRODUCTION_URL\" >> schema.sql`"
    )


def beginning_remedy(facts: ProbeFacts) -> str:
    """Return the ways to give a history the base that it does not make itself."""
    return (
        "The first revisions expect a schema that something else made. Dump production's, "
        f"{dump_commands(facts)}, commit the file and add to the policy file `project: "
        "{bootstrap: schema.sql}`. Without the second dump say which revision it stands at: "
        "`project: {bootstrap: schema.sql, stamp: <revision>}`. Where a command of the project "
        "makes the schema: `project: {bootstrap: python -m <module>, stamp: heads}`"
    )


def is_missing(error: StepError) -> bool:
    return error.sqlstate in _MISSING
