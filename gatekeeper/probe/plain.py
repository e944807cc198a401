"""What stands in for the project's env.py where its dependencies cannot be installed.

The revisions run under an env.py of ours. Of the project's own, the options that change how
they run are read from its source, which nothing executes.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from gatekeeper.errors import ProbeError
from gatekeeper.model import Project

# Where the version table has a schema of its own, env.py is what makes it.
ENV_PY = """\
from alembic import context
from sqlalchemy import create_engine, pool
from sqlalchemy.engine import make_url

options = context.config.attributes["configure"]
url = make_url(context.config.get_main_option("sqlalchemy.url"))
url = url.set(drivername="postgresql+psycopg2", query={})
engine = create_engine(url, poolclass=pool.NullPool, future=True)
with engine.connect() as connection:
    schema = options.get("version_table_schema")
    if schema is not None:
        quoted = connection.dialect.identifier_preparer.quote(schema)
        connection.exec_driver_sql("CREATE SCHEMA IF NOT EXISTS " + quoted)
        connection.commit()
    context.configure(connection=connection, **options)
    with context.begin_transaction():
        context.run_migrations()
"""

# What changes how revisions run; all are plain values.
_READ = (
    "transaction_per_migration",
    "transactional_ddl",
    "version_table",
    "version_table_schema",
    "version_table_pk",
)
# What only autogenerate and the offline mode look at.
_WITHOUT_EFFECT = frozenset(
    {"connection", "url", "dialect_name", "dialect_opts", "literal_binds", "target_metadata"}
    | {"include_object", "include_name", "include_schemas", "compare_type", "output_buffer"}
    | {"compare_server_default", "render_item", "render_as_batch", "user_module_prefix"}
    | {"process_revision_directives", "sqlalchemy_module_prefix", "alembic_module_prefix"}
    | {"upgrade_token", "downgrade_token", "autogenerate_plugins"}
)
_SENDS = ("execute", "exec_driver_sql", "scalar")

Value = str | bool | None


@dataclass(frozen=True)
class PlainEnvironment:
    """How revisions run without the project's env.py.

    `options` are those of its `context.configure(…)` that could be read; `notes` say why it
    did not run, what was read and what was not.
    """

    options: Mapping[str, Value] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def read_plain(checkout: Path, project: Project, reason: str) -> PlainEnvironment:
    """Return what can be told from the source of a project's env.py.

    One that hands values of its own to the revisions cannot be replaced.
    """
    path = f"{project.script_location}/env.py"
    notes = [f"the project's own env.py did not run: {reason}"]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse((checkout / path).read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError) as error:
        notes.append(f"of {path} nothing could be read: {error}")
        return PlainEnvironment({}, tuple(notes))
    _refuse_arguments(tree, path)
    options, unread = _read_options(tree)
    if options:
        told = ", ".join(f"{name}={value!r}" for name, value in options.items())
        notes.append(f"read from {path}: {told}")
    notes += [f"{path}:{line}: {what}" for line, what in (*unread, *_left_undone(tree))]
    return PlainEnvironment(options, tuple(notes))


def _refuse_arguments(tree: ast.Module, path: str) -> None:
    for call in _calls(tree, "run_migrations"):
        if call.args or call.keywords:
            raise ProbeError(
                "env.py hands arguments of its own to the revisions, so they cannot run without it",
                where=f"{path}:{call.lineno}",
                fix="Say how to install what env.py imports: `project: {install: …}` in the "
                "policy file.",
            )


def _read_options(tree: ast.Module) -> tuple[dict[str, Value], list[tuple[int, str]]]:
    """Return the options of the online `context.configure`, and what could not be read."""
    calls = [call for call in _calls(tree, "configure") if call.keywords]
    online = [call for call in calls if any(k.arg == "connection" for k in call.keywords)]
    constants = _constants(tree)
    read: dict[str, set[Value]] = {}
    unread: dict[str, int] = {}
    for keyword in (keyword for call in online or calls for keyword in call.keywords):
        if keyword.arg is None:
            unread["what ** holds"] = keyword.value.lineno
        elif keyword.arg in _READ:
            try:
                value = _value(keyword.value, constants)
                read.setdefault(keyword.arg, set()).add(value)
            except (ValueError, TypeError, RecursionError):
                unread[keyword.arg] = keyword.value.lineno
        elif keyword.arg not in _WITHOUT_EFFECT:
            unread[keyword.arg] = keyword.value.lineno
    for name, values in read.items():
        if len(values) > 1:  # several calls, of which one is chosen at run time
            unread[name] = next(call.lineno for call in online or calls)
    options = {name: value for name, (value, *_) in read.items() if name not in unread}
    told = [(line, f"{name} of context.configure was not read") for name, line in unread.items()]
    return options, told


def _value(node: ast.expr, constants: Mapping[str, ast.expr]) -> Value:
    """Return a plain value; an error where it is none, or only env.py itself can tell."""
    if isinstance(node, ast.Name) and node.id in constants:
        node = constants[node.id]
    value = ast.literal_eval(node)
    if value is None or isinstance(value, str | bool):
        return value
    raise ValueError(value)


def _constants(tree: ast.Module) -> dict[str, ast.expr]:
    """Return the names that are assigned once in the whole file, with what they get."""
    found: dict[str, list[ast.expr]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Name):
                    found.setdefault(target.id, []).append(node.value)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value:
            found.setdefault(node.target.id, []).append(node.value)
    return {name: values[0] for name, values in found.items() if len(values) == 1}


def _left_undone(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield what env.py does besides, as far as its calls tell."""
    for call in (call for name in _SENDS for call in _calls(tree, name)):
        yield call.lineno, "SQL of env.py's own was not sent"
    for node in ast.walk(tree):
        if isinstance(node, ast.For | ast.AsyncFor | ast.While) and any(
            call for name in ("run_migrations", "configure") for call in _calls(node, name)
        ):
            yield node.lineno, "what env.py does in a loop was done once"


def _calls(tree: ast.AST, name: str) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            function = node.func
            called = getattr(function, "attr", None) or getattr(function, "id", None)
            if called == name:
                yield node
