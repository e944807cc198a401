"""The probe's answers and what is asked of it as JSON, one object a line in either direction.

The answers come from a process in which a stranger's code runs: each field is checked, and a
line that does not fit is a `ProtocolError`, never a default.
"""

from __future__ import annotations

import dataclasses
import enum
import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from gatekeeper.model import StepError
from gatekeeper.probe.model import (
    Begun,
    Fate,
    Fault,
    Kind,
    Origin,
    ProbeDrift,
    ProbeFacts,
    ProbeStatement,
    Question,
    RequestedStep,
    StartFailure,
    Target,
    Unavailable,
    VersionTable,
    Wanted,
)

T = TypeVar("T")


class ProtocolError(Exception):
    """A line of the probe that is not what was agreed; carries what was wrong with it."""


def encode(message: Mapping[str, Any]) -> bytes:
    """Return one line of the protocol."""
    return json.dumps(message, ensure_ascii=True).encode() + b"\n"


def ephemeral_message(target: Target) -> dict[str, Any]:
    """Return the target of a request that no real database may get."""
    if target.identity is not None:
        raise ValueError("this request is for ephemeral databases alone")
    return target_message(target)


def target_message(target: Target) -> dict[str, Any]:
    return {
        "host": target.host,
        "port": target.port,
        "user": target.user,
        "password": target.password,
        "database": target.database,
        "marker": target.marker,
        "identity": target.identity,
        "sslmode": target.sslmode,
        "tls": dict(target.tls),
        "settings": dict(target.settings),
        "origin": None if target.origin is None else dataclasses.asdict(target.origin),
        "others": [target_message(other) for other in target.others],
    }


def step_messages(steps: Sequence[RequestedStep]) -> list[dict[str, str]]:
    return [{"revision": s.revision, "direction": s.direction.value} for s in steps]


def decode(line: bytes) -> dict[str, Any]:
    """Return the object of one line."""
    try:
        message = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"not JSON: {line[:200]!r}") from error
    if not isinstance(message, dict):
        raise ProtocolError(f"not an object: {line[:200]!r}")
    return message


def read(message: Mapping[str, Any], key: str, kind: type[T]) -> T:
    """Return a field of exactly that type (an int does for a float, a bool does not)."""
    value = optional(message, key, kind)
    if value is None:
        raise ProtocolError(f"{key} is missing")
    return value


def optional(message: Mapping[str, Any], key: str, kind: type[T]) -> T | None:
    value = message.get(key)
    if value is None:
        return None
    if kind is float and type(value) is int:
        value = _as_float(key, value)
    if isinstance(value, float) and not math.isfinite(value):
        raise ProtocolError(f"{key} is no finite number")
    if type(value) is not kind:
        raise ProtocolError(f"{key} is {type(value).__name__}, not {kind.__name__}")
    return value


def _as_float(key: str, value: int) -> float:
    try:
        return float(value)
    except OverflowError as error:
        raise ProtocolError(f"{key} is no finite number") from error


def read_texts(message: Mapping[str, Any], key: str) -> tuple[str, ...]:
    values = read(message, key, list)
    if not all(isinstance(value, str) for value in values):
        raise ProtocolError(f"{key} holds something else than text")
    return tuple(values)


def read_facts(message: Mapping[str, Any]) -> ProbeFacts:
    return ProbeFacts(
        python=read(message, "python", str),
        alembic=read(message, "alembic", str),
        sqlalchemy=read(message, "sqlalchemy", str),
        dialect=read(message, "dialect", str),
        driver=read(message, "driver", str),
        version_table=read(message, "version_table", str),
        version_table_schema=optional(message, "version_table_schema", str),
        has_target_metadata=read(message, "has_target_metadata", bool),
        transaction_per_migration=read(message, "transaction_per_migration", bool),
        transactional_ddl=read(message, "transactional_ddl", bool),
        fn_calls=read(message, "fn_calls", int),
        origins=tuple(_read_origin(entry) for entry in read(message, "origins", list)),
        absent_variables=_read_names(message, "absent_variables"),
        other_dialects=read_texts(message, "other_dialects"),
        notes=read_texts(message, "notes"),
        databases=tuple(_read_origin(entry) for entry in read(message, "databases", list)),
        version_tables=read_texts(message, "version_tables"),
    )


def read_version_tables(message: Mapping[str, Any]) -> tuple[VersionTable, ...]:
    tables = []
    for entry in read(message, "version_tables", list):
        match entry:
            case [str() | None as schema, str(name)]:
                tables.append(VersionTable(schema, name))
            case _:
                raise ProtocolError(f"{entry!r} names no version table")
    return tuple(tables)


def read_drift(message: Mapping[str, Any], count: int) -> ProbeDrift:
    """Return what autogenerate would change in each of so many databases."""
    drifts = []
    for entry in read_list(message, "operations", count):
        told = {} if entry is None else {"operations": entry}
        drifts.append(ProbeDrift(read_texts(told, "operations") if told else None))
    return dataclasses.replace(drifts[0], others=tuple(drifts[1:]))


def read_list(message: Mapping[str, Any], key: str, count: int) -> list[Any]:
    """Return a list of exactly so many entries."""
    entries = read(message, key, list)
    if len(entries) != count:
        raise ProtocolError(f"{key} has {len(entries)} entries, not {count}")
    return entries


