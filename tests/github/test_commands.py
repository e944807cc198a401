from __future__ import annotations

from pathlib import Path

import pytest

from gatekeeper.github.commands import (
    SUMMARY_BYTES,
    annotation,
    group,
    limit_annotations,
    mask,
    shield,
    step_line,
    write_outputs,
    write_summary,
)


def commands_obeyed(log: str) -> list[str]:
    """Return the commands that a runner takes from a log, as actions/runner reads it."""
    obeyed, stopped = [], None
    for line in log.split("\n"):
        stripped = line.lstrip()
        if stopped is not None:
            if stripped == f"::{stopped}::":
                stopped = None
        elif stripped.startswith("::stop-commands::"):
            stopped = stripped.removeprefix("::stop-commands::")
        elif stripped.startswith("::") or "##[" in line:
            obeyed.append(stripped)
    return obeyed


def outputs_read(text: str) -> dict[str, str]:
    """Return what a runner reads from the output file."""
    found, lines = {}, iter(text.split("\n"))
    for line in lines:
        if "<<" in line:
            name, _, delimiter = line.partition("<<")
            found[name] = "\n".join(iter(lambda: next(lines), delimiter))
        elif line:
            name, _, value = line.partition("=")
            found[name] = value
    return found


@pytest.mark.parametrize(
    "text",
    [
        "all well\n",
        "no newline at the end",
        "::error::made up\n::set-output name=verdict::pass\n",
        "  ::add-mask::a\n##[error]made up\n",
        "::stop-commands::mine\n::mine::\n::warning::after my own end\n",
        "",
    ],
)
def test_text_of_the_project_is_never_a_command(text: str) -> None:
    assert commands_obeyed(shield(text)) == []
    assert text in shield(text)


def test_a_step_is_one_line_and_never_a_command() -> None:
    assert step_line("Starting PostgreSQL") == "· Starting PostgreSQL\n"
    for text in ("::error::made up", "by `make`\n::error::made up", "by `##[error]made up`"):
        assert commands_obeyed(step_line(text)) == []


def test_commands_after_the_text_are_obeyed() -> None:
    log = shield("::error::made up") + annotation("notice", "t", "m")
    assert commands_obeyed(log) == ["::notice title=t::m"]


def test_a_group_is_closed_after_hostile_text() -> None:
    log = group("Report: 50 %\nnext", "::endgroup::\n::error::made up\n")
    assert commands_obeyed(log) == ["::group::Report: 50 %25%0Anext", "::endgroup::"]


def test_an_annotation_is_one_line() -> None:
    assert annotation("error", "a, b: 5 %", "first\r\nsecond: 10 %, done") == (
        "::error title=a%2C b%3A 5 %25::first%0D%0Asecond: 10 %25, done\n"
    )


def test_a_secret_is_masked_line_by_line() -> None:
    assert mask("one") == "::add-mask::one\n"
    assert mask("one\n\n two %\n") == "::add-mask::one\n::add-mask:: two %25\n"
    assert mask("") == ""


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("", ""),
        ("::error file=a.py,line=3::x\n", "::error file=a.py,line=3::x\n"),
        (
            "::notice::c\n::warning::b\n::error::a\n",
            "::error::a\n::warning::b\n::notice::c\n",
        ),
        ("text\n::set-output name=a::b\n::errors::x\n", ""),
        ("::error::x\n" * 10, "::error::x\n" * 10),
        (
            "::error::x\n" * 13 + "::warning::y\n",
            "::error::x\n" * 9
            + "::error title=More in the job summary::4 more of level error.\n"
            + "::warning::y\n",
        ),
    ],
    ids=["none", "one", "worst first", "no annotation", "ten", "thirteen"],
)
def test_no_more_annotations_are_made_than_github_shows(given: str, shown: str) -> None:
    assert limit_annotations(given) == shown


def test_outputs_are_read_back(tmp_path: Path) -> None:
    path = tmp_path / "output"
    path.write_text("earlier=kept\n", encoding="utf-8")
    outputs = {"verdict": "pass", "empty": "", "lines": "a\nverdict=fail\n\nb", "euro": "€"}
    write_outputs(path, outputs)
    write_outputs(path, {"later": "x<<y"})
    assert outputs_read(path.read_text(encoding="utf-8")) == {
        "earlier": "kept",
        **outputs,
        "later": "x<<y",
    }


def test_the_summary_is_appended(tmp_path: Path) -> None:
    path = tmp_path / "summary"
    write_summary(path, "### one")
    write_summary(path, "### two\n")
    assert path.read_text(encoding="utf-8") == "### one\n### two\n"


@pytest.mark.parametrize("earlier", [0, 300_000])
def test_a_summary_over_the_limit_is_cut_at_a_line(tmp_path: Path, earlier: int) -> None:
    path = tmp_path / "summary"
    path.write_text("x" * earlier, encoding="utf-8")
    write_summary(path, "### head\n" + "wörter und wörter\n" * 100_000)
    text = path.read_text(encoding="utf-8")
    assert SUMMARY_BYTES - 200 < path.stat().st_size <= SUMMARY_BYTES
    assert text[earlier:].startswith("### head\nwörter und wörter\n")
    assert text.endswith(
        "wörter und wörter\n\n</details>\n\n"
        "Cut here, at GitHub's 1 MiB. The report folder holds all of it.\n"
    )


def test_a_summary_that_is_full_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "summary"
    path.write_text("x" * SUMMARY_BYTES, encoding="utf-8")
    write_summary(path, "### head\n")
    assert path.stat().st_size == SUMMARY_BYTES
