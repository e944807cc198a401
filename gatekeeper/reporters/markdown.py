"""The checklist as a GitHub comment and job summary.

GitHub refuses a comment of more than 65,536 characters, so what matters least (SQL first)
makes room, and the comment says what was left out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote, unquote

from gatekeeper.model import (
    Attestation,
    Difference,
    Finding,
    Lock,
    Outcome,
    Rehearsal,
    RehearsedRevision,
    Report,
    Severity,
    Statement,
    Step,
    Verdict,
)
from gatekeeper.reporters import gfm, mermaid, remedies, script, words
from gatekeeper.reporters.checklist import Mark, Row, read_checklist
from gatekeeper.reporters.context import RenderContext

# Counted in bytes of UTF-8, which are never fewer than GitHub's characters.
MAX_BYTES = 65_000

_MAX_PASSED = 8
_MAX_DIFFERENCES = 20
_TICK = re.compile(r"^- \[[xX]\] .*<!-- gatekeeper:attest:([^\s>]+) -->$")
_SEEN = re.compile(r"^<!-- gatekeeper:findings:([0-9a-f,]*) -->$")


@dataclass(frozen=True)
class _Room:
    """How much of each kind is shown."""

    sql: int = 60_000  # characters, of either direction
    statements: int = 60  # rows of a revision's table
    revisions: int = 60
    remedies: int = 60
    findings: int = 30  # rows of the checklist; as many again are folded
    rows: int = 200  # rows of any other mark
    text: int = 2_000  # characters of one message


_LESS_AND_LESS = (
    _Room(),
    _Room(sql=20_000),
    _Room(sql=5_000),
    _Room(sql=0),
    _Room(sql=0, statements=10),
    _Room(sql=0, statements=10, revisions=10),
    _Room(sql=0, revisions=0),
    _Room(sql=0, revisions=0, remedies=10, text=1_000),
    _Room(sql=0, revisions=0, remedies=1, rows=60, text=500),
    _Room(sql=0, revisions=0, remedies=1, findings=20, rows=30, text=250),
)


def render(report: Report, context: RenderContext) -> str:
    """Return the comment's whole text, its hidden marker on the first line."""
    rows = read_checklist(report, context.now.date())
    for room in _LESS_AND_LESS:
        text = _render(report, rows, context, room)
        if len(text.encode()) <= MAX_BYTES:
            return text
    cut = text.encode()[: MAX_BYTES - 100].decode(errors="ignore").rpartition("\n")[0]
    return (
        f"{cut}\n\nThe rest is left out: a comment of GitHub's has an end. See the full report.\n"
    )


def render_attestations(report: Report) -> str:
    """Return the lines that only people can tick, as `read_ticks` finds them; none is empty."""
    return "\n".join(_attestation(item, _Room()) for item in report.attestations)


def read_ticks(comment_body: str) -> frozenset[str]:
    """Return the ids of the attestations that people ticked in a rendered comment or plan.

    Only lines above the first code block count: whatever the pull request's author wrote
    stands on one line there, before the comment that carries the id.
    """
    lines = comment_body.replace("\r\n", "\n").split("\n")
    fences = (i for i, line in enumerate(lines) if line.startswith("```"))
    ticks = (_TICK.match(line.rstrip()) for line in lines[: next(fences, len(lines))])
    return frozenset(unquote(tick[1]) for tick in ticks if tick)


def read_fingerprints(comment_body: str) -> frozenset[str] | None:
    """Return the fingerprints that a rendered comment carries in its second line."""
    lines = comment_body.replace("\r\n", "\n").split("\n", 2)
    seen = _SEEN.match(lines[1].rstrip()) if len(lines) > 1 else None
    return None if seen is None else frozenset(filter(None, seen[1].split(",")))


def _render(report: Report, rows: tuple[Row, ...], context: RenderContext, room: _Room) -> str:
    cut: list[str] = []
    blocks = [_hidden(report, context) + "\n" + _heading(report, room)]
    since = words.since_last(report, context.previous)
    if since is not None:
        blocks.append(since)
    if not words.is_untouched(report):
        blocks += _checklist(rows, report, context, room, cut)
        blocks += _attestations(report, room)
    blocks += _graph(report)
    blocks += _remedies(report, context, room, cut)
    if isinstance(report.rehearsal, Rehearsal):
        blocks += _rehearsal(report.rehearsal, context, report, room, cut)
    blocks += _to_save(report, room)
    if cut:
        blocks.append(f"Left out for length: {'; '.join(cut)}. The full report has everything.")
    blocks.append(_footer(report, context))
    return "\n\n".join(blocks) + "\n"


