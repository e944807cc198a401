"""Throw-away copies of the repository, in which a project's code may do as it likes."""

from __future__ import annotations

from pathlib import Path

from gatekeeper.git import Tree


class Checkouts:
    """The copies of one run: the head, and the base where something asks for it."""

    def __init__(self, directory: Path, head: Tree, base: Tree | None) -> None:
        self._directory = directory
        self._trees = {"head": head, "base": base}
        self._made: dict[str, Path] = {}

    def head(self) -> Path:
        return self._copy("head")

    def base(self) -> Path:
        return self._copy("base")

    def _copy(self, name: str) -> Path:
        if name not in self._made:
            tree = self._trees[name]
            assert tree is not None, f"there is no {name} to copy"
            destination = self._directory / name
            destination.mkdir()
            tree.export(destination)
            self._made[name] = destination
        return self._made[name]
