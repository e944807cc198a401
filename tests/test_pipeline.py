"""What a run makes of the policy that the change brings along; `lint` is enough for that."""

from __future__ import annotations

from pathlib import Path

import pytest

from gatekeeper import pipeline
from gatekeeper.errors import ConfigError
from gatekeeper.model import Report, Severity, Status, Verdict
from gatekeeper.preparing import copy_files
from gatekeeper.probe.hook import read_hook
from gatekeeper.request import Request, Since, Surroundings
from tests.build_git import GitRepository, a_repository
from tests.live import NOW, Files, a_table, live_project, live_revision, make_change

V = "migrations/versions"
POLICY = ".gatekeeper.yml"
BASE = {**live_project(), f"{V}/a001.py": live_revision("a001", None, *a_table("a"))}
# Without a downgrade, which is an error of its own.
BROKEN = live_revision("b001", "a001", 'op.execute("SELECT 1")', None)
MENDED = live_revision("b001", "a001", 'op.execute("SELECT 1")', 'op.execute("SELECT 1")')
WEAK = "checks:\n  downgrade-missing: off\n"


def lint(root: Path, **request: object) -> Report:
    surroundings = Surroundings({}, NOW, lambda step: None)
    values = {"directory": root, "is_lint": True, **request}
    return pipeline.check(Request(**values), surroundings)  # type: ignore[arg-type]


def changed(root: Path, base: Files, change: Files) -> Path:
    """Make a repository whose change adds the broken revision, and return its root."""
    change = {f"{V}/b001.py": BROKEN, **change}
    return make_change(root / "shop", {**BASE, **base}, change).root


def told(report: Report) -> tuple[Status, Severity, str | None]:
    (result,) = [r for r in report.checks if r.check.id == "policy-weakened"]
    return result.status, result.severity, result.reason


def weakened(report: Report) -> list[tuple[str, str | None, int | None]]:
    return [(f.message, f.path, f.line) for f in report.findings_of("policy-weakened")]


def compared(than: str, *texts: str) -> str:
    alters = "the change alters what its own policy asks"
    return f"Compared with {than}, {alters}: {'; '.join(texts)}."


OFF = "`downgrade-missing`: error → off"
BUILT_IN = "the built-in `recommended`"
AT_BASE = "`.gatekeeper.yml` at the base"


@pytest.mark.parametrize(
    ("base", "change"),
    [
        pytest.param({}, {}, id="no policy"),
        pytest.param({POLICY: WEAK}, {}, id="weak before"),
        pytest.param({POLICY: WEAK}, {POLICY: f"# kept\n{WEAK}postgres: 16\n"}, id="as weak"),
        pytest.param({}, {POLICY: "extends: strict"}, id="stricter"),
        pytest.param(
            {POLICY: "extends: ci/base.yml", "ci/base.yml": WEAK},
            {POLICY: WEAK, "ci/base.yml": None},
            id="the same in one file",
        ),
    ],
)
def test_a_policy_as_strict_as_before_passes(tmp_path: Path, base: Files, change: Files) -> None:
    report = lint(changed(tmp_path, base, change))
    assert told(report)[0] is Status.PASSED
    assert weakened(report) == []


@pytest.mark.parametrize(
    ("base", "change", "verdict", "finding"),
    [
        pytest.param(
            {}, {POLICY: WEAK}, Verdict.PASS, (compared(BUILT_IN, OFF), POLICY, 2), id="a first one"
        ),
        pytest.param(
            {},
            {POLICY: f"{WEAK}  policy-weakened: off\n"},
            Verdict.PASS,
            (compared(BUILT_IN, OFF, "`policy-weakened`: warning → off"), POLICY, 2),
            id="that switches this check off",
        ),
        pytest.param(
            {POLICY: "checks: {policy-weakened: error}"},
            {POLICY: f"overrides: [{{paths: ['*'], checks: {{policy-weakened: off}}}}]\n{WEAK}"},
            Verdict.FAIL,
            (
                compared(
                    AT_BASE,
                    OFF,
                    "`policy-weakened`: error → warning",
                    "override for `*`, `b001`: `policy-weakened` error → off",
                ),
                POLICY,
                3,
            ),
            id="an error at the base",
        ),
        pytest.param(
            {POLICY: "extends: ci/base.yml", "ci/base.yml": ""},
            {"ci/base.yml": WEAK},
            Verdict.PASS,
            (compared(AT_BASE, OFF), POLICY, 1),
            id="in a file that the policy extends",
        ),
        pytest.param(
            {POLICY: "checks: {model-drift: error}"},
            {POLICY: None, f"{V}/b001.py": MENDED},
            Verdict.PASS,
            (compared(AT_BASE, "`model-drift`: error → warning"), POLICY, None),
            id="the file is gone",
        ),
    ],
)
def test_a_weaker_policy_is_told_as_the_base_weighs_it(
    tmp_path: Path,
    base: Files,
    change: Files,
    verdict: Verdict,
    finding: tuple[str, str | None, int | None],
) -> None:
    report = lint(changed(tmp_path, base, change))
    assert weakened(report) == [finding]
    assert report.verdict is verdict


