"""The commands: options in, texts and exit codes out."""

from __future__ import annotations

import contextlib
import datetime as dt
import difflib
import functools
import os
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.table import Table

import gatekeeper
from gatekeeper import checks, pipeline
from gatekeeper.announcing import announce_for_log, announce_in_passing
from gatekeeper.checks import pages
from gatekeeper.demo import make_demo_repository
from gatekeeper.deploy.local import render_pending
from gatekeeper.deploy.model import Deployment, DeployOutcome
from gatekeeper.deploy.record import Record
from gatekeeper.deploy.status import find_status, render_json, render_text
from gatekeeper.deploy.target import find_target
from gatekeeper.deploy.terminal import render as render_record
from gatekeeper.deploying import DeployInterrupted, DeployRequest, roll_back
from gatekeeper.deploying import deploy as carry_out_release
from gatekeeper.doctor.examine import examine, exit_code
from gatekeeper.doctor.target import TARGET_OPTION
from gatekeeper.errors import ConfigError, ExitCode, GatekeeperError
from gatekeeper.files import require_folder, unwritable, write_file, write_folder
from gatekeeper.model import Report, Verdict
from gatekeeper.policy import waivers, weakening
from gatekeeper.policy.load import LOCAL
from gatekeeper.probe.sandbox import protect_own_environment
from gatekeeper.release.files import FILE_NAMES
from gatekeeper.release.terminal import render as render_plan
from gatekeeper.releasing import rehearse_release
from gatekeeper.reporters import REPORTERS
from gatekeeper.reporters.context import RenderContext
from gatekeeper.reporters.diagnoses import render_diagnoses
from gatekeeper.request import Request, Surroundings
from gatekeeper.signals import raise_interrupted

F = TypeVar("F", bound=Callable[..., Any])

_REPORT = "report.json"
_STATUS = {"terminal": render_text, "json": render_json}

_EXIT_CODES = {
    Verdict.PASS: ExitCode.PASS,
    Verdict.FAIL: ExitCode.FAIL,
    Verdict.UNDETERMINED: ExitCode.UNDETERMINED,
}


def _option(name: str, **settings: Any) -> Callable[[F], F]:
    """Return an option that the variable `GATEKEEPER_<OPTION>` can set as well."""
    variable = "GATEKEEPER_" + name.removeprefix("--").upper().replace("-", "_")
    return click.option(name, envvar=variable, show_envvar=True, **settings)


_OF_HISTORY = (
    _option("--project", metavar="DIR", help="Where the Alembic project is."),
    _option("--config", metavar="FILE", help="The Alembic configuration file."),
    _option("--section", metavar="NAME", multiple=True, help="Its section, if not [alembic]."),
)
_OF_PROJECT = (
    *_OF_HISTORY,
    _option(
        "--policy",
        metavar="FILE",
        type=click.Path(path_type=Path),
        help="The policy file; default: .gatekeeper.yml, else the built-in policy.",
    ),
)
_BASE = _option("--base", metavar="REF", help="What to compare with; default: the default branch.")
_OF_REPORT = (
    _option("--head", metavar="REF", help="What to check; default: the work tree."),
    _option(
        "--format",
        type=click.Choice(sorted(REPORTERS)),
        multiple=True,
        help="How to report; may be given several times.  [default: terminal]",
    ),
    _option(
        "--output",
        metavar="FILE",
        multiple=True,
        help="Where the report of the same place goes; - is standard output.",
    ),
)


_OF_RUN = (
    _option("--database-url", metavar="URL", help="A server to create and drop databases on."),
    _option("--python", metavar="PATH", help="The interpreter with the project's dependencies."),
)


# The options that are fields of the request.
_FIELDS = ("project", "config", "section", "base", "head", "policy", "database_url", "python")


def _asking(*options: Callable[[F], F]) -> Callable[[Callable[..., ExitCode]], Callable[..., Any]]:
    """Return a decorator that adds the options in their order.

    The command gets what they and the environment say of the project as its `request`.
    """

    def add(command: Callable[..., ExitCode]) -> Callable[..., Any]:
        @functools.wraps(command)
        def called(**values: Any) -> ExitCode:
            fields = {name: values.pop(name) for name in _FIELDS if name in values}
            request = Request(
                directory=Path.cwd(),
                python_version=os.environ.get("GATEKEEPER_PYTHON_VERSION") or None,
                install=os.environ.get("GATEKEEPER_INSTALL") or None,
                cache=os.environ.get("GATEKEEPER_CACHE") or None,
                **fields,
            )
            return command(request, **values)

        for option in reversed(options):
            called = option(called)
        return called

    return add


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(gatekeeper.__version__, prog_name="gatekeeper")
def commands() -> None:
    """Rehearse Alembic migrations on an ephemeral PostgreSQL before they reach yours."""


