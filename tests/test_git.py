from __future__ import annotations

import os
import shlex
import shutil
from pathlib import Path

import pytest

from gatekeeper.errors import ConfigError
from gatekeeper.git import (
    Base,
    CommitTree,
    Repository,
    Tag,
    WorkTree,
    choose_base,
    default_branch,
    find_repository,
    find_tracked,
    head_commit,
    is_dirty,
    is_shallow,
    merge_base,
    open_tree,
    read_tags,
    relative_folder,
    resolve_commit,
)
from tests.build_git import GitRepository, a_repository

FILES = {
    "plain.txt": "plain\n",
    "with space/ünï cödé.txt": "unicode\n",
    "new\nline.txt": "newline\n",
    "empty": b"",
    "binary": b"\x00\xff\r\n",
    "pointer.bin": "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
}


@pytest.fixture
def repository(tmp_path: Path) -> GitRepository:
    return a_repository(tmp_path / "repository", FILES)


def clone(repository: GitRepository, to: Path, *options: str) -> GitRepository:
    repository.git("clone", "--quiet", *options, repository.root.as_uri(), str(to))
    return GitRepository(to)


# --- The repository and its commits --------------------------------------------------


@pytest.mark.parametrize("folder", [".", "with space"])
def test_a_repository_is_found_from_any_of_its_folders(
    repository: GitRepository, folder: str
) -> None:
    found = find_repository(repository.root / folder)
    assert found == Repository(repository.root)
    assert relative_folder(found, repository.root / folder) == folder


def test_a_linked_work_tree_is_a_repository(repository: GitRepository, tmp_path: Path) -> None:
    repository.git("worktree", "add", "--quiet", "--detach", str(tmp_path / "linked"))
    found = find_repository(tmp_path / "linked")
    assert found.root == tmp_path / "linked"
    assert set(WorkTree(found).paths()) == set(FILES)


def test_variables_of_the_caller_do_not_redirect(
    repository: GitRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = a_repository(tmp_path / "other", {"other.txt": ""})
    monkeypatch.setenv("GIT_DIR", str(other.root / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other.root))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other.root / ".git" / "index"))
    found = find_repository(repository.root)
    assert set(WorkTree(found).paths()) == set(FILES)
    assert head_commit(found) == repository.git("rev-parse", "HEAD")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to another user")
def test_a_repository_of_another_user_is_read(repository: GitRepository) -> None:
    for path in (repository.root, *repository.root.rglob("*")):
        os.chown(path, 12345, 12345, follow_symlinks=False)
    found = find_repository(repository.root)
    assert set(CommitTree(found, resolve_commit(found, "HEAD")).paths()) == set(FILES)
    assert not is_dirty(found)


def test_a_repository_without_a_commit(tmp_path: Path) -> None:
    repository = a_repository(tmp_path / "empty").value
    assert head_commit(repository) is None
    assert choose_base(repository, None, None, None) is None
    assert WorkTree(repository).paths() == ()


def test_what_makes_a_work_tree_dirty(repository: GitRepository) -> None:
    assert not is_dirty(repository.value)
    repository.commit({".gitignore": "ignored\n"})
    repository.write({"ignored": "x"})
    assert not is_dirty(repository.value)
    repository.write({"untracked": "x"})
    assert is_dirty(repository.value)


def test_nothing_of_the_repositorys_configuration_runs(
    repository: GitRepository, tmp_path: Path
) -> None:
    """Hooks, monitors, filters and diff drivers would run code on behalf of a reader."""
    trap = tmp_path / "trap"
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\ntouch '{trap}'\ncat\n")
    program.chmod(0o755)
    hooks = repository.root / ".git" / "hooks"
    hooks.mkdir(exist_ok=True)
    for name in ("post-index-change", "post-checkout", "reference-transaction"):
        (hooks / name).symlink_to(program)
    repository.commit({".gitattributes": "* filter=a=b diff=d export-subst\n"})
    trap.unlink(missing_ok=True)
    for key in ("core.fsmonitor", "filter.a=b.clean", "filter.a=b.smudge", "diff.external"):
        repository.git("config", key, str(program))
    repository.git("config", "diff.d.textconv", str(program))
    repository.git("config", "filter.a=b.required", "true")
    repository.write({"plain.txt": "Plain\n"})
    found = find_repository(repository.root)
    assert is_dirty(found)
    commit = resolve_commit(found, "HEAD")
    CommitTree(found, commit).export(tmp_path / "commit")
    WorkTree(found).export(tmp_path / "work")
    assert (tmp_path / "commit" / "plain.txt").read_text() == "plain\n"
    assert (tmp_path / "work" / "plain.txt").read_text() == "Plain\n"
    assert merge_base(found, "main", commit) == commit
    assert not trap.exists()


