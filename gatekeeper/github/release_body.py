"""The plan in the body of a GitHub release, between markers that nobody sees.

What people or other tools wrote around it stays as it is, to the letter.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote

from gatekeeper.github.client import Client, Subject, edit, read

BODY_CHARACTERS = 125_000  # GitHub refuses a longer body

_SUBJECT = Subject(
    "release",
    "contents: write",
    "The plan is in the job summary. Run the job again to put it into the release.",
)


def read_plan(client: Client, tag: str, comment_id: str) -> str | None:
    """Return the plan in the body of the tag's release, None where there is none yet.

    It holds what people ticked, so it has to be read before a new one is put there.
    """
    release = _find_release(client, tag)
    there = None if release is None else _find_plan(release.get("body") or "", comment_id)
    return None if there is None else there[1]


def put_plan(client: Client, tag: str, plan: str, comment_id: str) -> str | None:
    """Make the body of the tag's release hold this plan once; return the release's address.

    Without a release that is published there is None. One that holds the plan already is
    not edited.
    """
    release = _find_release(client, tag)
    if release is None:
        return None
    body = release.get("body") or ""
    new = with_plan(body, plan, comment_id)
    if new != body:
        edit(client, _SUBJECT, f"releases/{release['id']}", {"body": new})
    return str(release["html_url"])


def with_plan(body: str, plan: str, comment_id: str) -> str:
    """Return a body that holds the plan between its markers, and all else as it was.

    What GitHub would not take is shortened by the SQL, which is folded at the end.
    """
    there = _find_plan(body, comment_id)
    before, after = (body, "") if there is None else (body[: there.start()], body[there.end() :])
    gap = "\n\n" if there is None and body.strip() else ""
    # Text of the project's must not end the plan for us.
    text = plan.replace("<!-- gatekeeper:plan:", "<!- gatekeeper:plan:").strip()
    if len(before) + len(after) + len(text) > BODY_CHARACTERS - 200:
        text = text.partition("\n<details")[0].rstrip() + "\n\nIts SQL is too long for this page."
    begin, end = _markers(comment_id)
    section = f"{begin}\n{text}\n{end}"
    if there is not None and there[0].replace("\r\n", "\n") == section:
        return body
    return f"{before}{gap}{section}{after}"


def _find_release(client: Client, tag: str) -> Any:
    return read(client, _SUBJECT, f"releases/tags/{quote(tag, safe='')}")


def _find_plan(body: str, comment_id: str) -> re.Match[str] | None:
    """Find the plan with its markers; a person may have removed one of an earlier pair."""
    begin, end = map(re.escape, _markers(comment_id))
    return re.search(rf"{begin}\s*((?:(?!{begin}).)*?)\s*{end}", body, re.DOTALL)


def _markers(comment_id: str) -> tuple[str, str]:
    return (
        f"<!-- gatekeeper:plan:{comment_id}:begin -->",
        f"<!-- gatekeeper:plan:{comment_id}:end -->",
    )
