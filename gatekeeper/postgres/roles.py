"""Roles belong to the server; here each database of a run has its own all the same.

A clone shares the server's roles with what it was cloned from: a role that one pass makes is
there for the next, and `DROP ROLE` fails while another database holds its grants. So of the
shared catalogs only those rows are there that belong to the database in use. Those of the
others are put away, with their object identifiers, until it is their turn.

On a server that is given only roles that this run's own migrations were seen to make are
treated so. They are noted in a database of the run, so that the next one can drop what a
killed one left; of a role whose migration was running at that moment nobody knows. Writing to
a catalog needs a superuser; without one a run that makes roles ends.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from gatekeeper.errors import DatabaseError

# The setting of a database in which a run notes the roles that it has made.
NOTE = "gatekeeper.roles"

Administer = Callable[..., list[tuple[Any, ...]]]

# A row of a shared catalog: the catalog's name and the row as JSON.
Row = tuple[str, str]

# The rows that tell of the given roles, of all but PostgreSQL's own where that is NULL, each
# with the database of this run that it belongs to. What a role's owner owns is not asked:
# it is in every database, and no migration can drop the role that it runs as.
_READ = """
WITH given AS MATERIALIZED (
    SELECT %s::oid[] AS roles, %s AS prefix, %s AS owner
), ours AS MATERIALIZED (
    SELECT oid, rolname FROM pg_catalog.pg_authid, given
    WHERE CASE WHEN roles IS NULL THEN rolname !~ '^pg_' ELSE oid = ANY (roles) END
), own AS MATERIALIZED (
    SELECT oid, datname FROM pg_catalog.pg_database, given
    WHERE pg_catalog.starts_with(datname, prefix)
), members AS MATERIALIZED (
    SELECT pg_catalog.to_jsonb(m) AS line FROM pg_catalog.pg_auth_members m
    WHERE m.roleid IN (SELECT oid FROM ours) OR m.member IN (SELECT oid FROM ours)
)
SELECT 'pg_authid', pg_catalog.to_jsonb(a)::text, NULL
FROM pg_catalog.pg_authid a WHERE a.oid IN (SELECT oid FROM ours)
UNION ALL SELECT 'pg_auth_members', line::text, NULL FROM members
UNION ALL SELECT 'pg_db_role_setting', pg_catalog.to_jsonb(s)::text, own.datname
FROM pg_catalog.pg_db_role_setting s LEFT JOIN own ON own.oid = s.setdatabase
WHERE s.setrole IN (SELECT oid FROM ours)
    OR s.setrole = 0 AND s.setdatabase = 0 AND (SELECT roles IS NULL FROM given)
UNION ALL SELECT 'pg_shdescription', pg_catalog.to_jsonb(c)::text, NULL
FROM pg_catalog.pg_shdescription c
WHERE c.classoid = 'pg_catalog.pg_authid'::regclass AND c.objoid IN (SELECT oid FROM ours)
UNION ALL SELECT 'pg_shdepend', pg_catalog.to_jsonb(d)::text, own.datname
FROM pg_catalog.pg_shdepend d LEFT JOIN own ON own.oid = CASE
    WHEN d.dbid <> 0 THEN d.dbid
    WHEN d.classid = 'pg_catalog.pg_database'::regclass THEN d.objid END
WHERE d.refclassid = 'pg_catalog.pg_authid'::regclass
    AND d.refobjid IN (SELECT oid FROM ours, given WHERE rolname <> owner)
    OR d.classid = 'pg_catalog.pg_auth_members'::regclass
    AND d.objid IN (SELECT (line ->> 'oid')::oid FROM members)
"""

_TAKE_OUT = """
DELETE FROM pg_catalog.{catalog} c WHERE pg_catalog.to_jsonb(c)::text = ANY (%s);
"""
_PUT_IN = """
INSERT INTO pg_catalog.{catalog} SELECT r.* FROM pg_catalog.unnest(%s) line,
    pg_catalog.jsonb_populate_record(NULL::pg_catalog.{catalog}, line::jsonb) r;
