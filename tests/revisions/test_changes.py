from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from gatekeeper.git import choose_base, open_tree
from gatekeeper.model import Change, ChangeSet, RevisionProblem
from gatekeeper.revisions.changes import read_change_set
from gatekeeper.revisions.discover import choose_project
from tests.build_git import (
    ALEMBIC_INI,
    ENV,
    GitRepository,
    a_project,
    a_repository,
    history,
    revision_text,
)

Files = Mapping[str, str | bytes | None]
VERSIONS = "migrations/versions"


def file(revision: str) -> str:
    return f"{VERSIONS}/{revision}.py"


def read(repository: GitRepository, *, head: str | None = None, audit: bool = False) -> ChangeSet:
    """Read the change set as a command without options does."""
    tree = open_tree(repository.value, head)
    project = choose_project(tree, ".", None, None, None)
    base = choose_base(repository.value, None, None, head)
    return read_change_set(repository.value, project, base, tree, audit=audit)


def told(changes: ChangeSet) -> list[tuple[str, str]]:
    return [(c.revision.revision, c.change.value) for c in changes.revisions]


def ids(revisions: tuple[object, ...]) -> str:
    return " ".join(r.revision for r in revisions)  # type: ignore[attr-defined]


def deleted(*revisions: str) -> Files:
    return {file(revision): None for revision in revisions}


def rewritten(text: str, *replacements: tuple[str, str]) -> str:
    for old, new in replacements:
        assert old in text
        text = text.replace(old, new)
    return text


B = revision_text("b", "a")


@dataclass(frozen=True)
class Case:
    """What a branch does to the history `a b c`, and what main does meanwhile."""

    files: Files
    changes: list[tuple[str, str]]
    head_history: str
    head_heads: str = "c"
    merged_heads: str | None = None
    main: Files | None = None


CASES = [
    pytest.param(Case({}, [], "a b c"), id="nothing"),
    pytest.param(Case({"README": "x"}, [], "a b c"), id="another file"),
    pytest.param(
        Case({f"{VERSIONS}/__init__.py": "", f"{VERSIONS}/README": ""}, [], "a b c"),
        id="no revision files",
    ),
    pytest.param(
        Case({file("d"): revision_text("d", "c")}, [("d", "added")], "a b c d", "d"), id="added"
    ),
    pytest.param(
        Case(
            {file("e"): revision_text("e", "d"), file("z"): revision_text("d", "c")},
            [("d", "added"), ("e", "added")],
            "a b c d e",
            "e",
        ),
        id="two added, in graph order",
    ),
    pytest.param(
        Case({file("b"): "# a comment\n" + B.replace("message", "text")}, [], "a b c"),
        id="comments only",
    ),
    pytest.param(
        Case(
            {file("b"): rewritten(B, ("SELECT 1", "SELECT 2"))},
            [("b", "modified")],
            "a b c",
        ),
        id="modified",
    ),
    pytest.param(
        Case({file("b"): None, f"{VERSIONS}/b_again.py": B}, [("b", "renamed")], "a b c"),
        id="renamed",
    ),
    pytest.param(
        Case(
            {file("b"): None, file("x"): rewritten(B, ("SELECT 1", "SELECT 2"))},
            [("b", "modified")],
            "a b c",
        ),
        id="renamed and modified",
    ),
    pytest.param(Case(deleted("c"), [("c", "deleted")], "a b", "b"), id="head deleted"),
    pytest.param(
        Case(
            {**deleted("a", "b"), file("c"): revision_text("c", None)},
            [("c", "modified"), ("a", "deleted"), ("b", "deleted")],
            "c",
        ),
        id="squashed into the head's identifier",
    ),
    pytest.param(
        Case(
            {**deleted("a", "b", "c"), file("s"): revision_text("s", None)},
            [("s", "added"), ("a", "deleted"), ("b", "deleted"), ("c", "deleted")],
            "s",
            "s",
        ),
        id="squashed into a new identifier",
    ),
    pytest.param(
        Case({file("b2"): revision_text("b2", "a")}, [("b2", "added")], "a b c b2", "c b2"),
        id="second head",
    ),
    pytest.param(
        Case(
            {
                file("d"): revision_text("d", "b"),
                file("m"): revision_text("m", ("c", "d")),
            },
            [("d", "added"), ("m", "added")],
            "a b c d m",
            "m",
        ),
        id="merge point",
    ),
    pytest.param(
        Case(
            {
                file("x"): rewritten(
                    revision_text("x", None), ("branch_labels = None", "branch_labels = 'pay'")
                )
            },
            [("x", "added")],
            "a b c x",
            "c x",
        ),
        id="second base with a branch label",
    ),
    pytest.param(
        Case(
            {file("d"): revision_text("d", "c")},
            [("d", "added")],
            "a b c d",
            "d",
            "d e",
            main={file("e"): revision_text("e", "c")},
        ),
        id="main went on: two heads after merging",
    ),
    pytest.param(
        Case(
            {},
            [],
            "a b c",
            "c",
            "e",
            main={file("e"): revision_text("e", "c")},
        ),
        id="only main went on",
    ),
    pytest.param(
        Case(
            {file("d"): revision_text("d", "c")},
            [("d", "added")],
            "a b c d",
            "d",
            "d",
            main={**deleted("a", "b"), file("c"): revision_text("c", None)},
        ),
        id="main squashed meanwhile",
    ),
    pytest.param(
        Case(
            deleted("c"),
            [("c", "deleted")],
            "a b",
            "b",
            "b",
            main={"README": "x"},
        ),
        id="deleted while main went on elsewhere",
    ),
    pytest.param(
        Case(
            {file("d"): revision_text("d", "c")},
            [("d", "added")],
            "a b c d",
            "d",
            "d",
            main={file("d"): revision_text("d", "c"), "README": "x"},
        ),
        id="the same file on both sides",
    ),
]


