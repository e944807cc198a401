"""The public pages of the checks, read from their docstrings."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from gatekeeper.model import Check, Needs

HEADINGS = (
    "What it finds",
    "Why it matters",
    "When it is fine",
    "How to fix",
    "Example",
    "Instead",
)


class Documented(Protocol):
    """A module whose docstring is the page of its `CHECK`."""

    __doc__: str | None
    CHECK: Check


@dataclass(frozen=True)
class Page:
    """A check's page: its first sentence, and the text under each of `HEADINGS`."""

    check: Check
    summary: str
    sections: Mapping[str, str]


def read_page(module: Documented) -> Page:
    """Return the page of one check."""
    summary, *lines = inspect.cleandoc(module.__doc__ or "").splitlines()
    sections: dict[str, list[str]] = {}
    current: list[str] = []
    for line in lines:
        if line in HEADINGS:
            current = sections.setdefault(line, [])
        else:
            current.append(line)
    texts = {heading: "\n".join(text).strip("\n") for heading, text in sections.items()}
    return Page(module.CHECK, summary, texts)


def read_example(page: Page, heading: str) -> str:
    """Return the code under `Example` or `Instead`, without its indentation."""
    return inspect.cleandoc("\n" + page.sections[heading])


def render_page(page: Page, level: int = 1) -> str:
    """Return one page as Markdown; `level` is that of its title."""
    marks = "#" * level
    needs = "a rehearsal" if page.check.needs is Needs.REHEARSAL else "the revision files only"
    parts = [f"{marks} `{page.check.id}`", f"**{page.check.title}** · needs {needs}"]
    for heading in HEADINGS:
        parts += [f"{marks}# {heading}", _render_text(page.sections[heading])]
    if page.check.options:
        rows = [f"- `{o.name}` (default `{o.default}`): {o.meaning}" for o in page.check.options]
        parts += [f"{marks}# Options", "\n".join(rows)]
    return "\n\n".join(parts) + "\n"


def render_reference(modules: Iterable[Documented]) -> str:
    """Return the reference of all checks, as `policies/checks.md` holds it."""
    pages = [read_page(module) for module in modules]
    table = [
        "| check | wanted state | needs |",
        "|---|---|---|",
        *(
            f"| [`{p.check.id}`](#{p.check.id}) | {p.check.title} | {p.check.needs.value} |"
            for p in pages
        ),
    ]
    head = (
        "# Checks\n\n"
        "Made from the docstrings in `gatekeeper/checks/`; the examples are run by the tests.\n\n"
    )
    return head + "\n".join(table) + "\n\n" + "\n".join(render_page(page, 2) for page in pages)


def _render_text(text: str) -> str:
    """Return a section with its indented blocks as fenced ones."""
    out: list[str] = []
    block: list[str] = []
    for line in [*text.splitlines(), "end"]:
        if line.startswith("    ") or (block and not line):
            block.append(line)
            continue
        if block:
            code = inspect.cleandoc("\n" + "\n".join(block))
            language = "python" if "def " in code or "revision = " in code else ""
            # As the formatter has it, which reads the code in Markdown, too.
            out += [f"```{language}", code.replace("\n\ndef ", "\n\n\ndef "), "```", ""]
            block = []
        out.append(line)
    return "\n".join(out[:-1]).strip()
