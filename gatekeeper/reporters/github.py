"""Findings as workflow commands, which GitHub shows beside the lines of the change.

https://docs.github.com/actions/reference/workflow-commands-for-github-actions
"""

from __future__ import annotations

from gatekeeper.model import Finding, Report, Severity, Verdict
from gatekeeper.reporters import words
from gatekeeper.reporters.context import RenderContext

_MAX_MESSAGE = 10_000  # GitHub takes 64 KB
_COMMAND = {
    Severity.ERROR: "error",
    Severity.WARNING: "warning",
    Severity.NOTICE: "notice",
}


def render(report: Report, context: RenderContext) -> str:
    """Return one command a line, the worst first: GitHub shows only ten of a kind.

    Waived findings are not annotated; the comment shows them.
    """
    del context  # an annotation stands at its line already
    lines = [_command(report, finding) for finding in words.open_findings(report, Severity.NOTICE)]
    if report.verdict is Verdict.UNDETERMINED:
        lines.insert(0, _format("error", {"title": words.heading(report)}, words.summary(report)))
    return "".join(f"{line}\n" for line in lines)


def _command(report: Report, finding: Finding) -> str:
    properties: dict[str, str] = {}
    if finding.path is not None:
        properties["file"] = finding.path
        if finding.line is not None:
            properties["line"] = str(finding.line)
            properties["endLine"] = str(finding.end_line or finding.line)
    properties["title"] = words.one_line(words.title_of(report, finding))
    parts = (finding.message.strip(), finding.remedy.strip())
    message = "\n\n".join(part for part in parts if part)
    return _format(_COMMAND[words.severity_of(report, finding)], properties, message)


def _format(command: str, properties: dict[str, str], message: str) -> str:
    pairs = ",".join(f"{name}={_escaped_property(value)}" for name, value in properties.items())
    return f"::{command} {pairs}::{_escaped(words.visible(words.clipped(message, _MAX_MESSAGE)))}"


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _escaped_property(text: str) -> str:
    return _escaped(text).replace(":", "%3A").replace(",", "%2C")
