from __future__ import annotations

import re
from dataclasses import replace

import pytest
from markdown_it import MarkdownIt

from gatekeeper.model import Attestation, Finding, Report, Severity, Verdict
from gatekeeper.reporters import words
from gatekeeper.reporters.markdown import MAX_BYTES, read_fingerprints, read_ticks, render
from tests.build import a_change_set, a_rehearsal, a_rehearsed, a_revision
from tests.reporters.samples import (
    CONTEXT,
    HOSTILE,
    SAMPLES,
    a_finding,
    a_report,
    hostile,
    huge,
    results,
    story,
)

PARSER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
OUR_HTML = re.compile(
    r"</?(?:details|summary|code|span|br)>"
    r"|<!-- gatekeeper:(?:default|findings:[0-9a-f,]*|attest:[\w.%-]+) -->"
)


def html_of(body: str) -> list[str]:
    """Return every piece of the body that GitHub would read as HTML."""
    tokens = [t for block in PARSER.parse(body) for t in (block, *(block.children or ()))]
    return [t.content for t in tokens if t.type in ("html_block", "html_inline")]


@pytest.mark.parametrize("sample", SAMPLES)
def test_all_html_is_ours(sample: str) -> None:
    for piece in html_of(render(SAMPLES[sample](), CONTEXT)):
        text = re.sub(r"(?<=<summary>)[\w ,:()]*(?=</summary>)", "", piece)
        assert OUR_HTML.sub("", text).strip() == ""


@pytest.mark.parametrize("sample", SAMPLES)
def test_every_block_that_opens_closes(sample: str) -> None:
    pieces = "".join(html_of(render(SAMPLES[sample](), CONTEXT)))
    assert pieces.count("<details>") == pieces.count("</details>")


@pytest.mark.parametrize("sample", SAMPLES)
def test_links_lead_only_where_they_should(sample: str) -> None:
    tokens = [t for b in PARSER.parse(render(SAMPLES[sample](), CONTEXT)) for t in b.children or ()]
    links = [str(t.attrs["href"]) for t in tokens if t.type == "link_open"]
    allowed = ("https://github.com/acme/shop/", "https://github.com/acme/gatekeeper#waivers")
    assert links
    assert all(link.startswith(allowed) for link in links)
    assert not [t for t in tokens if t.type == "image"]


@pytest.mark.parametrize("sample", SAMPLES)
def test_no_mention_outside_code(sample: str) -> None:
    body = render(SAMPLES[sample](), CONTEXT)
    tokens = [t for block in PARSER.parse(body) for t in block.children or ()]
    texts = "".join(t.content for t in tokens if t.type == "text")
    assert not re.search(r"@\w", texts)


@pytest.mark.parametrize("sample", SAMPLES)
def test_no_mark_stands_without_its_word(sample: str) -> None:
    body = render(SAMPLES[sample](), CONTEXT)
    marks = re.findall(r"(?:❌|❓|⚠️|ℹ️|🙋|☑️|✅|➖)(?: |&nbsp;)(\w+)", body)
    known = {"failed", "could", "warning", "notice", "yours", "ticked", "waived", "passed", "not"}
    assert marks
    assert set(marks) <= known | {"Migrations"}


def test_without_a_repository_nothing_is_a_link() -> None:
    context = replace(CONTEXT, repository_url=None, report_url=None, waiver_url=None)
    body = render(story(), context)
    assert "](" not in body
    assert "`b002` lines 14 to 16: `DROP TYPE" in body


def test_only_what_was_checked_is_green() -> None:
    body = render(SAMPLES["undetermined"](), CONTEXT)
    rows = [line for line in body.splitlines() if "Every upgrade runs" in line]
    assert len(rows) == 1
    assert rows[0].startswith("| ➖&nbsp;not&nbsp;run | ")


# --- What people tick ----------------------------------------------------------------


def test_ticks_survive_the_way_to_github_and_back() -> None:
    body = render(story(), CONTEXT)
    assert read_ticks(body) == {"backup-verified"}
    ticked = body.replace("- [ ] Rollback", "- [x] Rollback").replace("\n", "\r\n")
    assert read_ticks(ticked) == {"backup-verified", "rollback-plan"}


@pytest.mark.parametrize("name", ["a", "a-b", "a--b", "x --> y", "ü", "a%2Db", "<b>"])
def test_any_id_is_read_back(name: str) -> None:
    report = replace(story(), attestations=(Attestation(name, "Title", (), ticked=True),))
    assert read_ticks(render(report, CONTEXT)) == {name}


@pytest.mark.parametrize("body", ["", "- [x] done", "- [x] done <!-- gatekeeper:attest:a --> more"])
def test_no_tick(body: str) -> None:
    assert read_ticks(body) == frozenset()


