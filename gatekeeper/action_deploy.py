"""The step of a workflow that deploys: a plan of the report folder, carried out and shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from gatekeeper.action_job import Job
from gatekeeper.deploy.commands import secrets_in
from gatekeeper.deploy.model import Deployment
from gatekeeper.deploy.plan_file import read_release
from gatekeeper.deploy.record import Record, render_page
from gatekeeper.deploy.target import TARGET_URL
from gatekeeper.deploying import DeployInterrupted, DeployRequest, deploy
from gatekeeper.errors import ConfigError, ExitCode
from gatekeeper.github import act
from gatekeeper.github.commands import mask
from gatekeeper.github.deployments import Announced, DeploymentState
from gatekeeper.github.records import RecordTexts, ShownDeploy, publish_record
from gatekeeper.model import Verdict
from gatekeeper.reporters.markdown import read_ticks
from gatekeeper.settings import ActionInputs, GitHubContext

_STATES = {
    ExitCode.PASS: (DeploymentState.SUCCESS, Verdict.PASS),
    ExitCode.FAIL: (DeploymentState.FAILURE, Verdict.FAIL),
    ExitCode.UNDETERMINED: (DeploymentState.ERROR, Verdict.UNDETERMINED),
}


def run_deploy(job: Job) -> ExitCode:
    """Carry out the plan in the folder of reports; GitHub shows it from its first step on."""
    context, inputs, echo = job.context, job.inputs, job.echo
    for secret in secrets_in(inputs.env):
        echo(mask(secret))
    folder = act.report_folder(inputs.report_dir, context.workspace)
    record_folder = act.report_folder(f"{inputs.report_dir}/record", context.workspace)
    planned = _require_plan(folder, inputs.report_dir)
    release = read_release(planned)
    earlier = act.read_earlier(replace(job.plan, tag=release.tag), job.client) or ""
    request = DeployRequest(
        project=job.project,
        environment=inputs.environment or "",
        plan=planned,
        record=record_folder,
        ticked=read_ticks(earlier),
        backup=inputs.backup,
        smoke_test=inputs.smoke_test,
        on_failure=inputs.on_failure,
    )
    environ = _of_commands(job.surroundings.environ, inputs)
    shown = ShownDeploy(job.client)
    state, description = DeploymentState.ERROR, "the log says why it stopped"
    try:
        record = deploy(
            request,
            replace(job.surroundings, environ=environ),
            lambda deployment: echo(shown.begin(_announced(deployment, context))),
        )
        state, description = _state(record)
    except DeployInterrupted as error:
        state, description = _state(error.record)
        echo(publish_record(_texts(error.record, folder, record_folder), context))
        raise
    finally:
        echo(shown.tell(state, description))
        act.give_to_owner(_all_below(record_folder), context.workspace)
    echo(publish_record(_texts(record, folder, record_folder), context))
    return record.outcome.exit_code


def _require_plan(folder: Path, name: str) -> Path:
    """Return the plan that a release has left in the folder of reports."""
    plan = folder / "plan.json"
    if not plan.is_file():
        raise ConfigError(
            "there is no plan to carry out",
            where=f"{name}/{plan.name}",
            fix="Run the action with `mode: release` first. Where that is another job, hand the "
            "files of its `report-dir` on by actions/upload-artifact and "
            "actions/download-artifact.",
        )
    return plan


def _of_commands(environ: Mapping[str, str], inputs: ActionInputs) -> dict[str, str]:
    """Return the environment of a deploy and of the policy's commands.

    No input is in it, for tokens are among them; the target is, as it is for the command.
    """
    kept = {name: value for name, value in environ.items() if not name.startswith("INPUT_")}
    target = {} if inputs.target_url is None else {TARGET_URL: inputs.target_url}
    return {**kept, **inputs.env, **target}


def _announced(deployment: Deployment, context: GitHubContext) -> Announced:
    """Return what GitHub shows; the deployed application is where its health is asked for."""
    address = next((urlsplit(probe.url) for probe in deployment.environment.health), None)
    return Announced(
        tag=deployment.release.tag,
        commit=deployment.release.commit,
        environment=deployment.name,
        environment_url=None if address is None else f"{address.scheme}://{address.netloc}",
        run_id=context.run_id,
        repository_url=context.repository_url,
        log_url=context.run_url,
    )


def _state(record: Record) -> tuple[DeploymentState, str]:
    return _STATES[record.outcome.exit_code][0], record.outcome.value


def _texts(record: Record, folder: Path, record_folder: Path) -> RecordTexts:
    failed = record.failed
    why = None if failed is None else f"{failed.step.value}: {failed.reason}"
    return RecordTexts(
        verdict=_STATES[record.outcome.exit_code][1],
        outcome=record.outcome.value,
        page=render_page(record),
        why="\n".join(filter(None, (why, record.next))) or None,
        files={
            "plan": folder / "plan.json",
            "evidence": folder / "evidence.json",
            "record": record_folder / "record.json",
            "summary": record_folder / "record.md",
        },
    )


def _all_below(folder: Path) -> list[Path]:
    return [folder, *folder.rglob("*")] if folder.exists() else []