@pytest.mark.parametrize(
    ("ref", "expected"),
    [("main", "second"), ("HEAD", "second"), ("HEAD~1", "first"), ("v1", "first")],
)
def test_refs_are_resolved(tmp_path: Path, ref: str, expected: str) -> None:
    repository = a_repository(tmp_path / "r")
    commits = {"first": repository.commit({}, "first")}
    repository.git("tag", "--annotate", "--message=one", "v1")
    commits["second"] = repository.commit({}, "second")
    assert resolve_commit(repository.value, ref) == commits[expected]


def test_a_branch_of_origin_is_known_by_its_short_name(
    repository: GitRepository, tmp_path: Path
) -> None:
    repository.git("branch", "release")
    copy = clone(repository, tmp_path / "copy").value
    assert resolve_commit(copy, "release") == repository.git("rev-parse", "release")


@pytest.mark.parametrize(
    ("prepare", "expected"),
    [
        ((), "main"),
        ((("branch", "--move", "main", "master"),), "master"),
        ((("switch", "--quiet", "--create", "feature"),), "main"),
        ((("update-ref", "refs/remotes/origin/main", "HEAD"),), "origin/main"),
        ((("update-ref", "refs/remotes/origin/master", "HEAD"),), "origin/master"),
        (
            (
                ("update-ref", "refs/remotes/origin/main", "HEAD"),
                ("update-ref", "refs/remotes/origin/trunk", "HEAD"),
                ("symbolic-ref", "refs/remotes/origin/HEAD", "refs/remotes/origin/trunk"),
            ),
            "origin/trunk",
        ),
    ],
)
def test_the_default_branch(
    repository: GitRepository, prepare: tuple[tuple[str, ...], ...], expected: str
) -> None:
    for arguments in prepare:
        repository.git(*arguments)
    assert default_branch(repository.value) == expected


# --- What a change is compared with --------------------------------------------------


@pytest.fixture
def forked(repository: GitRepository) -> tuple[GitRepository, dict[str, str]]:
    """`feature` left `main` at `fork`; each went on by one commit. HEAD is `feature`."""
    commits = {"fork": repository.git("rev-parse", "HEAD")}
    repository.git("switch", "--quiet", "--create", "feature")
    commits["feature"] = repository.commit({"feature": ""}, "feature")
    repository.git("switch", "--quiet", "main")
    commits["main"] = repository.commit({"main": ""}, "main")
    repository.git("switch", "--quiet", "feature")
    return repository, commits


@pytest.mark.parametrize(
    ("option", "event", "head", "expected"),
    [
        pytest.param(None, None, None, ("fork", "main", "main"), id="default branch"),
        pytest.param(None, None, "main", ("main", "main", "main"), id="on the default branch"),
        pytest.param(None, "main-sha", None, ("fork", "main", "main"), id="event"),
        pytest.param("feature", "main-sha", None, ("feature", "feature", "feature"), id="option"),
        pytest.param("HEAD~1", None, None, ("fork", "fork", "HEAD~1"), id="relative option"),
        pytest.param("feature", None, "main", ("fork", "feature", "feature"), id="other head"),
    ],
)
def test_the_base(
    forked: tuple[GitRepository, dict[str, str]],
    option: str | None,
    event: str | None,
    head: str | None,
    expected: tuple[str, str, str],
) -> None:
    repository, commits = forked
    event = commits["main"] if event else None
    base = choose_base(repository.value, option, event, head)
    commit, tip, name = expected
    assert base == Base(commits[commit], commits[tip], name)