@pytest.fixture
def repository(tmp_path: Path) -> GitRepository:
    return a_repository(tmp_path / "repository", a_project("a", "b", "c"))


@pytest.mark.parametrize("case", CASES)
def test_changes(repository: GitRepository, case: Case) -> None:
    base = repository.git("rev-parse", "HEAD")
    if case.main is not None:
        repository.commit(case.main)
        repository.git("switch", "--quiet", "--detach", base)
    repository.git("switch", "--quiet", "--create", "feature")
    head = repository.commit(case.files)
    changes = read(repository)
    assert told(changes) == case.changes
    assert changes.problems == ()
    assert (changes.base, changes.head, changes.base_tip) == (base, head, "main")
    assert not changes.dirty
    assert not changes.is_audit
    assert ids(changes.base_history) == "a b c"
    assert ids(changes.head_history) == case.head_history
    assert changes.base_heads == ("c",)
    assert " ".join(changes.head_heads) == case.head_heads
    assert " ".join(changes.merged_heads) == (case.merged_heads or case.head_heads)
    assert read(repository, head="feature") == changes


def test_both_states_of_a_revision(repository: GitRepository) -> None:
    repository.git("switch", "--quiet", "--create", "feature")
    text = rewritten(B, ("SELECT 1", "SELECT 2"))
    repository.commit({file("b"): text, **deleted("c"), file("d"): revision_text("d", "b")})
    modified, added, gone = read(repository).revisions
    assert modified.before is not None
    assert (modified.before.source, modified.revision.source) == (B, text)
    assert added.before is None
    assert gone.before == gone.revision
    assert read(repository).to_rehearse == (modified.revision, added.revision)


def test_the_work_tree_counts_before_it_is_committed(repository: GitRepository) -> None:
    head = repository.git("rev-parse", "HEAD")
    assert told(read(repository)) == []
    repository.write({file("d"): revision_text("d", "c"), "scratch": "x"})
    changes = read(repository)
    assert told(changes) == [("d", "added")]
    assert (changes.base, changes.head, changes.dirty) == (head, head, True)
    committed = read(repository, head="HEAD")
    assert (told(committed), committed.dirty) == ([], False)


def test_an_audit_takes_every_revision_as_new(repository: GitRepository) -> None:
    changes = read(repository, audit=True)
    assert told(changes) == [("a", "added"), ("b", "added"), ("c", "added")]
    assert changes.is_audit
    assert (changes.base, changes.base_tip, changes.base_history) == (None, None, ())
    assert (changes.base_heads, changes.head_heads, changes.merged_heads) == ((), ("c",), ("c",))
    assert changes.head == repository.git("rev-parse", "HEAD")


