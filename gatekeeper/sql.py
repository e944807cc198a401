"""Tell what a SQL text does, by PostgreSQL's own grammar. The one module that knows `postgast`.

The grammar is PostgreSQL 18's; it reads the statements of every supported major. What runs
inside a PL/pgSQL block is not looked at: such a statement changes "maybe" (None).
"""

from __future__ import annotations

import contextlib
import enum
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import postgast


class Kind(enum.Enum):
    """The kinds of statement that a check asks about."""

    CREATE_TABLE = "CREATE TABLE"
    ALTER_TABLE = "ALTER TABLE"
    DROP_TABLE = "DROP TABLE"
    CREATE_INDEX = "CREATE INDEX"
    DROP_INDEX = "DROP INDEX"
    CREATE_FUNCTION = "CREATE FUNCTION"
    CREATE_ENUM = "CREATE TYPE … AS ENUM"
    CREATE_TYPE = "CREATE TYPE"
    ADD_LABEL = "ALTER TYPE … ADD VALUE"
    RENAME_LABEL = "ALTER TYPE … RENAME VALUE"
    RENAME_TYPE = "ALTER TYPE … RENAME TO"
    DROP_TYPE = "DROP TYPE"
    INSERT = "INSERT"
    UPDATE = "UPDATE"
    DELETE = "DELETE"
    SELECT = "SELECT"
    VACUUM_FULL = "VACUUM FULL"
    CLUSTER = "CLUSTER"
    REINDEX = "REINDEX"
    REFRESH = "REFRESH MATERIALIZED VIEW"
    SET = "SET"
    GRANT = "GRANT"
    TRANSACTION = "transaction control"
    BLOCK = "DO"
    OTHER = "other"


@dataclass(frozen=True)
class AddedColumn:
    """A column that ALTER TABLE adds, as far as old rows and old writers care."""

    name: str
    not_null: bool
    has_default: bool  # a default, an identity or a generation expression


@dataclass(frozen=True)
class RetypedColumn:
    """A column that ALTER TABLE gives another type; `using_case` if USING chooses by CASE."""

    name: str
    type: str
    using_case: bool


@dataclass(frozen=True)
class ParsedStatement:
    """What one statement is and what it names; names are qualified as they were written.

    `relations` are the tables and views that it changes or reads, `references` those that
    it merely ties them to (foreign keys, queries), `names` the indexes and types it makes
    or drops, `types` the types that it mentions. `if_exists` stands for IF EXISTS and
    IF NOT EXISTS alike. `changes_schema` and `changes_rows` are None where the text can't
    tell; a temporary table is no change of the schema. `transaction` holds the word of a
    transaction control statement, `functions` those that a SELECT calls. REVOKE is a GRANT.
    """

    kind: Kind
    relations: tuple[str, ...] = ()
    references: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    new_name: str | None = None
    types: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    added_columns: tuple[AddedColumn, ...] = ()
    retyped_columns: tuple[RetypedColumn, ...] = ()
    dropped_columns: tuple[str, ...] = ()
    concurrently: bool = False
    only: bool = False
    if_exists: bool = False
    cascade: bool = False
    changes_schema: bool | None = False
    changes_rows: bool | None = False
    transaction: str | None = None
    functions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Unparsed:
    """A text that PostgreSQL's grammar does not take, and why."""

    reason: str


@lru_cache(maxsize=4096)
def parse(sql: str) -> tuple[ParsedStatement, ...] | Unparsed:
    """Return the statements of a text; the drivers' bind placeholders are understood."""
    reason = ""
    # A placeholder stands where a literal can, except in `IN %s`, which needs parentheses.
    for text in (sql, _bind(sql, "'?'"), _bind(sql, "('?')")):
        try:
            tree = postgast.parse(text)
        except postgast.PgQueryError as error:
            reason = reason or error.message
        else:
            return tuple(_read(statement.stmt) for statement in tree.stmts)
    return Unparsed(reason)


