"""Which ENUM types a rehearsal knows, and which labels a swap of types takes away."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from gatekeeper.checks.observed import Seen
from gatekeeper.sql import Kind, RetypedColumn, plain_name

Types = Mapping[str, tuple[str, ...] | None]


def track_types(types: Types, seen: Iterable[Seen]) -> dict[str, tuple[str, ...] | None]:
    """Return the types by plain name after some statements.

    An ENUM type has its labels, a type of another kind None; a name that is not there is
    unknown.
    """
    known = {plain_name(name): labels for name, labels in types.items()}
    for parsed in (each.parsed for each in seen):
        names = [plain_name(name) for name in parsed.names]
        match parsed.kind:
            case Kind.CREATE_ENUM:
                known[names[0]] = parsed.labels
            case Kind.CREATE_TYPE:
                known[names[0]] = None
            case Kind.ADD_LABEL:
                known[names[0]] = (*(known.get(names[0]) or ()), *parsed.labels)
            case Kind.RENAME_TYPE if names[0] in known:
                schema = names[0].rpartition(".")[0]
                new = parsed.new_name or ""
                known[f"{schema}.{new}" if schema else new] = known.pop(names[0])
            case Kind.DROP_TYPE:
                for name in names:
                    known.pop(name, None)
    return known


@dataclass(frozen=True)
class Swap:
    """A statement that gives a column a type which lacks labels, and those it keeps."""

    seen: Seen
    column: RetypedColumn
    lost: tuple[str, ...]
    kept: tuple[str, ...]


def removed_labels(seen: tuple[Seen, ...], types: Types) -> Iterator[Swap]:
    """Yield the statements that swap a column's type for one with fewer labels, unguarded.

    Which type a column has is not in the SQL; see `_replaced_type` for how it is told. Rows
    count as looked after where the table was read or written before, or by a DO block, or
    where USING maps the values by CASE.
    """
    before = track_types(types, ())
    for position, each in enumerate(seen):
        for column in each.parsed.retyped_columns:
            new = track_types(before, seen[:position]).get(plain_name(column.type))
            old = before.get(_replaced_type(seen, before, plain_name(column.type)) or "")
            if not new or not old or not set(new) & set(old):
                continue
            lost = tuple(label for label in old if label not in new)
            if lost and not column.using_case and not _is_looked_after(seen[:position], each):
                yield Swap(each, column, lost, new)


def _replaced_type(seen: tuple[Seen, ...], before: Types, new: str) -> str | None:
    """Return the type that `new` stands in for: of that name before, or in the end.

    Else it is the one ENUM type that the step drops; with several nobody can tell.
    """
    if new in before:
        return new
    dropped: list[str] = []
    for parsed in (each.parsed for each in seen):
        if parsed.kind is Kind.RENAME_TYPE and plain_name(parsed.names[0]) == new:
            schema = new.rpartition(".")[0]
            return f"{schema}.{parsed.new_name}" if schema else parsed.new_name
        if parsed.kind is Kind.DROP_TYPE:
            dropped.extend(plain_name(name) for name in parsed.names)
    return dropped[0] if len(dropped) == 1 else None


def _is_looked_after(before: tuple[Seen, ...], swap: Seen) -> bool:
    table = plain_name(swap.parsed.relations[0])
    kinds = (Kind.SELECT, Kind.UPDATE, Kind.DELETE)
    return any(
        each.parsed.kind is Kind.BLOCK
        or (each.parsed.kind in kinds and table in map(plain_name, each.parsed.relations))
        for each in before
    )