def test_a_repository_without_a_commit(tmp_path: Path) -> None:
    repository = a_repository(tmp_path / "r")
    repository.write(a_project("a"))
    changes = read(repository)
    assert told(changes) == [("a", "added")]
    assert (changes.base, changes.head, changes.dirty) == (None, None, True)
    assert not changes.is_audit


def test_a_project_without_a_revision(tmp_path: Path) -> None:
    changes = read(a_repository(tmp_path / "r", a_project()))
    assert changes.revisions == changes.head_history == changes.merged_heads == ()
    assert changes.problems == ()


def test_a_project_that_the_base_did_not_have(tmp_path: Path) -> None:
    repository = a_repository(tmp_path / "r", {"README": ""})
    repository.git("switch", "--quiet", "--create", "feature")
    repository.commit(a_project("a", "b"))
    changes = read(repository)
    assert told(changes) == [("a", "added"), ("b", "added")]
    assert (changes.base_history, changes.base_heads) == ((), ())


def move(repository: GitRepository, old: str, new: str) -> None:
    (repository.root / new).parent.mkdir(parents=True, exist_ok=True)
    repository.git("mv", old, new)


def test_a_project_that_was_moved_is_known_by_its_revisions(repository: GitRepository) -> None:
    repository.git("switch", "--quiet", "--create", "feature")
    move(repository, "migrations", "src/db/migrations")
    move(repository, "alembic.ini", "src/db/alembic.ini")
    repository.commit({"src/db/migrations/versions/d.py": revision_text("d", "c")})
    changes = read(repository)
    assert told(changes) == [
        ("a", "renamed"),
        ("b", "renamed"),
        ("c", "renamed"),
        ("d", "added"),
    ]
    assert ids(changes.to_rehearse) == "d"
    assert ids(changes.base_history) == "a b c"


def test_a_version_location_that_was_added(repository: GitRepository) -> None:
    repository.git("switch", "--quiet", "--create", "feature")
    options = "version_locations = migrations/versions migrations/new\n"
    repository.commit(
        {"alembic.ini": ALEMBIC_INI + options, "migrations/new/d.py": revision_text("d", "c")}
    )
    assert told(read(repository)) == [("d", "added")]


def test_a_version_location_that_was_given_up(tmp_path: Path) -> None:
    """The base's own configuration says where its revisions were."""
    options = "version_locations = migrations/old migrations/versions\n"
    files = {**a_project(), "alembic.ini": ALEMBIC_INI + options}
    files |= history("a", folder="migrations/old") | {file("b"): B}
    repository = a_repository(tmp_path / "r", files)
    repository.git("switch", "--quiet", "--create", "feature")
    repository.commit({"alembic.ini": ALEMBIC_INI, file("b"): revision_text("b", None)})
    changes = read(repository)
    assert told(changes) == [("b", "modified"), ("a", "deleted")]
    assert ids(changes.base_history) == "a b"


@pytest.mark.parametrize(("option", "expected"), [("true", "a b"), ("false", "a")])
def test_recursive_version_locations(tmp_path: Path, option: str, expected: str) -> None:
    ini = f"{ALEMBIC_INI}recursive_version_locations = {option}\n"
    files = {**a_project("a"), "alembic.ini": ini, f"{VERSIONS}/2026/b.py": B}
    assert ids(read(a_repository(tmp_path / "r", files)).head_history) == expected


# --- What Alembic could not load -----------------------------------------------------


def problem(
    path: str, line: int, message: str, remedy: str, revision: str | None
) -> RevisionProblem:
    return RevisionProblem(path, line, message, remedy, revision)


def test_a_revision_deleted_from_the_middle_leaves_its_successor_dangling(
    repository: GitRepository,
) -> None:
    repository.git("switch", "--quiet", "--create", "feature")
    repository.commit(deleted("b"))
    changes = read(repository)
    assert told(changes) == [("b", "deleted")]
    assert changes.problems == (
        problem(
            file("c"),
            7,
            "`c` names `b` in `down_revision`, but no file has that revision.",
            "Restore the file of `b`, or name an existing revision in `down_revision`.",
            "c",
        ),
    )
    assert changes.merged_heads == ("a", "c")


