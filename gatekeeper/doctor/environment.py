"""Looks at what runs the project: the server, its Python, env.py and the URL that it takes."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass

from gatekeeper.directories import open_run_directory
from gatekeeper.doctor.chart import Chart, Found, Subject
from gatekeeper.doctor.files import Rules, Source
from gatekeeper.doctor.words import listed, to_save
from gatekeeper.errors import ProbeError
from gatekeeper.model import ChangeSet, ServerSource
from gatekeeper.policy.model import ProjectSettings
from gatekeeper.postgres.servers import Server
from gatekeeper.preparing import (
    choose_interpreter,
    copy_files,
    stand_in,
    with_settings,
    without_env,
)
from gatekeeper.probe.model import Interpreter, Launch
from gatekeeper.probe.placeholders import names_database
from gatekeeper.rehearsal.base import base_of, refuse_bootstrap
from gatekeeper.rehearsal.ground import open_ground
from gatekeeper.rehearsal.stage import Stage, open_stage
from gatekeeper.rehearsal.stamp import resolve_stamp
from gatekeeper.request import Request, Surroundings

_SOURCES = {
    ServerSource.SERVICE: "the server that was given; it may create databases",
    ServerSource.INSTALLED: "installed here, started for each run",
    ServerSource.EMBEDDED: "of the extra `embedded`, started for each run",
}
_WITHOUT_ENV = "env.py does not run without the project's dependencies"


@dataclass(frozen=True)
class _Python:
    """The Python that runs the revisions; `lacking` is why it is not the project's."""

    interpreter: Interpreter
    lacking: ProbeError | None = None


def see_server(server: Server) -> Found[Server]:
    return Found(server, f"{server.info.version}, {_SOURCES[server.info.source]}")


def examine_environment(
    chart: Chart,
    stack: contextlib.ExitStack,
    request: Request,
    surroundings: Surroundings,
    source: Source,
    server: Server | None,
) -> Stage | None:
    """Return the stage on which the project has come up; it lasts as long as the stack."""
    rules = source.rules
    if rules is None:
        return None
    python = chart.look(
        Subject.PYTHON, lambda: _see_interpreter(request, surroundings, source, rules)
    )
    if python is None or server is None or source.changes is None:
        return None
    surroundings.progress("Starting the project's environment")
    directory = stack.enter_context(open_run_directory("gatekeeper-run-"))
    directory.chmod(0o711)  # the account of the probe passes through it

    def usual(name: str) -> Launch:
        checkout = copy_files(source.tree, directory / name, rules.hook)
        root = source.repository.root
        launch = Launch(python.interpreter, checkout, source.project, root, hook=rules.hook)
        return with_settings(launch, request, rules.settings, surroundings)

    def launch() -> Launch:
        settled = usual("head")
        return settled if python.lacking is None else without_env(settled, python.lacking)

    def open_prepared(changes: ChangeSet) -> Stage:
        ground = stack.enter_context(
            open_ground(server, rules.preparation, lambda: usual("bootstrap"))
        )
        ground.stamp = resolve_stamp(rules.preparation, *base_of(changes))
        stage = stack.enter_context(open_stage(ground, launch))
        refuse_bootstrap(changes, stage)
        return stage

    changes = source.changes
    stage = chart.look(Subject.ENVIRONMENT, lambda: _see_stage(open_prepared(changes)))
    if stage is not None and stage.probe.is_plain:
        chart.pass_over(Subject.URL, _WITHOUT_ENV)
        chart.pass_over(Subject.MODELS, _WITHOUT_ENV)
    elif stage is not None:
        told = stage.probe.facts.notes[0]  # now with the versions of its libraries
        chart.look(Subject.PYTHON, lambda: Found(None, told))
        chart.look(Subject.URL, lambda: _see_url(stage, rules.settings, surroundings.environ))
    return stage


def _see_interpreter(
    request: Request, surroundings: Surroundings, source: Source, rules: Rules
) -> Found[_Python]:
    try:
        interpreter = choose_interpreter(
            request,
            surroundings,
            source.repository,
            source.tree,
            source.project,
            rules.settings,
        )
    except ProbeError as error:
        if not rules.settings.without_dependencies:
            raise
        told = f"{error.brief}; the revisions run without env.py, as the policy allows"
        return Found(_Python(stand_in(), error), told, error.fix)
    return Found(_Python(interpreter), f"{interpreter.path}: {interpreter.reason}")


def _see_stage(stage: Stage) -> Found[Stage]:
    """Say what had to be done for env.py; the first note is the interpreter's."""
    told = "; ".join(stage.probe.facts.notes[1:]) or "it comes up as it is"
    return Found(stage, told, to_save(stage.learned))


def _see_url(stage: Stage, settings: ProjectSettings, environ: Mapping[str, str]) -> Found[None]:
    """Say whether `alembic` itself would know where to go; a rehearsal does without."""
    saved = [name for name, text in settings.env.items() if names_database(text)]
    variables = [*saved, *stage.probe.learned.env]
    unset = [name for name in variables if name not in environ]
    if unset:
        example = "postgresql://USER:PASSWORD@localhost:5432/NAME"
        exports = [f"    export {n}={example if n.endswith('URL') else '…'}" for n in unset]
        return Found(
            None,
            f"{listed(unset)} is unset: a rehearsal fills it, `alembic` on your own database "
            "needs it",
            "\n".join(["For your own database, here or in `.env`:\n", *exports]),
        )
    if not variables and any(o.database is None for o in stage.probe.facts.databases):
        return Found(
            None,
            "none is set: a rehearsal fills it, `alembic` on your own database needs it",
            "Set `sqlalchemy.url` in the configuration file, or let env.py take it from a "
            'variable:\n\n    config.set_main_option("sqlalchemy.url", '
            'os.environ["DATABASE_URL"])',
        )
    return Found(None, "it is set; a rehearsal goes to a database of its own instead")
