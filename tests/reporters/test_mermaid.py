from __future__ import annotations

from gatekeeper.reporters.mermaid import Picture, draw_graph, draw_locks
from tests.build import a_change_set, a_rehearsal, a_rehearsed, a_revision, a_statement, a_step
from tests.reporters.samples import HOSTILE, several_heads


def test_one_head_needs_no_graph() -> None:
    assert draw_graph(a_change_set(a_revision())) is None


def test_the_graph_starts_where_the_heads_part() -> None:
    assert draw_graph(several_heads().changes) == Picture(
        "graph LR\n"
        '    n0["b002 · new · head"]\n'
        '    n1["c003 · head"]\n'
        '    n2["a001"]\n'
        "    n2 --> n0\n"
        "    n2 --> n1",
        0,
    )


def test_a_large_graph_is_cut_and_counted() -> None:
    long = [a_revision(f"r{i}", f"r{i - 1}" if i else "a001") for i in range(50)]
    other = a_revision("z", "a001")
    picture = draw_graph(a_change_set(*long, other, head_heads=("r49", "z"), merged_heads=()))
    assert picture is not None
    assert picture.source.count("[") == 30
    assert picture.left_out == 22


def test_names_cannot_be_syntax() -> None:
    picture = draw_graph(
        a_change_set(a_revision(HOSTILE), a_revision("c003", "a001"), head_heads=(HOSTILE, "c003"))
    )
    assert picture is not None
    assert [line.count('"') for line in picture.source.split("\n")][1:4] == [2, 2, 2]
    assert not set("<>@#;`\\") & set(picture.source.replace("-->", ""))


def test_no_blocking_lock_needs_no_timeline() -> None:
    weak = a_statement("VALIDATE", locks={"public.a": "SHARE_UPDATE_EXCLUSIVE"})
    unknown = a_statement("CREATE INDEX CONCURRENTLY", locks=None)
    assert draw_locks(a_rehearsal(a_rehearsed(upgrade=a_step("b002", weak, unknown)))) is None


def test_a_lock_lasts_to_the_end_of_its_revision_or_of_its_statement() -> None:
    first = a_step(
        "b002",
        a_statement("SELECT 1", seconds=0.1),
        a_statement("ALTER", line=16, seconds=0.2, locks={"public.a": "ACCESS_EXCLUSIVE"}),
        a_statement("UPDATE", seconds=0.7),
        seconds=1.5,
    )
    second = a_step(
        "c003",
        a_statement(
            "REINDEX", "c003", line=None, seconds=2.0, in_transaction=False,
            locks={"public.a": "SHARE", "public.b": "SHARE"},
        ),
        a_statement("SELECT 2", seconds=1.0),
        seconds=0.0,
    )  # fmt: skip
    assert draw_locks(a_rehearsal(deploy=(first, second))) == Picture(
        "gantt\n"
        "    dateFormat x\n"
        "    axisFormat %S.%L s\n"
        "    section public.a\n"
        "    ACCESS EXCLUSIVE - b002 line 16 :crit, 100, 1500\n"
        "    SHARE - c003 :crit, 1500, 3500\n"
        "    section public.b\n"
        "    SHARE - c003 :crit, 1500, 3500",
        0,
    )


def test_a_long_timeline_is_cut_and_counted() -> None:
    statements = [a_statement("LOCK", locks={f"t{i}": "SHARE"}) for i in range(45)]
    picture = draw_locks(a_rehearsal(a_rehearsed(upgrade=a_step("b002", *statements))))
    assert picture is not None
    assert picture.source.count(":crit") == 40
    assert picture.left_out == 5
