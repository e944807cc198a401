"""The target after the upgrade, held against what the rehearsal led to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from gatekeeper.deploy.access import version_tables_of
from gatekeeper.deploy.model import Access, Deployment, Proof, StepFailed, TargetState
from gatekeeper.deploy.phrases import join_some, name_revisions
from gatekeeper.deploy.target import read_state
from gatekeeper.errors import ProbeError
from gatekeeper.postgres.difference import compare, is_of_server
from gatekeeper.postgres.likeness import find_unlike, read_traits
from gatekeeper.postgres.snapshot import ObjectKey, Snapshot
from gatekeeper.postgres.structure import Table, read_structure
from gatekeeper.postgres.target import look_at
from gatekeeper.reporters import gfm, words

# Users go on to write while a release is deployed. So many rows, or so large a part of them,
# may be gone beside what the rehearsal predicts: of tables that the policy names, which
# people know, and of others, among which are queues that empty themselves.
_GONE_OF_NAMED = (10, 0.05)
_GONE_OF_OTHERS = (100, 0.5)


@dataclass(frozen=True)
class Verified:
    """The target is as it should be: `lines` for people, `details` for the record."""

    lines: tuple[str, ...]
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class _Rehearsed:
    """What the catalog should be like, by whatever tells it; `by` says what that is."""

    by: str
    proof: Proof | None
    traits: Mapping[str, str]
    before: Mapping[str, str]

    def has(self, key: ObjectKey, catalog: Snapshot) -> bool:
        """Tell whether the rehearsal left an object the same way."""
        if self.proof is not None:
            return self.proof.after.catalog.rows.get(key) == catalog.rows[key]
        name = " ".join(key)
        if name not in self.traits:
            # Of partitions there are no traits; what one inherits is told of its table.
            return catalog.objects[key].get("inherited") == "yes"
        return self.traits[name] == read_traits(catalog).get(name)

    def differences(self, catalog: Snapshot) -> list[str]:
        if self.proof is not None:
            found = compare(self.proof.after.catalog, catalog)
            return [str(each) for each in found if not is_of_server(each)]
        return list(find_unlike(self.traits, catalog, self.before))


def verify_target(
    deployment: Deployment, access: Access, before: TargetState | None, proof: Proof | None
) -> Verified:
    """Return what the upgraded target was seen to be; all that is wrong is raised at once.

    `before` is what it held when the deploy began, None where that is not known any more.
    """
    counted = deployment.environment.row_counts
    after = read_state(deployment.target, version_tables_of(access.probe), counted)
    rehearsed = _rehearsed(deployment, access, proof)
    lines: list[str] = []
    wrong = [
        *_check_version(deployment, after, lines),
        *_check_catalog(rehearsed, after, lines),
        *_check_left(before, after, rehearsed, lines),
        *_check_rows(before, after, proof, bool(counted), lines),
    ]
    drift = _compare_models(access, lines)
    with look_at(deployment.target, statement_seconds=60) as connection:
        tables = (*read_structure(connection), _labels_of(after))
    details = {
        "revisions": sorted(after.versions),
        "catalog": dict(after.catalog.fingerprints),
        "rows": dict(after.rows),
        "models": drift,
        "tables": {
            t.title: {"head": list(t.head), "rows": list(map(list, t.rows))} for t in tables
        },
    }
    if wrong:
        raise StepFailed(
            f"the target is not as rehearsed: {join_some(wrong)}",
            where=f"{deployment.target.host}:{deployment.target.port}",
            fix="See what the record's page tells of it; what follows is as `on_failure` says.",
            details={**details, "wrong": wrong},
        )
    return Verified(tuple(lines), details)


def render_tables(tables: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the tables of a record's details as Markdown, each to be opened."""
    parts = [
        gfm.folded(
            f"{title} ({len(table['rows'])})",
            gfm.table(
                [gfm.prose(text) for text in table["head"]],
                ["---"] * len(table["head"]),
                ([gfm.code(text) for text in row] for row in table["rows"]),
            ),
        )
        for title, table in tables.items()
        if table["rows"]
    ]
    return "\n\n".join(parts)


def _rehearsed(deployment: Deployment, access: Access, proof: Proof | None) -> _Rehearsed | str:
    """Return what the catalog should be like, or why nothing tells it."""
    release = deployment.release
    if proof is not None:
        return _Rehearsed("the restored copy", proof, {}, {})
    if deployment.environment.differences_accepted:
        return "`differences: accepted`"
    if release.catalog_after is None:
        return "the release was not rehearsed"
    with look_at(deployment.target) as connection:
        major = connection.server_version // 10_000
    if major != release.server_major:
        return f"it was rehearsed on PostgreSQL {release.server_major}, the target is {major}"
    before = release.catalog_before or {}
    return _Rehearsed("the release's rehearsal", None, release.catalog_after, before)


