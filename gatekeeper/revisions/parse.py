"""One revision file as a value, read from its syntax tree and never imported."""

from __future__ import annotations

import ast
import functools
import io
import re
import sys
import tokenize
import warnings
from collections.abc import Iterator, Sequence

from gatekeeper.model import Body, Function, Revision, RevisionProblem

# Alembic's own pattern: editors' lock files and package markers are no revisions.
_FILE_NAME = re.compile(r"(?!\.#|__init__).*\.py$")
_FIELDS = ("revision", "down_revision", "depends_on", "branch_labels")
_FUNCTIONS = ("upgrade", "downgrade")
_LOGGERS = ("log", "logger", "logging")
_LEVELS = ("debug", "info", "warning", "error", "critical", "exception")


def is_revision_file(name: str) -> bool:
    """Return whether Alembic would load a file of this name from a version location."""
    return _FILE_NAME.match(name) is not None


# The base and the head of a change share nearly all of their files.
@functools.lru_cache(maxsize=4096)
def parse_revision(path: str, content: bytes) -> Revision | RevisionProblem:
    """Return the revision that a file holds, or why Alembic or gatekeeper can't read it."""
    try:
        source = _decode(content)
        module = _parse(source)
    except (SyntaxError, UnicodeDecodeError, ValueError, RecursionError) as error:
        return _unparsable(path, error)
    lines: dict[str, int] = {}
    expressions: dict[str, ast.expr | None] = {}
    functions: dict[str, Function] = {}
    for node in _statements(module.body):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            functions[node.name] = Function(node.lineno, node.end_lineno or 0, _body(node.body))
        for name, expression in _bindings(node):
            if name in _FIELDS:
                lines[name], expressions[name] = node.lineno, expression
            else:
                functions[name] = Function(node.lineno, node.end_lineno or 0, Body.CODE)
    if problem := _missing(path, lines):
        return problem
    values: dict[str, tuple[str, ...]] = {}
    for name, expression in expressions.items():
        value = _read_field(name, expression)
        if value is None:
            return _not_literal(path, name, lines[name], values.get("revision"))
        values[name] = value
    return Revision(
        revision=values["revision"][0],
        down_revisions=values["down_revision"],
        depends_on=values.get("depends_on", ()),
        branch_labels=values.get("branch_labels", ()),
        message=(ast.get_docstring(module) or "").partition("\n")[0].strip(),
        path=path,
        line=lines["revision"],
        upgrade=functions.get("upgrade"),
        downgrade=functions.get("downgrade"),
        source=source,
    )


def same_code(a: str, b: str) -> bool:
    """Return whether two sources differ in comments, docstrings and formatting at most."""
    if a == b:
        return True
    try:
        return _code(a) == _code(b)
    except (SyntaxError, ValueError, RecursionError):
        return False


# --- Text and syntax tree ------------------------------------------------------------


def _decode(content: bytes) -> str:
    """Return the text as Python reads it: by its coding cookie, with `\\n` line ends."""
    encoding, _ = tokenize.detect_encoding(io.BytesIO(content).readline)
    return content.decode(encoding).replace("\r\n", "\n").replace("\r", "\n")


def _parse(source: str) -> ast.Module:
    with warnings.catch_warnings():
        # An invalid escape such as "\d" warns at every parse; that is the file's affair.
        warnings.simplefilter("ignore")
        return ast.parse(source)


def _code(source: str) -> str:
    tree = _parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            if ast.get_docstring(node, clean=False) is not None:
                node.body = node.body[1:] or [ast.Pass()]
        elif isinstance(node, ast.Constant):
            node.kind = None  # u"…" is "…"
    return ast.dump(tree)


# --- Names that the module binds -----------------------------------------------------

# A name and its expression; None where the value is not written in the file.
_Bound = tuple[str, ast.expr | None]


