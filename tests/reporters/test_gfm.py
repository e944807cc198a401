"""What the author of a pull request writes is text, held against a Markdown parser."""

from __future__ import annotations

import html
import re

import pytest
from markdown_it import MarkdownIt

from gatekeeper.reporters import gfm, words
from tests.reporters.samples import HOSTILE

PARSER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
TEXTS = [
    "plain words",
    "snake_case_name and 2 * 3",
    "`orders.status` is `NOT NULL`",
    "`a|b` and `a\\|b` and `a\\`",
    "a | b \\| c \\",
    "*bold* _it_ ~~gone~~ # x",
    "<b>bold</b> <!-- hidden --> &amp; &#64;",
    "[text](https://evil.example) ![x](y) <https://evil.example>",
    "1. list",
    "1) list",
    "- item",
    "+ item",
    "# heading",
    "> quote",
    "=== and ---",
    "```",
    "`` ` ``",
    "`a``b`",
    "`a` `` `b`",
    "`<img src=x>``<img src=y>`<img src=z>`",
    "x\\`<img src=x>`\\",
    "   leading",
    HOSTILE,
]


def read(rendered: str) -> str:
    """Return what a person reads: no tags, no code marks, no zero-width spaces."""
    text = html.unescape(re.sub(r"</?(p|code|span|td)>", "", rendered))
    return " ".join(text.replace("\u200b", "").split())


def written(text: str) -> str:
    parts = words.spans(words.one_line(text))
    return "".join(part for part, _ in parts).replace(" ", "")


@pytest.mark.parametrize("text", TEXTS)
def test_inline_reads_as_written(text: str) -> None:
    rendered = PARSER.render(gfm.inline(text)).strip()
    assert re.fullmatch(r"<p>.*</p>", rendered)
    assert "<" not in re.sub(r"</?(code|span|p)>", "", rendered)
    assert read(rendered).replace(" ", "") == written(text)


@pytest.mark.parametrize("text", TEXTS)
def test_a_cell_stays_one_cell(text: str) -> None:
    table = gfm.table(("a", "b"), ("---", "---"), [(gfm.inline(text), "last")])
    rendered = PARSER.render(table)
    cells = re.findall(r"<td>(.*?)</td>", rendered, re.DOTALL)
    assert [read(cell).replace(" ", "") for cell in cells] == [written(text), "last"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("in b002.py line 3", "in b002.py line 3"),
        ("1.5 s", "1.5 s"),
        ("@acme/team", "@&#8203;acme/team"),
        ("#12 GH-12", "\\#&#8203;12 GH-&#8203;12"),
        ("https://a.example www.a.example", "https:&#8203;//a.example www&#8203;.a.example"),
        ("costs $5", "costs <span>$</span>5"),
        ("`a[0]` `[x]`", "`a[0]` <code>&#91;x&#93;</code>"),
        ("`@a|b.example`", "<code>@&#8203;a&#124;b.example</code>"),
    ],
)
def test_no_mention_reference_or_link(text: str, expected: str) -> None:
    assert gfm.inline(text) == expected


@pytest.mark.parametrize("text", ["SELECT 1", "```", "a\n````\nb", HOSTILE, ""])
def test_a_fence_holds_its_text(text: str) -> None:
    tokens = PARSER.parse(gfm.fence(text, "sql") + "\n\nafter")
    assert [t.type for t in tokens][:2] == ["fence", "paragraph_open"]
    assert tokens[0].content == words.visible(text).rstrip("\n") + "\n"
    assert tokens[0].info == "sql"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("https://g/r", "abc", "v/b.py", 3, 3), "https://g/r/blob/abc/v/b.py#L3"),
        (("https://g/r", "abc", "v/b.py", 3, 9), "https://g/r/blob/abc/v/b.py#L3-L9"),
        (("https://g/r", "abc", "v/b.py", None, None), "https://g/r/blob/abc/v/b.py"),
        (
            ("https://g/r", "abc", "a) b#c?.py", 1, None),
            "https://g/r/blob/abc/a%29%20b%23c%3F.py#L1",
        ),
        ((None, "abc", "v/b.py", 3, 3), None),
        (("https://g/r", None, "v/b.py", 3, 3), None),
        (("https://g/r", "abc", None, 3, 3), None),
    ],
)
def test_file_url(arguments: tuple[object, ...], expected: str | None) -> None:
    assert gfm.file_url(*arguments) == expected


def test_a_link_without_url_is_its_text() -> None:
    assert gfm.link("line 3", None) == "line 3"
    assert gfm.link("line 3", "https://g/a) b") == "[line 3](https://g/a%29%20b)"
