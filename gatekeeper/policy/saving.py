"""What was found out about a project → the policy file: the one place that knows ruamel.yaml.

Only the `project:` block is written anew, and its comments stay; all else is kept byte for
byte. What the file would say then is read back before it takes the old one's place.
"""

from __future__ import annotations

import copy
import io
import itertools
import re
import secrets
import shutil
from collections.abc import Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import YAMLError
from ruamel.yaml.resolver import VersionedResolver
from ruamel.yaml.scalarstring import DoubleQuotedScalarString

from gatekeeper.errors import ConfigError
from gatekeeper.model import Learned
from gatekeeper.policy.document import read_document

_BY_HAND = "Put this into it by hand:\n\n"


class _AsWritten(VersionedResolver):
    """Takes every plain scalar for a text, so that each is written as it stood."""

    @property
    def versioned_resolver(self) -> Mapping[str, Any]:
        return {}


def render_block(learned: Learned) -> str:
    """Return the `project:` block that says what was learned."""
    return _dump({"project": _add(CommentedMap(), learned)}, _writer())


def save_learned(path: Path, learned: Learned) -> None:
    """Put what was learned into a policy file; one that is not there is made.

    The file is changed as a whole or not at all. What is written first has a new name: a
    pull request may bring links under every name that could be guessed.
    """
    path = path.resolve()
    old = path.read_bytes().decode("utf-8-sig") if path.exists() else "version: 1\n"
    new = with_learned(path.name, old, learned)
    beside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with beside.open("xb") as file:
            file.write(new.encode())
        if path.exists():
            shutil.copymode(path, beside)
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise ConfigError(
            f"the policy file cannot be written: {error.strerror}",
            where=str(path),
            fix=_BY_HAND + render_block(learned),
        ) from error


def with_learned(name: str, text: str, learned: Learned) -> str:
    """Return the text of a policy file with what was learned in its `project:` block."""
    ending = "\r\n" if "\r\n" in text else "\n"
    old = text.replace("\r\n", "\n")
    document = read_document(name, old)
    start, end = _extent(old, document.lines)
    lines = old.splitlines(keepends=True)
    try:
        block = _with_block("".join(lines[start:end]), learned)
        new = _spliced("".join(lines[:start]), block, "".join(lines[end:]))
        said = read_document(name, new).data
    except (YAMLError, ConfigError):  # an alias to elsewhere; braces around the whole file
        said = None
    if said != _expected(document.data, learned):
        raise ConfigError(
            "the `project:` block cannot be changed without changing what stands around it",
            where=name,
            fix=_BY_HAND + render_block(learned),
        )
    return new.replace("\n", ending)


def _extent(text: str, lines: Mapping[tuple[str | int, ...], int]) -> tuple[int, int]:
    """Return where the block begins and ends; both at the end of the text without one."""
    count = len(text.splitlines())
    start = lines.get(("project",))
    if start is None:
        return count, count
    later = [line for path, line in lines.items() if len(path) == 1 and line > start]
    end = min(later, default=count + 1) - 1
    # Comments and empty lines at the margin belong to what comes after.
    while end > start and re.match(r"#|\s*$", text.splitlines()[end - 1]):
        end -= 1
    return start - 1, end


def _with_block(text: str, learned: Learned) -> str:
    writer = _writer()
    data = writer.load(text) or CommentedMap()
    mapping, offset = _indents(text)
    writer.indent(mapping=mapping, sequence=offset + 2, offset=offset)
    if not isinstance(data.get("project"), MutableMapping):
        data["project"] = CommentedMap()
    _add(data["project"], learned)
    return _dump(data, writer)


def _indents(text: str) -> tuple[int, int]:
    """Return how far the block's keys and the items of its lists are indented."""
    lines = [line for line in text.splitlines() if not re.match(r"\s*(#|$)", line)]
    depths = [len(line) - len(line.lstrip()) for line in lines]
    mapping = next((depth for depth in depths if depth), 2)
    for above, place in itertools.pairwise(range(len(lines))):
        if lines[place].lstrip().startswith("- ") and lines[above].rstrip().endswith(":"):
            return mapping, depths[place] - depths[above]
    return mapping, 2


def _spliced(before: str, block: str, after: str) -> str:
    if before and not before.endswith("\n"):
        before += "\n"
    return before + block + after


def _add(project: CommentedMap, learned: Learned) -> CommentedMap:
    """Add what was learned to a block; what stands there already stays."""
    for key, texts in (("env", learned.env), ("home", learned.home)):
        if texts and not isinstance(project.get(key), MutableMapping):
            project[key] = CommentedMap()
        for name, value in texts.items():
            project[key].setdefault(name, _scalar(value))
    words = [way.value for way in learned.start]
    for key, items in (("start", words), ("extensions", learned.extensions)):
        if items and not isinstance(project.get(key), list):
            project[key] = _flow([])
        for item in items:
            if item not in project[key]:
                project[key].append(_scalar(item))
    if learned.bootstrap is not None:
        project.setdefault("bootstrap", _scalar(learned.bootstrap))
    return project


def _expected(data: Mapping[str, Any], learned: Learned) -> Mapping[str, Any]:
    expected = copy.deepcopy(dict(data))
    plain = expected.get("project") or {}
    expected["project"] = plain
    for key, texts in (("env", learned.env), ("home", learned.home)):
        if texts:
            plain[key] = {**texts, **(plain.get(key) or {})}
    words = [way.value for way in learned.start]
    for key, items in (("start", words), ("extensions", learned.extensions)):
        if items:
            there = plain.get(key) or []
            plain[key] = [*there, *(item for item in items if item not in there)]
    if learned.bootstrap is not None:
        plain.setdefault("bootstrap", learned.bootstrap)
    return expected


def _scalar(text: str) -> str:
    """Return a text that is read as it is, quoted where it could be taken for another kind."""
    is_word = re.fullmatch(r"[A-Za-z][A-Za-z0-9_./-]*", text)
    is_other = text.lower() in ("true", "false", "yes", "no", "on", "off", "null", "y", "n")
    return text if is_word and not is_other else DoubleQuotedScalarString(text)


def _flow(items: Sequence[str]) -> CommentedSeq:
    sequence = CommentedSeq(items)
    sequence.fa.set_flow_style()
    return sequence


def _writer() -> YAML:
    writer = YAML()
    writer.Resolver = _AsWritten
    writer.preserve_quotes = True
    writer.width = 10_000
    writer.indent(mapping=2, sequence=4, offset=2)
    return writer


def _dump(data: Mapping[str, Any], writer: YAML) -> str:
    stream = io.StringIO()
    writer.dump(data, stream)
    return stream.getvalue()