def statements_of(sql: str) -> tuple[ParsedStatement, ...]:
    """Return the statements of a text; one that nothing is known of where it is unreadable."""
    parsed = parse(sql)
    if isinstance(parsed, Unparsed):
        return (ParsedStatement(Kind.OTHER, changes_schema=None, changes_rows=None),)
    return parsed


def shorten(sql: str, width: int = 80) -> str:
    """Return a text on one line, cut with an ellipsis where it is longer than `width`."""
    line = " ".join(sql.split()).rstrip(";")
    return line if len(line) <= width else line[: width - 1].rstrip() + "…"


def make_concurrent(sql: str, like: ParsedStatement) -> tuple[str, ...]:
    """Return the statements of a text that build or drop the same index, made CONCURRENTLY.

    DROP INDEX CONCURRENTLY takes one name and no CASCADE, so there is one for each index.
    """
    with contextlib.suppress(postgast.PgQueryError):
        tree = postgast.parse(sql.replace("%%", "%"))
        found = [each.stmt for each in tree.stmts if _read(each.stmt) == like]
        return tuple(text for each in found[:1] for text in _concurrently(each))
    return ()


def replace_using(sql: str, like: ParsedStatement, column: str, expression: str) -> str | None:
    """Return the statement of a text that retypes a column, with another USING for it."""
    with contextlib.suppress(postgast.PgQueryError):
        tree = postgast.parse(sql.replace("%%", "%"))
        for wrapped in (each.stmt for each in tree.stmts if _read(each.stmt) == like):
            for command in (each.alter_table_cmd for each in wrapped.alter_table_stmt.cmds):
                definition = getattr(command, "def").column_def
                if command.name == column and definition.HasField("type_name"):
                    select = postgast.parse(f"SELECT {expression}").stmts[0].stmt.select_stmt
                    definition.raw_default.CopyFrom(select.target_list[0].res_target.val)
            return postgast.deparse(_alone(wrapped))
    return None


def make_repeatable(sql: str) -> tuple[str, ...]:
    """Return the statements of a text that add a label to an ENUM type, with IF NOT EXISTS."""
    with contextlib.suppress(postgast.PgQueryError):
        tree = postgast.parse(sql.replace("%%", "%"))
        added = [each.stmt for each in tree.stmts if _read(each.stmt).kind is Kind.ADD_LABEL]
        for each in added:
            each.alter_enum_stmt.skip_if_new_val_exists = True
        return tuple(postgast.deparse(_alone(each)) for each in added)
    return ()


def _concurrently(wrapped: Any) -> Iterator[str]:
    node = getattr(wrapped, wrapped.WhichOneof("node"))
    node.concurrent = True
    if wrapped.WhichOneof("node") == "index_stmt":
        if node.access_method == "btree":
            node.access_method = ""  # the grammar writes it out where the text did not
        yield postgast.deparse(_alone(wrapped))
        return
    node.behavior = postgast.pg_query_pb2.DROP_RESTRICT
    names = list(node.objects)
    for name in names:
        del node.objects[:]
        node.objects.append(name)
        yield postgast.deparse(_alone(wrapped))


def _alone(wrapped: Any) -> Any:
    tree = postgast.pg_query_pb2.ParseResult()
    tree.stmts.add().stmt.CopyFrom(wrapped)
    return tree


def mentions(sql: str, name: str) -> bool:
    """Tell whether a text has a name in it as a word of its own."""
    return re.search(rf"(?<![\w$]){re.escape(name)}(?![\w$])", sql) is not None


def plain_name(name: str) -> str:
    """Return a name as two spellings of it agree: without quotes and without `public.`."""
    return name.replace('"', "").removeprefix("public.")


def is_same_name(written: str, qualified: str) -> bool:
    """Tell whether a name as written can mean a qualified one.

    The search_path is not known, so a name without a schema matches in every schema.
    """
    written, qualified = written.replace('"', ""), qualified.replace('"', "")
    if "." in written:
        return written == qualified
    return written == qualified.rpartition(".")[2]