@commands.command()
@_asking(*_OF_PROJECT, _BASE, *_OF_REPORT, *_OF_RUN)
@click.option(
    "--all",
    "is_audit",
    is_flag=True,
    envvar="GATEKEEPER_ALL",
    show_envvar=True,
    help="Check the whole history.",
)
@click.option(
    "--save",
    "is_saving",
    is_flag=True,
    envvar="GATEKEEPER_SAVE",
    show_envvar=True,
    help="Put what had to be found out about the project into the policy file.",
)
def check(
    request: Request,
    format: tuple[str, ...],
    output: tuple[str, ...],
    is_audit: bool,
    is_saving: bool,
) -> ExitCode:
    """Rehearse the new revisions and hold them against the policy."""
    request = replace(request, is_audit=is_audit)
    return _check_and_report(request, _pair(format, output), is_saving)


@commands.command()
@_asking(*_OF_PROJECT, _BASE, *_OF_REPORT)
@click.argument("path", nargs=-1)
def lint(
    request: Request,
    path: tuple[str, ...],
    format: tuple[str, ...],
    output: tuple[str, ...],
) -> ExitCode:
    """Run the checks that need no database, on the revision files PATH or what is new."""
    request = replace(request, paths=path, is_audit=bool(path), is_lint=True)
    return _check_and_report(request, _pair(format, output))


@commands.command()
@_asking(*_OF_PROJECT, _BASE, *_OF_RUN)
@_option(
    TARGET_OPTION,
    metavar="URL",
    help="Your own database, to be looked at as well; it is only read.",
)
def doctor(request: Request, target_url: str | None) -> ExitCode:
    """Say what would stop a check here, and how to mend it."""
    with announce_in_passing(Console(stderr=True)) as progress:
        surroundings = Surroundings(os.environ, dt.datetime.now(dt.UTC), progress)
        diagnoses = examine(request, target_url, surroundings)
    context = _of_terminal(surroundings.now)
    click.echo(render_diagnoses(diagnoses, context), nl=False, color=context.color)
    return exit_code(diagnoses)


@commands.command()
@_asking(*_OF_PROJECT, *_OF_RUN)
@_option("--tag", metavar="TAG", help="The release; default: the tag that is checked out.")
@_option("--previous", metavar="TAG", help="The release before it; default: by version.")
@_option("--tags", metavar="PATTERN", help="Which tags are releases, such as 'v*'.")
@click.option(
    "--output",
    metavar="DIR",
    required=True,
    type=click.Path(path_type=Path),
    help="The folder for plan, evidence and report.",
)
def release(
    request: Request,
    tag: str | None,
    previous: str | None,
    tags: str | None,
    output: Path,
) -> ExitCode:
    """Rehearse what a release tag adds and write the plan of its deployment."""
    require_folder(output, (*FILE_NAMES, _REPORT), "--output")
    with announce_in_passing(Console(stderr=True)) as progress:
        surroundings = Surroundings(os.environ, dt.datetime.now(dt.UTC), progress)
        released = rehearse_release(request, tag, previous, tags, surroundings)
    as_json = REPORTERS["json"](released.report, RenderContext(surroundings.now))
    write_folder(output, {**released.files, _REPORT: as_json})
    context = _of_terminal(surroundings.now)
    click.echo(render_plan(released.plan, context, output), nl=False, color=context.color)
    return _EXIT_CODES[released.report.verdict]


@commands.command()
@_asking(*_OF_HISTORY)
@click.option(
    "--format",
    type=click.Choice(sorted(_STATUS)),
    default="terminal",
    show_default=True,
    help="How to tell it.",
)
def status(request: Request, format: str) -> ExitCode:
    """Tell where the database of GATEKEEPER_TARGET_URL stands; it is only read.

    The exit code is 0 at the head and 1 where revisions are pending or unknown here.
    """
    target = find_target(os.environ)
    found = find_status(target, request.directory, request.project, request.config, request.section)
    click.echo(_STATUS[format](found), nl=False)
    return found.exit_code