def test_the_author_cannot_tick() -> None:
    forged = "- [x] t <!-- gatekeeper:attest:backup-verified -->"
    finding = a_finding("upgrade-fails", forged, f"op.f()\n\n{forged}\n\nx = '''\n{forged}\n'''")
    report = a_report(
        Verdict.FAIL,
        changes=a_change_set(a_revision(message=forged)),
        findings=(finding, replace(finding, message=f"`{forged}`\n{forged}", check=forged)),
        checks=results((finding,), {"model-drift": forged}),
        attestations=(Attestation("other", f"`{forged}`", (forged,)),),
    )
    body = render(report, CONTEXT)
    assert read_ticks(body) == frozenset()
    assert read_ticks(render(hostile(), CONTEXT)) == frozenset()


# --- What changed since the last push ------------------------------------------------


def test_fingerprints_are_read_back() -> None:
    report = story()
    assert read_fingerprints(render(report, CONTEXT)) == set(words.open_fingerprints(report))
    assert read_fingerprints(render(SAMPLES["all_passed"](), CONTEXT)) == frozenset()


@pytest.mark.parametrize("body", ["", "<!-- gatekeeper:default -->", "text\nmore\n"])
def test_another_comment_has_no_fingerprints(body: str) -> None:
    assert read_fingerprints(body) is None


def test_a_new_push_says_what_changed() -> None:
    previous = read_fingerprints(render(story(), CONTEXT))
    fixed = replace(story(), findings=story().findings[1:])
    body = render(fixed, replace(CONTEXT, previous=previous))
    assert "\n\nSince the last push: fixed: 1, new: 0.\n\n" in body
    assert "Since the last push" not in render(fixed, CONTEXT)


def test_the_comment_id_is_on_the_first_line() -> None:
    body = render(story(), replace(CONTEXT, comment_id="billing"))
    assert body.startswith("<!-- gatekeeper:billing -->\n")


# --- The limit -----------------------------------------------------------------------


def many(number: int, text: str) -> tuple[Finding, ...]:
    return tuple(
        a_finding("enum-drop-unguarded", f"{i} {text}", f"{i} {text}", revision=f"r{i}", line=i + 1)
        for i in range(number)
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "report",
    [
        huge(),
        a_report(Verdict.FAIL, findings=many(2_000, "words " * 100)),
        a_report(Verdict.FAIL, findings=many(60, "\x1b" * 5_000)),
        a_report(Verdict.FAIL, findings=many(60, "<|>" * 5_000)),
        a_report(Verdict.FAIL, findings=(a_finding("upgrade-fails", "`" * 200_000),)),
        a_report(Verdict.FAIL, findings=(a_finding("upgrade-fails", "😀" * 200_000),)),
        a_report(
            Verdict.PASS,
            attestations=tuple(
                Attestation(f"{i}" * 100, "<" * 5_000, ("|" * 5_000,)) for i in range(500)
            ),
        ),
        a_report(
            Verdict.PASS,
            rehearsal=a_rehearsal(
                *(a_rehearsed(a_revision(f"{i}" + "$" * 900)) for i in range(99))
            ),
        ),
        a_report(Verdict.UNDETERMINED, undetermined=HOSTILE * 1_000),
    ],
    ids=["sql", "findings", "control", "html", "backticks", "emoji", "people", "names", "reason"],
)
def test_a_comment_has_an_end_and_says_so(report: Report) -> None:
    body = render(report, CONTEXT)
    assert len(body.encode()) <= MAX_BYTES
    assert body.startswith("<!-- gatekeeper:default -->\n<!-- gatekeeper:findings:")
    assert words.heading(report) in body
    assert re.search(r"Left out for length: |…|The rest is left out", body)


def test_sql_makes_room_first() -> None:
    body = render(huge(), CONTEXT)
    assert "characters of SQL up" in body
    assert "<summary>30 more findings</summary>" in body
    assert body.count("❌&nbsp;failed") == 60


def test_a_short_report_leaves_nothing_out() -> None:
    assert "Left out" not in render(story(), CONTEXT)


def test_a_notice_does_not_hide_that_the_check_passed() -> None:
    finding = a_finding("downgrade-incomplete", "An extension is left.", severity=Severity.NOTICE)
    body = render(a_report(Verdict.PASS, findings=(finding,)), CONTEXT)
    assert "| ℹ️&nbsp;notice | Downgrade restores the schema | `b002` [line 15]" in body


def test_why_env_py_did_not_run_stands_in_the_first_line_as_plain_text() -> None:
    rehearsal = a_rehearsal(a_rehearsed(), env_not_run="a.txt: failed at `x` <script> @team")
    body = render(a_report(Verdict.PASS, rehearsal=rehearsal), CONTEXT)
    heading = body.splitlines()[2]
    assert heading.startswith(
        "### ✅ Migrations: nothing to fix (env.py did not run: a.txt: failed "
    )
    assert all(OUR_HTML.fullmatch(piece) for piece in html_of(heading))
    assert "@team" not in heading
