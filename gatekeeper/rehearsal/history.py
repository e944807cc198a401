"""A new database, brought up through a history that production has run already.

What that history expects of the database and never makes is in production: an extension
or a role that an administrator made, an empty schema. For new revisions this holds nothing: what
they lack, production lacks.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence

from gatekeeper.errors import ProbeError
from gatekeeper.extensions import extension_of, missing_role, unavailable_extension
from gatekeeper.model import Direction, Revision, Step, StepError
from gatekeeper.rehearsal.beginning import beginning_remedy, is_missing
from gatekeeper.rehearsal.databases import Databases
from gatekeeper.rehearsal.stage import Ran, Stage, describe

History = tuple[Databases, Ran]

_MADE_AT_MOST = 20  # roles and schemas: each costs a run of the history
_SCHEMA_MISSING = re.compile('schema "(.+?)" does not exist')
_ROLE_EXISTS = re.compile('role "(.+)" already exists')
# What a copy of the work tree does not hold.
MISSING_FILE = (
    "Commit the file, or have it made before gatekeeper runs: the project's code runs in a copy "
    "of what git tracks and of small files that it ignores"
)
_DENIED = "42501"  # insufficient_privilege


def run_history(
    made_by: Stage, run_by: Stage, revisions: Sequence[Revision], is_told: bool = False
) -> History:
    """Return databases at the end of the history; what only an administrator makes is made.

    With `is_told` its statements have their places.
    """
    while True:
        databases = made_by.new_databases()
        ran = run_by.run(databases, revisions, Direction.UPGRADE, observe=None, is_told=is_told)
        if ran.failure is None or not _is_supplied(made_by, ran.failure):
            return databases, ran
        made_by.drop(databases)


def _is_supplied(stage: Stage, failure: StepError) -> bool:
    """Tell whether the stage's databases have from now on what a history has failed for."""
    ground = stage.ground
    extension, role = extension_of(failure), missing_role(failure)
    schema = _SCHEMA_MISSING.match(failure.message) if failure.sqlstate == "3F000" else None
    if len(ground.added_roles) + len(ground.added_schemas) >= _MADE_AT_MOST:
        return False
    if extension is not None and ground.can_add(extension):
        stage.add_extension(extension)
    elif role is not None and role not in ground.added_roles:
        ground.add_role(role)
    elif schema is not None and ground.is_bare and schema[1] not in ground.added_schemas:
        stage.add_schema(schema[1])
    else:
        return False
    return True


def refuse_lacking_server(stage: Stage, each: Sequence[Sequence[Step]]) -> None:
    """Refuse to judge a revision for an extension whose files the server does not have."""
    for step in (step for steps in each for step in steps):
        name = None if step.error is None else unavailable_extension(step.error)
        if step.error is not None and name is not None:
            raise ProbeError(
                f"`{step.revision}` makes the extension `{name}`, which {_server_of(stage)} "
                f"does not have: {describe(step.error)}",
                fix=_other_server(stage, name),
            )


def _server_of(stage: Stage) -> str:
    info = stage.server.info
    return f"the server of the rehearsal (PostgreSQL {info.version}, {info.source.value})"


def _other_server(stage: Stage, extension: str) -> str:
    offered = stage.server.administer("SELECT name FROM pg_catalog.pg_available_extensions")
    near = difflib.get_close_matches(extension, [str(name) for (name,) in offered], n=1)
    return (
        (f"Did you mean `{near[0]}`? Else give" if near else "Give")
        + " `--database-url` a server that has it, such as a service container of an image with "
        "the extension"
    )


def history_remedy(stage: Stage, failure: StepError) -> str:
    """Return what to do where the history does not run on an empty database."""
    extension = extension_of(failure)
    if extension is not None and extension not in stage.ground.preparation.extensions:
        return (
            f"Production's database has the extension `{extension}` already, and "
            f"{_server_of(stage)} lacks it: give `--database-url` a server that "
            f"has it, and in the policy file: `project: {{extensions: [{extension}]}}`"
        )
    if (lacking := unavailable_extension(failure)) is not None:
        return _other_server(stage, lacking)
    if is_missing(failure):
        return beginning_remedy(stage.probe.facts)
    if (role := _ROLE_EXISTS.match(failure.message)) is not None:
        return (
            f"Where no other revision makes the role, the server of `--database-url` had it "
            f'before: drop it there (`DROP ROLE "{role[1]}";`), or leave the option out'
        )
    if failure.sqlstate == _DENIED:
        return (
            "Where only an administrator may do that, name the extension in the policy file's "
            "`project: {extensions: […]}` or put the rest into the SQL file of "
            "`project.bootstrap`; or run the history as one: `project: {role: owner}`"
        )
    if failure.type in ("SyntaxError", "IndentationError"):
        return "Correct the file; it is no Python that the project's interpreter takes"
    if failure.type == "FileNotFoundError":
        return MISSING_FILE
    if failure.type == "EOFError":
        return (
            "It asks at the keyboard, where nobody is: let it take the answer from a variable, "
            "and give that in the policy file: `project: {env: {NAME: …}}`"
        )
    guessed = stage.probe.attempt.guessed
    if failure.sqlstate is None and guessed:
        entries = ", ".join(f"{name}: …" for name in guessed)
        return (
            "It ran with made-up values. Where one of them is to blame, give the right one in "
            f"the policy file: `project: {{env: {{{entries}}}}}`"
        )
    if failure.sqlstate is None:
        return "Give what the code needs in the policy file: `project: {env: {NAME: …}}`"
    return "`alembic upgrade` on an empty database fails in the same way: correct the revision"
