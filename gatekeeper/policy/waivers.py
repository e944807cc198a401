"""Every waiver is in force.

What it finds

A comment `# gatekeeper: …` in a new or changed revision that does not do what it seems to:
it cannot be read, gives no reason, is past its `until` date, names a check that does not
exist, or matches no finding. It waives nothing then: what it was meant for still counts.

Why it matters

A waiver is a decision that somebody will want to understand later. Without a reason nobody
can. One that matches nothing stays behind when the code is mended, and silently accepts
the next finding in its place.

When it is fine

A waiver of a check that is off, or that could not look at everything, is left alone:
whether it matches cannot be told.

How to fix

Write `# gatekeeper: allow[check-id] reason` on a line of the statement, on the line above
it, or at the top of the file for the whole revision. Several checks are separated by
commas; `until=2027-01-31` in front of the reason ends the waiver after that day. Remove a
waiver that matches nothing. A finding of this check itself cannot be waived.

Example

    def upgrade():
        # gatekeeper: allow[index-not-concurrent]
        op.create_index("ix_orders_note", "orders", ["note"])

Instead

    def upgrade():
        op.execute("SET LOCAL lock_timeout = '5s'")
        # gatekeeper: allow[index-not-concurrent] orders holds a few hundred rows
        op.create_index("ix_orders_note", "orders", ["note"])
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
import warnings
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date

from gatekeeper.model import Basis, Check, Finding, Needs, Revision, Waiver
from gatekeeper.policy.schema import suggestion

CHECK = Check(
    id="unusable-waiver",
    title="Waivers are in force",
    group="policy",
    needs=Needs.SOURCE,
)

_MARK = re.compile(r"#\s*gatekeeper\s*:\s*(?P<text>.*)")
_ALLOW = re.compile(
    r"allow\s*\[(?P<checks>[^\]]*)\][\s:–—-]*"
    r"(?:until\s*=\s*(?P<until>\S*)[\s:–—-]*)?(?P<reason>.*)"
)
_REMEDY = "Write `# gatekeeper: allow[{checks}] why this is accepted here`."


@dataclass(frozen=True)
class WaiverComment:
    """A waiver and where it reaches: the whole revision, or the statements on `lines`.

    `is_readable` is False for a comment that addresses gatekeeper in other words than
    `allow[…]`; its waiver names no check then.
    """

    waiver: Waiver
    revision: str
    whole_revision: bool
    lines: tuple[int, ...]
    is_readable: bool


def read_waivers(revision: Revision) -> tuple[WaiverComment, ...]:
    """Return the waiver comments of a revision file, in the order of their lines.

    Comments are told from strings by the tokenizer. A file that it refuses has none:
    nothing is waived in it.
    """
    if "gatekeeper" not in revision.source:
        return ()
    try:
        tokens = list(tokenize.generate_tokens(io.StringIO(revision.source).readline))
        first_line = _first_statement_line(_parse(revision.source))
    except (tokenize.TokenError, SyntaxError):
        return ()
    comments = [t for t in tokens if t.type == tokenize.COMMENT]
    alone = {t.start[0] for t in comments if not t.line[: t.start[1]].strip()}
    return tuple(
        _read_comment(revision, token.start[0], found["text"], alone, first_line)
        for token in comments
        if (found := _MARK.search(token.string))
    )


def apply_waivers(
    findings: Iterable[Finding],
    comments: Iterable[WaiverComment],
    revisions: Iterable[Revision],
    today: date,
) -> tuple[Finding, ...]:
    """Return the findings, each with the first waiver that is in force and reaches it."""
    in_force = [c for c in comments if _is_in_force(c, today)]
    with_waivers = {c.waiver.path for c in in_force}
    sources = {r.path: r.source for r in revisions if r.path in with_waivers}
    extents = {path: _statement_extents(source) for path, source in sources.items()}

    def waived(finding: Finding) -> Finding:
        for comment in in_force:
            if _reaches(comment, finding, extents):
                return replace(finding, waiver=comment.waiver)
        return finding

    return tuple(waived(finding) for finding in findings)


def find_unusable(
    comments: Iterable[WaiverComment],
    waived: Iterable[Finding],
    waivable: Collection[str],
    conclusive: Collection[str],
    today: date,
) -> Iterator[Finding]:
    """Yield a finding for each thing that keeps a waiver from being in force.

    `waivable` are all checks but those of the policy group. `waived` are their findings after
    `apply_waivers`, `conclusive` those of them that looked at everything: only there can
    be told that a waiver matches nothing.
    """
    used = {(f.waiver.path, f.waiver.line, f.check) for f in waived if f.waiver is not None}
    for comment in comments:
        waiver = comment.waiver
        where = f"The waiver on line {waiver.line} of `{comment.revision}`"
        if not comment.is_readable:
            yield _finding(
                comment,
                f"The comment on line {waiver.line} of `{comment.revision}` addresses "
                "gatekeeper, but is not a waiver that can be read.",
                _REMEDY.format(checks="check-id"),
            )
            continue
        for unknown in (c for c in waiver.checks if c not in waivable):
            yield _finding(
                comment,
                f"{where} names `{unknown}`, which is not a check that can be waived.",
                suggestion(unknown, waivable),
            )
        if not waiver.reason:
            yield _finding(
                comment,
                f"{where} gives no reason, so it does not apply.",
                _REMEDY.format(checks=", ".join(waiver.checks)),
            )
        until = None if waiver.until is None else _day(waiver.until)
        if waiver.until is not None and until is None:
            yield _finding(
                comment,
                f"{where} ends on `{waiver.until}`, which is not a date, so it does not apply.",
                "Write the date as `until=2027-01-31`.",
            )
        elif until is not None and until < today:
            yield _finding(
                comment,
                f"{where} ended on {waiver.until}, so it does not apply any more.",
                "Mend what it waived, or give it a new date and a reason that still holds.",
            )
        if _is_in_force(comment, today):
            looked = (c for c in waiver.checks if c in conclusive)
            idle = [c for c in looked if (waiver.path, waiver.line, c) not in used]
            if idle:
                names = ", ".join(f"`{c}`" for c in idle)
                yield _finding(
                    comment,
                    f"{where} matches no finding of {names}.",
                    "Remove it, or move it to the statement it is meant for.",
                )


def _finding(comment: WaiverComment, message: str, remedy: str) -> Finding:
    waiver = comment.waiver
    return Finding(
        check=CHECK.id,
        message=message,
        remedy=remedy,
        basis=Basis.READ,
        revision=comment.revision,
        path=waiver.path,
        line=waiver.line,
        end_line=waiver.line,
    )


def _read_comment(
    revision: Revision, line: int, text: str, alone: set[int], first_line: int | None
) -> WaiverComment:
    found = _ALLOW.match(text)
    names = found["checks"].split(",") if found else ()
    checks = tuple(name.strip() for name in names if name.strip())
    below = line + 1
    while below in alone:  # a reason may go on over several comment lines
        below += 1
    return WaiverComment(
        waiver=Waiver(
            path=revision.path,
            line=line,
            checks=checks,
            reason=found["reason"].strip() if found else "",
            until=found["until"] if found else None,
        ),
        revision=revision.revision,
        whole_revision=line in alone and (first_line is None or line < first_line),
        lines=(line, below) if line in alone else (line,),
        is_readable=bool(checks),
    )


def _is_in_force(comment: WaiverComment, today: date) -> bool:
    waiver = comment.waiver
    if not waiver.reason:
        return False
    if waiver.until is None:
        return True
    until = _day(waiver.until)
    return until is not None and today <= until


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def _reaches(
    comment: WaiverComment, finding: Finding, extents: Mapping[str, Sequence[range]]
) -> bool:
    waiver = comment.waiver
    if finding.check not in waiver.checks:
        return False
    if comment.whole_revision:
        return waiver.path == finding.path or comment.revision == finding.revision
    if waiver.path != finding.path or finding.line is None:
        return False
    lines = {*range(finding.line, (finding.end_line or finding.line) + 1)}
    around = (extent for extent in extents[waiver.path] if finding.line in extent)
    lines.update(*sorted(around, key=len)[:1])
    return not lines.isdisjoint(comment.lines)


def _first_statement_line(tree: ast.Module) -> int | None:
    body = _without_docstring(tree.body)
    return min((_start(statement) for statement in body[:1]), default=None)


def _statement_extents(source: str) -> tuple[range, ...]:
    """Return the lines of each statement; of a compound one those of its head.

    A function of one simple statement is one thing: a waiver stands as naturally beside
    its `raise` as above its `def`.
    """
    extents = []
    within: set[ast.stmt] = set()
    for node in ast.walk(_parse(source)):  # a function comes before its statements
        if not isinstance(node, ast.stmt) or node in within:
            continue
        end = node.end_lineno or node.lineno
        body = _without_docstring(getattr(node, "body", []))
        is_function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        if is_function and len(body) == 1 and not hasattr(body[0], "body"):
            within.add(body[0])
        elif body:
            end = max(node.lineno, _start(body[0]) - 1)
        extents.append(range(_start(node), end + 1))
    return tuple(extents)


def _parse(source: str) -> ast.Module:
    with warnings.catch_warnings():  # of escape sequences: the project's business
        warnings.simplefilter("ignore")
        return ast.parse(source)


def _without_docstring(body: list[ast.stmt]) -> list[ast.stmt]:
    match body:
        case [ast.Expr(ast.Constant(str())), *rest]:
            return rest
    return body


def _start(statement: ast.stmt) -> int:
    decorators = getattr(statement, "decorator_list", [])
    return min((d.lineno for d in decorators), default=statement.lineno)
