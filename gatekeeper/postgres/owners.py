"""A role like production's: it owns its database and what is in it, and may nothing more."""

from __future__ import annotations

import dataclasses

from gatekeeper.errors import DatabaseError
from gatekeeper.postgres.databases import Database
from gatekeeper.postgres.roles import Login
from gatekeeper.postgres.servers import Server, quote

# Statements that give a role what the present user owns. What PostgreSQL or an extension
# made stays; so does what migrations seldom touch: collations, operators, text search. A
# sequence follows the column that owns it, an array type its element. (REASSIGN OWNED is
# refused for what the first user of a server owns.)
_HAND_OVER = """
WITH made AS (
    SELECT 'pg_namespace'::regclass AS catalog, oid, nspowner AS owner,
        pg_catalog.format('SCHEMA %%I', nspname) AS object
    FROM pg_catalog.pg_namespace
    UNION ALL SELECT 'pg_class'::regclass, c.oid, c.relowner,
        pg_catalog.format('TABLE %%s', c.oid::regclass)
    FROM pg_catalog.pg_class c
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
        OR c.relkind = 'S' AND NOT EXISTS (
            SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_class'::regclass
            AND d.objid = c.oid AND d.refobjsubid > 0)
    UNION ALL SELECT 'pg_type'::regclass, t.oid, t.typowner,
        pg_catalog.format('TYPE %%s', t.oid::regtype)
    FROM pg_catalog.pg_type t LEFT JOIN pg_catalog.pg_class c ON c.oid = t.typrelid
    WHERE t.typtype IN ('e', 'd', 'r') OR c.relkind = 'c'
    UNION ALL SELECT 'pg_proc'::regclass, oid, proowner,
        pg_catalog.format('ROUTINE %%s', oid::regprocedure)
    FROM pg_catalog.pg_proc
)
SELECT pg_catalog.format('ALTER %%s OWNER TO %%I', object, %s)
FROM made m JOIN pg_catalog.pg_roles r ON r.oid = m.owner
WHERE r.rolname = current_user AND m.oid >= 16384 AND NOT EXISTS (
    SELECT FROM pg_catalog.pg_depend d
    WHERE d.classid = m.catalog AND d.objid = m.oid AND d.deptype = 'e'
)
"""


def make_owner(server: Server) -> Login:
    """Return the role of this run that owns its databases; it is made at the first call."""
    login = server.roles.owner
    if server.administer("SELECT FROM pg_catalog.pg_roles WHERE rolname = %s", login.name):
        return login
    try:
        server.make_role(
            login.name,
            "LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS"
            f" PASSWORD '{login.password}'",
        )
    except DatabaseError as error:
        raise DatabaseError(
            f"`project.role: restricted` needs a role of its own, and it cannot be made: "
            f"{error.what}",
            where=f"{server.host}:{server.port}",
            fix=f'Let the user of `--database-url` make roles: `ALTER ROLE "{server.user}" '
            "CREATEROLE;`, or take `role: restricted` out of the policy file.",
        ) from error
    return login


def hand_over(database: Database, owner: Login) -> Database:
    """Give a database with what the administrator made in it to a role; return it so."""
    name = quote(database.server, database.name)
    role = quote(database.server, owner.name)
    database.server.administer(f"ALTER DATABASE {name} OWNER TO {role}")
    with database.session() as connection, connection.cursor() as cursor:
        cursor.execute(_HAND_OVER, (owner.name,))
        for (statement,) in cursor.fetchall():
            cursor.execute(statement)
    return dataclasses.replace(database, owner=owner)