def test_a_detached_checkout_of_a_clone_has_a_base(
    forked: tuple[GitRepository, dict[str, str]], tmp_path: Path
) -> None:
    """As actions/checkout leaves a pull request: no local branch at all."""
    repository, commits = forked
    repository.git("switch", "--quiet", "main")
    copy = clone(repository, tmp_path / "copy")
    copy.git("switch", "--quiet", "--detach", "origin/feature")
    copy.git("branch", "--delete", "--force", "main")
    base = Base(commits["fork"], commits["main"], "main")
    assert choose_base(copy.value, None, None, None) == base
    assert choose_base(copy.value, "main", None, None) == base
    assert choose_base(copy.value, None, commits["main"], None) == base


def test_a_sha_is_called_by_the_default_branch_that_is_there(repository: GitRepository) -> None:
    """A pull request without a commit of its own has its branch at the same commit."""
    commit = repository.git("rev-parse", "HEAD")
    repository.git("tag", "a-tag")
    repository.git("branch", "another")
    assert choose_base(repository.value, None, commit, None) == Base(commit, commit, "main")
    repository.git("branch", "--move", "main", "trunk")
    repository.git("branch", "--delete", "another")
    assert choose_base(repository.value, None, commit, None) == Base(commit, commit, "trunk")
    repository.git("switch", "--quiet", "--detach")
    repository.git("branch", "--delete", "--force", "trunk")
    repository.git("tag", "--delete", "a-tag")
    assert choose_base(repository.value, None, commit, None) == Base(commit, commit, commit[:7])


# --- The files of one state ----------------------------------------------------------


@pytest.mark.parametrize("ref", ["HEAD", None])
def test_paths_and_contents(repository: GitRepository, ref: str | None) -> None:
    tree = open_tree(repository.value, ref)
    assert tree.paths() == tuple(sorted(FILES))
    expected = {p: c.encode() if isinstance(c, str) else c for p, c in FILES.items()}
    assert tree.read_many([*FILES, "absent"]) == expected
    assert tree.read("binary") == b"\x00\xff\r\n"
    assert tree.read("absent") is None
    assert tree.read("with space") is None


def test_a_partial_clone_fetches_what_it_lacks(repository: GitRepository, tmp_path: Path) -> None:
    repository.git("config", "uploadpack.allowFilter", "true")
    repository.commit({"plain.txt": "newer\n"})
    copy = clone(repository, tmp_path / "copy", "--filter=blob:none")
    assert open_tree(copy.value, "HEAD~1").read("plain.txt") == b"plain\n"


@pytest.mark.parametrize("ref", ["HEAD", None])
def test_links_are_read_inside_the_tree_only(
    repository: GitRepository, tmp_path: Path, ref: str | None
) -> None:
    (tmp_path / "secret").write_text("secret")
    links = {"inside": "with space/ünï cödé.txt", "outside": "../secret", "folder": "with space"}
    links["absolute"] = str(tmp_path / "secret")
    for link, target in links.items():
        (repository.root / link).symlink_to(target)
    repository.commit({})
    tree = open_tree(repository.value, ref)
    assert set(tree.paths()) == {*FILES, "inside"}
    assert tree.read("inside") == b"unicode\n"
    assert tree.read("outside") is None
    assert tree.read("absolute") is None
    tree.export(tmp_path / "copy")
    copied = {link: str((tmp_path / "copy" / link).readlink()) for link in links}
    assert copied == links


def test_a_tracked_folder_replaced_by_a_link_out_of_the_tree(
    repository: GitRepository, tmp_path: Path
) -> None:
    repository.commit({"folder/file": "mine"})
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "file").write_text("foreign")
    (repository.root / "folder" / "file").unlink()
    (repository.root / "folder").rmdir()
    (repository.root / "folder").symlink_to(tmp_path / "foreign")
    tree = WorkTree(repository.value)
    assert tree.read("folder/file") is None
    tree.export(tmp_path / "copy")
    assert (tmp_path / "copy" / "folder").is_symlink()


def test_submodules_are_left_out(repository: GitRepository, tmp_path: Path) -> None:
    other = a_repository(tmp_path / "other", {"other.txt": "x"})
    repository.git(
        "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(other.root), "sub"
    )
    repository.commit({})
    expected = {*FILES, ".gitmodules"}
    assert set(WorkTree(repository.value).paths()) == expected
    assert set(open_tree(repository.value, "HEAD").paths()) == expected


