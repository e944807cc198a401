"""Starts the probe's process, and tells it what it has to know of the project."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gatekeeper.model import Way
from gatekeeper.probe import inside, layout, protocol
from gatekeeper.probe.attempts import Attempt
from gatekeeper.probe.interpreter import editable_folders
from gatekeeper.probe.model import Launch, Target
from gatekeeper.probe.placeholders import fill, fill_each
from gatekeeper.probe.plain import ENV_PY
from gatekeeper.probe.process import Process
from gatekeeper.probe.sandbox import open_sandbox

PACKAGE = "gatekeeper_probe"  # the folder `inside`, in the project's interpreter
CACHE = "__pycache__"
_LOOPS = (Way.WORKER_THREAD, Way.THREAD, Way.RUNNING_LOOP)


def open_process(
    stack: contextlib.ExitStack,
    launch: Launch,
    attempt: Attempt,
    target: Target,
    more: Mapping[str, str] | None = None,
) -> tuple[Process, Path]:
    """Return the probe's process in its sandbox, and where its env.py is.

    Both end with the stack. `more` are variables that count more than the others.
    """
    texts = {**dict(attempt.variables), **launch.environment}
    variables = fill_each(texts, target)
    variables.update(more or {})
    sandbox = stack.enter_context(
        open_sandbox(
            launch.interpreter.path,
            launch.checkout.resolve(),
            launch.repository,
            launch.environ,
            variables,
            {name: fill(text, target) for name, text in attempt.home_files},
        )
    )
    # The project's account may not be able to read where gatekeeper is installed.
    _copy_inside(sandbox.private / PACKAGE)
    script_location = launch.checkout.resolve() / launch.project.script_location
    if launch.plain is not None:
        script_location = sandbox.private / "plain"
        script_location.mkdir(mode=0o755)
        (script_location / "env.py").write_text(ENV_PY, encoding="utf-8")
        (script_location / "env.py").chmod(0o644)
    secrets = (*launch.environment.values(), target.password)
    start = sandbox.start([sandbox.interpreter, "-B", "-m", PACKAGE])
    popen = subprocess.Popen(
        start.arguments,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=sandbox.private,
        env=start.environment,
        start_new_session=True,
        bufsize=0,
    )
    process = Process(popen, launch.timeout_seconds, env_py_of(launch), secrets)
    stack.callback(process.kill)
    return process, script_location


def _copy_inside(folder: Path) -> None:
    """Copy what runs in the project's interpreter, and what an installation compiled of it.

    An interpreter of another version passes over that; one of ours need not compile it anew,
    for which the times of the files have to be those of the originals.
    """
    source = Path(inside.__file__).parent
    compiled = folder / CACHE
    folder.mkdir(mode=0o755)
    compiled.mkdir(mode=0o755)
    for file in (*source.glob("*.py"), *source.glob(f"{CACHE}/*.pyc")):
        copied = folder / file.relative_to(source)
        shutil.copy2(file, copied)
        copied.chmod(0o644)


def start_message(
    launch: Launch, attempt: Attempt, target: Target, script_location: Path
) -> dict[str, Any]:
    """Return what the process has to know of the project, whatever it is to do."""
    checkout, project = launch.checkout.resolve(), launch.project
    folders = [str(checkout / location) for location in project.version_locations]
    usual = [str(script_location / "versions")]
    return {
        "target": protocol.ephemeral_message(target),
        "checkout": str(checkout),
        "repository": None if launch.repository is None else str(launch.repository),
        "config": None if project.config is None else str(checkout / project.config),
        "section": project.section,
        "script_location": str(script_location),
        "version_locations": [] if folders == usual else folders,
        "version_folders": folders,
        "working_directory": str(layout.working_directory(checkout, project)),
        "import_paths": [str(path) for path in layout.import_paths(checkout, project)],
        "editable_paths": _editable_paths(launch, checkout),
        "flask": _flask(launch, attempt),
        "prefers_async": Way.ASYNCPG in attempt.ways,
        "gives_connection": Way.CONNECTION in attempt.ways,
        "loop": next((way.value for way in reversed(attempt.ways) if way in _LOOPS), None),
        "arguments": dict(launch.arguments),
        "configure": None if launch.plain is None else dict(launch.plain.options),
        "hook": None if launch.hook is None else str(checkout / launch.hook.path),
    }


def _flask(launch: Launch, attempt: Attempt) -> str | None:
    if not launch.project.flask_migrate or launch.plain is not None or launch.has_own_app:
        return None
    return "bare" if Way.BARE_FLASK_APP in attempt.ways else "own"


def _editable_paths(launch: Launch, checkout: Path) -> list[str]:
    """Return where editable installations in the repository lead, in the copy of it."""
    if launch.repository is None:
        return []
    root = launch.repository.resolve()
    folders = editable_folders(launch.interpreter.path)
    inside = (folder.relative_to(root) for folder in folders if folder.is_relative_to(root))
    return [str(checkout / folder) for folder in inside if (checkout / folder).is_dir()]


def env_py_of(launch: Launch) -> str:
    """Return where env.py is, for people."""
    return str(Path(launch.project.script_location) / "env.py")
