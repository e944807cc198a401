from __future__ import annotations

import textwrap

import pytest

from gatekeeper.errors import ConfigError
from gatekeeper.model import Basis, Finding, Severity
from gatekeeper.policy.document import read_document
from gatekeeper.policy.load import find_committed_policy, load_committed_policy
from gatekeeper.policy.model import Policy
from gatekeeper.policy.weakening import compare_policies, find_weakened, held_to
from tests.build import a_change_set, a_revision
from tests.policy.known import KNOWN

CHANGES = a_change_set(a_revision("b001"), a_revision("b002", "b001"))


def policy(text: str | None, **files: str) -> Policy:
    there = {f"{name}.yml": content.encode() for name, content in files.items()}
    if text is not None:
        there[".gatekeeper.yml"] = textwrap.dedent(text).encode()
    path = find_committed_policy((".",), there.get)
    return load_committed_policy(path, KNOWN, there.get)


def weakened(base: str | None, head: str | None) -> list[str]:
    return [w.text for w in compare_policies(policy(base), policy(head), KNOWN, CHANGES)]


# --- What asks for less --------------------------------------------------------------

OLD_OFF = 'overrides: [{paths: ["*/2023_*"], checks: {downgrade-missing: off}}]\n'


@pytest.mark.parametrize(
    ("base", "head"),
    [
        pytest.param(None, None, id="no policy"),
        pytest.param(None, "", id="an empty one"),
        pytest.param(None, "extends: strict", id="a strict one"),
        pytest.param("extends: strict", "# why\n{extends: 'strict'}", id="formatting"),
        pytest.param("checks: {not-atomic: notice}", None, id="back to recommended"),
        pytest.param(
            None,
            "project: {env: {A: b}}\nenvironments: {staging: {backup: off}}\npostgres: 16",
            id="the project and its environments",
        ),
        pytest.param("project: {role: owner}", "project: {role: restricted}", id="a lesser role"),
        pytest.param(
            None, "attestations: [{id: backup, title: Backed up}]", id="a new attestation"
        ),
        pytest.param(
            "attestations: [{id: backup, title: Backed up}]",
            "attestations: [{id: backup, title: It is backed up, required_for: [staging]}]",
            id="an attestation required for more",
        ),
        pytest.param(OLD_OFF, f"{OLD_OFF}checks: {{not-atomic: error}}", id="the same override"),
        pytest.param(OLD_OFF, None, id="an override that lowered is gone"),
        pytest.param(
            None, "overrides: [{paths: [x], checks: {not-atomic: error}}]", id="one that raises"
        ),
        pytest.param(
            "checks: {not-atomic: off}",
            "{checks: {not-atomic: error}, overrides: [{before: x, checks: {not-atomic: notice}}]}",
            id="raised, less so by an override",
        ),
        pytest.param(
            'overrides: [{paths: ["*"], checks: {downgrade-missing: off}}]',
            'overrides: [{paths: ["*"], checks: {downgrade-missing: off}},'
            "{revisions: [b001], checks: {downgrade-missing: warning}}]",
            id="raised for one of many",
        ),
        pytest.param(
            None, "checks: {not-atomic: {max_relations: 1}}", id="an option written out"
        ),
        pytest.param(
            "project: {without_dependencies: true}",
            "project: {without_dependencies: true}",
            id="without env.py, as before",
        ),
        pytest.param(
            "checks: {not-atomic: off}",
            "checks: {not-atomic: {severity: error, max_relations: 3}}",
            id="an option of a check that was off",
        ),
    ],
)  # fmt: skip
def test_what_asks_for_no_less_is_not_named(base: str | None, head: str | None) -> None:
    assert weakened(base, head) == []


@pytest.mark.parametrize(
    ("base", "head", "texts"),
    [
        pytest.param(
            None,
            "checks: {upgrade-fails: off, not-atomic: {severity: notice}}",
            ["`upgrade-fails`: error → off", "`not-atomic`: warning → notice"],
            id="severities, against recommended",
        ),
        pytest.param(
            "checks: {not-atomic: error}", None, ["`not-atomic`: error → warning"], id="no file"
        ),
        pytest.param(
            "project: {without_dependencies: false}",
            "project: {without_dependencies: true}",
            ["the project's env.py and models need not run where the dependencies are missing"],
            id="without env.py",
        ),
        pytest.param(
            None,
            "checks: {policy-weakened: off}",
            ["`policy-weakened`: warning → off"],
            id="this check",
        ),
        pytest.param(
            None,
            "checks: {not-atomic: {max_relations: 3}}",
            ["`not-atomic`: `max_relations` 1 → 3"],
            id="an option",
        ),
        pytest.param(
            None,
            "overrides: [{revisions: [b001, zzz], "
            "checks: {upgrade-fails: off, downgrade-missing: notice, not-atomic: error}}]",
            [
                "override for `b001`, `zzz`: `upgrade-fails` error → off, "
                "`downgrade-missing` error → notice"
            ],
            id="an override",
        ),
        pytest.param(
            OLD_OFF,
            'overrides: [{paths: ["*/2023_*", "*/2024_*"], checks: {downgrade-missing: off}}]',
            ["override for `*/2024_*`: `downgrade-missing` error → off"],
            id="a widened override",
        ),
        pytest.param(
            "overrides: [{before: a001, checks: {downgrade-missing: off}}]",
            "overrides: [{before: b002, checks: {downgrade-missing: off}}]",
            ["override for all before `b002`, `b001`: `downgrade-missing` error → off"],
            id="before a later revision, with one of the change",
        ),
        pytest.param(
            "overrides: [{paths: [ledger/*], checks: {not-atomic: error}}]",
            "{}",
            ["override for `ledger/*`: `not-atomic` error → warning"],
            id="one that raised is gone",
        ),
        pytest.param(
            'overrides: [{paths: ["*b*"], checks: {not-atomic: off}},'
            '{paths: ["*1*"], checks: {not-atomic: error}}]',
            'overrides: [{paths: ["*1*"], checks: {not-atomic: error}},'
            '{paths: ["*b*"], checks: {not-atomic: off}}]',
            ["override for `b001`: `not-atomic` error → off"],
            id="another order, as it counts for a revision of the change",
        ),
        pytest.param(
            None,
            "{checks: {upgrade-fails: off},"
            "overrides: [{revisions: [b001], checks: {upgrade-fails: notice}}]}",
            ["`upgrade-fails`: error → off"],
            id="in general, and less so by an override",
        ),
        pytest.param(
            None,
            f"overrides: [{{revisions: [{', '.join(f'c{n}' for n in range(10))}], "
            "checks: {upgrade-fails: off}}]",
            [
                f"override for {', '.join(f'`c{n}`' for n in range(8))} and 2 more: "
                "`upgrade-fails` error → off"
            ],
            id="many",
        ),
        pytest.param(
            "project: {role: restricted}",
            "project: {env: {A: b}}",
            ["`project.role`: restricted → owner"],
            id="a role that may more",
        ),
        pytest.param(
            "attestations: [{id: a, title: A}, {id: b, title: B, required_for: [x, y]}]",
            "attestations: [{id: b, title: B, required_for: [y]}]",
            [
                "attestation `a` is taken away",
                "attestation `b` is not required any more for `x`",
            ],
            id="attestations",
        ),
    ],
)
def test_what_asks_for_less_is_named(base: str | None, head: str | None, texts: list[str]) -> None:
    assert weakened(base, head) == texts


