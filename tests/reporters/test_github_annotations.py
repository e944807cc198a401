from __future__ import annotations

import pytest

from gatekeeper.model import Severity, Verdict, Waiver
from gatekeeper.reporters.github import render
from tests.reporters.samples import CONTEXT, a_finding, a_report

PATH = "migrations/versions/b002.py"
WAIVER = Waiver(PATH, 3, ("upgrade-fails",), "known", None)


@pytest.mark.parametrize(
    ("check", "message", "remedy", "fields", "expected"),
    [
        ("upgrade-fails", "It fails.", "", {"waiver": WAIVER}, ""),
        (
            "upgrade-fails",
            "It fails.",
            "",
            {},
            f"::error file={PATH},line=15,endLine=15,title=Every upgrade runs::It fails.\n",
        ),
        (
            "index-not-concurrent",
            "It took SHARE.",
            "Do it:\n\nop.f()\n",
            {"end_line": 17},
            f"::warning file={PATH},line=15,endLine=17,title=Indexes are built concurrently"
            "::It took SHARE.%0A%0ADo it:%0A%0Aop.f()\n",
        ),
        (
            "upgrade-fails",
            "Left.",
            "",
            {"severity": Severity.NOTICE, "path": None},
            "::notice title=Every upgrade runs::Left.\n",
        ),
        (
            "upgrade-fails",
            "100 %\r\n::error::x, y\x1b\rz",
            "",
            {"path": "a,b:c%\n.py", "line": None},
            "::error file=a%2Cb%3Ac%25%0A.py,title=Every upgrade runs"
            "::100 %25%0A::error::x, y\\u001b\\u000dz\n",
        ),
        (
            "a:b,c\n::error::d",
            "m",
            "",
            {"path": None},
            "::error title=a%3Ab%2Cc %3A%3Aerror%3A%3Ad::m\n",
        ),
    ],
)
def test_commands(
    check: str, message: str, remedy: str, fields: dict[str, object], expected: str
) -> None:
    finding = a_finding(check, message, remedy, **fields)
    assert render(a_report(Verdict.FAIL, findings=(finding,)), CONTEXT) == expected


def test_the_worst_comes_first() -> None:
    findings = (
        a_finding("index-not-concurrent", "Third."),
        a_finding("downgrade-missing", "Second."),
        a_finding("upgrade-fails", "First."),
    )
    lines = render(a_report(Verdict.FAIL, findings=findings), CONTEXT).splitlines()
    assert [line.rpartition("::")[2] for line in lines] == ["First.", "Second.", "Third."]


def test_an_open_verdict_is_an_error_of_its_own() -> None:
    report = a_report(Verdict.UNDETERMINED, undetermined="No server")
    assert render(report, CONTEXT) == (
        "::error title=Migrations%3A could not tell whether they are safe::No server.\n"
    )
