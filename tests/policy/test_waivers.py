from __future__ import annotations

from datetime import date

import pytest

from gatekeeper.model import Basis, Finding, Revision, Waiver
from gatekeeper.policy.waivers import apply_waivers, find_unusable, read_waivers
from tests.build import a_revision
from tests.policy.known import BY_ID

WAIVABLE = [check_id for check_id in BY_ID if check_id != "unusable-waiver"]
TODAY = date(2027, 1, 31)
PATH = "migrations/versions/b002.py"

# Lines are counted from 1: the docstring is line 1, `def upgrade` line 9.
SOURCE = '''\
"""Add an index."""
{top}
from alembic import op

revision = "b002"  {revision}
down_revision = "a001"


def upgrade():
    op.execute("SET lock_timeout = 0")  {before}
    {above}
    op.create_index(  {first}
        "ix_orders_note",  {middle}
        "orders",
    )  {last}
    op.execute("SELECT 1")  {after}


{above_downgrade}
def downgrade():  {downgrade}
    raise NotImplementedError("# gatekeeper: allow[downgrade-raises] in a string")  {body}
'''
INDEX_LINE, DOWNGRADE_LINE, RAISE_LINE = 12, 20, 21


def a_source(**comments: str) -> str:
    places = ("top", "revision", "before", "above", "first", "middle", "last", "after")
    empty = dict.fromkeys((*places, "above_downgrade", "downgrade", "body"), "")
    return SOURCE.format(**{**empty, **comments})


def a_finding(check: str = "index-not-concurrent", **fields: object) -> Finding:
    values = {"revision": "b002", "path": PATH, "line": INDEX_LINE, **fields}
    return Finding(check=check, message="m", remedy="r", basis=Basis.READ, **values)  # type: ignore


def waiver_of(finding: Finding, source: str, today: date = TODAY) -> Waiver | None:
    revision = a_revision(source=source)
    (waived,) = apply_waivers([finding], read_waivers(revision), [revision], today)
    return waived.waiver


# --- What a comment says -------------------------------------------------------------


@pytest.mark.parametrize(
    "comment",
    [
        "",
        "# an index",
        "# see gatekeeper for why",
        "#: gatekeeper allow",
        "x = '# gatekeeper: allow[not-atomic] in a string'",
        '"""\n# gatekeeper: allow[not-atomic] in a text of lines\n"""',
    ],
)
def test_other_comments_and_strings_are_no_waivers(comment: str) -> None:
    assert read_waivers(a_revision(source=a_source(above=comment))) == ()


@pytest.mark.parametrize(
    ("comment", "checks", "reason", "until"),
    [
        ("# gatekeeper: allow[not-atomic] small table", ("not-atomic",), "small table", None),
        ("#gatekeeper:allow[not-atomic]small", ("not-atomic",), "small", None),
        ("# gatekeeper: allow [ a , b,] two of them", ("a", "b"), "two of them", None),
        ("# gatekeeper: allow[a]: because", ("a",), "because", None),
        ("# gatekeeper: allow[a] — because", ("a",), "because", None),
        ("# noqa: E501  # gatekeeper: allow[a] because", ("a",), "because", None),
        ("# gatekeeper: allow[a] until=2027-01-31 for now", ("a",), "for now", "2027-01-31"),
        ("# gatekeeper: allow[a] until = 2027-01-31: for now", ("a",), "for now", "2027-01-31:"),
        ("# gatekeeper: allow[a] until=soon for now", ("a",), "for now", "soon"),
        ("# gatekeeper: allow[a] until=", ("a",), "", ""),
        (
            "# gatekeeper: allow[a] for now, until=2027-01-31",
            ("a",),
            "for now, until=2027-01-31",
            None,
        ),
        ("# gatekeeper: allow[a]", ("a",), "", None),
        ("# gatekeeper: allow[a] -", ("a",), "", None),
    ],
)
def test_a_waiver_is_read(
    comment: str, checks: tuple[str, ...], reason: str, until: str | None
) -> None:
    (found,) = read_waivers(a_revision(source=a_source(above=comment)))
    assert found.is_readable
    assert found.waiver == Waiver(PATH, 11, checks, reason, until)


@pytest.mark.parametrize(
    "source", ["", "def upgrade(:  # gatekeeper: allow[a] b", "x = '''  # gatekeeper: a"]
)
def test_a_file_that_cannot_be_read_has_no_waivers(source: str) -> None:
    assert read_waivers(a_revision(source=source)) == ()


# --- What it reaches -----------------------------------------------------------------

ALLOW = "# gatekeeper: allow[index-not-concurrent] small table"


@pytest.mark.parametrize(
    ("place", "line"),
    [
        ("top", 2),
        ("above", 11),
        ("first", 12),
        ("middle", 13),
        ("last", 15),
    ],
)
def test_a_waiver_reaches_its_statement(place: str, line: int) -> None:
    found = waiver_of(a_finding(), a_source(**{place: ALLOW}))
    assert found == Waiver(PATH, line, ("index-not-concurrent",), "small table", None)


