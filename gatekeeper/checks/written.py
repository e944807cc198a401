"""What a revision's functions call, read from their syntax tree."""

from __future__ import annotations

import ast

from gatekeeper.model import Direction, Revision


def read_calls(revision: Revision, direction: Direction) -> tuple[ast.Call, ...]:
    """Return the calls inside `upgrade` or `downgrade`, in the order of their lines."""
    calls = [
        node
        for function in ast.parse(revision.source).body
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        and function.name == direction.value
        for node in ast.walk(function)
        if isinstance(node, ast.Call)
    ]
    return tuple(sorted(calls, key=lambda call: (call.lineno, call.col_offset)))


def method_of(call: ast.Call) -> str | None:
    """Return `create_index` of `op.create_index(…)`, None for a plain function's call."""
    return call.func.attr if isinstance(call.func, ast.Attribute) else None


def receiver_of(call: ast.Call) -> str | None:
    """Return `op` of `op.create_index(…)`, None where the receiver is no plain name."""
    if isinstance(call.func, ast.Attribute) and isinstance(call.func.value, ast.Name):
        return call.func.value.id
    return None


def text_of(call: ast.Call) -> str | None:
    """Return the first argument's SQL where it is written out: `"…"` or `text("…")`."""
    argument = call.args[0] if call.args else None
    if isinstance(argument, ast.Call):
        argument = argument.args[0] if argument.args else None
    if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
        return argument.value
    return None


def functions_code(source: str) -> dict[str, str]:
    """Return each top-level function or assignment as its name with its code, normalized.

    Annotations do nothing, nor do imports that nothing uses, nor the order of imports.
    """
    module = ast.parse(source)
    _Annotations().visit(module)
    used = {node.id for node in ast.walk(module) if isinstance(node, ast.Name)}
    code: dict[str, str] = {}
    imports: list[str] = []
    for node in module.body:
        match node:
            case ast.Import() | ast.ImportFrom():
                imports += [text for name, text in _imported(node) if name in used | {"*"}]
                continue
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                name = node.name
            case ast.Assign(targets=[ast.Name(id=name)]):
                pass
            case ast.Expr(value=ast.Constant(value=str())):
                continue
            case _:
                name = "other code"
        code[name] = code.get(name, "") + _without_docstring(node)
    return {**code, "imports": "\n".join(sorted(imports))}


def _imported(node: ast.Import | ast.ImportFrom) -> list[tuple[str, str]]:
    """Return the names that an import binds, each with all that tells where it is from."""
    origin = f"{node.level} {node.module}" if isinstance(node, ast.ImportFrom) else ""
    return [
        ((each.asname or each.name).partition(".")[0], f"{origin} {each.name} {each.asname}")
        for each in node.names
    ]


class _Annotations(ast.NodeTransformer):
    """Takes the annotations away."""

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST | None:
        return None if node.value is None else ast.Assign([node.target], node.value)

    def visit_arg(self, node: ast.arg) -> ast.AST:
        return ast.arg(node.arg)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        return self.generic_visit(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        node.returns = None
        return self.generic_visit(node)


def _without_docstring(node: ast.stmt) -> str:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        first = node.body[0]
        is_text = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
        if is_text and len(node.body) > 1:
            node.body = node.body[1:]
    return ast.dump(node)
