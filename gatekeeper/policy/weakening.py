"""The policy is as strict as before the change.

What it finds

A change that lowers what its own policy asks: a check of less severity, an override that
lowers a check for some revisions, an attestation taken away, migrations that no longer run
as production's role (`project.role: restricted`). Options of a check that are
altered are named too; whether they ask for less cannot be told. Compared is the policy at
the base: `.gatekeeper.yml` with what it extends, `recommended` where there was none.

Why it matters

The policy is read from the change itself. One line in it turns every other finding green,
and few reviewers look for that line beside a migration.

When it is fine

Where those who answer for the database want it so, as in the first policy of a project
that adopts gatekeeper. What becomes stricter is not found, nor is what the policy says of
the project (all but `without_dependencies` and `role`) and its environments. A policy named by
`--policy` and an audit are not compared.

How to fix

Put the policy back, and accept a single finding by a waiver with a reason. What is to hold
from now on belongs in a change of its own. How much this weighs is told by the policy at
the base; a waiver in a revision file does not reach it.

Example

    # .gatekeeper.yml, in the change that adds b001
    overrides:
      - revisions: [b001]
        checks: {downgrade-missing: off}

Instead

    # gatekeeper: allow[downgrade-missing] the old rows are in the archive
    revision = "b001"
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from gatekeeper.model import Basis, ChangeSet, Check, Finding, Needs, Severity
from gatekeeper.policy.document import Document, KeyPath, shown
from gatekeeper.policy.model import Override, Policy
from gatekeeper.policy.severity import (
    general_severity,
    options_of,
    setting_of,
    strongest_severity,
)

CHECK = Check(
    id="policy-weakened",
    title="The policy is as strict as before the change",
    group="policy",
    needs=Needs.SOURCE,
)

_LISTED = 8  # of what overrides select; whoever wants all looks into the file


@dataclass(frozen=True)
class Weakening:
    """One thing that the policy asks less for, or asks otherwise, and its key.

    The number in the key of an override is its place in the merged policy.
    """

    text: str
    key: KeyPath


@dataclass(frozen=True)
class _Drop:
    """A check that weighs less than before."""

    check: str
    before: Severity
    after: Severity

    def __str__(self) -> str:
        return f"{_code(self.check)} {self.before.name.lower()} → {self.after.name.lower()}"


@dataclass(frozen=True)
class _Selector:
    """One thing that an override selects by: a glob, a revision, all before a revision.

    `path` is that of a revision that the history has.
    """

    key: str
    value: str
    path: str | None = None

    def __str__(self) -> str:
        return f"all before {_code(self.value)}" if self.key == "before" else _code(self.value)


def held_to(base: Policy, head: Policy) -> Policy:
    """Return the head's policy, with what the base's says of this check."""
    theirs = (
        replace(o, checks={check: s for check, s in o.checks.items() if check != CHECK.id})
        for o in head.overrides
    )
    ours = (
        replace(o, checks={CHECK.id: o.checks[CHECK.id]})
        for o in base.overrides
        if CHECK.id in o.checks
    )
    checks = {**head.checks, CHECK.id: base.checks[CHECK.id]}
    return replace(head, checks=checks, overrides=(*theirs, *ours))


def find_weakened(
    weakenings: Sequence[Weakening], head: Policy, document: Document | None, base_path: str | None
) -> Iterator[Finding]:
    """Yield one finding that names all weakenings, none where there is none.

    `document` is the head's policy file, `base_path` the base's; None where there is none.
    """
    if weakenings:
        than = "the built-in `recommended`" if base_path is None else f"`{base_path}` at the base"
        line = None if document is None else _line(document, head, weakenings)
        yield Finding(
            check=CHECK.id,
            message=f"Compared with {than}, the change alters what its own policy asks: "
            f"{'; '.join(w.text for w in weakenings)}.",
            remedy="Put it back, or make it a change of its own, where reviewers see nothing else.",
            basis=Basis.READ,
            path=base_path if document is None else document.name,
            line=line,
            end_line=line,
        )


def compare_policies(
    base: Policy, head: Policy, known: Sequence[Check], changes: ChangeSet
) -> tuple[Weakening, ...]:
    """Return what the head's policy asks less for: in general, for some revisions, of people."""
    return (
        *_in_general(base, head, known),
        *_of_options(base, head, known),
        *_of_overrides(base, head, changes),
        *_of_attestations(base, head),
        *_of_project(base, head),
    )


def _in_general(base: Policy, head: Policy, known: Sequence[Check]) -> Iterator[Weakening]:
    for check in known:
        before, after = (general_severity(policy, check.id) for policy in (base, head))
        if after < before:
            text = f"{_code(check.id)}: {before.name.lower()} → {after.name.lower()}"
            yield Weakening(text, ("checks", check.id))