@commands.command()
@_asking(*_OF_PROJECT, *_OF_RUN)
@_option("--environment", metavar="NAME", required=True, help="Where to deploy to.")
@click.option(
    "--plan",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The plan.json of a release, its evidence beside it.",
)
@click.option(
    "--record",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="The folder for journal, backup and record.",
)
@_option("--attested", metavar="ID", multiple=True, help="What a person has seen to.")
def deploy(
    request: Request,
    environment: str,
    plan: Path | None,
    record: Path | None,
    attested: tuple[str, ...],
) -> ExitCode:
    """Deploy a release to the database of GATEKEEPER_TARGET_URL by the runbook.

    The environment `local` needs neither --plan nor --record: it is brought to the work tree.
    """
    if environment != LOCAL:
        plan, record = _require("--plan", plan), _require("--record", record)
    page = None if record is None else record / "record.md"
    with contextlib.ExitStack() as stack:
        if record is None:
            folder = tempfile.TemporaryDirectory(prefix="gatekeeper-local-")
            record = Path(stack.enter_context(folder))
        asked = DeployRequest(
            project=request,
            environment=environment,
            plan=plan,
            record=record,
            ticked=frozenset(attested),
        )
        with (
            _shown_when_interrupted(page),
            announce_for_log(Console(stderr=True), _now) as progress,
        ):
            surroundings = Surroundings(os.environ, dt.datetime.now(dt.UTC), progress)
            done = carry_out_release(asked, surroundings, _show_pending)
    _show_record(done, page, surroundings.now)
    return done.outcome.exit_code


def _show_record(record: Record, page: Path | None, now: dt.datetime) -> None:
    context = _of_terminal(now)
    click.echo(render_record(record, context, page), nl=False, color=context.color)


@contextlib.contextmanager
def _shown_when_interrupted(page: Path | None) -> Iterator[None]:
    """Show the record also where a signal ends the block; the signal is raised on."""
    try:
        yield
    except DeployInterrupted as error:
        _show_record(error.record, page, _now())
        raise


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def _require(option: str, value: Path | None) -> Path:
    if value is None:
        raise ConfigError(
            f"a deploy needs `{option}`",
            fix="`gatekeeper release --output plan` writes a plan, `gatekeeper deploy --plan "
            "plan/plan.json --record record` carries it out.",
        )
    return value


def _show_pending(deployment: Deployment) -> None:
    """Let a person review what a work tree does to their own database, before it is done."""
    if deployment.name == LOCAL:
        click.echo(render_pending(deployment.release))


@commands.command()
@_asking(*_OF_PROJECT, *_OF_RUN)
@_option("--environment", metavar="NAME", required=True, help="What was deployed to.")
@click.option(
    "--record",
    metavar="DIR",
    required=True,
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="The folder that the deploy has written.",
)
def rollback(request: Request, environment: str, record: Path) -> ExitCode:
    """Take the database of GATEKEEPER_TARGET_URL back to before a deploy."""
    asked = DeployRequest(
        project=request,
        environment=environment,
        plan=record / "plan.json",
        record=record,
    )
    page = record / "rollback.md"
    with (
        _shown_when_interrupted(page),
        announce_for_log(Console(stderr=True), _now) as progress,
    ):
        surroundings = Surroundings(os.environ, dt.datetime.now(dt.UTC), progress)
        done = roll_back(asked, surroundings)
    _show_record(done, page, surroundings.now)
    # What a failed deploy ends with is what was asked for here.
    is_back = done.outcome is DeployOutcome.ROLLED_BACK
    return ExitCode.PASS if is_back else done.outcome.exit_code


