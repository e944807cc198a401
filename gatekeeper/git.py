"""The one module that runs git: what is compared, and the files of either side.

Everything is read-only. A repository's own configuration must not make us run anything:
hooks, the file system monitor and content filters are switched off for each command. Of
the caller's variables only a few reach git: neither `GIT_DIR` nor a token, which the
project's code could read there where it runs under the same account.
"""

from __future__ import annotations

import difflib
import functools
import os
import posixpath
import re
import shlex
import shutil
import stat
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from gatekeeper.errors import ConfigError

_OPTIONS = (
    # A checkout in a container usually belongs to another user than the one that reads it.
    "-c", "safe.directory=*",
    "-c", "core.fsmonitor=false",
    "-c", "core.hooksPath=/dev/null",
    "-c", "core.quotePath=false",
)  # fmt: skip
# In capitals: a proxy's variable is written either way.
_PASSED_ON = (
    *("PATH", "HOME", "XDG_CONFIG_HOME", "USER", "LOGNAME", "TMPDIR", "SSH_AUTH_SOCK"),
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR"),
)
_FULL_CLONE = "Set `fetch-depth: 0` for actions/checkout, or run `git fetch --unshallow`."
_IGNORED_FILE_AT_MOST_BYTES = 1024 * 1024
_TAG_FIELDS = ("objecttype", "objectname", "*objecttype", "*objectname", "refname:lstrip=2")
_DEFAULT_BRANCHES = ("origin/main", "origin/master", "main", "master")


@dataclass(frozen=True)
class Repository:
    """A git repository with a work tree; `root` is the work tree's top folder."""

    root: Path


@dataclass(frozen=True)
class Base:
    """What a change is compared with.

    `commit` is where the change left the line it is to be merged into, `tip` that line's
    present end, `name` that line as a person calls it (`main`).
    """

    commit: str
    tip: str
    name: str


# --- Running git ---------------------------------------------------------------------


def _environment(overrides: Mapping[str, str]) -> dict[str, str]:
    """Return what git needs of the caller's environment, also to fetch for a partial clone.

    `overrides` are configuration values whose names may hold any character.
    """
    environ = {k: v for k, v in os.environ.items() if k.upper() in _PASSED_ON}
    environ |= {"LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0"}
    environ["GIT_CONFIG_COUNT"] = str(len(overrides))
    for number, (key, value) in enumerate(overrides.items()):
        environ[f"GIT_CONFIG_KEY_{number}"] = key
        environ[f"GIT_CONFIG_VALUE_{number}"] = value
    return environ