def find_name(written: str, among: Iterable[str]) -> str | None:
    """Return the qualified name that a written one means, `public` before other schemas."""
    found = sorted(name for name in among if is_same_name(written, name))
    return min(found, key=lambda name: not name.startswith("public."), default=None)


_PLACEHOLDER = re.compile(
    r"""
    (?P<skip> '(?:[^']|'')*' | "(?:[^"]|"")*" | --[^\n]* | /\*.*?\*/ | \$(\w*)\$.*?\$\2\$ | :: )
    | %\(\w+\)s | %s | :[A-Za-z_]\w* | \?
    """,
    re.VERBOSE | re.DOTALL,
)


def _bind(sql: str, value: str) -> str:
    bound = _PLACEHOLDER.sub(lambda found: found["skip"] or value, sql)
    return bound.replace("%%", "%")


# What does not change the schema among the statements that have no kind of their own.
_CHANGES_NOTHING = frozenset(
    {
        "variable_show_stmt", "explain_stmt", "lock_stmt", "check_point_stmt",
        "listen_stmt", "unlisten_stmt", "notify_stmt", "discard_stmt", "prepare_stmt",
        "deallocate_stmt", "constraints_set_stmt", "declare_cursor_stmt", "fetch_stmt",
        "close_portal_stmt", "load_stmt",
    }
)  # fmt: skip
_ENDS_TRANSACTION = {
    "TRANS_STMT_BEGIN": "BEGIN",
    "TRANS_STMT_START": "BEGIN",
    "TRANS_STMT_COMMIT": "COMMIT",
    "TRANS_STMT_ROLLBACK": "ROLLBACK",
}
_DML = {"insert_stmt": Kind.INSERT, "update_stmt": Kind.UPDATE, "delete_stmt": Kind.DELETE}


def _read(wrapped: Any) -> ParsedStatement:
    node_name = wrapped.WhichOneof("node")
    node = getattr(wrapped, node_name)
    if node_name in _DML:
        return _read_dml(_DML[node_name], node)
    match node_name:
        case "select_stmt":
            return _read_select(node)
        case "create_stmt":
            return _read_create_table(node)
        case "alter_table_stmt":
            return _read_alter_table(node)
        case "create_table_as_stmt":
            return _read_create_table_as(node)
        case "merge_stmt":
            return _read_dml(Kind.UPDATE, node)
        case "create_seq_stmt" | "alter_seq_stmt":
            return ParsedStatement(Kind.OTHER, changes_schema=True)
        case "create_function_stmt":
            is_temporary = _dotted(node.funcname).startswith("pg_temp.")
            return ParsedStatement(Kind.CREATE_FUNCTION, changes_schema=not is_temporary)
        case "index_stmt":
            return ParsedStatement(
                Kind.CREATE_INDEX,
                relations=(_range(node.relation),),
                names=(node.idxname,) if node.idxname else (),
                concurrently=node.concurrent,
                only=not node.relation.inh,
                if_exists=node.if_not_exists,
                changes_schema=True,
            )
        case "drop_stmt":
            return _read_drop(node)
        case "create_enum_stmt":
            return ParsedStatement(
                Kind.CREATE_ENUM,
                names=(_dotted(node.type_name),),
                labels=tuple(value.string.sval for value in node.vals),
                changes_schema=True,
            )
        case "composite_type_stmt":
            return ParsedStatement(
                Kind.CREATE_TYPE, names=(_range(node.typevar),), changes_schema=True
            )
        case "create_range_stmt":
            return ParsedStatement(
                Kind.CREATE_TYPE, names=(_dotted(node.type_name),), changes_schema=True
            )
        case "alter_enum_stmt":
            return ParsedStatement(
                Kind.RENAME_LABEL if node.old_val else Kind.ADD_LABEL,
                names=(_dotted(node.type_name),),
                labels=(node.new_val,),
                if_exists=node.skip_if_new_val_exists,
                changes_schema=True,
            )
        case "rename_stmt":
            return _read_rename(node)
        case "variable_set_stmt":
            return ParsedStatement(Kind.SET, names=(node.name,))
        case "transaction_stmt":
            kind = postgast.pg_query_pb2.TransactionStmtKind.Name(node.kind)
            word = _ENDS_TRANSACTION.get(kind)
            return ParsedStatement(Kind.TRANSACTION if word else Kind.OTHER, transaction=word)
        case "do_stmt" | "call_stmt" | "execute_stmt":
            return ParsedStatement(Kind.BLOCK, changes_schema=None, changes_rows=None)
        case "grant_stmt" | "grant_role_stmt":
            return ParsedStatement(Kind.GRANT, relations=tuple(_ranges(node)), changes_schema=True)
        case "truncate_stmt":
            return ParsedStatement(
                Kind.DELETE,
                relations=tuple(_range(relation.range_var) for relation in node.relations),
                changes_rows=True,
            )
        case "copy_stmt":
            return ParsedStatement(
                Kind.INSERT if node.is_from else Kind.OTHER,
                relations=(_range(node.relation),),
                changes_rows=node.is_from,
            )
        case "comment_stmt":
            return _read_comment(node)
        case "vacuum_stmt" | "cluster_stmt" | "reindex_stmt" | "refresh_mat_view_stmt":
            return _read_maintenance(node_name, node)
        case _:
            return ParsedStatement(
                Kind.OTHER,
                relations=tuple(_ranges(node)),
                changes_schema=node_name not in _CHANGES_NOTHING,
            )


