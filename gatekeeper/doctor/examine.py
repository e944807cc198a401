"""The whole examination: one thing after the other, each as far as the ones before allow."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from gatekeeper.doctor.chart import OF_TARGET, Chart, Subject
from gatekeeper.doctor.environment import examine_environment, see_server
from gatekeeper.doctor.files import examine_files
from gatekeeper.doctor.history import examine_history
from gatekeeper.doctor.target import TARGET_OPTION, examine_target, see_target
from gatekeeper.errors import ExitCode
from gatekeeper.model import Diagnosis
from gatekeeper.postgres.servers import open_server
from gatekeeper.probe.workspace import private_folders
from gatekeeper.request import Request, Surroundings


def examine(
    request: Request, target_url: str | None, surroundings: Surroundings
) -> tuple[Diagnosis, ...]:
    """Return what was found, in the order in which the main job needs it.

    `target_url` is the user's own database, which is only read.
    """
    chart = Chart()
    with contextlib.ExitStack() as stack:
        source = examine_files(chart, request)
        surroundings.progress("Starting PostgreSQL")
        root = None if source is None else source.repository.root
        hidden = private_folders(root, surroundings.environ)
        server = chart.look(
            Subject.SERVER,
            lambda: see_server(
                stack.enter_context(open_server(request.database_url, hidden=hidden))
            ),
        )
        stage = None
        if source is not None:
            stage = examine_environment(chart, stack, request, surroundings, source, server)
        changes = None if source is None else source.changes
        migrated = None
        if stage is not None and changes is not None:
            surroundings.progress("Running the history on an empty database")
            migrated = examine_history(chart, stage, changes)
        if target_url is None:
            chart.pass_over(Subject.TARGET, f"no `{TARGET_OPTION}` is given")
            return chart.finish([each for each in Subject if each not in OF_TARGET])
        surroundings.progress("Looking at your database")
        target = chart.look(Subject.TARGET, lambda: see_target(target_url))
        if stage is not None and changes is not None and target is not None:
            examine_target(chart, target, stage, changes, migrated)
    return chart.finish(tuple(Subject))


def exit_code(diagnoses: Sequence[Diagnosis]) -> ExitCode:
    """Return the exit code of the whole: a migration at fault counts before what is unknown."""
    codes = {each.exit_code for each in diagnoses}
    order = (ExitCode.ASKED_WRONGLY, ExitCode.FAIL, ExitCode.UNDETERMINED)
    return next((code for code in order if code in codes), ExitCode.PASS)