"""


@dataclass(frozen=True)
class Login:
    """A role and what it logs in with."""

    name: str
    password: str = field(repr=False)


@dataclass
class Roles:
    """Whose roles the server has at this moment, and those that are put away.

    `prefix` begins the names of this run's databases, and `owner` is the role that
    restricted migrations run as. `ours` are the roles that migrations of this run made,
    None on a server of our own: there all are. All databases have those of them that
    were `adopted`. `unclear` names roles that came up while a migration ran and that
    nothing ties to it.
    """

    prefix: str
    owner: Login
    is_superuser: bool = True
    ours: set[int] | None = None
    others: set[int] = field(default_factory=set)
    adopted: set[int] = field(default_factory=set)
    unclear: set[str] = field(default_factory=set)
    in_use: str | None = None
    _first: frozenset[Row] | None = field(default=None, repr=False)
    _put_away: dict[str, frozenset[Row]] = field(default_factory=dict, repr=False)
    # Of databases that are in use together, to the first of them.
    _first_of: dict[str, str] = field(default_factory=dict, repr=False)

    def enter(self, administer: Administer, database: str) -> None:
        """Make the server's roles those of a database and of those it is joined with."""
        database = self._first_of.get(database, database)
        if self.in_use == database:
            return
        self._look(administer)
        if not self.is_superuser:
            self._refuse_made()
            self.in_use = database
            return
        found = self._read(administer, self.ours)
        if self._first is None:
            self._first = _of(found)
        if self.in_use is not None:
            self._put_away[self.in_use] = _of(found, *self._together(self.in_use))
        wanted = self._put_away.get(database, self._first)
        self._swap(administer, frozenset().union(*found.values()), wanted)
        self.in_use = database

    def copy(self, administer: Administer, template: str, clone: str) -> None:
        """Give a clone the roles of its template, which is in use."""
        if not self.is_superuser:
            return
        found = self._read(administer, self.ours)
        self._put_away[clone] = _of(found, clone)
        # CREATE DATABASE has written down what the clone depends on.
        self._swap(administer, found.get(clone, frozenset()), frozenset())

    def join(self, first: str, *others: str) -> None:
        """Give databases that have just been made one set of roles."""
        for other in others:
            self._first_of[other] = first
            put_away = self._put_away.pop(other, frozenset())
            if put_away:
                self._put_away[first] = self._put_away.get(first, frozenset()) | put_away

    def _together(self, first: str) -> list[str]:
        return [first, *(name for name, leader in self._first_of.items() if leader == first)]

    def forget(self, database: str) -> None:
        """Drop what is known of a database that is gone."""
        self._put_away.pop(database, None)
        self._first_of.pop(database, None)
        if self.in_use == database:
            self.in_use = None

    def claim(self, administer: Administer, texts: Iterable[str]) -> None:
        """Find out which new roles are the doing of what has just run.

        `texts` are the statements that succeeded. A role that they name or that is used in
        databases of this run is ours, unless it is used elsewhere as well.
        """
        if self.ours is None:
            return
        new = self._find_new(administer)
        if not new:
            return
        text = "\n".join(texts)
        here, elsewhere = self._find_users(administer, new)
        for oid, name in new.items():
            is_named = re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text, re.IGNORECASE)
            if oid not in elsewhere and (oid in here or is_named):
                self.ours.add(oid)
            else:
                self.others.add(oid)
                self.unclear.add(name)
        self._note(administer)

    def adopt(self, administer: Administer, name: str) -> None:
        """Give a role that was just made to all databases of this run."""
        ((oid,),) = administer(
            "SELECT oid::bigint FROM pg_catalog.pg_roles WHERE rolname = %s", name
        )
        if self.ours is not None:
            self.ours.add(oid)
            self.adopted.add(oid)
            self._note(administer)
        if self._first is not None:
            rows = _of(self._read(administer, [oid]))
            self._first |= rows
            for database in self._put_away:
                self._put_away[database] |= rows

    def _note(self, administer: Administer) -> None:
        """Write down whose the roles are, for the next run should this one be killed.

        For the administrator alone: the database's own settings are its owner's to change,
        who could have the next run drop the roles of others.
        """
        if self.ours and self.in_use is not None and self.is_superuser:
            oids = ",".join(map(str, sorted(self.ours)))
            administer(f'ALTER ROLE CURRENT_USER IN DATABASE "{self.in_use}" SET {NOTE} = %s', oids)

    def list_made(self, administer: Administer) -> list[str]:
        """Return the names of the roles that this run made and that are there."""
        if self.ours is None:
            return []
        rows = administer(
            "SELECT rolname FROM pg_catalog.pg_roles WHERE oid = ANY (%s::oid[]) ORDER BY 1",
            sorted(self.ours),
        )
        return [name for (name,) in rows]

    def _look(self, administer: Administer) -> None:
        """Leave to others what has come up while nothing of ours ran."""
        if self.ours is not None:
            self.others |= self._find_new(administer).keys()

    def _find_new(self, administer: Administer) -> Mapping[int, str]:
        assert self.ours is not None
        return dict(
            administer(
                "SELECT oid::bigint, rolname FROM pg_catalog.pg_roles WHERE oid <> ALL (%s::oid[])",
                [*self.others, *self.ours],
            )
        )

    def _find_users(
        self, administer: Administer, oids: Collection[int]
    ) -> tuple[set[int], set[int]]:
        """Return the roles that own or may do something in databases of this run, in others."""
        rows = administer(
            "SELECT DISTINCT d.refobjid::bigint, pg_catalog.starts_with(b.datname, %s)"
            " FROM pg_catalog.pg_shdepend d JOIN pg_catalog.pg_database b ON b.oid = CASE"
            " WHEN d.dbid <> 0 THEN d.dbid"
            " WHEN d.classid = 'pg_catalog.pg_database'::regclass THEN d.objid END"
            " WHERE d.refclassid = 'pg_catalog.pg_authid'::regclass"
            " AND d.refobjid = ANY (%s::oid[])",
            self.prefix,
            list(oids),
        )
        return {oid for oid, ours in rows if ours}, {oid for oid, ours in rows if not ours}

    def _refuse_made(self) -> None:
        if self.ours and not self.ours <= self.adopted:
            raise DatabaseError(
                "the migrations make roles; to take them back between two passes needs a "
                "superuser, which the role of `--database-url` is not",
                fix="Name a superuser in `--database-url`, or leave it out: a PostgreSQL of "
                "gatekeeper's own needs nothing.",
            )

    def _read(
        self, administer: Administer, roles: Collection[int] | None
    ) -> Mapping[str | None, frozenset[Row]]:
        """Return the rows of roles, None for all, by the database that they belong to."""
        if roles is not None and not roles:
            return {}
        oids = None if roles is None else sorted(roles)
        found: dict[str | None, set[Row]] = {}
        for catalog, line, database in administer(_READ, oids, self.prefix, self.owner.name):
            found.setdefault(database, set()).add((catalog, line))
        return {database: frozenset(rows) for database, rows in found.items()}

    def _swap(self, administer: Administer, out: frozenset[Row], into: frozenset[Row]) -> None:
        """Take rows out of the catalogs and put others in, in one transaction."""
        steps: list[str] = []
        values: list[list[str]] = []
        for text, rows in ((_TAKE_OUT, out - into), (_PUT_IN, into - out)):
            for catalog in sorted({catalog for catalog, _ in rows}):
                steps.append(text.format(catalog=catalog))
                values.append([line for c, line in rows if c == catalog])
        if steps:
            administer("".join(steps), *values)


def _of(found: Mapping[str | None, frozenset[Row]], *databases: str) -> frozenset[Row]:
    """Return the rows that databases see: those of none in particular and their own."""
    return frozenset().union(*(found.get(name, frozenset()) for name in (None, *databases)))
