"""Reads what `gatekeeper release` has written: the plan, and the evidence beside it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from gatekeeper.deploy.model import Release, ReleasedRevision
from gatekeeper.deploy.published import parse, read_bytes
from gatekeeper.errors import ConfigError
from gatekeeper.lock_modes import LockMode
from gatekeeper.model import Attestation, Lock, Project

_EVIDENCE = "evidence.json"
_FIX = "Write both anew at the release's tag: `gatekeeper release --output DIR`."
_ABSENT = f"`--plan` names the plan.json of a release; {_EVIDENCE} lies beside it. {_FIX}"


def read_release(plan: Path) -> Release:
    """Return the release that a plan tells, with the evidence that lies beside it.

    Evidence of another plan, be it the same one with a changed word, is refused.
    """
    beside = plan.with_name(_EVIDENCE)
    text = read_bytes(plan, _ABSENT)
    told = parse(plan, text, "plan", _FIX)
    evidence = parse(beside, read_bytes(beside, _ABSENT), "evidence", _FIX)
    if evidence["plan_sha256"] != hashlib.sha256(text).hexdigest():
        raise ConfigError(
            f"{_EVIDENCE} beside it is not the evidence of this plan: one of them was changed "
            "or replaced",
            where=str(plan),
            fix=_FIX,
        )
    project = told["project"]
    statements = [s for r in told["revisions"] for s in r["upgrade"]["statements"]]
    if project["sections"] or any(s["database"] is not None for s in statements):
        raise ConfigError(
            "the release has several histories or databases, and a deploy has one target",
            where=str(plan),
            fix="Release and deploy each section by itself (`--section NAME`). An env.py that "
            "migrates several databases in one run is deployed by hand.",
        )
    server, catalog = evidence["server"], evidence["catalog"]
    return Release(
        tag=told["tag"],
        commit=told["commit"],
        previous=told["previous"],
        verdict=told["verdict"],
        project=Project(
            path=project["path"],
            config=project["config"],
            section=project["section"],
            script_location=project["script_location"],
            version_locations=tuple(project["version_locations"]),
            flask_migrate=project["flask_migrate"],
            recursive_version_locations=project["recursive_version_locations"],
        ),
        from_revisions=tuple(told["from_revisions"]),
        to_revisions=tuple(told["to_revisions"]),
        revisions=tuple(map(_revision, told["revisions"])),
        window=tuple(told["maintenance_window"]["reasons"]),
        obstacles=tuple(told["rollback"]["obstacles"]),
        content_hash=evidence["content_hash"],
        is_rehearsed=evidence["is_rehearsed"],
        server_major=None if server is None else int(server["version"].split(".")[0]),
        catalog_before=catalog["before"],
        catalog_after=catalog["after"],
        attestations=tuple(
            Attestation(a["id"], a["title"], tuple(a["required_for"]), a["ticked"])
            for a in evidence["attestations"]
        ),
    )


def _revision(data: Any) -> ReleasedRevision:
    statements = data["upgrade"]["statements"]
    return ReleasedRevision(
        revision=data["revision"],
        down_revisions=tuple(data["down_revision"]),
        message=data["message"],
        path=data["path"],
        seconds=data["upgrade"]["seconds"],
        is_transactional=data["transactional"],
        obstacle=data["rollback"]["obstacle"],
        loses=tuple(data["rollback"]["loses"]),
        rewrites=tuple(data["rewrites"]),
        locks=tuple(dict.fromkeys(_lock(lock) for s in statements for lock in s["locks"] or ())),
        waits_for_all=any("CONCURRENTLY" in statement["sql"].upper() for statement in statements),
    )


def _lock(data: Any) -> Lock:
    return Lock(data["relation"], LockMode[data["mode"].replace(" ", "_")])
