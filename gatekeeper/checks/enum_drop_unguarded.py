"""ENUM types are dropped guarded.

What it finds

In an upgrade or a downgrade: `DROP TYPE` of an ENUM type without IF EXISTS or `checkfirst`;
with CASCADE; while a column still uses it. And a label that is removed by a swap of types
(a new type with fewer labels, `ALTER COLUMN … TYPE … USING`) with nothing that looks after
the rows which hold the label.

Why it matters

`DROP TYPE … CASCADE` drops every column of that type, with all its values, and says so only
in a NOTICE that nobody reads. Without IF EXISTS the revision stops on the database on which
somebody tidied up before. A swap stops at the first row that holds a removed label.

When it is fine

With IF EXISTS or `checkfirst=True`, and no CASCADE, after the columns are gone or have
another type. A swap whose rows were looked at, moved or mapped (`USING CASE …`) before.

How to fix

Drop the columns by name, then the type: `op.execute("DROP TYPE IF EXISTS ticketstatus")`.

Example

    def upgrade():
        op.execute("DROP TYPE ticketstatus CASCADE")

    def downgrade():
        op.execute("CREATE TYPE ticketstatus AS ENUM ('open', 'closed')")
        op.add_column(
            "orders",
            sa.Column(
                "status", postgresql.ENUM("open", "closed", name="ticketstatus", create_type=False)
            ),
        )

Instead

    def upgrade():
        op.drop_column("orders", "status")
        op.execute("DROP TYPE IF EXISTS ticketstatus")

    def downgrade():
        op.execute("CREATE TYPE ticketstatus AS ENUM ('open', 'closed')")
        op.add_column(
            "orders",
            sa.Column(
                "status", postgresql.ENUM("open", "closed", name="ticketstatus", create_type=False)
            ),
        )
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import replace

from gatekeeper.checks.labels import Swap, Types, removed_labels, track_types
from gatekeeper.checks.observed import (
    Seen,
    at_error,
    at_statement,
    dropped_tables,
    find_upgrade,
    in_words,
    is_named,
    join_some,
    own_statements,
    qualify,
    tell_unfinished,
)
from gatekeeper.checks.paste import block, drop_column, execute, quote_text
from gatekeeper.checks.written import method_of, read_calls
from gatekeeper.model import (
    Body,
    Check,
    CheckContext,
    Difference,
    DifferenceKind,
    Finding,
    Needs,
    Outcome,
    RehearsedRevision,
    Revision,
    Skipped,
    Step,
)
from gatekeeper.sql import Kind, mentions, plain_name, replace_using, statements_of

CHECK = Check("enum-drop-unguarded", "ENUM types are dropped guarded", "data", Needs.REHEARSAL)


def find(context: CheckContext) -> Iterator[Finding | Skipped]:
    rehearsal = context.rehearsal
    if rehearsal is None:
        return
    types = track_types(rehearsal.enums_before, ())
    for revision in context.changes.to_rehearse:
        upgrade = find_upgrade(context, revision)
        if isinstance(upgrade, Skipped):
            yield upgrade
            continue
        alone = rehearsal.of(revision.revision)
        changes = (alone.changes if alone else None) or ()
        yield from _judge(context, revision, upgrade, types, changes)
        types = track_types(types, own_statements(revision, upgrade))
        has_downgrade = revision.downgrade and revision.downgrade.body is not Body.RAISES
        if alone is not None and alone.upgrade.outcome is Outcome.COMPLETED and has_downgrade:
            yield from _judge(context, revision, alone.downgrade, types, _taken_back(alone))


def _taken_back(alone: RehearsedRevision) -> tuple[Difference, ...]:
    """Return what the downgrade removed: what was made before and what should have stayed."""
    if alone.round_trip is None:
        return ()
    made = [d for d in alone.changes or () if d.kind is DifferenceKind.LEFT]
    gone = [replace(d, kind=DifferenceKind.MISSING) for d in made if d not in alone.round_trip]
    lost = [d for d in alone.round_trip if d not in (alone.changes or ())]
    return (*gone, *lost)


def _judge(
    context: CheckContext,
    revision: Revision,
    step: Step,
    types: Types,
    differences: tuple[Difference, ...],
) -> Iterator[Finding | Skipped]:
    seen = own_statements(revision, step)
    in_use = step.error.sql if step.error and step.error.sqlstate == _IN_USE else None
    for position, each in enumerate(seen):
        if each.parsed.kind is not Kind.DROP_TYPE or each.statement.sql == in_use:
            continue
        known = track_types(types, seen[:position])
        names = [n for n in each.parsed.names if known.get(plain_name(n), ()) is not None]
        if names and each.parsed.cascade:
            yield _at_cascade(revision, each, names, _columns_gone(seen, differences))
        elif (
            names and not each.parsed.if_exists and not _is_checked(revision, step, seen, position)
        ):
            yield _at_drop(revision, each, names)
    for swap in removed_labels(seen, types):
        yield _at_swap(context, revision, swap)
    yield from _unexplained(revision, seen, differences)
    failed = [p for p in statements_of(in_use or "") if p.kind is Kind.DROP_TYPE]
    if failed:
        yield _at_use(revision, step, failed[0].names)
    elif (unfinished := tell_unfinished(step)) is not None:
        yield unfinished


def _unexplained(
    revision: Revision, seen: tuple[Seen, ...], differences: tuple[Difference, ...]
) -> Iterator[Finding | Skipped]:
    """Yield what there is to say of types and labels that no readable statement removed."""
    columns = _columns_gone(seen, differences)
    cascades = [s for s in seen if _takes_types_along(s)]
    opaque = any(s.parsed.changes_schema is None for s in seen)
    is_readable = not opaque and any(s.parsed.changes_schema for s in seen)
    texts = " ".join(
        s.statement.sql
        for s in seen
        if s.parsed.changes_schema is not None and s.parsed.kind is not Kind.CREATE_FUNCTION
    )
    for each in differences:
        type_name = each.name if each.object_type == "enum" else each.name.rpartition(".")[0]
        is_gone = each.kind is DifferenceKind.MISSING and each.object_type in ("enum", "enum label")
        bare = type_name.rpartition(".")[2]
        if is_gone and each.object_type == "enum" and columns and cascades:
            yield _at_cascade(revision, cascades[0], [bare], columns)
        elif is_gone and not is_readable and not mentions(texts, bare):
            # Else DROP SCHEMA, SET SCHEMA or DROP EXTENSION explains it.
            yield Skipped(f"how the {each.object_type} `{each.name}` was dropped was not seen")


def _takes_types_along(seen: Seen) -> bool:
    """Tell a DROP … CASCADE, of a schema or in a block, that can drop types and columns."""
    if seen.parsed.changes_schema is None:
        return _CASCADE.search(seen.statement.sql) is not None
    return seen.parsed.cascade and seen.parsed.kind is Kind.OTHER


_CASCADE = re.compile(r"\bDROP\s+TYPE\b[^;]*\bCASCADE\b", re.IGNORECASE)
_IN_USE = "2BP01"  # dependent_objects_still_exist


def _is_checked(revision: Revision, step: Step, seen: tuple[Seen, ...], position: int) -> bool:
    """Tell whether the catalog was asked for the type right before, as `checkfirst` does."""
    drop = seen[position].statement
    name = seen[position].parsed.names[0].rpartition(".")[2]
    if position > 0:
        before = seen[position - 1].statement
        asks = seen[position - 1].parsed.kind is Kind.SELECT and "pg_type" in before.sql
        mentions = name in before.sql or name in (before.parameters or "")
        if asks and (mentions or (before.path, before.line) == (drop.path, drop.line)):
            return True
    return any(
        call.lineno == drop.line and method_of(call) == "drop" and _checks_first(call)
        for call in read_calls(revision, step.direction)
    )


def _checks_first(call: ast.Call) -> bool:
    """Tell whether `….drop(bind, checkfirst=True)` is asked for, or is the default."""
    given = [keyword.value for keyword in call.keywords if keyword.arg == "checkfirst"]
    given = given or call.args[1:2]
    if given:
        return isinstance(given[0], ast.Constant) and given[0].value is True
    # `postgresql.ENUM(…).drop(bind)` asks the catalog by default, `sa.Enum(…).drop(bind)` not.
    receiver = call.func.value if isinstance(call.func, ast.Attribute) else None
    return isinstance(receiver, ast.Call) and ast.unparse(receiver.func).endswith("ENUM")


def _columns_gone(seen: tuple[Seen, ...], differences: tuple[Difference, ...]) -> list[str]:
    """Return the columns that are missing and that no statement dropped by name."""
    tables = dropped_tables(seen)
    named = {
        (plain_name(each.parsed.relations[0]), column)
        for each in seen
        for column in each.parsed.dropped_columns
    }
    return [
        each.name
        for each in differences
        if each.kind is DifferenceKind.MISSING
        and each.object_type == "column"
        and not is_named(each.relation or "", tables)
        and (plain_name(each.relation or ""), each.name.rpartition(".")[2]) not in named
    ]


def _at_cascade(revision: Revision, seen: Seen, names: list[str], columns: list[str]) -> Finding:
    dropped = f"`DROP TYPE {', '.join(names)} CASCADE`"
    if seen.parsed.kind is not Kind.DROP_TYPE:
        dropped = f"{in_words(seen.statement)} dropped the type `{names[0]}` and with it"
    gone = "drops every column that uses it"
    if columns:
        gone = f"the column {join_some([f'`{name}`' for name in columns])} with its values"
        gone = f"dropped {gone}" if seen.parsed.kind is Kind.DROP_TYPE else gone
    drops = [drop_column(*_split(name)) for name in columns]
    drops.append(execute(f"DROP TYPE IF EXISTS {', '.join(names)}"))
    return at_statement(
        CHECK,
        revision,
        seen.statement,
        f"{dropped} {gone}",
        "Drop the columns by name, then the type, so that nothing else can go with it:\n\n"
        f"{block(drops)}",
    )


def _split(column: str) -> tuple[str, str]:
    relation, _, name = column.rpartition(".")
    return relation, name


def _at_drop(revision: Revision, seen: Seen, names: list[str]) -> Finding:
    guarded = execute(f"DROP TYPE IF EXISTS {', '.join(names)}")
    return at_statement(
        CHECK,
        revision,
        seen.statement,
        f"`DROP TYPE {', '.join(names)}` has no guard: it fails on a database where the type is "
        "gone already",
        f"    {guarded}\n\nor pass `checkfirst=True` to `drop()` of the SQLAlchemy type.",
    )


_DEPENDENT = re.compile(r"column (\S+) of table (\S+) depends on type")


def _at_use(revision: Revision, step: Step, names: tuple[str, ...]) -> Finding:
    dependents = _DEPENDENT.findall(step.error.message if step.error else "")
    columns = join_some([f"`{table}.{column}`" for column, table in dependents]) or "a column"
    drops = [drop_column(table, column) for column, table in dependents]
    drops.append(execute(f"DROP TYPE IF EXISTS {', '.join(names)}"))
    return at_error(
        CHECK,
        revision,
        step,
        f"`DROP TYPE {', '.join(names)}` failed: {columns} still uses the type",
        f"Drop the column or give it another type first, in the same function:\n\n{block(drops)}",
    )


def _at_swap(context: CheckContext, revision: Revision, swap: Swap) -> Finding:
    written, column = swap.seen.parsed.relations[0], swap.column
    relation = qualify(context, revision, written)
    quoted = ", ".join(quote_text(label) for label in swap.lost)
    cases = " ".join(
        f"WHEN {quote_text(label)} THEN {quote_text(swap.kept[0])}" for label in swap.lost
    )
    using = f"CASE {column.name}::text {cases} ELSE {column.name}::text END::{column.type}"
    sql = replace_using(swap.seen.statement.sql, swap.seen.parsed, column.name, using)
    call = execute(
        sql or f"ALTER TABLE {written} ALTER {column.name} TYPE {column.type} USING {using}"
    )
    return at_statement(
        CHECK,
        revision,
        swap.seen.statement,
        f"The new type of `{relation}.{column.name}` lacks the label {quoted}; a row that holds it "
        "stops the revision",
        "Map the rows that hold it where the type is changed, each label to the one that it "
        f"becomes (here {quote_text(swap.kept[0])}):\n\n    {call}",
        relation=relation,
    )