def _to_save(report: Report, room: _Room) -> list[str]:
    if report.to_save is None or not room.revisions:
        return []
    content = f"{words.TO_SAVE}\n\n{gfm.fence(report.to_save.rstrip(), 'yaml')}"
    return [gfm.folded("What had to be found out to run the project", content)]


def _hidden(report: Report, context: RenderContext) -> str:
    seen = ",".join(words.open_fingerprints(report)[:500])
    marker = quote(context.comment_id, safe="").replace("--", "-%2D")
    return f"<!-- gatekeeper:{marker} -->\n<!-- gatekeeper:findings:{seen} -->"


def _heading(report: Report, room: _Room) -> str:
    emoji = {Verdict.PASS: "✅", Verdict.FAIL: "❌", Verdict.UNDETERMINED: "❓"}[report.verdict]
    summary = gfm.inline(words.clipped(words.summary(report), room.text))
    return f"### {emoji} {gfm.inline(words.heading(report))}\n{summary}"


# --- The checklist -------------------------------------------------------------------


def _checklist(
    rows: tuple[Row, ...], report: Report, context: RenderContext, room: _Room, cut: list[str]
) -> list[str]:
    """Return the table, then what is folded away."""
    shown: list[Row] = []
    folded: list[Row] = []
    passed: list[Row] = []
    for mark in Mark:
        of_mark = [row for row in rows if row.mark is mark]
        if mark is Mark.PASSED:
            shown += of_mark[:_MAX_PASSED]
            passed = of_mark[_MAX_PASSED:]
            continue
        pointing = any(row.finding for row in of_mark)
        limit = room.findings if pointing else room.rows
        shown += of_mark[:limit]
        folded += of_mark[limit : 2 * limit] if pointing else []
        left = len(of_mark) - (2 * limit if pointing else limit)
        if left > 0:
            cut.append(f"{words.count(left, 'more row')} marked “{mark.word}”")
    blocks = [
        gfm.table(("", "Check", ""), (":-:", "---", "---"), _cells(shown, report, context, room))
    ]
    if folded:
        content = gfm.table(
            ("", "Check", ""), (":-:", "---", "---"), _cells(folded, report, context, room)
        )
        blocks.append(gfm.folded(words.count(len(folded), "more finding"), content))
    if passed:
        titles = "\n".join(f"- ✅ passed: {gfm.inline(row.title)}" for row in passed[: room.rows])
        title = f"{words.count(len(passed), 'more check')} passed"
        blocks.append(gfm.folded(title, titles))
    return blocks


def _cells(
    rows: list[Row], report: Report, context: RenderContext, room: _Room
) -> list[tuple[str, str, str]]:
    cells = []
    for row in rows:
        detail = gfm.inline(words.clipped(row.detail, room.text))
        if row.finding is not None:
            place = _place(row.finding, report, context)
            detail = f"{place}: {detail}" if place else detail
        title = gfm.inline(words.clipped(row.title, room.text))
        mark = f"{row.mark.emoji} {row.mark.word}".replace(" ", "&nbsp;")  # on one line
        cells.append((mark, title, detail))
    return cells


def _place(finding: Finding, report: Report, context: RenderContext) -> str:
    """Return the revision and the line, which is a link where the repository is known."""
    commit = words.commit_of(finding, report.changes, context.head_sha)
    url = gfm.file_url(context.repository_url, commit, finding.path, finding.line, finding.end_line)
    lines = words.lines(finding)
    name = finding.revision or finding.path
    named = [] if name is None else [gfm.code(words.clipped(name, 100))]
    if lines is None:
        return "".join(gfm.link(text, url) for text in named)
    return " ".join([*named, gfm.link(lines, url)])


def _attestations(report: Report, room: _Room) -> list[str]:
    if not report.attestations:
        return []
    items = [_attestation(item, room) for item in report.attestations[: room.rows]]
    return ["**Yours to tick** (gatekeeper cannot see these)\n\n" + "\n".join(items)]