def _read_dml(kind: Kind, node: Any) -> ParsedStatement:
    target = _range(node.relation)
    return ParsedStatement(
        kind,
        relations=(target,),
        references=tuple(name for name in _ranges(node) if name != target),
        changes_rows=True,
    )


def _read_select(node: Any) -> ParsedStatement:
    if node.HasField("into_clause"):
        return ParsedStatement(
            Kind.CREATE_TABLE,
            relations=(_range(node.into_clause.rel),),
            references=tuple(_ranges(node))[1:],
            changes_schema=not _is_temporary(node.into_clause.rel),
        )
    nested = {type(child).__name__ for _, child in postgast.walk(node)}
    calls = [_dotted(c.funcname) for _, c in postgast.walk(node) if type(c).__name__ == "FuncCall"]
    return ParsedStatement(
        Kind.SELECT,
        relations=tuple(_ranges(node)),
        changes_schema=None if any(_may_change_schema(name) for name in calls) else False,
        changes_rows=bool(nested & {"InsertStmt", "UpdateStmt", "DeleteStmt"}),
        functions=tuple(dict.fromkeys(calls)),
    )


# PostgreSQL's own functions that migrations call; another one may do anything.
_HARMLESS = frozenset(
    {
        "setval", "nextval", "currval", "set_config", "current_setting", "version", "now",
        "count", "sum", "min", "max", "avg", "array_agg", "string_agg", "json_agg", "jsonb_agg",
        "bool_and", "bool_or", "lower", "upper", "length", "trim", "btrim", "substr", "replace",
        "concat", "format", "unnest", "generate_series", "row_number", "abs", "round", "to_char",
        "format_type", "obj_description", "col_description", "quote_ident",
    }
)  # fmt: skip


def _may_change_schema(function: str) -> bool:
    return not function.startswith(("pg_", "has_")) and function not in _HARMLESS


def _read_create_table(node: Any) -> ParsedStatement:
    target = _range(node.relation)
    return ParsedStatement(
        Kind.CREATE_TABLE,
        relations=(target,),
        references=tuple(name for name in _ranges(node) if name != target),
        types=_types(node),
        if_exists=node.if_not_exists,
        changes_schema=not _is_temporary(node.relation),
    )


def _is_temporary(relation: Any) -> bool:
    return bool(relation.relpersistence == "t" or relation.schemaname == "pg_temp")


