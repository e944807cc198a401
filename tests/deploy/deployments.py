"""Deployments for tests, each of which differs from one that is fine only where it says so."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gatekeeper.deploy.model import Deployment, Release
from gatekeeper.model import Project
from gatekeeper.policy.model import Environment
from gatekeeper.postgres.servers import Server, read_url

NOW = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)
PASSWORD = "a-password-of-the-target"


def a_release(**fields: Any) -> Release:
    values: dict[str, Any] = {
        "tag": "v1.2",
        "commit": "c" * 40,
        "previous": "v1.1",
        "verdict": "pass",
        "project": Project(".", "alembic.ini", "alembic", "migrations", ("migrations/versions",)),
        "from_revisions": ("a001",),
        "to_revisions": ("b002",),
        "revisions": (),
        "window": (),
        "obstacles": (),
        "content_hash": "0" * 64,
        "is_rehearsed": True,
        "server_major": 17,
        "catalog_before": None,
        "catalog_after": None,
        "attestations": (),
    }
    return Release(**{**values, **fields})


def a_deployment(
    folder: Path,
    environment: Environment,
    target: Server | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    told: list[str] | None = None,
    **release: Any,
) -> Deployment:
    """Return a deployment to a target, which need not be there; `told` gets its progress."""
    url = f"postgresql://shop:{PASSWORD}@127.0.0.1:1/shop"
    return Deployment(
        release=a_release(**release),
        name="staging",
        environment=environment,
        target=target or read_url(url, "GATEKEEPER_TARGET_URL"),
        folder=folder,
        environ={"PATH": "/usr/bin:/bin", **(environ or {})},
        tell=([] if told is None else told).append,
        now=lambda: NOW,
    )
