"""What migrations do to the server beyond any database: databases, tablespaces, settings.

A database that one pass makes is not there for the next, as if each had a server of its own.
At the end it is dropped, and what ALTER SYSTEM changed is put back. Only what a statement of
this run names is touched; whatever else has changed meanwhile is told.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

Administer = Callable[..., list[tuple[Any, ...]]]
Quote = Callable[[str], str]

# None of these can run in a transaction or a block, so their texts are seen.
_STATEMENT = re.compile(
    r"\b(?:CREATE|DROP)\s+(?:DATABASE|TABLESPACE)\b|\bALTER\s+(?:SYSTEM|TABLESPACE)\b"
    r'|\bALTER\s+DATABASE\s+(?!"?gatekeeper_)',
    re.IGNORECASE,
)
_SHOWN = 80

# What ALTER SYSTEM has written down; only superusers may read it.
_SETTINGS = """
SELECT name, setting FROM pg_catalog.pg_file_settings WHERE sourcefile ~ 'postgresql.auto.conf$'
"""

# The roles but those of rehearsals, with all that is told of them, passwords where we may.
_ROLES = """
SELECT r.rolname, pg_catalog.concat_ws(' ', pg_catalog.to_jsonb(r), (
    SELECT pg_catalog.jsonb_agg(m ORDER BY m.roleid, m.member) FROM pg_catalog.pg_auth_members m
    WHERE m.member = r.oid), (
    SELECT setconfig FROM pg_catalog.pg_db_role_setting
    WHERE setrole = r.oid AND setdatabase = 0))
FROM pg_catalog.{} r WHERE r.rolname !~ '^(pg_|gatekeeper_)'
"""


@dataclass(frozen=True)
class _Look:
    databases: frozenset[str]
    tablespaces: frozenset[str]
    settings: Mapping[str, str]
    roles: Mapping[str, str]


@dataclass
class ServerWide:
    """What a server had before this run, and what this run's migrations have made of it."""

    before: _Look | None = None
    statements: list[str] = field(default_factory=list)
    _made: set[str] = field(default_factory=set, repr=False)
    _made_in: dict[str, frozenset[str]] = field(default_factory=dict, repr=False)

    def look(self, administer: Administer, is_superuser: bool) -> None:
        """Take note of what is there before the first migration runs."""
        if self.before is None:
            self.before = _look(administer, is_superuser)

    def claim(self, administer: Administer, texts: Iterable[str]) -> None:
        """Take note of statements that have run; the databases that they made are ours."""
        new = [" ".join(text.split()) for text in texts if _STATEMENT.search(text)]
        if not new or self.before is None:
            return
        self.statements += (text for text in new if text not in self.statements)
        text = "\n".join(new)
        self._made |= {
            name
            for name in _list_databases(administer) - self.before.databases
            if _is_named(name, text)
        }

    def switch(
        self, administer: Administer, quote: Quote, here: str | None, to: str | None
    ) -> None:
        """Leave the databases that one database's migrations made for those of another's."""
        if not self._made:
            return
        there = self._made & _list_databases(administer)
        if here is not None:
            self._made_in[here] = frozenset(there)
        wanted = self._made_in.get(to or "", frozenset())
        for name in sorted(there - wanted):
            administer(f"DROP DATABASE {quote(name)} WITH (FORCE)")
        for name in sorted(wanted - there):
            administer(f"CREATE DATABASE {quote(name)} TEMPLATE template0")

    def copy(self, administer: Administer, clone: str) -> None:
        """Give a clone what its template, which is in use, has."""
        if self._made:
            self._made_in[clone] = frozenset(self._made & _list_databases(administer))

    def restore(self, administer: Administer, quote: Quote, is_superuser: bool) -> None:
        """Take back what can be."""
        if self.before is None:
            return
        self.switch(administer, quote, None, None)
        now = _look(administer, is_superuser)
        text = "\n".join(self.statements)
        for name in sorted(now.settings.keys() - self.before.settings.keys()):
            if _is_named(name, text):
                administer(f"ALTER SYSTEM RESET {quote(name)}")
                administer("SELECT pg_catalog.pg_reload_conf()")

    def tell(self, administer: Administer, is_superuser: bool) -> tuple[str, ...]:
        """Return what migrations did to the server and what is another than before."""
        if self.before is None:
            return ()
        left = _look(administer, is_superuser)
        return (
            *(
                f"`{statement[:_SHOWN]}` acts on the whole server, beyond the database"
                for statement in self.statements
            ),
            *_differences("database", self.before.databases, left.databases),
            *_differences("tablespace", self.before.tablespaces, left.tablespaces),
            *(
                f"the role {name} of the server was changed meanwhile"
                if name in left.roles
                else f"the role {name} of the server is gone"
                for name, told in sorted(self.before.roles.items())
                if left.roles.get(name) != told
            ),
            *(
                f"the server's setting {name} was {self.before.settings.get(name, 'not set')} "
                f"and is {left.settings.get(name, 'not set')}"
                for name in sorted(self.before.settings.keys() | left.settings.keys())
                if self.before.settings.get(name) != left.settings.get(name)
            ),
        )


def _look(administer: Administer, is_superuser: bool) -> _Look:
    tablespaces = administer("SELECT spcname FROM pg_catalog.pg_tablespace")
    return _Look(
        _list_databases(administer),
        frozenset(name for (name,) in tablespaces),
        dict(administer(_SETTINGS)) if is_superuser else {},
        dict(administer(_ROLES.format("pg_authid" if is_superuser else "pg_roles"))),
    )


def _list_databases(administer: Administer) -> frozenset[str]:
    """Return the databases that are no rehearsal's, whoever runs it."""
    rows = administer(
        "SELECT datname FROM pg_catalog.pg_database"
        " WHERE datname !~ '^gatekeeper_[0-9a-f]{12}_[0-9]+$'"
    )
    return frozenset(name for (name,) in rows)


def _is_named(name: str, text: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text, re.IGNORECASE) is not None


def _differences(kind: str, before: frozenset[str], after: frozenset[str]) -> tuple[str, ...]:
    left = "came up on the server meanwhile and is left: it may be another's"
    return (
        *(f"the {kind} {name} {left}" for name in sorted(after - before)),
        *(f"the {kind} {name} of the server is gone" for name in sorted(before - after)),
    )