def test_what_a_checkout_brings_to_a_folder(repository: GitRepository, tmp_path: Path) -> None:
    """Links and submodules as well, where the files that are read leave them out."""
    other = a_repository(tmp_path / "other", {"other.txt": "x"})
    repository.git(
        "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(other.root), "sub"
    )
    repository.commit({"kept/file": "x", ".gitignore": "ignored\n"})
    (repository.root / "links").mkdir()
    (repository.root / "links" / "to_folder").symlink_to("../kept")
    repository.commit({})
    repository.write({"ignored/file": "x", "untracked": "x"})
    found = {
        folder: find_tracked(repository.value, folder)
        for folder in ("new", "ignored", "kep", "kept", "kept/file/below", "links", "sub/below")
    }
    assert found == {
        "new": None,
        "ignored": None,
        "kep": None,
        "kept": "kept/file",
        "kept/file/below": "kept/file",
        "links": "links/to_folder",
        "sub/below": "sub",
    }


def test_the_work_tree_is_what_lies_on_disk(repository: GitRepository) -> None:
    repository.commit({".gitignore": "*.log\n", "gone": ""})
    repository.write({"untracked": "u", "plain.txt": "changed", "a.log": "ignored", "gone": None})
    tree = WorkTree(repository.value)
    assert set(tree.paths()) == {*FILES, ".gitignore", "untracked"}
    assert tree.read("plain.txt") == b"changed"
    assert tree.read("gone") is None


@pytest.mark.parametrize("ref", ["HEAD", None])
def test_an_export_is_the_same_tree(
    repository: GitRepository, tmp_path: Path, ref: str | None
) -> None:
    (repository.root / "plain.txt").chmod(0o755)
    repository.commit({".gitattributes": "empty export-ignore\n*.txt eol=crlf\n"})
    open_tree(repository.value, ref).export(tmp_path / "copy")
    copied = {
        str(p.relative_to(tmp_path / "copy")): p.read_bytes()
        for p in (tmp_path / "copy").rglob("*")
        if p.is_file()
    }
    on_disk = {
        str(p.relative_to(repository.root)): p.read_bytes()
        for p in repository.root.rglob("*")
        if p.is_file() and ".git" not in p.parts
    }
    assert copied == on_disk
    assert os.access(tmp_path / "copy" / "plain.txt", os.X_OK)


def test_an_export_of_the_work_tree_takes_small_ignored_files_along(
    repository: GitRepository, tmp_path: Path
) -> None:
    ignored = ".env*\nvenv/\nversion.py\n*.dump\n"
    repository.commit({".gitignore": ignored, "app/main.py": ""})
    repository.write({".env": "A=1", "app/.env.local": "B=2", "venv/.env": "", "app/.envdir/x": ""})
    repository.write({"app/version.py": "made by a build step", "app/db.dump": "x" * 2_000_000})
    WorkTree(repository.value).export(tmp_path / "copy")
    copied = {str(p.relative_to(tmp_path / "copy")) for p in (tmp_path / "copy").rglob("*")}
    assert copied - {"app", "with space"} == {
        *FILES,
        ".gitignore",
        ".env",
        "app/main.py",
        "app/.env.local",
        "app/version.py",
    }


# --- The stairway of errors ----------------------------------------------------------


def message(error: pytest.ExceptionInfo[ConfigError]) -> list[str]:
    return str(error.value).splitlines()


def test_no_repository(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as error:
        find_repository(tmp_path)
    assert message(error) == [
        f"`{tmp_path}` is not in a git repository.",
        "Run gatekeeper inside a clone; on GitHub Actions put `uses: actions/checkout` with "
        "`fetch-depth: 0` before it.",
    ]


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as error:
        find_repository(tmp_path / "absent")
    assert message(error) == [
        f"The folder `{tmp_path / 'absent'}` does not exist.",
        "Name an existing folder with `--project DIR`.",
    ]


def test_a_bare_repository(repository: GitRepository, tmp_path: Path) -> None:
    bare = clone(repository, tmp_path / "bare", "--bare")
    with pytest.raises(ConfigError) as error:
        find_repository(bare.root)
    assert message(error) == [
        f"`{bare.root}` is in a bare repository, which has no files to read.",
        "Run gatekeeper in a clone that has a work tree (`git clone URL DIR`).",
    ]


def test_no_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError) as error:
        find_repository(tmp_path)
    assert message(error) == [
        "git is not installed, or not on the PATH.",
        "Install it (`apt-get install git`) and try again.",
    ]


