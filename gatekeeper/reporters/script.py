"""The SQL that ran, as a script that a person can read."""

from __future__ import annotations

from collections.abc import Iterable

from gatekeeper.model import Rehearsal, Report, Statement
from gatekeeper.reporters import words


def render_upgrade(report: Report) -> str | None:
    """Return what the new revisions ran, in the order of the deploy pass; None if nothing."""
    if not isinstance(report.rehearsal, Rehearsal):
        return None
    statements = [s for step in report.rehearsal.deploy for s in step.statements]
    return f"{join_statements(statements)}\n" if statements else None


def join_statements(statements: Iterable[Statement]) -> str:
    """Return the statements, each under a comment that says where it comes from."""
    return "\n\n".join(map(_with_origin, statements))


def _with_origin(statement: Statement) -> str:
    origin = words.one_line(statement.revision or "env.py")
    if statement.line is not None:
        origin += f" line {statement.line}"
    if statement.database is not None:
        origin += f" on {words.one_line(statement.database)}"
    sql = statement.sql.strip()
    lines = [f"-- {origin}", sql if sql.endswith(";") else f"{sql};"]
    if statement.parameters is not None:
        lines.insert(1, f"-- parameters: {words.one_line(statement.parameters)}")
    return "\n".join(lines)
