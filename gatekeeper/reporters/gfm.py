"""GitHub-flavoured Markdown in which text of a pull request's author is only text.

What it must not be able to do: mention people, link issues, show images or links, draw
HTML, break out of a table, a fence or a line. See https://github.github.com/gfm/.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Mapping, Sequence
from urllib.parse import quote

from gatekeeper.reporters import words

# GitHub finds mentions and references in the rendered text, where an escape no longer
# shows; a zero-width space after the sign is what keeps them apart.
_APART = "&#8203;"
_PROSE = {
    **{c: f"\\{c}" for c in "\\*_[]~#!"},
    "`": "&#96;",  # so that every backtick in the text is one of a code span's
    "&": "&amp;",
    "<": "&lt;",
    ">": "&gt;",
    "|": "&#124;",
    "$": "<span>$</span>",  # GitHub's own advice against reading it as mathematics
}
_REFERENCE = re.compile(
    r"(?<=@)|(?<=#)(?=\d)|(?<=GH-)(?=\d)|(?<=:)(?=//)|(?<=www)(?=\.)", re.IGNORECASE
)
_LINE_START = re.compile(r"^(\d{0,9})([-+=.)])(?=\s|$|[-=])")
_CODE_IN_HTML = {c: f"&#{ord(c)};" for c in "\\`*_[]~#!|$&<>"}


def inline(text: str) -> str:
    """Return text on one line, with what stood in backticks as code."""
    spans = words.spans(words.one_line(text))
    parts = []
    for i, (part, is_code) in enumerate(spans):
        if is_code and i and spans[i - 1][1]:
            parts.append(" ")  # two code spans that touch would read as one
        parts.append(code(part) if is_code else prose(part))
    if parts and not spans[0][1]:
        parts[0] = _LINE_START.sub(r"\1\\\2", parts[0])
    return "".join(parts)


def prose(text: str) -> str:
    """Return text without any meaning in Markdown, but at the start of a line."""
    return _written(words.visible(text).replace("\n", " "), _PROSE)


def _written(text: str, escapes: Mapping[str, str]) -> str:
    parts = (escapes.get(c, c) for c in _REFERENCE.sub("\0", text))
    return "".join(parts).replace("\0", _APART)


def code(text: str) -> str:
    """Return a code span that may also stand in a table.

    A backslash before a pipe cannot be written in backticks there, and `[x]` anywhere in
    an item ticks its box, so such text becomes an element with character references; in
    it GitHub still looks for links.
    """
    text = words.one_line(text)
    if not text:
        return ""
    if re.search(r"[`\\|]|\[x\]", text, re.IGNORECASE):
        return f"<code>{_written(text, _CODE_IN_HTML)}</code>"
    return f"`{text}`"


def fence(text: str, language: str) -> str:
    """Return a code block whose fence is longer than any run of backticks in the text."""
    text = words.visible(text).rstrip("\n")
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    marks = "`" * max(3, longest + 1)
    return f"{marks}{language}\n{text}\n{marks}"


def link(text: str, url: str | None) -> str:
    """Return a link, the text alone where there is no URL; `text` is Markdown already."""
    return text if url is None else f"[{text}]({quote(url, safe=':/?#=&%@+,;~')})"


def file_url(
    repository_url: str | None,
    commit: str | None,
    path: str | None,
    line: int | None,
    end_line: int | None,
) -> str | None:
    """Return the web page of lines of a file in a commit."""
    if repository_url is None or commit is None or path is None:
        return None
    url = f"{repository_url}/blob/{commit}/{quote(path, safe='/', errors='replace')}"
    if line is None:
        return url
    return f"{url}#L{line}" if end_line in (None, line) else f"{url}#L{line}-L{end_line}"


def table(head: Sequence[str], rule: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table of cells that are Markdown already."""
    lines = [head, rule, *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def folded(title: str, content: str) -> str:
    """Return a block that opens on a click."""
    return f"<details><summary>{html.escape(title)}</summary>\n\n{content}\n\n</details>"