def test_the_policy_follows_a_project_that_is_moved(tmp_path: Path) -> None:
    """And one beside the project counts more than the repository's."""
    base = {f"old/{path}": text for path, text in {**BASE, POLICY: "extends: strict"}.items()}
    moved = {f"new/{path}": text for path, text in {**BASE, POLICY: WEAK}.items()}
    gone = dict.fromkeys(base)
    report = lint(make_change(tmp_path / "shop", {POLICY: WEAK, **base}, {**moved, **gone}).root)
    ((message, path, line),) = weakened(report)
    assert message.startswith("Compared with `old/.gatekeeper.yml` at the base, ")
    assert (path, line) == ("new/.gatekeeper.yml", 2)
    assert report.verdict is Verdict.FAIL


def test_a_waiver_does_not_reach_the_policy(tmp_path: Path) -> None:
    waiver = "# gatekeeper: allow[policy-weakened] we know\n"
    change = {POLICY: WEAK, f"{V}/b001.py": waiver + BROKEN}
    report = lint(changed(tmp_path, {}, change))
    assert [(f.check, f.waiver) for f in report.findings] == [
        ("policy-weakened", None),
        ("unusable-waiver", None),
    ]
    assert report.findings[1].message == (
        "The waiver on line 1 of `b001` names `policy-weakened`, which is not a check that can be "
        "waived."
    )


def test_a_policy_that_cannot_be_read_at_the_base_is_told(tmp_path: Path) -> None:
    change = {POLICY: f"{WEAK}  policy-weakened: off\n"}
    report = lint(changed(tmp_path, {POLICY: "\nchecks: {xyzzy: off}"}, change))
    status, severity, reason = told(report)
    assert (status, severity) == (Status.ERRORED, Severity.WARNING)
    assert reason is not None
    assert reason.startswith(
        "the policy at the base cannot be read: .gatekeeper.yml:2: `checks.xyzzy` is not known. "
    )


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        pytest.param({"is_audit": True}, "an audit has no base", id="audit"),
        pytest.param(
            {"policy": Path("strict")}, "the policy is the one of `--policy`", id="--policy"
        ),
    ],
)
def test_what_has_no_policy_to_compare_with_says_so(
    tmp_path: Path, request_: dict[str, object], reason: str
) -> None:
    report = lint(changed(tmp_path, {}, {POLICY: WEAK}), **request_)
    assert told(report)[::2] == (Status.SKIPPED, reason)


def test_before_the_first_commit_there_is_nothing_to_compare_with(tmp_path: Path) -> None:
    repository = a_repository(tmp_path / "shop")
    repository.write({**BASE, POLICY: WEAK})
    assert told(lint(repository.root))[::2] == (
        Status.SKIPPED,
        "there is no commit to compare with",
    )


def test_a_hook_is_not_written_through_a_link_of_the_base(tmp_path: Path) -> None:
    """The base may be an older state of anybody's; the files are copied as root at times."""
    outside = tmp_path / "outside"
    outside.mkdir()

    class Linked:
        def export(self, destination: Path) -> None:
            (destination / "ci").symlink_to(outside)

    hook = read_hook("ci/hook.py", b"def around(run): run()")
    with pytest.raises(ConfigError, match="the hook lies behind a symbolic link"):
        copy_files(Linked(), tmp_path / "checkout", hook)  # type: ignore[arg-type]
    assert list(outside.iterdir()) == []


@pytest.mark.parametrize("is_linked", [False, True])
def test_a_cache_that_came_with_the_checkout_is_refused(tmp_path: Path, is_linked: bool) -> None:
    """A Python in it would be asked for its version outside of the sandbox."""
    python = "pythons/cpython-3.12.9-linux-x86_64-gnu/bin/python3.12"
    folder = "elsewhere" if is_linked else "cache"
    root = changed(tmp_path, {"requirements.txt": "inflection"}, {f"{folder}/{python}": "exit"})
    if is_linked:
        (root / "cache").mkdir()
        (root / "cache" / "pythons").symlink_to("../elsewhere/pythons")
        GitRepository(root).commit({})
    with pytest.raises(ConfigError) as caught:
        lint(root, is_lint=False, cache="cache")
    assert caught.value.where == "cache"
    tracked = "cache/pythons" if is_linked else f"cache/{python}"
    assert caught.value.what == (
        f"the repository has `{tracked}` where made environments are to be kept"
    )


ASKED = """\
attestations:
  - {id: manual-read, title: Manual read}
  - {id: team-notified, title: Team told, required_for: [staging], asked: release}
"""


def test_what_is_asked_of_a_release_is_asked_of_no_change(tmp_path: Path) -> None:
    root = changed(tmp_path, {POLICY: ASKED}, {})
    assert [a.id for a in lint(root).attestations] == ["manual-read"]
    of_release = [a.id for a in lint(root, since=Since("main")).attestations]
    assert of_release[-1] == "manual-read"
    assert "team-notified" in of_release
