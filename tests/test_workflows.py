"""The workflows: what they may do, what they pin, what leaves the runner, their scripts."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
import yaml

import gatekeeper
from tests.build_git import GitRepository, a_repository

ROOT = Path(__file__).parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
ACTION: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))


def load(name: str) -> dict[str, Any]:
    path = ROOT / ".github" / "workflows" / name
    # YAML 1.1 takes the key `on` for a Boolean.
    loaded: dict[Any, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return {"on": loaded.pop(True), **loaded}


def steps_of(name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for job, settings in load(name)["jobs"].items():
        yield from ((job, step) for step in settings.get("steps", ()))


def script(name: str, step_name: str) -> str:
    return next(str(step["run"]) for _, step in steps_of(name) if step.get("name") == step_name)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_is_granted_nothing_and_a_job_what_it_needs(path: Path) -> None:
    workflow = load(path.name)
    assert workflow["permissions"] == {}
    for name, job in workflow["jobs"].items():
        assert "permissions" in job, name
        assert "timeout-minutes" in job or "uses" in job, name


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_every_action_is_pinned_to_a_commit_whose_version_is_told(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    pinned = re.compile(r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")
    used = re.findall(r"^ *(?:- )?uses: (.*)", text, re.M)
    assert [u for u in used if not u.startswith("$/") and not pinned.fullmatch(u)] == []


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_no_checkout_leaves_a_token_behind(path: Path) -> None:
    checkouts = [
        step for _, step in steps_of(path.name) if "actions/checkout@" in step.get("uses", "")
    ]
    assert [step["with"]["persist-credentials"] for step in checkouts] == [False] * len(checkouts)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_no_script_holds_an_expression(path: Path) -> None:
    """What an expression stands for would be taken for code of the script."""
    assert [step["run"] for _, step in steps_of(path.name) if "${{" in step.get("run", "")] == []


def test_what_the_jobs_of_a_deploy_may_do() -> None:
    jobs = load("deploy.yml")["jobs"]
    assert {name: job["permissions"] for name, job in jobs.items()} == {
        "release": {"contents": "write"},
        "deploy": {"contents": "read", "deployments": "write"},
    }
    assert jobs["deploy"]["needs"] == "release"


def test_a_deploy_is_bound_to_its_environment_and_never_cancelled() -> None:
    workflow = load("deploy.yml")
    deploy = workflow["jobs"]["deploy"]
    assert deploy["environment"]["name"] == "${{ inputs.environment }}"
    assert deploy["concurrency"] == {
        "group": "gatekeeper-deploy-${{ inputs.environment }}",
        "cancel-in-progress": False,
        "queue": "max",
    }
    # Of the whole workflow, one that cancels would cancel the deploy in it.
    assert "concurrency" not in workflow
    assert "concurrency" not in workflow["jobs"]["release"]


def test_the_steps_of_a_deploy_use_inputs_that_the_action_has() -> None:
    ours = [step["with"] for _, step in steps_of("deploy.yml") if step.get("uses") == "$/"]
    assert [given["mode"] for given in ours] == ["release", "deploy"]
    assert all(set(given) <= set(ACTION["inputs"]) for given in ours)


def test_every_input_and_secret_of_a_deploy_is_used_and_told() -> None:
    text = (ROOT / ".github" / "workflows" / "deploy.yml").read_text(encoding="utf-8")
    called = load("deploy.yml")["on"]["workflow_call"]
    for kind in ("inputs", "secrets"):
        for name, settings in called[kind].items():
            assert f"${{{{ {kind}.{name} }}}}" in text, name
            assert settings["description"], name


def test_only_the_job_of_the_environment_sees_the_target() -> None:
    seen = [job for job, step in steps_of("deploy.yml") if "TARGET_URL" in str(step)]
    assert seen == ["deploy"]


LEFT_BY_A_DEPLOY = (
    "gatekeeper-report/record/shop.dump",
    "gatekeeper-report/record/shop.dump.partial",
    "gatekeeper-report/record/backup/toc.dat",
    "gatekeeper-report/record/backup/3021.dat.gz",
    "gatekeeper-report/record/backup.sql",
)


def test_the_record_is_uploaded_and_a_dump_never() -> None:
    uploaded = [
        pattern
        for _, step in steps_of("deploy.yml")
        if "actions/upload-artifact@" in step.get("uses", "")
        for pattern in step["with"]["path"].splitlines()
    ]
    for path in ("record.json", "record.md"):
        assert any(fnmatchcase(f"gatekeeper-report/record/{path}", p) for p in uploaded)
    # `*` of an artifact's path does not go into folders.
    assert not any("**" in pattern for pattern in uploaded)
    kept = [p for p in uploaded for path in LEFT_BY_A_DEPLOY if _matches(path, p)]
    assert kept == []


def test_a_deploy_that_was_cut_off_is_taken_up_by_the_next_attempt() -> None:
    """Its journal is uploaded however it ended, and lies where the deploy looks for it."""
    steps = [step for job, step in steps_of("deploy.yml") if job == "deploy"]
    at = next(n for n, step in enumerate(steps) if "if" in step and "download" in step["uses"])
    assert steps[at]["if"] == "github.run_attempt != '1'"
    assert steps[at]["with"] == {
        "name": steps[-1]["with"]["name"],
        "path": "gatekeeper-report/record",
    }
    assert steps[at + 1]["with"]["mode"] == "deploy"
    assert steps[-1]["if"] == "always()"
    assert steps[-1]["with"]["overwrite"] is True
    assert "gatekeeper-report/record/*.jsonl" in steps[-1]["with"]["path"].splitlines()


def _matches(path: str, pattern: str) -> bool:
    return path.count("/") == pattern.count("/") and fnmatchcase(path, pattern)


def test_what_our_release_may_do() -> None:
    workflow = load("release.yml")
    assert {name: job["permissions"] for name, job in workflow["jobs"].items()} == {
        "tests": {"contents": "read"},
        "image": {
            "contents": "read",
            "packages": "write",
            "id-token": "write",
            "attestations": "write",
        },
        "publish": {"contents": "write"},
    }
    assert workflow["concurrency"]["cancel-in-progress"] is False
    assert [job.get("needs") for job in workflow["jobs"].values()] == [None, "tests", "image"]
    assert workflow["jobs"]["tests"]["uses"] == "$/.github/workflows/ci.yml"
    assert "workflow_call" in load("ci.yml")["on"]


def test_our_image_has_its_parts_list_and_where_it_is_from() -> None:
    build = next(step["with"] for _, step in steps_of("release.yml") if step.get("id") == "push")
    assert (build["push"], build["sbom"], build["provenance"]) == (True, True, "mode=max")
    attested = next(
        step["with"]
        for _, step in steps_of("release.yml")
        if "attest-build-provenance" in step.get("uses", "")
    )
    assert attested["subject-digest"] == "${{ steps.push.outputs.digest }}"


IMAGE = {"IMAGE": "ghcr.io/owner/gatekeeper", "DIGEST": "sha256:" + "a" * 64}


@pytest.fixture
def ours(tmp_path: Path) -> GitRepository:
    """A repository like this one with its origin; `gh` answers nothing and keeps what it got."""
    changes = "# Changelog\n\n## 1.10.0\n\n- Ten.\n\n## 1.9.0\n\n- Nine.\n\n## 1.1.0\n\n- One.\n"
    action = (ROOT / "action.yml").read_text(encoding="utf-8")
    repository = a_repository(
        tmp_path / "ours", {"action.yml": action, "CHANGELOG.md": changes, "README": "1.9"}
    )
    repository.git("tag", "v1.9.0")
    repository.commit({"README": "1.10"})
    repository.git("tag", "v1.10.0")
    repository.git("clone", "--quiet", "--bare", str(repository.root), str(tmp_path / "origin"))
    repository.git("remote", "add", "origin", str(tmp_path / "origin"))
    program = tmp_path / "bin" / "gh"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/said\n[ "$2" != view ]\n')
    program.chmod(0o755)
    return repository


def run(step_name: str, repository: GitRepository, tag: str) -> str:
    folder = repository.root.parent
    repository.git("checkout", "--quiet", tag)
    done = subprocess.run(
        [
            "bash",
            "--noprofile",
            "--norc",
            "-eo",
            "pipefail",
            "-c",
            script("release.yml", step_name),
        ],
        cwd=repository.root,
        env={
            **os.environ,
            **IMAGE,
            "GITHUB_REF_NAME": tag,
            "RUNNER_TEMP": str(folder),
            "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


MOVE = "Move the major tag, unless a newer release has it"


def test_the_major_tag_runs_the_image_of_the_newest_release(ours: GitRepository) -> None:
    run(MOVE, ours, "v1.10.0")
    shown = ours.git("--git-dir", str(ours.root.parent / "origin"), "show", "v1:action.yml")
    action = yaml.safe_load(shown)
    assert action["runs"]["image"] == f"docker://{IMAGE['IMAGE']}@{IMAGE['DIGEST']}"
    assert {**action, "runs": None} == {**ACTION, "runs": None}
    assert ours.git("rev-parse", "v1^") == ours.git("rev-parse", "v1.10.0")


def test_the_major_tag_is_not_moved_back(ours: GitRepository) -> None:
    assert run(MOVE, ours, "v1.9.0") == "v1 stays at v1.10.0\n"
    assert ours.git("tag", "--list", "v1") == ""


@pytest.mark.parametrize(("tag", "notes"), [("v1.10.0", "- Ten."), ("v1.9.0", "- Nine.")])
def test_the_notes_are_the_section_of_the_change_log(
    ours: GitRepository, tag: str, notes: str
) -> None:
    run("Make the GitHub release", ours, tag)
    folder = ours.root.parent
    image = f"{IMAGE['IMAGE']}@{IMAGE['DIGEST']}"
    written = (folder / "notes.md").read_text(encoding="utf-8")
    assert written == f"\n{notes}\n\n\nImage: `{image}`\n"
    assert f"release create {tag} --verify-tag" in (folder / "said").read_text(encoding="utf-8")


def test_a_tag_that_is_not_the_version_is_refused() -> None:
    command = script("release.yml", "The tag is the version of the package")
    codes = [
        subprocess.run(
            ["bash", "-c", command],
            cwd=ROOT,
            env={**os.environ, "GITHUB_REF_NAME": tag},
            check=False,
        ).returncode
        for tag in (f"v{gatekeeper.__version__}", "v99.0.0")
    ]
    assert codes == [0, 1]
