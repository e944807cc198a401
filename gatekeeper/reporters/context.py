"""What a reporter is told besides the report."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass


@dataclass(frozen=True)
class RenderContext:
    """Where the text will stand and what its links lead to.

    `repository_url` is the repository's web page (`https://github.com/acme/shop`); without
    it nothing is a link. `head_sha` is the commit that file links show: of a pull request
    its head, which is not the merge commit that GitHub checks out. `previous` holds the
    fingerprints that the last report named, None where there was none or it is unknown.
    """

    now: dt.datetime
    repository_url: str | None = None
    head_sha: str | None = None
    report_url: str | None = None
    waiver_url: str | None = None
    previous: frozenset[str] | None = None
    comment_id: str = "default"
    color: bool = False
    width: int = 100