@pytest.mark.parametrize(
    ("finding", "comments"),
    [
        pytest.param(a_finding(), {"before": ALLOW}, id="beside the statement before"),
        pytest.param(a_finding(), {"after": ALLOW}, id="beside the statement after"),
        pytest.param(a_finding(), {"revision": ALLOW}, id="beside the identifier"),
        pytest.param(a_finding(), {"downgrade": ALLOW}, id="in the other function"),
        pytest.param(
            a_finding(line=INDEX_LINE + 1), {"above": f"{ALLOW}\n"}, id="a blank line between"
        ),
        pytest.param(a_finding("not-atomic"), {"above": ALLOW}, id="of another check"),
        pytest.param(a_finding("not-atomic"), {"top": ALLOW}, id="of another check, at the top"),
        pytest.param(a_finding(line=None), {"above": ALLOW}, id="a finding without a line"),
        pytest.param(
            a_finding(path="migrations/versions/c003.py", revision="c003"),
            {"top": ALLOW},
            id="in another file",
        ),
        pytest.param(
            a_finding(), {"above": "# gatekeeper: allow[index-not-concurrent]"}, id="no reason"
        ),
        pytest.param(
            a_finding(),
            {"above": "# gatekeeper: allow[index-not-concurrent] until=2027-01-30 until then"},
            id="expired",
        ),
        pytest.param(
            a_finding(),
            {"above": "# gatekeeper: allow[index-not-concurrent] until=soon until then"},
            id="an end that is no date",
        ),
        pytest.param(a_finding("downgrade-raises", line=RAISE_LINE), {}, id="only in a string"),
    ],
)
def test_a_waiver_reaches_nothing_else(finding: Finding, comments: dict[str, str]) -> None:
    assert waiver_of(finding, a_source(**comments)) is None


@pytest.mark.parametrize("line", [DOWNGRADE_LINE, RAISE_LINE])
@pytest.mark.parametrize("place", ["above_downgrade", "downgrade", "body"])
def test_a_function_of_one_statement_is_one_thing(line: int, place: str) -> None:
    comment = "# gatekeeper: allow[downgrade-raises] the values are gone"
    assert waiver_of(a_finding("downgrade-raises", line=line), a_source(**{place: comment}))


def test_a_comment_may_go_on_below_and_others_may_stand_between() -> None:
    above = f"# gatekeeper: allow[not-atomic] both at once\n    {ALLOW}\n    # of three rows"
    finding = a_finding(line=INDEX_LINE + 2)
    source = a_source(above=above)
    assert waiver_of(finding, source) is not None
    assert waiver_of(a_finding("not-atomic", line=INDEX_LINE + 2), source) is not None


def test_the_lines_of_the_finding_count_as_well() -> None:
    finding = a_finding(line=10, end_line=13)
    assert waiver_of(finding, a_source(middle=ALLOW)) is not None


def test_a_block_is_reached_by_its_head_only() -> None:
    source = f"def upgrade():\n    with a() as b:  {ALLOW}\n        b.c()\n        b.d()\n"
    assert waiver_of(a_finding(line=2), source) is not None
    assert waiver_of(a_finding(line=3), source) is None
    inside = f"def upgrade():\n    with a() as b:\n        b.c()\n        b.d()  {ALLOW}\n"
    assert waiver_of(a_finding(line=4), inside) is not None
    assert waiver_of(a_finding(line=2), inside) is None
    assert waiver_of(a_finding(line=1), inside) is None


def test_at_the_top_it_reaches_findings_without_a_line_or_file() -> None:
    source = a_source(top="# gatekeeper: allow[edited-merged-revision] nobody ran it")
    finding = a_finding("edited-merged-revision", line=None, path=None)
    assert waiver_of(finding, source) is not None


def test_the_top_ends_where_the_code_begins() -> None:
    source = f"import sqlalchemy as sa\n{ALLOW}\n\n\ndef upgrade():\n    op.f()\n    op.g()\n"
    assert waiver_of(a_finding(line=6), source) is None
    assert waiver_of(a_finding(line=6), f"#!/usr/bin/python\n{ALLOW}\n{source}") is not None


def test_the_last_day_is_a_day() -> None:
    source = a_source(above="# gatekeeper: allow[index-not-concurrent] until=2027-01-31 x")
    assert waiver_of(a_finding(), source, date(2027, 1, 31)) is not None
    assert waiver_of(a_finding(), source, date(2027, 2, 1)) is None


def test_a_warning_of_the_projects_code_is_not_ours() -> None:
    assert waiver_of(a_finding(), a_source(above=ALLOW, after="\n    x = '\\d'")) is not None


# --- What is said of it --------------------------------------------------------------


def unusable(source: str, *findings: Finding, conclusive: set[str] | None = None) -> list[Finding]:
    revision: Revision = a_revision(source=source)
    comments = read_waivers(revision)
    waived = apply_waivers(findings, comments, [revision], TODAY)
    looked = set(WAIVABLE) if conclusive is None else conclusive
    return list(find_unusable(comments, waived, WAIVABLE, looked, TODAY))