def _check_version(deployment: Deployment, after: TargetState, lines: list[str]) -> Iterator[str]:
    aim = frozenset(deployment.release.to_revisions)
    if after.versions == aim:
        lines.append(f"it stands at {name_revisions(after.versions)}")
    else:
        yield f"it stands at {name_revisions(after.versions)}, not at {name_revisions(aim)}"


def _check_catalog(
    rehearsed: _Rehearsed | str, after: TargetState, lines: list[str]
) -> Iterator[str]:
    if isinstance(rehearsed, str):
        lines.append(f"its catalog was not compared: {rehearsed}")
        return
    differences = rehearsed.differences(after.catalog)
    if not differences:
        lines.append(f"its catalog is that of {rehearsed.by}: {len(after.catalog.rows)} objects")
    for difference in differences:
        yield f"against {rehearsed.by} {difference}"


def _check_left(
    before: TargetState | None,
    after: TargetState,
    rehearsed: _Rehearsed | str,
    lines: list[str],
) -> Iterator[str]:
    """Yield what a migration leaves unfinished: invalid indexes, constraints NOT VALID."""
    known = set() if before is None else set(_unfinished(before.catalog))
    new = [key for key in _unfinished(after.catalog) if key not in known]
    for key in new:
        object_type, name = key
        if object_type == "index":
            yield f"the index {name} is invalid"
        elif isinstance(rehearsed, str) or not rehearsed.has(key, after.catalog):
            yield f"the constraint {name} is NOT VALID"
        else:
            lines.append(f"the constraint {name} is NOT VALID, as it was rehearsed")
    if not new:
        lines.append("no index is invalid and no constraint NOT VALID that was not so before")


def _unfinished(catalog: Snapshot) -> Iterator[ObjectKey]:
    for key, attributes in catalog.objects.items():
        if "valid" in attributes or "index valid" in attributes:
            yield "index", key[1]
        elif key[0] == "constraint" and attributes["definition"].endswith(" NOT VALID"):
            yield key


def _check_rows(
    before: TargetState | None,
    after: TargetState,
    proof: Proof | None,
    is_named: bool,
    lines: list[str],
) -> Iterator[str]:
    """Yield the tables that lack rows which the rehearsal predicts."""
    if before is None or proof is None:
        lines.extend(f"{table} has {count} rows" for table, count in sorted(after.rows.items()))
        return
    for table in sorted(before.rows.keys() | after.rows.keys()):
        was, is_ = before.rows.get(table), after.rows.get(table)
        change = proof.after.rows.get(table, 0) - proof.before.rows.get(table, 0)
        expected = max(0, (was or 0) + change)
        here = "is not there" if is_ is None else f"has {words.count(is_, 'row')}"
        told = f"{table} {here}, before {_count(was)}, by the rehearsal {expected:,}"
        if _are_gone(expected, is_ or 0, is_named):
            yield told
        else:
            lines.append(told)


def find_lost_rows(
    expected: Mapping[str, int], rows: Mapping[str, int], is_named: bool
) -> tuple[str, ...]:
    """Return the tables that lack more rows than users delete meanwhile, a phrase for each."""
    return tuple(
        f"{table} has {words.count(rows.get(table, 0), 'row')}, not {count:,}"
        for table, count in sorted(expected.items())
        if _are_gone(count, rows.get(table, 0), is_named)
    )


def _are_gone(expected: int, there: int, is_named: bool) -> bool:
    number, part = _GONE_OF_NAMED if is_named else _GONE_OF_OTHERS
    is_empty = is_named and expected > 0 and there == 0
    return is_empty or expected - there > max(number, expected * part)


def _compare_models(access: Access, lines: list[str]) -> list[str] | None:
    """Return what the models want beyond the schema, None where that is not known.

    It is told and fails nothing: the release was judged by what its models wanted where it was
    rehearsed, and the catalog is compared.
    """
    if access.probe.has_ended:
        lines.append("the models were not compared: the project's process has ended")
        return None
    try:
        wanted = access.probe.drift(access.target).operations
    except ProbeError as error:
        lines.append(f"the models were not compared: {error.what}")
        return None
    if wanted is None:
        lines.append("the models were not compared: env.py has no `target_metadata`")
        return None
    lines.append(f"the models want: {join_some(wanted)}" if wanted else "the models fit the schema")
    return list(wanted)


def _labels_of(state: TargetState) -> Table:
    rows = [(name, ", ".join(labels)) for name, labels in state.catalog.enums.items()]
    return Table("ENUM labels", ("type", "labels"), rows)


def _count(rows: int | None) -> str:
    return "it was no table" if rows is None else f"{rows:,}"