# --- The finding ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("base", "head", "line"),
    [
        (None, "version: 1\nchecks:\n  not-atomic: error\n  upgrade-fails: off\n", 4),
        (None, "overrides:\n  - revisions: [b001]\n    checks:\n      upgrade-fails: off\n", 4),
        (None, "\nextends: base.yml\nchecks: {not-atomic: error}\n", 2),
        ("checks: {not-atomic: error}", "version: 1\n", 1),
        ("attestations: [{id: a, title: A}]", "version: 1\nattestations: []\n", 2),
    ],
)
def test_a_finding_stands_where_the_key_does(base: str | None, head: str, line: int) -> None:
    """What the file takes over from another has the line that says so."""
    inherited = "overrides: [{paths: [x], checks: {upgrade-fails: off}}]"
    before, after = policy(base), policy(head, base=inherited)
    weakenings = compare_policies(before, after, KNOWN, CHANGES)
    document = read_document("backend/.gatekeeper.yml", head)
    (finding,) = find_weakened(weakenings, after, document, None)
    assert (finding.path, finding.line) == ("backend/.gatekeeper.yml", line)


def test_the_whole_finding() -> None:
    before, after = policy("extends: strict"), policy(None)
    weakenings = compare_policies(before, after, KNOWN, CHANGES)[:2]
    assert list(find_weakened(weakenings, after, None, ".gatekeeper.yml")) == [
        Finding(
            check="policy-weakened",
            message="Compared with `.gatekeeper.yml` at the base, the change alters what its own "
            "policy asks: `not-atomic`: error → warning; `non-deterministic-migration`: error → "
            "warning.",
            remedy="Put it back, or make it a change of its own, where reviewers see nothing else.",
            basis=Basis.READ,
            path=".gatekeeper.yml",
        )
    ]
    assert list(find_weakened((), after, None, ".gatekeeper.yml")) == []


def test_how_much_it_weighs_is_the_bases_word() -> None:
    base = policy('overrides: [{paths: ["*"], checks: {policy-weakened: error, not-atomic: off}}]')
    head = policy(
        'checks: {policy-weakened: off}\noverrides: [{paths: ["*"], checks: {policy-weakened: '
        "notice, not-atomic: error}}]"
    )
    held = held_to(base, head)
    assert held.checks == {**head.checks, "policy-weakened": base.checks["policy-weakened"]}
    assert [dict(o.checks) for o in held.overrides] == [
        {"not-atomic": Severity.ERROR},
        {"policy-weakened": Severity.ERROR},
    ]


# --- The policy of a commit ----------------------------------------------------------


def test_a_committed_policy_is_found_and_extends_files_of_the_commit() -> None:
    files = {
        "backend/.gatekeeper.yml": b"extends: ../ci/./base.yml",
        ".gatekeeper.yml": b"",
        "ci/base.yml": b"extends: strict\nchecks: {not-atomic: off}",
    }
    path = find_committed_policy(("backend", "."), files.get)
    assert path == "backend/.gatekeeper.yml"
    assert find_committed_policy(("frontend", "."), files.get) == ".gatekeeper.yml"
    assert find_committed_policy((".",), {}.get) is None
    checks = load_committed_policy(path, KNOWN, files.get).checks
    assert checks["not-atomic"].severity is Severity.OFF
    assert checks["model-drift"].severity is Severity.ERROR


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("extends: ../x.yml", ".gatekeeper.yml:1: there is no policy file ../x.yml."),
        ("extends: /etc/passwd", ".gatekeeper.yml:1: there is no policy file /etc/passwd."),
        ("extends: ./.gatekeeper.yml", ".gatekeeper.yml:1: `extends` leads back to .gatekeeper"),
        ("checks: {xyzzy: off}", ".gatekeeper.yml:1: `checks.xyzzy` is not known."),
    ],
)
def test_a_broken_committed_policy_is_refused(text: str, sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        policy(text)
    assert str(caught.value).startswith(sentence)
