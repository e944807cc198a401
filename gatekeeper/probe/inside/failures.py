"""Database errors: the first one, behind all that follow from it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


class Failure:
    """A database error when it was first seen."""

    def __init__(self, original: BaseException, wrapped: Any, report: dict[str, Any]) -> None:
        self.original = original
        self.wrapped = wrapped
        self.report = report

    def is_behind(self, error: BaseException) -> bool:
        known = (self.original, self.wrapped)
        return any(
            link is one or getattr(link, "orig", None) is self.original
            for link in chain_of(error)
            for one in known
        )


def chain_of(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what it was raised from, outermost first."""
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__ or link.__context__


def sqlstate_of(error: BaseException) -> str | None:
    for link in (error, error.__cause__):
        for attribute in ("sqlstate", "pgcode"):
            code = getattr(link, attribute, None)
            if isinstance(code, str) and len(code) == 5:
                return code
        details = link.args[0] if link is not None and link.args else None
        if isinstance(details, dict) and isinstance(details.get("C"), str):  # pg8000
            return str(details["C"])
    return None


def message_of(error: BaseException) -> str:
    """Return what an error says; pg8000 gives all fields of the server's answer instead."""
    details = error.args[0] if error.args else None
    if isinstance(details, dict) and isinstance(details.get("M"), str):
        return str(details["M"])
    return str(error).strip()


PG8000 = {"table": "t", "constraint": "n", "schema": "s"}  # fields of the server's answer


def told_of(error: BaseException, what: str) -> str | None:
    """Return the table (with its schema) or constraint that the server names, if it does."""
    diagnosis = getattr(error, "diag", error)  # psycopg's; asyncpg has it on the error
    details = error.args[0] if error.args and isinstance(error.args[0], dict) else {}

    def read(name: str) -> str | None:
        value = getattr(diagnosis, name + "_name", None) or details.get(PG8000[name])
        return value if isinstance(value, str) else None

    name, schema = read(what), read("schema")
    if what != "table" or name is None or schema is None:
        return name
    return schema + "." + name


def is_clean_exit(error: BaseException) -> bool:
    """Tell an env.py that ends with `sys.exit()` from one that fails."""
    return isinstance(error, SystemExit) and error.code in (None, 0)
