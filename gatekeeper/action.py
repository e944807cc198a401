"""`gatekeeper action`: from the runner's variables to comment, summary, outputs and exit code.

A second place of wiring beside `cli.py`, so that the other commands need not load PyGithub.
"""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from urllib.parse import parse_qsl, unquote, urlsplit

from gatekeeper import pipeline
from gatekeeper.action_job import Job
from gatekeeper.errors import ExitCode, GatekeeperError
from gatekeeper.git import find_repository, head_commit
from gatekeeper.github import act
from gatekeeper.github.client import open_client
from gatekeeper.github.commands import mask, step_line
from gatekeeper.github.decide import Task, decide
from gatekeeper.releasing import rehearse_release
from gatekeeper.reporters import REPORTERS, script
from gatekeeper.reporters.context import RenderContext
from gatekeeper.reporters.markdown import read_fingerprints, read_ticks
from gatekeeper.request import Request, Surroundings
from gatekeeper.settings import ActionInputs, GitHubContext, read_context, read_inputs


def run_action(environ: Mapping[str, str], echo: Callable[[str], None]) -> ExitCode:
    """Do what the event calls for; `echo` writes to the step's log, commands included."""
    context = read_context(environ)
    plan, inputs, client = None, None, None
    try:
        inputs = read_inputs(environ)
        for secret in _secrets(inputs):
            echo(mask(secret))
        plan = decide(context, inputs, head_commit(find_repository(context.workspace)))
        if plan.task is Task.NOTHING:
            echo(act.publish_nothing(plan, context).log)
            return ExitCode.PASS
        if inputs.github_token:
            client = open_client(context.api_url, context.repository, inputs.github_token)
        # A step may name something of the project's, such as its install command.
        surroundings = Surroundings(
            environ, dt.datetime.now(dt.UTC), lambda step: echo(step_line(step))
        )
        project = _request(environ, context, inputs)
        job = Job(project, surroundings, echo, context, inputs, plan, client)
        if plan.task is Task.DEPLOY:
            from gatekeeper.action_deploy import run_deploy  # a check need not load all of it

            return run_deploy(job)
        return _rehearse(job)
    except GatekeeperError as error:
        echo(act.publish_error(error, plan, inputs, context, client).log)
        return error.exit_code
    except Exception as error:
        # `cli.py` says the rest; an earlier comment must not go on saying "passed".
        internal = GatekeeperError(f"internal error: {type(error).__name__}: {error}")
        echo(act.publish_error(internal, plan, inputs, context, client).log)
        raise


def _secrets(inputs: ActionInputs) -> Iterator[str]:
    """Yield what no log may show; a password as it stands in an address and as it is."""
    yield from filter(None, (inputs.github_token, inputs.target_url))
    for url in filter(None, (inputs.database_url, inputs.target_url)):
        with contextlib.suppress(ValueError):  # told when the address is used
            address = urlsplit(url)
            password = address.password or ""
            yield from filter(None, dict.fromkeys((password, unquote(password))))
            yield from dict(parse_qsl(address.query)).get("password", "").splitlines()


def _request(environ: Mapping[str, str], context: GitHubContext, inputs: ActionInputs) -> Request:
    """Return how the project is found and run."""
    return Request(
        directory=context.workspace,
        project=inputs.project,
        config=inputs.config,
        section=inputs.section,
        database_url=inputs.database_url,
        policy=None if inputs.policy is None else context.workspace / inputs.policy,
        python_version=inputs.python_version,
        install=inputs.install,
        cache=inputs.cache or environ.get("GATEKEEPER_CACHE") or None,
        seed=inputs.seed,
        env=inputs.env,
    )


def _rehearse(job: Job) -> ExitCode:
    context, inputs, plan = job.context, job.inputs, job.plan
    earlier = act.read_earlier(plan, job.client) or ""
    request = replace(
        job.project,
        event_base=plan.base,
        ticked=read_ticks(earlier),
        is_audit=plan.task is Task.AUDIT,
    )
    released = None
    if plan.task is Task.RELEASE:
        released = rehearse_release(request, plan.tag, inputs.base, None, job.surroundings)
        report = released.report
    else:
        report = pipeline.check(request, job.surroundings)
    shown = RenderContext(
        job.surroundings.now,
        repository_url=context.repository_url,
        head_sha=plan.head,
        report_url=context.run_url,
        previous=read_fingerprints(earlier),
        comment_id=plan.comment_id,
    )
    texts = act.Texts(
        terminal=REPORTERS["terminal"](report, shown),
        markdown=REPORTERS["markdown"](report, shown),
        annotations=REPORTERS["github"](report, shown),
        json=REPORTERS["json"](report, shown),
        sql=script.render_upgrade(report),
        release=None
        if released is None
        else act.ReleaseTexts(released.tag, released.files["plan.md"], released.files),
    )
    job.echo(act.publish(report, texts, plan, inputs, context, job.client).log)
    return act.exit_code(report, inputs.fail_on)