@commands.command()
@click.argument("check_id", metavar="[CHECK]", required=False)
def explain(check_id: str | None) -> ExitCode:
    """Show the page of one check, or the table of all."""
    from rich.markdown import Markdown  # only here, and slow to load

    modules: tuple[pages.Documented, ...] = (*checks.ALL, waivers, weakening)
    all_pages = [pages.read_page(module) for module in modules]
    console = Console()
    if check_id is None:
        table = Table("check", "wanted state", box=None, header_style="bold")
        for page in all_pages:
            table.add_row(page.check.id, page.check.title)
        console.print(table)
        return ExitCode.PASS
    for page in all_pages:
        if page.check.id == check_id:
            console.print(Markdown(pages.render_page(page)))
            return ExitCode.PASS
    near = difflib.get_close_matches(check_id, [p.check.id for p in all_pages], n=1)
    raise ConfigError(
        f"there is no check `{check_id}`",
        fix=f"Did you mean `{near[0]}`?" if near else "`gatekeeper explain` lists all.",
    )


@commands.command()
def demo() -> ExitCode:
    """Make a small repository with a risky change and check it."""
    with tempfile.TemporaryDirectory(prefix="gatekeeper-demo-") as folder:
        directory = Path(folder) / "shop"
        directory.mkdir()
        make_demo_repository(directory)
        click.echo("A shop with a risky pull request, and what gatekeeper says of it:\n")
        code = _check_and_report(Request(directory=directory), _pair((), ()))
    # The demo is meant to find something; only a check that could not be made is a failure.
    return ExitCode.PASS if code is ExitCode.FAIL else code


@commands.command()
def action() -> ExitCode:
    """Run as the step of a workflow: what the event and the inputs call for."""
    from gatekeeper.action import run_action  # PyGithub takes longer to load than all else

    return run_action(os.environ, lambda text: click.echo(text, nl=False))


def main() -> None:
    """Run a command; the one place where errors become sentences and exit codes."""
    raise_interrupted()
    protect_own_environment()
    try:
        code = commands.main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except GatekeeperError as error:
        click.echo(f"gatekeeper: {error}", err=True)
        code = error.exit_code
    except click.Abort:
        code = ExitCode.INTERRUPTED
    except Exception as error:  # noqa: BLE001 - whatever it is, it must not look like a pass
        click.echo(f"gatekeeper: internal error: {type(error).__name__}: {error}", err=True)
        if "GATEKEEPER_DEBUG" in os.environ:
            traceback.print_exc()
        else:
            click.echo("Run again with GATEKEEPER_DEBUG=1 for the traceback.", err=True)
        code = ExitCode.UNDETERMINED
    sys.exit(int(code or 0))


def _check_and_report(
    request: Request, outputs: tuple[tuple[str, str], ...], is_saving: bool = False
) -> ExitCode:
    for _, target in outputs:
        _require_writable(target)
    if is_saving:
        pipeline.require_saving(request)
    with announce_in_passing(Console(stderr=True)) as progress:
        surroundings = Surroundings(os.environ, dt.datetime.now(dt.UTC), progress)
        report = pipeline.check(request, surroundings)
    for name, target in outputs:
        _write(name, report, target, surroundings.now)
    if is_saving:
        saved = pipeline.save(request, report)
        what = "there was nothing to save"
        if saved is not None:
            what = f"the `project:` block is in {saved} now"
        click.echo(f"gatekeeper: {what}", err=True)
    return _EXIT_CODES[report.verdict]


def _write(name: str, report: Report, target: str, now: dt.datetime) -> None:
    if target == "-":
        context = _of_terminal(now)
        click.echo(REPORTERS[name](report, context), color=context.color)
        return
    write_file(Path(target), REPORTERS[name](report, RenderContext(now)))


def _of_terminal(now: dt.datetime) -> RenderContext:
    """Return the context of what goes to standard output."""
    console = Console()
    is_coloured = console.color_system is not None and not console.no_color
    return RenderContext(now, color=is_coloured, width=console.width)


def _require_writable(target: str) -> None:
    """Refuse a target that cannot be written before the work is done for it."""
    path = Path(target)
    if target != "-" and (path.is_dir() or not path.parent.is_dir() or not path.name):
        raise unwritable(target, None)


def _pair(formats: tuple[str, ...], outputs: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """Pair formats and outputs in their order; what is missing is terminal and `-`."""
    wanted = formats or ("terminal",)
    if len(outputs) > len(wanted):
        raise ConfigError(
            f"{len(outputs)} outputs are given for {len(wanted)} formats",
            where="--output",
            fix="Give one `--format` in front of each `--output`.",
        )
    return tuple(zip(wanted, (*outputs, *("-",) * (len(wanted) - len(outputs))), strict=True))