def _read_create_table_as(node: Any) -> ParsedStatement:
    target = _range(node.into.rel)
    return ParsedStatement(
        Kind.CREATE_TABLE,
        relations=(target,),
        references=tuple(name for name in _ranges(node) if name != target),
        if_exists=node.if_not_exists,
        changes_schema=not _is_temporary(node.into.rel),
    )


def _read_alter_table(node: Any) -> ParsedStatement:
    if postgast.pg_query_pb2.ObjectType.Name(node.objtype) == "OBJECT_INDEX":
        return ParsedStatement(Kind.OTHER, changes_schema=True)
    target = _range(node.relation)
    commands = [command.alter_table_cmd for command in node.cmds]
    subtype = postgast.pg_query_pb2.AlterTableType.Name
    added, retyped, dropped = [], [], []
    for command in commands:
        match subtype(command.subtype):
            case "AT_AddColumn":
                added.append(_added_column(getattr(command, "def").column_def))
            case "AT_AlterColumnType":
                definition = getattr(command, "def").column_def
                using = {type(child).__name__ for _, child in postgast.walk(definition)}
                type_name = _dotted(definition.type_name.names)
                retyped.append(RetypedColumn(command.name, type_name, "CaseExpr" in using))
            case "AT_DropColumn":
                dropped.append(command.name)
    return ParsedStatement(
        Kind.ALTER_TABLE,
        relations=(target,),
        references=tuple(name for name in _ranges(node) if name != target),
        types=_types(node),
        added_columns=tuple(added),
        retyped_columns=tuple(retyped),
        dropped_columns=tuple(dropped),
        if_exists=all(command.missing_ok for command in commands),
        changes_schema=True,
    )


def _is_null(expression: Any) -> bool:
    return bool(expression.a_const.isnull or expression.type_cast.arg.a_const.isnull)


_SERIAL = ("serial", "serial2", "serial4", "serial8")


def _added_column(definition: Any) -> AddedColumn:
    name_of = postgast.pg_query_pb2.ConstrType.Name
    constraints = {
        name_of(each.constraint.contype)
        for each in definition.constraints
        if not _is_null(each.constraint.raw_expr)  # DEFAULT NULL is none
    }
    is_serial = _dotted(definition.type_name.names).endswith(_SERIAL)
    return AddedColumn(
        definition.colname,
        not_null=bool(constraints & {"CONSTR_NOTNULL", "CONSTR_PRIMARY"}),
        has_default=is_serial
        or bool(constraints & {"CONSTR_DEFAULT", "CONSTR_IDENTITY", "CONSTR_GENERATED"}),
    )


def _read_drop(node: Any) -> ParsedStatement:
    object_type = postgast.pg_query_pb2.ObjectType.Name(node.remove_type)
    kind = {
        "OBJECT_TABLE": Kind.DROP_TABLE,
        "OBJECT_INDEX": Kind.DROP_INDEX,
        "OBJECT_TYPE": Kind.DROP_TYPE,
    }.get(object_type, Kind.OTHER)
    names = tuple(_object_name(each) for each in node.objects)
    relations: tuple[str, ...] = ()
    if object_type in ("OBJECT_TABLE", "OBJECT_VIEW", "OBJECT_MATVIEW"):
        names, relations = (), names
    elif object_type in ("OBJECT_TRIGGER", "OBJECT_POLICY", "OBJECT_RULE"):
        relations = tuple(name.rpartition(".")[0] for name in names)
        names = ()
    return ParsedStatement(
        kind,
        relations=relations,
        names=names,
        concurrently=node.concurrent,
        if_exists=node.missing_ok,
        cascade=postgast.pg_query_pb2.DropBehavior.Name(node.behavior) == "DROP_CASCADE",
        changes_schema=True,
    )