def _run(
    directory: Path, *arguments: str, overrides: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Return git's answer, whatever its exit code."""
    try:
        return subprocess.run(
            ["git", *_OPTIONS, *arguments],
            cwd=directory,
            env=_environment(overrides or {}),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
    except FileNotFoundError as error:
        if not directory.is_dir():
            raise ConfigError(
                f"The folder `{directory}` does not exist.",
                fix="Name an existing folder with `--project DIR`.",
            ) from error
        raise ConfigError(
            "git is not installed, or not on the PATH.",
            fix="Install it (`apt-get install git`) and try again.",
        ) from error


def _output(
    repository: Repository, *arguments: str, overrides: Mapping[str, str] | None = None
) -> bytes:
    """Return what git printed; it must succeed."""
    done = _run(repository.root, *arguments, overrides=overrides)
    if done.returncode != 0:
        raise _failure(arguments[0], done.stderr)
    return done.stdout


def _failure(command: str, stderr: bytes) -> ConfigError:
    said = " ".join(stderr.decode(errors="replace").split()) or "it gave no reason"
    return ConfigError(
        f"`git {command}` failed: {said}",
        fix="Run `git fsck` in the repository; a partial clone also needs its remote.",
    )


# --- The repository and its commits --------------------------------------------------


def find_repository(directory: Path) -> Repository:
    """Return the repository whose work tree holds the directory."""
    done = _run(directory, "rev-parse", "--show-toplevel")
    if done.returncode == 0:
        return Repository(Path(os.fsdecode(done.stdout.removesuffix(b"\n"))))
    if b"must be run in a work tree" in done.stderr:
        raise ConfigError(
            f"`{directory}` is in a bare repository, which has no files to read.",
            fix="Run gatekeeper in a clone that has a work tree (`git clone URL DIR`).",
        )
    if b"not a git repository" not in done.stderr:
        raise _failure("rev-parse", done.stderr)
    raise ConfigError(
        f"`{directory}` is not in a git repository.",
        fix="Run gatekeeper inside a clone; on GitHub Actions put `uses: actions/checkout` with "
        "`fetch-depth: 0` before it.",
    )


def relative_folder(repository: Repository, directory: Path) -> str:
    """Return the directory relative to the repository's root, "." for the root itself."""
    root = repository.root.resolve()
    directory = directory.resolve()
    if not directory.is_relative_to(root):
        raise ConfigError(
            f"`{directory}` is outside the repository `{root}`.",
            fix="Name a folder of the repository.",
        )
    return directory.relative_to(root).as_posix()


def head_commit(repository: Repository) -> str | None:
    """Return the commit of HEAD, None in a repository without a commit."""
    return _find_commit(repository, "HEAD")


def is_shallow(repository: Repository) -> bool:
    """Return whether a part of the history was left out when the repository was cloned."""
    return _output(repository, "rev-parse", "--is-shallow-repository").strip() == b"true"


def is_dirty(repository: Repository) -> bool:
    """Return whether the work tree differs from HEAD; ignored files do not count.

    Content filters stay off, so a file under Git LFS that was touched counts as different.
    """
    names = _run(
        repository.root,
        *("config", "--null", "--name-only"),
        *("--get-regexp", r"^filter\..*\.(clean|smudge|process|required)$"),
    ).stdout.decode(errors="surrogateescape")
    filters = {
        name: "false" if name.endswith(".required") else "" for name in names.split("\0") if name
    }
    arguments = ("status", "--porcelain", "-z", "--ignore-submodules=all")
    return bool(_output(repository, *arguments, overrides=filters))


def resolve_commit(repository: Repository, ref: str) -> str:
    """Return the commit that a ref names; `main` may also stand for `origin/main`.

    A checkout of a pull request has no local branch for the pull request's base.
    """
    if ref.startswith("-"):
        raise ConfigError(
            f"`{ref}` is written like an option; it names no commit, branch or tag.",
            fix="Name the commit to compare with: `--base REF`.",
        )
    commit = _find_commit(repository, ref) or _find_commit(repository, f"origin/{ref}")
    if commit is not None:
        return commit
    raise ConfigError(f"git knows no commit, branch or tag `{ref}`.", fix=_way_to(repository, ref))


def _find_commit(repository: Repository, ref: str) -> str | None:
    arguments = ("rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}")
    done = _run(repository.root, *arguments)
    return done.stdout.decode().strip() if done.returncode == 0 else None


def _way_to(repository: Repository, ref: str) -> str:
    """Return what to do about a ref that is not there."""
    name = re.split(r"[~^:]|@\{|\.\.", ref, maxsplit=1)[0]
    is_path, is_sha = name != ref, re.fullmatch(r"[0-9a-f]{7,64}", name) is not None
    if (is_path or is_sha) and is_shallow(repository):
        return f"This is a shallow clone. {_FULL_CLONE}"
    if is_path and any(_find_commit(repository, r) for r in (name, f"origin/{name}")):
        return f"`{name}` is there, but this does not lead to a commit: see `git log {name}`."
    known = [other.removeprefix("origin/") for other in _refs(repository)]
    near = difflib.get_close_matches(name.removeprefix("origin/"), known, n=1)
    command = _fetch_command(repository, name, is_sha)
    if command is None:
        fetch = "`git branch --all` and `git tag` list what can be named."
    elif near:
        fetch = f"Otherwise fetch it first: `{command}`."
    else:
        fetch = f"Fetch it first: `{command}`."
    return f"Did you mean `{near[0]}`? {fetch}" if near and not is_sha else fetch


def _fetch_command(repository: Repository, name: str, is_sha: bool) -> str | None:
    """Return a command after which git knows a name, None where nothing can fetch it.

    A bare `git fetch origin NAME` keeps a name only where the remote's configuration covers
    it, which a clone of a single branch does not.
    """
    remotes = _output(repository, "remote").decode(errors="replace").splitlines()
    full = name if name.startswith("refs/") else f"refs/heads/{name}"
    is_name = _run(repository.root, "check-ref-format", full).returncode == 0
    if not remotes or not is_name or name == "HEAD":
        return None
    if is_sha:  # a server gives out a commit by its whole name only
        return f"git fetch origin {name}" if len(name) in (40, 64) else "git fetch --all"
    remote, _, branch = name.removeprefix("refs/remotes/").partition("/")
    if remote in remotes and branch:
        return shlex.join(
            ["git", "fetch", remote, f"refs/heads/{branch}:refs/remotes/{remote}/{branch}"]
        )
    remote = "origin" if "origin" in remotes else remotes[0]
    if name.startswith("refs/"):
        return shlex.join(["git", "fetch", remote, f"{name}:{name}"])
    if re.match(r"v?\d", name):
        return shlex.join(["git", "fetch", remote, "tag", name])
    return shlex.join(["git", "fetch", remote, f"{name}:refs/remotes/{remote}/{name}"])


def _refs(repository: Repository, *which: str) -> list[str]:
    """Return the short names of all branches and tags, or of those that options choose."""
    spaces = ("refs/remotes", "refs/heads", "refs/tags")
    names = _output(repository, "for-each-ref", "--format=%(refname:lstrip=2)", *which, *spaces)
    return [name for name in names.decode(errors="replace").splitlines() if name != "origin/HEAD"]


def merge_base(repository: Repository, one: str, other: str) -> str:
    """Return the commit in which the lines of two refs last were one."""
    done = _run(
        repository.root,
        *("merge-base", resolve_commit(repository, one), resolve_commit(repository, other)),
    )
    if done.returncode == 0:
        return done.stdout.decode().strip()
    if done.stderr:
        raise _failure("merge-base", done.stderr)
    if is_shallow(repository):
        raise ConfigError(
            f"This shallow clone does not reach back to where `{one}` and `{other}` parted.",
            fix=_FULL_CLONE,
        )
    raise ConfigError(
        f"`{one}` and `{other}` have no commit in common: their histories are unrelated.",
        fix="Name the commit to compare with: `--base REF`.",
    )


def default_branch(repository: Repository) -> str:
    """Return the ref of the branch that others start from, such as `origin/main`."""
    done = _run(repository.root, "symbolic-ref", "--quiet", "refs/remotes/origin/HEAD")
    names = [os.fsdecode(done.stdout).strip().removeprefix("refs/remotes/")]
    for name in (*filter(None, names), *_DEFAULT_BRANCHES):
        if _find_commit(repository, name) is not None:
            return name
    raise ConfigError(
        "The default branch is not known: there is no `origin/HEAD`, `main` or `master`.",
        fix="Name the branch to compare with: `--base REF`.",
    )


@dataclass(frozen=True)
class Tag:
    """A tag and the commit that it leads to, through a message of its own if it is annotated."""

    name: str
    commit: str
    is_annotated: bool


def read_tags(repository: Repository) -> tuple[Tag, ...]:
    """Return the tags that lead to a commit."""
    fields = "%00".join(f"%({name})" for name in _TAG_FIELDS)
    listed = _output(repository, "for-each-ref", f"--format={fields}", "refs/tags")
    tags = []
    for line in listed.decode(errors="surrogateescape").splitlines():
        kind, named, kind_behind, behind, name = line.split("\0")
        if kind != "tag":
            commit = named if kind == "commit" else None
        elif kind_behind == "commit":
            commit = behind
        else:  # a tag of a tag
            commit = _find_commit(repository, named)
        if commit is not None:  # a tag may also name a file or a tree
            tags.append(Tag(name, commit, is_annotated=kind == "tag"))
    return tuple(tags)


@dataclass(frozen=True)
class Sighting:
    """Where a text came into the repository; `refs` are branches and tags that have it."""

    commit: str
    refs: tuple[str, ...]


def find_introduction(
    repository: Repository, pattern: str, folders: Iterable[str]
) -> Sighting | None:
    """Return the oldest commit that brought lines of a pattern into files of the folders.

    The pattern is an extended regular expression of POSIX. All branches and tags of the clone
    are looked through.
    """
    places = [f":(top){folder}" for folder in folders]
    harmless = ("--no-textconv", "--no-ext-diff", "--no-show-signature")
    arguments = ("log", "--all", *harmless, "--format=%H", f"-G{pattern}", "--", *places)
    found = _output(repository, *arguments)
    commits = found.decode().split()
    if not commits:
        return None
    return Sighting(commits[-1], tuple(_refs(repository, f"--contains={commits[-1]}")))


def choose_base(
    repository: Repository,
    base_option: str | None,
    event_base: str | None,
    head: str | None,
) -> Base | None:
    """Return what the head is compared with: an option, the event's, the default branch.

    `head` None is HEAD with the work tree on top of it. The result is None in a repository
    without a commit, where everything is new. On the default branch itself the base is the
    head: nothing is new but what is not committed yet.
    """
    if head is None and head_commit(repository) is None:
        return None
    ref = base_option or event_base or default_branch(repository)
    tip = resolve_commit(repository, ref)
    return Base(merge_base(repository, ref, head or "HEAD"), tip, _spoken(repository, ref, tip))


def exact_base(repository: Repository, ref: str) -> Base:
    """Return a ref as the base itself, wherever the lines of the two parted."""
    commit = resolve_commit(repository, ref)
    return Base(commit, commit, ref)


def _spoken(repository: Repository, ref: str, commit: str) -> str:
    """Return a ref as a person says it: without `origin/`, a sha as a branch or shortened."""
    if ref != commit:
        return ref.removeprefix("origin/")
    names = _refs(repository, f"--points-at={commit}")
    names.sort(key=lambda name: (name not in _DEFAULT_BRANCHES, not name.startswith("origin/")))
    return names[0].removeprefix("origin/") if names else commit[:7]


def find_tracked(repository: Repository, folder: str) -> str | None:
    """Return what the checkout brought to a folder, None where nothing.

    That is a file, a link or a submodule in it, at its place or around it.
    """
    place = PurePosixPath(folder)
    for entry in _output(repository, "ls-files", "-z", "--cached").split(b"\0")[:-1]:
        path = PurePosixPath(os.fsdecode(entry))
        if path.is_relative_to(place) or place.is_relative_to(path):
            return str(path)
    return None


# --- The files of one state ----------------------------------------------------------


@dataclass(frozen=True)
class CommitTree:
    """The files as a commit holds them. Submodules are left out."""

    repository: Repository
    commit: str

    @functools.cached_property
    def _entries(self) -> dict[str, tuple[str, str]]:
        """Mode and object of every file and link."""
        listing = _output(self.repository, "ls-tree", "-r", "-z", "--full-tree", self.commit)
        entries = {}
        for entry in listing.split(b"\0")[:-1]:
            description, path = entry.split(b"\t", 1)
            mode, kind, name = description.decode().split(" ")
            if kind == "blob" and _is_inside(os.fsdecode(path)):
                entries[os.fsdecode(path)] = (mode, name)
        return entries

    @functools.cached_property
    def _links(self) -> dict[str, str]:
        """Where each link points to, as it is written in it."""
        links = {path: name for path, (mode, name) in self._entries.items() if mode == "120000"}
        targets = _read_objects(self.repository, links.values())
        return dict(zip(links, map(os.fsdecode, targets), strict=True))

    @functools.cached_property
    def _files(self) -> dict[str, str]:
        """The object of every file and of every link to a file."""
        files = {p: name for p, (mode, name) in self._entries.items() if mode != "120000"}
        return files | {
            link: files[target]
            for link, written in self._links.items()
            if (target := _target(link, written)) in files
        }

    def paths(self) -> tuple[str, ...]:
        """Return every file, relative to the root, with forward slashes, sorted."""
        return tuple(sorted(self._files))

    def read(self, path: str) -> bytes | None:
        """Return a file's content, None where there is no such file."""
        return self.read_many((path,)).get(path)

    def read_many(self, paths: Iterable[str]) -> dict[str, bytes]:
        """Return the contents of those paths that are files, by one git process."""
        there = {path: self._files[path] for path in paths if path in self._files}
        return dict(zip(there, _read_objects(self.repository, there.values()), strict=True))

    def export(self, destination: Path) -> None:
        """Write all files and links below an empty or new folder, byte for byte.

        Not by `git archive`, which drops and rewrites files as `.gitattributes` tells it.
        """
        destination.mkdir(parents=True, exist_ok=True)
        names = (name for _, name in self._entries.values())
        contents = _read_objects(self.repository, names)
        for (path, (mode, _)), content in zip(self._entries.items(), contents, strict=True):
            target = destination / path
            target.parent.mkdir(parents=True, exist_ok=True)
            if mode == "120000":
                target.symlink_to(os.fsdecode(content))
            else:
                target.write_bytes(content)
                target.chmod(0o755 if mode == "100755" else 0o644)


@dataclass(frozen=True)
class WorkTree:
    """The files as they lie on disk: tracked ones, and others that are not ignored."""

    repository: Repository

    @functools.cached_property
    def _entries(self) -> tuple[str, ...]:
        """Every file and link that is on disk."""
        arguments = ("ls-files", "-z", "--cached", "--others", "--exclude-standard")
        listing = {os.fsdecode(p) for p in _output(self.repository, *arguments).split(b"\0")}
        return tuple(path for path in sorted(listing) if self._is_entry(path))

    def _is_entry(self, path: str) -> bool:
        if not _is_inside(path) or not self._is_own_folder(posixpath.dirname(path)):
            return False
        try:
            mode = os.lstat(self.repository.root / path).st_mode
        except (FileNotFoundError, NotADirectoryError):
            return False
        return stat.S_ISREG(mode) or stat.S_ISLNK(mode)

    @functools.cached_property
    def _own_folders(self) -> dict[str, bool]:
        return {"": True}

    def _is_own_folder(self, folder: str) -> bool:
        """Return whether no part of the folder is a link that could lead out of the tree."""
        known = self._own_folders.get(folder)
        if known is None:
            known = self._is_own_folder(posixpath.dirname(folder))
            known = known and not (self.repository.root / folder).is_symlink()
            self._own_folders[folder] = known
        return known

    @functools.cached_property
    def _files(self) -> dict[str, str]:
        """The path on disk of every file and of every link to a file."""
        links = {p for p in self._entries if (self.repository.root / p).is_symlink()}
        files = {path: path for path in self._entries if path not in links}
        targets = {p: _target(p, str((self.repository.root / p).readlink())) for p in links}
        return files | {link: target for link, target in targets.items() if target in files}

    def paths(self) -> tuple[str, ...]:
        """Return every file, relative to the root, with forward slashes, sorted."""
        return tuple(sorted(self._files))

    def read(self, path: str) -> bytes | None:
        """Return a file's content, None where there is no such file."""
        return self.read_many((path,)).get(path)

    def read_many(self, paths: Iterable[str]) -> dict[str, bytes]:
        """Return the contents of those paths that are files."""
        root = self.repository.root
        try:
            return {p: (root / self._files[p]).read_bytes() for p in paths if p in self._files}
        except PermissionError as error:
            raise _unreadable(error) from error

    def export(self, destination: Path) -> None:
        """Copy all files and links, and small ignored files, below an empty or new folder.

        Ignored files are what a build step makes (`version.py`) and where settings are
        (`.env`): env.py may fail without them. Ignored folders (a virtual environment,
        `node_modules`) are left out.
        """
        destination.mkdir(parents=True, exist_ok=True)
        try:
            for path in (*self._entries, *self._ignored_files()):
                target = destination / path
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(self.repository.root / path, target, follow_symlinks=False)
        except PermissionError as error:
            raise _unreadable(error) from error

    def _ignored_files(self) -> Iterator[str]:
        """Yield the ignored files that lie in folders which are not ignored."""
        arguments = ("ls-files", "-z", "--others", "--ignored", "--exclude-standard", "--directory")
        for path in map(os.fsdecode, _output(self.repository, *arguments).split(b"\0")):
            if path and not path.endswith("/") and self._is_entry(path):
                size = os.lstat(self.repository.root / path).st_size
                if size <= _IGNORED_FILE_AT_MOST_BYTES:
                    yield path


Tree = CommitTree | WorkTree


def open_tree(repository: Repository, ref: str | None) -> Tree:
    """Return the files of a commit, or of the work tree where `ref` is None."""
    if ref is None:
        return WorkTree(repository)
    return CommitTree(repository, resolve_commit(repository, ref))


def _is_inside(path: str) -> bool:
    """Return whether a path stays below the root and out of `.git`; a crafted tree may not."""
    parts = path.split("/")
    return not any(p in ("", ".", "..") or p.lower() == ".git" for p in parts)


def _target(link: str, written: str) -> str:
    """Return where a link points to, relative to the root (no path of ours if outside)."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(link), written))


def _unreadable(error: PermissionError) -> ConfigError:
    return ConfigError(
        "The file cannot be read by the user gatekeeper runs as.",
        where=str(error.filename),
        fix="Give that user the right to read it, or add the file to `.gitignore`.",
    )


def _read_objects(repository: Repository, names: Iterable[str]) -> Iterator[bytes]:
    """Yield the contents of objects, one at a time, from one git process."""
    names = tuple(names)
    if not names:
        return
    command = ["git", *_OPTIONS, "cat-file", "--batch"]
    with subprocess.Popen(
        command,
        cwd=repository.root,
        env=_environment({}),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for name in names:
            process.stdin.write(f"{name}\n".encode())
            process.stdin.flush()
            header = process.stdout.readline().split()
            if len(header) != 3:
                process.kill()
                raise _failure("cat-file", b"object " + name.encode() + b" is missing")
            size = int(header[2])
            yield process.stdout.read(size + 1)[:size]
