"""What is asked of a database's catalog, one family of objects after the other.

All families are asked in one statement: a round trip and a plan each would cost more than
the rows. A family that has no object is left out of it, for the same reason.

Definitions come from PostgreSQL's own `pg_get_…def` functions wherever there is one
(manual, section 9.27.7); they are qualified because the search path is `pg_catalog`.
Objects of system schemas and members of extensions are left out.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

# jit: a statement this long looks worth compiling, which would take a second.
# enable_nestloop: PostgreSQL expects a handful of rows, where a loop in a loop is cheap.
# enable_mergejoin, join_collapse_limit: planning costs as much as what a better plan saves.
SESSION = """
SELECT pg_catalog.set_config(name, value, true) FROM (VALUES
    ('search_path', 'pg_catalog'), ('datestyle', 'ISO, MDY'), ('intervalstyle', 'postgres'),
    ('quote_all_identifiers', 'off'), ('jit', 'off'), ('enable_nestloop', 'off'),
    ('enable_mergejoin', 'off'), ('join_collapse_limit', '1')
) setting (name, value);
"""

# The catalogs of all objects that users have made in a schema.
_IN_SCHEMAS = """
FROM (
    SELECT pg_catalog.array_agg(DISTINCT classid) AS catalogs FROM pg_catalog.pg_depend
    WHERE refclassid = 'pg_catalog.pg_namespace'::pg_catalog.regclass AND objid >= 16384
) in_schemas
"""


@dataclass(frozen=True)
class Family:
    """One kind of objects: SQL expressions for what is told of each, and their source.

    `catalog`, `oid` and `column` are what a comment is attached to. An attribute that is
    NULL is not told. `present` is a condition under which there may be such objects.
    """

    object_type: str
    name: str
    catalog: str
    source: str
    attributes: Mapping[str, str]
    oid: str = "o.oid"
    column: str = "0"
    table: str = "NULL"
    present: str | None = None

    def select(self, number: int) -> str:
        """Return the query for the family; it has the same columns for all families."""
        values = ", ".join(f"({expression})::text" for expression in self.attributes.values())
        return (
            f"SELECT {number}, {self.object_type}, ({self.name})::text, {self.table},"
            f" {self.catalog}::regclass::oid, {self.oid}, {self.column}::int,"
            f" json_build_array({values})::text {self.source}"
        )


def presence_query(families: Sequence[Family]) -> str:
    """Return the statement that tells for each family whether it may have objects."""
    return f"SELECT {', '.join(family.present or 'true' for family in families)} {_IN_SCHEMAS}"


def catalog_query(families: Sequence[Family]) -> str:
    """Return the statement that describes all objects of the families.

    Its rows are: position of the family, object type, name, table, catalog, oid, column and
    the family's attributes in their order, as one JSON array: a row of few columns is sent
    and read in a fraction of the time.
    """
    selects = [family.select(number) for number, family in enumerate(families)]
    return _SHARED + "\nUNION ALL\n".join(selects)


def list_families(major: int) -> tuple[Family, ...]:
    """Return all families that a server of this major has."""
    return (
        _SCHEMAS,
        _TABLES,
        _COLUMNS,
        _CONSTRAINTS,
        _DOMAIN_CONSTRAINTS,
        _INDEXES,
        _SEQUENCES,
        _TYPES,
        _FUNCTIONS,
        _AGGREGATES,
        _TRIGGERS,
        _EVENT_TRIGGERS,
        _RULES,
        _POLICIES,
        _EXTENSIONS,
        _PUBLICATIONS if major >= 15 else _PUBLICATIONS_14,
        _SUBSCRIPTIONS,
        _WRAPPERS,
        _FOREIGN_SERVERS,
        _USER_MAPPINGS,
        _STATISTICS,
        _OPERATORS,
        _OPERATOR_CLASSES,
        _OPERATOR_FAMILIES,
        _CASTS,
        _COLLATIONS,
        _TEXT_SEARCH_CONFIGURATIONS,
        _TEXT_SEARCH_DICTIONARIES,
        _TEXT_SEARCH_PARSERS,
        _TEXT_SEARCH_TEMPLATES,
        _DEFAULT_PRIVILEGES,
        _LANGUAGES,
        _ACCESS_METHODS,
        _CONVERSIONS,
        _TRANSFORMS,
        COMMENTS,
    )


def list_shared_families(roles: Collection[int] | None) -> tuple[Family, ...]:
    """Return the families of what a server keeps for all its databases.

    Of the roles only those given are told, with None all but PostgreSQL's own.
    """
    if roles is None:
        which = "o.rolname !~ '^pg_'"
    else:
        which = f"o.oid IN ({', '.join(map(str, sorted(roles)))})" if roles else "false"
    shown = Family("'role'", "o.rolname", "'pg_authid'", f"FROM pg_roles o WHERE {which}", _OF_ROLE)
    return shown, _DATABASE, _SETTINGS


def _no_member(catalog: str) -> str:
    return (
        f"NOT EXISTS (SELECT FROM member WHERE classid = '{catalog}'::regclass AND objid = o.oid)"
    )


def _made_by_users(catalog: str) -> str:
    # Object identifiers below 16384 are PostgreSQL's own.
    return f"EXISTS (SELECT FROM pg_catalog.{catalog} WHERE oid >= 16384)"


def _is_in_a_schema(catalog: str) -> str:
    # An object depends on its schema unless PostgreSQL itself needs the schema.
    return f"'pg_catalog.{catalog}'::pg_catalog.regclass = ANY (catalogs)"


def _has_pages(catalog: str) -> str:
    # Cheaper to plan than a look into it; a catalog that has never had a row has no page.
    return f"pg_catalog.pg_relation_size('pg_catalog.{catalog}') > 0"


def _privileges(acl: str, kind: str, owner: str) -> str:
    """Return the privileges in a fixed order, NULL where they are the owner's defaults.

    A GRANT that is revoked leaves the defaults spelled out where there was NULL before.
    """
    default = f"acldefault({kind}, {owner})"
    return (
        f"CASE WHEN {acl} IS NOT NULL AND NOT ({acl} @> {default} AND {acl} <@ {default}) THEN"
        " coalesce((SELECT string_agg(item::text, ', ' ORDER BY item::text)"
        f" FROM unnest({acl}) item), 'none') END"
    )


def _enabled(column: str) -> str:
    return (
        f"CASE {column} WHEN 'D' THEN 'no' WHEN 'R' THEN 'on replicas' WHEN 'A' THEN 'always' END"
    )


def _flag(condition: str) -> str:
    return f"CASE WHEN {condition} THEN 'yes' END"


def _regproc(column: str) -> str:
    return f"nullif({column}::oid, 0)::regproc::text"


_ACL_KIND = "CASE c.relkind WHEN 'S' THEN 's'::\"char\" ELSE 'r'::\"char\" END"

_SHARED = f"""
WITH space AS MATERIALIZED (
    SELECT oid, nspname, nspowner, nspacl FROM pg_namespace
    WHERE nspname <> 'information_schema' AND nspname !~ '^pg_'
), member AS MATERIALIZED (
    SELECT classid, objid FROM pg_depend
    WHERE refclassid = 'pg_extension'::regclass AND deptype = 'e'
), relation AS MATERIALIZED (
    SELECT c.oid, c.relkind, c.relowner, c.relpersistence, c.relam, c.reloptions,
        c.reltoastrelid, c.relreplident, c.relrowsecurity, c.relforcerowsecurity, c.reloftype,
        c.relispartition, c.relpartbound, n.nspname || '.' || c.relname AS name,
        {_privileges("c.relacl", _ACL_KIND, "c.relowner")} AS privileges,
        CASE WHEN c.reltablespace <> 0 THEN
            (SELECT spcname FROM pg_tablespace WHERE oid = c.reltablespace) END AS tablespace
    FROM pg_class c JOIN space n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'f', 'v', 'm', 'S', 'i', 'I') AND c.oid >= 16384
    AND NOT EXISTS (
        SELECT FROM member WHERE classid = 'pg_class'::regclass AND objid = c.oid
    )
)
"""

_SCHEMAS = Family(
    "'schema'",
    "o.nspname",
    "'pg_namespace'",
    f"FROM space o WHERE {_no_member('pg_namespace')}",
    {
        "owner": "pg_get_userbyid(o.nspowner)",
        "privileges": _privileges("o.nspacl", "'n'", "o.nspowner"),
    },
)

_TABLES = Family(
    """CASE o.relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view'
    WHEN 'f' THEN 'foreign table' ELSE 'table' END""",
    "o.name",
    "'pg_class'",
    """FROM relation o
    LEFT JOIN (
        SELECT inhrelid, string_agg(inhparent::regclass::text, ', ' ORDER BY inhseqno) AS parents,
            bool_or(inhdetachpending) AS is_detached
        FROM pg_inherits GROUP BY inhrelid
    ) i ON i.inhrelid = o.oid
    LEFT JOIN pg_foreign_table f ON f.ftrelid = o.oid
    LEFT JOIN pg_foreign_server s ON s.oid = f.ftserver
    WHERE o.relkind IN ('r', 'p', 'f', 'v', 'm')""",
    {
        "owner": "pg_get_userbyid(o.relowner)",
        "privileges": "o.privileges",
        "definition": "CASE WHEN o.relkind IN ('v', 'm') THEN pg_get_viewdef(o.oid) END",
        "persistence": "CASE o.relpersistence WHEN 'u' THEN 'unlogged' END",
        "access method": """CASE WHEN o.relam <> 0 THEN
            (SELECT amname FROM pg_am WHERE oid = o.relam) END""",
        "tablespace": "o.tablespace",
        "options": "array_to_string(o.reloptions, ', ')",
        "TOAST options": """CASE WHEN o.reltoastrelid <> 0 THEN (
            SELECT array_to_string(reloptions, ', ') FROM pg_class
            WHERE oid = o.reltoastrelid) END""",
        "replica identity": """CASE WHEN o.relkind IN ('r', 'p') THEN CASE o.relreplident
            WHEN 'f' THEN 'full' WHEN 'n' THEN 'nothing' WHEN 'i' THEN 'index' END END""",
        "row level security": "CASE WHEN o.relrowsecurity THEN 'enabled' END",
        "forced row level security": "CASE WHEN o.relforcerowsecurity THEN 'enabled' END",
        "type": "CASE WHEN o.reloftype <> 0 THEN format_type(o.reloftype, NULL) END",
        "inherits": "i.parents",
        "partition key": "CASE WHEN o.relkind = 'p' THEN pg_get_partkeydef(o.oid) END",
        "partition bound": "CASE WHEN o.relispartition THEN pg_get_expr(o.relpartbound, o.oid) END",
        "detach pending": _flag("i.is_detached"),
        "server": "s.srvname",
        "foreign table options": "array_to_string(f.ftoptions, ', ')",
    },
)

# A not-null constraint has a name of its own since PostgreSQL 18. A default names no column
# of its table: without the table PostgreSQL does not have to open it.
_COLUMNS = Family(
    "'column'",
    "o.name || '.' || a.attname",
    "'pg_class'",
    """FROM relation o
    JOIN pg_attribute a ON a.attrelid = o.oid AND a.attrelid >= 16384 AND a.attnum > 0
        AND NOT a.attisdropped
    JOIN pg_type t ON t.oid = a.atttypid
    LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    LEFT JOIN (
        SELECT conrelid, conkey[1] AS attnum, conname
            || CASE WHEN connoinherit THEN ' NO INHERIT' ELSE '' END
            || CASE WHEN convalidated THEN '' ELSE ' NOT VALID' END AS definition
        FROM pg_constraint WHERE contype = 'n' AND conrelid >= 16384
    ) n ON n.conrelid = a.attrelid AND n.attnum = a.attnum
    WHERE o.relkind IN ('r', 'p', 'f', 'v', 'm')""",
    {
        "type": "format_type(a.atttypid, a.atttypmod)",
        "nullable": "NOT a.attnotnull",
        "not-null constraint": "n.definition",
        "default": "CASE WHEN a.attgenerated = '' THEN pg_get_expr(d.adbin, 0) END",
        "generated": """CASE WHEN a.attgenerated <> '' THEN pg_get_expr(d.adbin, d.adrelid)
            || CASE a.attgenerated WHEN 's' THEN ' stored' ELSE ' virtual' END END""",
        "identity": "CASE a.attidentity WHEN 'a' THEN 'always' WHEN 'd' THEN 'by default' END",
        "collation": """CASE WHEN a.attcollation <> t.typcollation THEN
            a.attcollation::regcollation::text END""",
        "storage": """CASE WHEN a.attstorage <> t.typstorage THEN CASE a.attstorage
            WHEN 'p' THEN 'plain' WHEN 'e' THEN 'external'
            WHEN 'x' THEN 'extended' ELSE 'main' END END""",
        "compression": "CASE a.attcompression WHEN 'p' THEN 'pglz' WHEN 'l' THEN 'lz4' END",
        "statistics target": "nullif(a.attstattarget, -1)",
        # Newer minor releases number each change of a column there, for themselves.
        "options": """CASE WHEN a.attoptions IS NOT NULL THEN nullif(array_to_string(ARRAY(
            SELECT item FROM unnest(a.attoptions) item
            WHERE NOT starts_with(item, 'pg_attver=')), ', '), '') END""",
        "foreign data options": "array_to_string(a.attfdwoptions, ', ')",
        "inherited": """CASE WHEN a.attinhcount > 0 THEN
            CASE WHEN a.attislocal THEN 'and local' ELSE 'yes' END END""",
        "privileges": """CASE WHEN a.attacl IS NOT NULL THEN (
            SELECT string_agg(item::text, ', ' ORDER BY item::text)
            FROM unnest(a.attacl) item) END""",
    },
    column="a.attnum",
    table="o.name",
)

# A foreign key to a partitioned table has a row for each partition as well.
_CONSTRAINTS = Family(
    "'constraint'",
    "c.name || '.' || o.conname",
    "'pg_constraint'",
    """FROM relation c
    JOIN pg_constraint o ON o.conrelid = c.oid AND o.contype IN ('c', 'f', 'p', 'u', 'x')
    LEFT JOIN pg_constraint p ON p.oid = o.conparentid AND o.conparentid <> 0
    LEFT JOIN pg_index i ON i.indexrelid = o.conindid AND o.contype IN ('p', 'u', 'x')
    LEFT JOIN relation x ON x.oid = i.indexrelid
    WHERE p.oid IS NULL OR p.conrelid <> o.conrelid""",
    {
        "definition": "pg_get_constraintdef(o.oid)",
        "inherited": """CASE WHEN o.coninhcount > 0 THEN
            CASE WHEN o.conislocal THEN 'and local' ELSE 'yes' END END""",
        "index options": "array_to_string(x.reloptions, ', ')",
        "index tablespace": "x.tablespace",
        "index valid": "CASE WHEN NOT i.indisvalid THEN 'no' END",
        "clustered on": _flag("i.indisclustered"),
        "replica identity": _flag("i.indisreplident"),
    },
    table="c.name",
)

_DOMAIN_CONSTRAINTS = Family(
    "'constraint'",
    "n.nspname || '.' || o.typname || '.' || k.conname",
    "'pg_constraint'",
    f"""FROM pg_constraint k JOIN pg_type o ON o.oid = k.contypid
    JOIN space n ON n.oid = o.typnamespace WHERE k.contypid <> 0 AND {_no_member("pg_type")}""",
    {
        "domain": "n.nspname || '.' || o.typname",
        "definition": "pg_get_constraintdef(k.oid)",
    },
    oid="k.oid",
    present="EXISTS (SELECT FROM pg_catalog.pg_constraint WHERE contypid >= 16384)",
)

_INDEXES = Family(
    "'index'",
    "o.name",
    "'pg_class'",
    """FROM relation o
    JOIN pg_index i ON i.indexrelid = o.oid
    JOIN relation c ON c.oid = i.indrelid
    LEFT JOIN pg_constraint k ON k.conindid = o.oid AND k.contype IN ('p', 'u', 'x')
    WHERE o.relkind IN ('i', 'I') AND k.oid IS NULL""",
    {
        "definition": "pg_get_indexdef(o.oid)",
        "valid": "CASE WHEN NOT i.indisvalid THEN 'no' END",
        "tablespace": "o.tablespace",
        "clustered on": _flag("i.indisclustered"),
        "replica identity": _flag("i.indisreplident"),
        "attached to": """CASE WHEN o.relispartition THEN
            (SELECT inhparent::regclass FROM pg_inherits WHERE inhrelid = o.oid) END""",
        "statistics targets": """CASE WHEN i.indexprs IS NOT NULL THEN (
            SELECT string_agg(attnum || '=' || attstattarget, ', ' ORDER BY attnum)
            FROM pg_attribute WHERE attrelid = o.oid AND attstattarget >= 0) END""",
    },
    table="c.name",
)

_SEQUENCES = Family(
    "'sequence'",
    "o.name",
    "'pg_class'",
    """FROM relation o
    JOIN pg_sequence s ON s.seqrelid = o.oid
    LEFT JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = o.oid
        AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i') AND d.refobjsubid > 0
    LEFT JOIN relation t ON t.oid = d.refobjid
    LEFT JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
        AND a.attrelid >= 16384 AND a.attnum > 0""",
    {
        "owned by": "t.name || '.' || a.attname",
        "identity": _flag("d.deptype = 'i'"),
        "owner": "pg_get_userbyid(o.relowner)",
        "privileges": "o.privileges",
        "persistence": "CASE o.relpersistence WHEN 'u' THEN 'unlogged' END",
        "type": "format_type(s.seqtypid, NULL)",
        "start": "s.seqstart",
        "increment": "s.seqincrement",
        "minimum": "s.seqmin",
        "maximum": "s.seqmax",
        "cache": "s.seqcache",
        "cycle": _flag("s.seqcycle"),
    },
    present=_has_pages("pg_sequence"),
    table="t.name",
)

_TYPES = Family(
    """CASE o.typtype WHEN 'e' THEN 'enum' WHEN 'd' THEN 'domain' WHEN 'c' THEN 'composite type'
    WHEN 'r' THEN 'range type' ELSE 'type' END""",
    "n.nspname || '.' || o.typname",
    "'pg_type'",
    f"""FROM pg_type o
    JOIN space n ON n.oid = o.typnamespace
    LEFT JOIN pg_class c ON c.oid = o.typrelid AND c.relkind = 'c'
    WHERE o.typtype IN ('b', 'c', 'd', 'e', 'r', 'p') AND (o.typtype <> 'c' OR c.oid IS NOT NULL)
    AND o.typsubscript <> 'array_subscript_handler'::regproc AND {_no_member("pg_type")}""",
    {
        "owner": "pg_get_userbyid(o.typowner)",
        "privileges": _privileges("o.typacl", "'T'", "o.typowner"),
        "labels": """CASE WHEN o.typtype = 'e' THEN (
            SELECT coalesce(json_agg(enumlabel ORDER BY enumsortorder), '[]'::json)
            FROM pg_enum WHERE enumtypid = o.oid) END""",
        "base type": "CASE WHEN o.typtype = 'd' THEN format_type(o.typbasetype, o.typtypmod) END",
        "default": "o.typdefault",
        "nullable": "CASE WHEN o.typtype = 'd' THEN (NOT o.typnotnull)::text END",
        "collation": """CASE WHEN o.typtype = 'd' AND o.typcollation <> 0 THEN
            o.typcollation::regcollation::text END""",
        "definition": f"""CASE o.typtype
        WHEN 'c' THEN (
            SELECT coalesce(string_agg(quote_ident(attname) || ' '
                || format_type(atttypid, atttypmod)
                || CASE WHEN attcollation <> e.typcollation
                    THEN ' COLLATE ' || attcollation::regcollation::text ELSE '' END,
                ', ' ORDER BY attnum), '')
            FROM pg_attribute JOIN pg_type e ON e.oid = atttypid
            WHERE attrelid = o.typrelid AND attnum > 0 AND NOT attisdropped)
        WHEN 'r' THEN (
            SELECT concat_ws(', ', format_type(rngsubtype, NULL),
                nullif(rngcollation, 0)::regcollation::text, opcname,
                {_regproc("rngcanonical")}, {_regproc("rngsubdiff")},
                format_type(rngmultitypid, NULL))
            FROM pg_range JOIN pg_opclass c ON c.oid = rngsubopc WHERE rngtypid = o.oid)
        WHEN 'b' THEN concat_ws(', ', o.typinput::text, o.typoutput::text, o.typlen::text)
        END""",
    },
    present=_is_in_a_schema("pg_type"),
)

_FUNCTION_NAME = """n.nspname || '.' || o.proname
    || '(' || pg_get_function_identity_arguments(o.oid) || ')'"""

_FUNCTIONS = Family(
    "CASE o.prokind WHEN 'p' THEN 'procedure' ELSE 'function' END",
    _FUNCTION_NAME,
    "'pg_proc'",
    f"""FROM pg_proc o JOIN space n ON n.oid = o.pronamespace
    LEFT JOIN pg_depend d
        ON d.classid = 'pg_proc'::regclass AND d.objid = o.oid AND d.deptype = 'i'
    WHERE o.oid >= 16384 AND o.prokind <> 'a' AND d.objid IS NULL
    AND {_no_member("pg_proc")}""",
    {
        "owner": "pg_get_userbyid(o.proowner)",
        "privileges": _privileges("o.proacl", "'f'", "o.proowner"),
        "definition": "pg_get_functiondef(o.oid)",
    },
    present=_is_in_a_schema("pg_proc"),
)

_AGGREGATES = Family(
    "'aggregate'",
    _FUNCTION_NAME,
    "'pg_proc'",
    f"""FROM pg_aggregate a JOIN pg_proc o ON o.oid = a.aggfnoid
    JOIN space n ON n.oid = o.pronamespace WHERE o.oid >= 16384 AND {_no_member("pg_proc")}""",
    {
        "owner": "pg_get_userbyid(o.proowner)",
        "privileges": _privileges("o.proacl", "'f'", "o.proowner"),
        "definition": f"""concat_ws(', ', a.aggkind, pg_get_function_arguments(o.oid),
        o.proparallel, 'SFUNC ' || a.aggtransfn::text,
        'STYPE ' || format_type(a.aggtranstype, NULL), 'SSPACE ' || a.aggtransspace,
        'INITCOND ' || a.agginitval, 'FINALFUNC ' || {_regproc("a.aggfinalfn")},
        a.aggfinalextra, a.aggfinalmodify, 'COMBINEFUNC ' || {_regproc("a.aggcombinefn")},
        'SERIALFUNC ' || {_regproc("a.aggserialfn")},
        'DESERIALFUNC ' || {_regproc("a.aggdeserialfn")},
        'MSFUNC ' || {_regproc("a.aggmtransfn")},
        'MINVFUNC ' || {_regproc("a.aggminvtransfn")},
        'MFINALFUNC ' || {_regproc("a.aggmfinalfn")},
        'MSTYPE ' || format_type(nullif(a.aggmtranstype, 0), NULL),
        'MINITCOND ' || a.aggminitval,
        'SORTOP ' || nullif(a.aggsortop, 0)::regoperator::text)""",
    },
    present="EXISTS (SELECT FROM pg_catalog.pg_aggregate WHERE aggfnoid::oid >= 16384)",
)

# A partition's copy of a trigger is told only where it differs from the original.
_TRIGGERS = Family(
    "'trigger'",
    "c.name || '.' || o.tgname",
    "'pg_trigger'",
    """FROM relation c
    JOIN pg_trigger o ON o.tgrelid = c.oid AND (NOT o.tgisinternal OR o.tgparentid <> 0)
    LEFT JOIN pg_trigger p ON p.oid = o.tgparentid
    WHERE p.oid IS NULL OR (p.tgenabled <> o.tgenabled AND NOT p.tgisinternal)""",
    {
        "definition": "pg_get_triggerdef(o.oid)",
        "enabled": _enabled("o.tgenabled"),
    },
    present="EXISTS (SELECT FROM pg_catalog.pg_trigger WHERE NOT tgisinternal)",
    table="c.name",
)

_EVENT_TRIGGERS = Family(
    "'event trigger'",
    "o.evtname",
    "'pg_event_trigger'",
    f"FROM pg_event_trigger o WHERE {_no_member('pg_event_trigger')}",
    {
        "owner": "pg_get_userbyid(o.evtowner)",
        "event": "o.evtevent",
        "function": "o.evtfoid::regproc",
        "tags": "array_to_string(o.evttags, ', ')",
        "enabled": _enabled("o.evtenabled"),
    },
    present=_has_pages("pg_event_trigger"),
)

_RULES = Family(
    "'rule'",
    "c.name || '.' || o.rulename",
    "'pg_rewrite'",
    "FROM relation c JOIN pg_rewrite o ON o.ev_class = c.oid WHERE o.rulename <> '_RETURN'",
    {
        "definition": "pg_get_ruledef(o.oid)",
        "enabled": _enabled("o.ev_enabled"),
    },
    present="""EXISTS (SELECT FROM pg_catalog.pg_rewrite
        WHERE oid >= 16384 AND rulename <> '_RETURN')""",
    table="c.name",
)

_POLICIES = Family(
    "'policy'",
    "c.name || '.' || o.polname",
    "'pg_policy'",
    "FROM relation c JOIN pg_policy o ON o.polrelid = c.oid",
    {
        "command": """CASE o.polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT'
            WHEN 'w' THEN 'UPDATE' WHEN 'd' THEN 'DELETE' ELSE 'ALL' END""",
        "kind": "CASE WHEN o.polpermissive THEN 'permissive' ELSE 'restrictive' END",
        "roles": """(SELECT string_agg(name, ', ' ORDER BY name) FROM (
            SELECT CASE role WHEN 0 THEN 'public' ELSE pg_get_userbyid(role)::text END AS name
            FROM unnest(o.polroles) role) names)""",
        "using": "pg_get_expr(o.polqual, o.polrelid)",
        "with check": "pg_get_expr(o.polwithcheck, o.polrelid)",
    },
    present=_has_pages("pg_policy"),
    table="c.name",
)

_EXTENSIONS = Family(
    "'extension'",
    "o.extname",
    "'pg_extension'",
    "FROM pg_extension o",
    {"version": "o.extversion", "schema": "o.extnamespace::regnamespace"},
)


def _publications(table: str, schemas: str) -> Family:
    return Family(
        "'publication'",
        "o.pubname",
        "'pg_publication'",
        "FROM pg_publication o",
        {
            "owner": "pg_get_userbyid(o.pubowner)",
            "all tables": _flag("o.puballtables"),
            "operations": """concat_ws(', ', CASE WHEN o.pubinsert THEN 'insert' END,
                CASE WHEN o.pubupdate THEN 'update' END, CASE WHEN o.pubdelete THEN 'delete' END,
                CASE WHEN o.pubtruncate THEN 'truncate' END)""",
            "via partition root": _flag("o.pubviaroot"),
            "generated columns": "to_jsonb(o) ->> 'pubgencols'",
            "tables": f"""(SELECT string_agg(name, ', ' ORDER BY name) FROM (
                SELECT {table} AS name FROM pg_publication_rel r
                WHERE r.prpubid = o.oid) names)""",
            "schemas": schemas,
        },
        present=_has_pages("pg_publication"),
    )


_PUBLICATIONS_14 = _publications("r.prrelid::regclass::text", "NULL")
_PUBLICATIONS = _publications(
    """r.prrelid::regclass::text || coalesce(' (' || (
            SELECT string_agg(attname, ', ' ORDER BY attnum) FROM pg_attribute
            WHERE attrelid = r.prrelid AND attnum = ANY (r.prattrs)) || ')', '')
        || coalesce(' WHERE ' || pg_get_expr(r.prqual, r.prrelid), '')""",
    """(SELECT string_agg(name, ', ' ORDER BY name) FROM (
        SELECT pnnspid::regnamespace::text AS name FROM pg_publication_namespace
        WHERE pnpubid = o.oid) names)""",
)

# Only a superuser may read a subscription's connection string, so it is not read at all.
_SUBSCRIPTIONS = Family(
    "'subscription'",
    "o.subname",
    "'pg_subscription'",
    """FROM pg_subscription o
    WHERE o.subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())""",
    {
        "owner": "pg_get_userbyid(o.subowner)",
        "enabled": "o.subenabled",
        "slot": "o.subslotname",
        "publications": "array_to_string(o.subpublications, ', ')",
    },
    present=_has_pages("pg_subscription"),
)

_WRAPPERS = Family(
    "'foreign-data wrapper'",
    "o.fdwname",
    "'pg_foreign_data_wrapper'",
    f"FROM pg_foreign_data_wrapper o WHERE {_no_member('pg_foreign_data_wrapper')}",
    {
        "owner": "pg_get_userbyid(o.fdwowner)",
        "privileges": _privileges("o.fdwacl", "'F'", "o.fdwowner"),
        "handler": _regproc("o.fdwhandler"),
        "validator": _regproc("o.fdwvalidator"),
        "options": "array_to_string(o.fdwoptions, ', ')",
    },
    present=_has_pages("pg_foreign_data_wrapper"),
)

_FOREIGN_SERVERS = Family(
    "'server'",
    "o.srvname",
    "'pg_foreign_server'",
    f"""FROM pg_foreign_server o JOIN pg_foreign_data_wrapper f ON f.oid = o.srvfdw
    WHERE {_no_member("pg_foreign_server")}""",
    {
        "owner": "pg_get_userbyid(o.srvowner)",
        "privileges": _privileges("o.srvacl", "'S'", "o.srvowner"),
        "foreign-data wrapper": "f.fdwname",
        "type": "o.srvtype",
        "version": "o.srvversion",
        "options": "array_to_string(o.srvoptions, ', ')",
    },
    present=_has_pages("pg_foreign_server"),
)

_USER_MAPPINGS = Family(
    "'user mapping'",
    "o.usename || ' on ' || o.srvname",
    "'pg_user_mapping'",
    "FROM pg_user_mappings o",
    {"server": "o.srvname", "options": "array_to_string(o.umoptions, ', ')"},
    oid="o.umid",
    present=_has_pages("pg_foreign_server"),
)

_STATISTICS = Family(
    "'statistics'",
    "n.nspname || '.' || o.stxname",
    "'pg_statistic_ext'",
    """FROM pg_statistic_ext o JOIN space n ON n.oid = o.stxnamespace
    JOIN relation c ON c.oid = o.stxrelid""",
    {
        "owner": "pg_get_userbyid(o.stxowner)",
        "definition": "pg_get_statisticsobjdef(o.oid)",
        "statistics target": "nullif(o.stxstattarget, -1)",
    },
    present=_has_pages("pg_statistic_ext"),
    table="c.name",
)

_OPERATORS = Family(
    "'operator'",
    """n.nspname || '.' || o.oprname || '(' || concat_ws(', ',
        CASE WHEN o.oprleft = 0 THEN 'none' ELSE format_type(o.oprleft, NULL) END,
        CASE WHEN o.oprright = 0 THEN 'none' ELSE format_type(o.oprright, NULL) END) || ')'""",
    "'pg_operator'",
    f"""FROM pg_operator o JOIN space n ON n.oid = o.oprnamespace
    WHERE o.oid >= 16384 AND {_no_member("pg_operator")}""",
    {
        "owner": "pg_get_userbyid(o.oprowner)",
        "definition": f"""concat_ws(', ', {_regproc("o.oprcode")},
        'COMMUTATOR ' || nullif(o.oprcom, 0)::regoperator::text,
        'NEGATOR ' || nullif(o.oprnegate, 0)::regoperator::text,
        'RESTRICT ' || {_regproc("o.oprrest")}, 'JOIN ' || {_regproc("o.oprjoin")},
        CASE WHEN o.oprcanhash THEN 'HASHES' END, CASE WHEN o.oprcanmerge THEN 'MERGES' END)""",
    },
    present=_is_in_a_schema("pg_operator"),
)

_OPERATOR_CLASSES = Family(
    "'operator class'",
    "n.nspname || '.' || o.opcname || ' USING ' || m.amname",
    "'pg_opclass'",
    f"""FROM pg_opclass o JOIN space n ON n.oid = o.opcnamespace
    JOIN pg_am m ON m.oid = o.opcmethod JOIN pg_opfamily f ON f.oid = o.opcfamily
    WHERE {_no_member("pg_opclass")}""",
    {
        "owner": "pg_get_userbyid(o.opcowner)",
        "definition": """concat_ws(', ', format_type(o.opcintype, NULL), f.opfname,
        CASE WHEN o.opcdefault THEN 'DEFAULT' END,
        'STORAGE ' || format_type(nullif(o.opckeytype, 0), NULL))""",
    },
    present=_is_in_a_schema("pg_opclass"),
)

_OPERATOR_FAMILIES = Family(
    "'operator family'",
    "n.nspname || '.' || o.opfname || ' USING ' || m.amname",
    "'pg_opfamily'",
    f"""FROM pg_opfamily o JOIN space n ON n.oid = o.opfnamespace
    JOIN pg_am m ON m.oid = o.opfmethod WHERE {_no_member("pg_opfamily")}""",
    {
        "owner": "pg_get_userbyid(o.opfowner)",
        "operators": """(SELECT string_agg(concat_ws(' ', amopstrategy, amopopr::regoperator), ', '
        ORDER BY amopstrategy, amopopr::regoperator::text) FROM pg_amop
        WHERE amopfamily = o.oid)""",
        "functions": """(SELECT string_agg(concat_ws(' ', amprocnum, amproc::regprocedure), ', '
        ORDER BY amprocnum, amproc::regprocedure::text) FROM pg_amproc
        WHERE amprocfamily = o.oid)""",
    },
    present=_is_in_a_schema("pg_opfamily"),
)

_CASTS = Family(
    "'cast'",
    "format_type(o.castsource, NULL) || ' AS ' || format_type(o.casttarget, NULL)",
    "'pg_cast'",
    f"FROM pg_cast o WHERE o.oid >= 16384 AND {_no_member('pg_cast')}",
    {
        "function": "nullif(o.castfunc, 0)::regprocedure",
        "method": "CASE o.castmethod WHEN 'i' THEN 'INOUT' WHEN 'b' THEN 'WITHOUT FUNCTION' END",
        "context": """CASE o.castcontext WHEN 'e' THEN 'explicit' WHEN 'a' THEN 'assignment'
            ELSE 'implicit' END""",
    },
    present=_made_by_users("pg_cast"),
)

# The column that holds an ICU locale has another name in 15 to 16 and since 17.
_COLLATIONS = Family(
    "'collation'",
    "n.nspname || '.' || o.collname",
    "'pg_collation'",
    f"""FROM pg_collation o JOIN space n ON n.oid = o.collnamespace
    WHERE {_no_member("pg_collation")}""",
    {
        "owner": "pg_get_userbyid(o.collowner)",
        "provider": "o.collprovider",
        "locale": """concat_ws(', ', o.collcollate, o.collctype, to_jsonb(o) ->> 'colliculocale',
        to_jsonb(o) ->> 'colllocale', to_jsonb(o) ->> 'collicurules')""",
        "deterministic": "o.collisdeterministic",
    },
    present=_is_in_a_schema("pg_collation"),
)

_TEXT_SEARCH_CONFIGURATIONS = Family(
    "'text search configuration'",
    "n.nspname || '.' || o.cfgname",
    "'pg_ts_config'",
    f"""FROM pg_ts_config o JOIN space n ON n.oid = o.cfgnamespace
    JOIN pg_ts_parser p ON p.oid = o.cfgparser WHERE {_no_member("pg_ts_config")}""",
    {
        "owner": "pg_get_userbyid(o.cfgowner)",
        "parser": "p.prsname",
        "mappings": """(SELECT string_agg(m.maptokentype || ' ' || m.mapdict::regdictionary, ', '
        ORDER BY m.maptokentype, m.mapseqno) FROM pg_ts_config_map m WHERE m.mapcfg = o.oid)""",
    },
    present=_is_in_a_schema("pg_ts_config"),
)

_TEXT_SEARCH_DICTIONARIES = Family(
    "'text search dictionary'",
    "n.nspname || '.' || o.dictname",
    "'pg_ts_dict'",
    f"""FROM pg_ts_dict o JOIN space n ON n.oid = o.dictnamespace
    JOIN pg_ts_template t ON t.oid = o.dicttemplate WHERE {_no_member("pg_ts_dict")}""",
    {
        "owner": "pg_get_userbyid(o.dictowner)",
        "template": "t.tmplname",
        "options": "o.dictinitoption",
    },
    present=_is_in_a_schema("pg_ts_dict"),
)

_TEXT_SEARCH_PARSERS = Family(
    "'text search parser'",
    "n.nspname || '.' || o.prsname",
    "'pg_ts_parser'",
    f"""FROM pg_ts_parser o JOIN space n ON n.oid = o.prsnamespace
    WHERE {_no_member("pg_ts_parser")}""",
    {
        "functions": """concat_ws(', ', o.prsstart::text, o.prstoken::text, o.prsend::text,
        o.prsheadline::text, o.prslextype::text)""",
    },
    present=_is_in_a_schema("pg_ts_parser"),
)

_TEXT_SEARCH_TEMPLATES = Family(
    "'text search template'",
    "n.nspname || '.' || o.tmplname",
    "'pg_ts_template'",
    f"""FROM pg_ts_template o JOIN space n ON n.oid = o.tmplnamespace
    WHERE {_no_member("pg_ts_template")}""",
    {"functions": "concat_ws(', ', o.tmplinit::text, o.tmpllexize::text)"},
    present=_is_in_a_schema("pg_ts_template"),
)

_DEFAULT_PRIVILEGES = Family(
    "'default privileges'",
    """concat_ws(' ', 'of', pg_get_userbyid(o.defaclrole), 'on',
        CASE o.defaclobjtype WHEN 'r' THEN 'tables' WHEN 'S' THEN 'sequences'
            WHEN 'f' THEN 'functions' WHEN 'T' THEN 'types' WHEN 'n' THEN 'schemas'
            ELSE 'large objects' END,
        'in ' || nullif(o.defaclnamespace, 0)::regnamespace::text)""",
    "'pg_default_acl'",
    "FROM pg_default_acl o",
    {
        "privileges": """(SELECT string_agg(item::text, ', ' ORDER BY item::text)
            FROM unnest(o.defaclacl) item)""",
    },
    present=_has_pages("pg_default_acl"),
)

_LANGUAGES = Family(
    "'language'",
    "o.lanname",
    "'pg_language'",
    f"FROM pg_language o WHERE o.lanispl AND {_no_member('pg_language')}",
    {
        "owner": "pg_get_userbyid(o.lanowner)",
        "trusted": "o.lanpltrusted",
        "privileges": _privileges("o.lanacl", "'l'", "o.lanowner"),
    },
    present=_made_by_users("pg_language"),
)

_ACCESS_METHODS = Family(
    "'access method'",
    "o.amname",
    "'pg_am'",
    f"FROM pg_am o WHERE o.oid >= 16384 AND {_no_member('pg_am')}",
    {"handler": "o.amhandler"},
    present=_made_by_users("pg_am"),
)

_CONVERSIONS = Family(
    "'conversion'",
    "n.nspname || '.' || o.conname",
    "'pg_conversion'",
    f"""FROM pg_conversion o JOIN space n ON n.oid = o.connamespace
    WHERE {_no_member("pg_conversion")}""",
    {"function": "o.conproc", "default": _flag("o.condefault")},
    present=_is_in_a_schema("pg_conversion"),
)

_TRANSFORMS = Family(
    "'transform'",
    "format_type(o.trftype, NULL) || ' FOR ' || l.lanname",
    "'pg_transform'",
    f"""FROM pg_transform o JOIN pg_language l ON l.oid = o.trflang
    WHERE {_no_member("pg_transform")}""",
    {"functions": "concat_ws(', ', o.trffromsql::text, o.trftosql::text)"},
    present=_has_pages("pg_transform"),
)

_OF_ROLE = {
    "can log in": "o.rolcanlogin",
    "superuser": "o.rolsuper",
    "inherits": "o.rolinherit",
    "can create roles": "o.rolcreaterole",
    "can create databases": "o.rolcreatedb",
    "can replicate": "o.rolreplication",
    "bypasses row level security": "o.rolbypassrls",
    "connection limit": "nullif(o.rolconnlimit, -1)",
    "valid until": "o.rolvaliduntil",
    "member of": """(SELECT string_agg(
        g.rolname || CASE WHEN m.admin_option THEN ' with admin option' ELSE '' END,
        ', ' ORDER BY g.rolname)
        FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid WHERE m.member = o.oid)""",
    "settings": """(SELECT array_to_string(setconfig, ', ') FROM pg_db_role_setting
        WHERE setrole = o.oid AND setdatabase = 0)""",
    "description": "shobj_description(o.oid, 'pg_authid')",
}

_DATABASE = Family(
    "'database'",
    "'itself'",
    "'pg_database'",
    "FROM pg_database o WHERE o.datname = current_database()",
    {
        "owner": "pg_get_userbyid(o.datdba)",
        "privileges": _privileges("o.datacl", "'d'", "o.datdba"),
        "connection limit": "nullif(o.datconnlimit, -1)",
    },
)

_SETTINGS = Family(
    "'setting'",
    "split_part(setting, '=', 1) || coalesce(' of role ' || r.rolname, ' of the database')",
    "'pg_db_role_setting'",
    """FROM pg_db_role_setting o JOIN pg_database d ON d.oid = o.setdatabase
    LEFT JOIN pg_roles r ON r.oid = o.setrole, unnest(o.setconfig) setting
    WHERE d.datname = current_database() AND NOT starts_with(setting, 'gatekeeper.')""",
    {"value": "substr(setting, strpos(setting, '=') + 1)"},
    oid="o.setrole",
)

# The schema `public` is the one object of the server's own that people comment on.
COMMENTS = Family(
    "'comment'",
    "o.description",
    "o.classoid",
    "FROM pg_description o WHERE o.objoid >= 16384 OR o.objoid = to_regnamespace('public')",
    {},
    oid="o.objoid",
    column="o.objsubid",
)