@pytest.mark.parametrize(
    ("source", "findings"),
    [
        pytest.param("", (), id="no waiver"),
        pytest.param(a_source(above=ALLOW), (a_finding(),), id="one that matches"),
        pytest.param(a_source(top=ALLOW), (a_finding(), a_finding(line=16)), id="matches two"),
        pytest.param(
            a_source(above="# gatekeeper: allow[index-not-concurrent, not-atomic] both"),
            (a_finding(), a_finding("not-atomic")),
            id="two checks that match",
        ),
        pytest.param(
            a_source(above=f"{ALLOW}", top="# gatekeeper: allow[model-drift] until=2027-06-30 x"),
            (a_finding(), a_finding("model-drift", line=None)),
            id="two waivers",
        ),
    ],
)
def test_a_waiver_in_force_is_no_finding(source: str, findings: tuple[Finding, ...]) -> None:
    assert unusable(source, *findings) == []


@pytest.mark.parametrize("conclusive", [set(), {"not-atomic"}])
def test_of_a_check_that_did_not_look_nothing_is_said(conclusive: set[str]) -> None:
    assert unusable(a_source(above=ALLOW), conclusive=conclusive) == []


WAIVER = "The waiver on line 11 of `b002`"


@pytest.mark.parametrize(
    ("comment", "said"),
    [
        pytest.param(
            "# gatekeeper: allow[index-not-concurrent]",
            [
                (
                    f"{WAIVER} gives no reason, so it does not apply.",
                    "Write `# gatekeeper: allow[index-not-concurrent] why this is accepted here`.",
                )
            ],
            id="no reason",
        ),
        pytest.param(
            "# gatekeeper: allow[index-not-concurrent, index-not-concurent] small",
            [
                (
                    f"{WAIVER} names `index-not-concurent`, which is not a check that can be"
                    " waived.",
                    "Allowed: "
                    + ", ".join(f"`{c}`" for c in WAIVABLE)
                    + ". Did you mean `index-not-concurrent`?",
                )
            ],
            id="an unknown check",
        ),
        pytest.param(
            "# gatekeeper: allow[unusable-waiver, index-not-concurrent] small",
            [
                (
                    f"{WAIVER} names `unusable-waiver`, which is not a check that can be waived.",
                    "Allowed: " + ", ".join(f"`{c}`" for c in WAIVABLE) + ".",
                )
            ],
            id="a waiver of waivers",
        ),
        pytest.param(
            "# gatekeeper: allow[index-not-concurrent] until=2027-01-30 small",
            [
                (
                    f"{WAIVER} ended on 2027-01-30, so it does not apply any more.",
                    "Mend what it waived, or give it a new date and a reason that still holds.",
                )
            ],
            id="expired",
        ),
        pytest.param(
            "# gatekeeper: allow[index-not-concurrent] until=31.1.2027 small",
            [
                (
                    f"{WAIVER} ends on `31.1.2027`, which is not a date, so it does not apply.",
                    "Write the date as `until=2027-01-31`.",
                )
            ],
            id="an end that is no date",
        ),
        pytest.param(
            "# gatekeeper: allow[index-not-concurrent, not-atomic, model-drift] small",
            [
                (
                    f"{WAIVER} matches no finding of `not-atomic`, `model-drift`.",
                    "Remove it, or move it to the statement it is meant for.",
                )
            ],
            id="matches one of three",
        ),
        *(
            pytest.param(
                comment,
                [
                    (
                        "The comment on line 11 of `b002` addresses gatekeeper, but is not a"
                        " waiver that can be read.",
                        "Write `# gatekeeper: allow[check-id] why this is accepted here`.",
                    )
                ],
                id=comment,
            )
            for comment in (
                "# gatekeeper: ignore[index-not-concurrent] small",
                "# gatekeeper: allow index-not-concurrent small",
                "# gatekeeper: allow[] small",
                "# gatekeeper: off",
            )
        ),
        pytest.param(
            "# gatekeeper: allow[xyzzy] until=2027-01-01",
            [
                (
                    f"{WAIVER} names `xyzzy`, which is not a check that can be waived.",
                    "Allowed: " + ", ".join(f"`{c}`" for c in WAIVABLE) + ".",
                ),
                (
                    f"{WAIVER} gives no reason, so it does not apply.",
                    "Write `# gatekeeper: allow[xyzzy] why this is accepted here`.",
                ),
                (
                    f"{WAIVER} ended on 2027-01-01, so it does not apply any more.",
                    "Mend what it waived, or give it a new date and a reason that still holds.",
                ),
            ],
            id="everything at once",
        ),
    ],
)
def test_what_keeps_a_waiver_from_being_in_force_is_found(
    comment: str, said: list[tuple[str, str]]
) -> None:
    assert unusable(a_source(above=comment), a_finding()) == [
        Finding(
            check="unusable-waiver",
            message=message,
            remedy=remedy,
            basis=Basis.READ,
            revision="b002",
            path=PATH,
            line=11,
            end_line=11,
        )
        for message, remedy in said
    ]


def test_a_second_waiver_of_the_same_finding_matches_nothing() -> None:
    (found,) = unusable(a_source(above=ALLOW, first=ALLOW), a_finding())
    assert found.line == INDEX_LINE
    assert "matches no finding of `index-not-concurrent`" in found.message
