"""The project's code, which has come up on an ephemeral database, and the way to the target."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class

from gatekeeper.deploy.model import Access, Deployment, StepFailed
from gatekeeper.postgres.servers import DATABASE_PREFIX, Server
from gatekeeper.postgres.target import IDENTITY_QUERY, look_at
from gatekeeper.probe.model import Target, VersionTable
from gatekeeper.probe.runner import Probe
from gatekeeper.rehearsal.stage import Stage

# Files that libpq looks for by itself (manual, section 34.19), by the parameter that names one.
_USUAL_FILES = {
    "sslrootcert": "root.crt",
    "sslcert": "postgresql.crt",
    "sslkey": "postgresql.key",
    "sslcrl": "root.crl",
}


def open_access(deployment: Deployment, stage: Stage) -> Access:
    """Return the stage's probe, and the target as it is to connect to it.

    The target was looked at, so that the probe can know it again; nothing was run there.
    """
    require_one_env(stage)
    return Access(stage.probe, _read_target(deployment))


def require_one_env(stage: Stage) -> None:
    """Raise where a release cannot be applied by the project's own env.py, to one database."""
    if stage.probe.is_plain:
        raise StepFailed(
            "the project's own env.py could not be run, and a release is applied by nothing else",
            fix="See what keeps it from running: `gatekeeper doctor`.",
        )
    if len(stage.origins) > 1:
        raise StepFailed(
            f"env.py migrates several databases ({', '.join(stage.database_names)}), and a "
            "deploy is to one",
            fix="Deploy them by hand, or give each a section of its own in the configuration.",
        )


def session_name(server: Server) -> str:
    """Return the application name of the sessions in which the project's code works on a target.

    It is not that of our own sessions: those may be ended while one of ours holds the target.
    """
    return f"{DATABASE_PREFIX}{server.run_id}_work"


def version_tables_of(probe: Probe) -> tuple[VersionTable, ...]:
    """Return where env.py has Alembic keep the revision."""
    schema = probe.facts.version_table_schema
    return tuple(VersionTable(schema, name) for name in probe.facts.version_tables)


def _read_target(deployment: Deployment) -> Target:
    server = deployment.target
    fix = "Let the role of GATEKEEPER_TARGET_URL call `pg_control_system()`."
    with look_at(server, fix=fix) as connection:
        with connection.cursor() as cursor:
            cursor.execute(IDENTITY_QUERY)
            ((identity,),) = cursor.fetchall()
        # What is in force, also where a variable of libpq or its password file says it.
        parameters = connection.info.dsn_parameters
        return Target(
            host=server.host,
            port=server.port,
            user=server.user,
            password=connection.info.password or "",
            database=server.maintenance_database,
            marker=None,
            sslmode=parameters.get("sslmode"),
            identity=identity,
            tls=_read_files(connection, server, deployment.environ),
            settings={
                "application_name": session_name(server),
                "lock_timeout": f"{deployment.environment.lock_timeout_seconds}s",
            },
        )


def _read_files(
    connection: Connection, server: Server, environ: Mapping[str, str]
) -> Mapping[str, str]:
    """Return the texts of the certificates and keys that encrypt a connection.

    The account that runs the project's code cannot read them where they are.
    """
    given = {**server.parameters, **connection.info.dsn_parameters}
    usual = Path(environ.get("HOME", "/nonexistent")) / ".postgresql"
    texts = {}
    for name, file in _USUAL_FILES.items():
        path = Path(given.get(name) or usual / file)
        if given.get(name) == "system":
            texts[name] = "system"
        elif path.is_file():
            try:
                texts[name] = path.read_text(encoding="utf-8")
            except (OSError, ValueError) as error:
                raise StepFailed(
                    f"`{name}` of the target cannot be read: {error}",
                    where=str(path),
                    fix="Give a file in PEM format that the user of gatekeeper may read.",
                ) from error
    if "sslpassword" in server.parameters:
        texts["sslpassword"] = server.parameters["sslpassword"]
    return texts
