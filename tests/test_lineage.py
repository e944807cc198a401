from __future__ import annotations

import pytest

from gatekeeper.lineage import ancestors, applied_at, line_of, next_below, not_applied, tips
from tests.build import a_revision

# a1 ─┬─ b1 ─┬─ m1 ─ d1     and with a base of their own: x1 ─ x2, z1
#     └─ c1 ─┘       └──── depends on x1
HISTORY = (
    a_revision("a1", None),
    a_revision("b1", "a1"),
    a_revision("c1", "a1"),
    a_revision("m1", None, down_revisions=("b1", "c1")),
    a_revision("x1", None),
    a_revision("x2", "x1"),
    a_revision("d1", "m1", depends_on=("x1",)),
    a_revision("z1", None),
)
BY_NAME = {revision.revision: revision for revision in HISTORY}
DANGLING = (a_revision("b1", "gone"), a_revision("c1", "b1", depends_on=("label",)))
CIRCLE = (a_revision("a", "b"), a_revision("b", "a"))


@pytest.mark.parametrize(
    ("revision", "below"),
    [("a1", ()), ("b1", ("a1",)), ("m1", ("b1", "c1")), ("d1", ("m1", "x1"))],
)
def test_next_below_is_what_the_file_names(revision: str, below: tuple[str, ...]) -> None:
    assert next_below(BY_NAME[revision]) == below


@pytest.mark.parametrize(
    ("revision", "found"),
    [
        ("a1", set()),
        ("z1", set()),
        ("b1", {"a1"}),
        ("x2", {"x1"}),
        pytest.param("m1", {"a1", "b1", "c1"}, id="a merge"),
        pytest.param("d1", {"a1", "b1", "c1", "m1", "x1"}, id="depends_on counts"),
        ("not there", set()),
    ],
)
def test_ancestors_come_before_a_revision(revision: str, found: set[str]) -> None:
    assert ancestors(revision, HISTORY) == found


def test_ancestors_that_no_file_has_are_named() -> None:
    assert ancestors("c1", DANGLING) == {"b1", "gone", "label"}


def test_a_circle_of_revisions_ends() -> None:
    assert ancestors("a", CIRCLE) == {"b"}
    assert line_of("a", CIRCLE) == ("a", "b")


# What is applied at these versions, and what is still lacking there.
APPLIED = [
    pytest.param((), set(), "a1 b1 c1 m1 x1 x2 d1 z1", id="an empty database"),
    pytest.param(("b1",), {"a1", "b1"}, "c1 m1 x1 x2 d1 z1", id="one side of a merge"),
    pytest.param(("b1", "c1"), {"a1", "b1", "c1"}, "m1 x1 x2 d1 z1", id="both sides"),
    pytest.param(("m1", "z1"), {"a1", "b1", "c1", "m1", "z1"}, "x1 x2 d1", id="several bases"),
    pytest.param(("d1",), {"a1", "b1", "c1", "m1", "x1", "d1"}, "x2 z1", id="depends_on counts"),
    pytest.param(("x2", "d1", "z1"), set(BY_NAME), "", id="the heads"),
    pytest.param(("b1", "gone"), {"a1", "b1", "gone"}, "c1 m1 x1 x2 d1 z1", id="not there"),
]


@pytest.mark.parametrize(("versions", "applied", "lacking"), APPLIED)
def test_a_database_has_all_that_is_below_where_it_stands(
    versions: tuple[str, ...], applied: set[str], lacking: str
) -> None:
    assert applied_at(versions, HISTORY) == applied
    assert [revision.revision for revision in not_applied(versions, HISTORY)] == lacking.split()


@pytest.mark.parametrize(
    ("head", "line"),
    [
        ("a1", ("a1",)),
        ("x2", ("x2", "x1")),
        pytest.param("m1", ("m1", "b1", "c1", "a1"), id="a merge"),
        pytest.param("d1", ("d1", "m1", "b1", "c1", "a1"), id="depends_on does not count"),
        ("not there", ("not there",)),
    ],
)
def test_a_line_leads_from_its_head_to_its_base(head: str, line: tuple[str, ...]) -> None:
    assert line_of(head, HISTORY) == line


@pytest.mark.parametrize(
    ("revisions", "found"),
    [
        ((), set()),
        (("a1",), {"a1"}),
        (("b1", "c1"), {"b1", "c1"}),
        pytest.param(("b1", "c1", "m1"), {"m1"}, id="a merge"),
        pytest.param(("m1", "x1", "d1"), {"d1"}, id="depends_on counts"),
        pytest.param(("x1", "x2", "d1", "z1"), {"x2", "d1", "z1"}, id="several bases"),
    ],
)
def test_tips_are_built_on_by_no_other(revisions: tuple[str, ...], found: set[str]) -> None:
    assert tips(BY_NAME[name] for name in revisions) == found
