"""Workflow commands, outputs and the job summary, as text and as the runner's files.

https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands
The runner takes any line of a step's output that starts with `::` (or holds `##[`) for a
command, so whatever comes from the project goes through `shield`.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from pathlib import Path

ANNOTATIONS_A_STEP = 10  # of each level; GitHub drops the rest without a word
SUMMARY_BYTES = 1024 * 1024  # a step's share; one byte more and GitHub shows none of it

_LEVELS = ("error", "warning", "notice")


def mask(secret: str) -> str:
    """Return the commands that make the runner hide a secret wherever it is logged.

    A secret of several lines is masked line by line: the log is written by lines.
    """
    return "".join(f"::add-mask::{_data(line)}\n" for line in secret.splitlines() if line.strip())


def annotation(level: str, title: str, message: str) -> str:
    """Return an annotation that belongs to no file."""
    return f"::{level} title={_property(title)}::{_data(message)}\n"


def group(title: str, text: str) -> str:
    """Return text from the project as a folded group in which no line is a command."""
    return f"::group::{_data(title)}\n{shield(text)}::endgroup::\n"


def shield(text: str) -> str:
    """Return text that the runner prints and does not obey.

    The word that ends the protection is random, so that the text cannot contain it.
    """
    end = secrets.token_hex(16)
    newline = "" if text.endswith("\n") else "\n"
    return f"::stop-commands::{end}\n{text}{newline}::{end}::\n"


def step_line(text: str) -> str:
    """Return a step of ours as a line of the log that is no command, whatever it names."""
    return f"· {' '.join(text.split()).replace('##[', '## [')}\n"


def limit_annotations(commands: str) -> str:
    """Return the annotations that GitHub will show, with the worst level first.

    Of each level a step shows ten; where there are more, the tenth place says how many
    are left out. Lines that are not annotations are dropped.
    """
    kept: list[str] = []
    for level in _LEVELS:
        lines = [
            line
            for line in commands.splitlines()
            if line.startswith((f"::{level} ", f"::{level}::"))
        ]
        if len(lines) > ANNOTATIONS_A_STEP:
            left_out = len(lines) - ANNOTATIONS_A_STEP + 1
            more = annotation(
                level, "More in the job summary", f"{left_out} more of level {level}."
            )
            lines = [*lines[: ANNOTATIONS_A_STEP - 1], more.rstrip("\n")]
        kept.extend(lines)
    return "".join(f"{line}\n" for line in kept)


def write_outputs(path: Path, outputs: Mapping[str, str]) -> None:
    """Append the outputs; a value can neither end itself nor begin another output."""
    with path.open("a", encoding="utf-8", newline="\n") as file:
        for name, value in outputs.items():
            delimiter = f"end_{secrets.token_hex(16)}"
            file.write(f"{name}<<{delimiter}\n{value}\n{delimiter}\n")


def write_summary(path: Path, markdown: str) -> None:
    """Append to the job summary, cut at a line where a step's share is used up."""
    there = path.stat().st_size if path.exists() else 0
    text = _fit(markdown if markdown.endswith("\n") else f"{markdown}\n", SUMMARY_BYTES - there)
    with path.open("a", encoding="utf-8", newline="\n") as file:
        file.write(text)


def _fit(text: str, room: int) -> str:
    data = text.encode()
    if len(data) <= room:
        return text
    note = "\n\n</details>\n\nCut here, at GitHub's 1 MiB. The report folder holds all of it.\n"
    cut = data[: max(0, room - len(note.encode()))].decode(errors="ignore")
    return cut.rpartition("\n")[0] + note if room > len(note.encode()) else ""


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