def _read_rename(node: Any) -> ParsedStatement:
    object_type = postgast.pg_query_pb2.ObjectType.Name(node.rename_type)
    if object_type == "OBJECT_TYPE":
        return ParsedStatement(
            Kind.RENAME_TYPE,
            names=(_object_name(node.object),),
            new_name=node.newname,
            changes_schema=True,
        )
    if object_type == "OBJECT_INDEX" or not node.HasField("relation"):
        return ParsedStatement(Kind.OTHER, changes_schema=True)
    renames_relation = object_type in ("OBJECT_TABLE", "OBJECT_VIEW", "OBJECT_MATVIEW")
    return ParsedStatement(
        Kind.ALTER_TABLE,
        relations=(_range(node.relation),),
        new_name=node.newname if renames_relation else None,
        changes_schema=True,
    )


def _read_maintenance(node_name: str, node: Any) -> ParsedStatement:
    """Read what works on a relation's files; CLUSTER also remembers its index."""
    if node_name == "vacuum_stmt":
        is_full = any(
            option.def_elem.defname == "full" and option.def_elem.arg.string.sval not in _OFF
            for option in node.options
        )
        kind = Kind.VACUUM_FULL if is_full else Kind.OTHER
        return ParsedStatement(kind, relations=tuple(_ranges(node)))
    if node_name == "cluster_stmt":
        return ParsedStatement(Kind.CLUSTER, relations=tuple(_ranges(node)), changes_schema=True)
    if node_name == "refresh_mat_view_stmt":
        return ParsedStatement(
            Kind.REFRESH, relations=(_range(node.relation),), concurrently=node.concurrent
        )
    target = tuple(_ranges(node))
    is_index = postgast.pg_query_pb2.ReindexObjectType.Name(node.kind) == "REINDEX_OBJECT_INDEX"
    return ParsedStatement(
        Kind.REINDEX,
        relations=() if is_index else target,
        names=target if is_index else (),
        concurrently=any(each.def_elem.defname == "concurrently" for each in node.params),
    )


_OFF = ("false", "off", "0")


def _read_comment(node: Any) -> ParsedStatement:
    object_type = postgast.pg_query_pb2.ObjectType.Name(node.objtype)
    relations: tuple[str, ...] = ()
    if object_type in ("OBJECT_TABLE", "OBJECT_VIEW", "OBJECT_MATVIEW"):
        relations = (_object_name(node.object),)
    elif object_type in ("OBJECT_COLUMN", "OBJECT_TABCONSTRAINT", "OBJECT_TRIGGER"):
        relations = (_object_name(node.object).rpartition(".")[0],)
    return ParsedStatement(Kind.OTHER, relations=relations, changes_schema=True)


def _range(node: Any) -> str:
    return f"{node.schemaname}.{node.relname}" if node.schemaname else str(node.relname)


def _ranges(node: Any) -> Iterator[str]:
    """Yield each relation below a node once; the names of WITH queries are none."""
    nodes = [child for _, child in postgast.walk(node)]
    queries = {child.ctename for child in nodes if type(child).__name__ == "CommonTableExpr"}
    names: list[str] = [_range(child) for child in nodes if type(child).__name__ == "RangeVar"]
    yield from dict.fromkeys(name for name in names if name not in queries)


def _types(node: Any) -> tuple[str, ...]:
    """Return the types named below a node, but for those that only the grammar spells."""
    nodes = (child for _, child in postgast.walk(node))
    types = [_dotted(child.names) for child in nodes if type(child).__name__ == "TypeName"]
    return tuple(dict.fromkeys(name for name in types if not name.startswith("pg_catalog.")))


def _dotted(parts: Any) -> str:
    return ".".join(part.string.sval for part in parts)


def _object_name(wrapped: Any) -> str:
    match wrapped.WhichOneof("node"):
        case "list":
            return _dotted(wrapped.list.items)
        case "type_name":
            return _dotted(wrapped.type_name.names)
        case "object_with_args":
            return _dotted(wrapped.object_with_args.objname)
        case "string":
            return str(wrapped.string.sval)
        case _:
            return ""