def read_object(entry: object) -> Mapping[str, Any]:
    if not isinstance(entry, dict):
        raise ProtocolError(f"{type(entry).__name__} where an object was agreed")
    return entry


def _read_origin(entry: object) -> Origin:
    message = read_object(entry)
    return Origin(
        dialect=read(message, "dialect", str),
        host=optional(message, "host", str),
        port=optional(message, "port", str),
        database=optional(message, "database", str),
    )


# Of an object in the project's memory, in its `repr`: another one at each run.
_ADDRESS = re.compile(r" at 0x[0-9a-f]{6,}(?=>)")


def read_error(entry: object) -> StepError | None:
    if entry is None:
        return None
    message = read_object(entry)
    return StepError(
        type=read(message, "type", str),
        message=_ADDRESS.sub("", read(message, "message", str)),
        sqlstate=optional(message, "sqlstate", str),
        sql=optional(message, "sql", str),
        path=optional(message, "path", str),
        line=optional(message, "line", int),
        relation=optional(message, "relation", str),
        constraint=optional(message, "constraint", str),
    )


def read_unavailable(message: Mapping[str, Any]) -> Unavailable | None:
    entry = message.get("unavailable")
    if entry is None:
        return None
    told = read_object(entry)
    return Unavailable(
        revision=read(told, "revision", str),
        lacks=read(told, "lacks", str),
        path=read(told, "path", str),
        line=read(told, "line", int),
        source=read(told, "source", str),
    )


def read_start_failure(message: Mapping[str, Any]) -> StartFailure:
    return StartFailure(
        fault=_read_enum(Fault, read(message, "fault", str)),
        error=read_error(message.get("error")),
        module=optional(message, "module", str),
        variables=tuple(_read_wanted(entry) for entry in read(message, "variables", list)),
        absent_variables=_read_names(message, "absent_variables"),
        other_dialects=read_texts(message, "other_dialects"),
        drivers=read_texts(message, "drivers"),
        path=optional(message, "path", str),
        arguments=read_texts(message, "arguments"),
        question=_read_question(message.get("question")),
    )


def _read_question(entry: object) -> Question | None:
    if entry is None:
        return None
    message = read_object(entry)
    return Question(
        sql=read(message, "sql", str),
        path=read(message, "path", str),
        line=read(message, "line", int),
        rows=optional(message, "rows", int),
    )


def _read_names(message: Mapping[str, Any], key: str) -> tuple[str, ...]:
    return tuple(_as_name(name) for name in read_texts(message, key))


def _as_name(name: str) -> str:
    """Return the name of a variable, which may stand in an environment and in a sentence."""
    if not re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", name):
        raise ProtocolError(f"{name!r} names no variable")
    return name


def _read_wanted(entry: object) -> Wanted:
    message = read_object(entry)
    return Wanted(
        name=_as_name(read(message, "name", str)),
        kind=_read_enum(Kind, read(message, "kind", str)),
        scheme=optional(message, "scheme", str),
    )


def read_statement(message: Mapping[str, Any], fate: Fate | None) -> ProbeStatement:
    observed = optional(message, "observed", list)
    return ProbeStatement(
        ordinal=read(message, "ordinal", int),
        sql=read(message, "sql", str),
        parameters=optional(message, "parameters", str),
        path=optional(message, "path", str),
        line=optional(message, "line", int),
        end_line=optional(message, "end_line", int),
        connection=read(message, "connection", int),
        transaction=optional(message, "transaction", int),
        seconds=read(message, "seconds", float),
        rows=optional(message, "rows", int),
        executions=read(message, "executions", int),
        observed=None if observed is None else tuple(_read_row(row) for row in observed),
        fate=fate,
        failed=read(message, "failed", bool),
    )


def read_begun(message: Mapping[str, Any]) -> Begun:
    return Begun(
        sql=read(message, "sql", str),
        path=optional(message, "path", str),
        line=optional(message, "line", int),
        in_transaction=read(message, "in_transaction", bool),
    )


def _read_row(row: object) -> tuple[str | None, ...]:
    if not isinstance(row, list) or not all(v is None or isinstance(v, str) for v in row):
        raise ProtocolError("observed holds something else than rows of text")
    return tuple(row)


E = TypeVar("E", bound=enum.Enum)


def _read_enum(kind: type[E], value: str) -> E:
    try:
        return kind(value)
    except ValueError as error:
        raise ProtocolError(f"{value!r} is no {kind.__name__}") from error


def read_fate(value: object) -> Fate:
    return _read_enum(Fate, value) if isinstance(value, str) else _refuse_fate(value)


def read_fates(message: Mapping[str, Any]) -> dict[int, Fate]:
    """Return what became of each transaction, by its number."""
    fates = {}
    for number, fate in read(message, "fates", dict).items():
        if not re.fullmatch("[0-9]{1,18}", number):
            raise ProtocolError(f"{number!r} numbers no transaction")
        fates[int(number)] = read_fate(fate)
    return fates


def _refuse_fate(value: object) -> Fate:
    raise ProtocolError(f"{value!r} is no Fate")
