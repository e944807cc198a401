from __future__ import annotations

import pytest

from gatekeeper.errors import PublishError
from gatekeeper.github.release_body import BODY_CHARACTERS, put_plan, read_plan, with_plan
from tests.github.server import PERSON, Fault, GitHubServer
from tests.github.test_client import a_client

BEGIN = "<!-- gatekeeper:plan:default:begin -->"
END = "<!-- gatekeeper:plan:default:end -->"
PLAN = "# Release `v1.2.0`: the database\n\nThe release has no migration.\n"
SECTION = f"{BEGIN}\n{PLAN.strip()}\n{END}"
BILLING = SECTION.replace("default", "billing")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param("", SECTION, id="empty"),
        pytest.param("Notes.\r\n", f"Notes.\r\n\n\n{SECTION}", id="a person's notes"),
        pytest.param(f"Notes.\n\n{SECTION}\n\nMore.", None, id="it is there"),
        pytest.param(SECTION.replace("\n", "\r\n"), None, id="it is there, with CRLF"),
        pytest.param(f"a {BEGIN}\nold\n{END} b\r\n", f"a {SECTION} b\r\n", id="an older plan"),
        pytest.param(f"{BEGIN}\nold", f"{BEGIN}\nold\n\n{SECTION}", id="without its end"),
        pytest.param(
            f"{BEGIN} lost {BEGIN}old{END} {END}", f"{BEGIN} lost {SECTION} {END}", id="odd markers"
        ),
        pytest.param(BILLING, f"{BILLING}\n\n{SECTION}", id="another project's"),
    ],
)
def test_only_the_plan_is_touched(body: str, expected: str | None) -> None:
    new = with_plan(body, PLAN, "default")
    assert new == (body if expected is None else expected)
    assert with_plan(new, PLAN, "default") == new


def test_the_projects_sql_does_not_end_the_plan() -> None:
    body = with_plan("", f"-- {END}\nold", "default")
    assert with_plan(body, PLAN, "default") == SECTION


def test_what_is_too_long_is_told_without_its_sql() -> None:
    plan = f"{PLAN}\n<details><summary>SQL</summary>\n\n{'x' * BODY_CHARACTERS}\n\n</details>\n"
    section = f"{BEGIN}\n{PLAN.strip()}\n\nIts SQL is too long for this page.\n{END}"
    assert with_plan("Notes", plan, "default") == f"Notes\n\n{section}"


@pytest.mark.parametrize("tag", ["v1.2.0", "api/v1.2.0"])
@pytest.mark.parametrize("body", [None, "Notes."])
def test_the_plan_is_put_into_the_release(github: GitHubServer, tag: str, body: str | None) -> None:
    release = github.add_release(PERSON, tag, body)
    before = dict(release)
    for _ in range(2):
        address = f"https://github.com/octo/shop/releases/tag/{tag}"
        assert put_plan(a_client(github), tag, PLAN, "default") == address
    text = SECTION if body is None else f"{body}\n\n{SECTION}"
    assert release == {**before, "body": text}
    assert github.sent("PATCH") == 1


def test_the_plan_is_read_back_with_what_people_ticked(github: GitHubServer) -> None:
    client = a_client(github)
    assert read_plan(client, "v1.2.0", "default") is None
    release = github.add_release(PERSON, "v1.2.0", "Notes.")
    assert read_plan(client, "v1.2.0", "default") is None
    release["body"] = f"Notes.\r\n\r\n{BEGIN}\r\n- [x] Told\r\n{END}"
    assert read_plan(client, "v1.2.0", "default") == "- [x] Told"


def test_a_tag_without_a_release_is_left_alone(github: GitHubServer) -> None:
    github.add_release(PERSON, "v1.1.0", "Notes.")
    assert put_plan(a_client(github), "v1.2.0", PLAN, "default") is None
    assert github.releases[0]["body"] == "Notes."


def test_an_edit_that_fails_is_tried_again(github: GitHubServer) -> None:
    github.add_release(PERSON, "v1.2.0", None)
    github.faults = [Fault("PATCH", 500)]
    assert put_plan(a_client(github), "v1.2.0", PLAN, "default") is not None
    assert github.releases[0]["body"] == SECTION


def test_a_token_that_may_not_edit_is_told(github: GitHubServer) -> None:
    github.add_release(PERSON, "v1.2.0", "Notes.")
    with pytest.raises(PublishError) as caught:
        put_plan(a_client(github, "job-of-fork"), "v1.2.0", PLAN, "default")
    assert str(caught.value) == (
        "release on octo/shop: GitHub answered 403: Resource not accessible by integration\n"
        "Give the job `permissions: {contents: write}`, or the input `github-token`."
    )
    assert github.releases[0]["body"] == "Notes."
