"""YAML text → plain data that knows its lines: the one place that knows PyYAML.

The text comes from a pull request. It is therefore bounded in size, depth and expansion
(an alias is a few bytes and may stand for millions), and no tag is read.

A scalar becomes null, a boolean or a whole number only where its text can be got back
from the value. So `off` is a word (YAML 1.1 makes it False), and `3.10`, `00123` and
`4e12` stay what they are: a Python version and two revision identifiers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from gatekeeper.errors import ConfigError

MAX_BYTES = 64 * 1024
MAX_DEPTH = 20
MAX_VALUES = 5_000

KeyPath = tuple[str | int, ...]

_NULL = "tag:yaml.org,2002:null"
_BOOL = "tag:yaml.org,2002:bool"
_INT = "tag:yaml.org,2002:int"


@dataclass(frozen=True)
class Document:
    """A mapping and the line on which each of its keys and entries stands."""

    name: str
    data: dict[str, Any]
    lines: Mapping[KeyPath, int]

    def line(self, path: KeyPath) -> int:
        """Return the line of a key, of the nearest key around it where it has none."""
        while path not in self.lines:
            path = path[:-1]
        return self.lines[path]

    def where(self, path: KeyPath) -> str:
        return f"{self.name}:{self.line(path)}"


def read_document(name: str, text: str) -> Document:
    """Return the text's mapping; an empty text is an empty mapping.

    A top-level key with nothing after it counts as not there: what it held may be
    commented out.
    """
    if len(text.encode()) > MAX_BYTES:
        raise ConfigError(
            f"the file is larger than {MAX_BYTES // 1024} KiB.",
            where=name,
            fix="Move generated parts elsewhere; a policy is read by people.",
        )
    try:
        node = _Loader(text).get_single_node()
    except yaml.MarkedYAMLError as error:
        raise _not_yaml(name, error) from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise ConfigError(
            f"this is not YAML: it holds the control character U+{error.character:04X}.",
            where=f"{name}:{line}",
            fix="Remove it, or write it as an escape in a double-quoted text.",
        ) from error
    reader = _Reader(name)
    data = {} if node is None else reader.value(node, (), 0)
    if data is None:
        data = {}
    if not isinstance(data, dict):
        raise ConfigError(
            "the file does not hold a mapping of keys to values.",
            where=f"{name}:{reader.lines[()]}",
            fix="Begin it with `version: 1`, then one `key: value` a line.",
        )
    given = {key: value for key, value in data.items() if value is not None}
    return Document(name, given, {(): 1, **reader.lines})


class _Loader(yaml.SafeLoader):
    """A composer that refuses tags and deep nesting and resolves few scalars."""

    yaml_implicit_resolvers = {}  # noqa: RUF012 - PyYAML's own attribute, emptied on purpose

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]  # its stub has no types
        if getattr(event, "tag", None) is not None:
            raise yaml.composer.ComposerError(
                None, None, f"the tag {event.tag} is not read", event.start_mark
            )
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise yaml.composer.ComposerError(
                None, None, f"nested deeper than {MAX_DEPTH} levels", event.start_mark
            )
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node


_Loader.add_implicit_resolver(_NULL, re.compile(r"(?:~|null|)$"), ["~", "n", ""])
_Loader.add_implicit_resolver(_BOOL, re.compile(r"(?:true|false)$"), ["t", "f"])
_Loader.add_implicit_resolver(_INT, re.compile(r"(?:0|-?[1-9][0-9]{0,17})$"), list("-0123456789"))


class _Reader:
    """Turns nodes into data; counts, so that aliases cannot make much of little."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.lines: dict[KeyPath, int] = {}
        self._values = 0

    def value(self, node: yaml.Node, path: KeyPath, depth: int) -> Any:
        line = node.start_mark.line + 1
        self.lines.setdefault(path, line)
        self._values += 1
        if isinstance(node, yaml.ScalarNode):
            self._refuse_unwritable(node.value, line)
        if self._values > MAX_VALUES or depth > MAX_DEPTH:
            raise ConfigError(
                f"the file unfolds to more than {MAX_VALUES} values or {MAX_DEPTH} levels.",
                where=f"{self.name}:{line}",
                fix="Use fewer aliases (`*name`).",
            )
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path, depth)
        if isinstance(node, yaml.SequenceNode):
            return [
                self.value(child, (*path, index), depth + 1)
                for index, child in enumerate(node.value)
            ]
        if node.tag == _NULL:
            return None
        if node.tag == _BOOL:
            return node.value == "true"
        return int(node.value) if node.tag == _INT else node.value

    def _refuse_unwritable(self, text: str, line: int) -> None:
        """Refuse what an escape can make and no file, variable or database takes."""
        found = re.search("[\0\ud800-\udfff]", text)
        if found:
            raise ConfigError(
                f"an escape stands for U+{ord(found[0]):04X}, which is no character of a text.",
                where=f"{self.name}:{line}",
                fix="Take it out.",
            )

    def _mapping(self, node: yaml.MappingNode, path: KeyPath, depth: int) -> dict[str, Any]:
        data: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                raise ConfigError(
                    "a key is not a word.",
                    where=f"{self.name}:{line}",
                    fix="Write `key: value` with a plain word before the colon.",
                )
            key = str(key_node.value)
            self._refuse_unwritable(key, line)
            here = (*path, key)
            if key in data:
                raise ConfigError(
                    f"`{key_path(here)}` is given twice, first on line {self.lines[here]}.",
                    where=f"{self.name}:{line}",
                    fix="Keep one of the two.",
                )
            self.lines[here] = line
            data[key] = self.value(value_node, here, depth + 1)
        return data


def key_path(path: KeyPath) -> str:
    """Return a path as people write it: `overrides[0].checks.downgrade-missing`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{shown(part)}" for part in path)
    return text.removeprefix(".")


def shown(value: object) -> str:
    """Return a value as it could stand in the file: one line, cut to what people read."""
    is_plain = isinstance(value, str) and value.isprintable() and value != ""
    text = str(value) if is_plain else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _not_yaml(name: str, error: yaml.MarkedYAMLError) -> ConfigError:
    mark = error.problem_mark or error.context_mark
    problem = error.problem or error.context or "it cannot be read"
    fix = "Look at the quotes, brackets and indentation of this line and the one before it."
    if "'\\t'" in problem:
        fix = "Indent with spaces: YAML does not allow tabs."
    elif isinstance(error, yaml.composer.ComposerError):
        fix = "Write plain values: one document, no tags, few levels."
    where = name if mark is None else f"{name}:{mark.line + 1}"
    return ConfigError(f"this is not YAML that can be read: {problem}.", where=where, fix=fix)
