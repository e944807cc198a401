"""Remedies, split into what to read and what to paste."""

from __future__ import annotations

import ast
import re
import textwrap
import warnings
from dataclasses import dataclass

from gatekeeper.reporters import words

_SQL = re.compile(
    r"(?:--|(?:ALTER|BEGIN|COMMIT|CREATE|DELETE|DO|DROP|INSERT|LOCK|REINDEX|SELECT|SET|UPDATE"
    r"|VACUUM|WITH)\s).*;\s*(?:--[^\n]*)?\Z",
    re.DOTALL,
)
_SHELL = re.compile(r"(?:\$ )?(?:alembic|flask db|gatekeeper|git|pip|psql|uv) [^\n]*[^\n.:]\Z")
_FENCE = re.compile(r"^```\w*$", re.MULTILINE)
_MAX_PARSED = 8_000


@dataclass(frozen=True)
class Block:
    """A part of a remedy; `language` is None where it is prose."""

    language: str | None
    text: str


def read_blocks(remedy: str) -> tuple[Block, ...]:
    """Split a remedy at empty lines into prose and code; neighbours of a kind are joined."""
    blocks: list[Block] = []
    for paragraph in re.split(r"\n\s*\n", _FENCE.sub("", words.visible(remedy))):
        for block in _split_paragraph(paragraph.strip("\n")):
            if blocks and blocks[-1].language == block.language:
                block = Block(block.language, f"{blocks.pop().text}\n\n{block.text}")
            blocks.append(block)
    return tuple(blocks)


def _split_paragraph(paragraph: str) -> list[Block]:
    text = textwrap.dedent(paragraph)
    if not text.strip():
        return []
    language = _language(text)
    if language is None and all(line.startswith("    ") for line in paragraph.split("\n")):
        language = "text"
    first, newline, rest = paragraph.partition("\n")
    if language is None and newline and first.rstrip().endswith(":"):
        return [Block(None, first.strip()), *_split_paragraph(rest)]
    return [Block(language, text.rstrip() if language else text.strip())]


def _language(text: str) -> str | None:
    if _SQL.match(text.strip()):
        return "sql"
    if all(_SHELL.match(line) for line in text.strip().split("\n")):
        return "sh"
    return "python" if _is_python(text) else None


def _is_python(text: str) -> bool:
    """True for text that parses and does something; a lone word or name does not."""
    if len(text) > _MAX_PARSED:
        return False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # invalid escapes in the strings
            body = ast.parse(text.replace("…", "...")).body  # … stands for what is theirs
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return False
    if not body:  # comments alone, such as a waiver
        return text.lstrip().startswith("#")
    plain = (ast.Name, ast.Constant, ast.Tuple, ast.Attribute, ast.Compare, ast.BoolOp)
    return not all(isinstance(s, ast.Expr) and isinstance(s.value, plain) for s in body)