def _statements(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield the module's statements, those in `if`, `try` and `with` included."""
    for node in body:
        yield node
        if isinstance(node, ast.If | ast.Try | ast.With):
            yield from _statements(node.body)
        if isinstance(node, ast.Try):
            for handler in node.handlers:
                yield from _statements(handler.body)
        if isinstance(node, ast.If | ast.Try):
            yield from _statements(node.orelse)
        if isinstance(node, ast.Try):
            yield from _statements(node.finalbody)


def _bindings(node: ast.stmt) -> Iterator[_Bound]:
    """Yield each name that an assignment or import binds, with its expression."""
    if isinstance(node, ast.Assign):
        for target in node.targets:
            yield from _unpack(target, node.value)
    elif isinstance(node, ast.AnnAssign) and node.value is not None:
        yield from _unpack(node.target, node.value)
    elif isinstance(node, ast.Import | ast.ImportFrom):
        for alias in node.names:
            # `import *` may bring any function, but a revision says its identifier itself.
            names = _FUNCTIONS if alias.name == "*" else (alias.asname or alias.name,)
            yield from ((name, None) for name in names)


def _unpack(target: ast.expr, value: ast.expr | None) -> Iterator[_Bound]:
    if isinstance(target, ast.Name):
        yield target.id, value
    elif isinstance(target, ast.Tuple | ast.List):
        parts: list[ast.expr | None] = [None] * len(target.elts)
        if isinstance(value, ast.Tuple | ast.List) and len(value.elts) == len(parts):
            parts = [*value.elts]
        for element, part in zip(target.elts, parts, strict=True):
            yield from _unpack(element, part)


def _read_field(name: str, value: ast.expr | None) -> tuple[str, ...] | None:
    """Return what a field holds as a tuple, None where it is no such literal."""
    if value is None:
        return None
    try:
        found = ast.literal_eval(value)
    except (ValueError, TypeError, SyntaxError, RecursionError):
        return None
    if isinstance(found, str):
        return (found,)
    if name == "revision":
        return None
    if found is None:
        return ()
    if isinstance(found, tuple | list | set) and all(isinstance(item, str) for item in found):
        return tuple(sorted(found) if isinstance(found, set) else found)
    return None


# --- Functions -----------------------------------------------------------------------


def _body(statements: list[ast.stmt]) -> Body:
    """Return what a function does by its first statement that does anything."""
    for node in statements:
        match node:
            case ast.Pass() | ast.Import() | ast.ImportFrom():
                continue
            case ast.Expr(value=value) if _is_plain(value) or _is_told(value):
                continue
            case ast.Assign(value=value) if _is_plain(value):  # `msg = f"…"`, to be raised
                continue
            case ast.Return(value=None) | ast.Return(value=ast.Constant(value=None)):
                return Body.EMPTY
            case ast.Raise() | ast.Assert(test=ast.Constant(value=False | None | 0)):
                return Body.RAISES
            case _:
                return Body.CODE
    return Body.EMPTY


def _is_plain(value: ast.expr) -> bool:
    """Tell whether an expression calls nothing."""
    calling = ast.Call | ast.Await | ast.Yield | ast.YieldFrom
    return not any(isinstance(node, calling) for node in ast.walk(value))


def _is_told(value: ast.expr) -> bool:
    """Tell whether an expression only prints or logs."""
    match value:
        case ast.Call(func=ast.Name(id="print")):
            pass
        case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr=level)):
            if level not in _LEVELS or name.strip("_").lower() not in _LOGGERS:
                return False
        case _:
            return False
    told = (*value.args, *(keyword.value for keyword in value.keywords))
    return all(_is_plain(each) for each in told)


# --- Problems ------------------------------------------------------------------------


def _unparsable(path: str, error: Exception) -> RevisionProblem:
    here = f"Python {sys.version_info.major}.{sys.version_info.minor}"
    line = 1
    if isinstance(error, SyntaxError):
        line = error.lineno or 1
        remedy = (
            f"Correct the line. If a newer Python accepts it: gatekeeper reads revisions with "
            f"{here}; run it with the Python of the project, or write the line for {here}."
        )
        return RevisionProblem(path, line, f"{here} cannot parse the file: {error.msg}.", remedy)
    if isinstance(error, UnicodeDecodeError):
        line = error.object.count(b"\n", 0, error.start) + 1
        return RevisionProblem(
            path,
            line,
            f"The file is not {error.encoding}: byte 0x{error.object[error.start]:02x} cannot be "
            "decoded.",
            "Save it as UTF-8, or name its encoding in the first line: "
            "`# -*- coding: latin-1 -*-`.",
        )
    return RevisionProblem(
        path, line, f"{here} cannot parse the file: {error}.", "Correct the file."
    )


def _missing(path: str, lines: dict[str, int]) -> RevisionProblem | None:
    if "revision" not in lines:
        return RevisionProblem(
            path,
            1,
            "The file sets no `revision`, so Alembic refuses to load the whole script directory.",
            'Set `revision = "…"`, or move a file that is no revision out of the folder.',
        )
    if "down_revision" not in lines:
        return RevisionProblem(
            path,
            lines["revision"],
            "The file sets no `down_revision`, which Alembic asks for.",
            'Set `down_revision = "…"` to the revision before, or to `None` for the first one.',
        )
    return None


def _not_literal(
    path: str, name: str, line: int, revision: tuple[str, ...] | None
) -> RevisionProblem:
    kind = "a string" if name == "revision" else "a string, a tuple of strings or `None`"
    return RevisionProblem(
        path,
        line,
        f"`{name}` is not {kind} that can be read without running the file.",
        f'Write it out: `{name} = "…"`.',
        revision[0] if revision else None,
    )
