"""The hook file of a project, read without running it: which functions it has."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field

from gatekeeper.errors import ConfigError

# What a hook may define, with the arguments that each is called with.
SIGNATURES = {
    "alembic_config": "alembic_config()",
    "around": "around(run)",
    "bootstrap": "bootstrap(url)",
}
_ARGUMENTS = {"alembic_config": 0, "around": 1, "bootstrap": 1}


@dataclass(frozen=True)
class Hook:
    """A file of the project's that helps its env.py; `path` is relative to the repository."""

    path: str
    source: bytes = field(repr=False)
    functions: frozenset[str]

    @property
    def note(self) -> str:
        """Which part it takes, in words."""
        parts = (f"`{s}`" for name, s in SIGNATURES.items() if name in self.functions)
        return f"{self.path} took part with {', '.join(parts)}"


def read_hook(path: str, source: bytes) -> Hook:
    """Return the hook; one that could do nothing is refused."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None) or 1
        raise ConfigError(
            f"the hook is not Python: {getattr(error, 'msg', error)}",
            where=f"{path}:{line}",
            fix="Correct the line; `python -m py_compile` shows the same.",
        ) from error
    found: set[str] = set()
    for name, node in _bound(tree):
        if name in SIGNATURES:
            found.add(name)
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                _refuse_signature(path, node)
    if not found:
        wanted = ", ".join(f"`def {signature}`" for signature in SIGNATURES.values())
        raise ConfigError(
            "the hook defines none of the functions that gatekeeper calls",
            where=path,
            fix=f"Define at least one of {wanted}, or take `hook` out of the policy file.",
        )
    return Hook(path, source, frozenset(found))


def _bound(tree: ast.Module) -> Iterator[tuple[str, ast.stmt]]:
    """Yield the names that a module binds at its top, with the statement that does it."""
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node.name, node
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            yield from ((alias.asname or alias.name, node) for alias in node.names)
        elif isinstance(node, ast.Assign):
            yield from ((t.id, node) for t in node.targets if isinstance(t, ast.Name))


def _refuse_signature(path: str, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
    wanted = SIGNATURES[node.name]
    if isinstance(node, ast.AsyncFunctionDef):
        raise ConfigError(
            f"`{node.name}` of the hook is `async`, and is called without a loop",
            where=f"{path}:{node.lineno}",
            fix=f"Write `def {wanted}:`, and call `asyncio.run(…)` in it.",
        )
    count, arguments = _ARGUMENTS[node.name], node.args
    given = len(arguments.posonlyargs) + len(arguments.args)
    needed = given - len(arguments.defaults)
    is_open = arguments.vararg is not None
    needs_names = any(default is None for default in arguments.kw_defaults)
    if needed > count or (given < count and not is_open) or needs_names:
        raise ConfigError(
            f"`{node.name}({ast.unparse(arguments)})` of the hook cannot be called as `{wanted}`",
            where=f"{path}:{node.lineno}",
            fix=f"Write `def {wanted}:`.",
        )