def _of_options(base: Policy, head: Policy, known: Sequence[Check]) -> Iterator[Weakening]:
    for check in known:
        if Severity.OFF in (strongest_severity(policy, check.id) for policy in (base, head)):
            continue
        for option in check.options:
            before, after = (
                options_of(policy, check.id).get(option.name, option.default)
                for policy in (base, head)
            )
            if before != after:
                text = f"{_code(check.id)}: {_code(option.name)} {shown(before)} → {shown(after)}"
                yield Weakening(text, ("checks", check.id))


def _of_overrides(base: Policy, head: Policy, changes: ChangeSet) -> Iterator[Weakening]:
    """Yield what overrides lower, unless the check is lowered as much in general.

    Each thing that an override selects by is taken alone, and each revision of the change
    with all that selects it: there the order of the overrides counts, too.
    """
    named = (check for policy in (base, head) for o in policy.overrides for check in o.checks)
    altered = [c for c in dict.fromkeys(named) if _naming(base, c) != _naming(head, c)]
    paths = {r.revision: r.path for r in (*changes.base_history, *changes.head_history)}
    places = {
        check: [_places(policy, check, paths) for policy in (base, head)] for check in altered
    }
    new = (c.revision for c in changes.revisions)
    selectors = [selector for sides in places.values() for side in sides for selector in side]
    selectors += [_Selector("revisions", r.revision, paths.get(r.revision)) for r in new]
    alike: dict[tuple[_Drop, ...], list[_Selector]] = {}
    for selector in dict.fromkeys(selectors):
        drops = []
        for check, sides in places.items():
            before, after = (
                _severity(policy, check, selector, side.get(selector), changes)
                for policy, side in zip((base, head), sides, strict=True)
            )
            most, least = (general_severity(policy, check) for policy in (base, head))
            if after < before and not (least <= after and before <= most):
                drops.append(_Drop(check, before, after))
        if drops:
            alike.setdefault(tuple(drops), []).append(selector)
    for same, found in alike.items():
        more = f" and {len(found) - _LISTED} more" if len(found) > _LISTED else ""
        names = ", ".join(map(str, found[:_LISTED]))
        check = same[0].check
        place = places[check][1].get(found[0])
        yield Weakening(
            f"override for {names}{more}: {', '.join(map(str, same))}",
            ("overrides",) if place is None else ("overrides", place, "checks", check),
        )


def _of_attestations(base: Policy, head: Policy) -> Iterator[Weakening]:
    there = {attestation.id: attestation for attestation in head.attestations}
    for before in base.attestations:
        after = there.get(before.id)
        if after is None:
            text = f"attestation {_code(before.id)} is taken away"
            yield Weakening(text, ("attestations",))
        elif gone := [name for name in before.required_for if name not in after.required_for]:
            places = ", ".join(map(_code, gone))
            text = f"attestation {_code(before.id)} is not required any more for {places}"
            yield Weakening(text, ("attestations",))


def _of_project(base: Policy, head: Policy) -> Iterator[Weakening]:
    if head.project.without_dependencies and not base.project.without_dependencies:
        text = "the project's env.py and models need not run where the dependencies are missing"
        yield Weakening(text, ("project", "without_dependencies"))
    before, after = base.project.role or "owner", head.project.role or "owner"
    if before == "restricted" != after:
        yield Weakening(f"`project.role`: {before} → {after}", ("project", "role"))


# --- What an override comes to -------------------------------------------------------


def _places(policy: Policy, check: str, paths: Mapping[str, str]) -> dict[_Selector, int]:
    """Return what overrides of the check select by, with the last one that does so."""
    places: dict[_Selector, int] = {}
    for index, override in enumerate(policy.overrides):
        if check in override.checks:
            selectors = [
                *(_Selector("paths", glob) for glob in override.paths),
                *(_Selector("revisions", r, paths.get(r)) for r in override.revisions),
                *([] if override.before is None else [_Selector("before", override.before)]),
            ]
            places.update(dict.fromkeys(selectors, index))
    return places


def _naming(policy: Policy, check: str) -> list[Override]:
    """Return the overrides of one check, without what they say of others."""
    return [
        replace(o, checks={check: o.checks[check]}) for o in policy.overrides if check in o.checks
    ]


def _severity(
    policy: Policy, check: str, selector: _Selector, place: int | None, changes: ChangeSet
) -> Severity:
    if selector.key == "revisions":
        revision, path = selector.value, selector.path
        return setting_of(policy, check, revision=revision, path=path, changes=changes).severity
    if place is None:
        return general_severity(policy, check)
    return policy.overrides[place].checks[check]


# --- Where it stands -----------------------------------------------------------------


def _line(document: Document, head: Policy, weakenings: Sequence[Weakening]) -> int:
    """Return the first line that is known; what the file takes over has none in it."""
    inherited = len(head.overrides) - len(document.data.get("overrides", ()))
    for key in (weakening.key for weakening in weakenings):
        match key:
            case ("overrides", int(index), *rest):
                key = ("overrides", index - inherited, *rest)
        if key in document.lines:
            return document.lines[key]
    return document.line(("extends",))


def _code(text: str) -> str:
    plain = shown(text).replace("`", "'")
    return f"`{plain}`"
