from __future__ import annotations

import random
import warnings

import pytest
from alembic.script.revision import Revision as AlembicRevision
from alembic.script.revision import RevisionMap

from gatekeeper.model import Revision, RevisionProblem
from gatekeeper.revisions.graph import Graph, build_graph
from tests.build import a_revision


def path(revision: str) -> str:
    return f"migrations/versions/{revision}.py"


def node(revision: str, *downs: str, **fields: object) -> Revision:
    return a_revision(revision, None, **{"down_revisions": downs, **fields})


def problem(revision: str, message: str, remedy: str, at: str | None = None) -> RevisionProblem:
    return RevisionProblem(at or path(revision), 8, message, remedy, revision)


LINE = (node("a"), node("b", "a"), node("c", "b"))
DIAMOND = (node("a"), node("b", "a"), node("c", "a"), node("d", "b", "c"))
TWO_BASES = (node("a"), node("b", "a"), node("x", branch_labels=("pay",)), node("y", "x"))
DEPENDING = (node("a"), node("b", "a", depends_on=("x",)), node("x"))
BY_LABEL = (node("a"), node("b", "a", depends_on=("pay",)), node("x", branch_labels=("pay",)))


@pytest.mark.parametrize(
    ("revisions", "order", "heads"),
    [
        pytest.param((), "", "", id="empty"),
        pytest.param(LINE, "abc", "c", id="line"),
        pytest.param(LINE[:2], "ab", "b", id="part of a line"),
        pytest.param(LINE[::-1], "abc", "c", id="given backwards"),
        pytest.param(DIAMOND[:3], "abc", "bc", id="two heads"),
        pytest.param(DIAMOND, "abcd", "d", id="merge point"),
        pytest.param((*DIAMOND[:3], node("e", "b")), "abec", "ec", id="a line stays together"),
        pytest.param(TWO_BASES, "abxy", "by", id="two bases"),
        pytest.param(DEPENDING, "axb", "xb", id="depended on, still a head"),
        pytest.param(BY_LABEL, "axb", "xb", id="depends on a branch label"),
    ],
)
def test_order_and_heads(revisions: tuple[Revision, ...], order: str, heads: str) -> None:
    graph = build_graph(revisions)
    assert "".join(r.revision for r in graph.revisions) == order
    assert graph.heads == tuple(heads)
    assert graph.problems == ()


def test_a_label_that_is_depended_on_stands_for_its_revision() -> None:
    depending = next(r for r in build_graph(BY_LABEL).revisions if r.revision == "b")
    assert depending.depends_on == ("x",)


def test_alembic_agrees_on_random_graphs() -> None:
    """Any order of the files gives one order, in which each comes after what it needs."""
    chance = random.Random(4)
    for size in range(1, 40):
        revisions = []
        for number in range(size):
            ids = [f"r{n}" for n in range(number)]
            downs = chance.sample(ids, k=min(number, chance.choice((0, 1, 1, 1, 2))))
            others = sorted(set(ids) - set(downs))
            depends = tuple(chance.sample(others, k=min(len(others), chance.choice((0, 0, 2)))))
            revisions.append(node(f"r{number}", *downs, depends_on=depends))
        graph = build_graph(revisions)
        chance.shuffle(revisions)
        assert build_graph(revisions) == graph
        place = {r.revision: n for n, r in enumerate(graph.revisions)}
        assert all(
            place[before] < place[r.revision]
            for r in revisions
            for before in (*r.down_revisions, *r.depends_on)
        )
        alembic = RevisionMap(
            lambda given=tuple(revisions): [
                AlembicRevision(r.revision, r.down_revisions, r.depends_on or None) for r in given
            ]
        )
        assert set(graph.heads) == set(alembic.heads)
        assert len(graph.revisions) == size
        assert graph.problems == ()


TWICE = node("b", "a", path=path("b_again"))
NEW_ID = "Give one of them a new identifier: `alembic revision` makes one, or edit `revision`."
CYCLE_REMEDY = "Correct `down_revision` or `depends_on` of the one that was edited last."


@pytest.mark.parametrize(
    ("revisions", "order", "heads", "problems"),
    [
        pytest.param(
            (*LINE, TWICE),
            "abc",
            "c",
            (
                problem(
                    "b",
                    f"The revision identifier `b` is also that of `{path('b')}`.",
                    NEW_ID,
                    at=path("b_again"),
                ),
            ),
            id="duplicate",
        ),
        pytest.param(
            LINE[1:],
            "bc",
            "c",
            (
                problem(
                    "b",
                    "`b` names `a` in `down_revision`, but no file has that revision.",
                    "Restore the file of `a`, or name an existing revision in `down_revision`.",
                ),
            ),
            id="dangling down_revision",
        ),
        pytest.param(
            DEPENDING[:2],
            "ab",
            "b",
            (
                problem(
                    "b",
                    "`b` names `x` in `depends_on`, but no file has that revision.",
                    "Restore the file of `x`, or name an existing revision in `depends_on`.",
                ),
            ),
            id="dangling depends_on",
        ),
        pytest.param(
            (node("a", "c"), *LINE[1:]),
            "abc",
            "c",
            (
                problem(
                    "a",
                    "The revisions come after each other in a circle: `a` → `b` → `c` → `a`.",
                    CYCLE_REMEDY,
                ),
            ),
            id="cycle",
        ),
        pytest.param(
            (node("a"), node("b", "a", "b")),
            "ab",
            "b",
            (
                problem(
                    "b",
                    "The revisions come after each other in a circle: `b` → `b`.",
                    CYCLE_REMEDY,
                ),
            ),
            id="loop",
        ),
        pytest.param(
            (node("a", depends_on=("b",)), node("b", "a")),
            "ab",
            "b",
            (
                problem(
                    "a",
                    "The revisions come after each other in a circle: `a` → `b` → `a`.",
                    CYCLE_REMEDY,
                ),
            ),
            id="dependency cycle",
        ),
        pytest.param(
            (node("a"), node("b-1", "a"), node("c", "b-1")),
            "ac",
            "ac",
            (
                problem(
                    "b-1",
                    "Character(s) '-' not allowed in revision identifier 'b-1'.",
                    "Use letters, digits and underscores, here and in what refers to it.",
                ),
            ),
            id="illegal identifier, told once",
        ),
        pytest.param(
            (node("a", branch_labels=("pay",)), node("b", branch_labels=("pay",))),
            "ab",
            "ab",
            (
                problem(
                    "b",
                    f"The branch label `pay` is taken by `a` ({path('a')}).",
                    "Keep the label at the first revision of its branch only.",
                ),
            ),
            id="branch label twice",
        ),
    ],
)
def test_problems(
    revisions: tuple[Revision, ...],
    order: str,
    heads: str,
    problems: tuple[RevisionProblem, ...],
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        graph = build_graph(revisions)
    assert "".join(r.revision for r in graph.revisions) == order
    assert graph.heads == tuple(heads)
    assert graph.problems == problems


def test_two_cycles_are_two_problems() -> None:
    graph = build_graph((node("a", "b"), node("b", "a"), node("c", "d"), node("d", "c")))
    assert [p.revision for p in graph.problems] == ["a", "c"]
    assert {r.revision for r in graph.revisions} == set("abcd")


def test_of_two_files_with_one_identifier_the_first_given_counts() -> None:
    twice = node("b", "a", path=path("b_again"))
    assert build_graph((LINE[0], twice, LINE[1])) == Graph(
        (LINE[0], twice),
        ("b",),
        (
            problem(
                "b", f"The revision identifier `b` is also that of `{path('b_again')}`.", NEW_ID
            ),
        ),
    )