def _attestation(item: Attestation, room: _Room) -> str:
    box = "x" if item.ticked else " "
    title = gfm.inline(words.clipped(item.title, room.text))
    waiting = gfm.inline(words.clipped(", ".join(item.required_for), room.text))
    needed = f" (needed for {waiting})" if waiting else ""
    name = quote(item.id, safe="").replace("--", "-%2D")
    return f"- [{box}] {title}{needed} <!-- gatekeeper:attest:{name} -->"


def _graph(report: Report) -> list[str]:
    picture = mermaid.draw_graph(report.changes)
    if picture is None:
        return []
    note = f" The newest are drawn, {picture.left_out} more are not." if picture.left_out else ""
    heads = report.changes.merged_heads
    tip = report.changes.base_tip
    after = f" after merging {gfm.code(tip)}" if tip and len(heads) > 1 else ""
    many = words.count(max(len(heads), len(report.changes.head_heads)), "head")
    return [f"**Revisions**: {many}{after}.{note}\n\n{gfm.fence(picture.source, 'mermaid')}"]


# --- Remedies ------------------------------------------------------------------------


def _remedies(report: Report, context: RenderContext, room: _Room, cut: list[str]) -> list[str]:
    """Return the worst finding's remedy in the open and the others folded, each once."""
    by_remedy: dict[str, list[Finding]] = {}
    for finding in words.open_findings(report, Severity.NOTICE):
        if finding.remedy.strip():
            by_remedy.setdefault(finding.remedy, []).append(finding)
    blocks = [_remedy(remedy, found, report, context, room) for remedy, found in by_remedy.items()]
    if not blocks:
        return []
    rest = blocks[1 : room.remedies]
    result = ["**How to fix** " + blocks[0]]
    if rest:
        title = f"How to fix the rest ({words.count(len(rest), 'remedy', 'remedies')})"
        result.append(gfm.folded(title, "\n\n".join(rest)))
    if len(blocks) > room.remedies:
        left = words.count(len(blocks) - room.remedies, "remedy", "remedies")
        cut.append(left)
    return result


def _remedy(
    remedy: str, found: list[Finding], report: Report, context: RenderContext, room: _Room
) -> str:
    title = f"“{gfm.inline(words.clipped(words.title_of(report, found[0]), room.text))}”"
    places = [_place(finding, report, context) for finding in found]
    where = ", ".join(place for place in places[:5] if place)
    if len(places) > 5:
        where += f" and {len(places) - 5} more"
    parts = [f"{title} ({where})" if where else title]
    for block in remedies.read_blocks(words.clipped(remedy, 2 * room.text)):
        if block.language is None:
            parts += [gfm.inline(paragraph) for paragraph in block.text.split("\n\n")]
        else:
            parts.append(gfm.fence(block.text, block.language))
    return "\n\n".join(parts)


# --- What was seen -------------------------------------------------------------------


def _rehearsal(
    rehearsal: Rehearsal, context: RenderContext, report: Report, room: _Room, cut: list[str]
) -> list[str]:
    blocks = []
    picture = mermaid.draw_locks(rehearsal)
    if picture is not None and room.revisions:
        note = (
            "Statements end to end, as timed here. A lock taken in a transaction is drawn to the "
            "end of its revision; one transaction around several revisions holds it longer."
        )
        if picture.left_out:
            note += f" {words.count(picture.left_out, 'more lock')} not drawn."
        content = f"{note}\n\n{gfm.fence(picture.source, 'mermaid')}"
        blocks.append(gfm.folded("Locks that block reads or writes", content))
    shown = rehearsal.revisions[: room.revisions]
    if shown:
        parts = [_revision(r, rehearsal, room) for r in shown]
        if rehearsal.project:
            parts.append("How the project was run: " + gfm.inline("; ".join(rehearsal.project)))
        title = "Per revision: statements, locks, rewrites, rows, time"
        blocks.append(gfm.folded(title, "\n\n".join(parts)))
    if len(shown) < len(rehearsal.revisions):
        cut.append(
            f"the details of {words.count(len(rehearsal.revisions) - len(shown), 'revision')}"
        )
    blocks += _sql("SQL up", rehearsal.deploy, room, cut)
    blocks += _sql("SQL down", [r.downgrade for r in reversed(rehearsal.revisions)], room, cut)
    return blocks