def test_a_folder_outside(repository: GitRepository, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as error:
        relative_folder(repository.value, tmp_path)
    assert message(error) == [
        f"`{tmp_path}` is outside the repository `{repository.root}`.",
        "Name a folder of the repository.",
    ]


LIST = "`git branch --all` and `git tag` list what can be named."


@pytest.mark.parametrize(
    ("ref", "fix"),
    [
        ("mian", f"Did you mean `main`? {LIST}"),
        ("unlike-any", LIST),
        ("0123456789abcdef", LIST),
        ("HEAD~9", "`HEAD` is there, but this does not lead to a commit: see `git log HEAD`."),
        ("main^2", "`main` is there, but this does not lead to a commit: see `git log main`."),
        ("unlike-any~2", LIST),
        ("two words", LIST),
    ],
)
def test_an_unknown_ref_without_a_remote(repository: GitRepository, ref: str, fix: str) -> None:
    with pytest.raises(ConfigError) as error:
        choose_base(repository.value, ref, None, None)
    assert message(error) == [f"git knows no commit, branch or tag `{ref}`.", fix]


@pytest.mark.parametrize("ref", ["--help", "-", "--upload-pack=sh"])
def test_a_ref_that_is_written_like_an_option(repository: GitRepository, ref: str) -> None:
    with pytest.raises(ConfigError) as error:
        choose_base(repository.value, ref, None, None)
    assert message(error) == [
        f"`{ref}` is written like an option; it names no commit, branch or tag.",
        "Name the commit to compare with: `--base REF`.",
    ]


@pytest.mark.parametrize(
    ("ref", "command"),
    [
        ("later", "git fetch origin later:refs/remotes/origin/later"),
        ("later~0", "git fetch origin later:refs/remotes/origin/later"),
        ("team/a;b", "git fetch origin 'team/a;b:refs/remotes/origin/team/a;b'"),
        ("origin/later", "git fetch origin refs/heads/later:refs/remotes/origin/later"),
        (
            "refs/remotes/origin/later",
            "git fetch origin refs/heads/later:refs/remotes/origin/later",
        ),
        ("refs/pull/7/head", "git fetch origin refs/pull/7/head:refs/pull/7/head"),
        ("v1.0", "git fetch origin tag v1.0"),
        ("SHA", "git fetch origin SHA"),
        ("SHORT", "git fetch --all"),
    ],
)
def test_the_remedy_for_an_unknown_ref_is_one(
    repository: GitRepository, tmp_path: Path, ref: str, command: str
) -> None:
    """A clone of one branch keeps no other that is fetched by its bare name."""
    copy = clone(repository, tmp_path / "copy", "--single-branch")
    repository.git("switch", "--quiet", "-c", "later")
    commit = repository.commit({"later": ""})
    for name in ("refs/heads/team/a;b", "refs/pull/7/head", "refs/tags/v1.0"):
        repository.git("update-ref", name, commit)
    repository.git("config", "uploadpack.allowAnySHA1InWant", "true")
    if ref == "SHORT":
        copy.git("remote", "set-branches", "origin", "*")
    ref = ref.replace("SHA", commit).replace("SHORT", commit[:9])
    command = command.replace("SHA", commit)
    with pytest.raises(ConfigError) as error:
        resolve_commit(copy.value, ref)
    assert message(error) == [
        f"git knows no commit, branch or tag `{ref}`.",
        f"Fetch it first: `{command}`.",
    ]
    copy.git(*shlex.split(command)[1:])
    assert resolve_commit(copy.value, ref) == commit


def test_a_ref_that_is_nearly_one(repository: GitRepository, tmp_path: Path) -> None:
    copy = clone(repository, tmp_path / "copy")
    with pytest.raises(ConfigError) as error:
        resolve_commit(copy.value, "mian")
    assert message(error) == [
        "git knows no commit, branch or tag `mian`.",
        "Did you mean `main`? Otherwise fetch it first: "
        "`git fetch origin mian:refs/remotes/origin/mian`.",
    ]


def test_git_gets_nothing_secret(
    repository: GitRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its environment is readable for the project's code where both have one account."""
    real, seen = shutil.which("git"), tmp_path / "seen"
    fake = tmp_path / "bin" / "git"
    fake.parent.mkdir()
    fake.write_text(f'#!/bin/sh\nenv >> {seen}\nexec {real} "$@"\n')
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("GITHUB_TOKEN", "secret-word")
    monkeypatch.setenv("INPUT_GITHUB-TOKEN", "secret-word")
    monkeypatch.setenv("PGPASSWORD", "secret-word")
    monkeypatch.setenv("https_proxy", "http://proxy.example.com")
    tree = open_tree(find_repository(repository.root), "main")
    assert tree.read("plain.txt") == b"plain\n"
    assert "secret-word" not in seen.read_text()
    assert "https_proxy=http://proxy.example.com" in seen.read_text()


def test_shallow_clones(forked: tuple[GitRepository, dict[str, str]], tmp_path: Path) -> None:
    repository, commits = forked
    remedy = "Set `fetch-depth: 0` for actions/checkout, or run `git fetch --unshallow`."
    copy = clone(repository, tmp_path / "copy", "--depth=1", "--no-single-branch")
    assert is_shallow(copy.value)
    assert not is_shallow(repository.value)
    with pytest.raises(ConfigError) as error:
        choose_base(copy.value, "main", None, None)
    assert message(error) == [
        "This shallow clone does not reach back to where `main` and `HEAD` parted.",
        remedy,
    ]
    with pytest.raises(ConfigError) as error:
        choose_base(copy.value, None, commits["fork"], None)
    assert message(error) == [
        f"git knows no commit, branch or tag `{commits['fork']}`.",
        f"This is a shallow clone. {remedy}",
    ]
    for ref in ("HEAD~1", f"{commits['fork']}^1", "main^1"):
        with pytest.raises(ConfigError) as error:
            choose_base(copy.value, None, ref, None)
        assert message(error) == [
            f"git knows no commit, branch or tag `{ref}`.",
            f"This is a shallow clone. {remedy}",
        ]


def test_unrelated_histories(repository: GitRepository) -> None:
    repository.git("switch", "--quiet", "--orphan", "other")
    repository.commit({"other": ""})
    with pytest.raises(ConfigError) as error:
        choose_base(repository.value, None, None, None)
    assert message(error) == [
        "`main` and `HEAD` have no commit in common: their histories are unrelated.",
        "Name the commit to compare with: `--base REF`.",
    ]


def test_no_default_branch(repository: GitRepository) -> None:
    repository.git("branch", "--move", "main", "trunk")
    with pytest.raises(ConfigError) as error:
        choose_base(repository.value, None, None, None)
    assert message(error) == [
        "The default branch is not known: there is no `origin/HEAD`, `main` or `master`.",
        "Name the branch to compare with: `--base REF`.",
    ]


def test_a_missing_object(repository: GitRepository) -> None:
    blob = repository.git("rev-parse", "HEAD:plain.txt")
    (repository.root / ".git" / "objects" / blob[:2] / blob[2:]).unlink()
    with pytest.raises(ConfigError) as error:
        open_tree(repository.value, "HEAD").read("plain.txt")
    assert message(error) == [
        f"`git cat-file` failed: object {blob} is missing",
        "Run `git fsck` in the repository; a partial clone also needs its remote.",
    ]


# --- Tags ----------------------------------------------------------------------------


def test_tags_are_read_with_the_commits_that_they_lead_to(repository: GitRepository) -> None:
    first = repository.git("rev-parse", "HEAD")
    repository.git("tag", "light")
    repository.git("tag", "--annotate", "--message", "One", "v1.0")
    second = repository.commit({"plain.txt": "other\n"})
    repository.git("tag", "--annotate", "--message", "Two", "ünï/v1.1")
    repository.git("tag", "--annotate", "--message", "Of a tag", "again", "v1.0")
    repository.git("tag", "file", "HEAD:plain.txt")
    assert read_tags(repository.value) == (
        Tag("again", first, is_annotated=True),
        Tag("light", first, is_annotated=False),
        Tag("v1.0", first, is_annotated=True),
        Tag("ünï/v1.1", second, is_annotated=True),
    )


def test_a_repository_without_tags_has_none(repository: GitRepository) -> None:
    assert read_tags(repository.value) == ()
