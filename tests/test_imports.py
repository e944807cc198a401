"""The house's parts import only what the table allows them to."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "gatekeeper"

# `extensions` is knowledge of PostgreSQL's like `lock_modes`: rehearsal and checks need it.
# `lineage`: from the policy to the deploy, all ask what a revision builds on.
GROUND_FLOOR = {"model", "lock_modes", "errors", "extensions", "lineage"}
ALLOWED = {
    "__init__": set(),
    "__main__": {"cli", "signals"},
    "model": GROUND_FLOOR,
    "lock_modes": GROUND_FLOOR,
    "extensions": GROUND_FLOOR,
    "errors": GROUND_FLOOR,
    "lineage": {"model"},
    # Inputs of a deploy are in the words of the policy, which they overrule.
    "settings": GROUND_FLOOR | {"policy.model"},
    "git": GROUND_FLOOR,
    "sql": GROUND_FLOOR,
    "policy": GROUND_FLOOR,
    "revisions": GROUND_FLOOR | {"git"},
    # Run directories are kept and swept the same way for servers and for checkouts.
    # What is started for a server, a probe or a backup is ended the same way, too.
    "signals": {"errors"},
    "directories": {"signals"},
    "postgres": GROUND_FLOOR | {"directories", "signals"},
    "probe": GROUND_FLOOR | {"directories", "signals", "postgres"},
    "rehearsal": GROUND_FLOOR | {"git", "revisions", "postgres", "probe"},
    "checks": GROUND_FLOOR | {"sql", "revisions.graph"},
    "reporters": GROUND_FLOOR,
    "github": GROUND_FLOOR | {"settings"},
    "demo": GROUND_FLOOR,
    "merging": GROUND_FLOOR,
    # A plan is a page like a report, with the same words.
    "release": GROUND_FLOOR | {"git", "rehearsal", "postgres", "probe", "revisions", "reporters"},
    "request": set(),
    # What the two steps of the action are given.
    "action_job": {"github", "request", "settings"},
    "files": {"errors"},
    # A release is carried out by the project's own code, on the ground of a rehearsal; a
    # signal waits until what has failed is cleaned up. What a statement leaves its text tells.
    "deploy": GROUND_FLOOR
    | {"git", "policy", "rehearsal", "postgres", "probe", "revisions", "reporters", "release"}
    | {"signals", "sql"},
}
# The story in three parts: how the project is run, the rehearsals, all of it.
ALLOWED["preparing"] = ALLOWED["rehearsal"] | {"request", "policy", "rehearsal"}
ALLOWED["histories"] = ALLOWED["preparing"] | {"preparing", "directories", "merging"}
ALLOWED["pipeline"] = ALLOWED["histories"] | {"histories", "checks", "settings"}
ALLOWED["announcing"] = {"reporters"}
ALLOWED["releasing"] = ALLOWED["pipeline"] | {"pipeline", "release", "reporters"}
# Plan and policy in, the runbook, the record out.
ALLOWED["deploying"] = ALLOWED["pipeline"] | {"pipeline", "deploy", "release", "files"}
# It looks at the grounds of the same story.
ALLOWED["doctor"] = ALLOWED["pipeline"] | {"pipeline", "sql"}

# The folder that runs in the project's interpreter: it has to stand alone. Its files import
# each other in relation to their folder, whose name is another one there.
ALONE = PACKAGE / "probe" / "inside"


def _part_of(path: Path) -> str:
    relative = path.relative_to(PACKAGE)
    return relative.parts[0] if len(relative.parts) > 1 else relative.stem


def _imports_of_ours(path: Path) -> set[str]:
    modules: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            if path.parent == ALONE and node.level == 1:
                continue
            assert node.level == 0, f"{path}:{node.lineno}: imports are absolute"
            module = node.module or ""
            modules |= {
                f"{module}.{a.name}" if module == "gatekeeper" else module for a in node.names
            }
    prefix = "gatekeeper."
    return {m.removeprefix(prefix) for m in modules if m.startswith(prefix)}


FILES = sorted(
    p
    for p in PACKAGE.rglob("*.py")
    if not any(part in ("shop", "change") for part in p.relative_to(PACKAGE).parts)
)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_part_imports_only_what_it_may(path: Path) -> None:
    part = _part_of(path)
    imported = _imports_of_ours(path)
    if path.parent == ALONE:
        assert not imported
        return
    if part in ("cli", "action", "action_deploy"):  # they wire everything
        return
    allowed = ALLOWED[part] | {part}
    strangers = {
        m for m in imported if not any(m == a or m.startswith(f"{a}.") for a in allowed)
    } - {"__version__"}
    assert not strangers, f"{path.name} may not import {sorted(strangers)}"


def test_the_table_names_parts_that_exist() -> None:
    parts = {_part_of(p) for p in FILES}
    assert set(ALLOWED) - {"__init__", "__main__"} <= parts
    assert parts <= set(ALLOWED) | {"cli", "action", "action_deploy"}