def _revision(rehearsed: RehearsedRevision, rehearsal: Rehearsal, room: _Room) -> str:
    revision = rehearsed.revision
    upgrade = rehearsal.deployed(revision) or rehearsed.upgrade
    message = gfm.inline(words.clipped(revision.message, 200))
    lines = [
        f"**{gfm.code(revision.revision)}** {message}",
        "\n".join(
            [
                f"- upgrade: {_step(upgrade)}",
                f"- downgrade: {_step(rehearsed.downgrade)}",
                f"- second upgrade: {_step(rehearsed.reupgrade)}",
                f"- schema after up and down: {_differences(rehearsed.round_trip)}",
                f"- schema after the second upgrade: {_differences(rehearsed.second_upgrade)}",
            ]
        ),
    ]
    statements = upgrade.statements[: room.statements]
    if statements:
        head = ("#", "Line", "Statement", "Time", "Rows", "Locks on what was there", "Rewrites")
        rule = ("--:", "--:", "---", "--:", "--:", "---", "---")
        lines.append(gfm.table(head, rule, [_statement(s) for s in statements]))
    if len(statements) < len(upgrade.statements):
        left = len(upgrade.statements) - len(statements)
        lines.append(f"{words.count(left, 'more statement')} not listed here.")
    return "\n\n".join(lines)


def _step(step: Step) -> str:
    if step.outcome is Outcome.SKIPPED:
        return (
            f"not run: {gfm.inline(words.clipped(step.reason or 'the reason is not known', 300))}"
        )
    did = f"{step.outcome.value} in {words.seconds(step.seconds)}"
    if step.error is None:
        return f"{did}, {words.count(len(step.statements), 'statement')}"
    return f"{did}: {gfm.inline(words.clipped(words.one_line(step.error.message), 300))}"


def _differences(differences: tuple[Difference, ...] | None) -> str:
    if differences is None:
        return "not compared"
    if not differences:
        return "identical"
    shown = "; ".join(
        gfm.inline(words.clipped(str(d), 200)) for d in differences[:_MAX_DIFFERENCES]
    )
    left = len(differences) - _MAX_DIFFERENCES
    return f"{shown} and {left} more" if left > 0 else shown


def _statement(statement: Statement) -> tuple[str, ...]:
    if statement.locks is None:
        locks = "not observed"
    else:
        locks = _some([_lock(lock) for lock in statement.locks], "<br>")
    return (
        str(statement.ordinal),
        "" if statement.line is None else str(statement.line),
        _sql_and_database(statement),
        words.seconds(statement.seconds),
        "" if statement.rows is None else f"{statement.rows:,}",
        locks,
        _some([gfm.code(relation) for relation in statement.rewrites], ", "),
    )


def _sql_and_database(statement: Statement) -> str:
    sql = gfm.code(words.clipped(words.one_line(statement.sql), 120))
    return sql if statement.database is None else f"{gfm.inline(statement.database)}: {sql}"


def _lock(lock: Lock) -> str:
    taken = f"{lock.mode.manual_name} on {gfm.code(lock.relation)}"
    return f"{taken}, blocks {lock.mode.blocks}" if lock.mode.blocks else taken


def _some(items: list[str], between: str) -> str:
    """Return the first items, how many more there are, and "none" where there is none."""
    more = [f"{len(items) - 10} more"] if len(items) > 10 else []
    return between.join([*items[:10], *more]) or "none"


def _sql(
    title: str, steps: list[Step] | tuple[Step, ...], room: _Room, cut: list[str]
) -> list[str]:
    statements = [s for step in steps for s in step.statements]
    if not statements:
        return []
    text = script.join_statements(statements)
    left = len(text) - room.sql
    if left > 0:
        cut.append(f"{left:,} of {len(text):,} characters of {title}")
        if room.sql == 0:
            return []
        text = f"{text[: room.sql]}\n\n-- {left:,} more characters are left out here"
    many = words.count(len(statements), "statement")
    return [gfm.folded(f"{title} ({many})", gfm.fence(text, "sql"))]


def _footer(report: Report, context: RenderContext) -> str:
    where = words.where(report, context.head_sha)
    links = [
        gfm.link(text, url)
        for text, url in (
            ("Full report", context.report_url),
            ("How to waive a finding", context.waiver_url),
        )
        if url is not None
    ]
    return " · ".join([gfm.inline(where), *links])