def test_a_file_that_broke_is_a_problem_and_not_a_deletion(repository: GitRepository) -> None:
    repository.git("switch", "--quiet", "--create", "feature")
    repository.commit({file("b"): B + "x = = 1\n"})
    changes = read(repository)
    assert told(changes) == []
    assert [(p.path, p.line) for p in changes.problems] == [(file("b"), 19)]
    assert ids(changes.head_history) == "a b c"
    assert changes.merged_heads == ("c",)


def test_a_broken_file_that_was_mended_is_new(tmp_path: Path) -> None:
    repository = a_repository(tmp_path / "r", {**a_project("a"), file("b"): "x = = 1\n"})
    repository.git("switch", "--quiet", "--create", "feature")
    repository.commit({file("b"): B})
    changes = read(repository)
    assert told(changes) == [("b", "added")]
    assert changes.problems == ()


def test_of_a_doubled_identifier_the_new_file_is_the_problem(repository: GitRepository) -> None:
    repository.git("switch", "--quiet", "--create", "feature")
    repository.commit({f"{VERSIONS}/a_copy.py": revision_text("c", "b", upgrade="pass")})
    changes = read(repository)
    assert told(changes) == []
    assert changes.problems == (
        problem(
            f"{VERSIONS}/a_copy.py",
            7,
            f"The revision identifier `c` is also that of `{file('c')}`.",
            "Give one of them a new identifier: `alembic revision` makes one, or edit `revision`.",
            "c",
        ),
    )


def test_an_identifier_that_main_took_meanwhile(repository: GitRepository) -> None:
    """Merging succeeds without a conflict, since the files have different names."""
    repository.git("switch", "--quiet", "--create", "feature")
    repository.commit({f"{VERSIONS}/d_mine.py": revision_text("d", "c")})
    repository.git("switch", "--quiet", "main")
    repository.commit({f"{VERSIONS}/d_theirs.py": revision_text("d", "c", upgrade="pass")})
    repository.git("switch", "--quiet", "feature")
    changes = read(repository)
    assert told(changes) == [("d", "added")]
    assert changes.problems == (
        problem(
            f"{VERSIONS}/d_mine.py",
            7,
            f"The revision identifier `d` is also that of `{VERSIONS}/d_theirs.py`.",
            "Give one of them a new identifier: `alembic revision` makes one, or edit `revision`.",
            "d",
        ),
    )


# --- The content's digest ------------------------------------------------------------


@pytest.mark.parametrize(
    ("files", "same"),
    [
        ({"README": "x"}, True),
        ({"migrations/versions/__pycache__/a.pyc": "x"}, True),
        ({"migrations/env.py": ENV + "# x\n"}, False),
        ({file("b"): B + "# x\n"}, False),
        ({file("b"): None, f"{VERSIONS}/b2.py": B}, False),
        ({"migrations/sql/x.sql": ""}, False),
    ],
)
def test_the_digest_covers_the_script_directory(
    repository: GitRepository, files: Files, same: bool
) -> None:
    before = read(repository).content_hash
    repository.write(files)
    after = read(repository).content_hash
    assert (before == after) is same
    assert len(after) == 64


# --- Speed ---------------------------------------------------------------------------


def a_long_history(body: Callable[[int], str], size: int) -> Files:
    names = [f"r{number:04d}" for number in range(size)]
    return {**a_project(), **history(*names)} | {
        file(name): revision_text(name, names[n - 1] if n else None, upgrade=body(n))
        for n, name in enumerate(names)
    }


@pytest.mark.slow
def test_the_one_new_of_four_hundred_revisions_is_told(tmp_path: Path) -> None:
    def body(number: int) -> str:
        lines = (f"op.add_column('t{number}', sa.Column('c{n}', sa.Text()))" for n in range(12))
        return "\n    ".join(lines)

    repository = a_repository(tmp_path / "r", a_long_history(body, 400))
    repository.git("switch", "--quiet", "--create", "feature")
    repository.commit({file("x"): revision_text("x", "r0399")})
    changes = read(repository)
    assert told(changes) == [("x", Change.ADDED.value)]
    assert len(changes.head_history) == 401
