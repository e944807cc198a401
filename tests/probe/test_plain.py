"""What is read from the source of an env.py that does not run."""

from __future__ import annotations

from pathlib import Path

import pytest

from gatekeeper.errors import ProbeError
from gatekeeper.model import Project
from gatekeeper.probe.plain import PlainEnvironment, read_plain

PROJECT = Project(".", "alembic.ini", "alembic", "migrations", ("migrations/versions",))
NOT_RUN = "the project's own env.py did not run: why"


def read(folder: Path, source: str | bytes) -> PlainEnvironment:
    path = folder / "migrations" / "env.py"
    path.parent.mkdir()
    path.write_bytes(source if isinstance(source, bytes) else source.encode())
    return read_plain(folder, PROJECT, "why")


@pytest.mark.parametrize(
    ("source", "options"),
    [
        ("", {}),
        ("context.configure(connection=c, target_metadata=m, include_schemas=True)", {}),
        ("context.configure(connection=c, version_table='v')", {"version_table": "v"}),
        (
            "context.configure(connection=c, transaction_per_migration=True, "
            "transactional_ddl=False, version_table_schema=None, version_table_pk=False)",
            {
                "transaction_per_migration": True,
                "transactional_ddl": False,
                "version_table_schema": None,
                "version_table_pk": False,
            },
        ),
        pytest.param(
            "NAME = 'v'\ncontext.configure(connection=c, version_table=NAME)",
            {"version_table": "v"},
            id="a constant",
        ),
        pytest.param(
            "context.configure(url=u, version_table='off')\n"
            "context.configure(connection=c, version_table='on')",
            {"version_table": "on"},
            id="the online call counts",
        ),
        pytest.param(
            "def run(c):\n    alembic.context.configure(c, version_table='v')",
            {"version_table": "v"},
            id="a call without the keyword",
        ),
        pytest.param(
            "configure(connection=a, version_table='v')\n"
            "configure(connection=b, version_table='v')",
            {"version_table": "v"},
            id="two calls that agree",
        ),
    ],
)
def test_what_is_read(source: str, options: dict[str, object], tmp_path: Path) -> None:
    plain = read(tmp_path, source)
    told = ", ".join(f"{name}={value!r}" for name, value in options.items())
    notes = (NOT_RUN, f"read from migrations/env.py: {told}") if options else (NOT_RUN,)
    assert plain == PlainEnvironment(options, notes)


@pytest.mark.parametrize(
    ("source", "notes"),
    [
        (
            "context.configure(connection=c, version_table=settings.table)",
            ["1: version_table of context.configure was not read"],
        ),
        pytest.param(
            "NAME = 'a'\nNAME = 'b'\ncontext.configure(connection=c, version_table=NAME)",
            ["3: version_table of context.configure was not read"],
            id="a name that is assigned twice",
        ),
        pytest.param(
            "configure(connection=a, version_table='a')\n"
            "configure(connection=b, version_table='b')",
            ["1: version_table of context.configure was not read"],
            id="two calls that do not agree",
        ),
        (
            "context.configure(connection=c, **current_app.options)",
            ["1: what ** holds of context.configure was not read"],
        ),
        (
            "context.configure(connection=c, version_table=3, on_version_apply=tell)",
            [
                "1: version_table of context.configure was not read",
                "1: on_version_apply of context.configure was not read",
            ],
        ),
        (
            "connection.execute('SET search_path = a')",
            ["1: SQL of env.py's own was not sent"],
        ),
        (
            "for schema in tenants():\n"
            "    context.configure(connection=c)\n"
            "    context.run_migrations()",
            ["1: what env.py does in a loop was done once"],
        ),
    ],
)
def test_what_is_not_read_is_told(source: str, notes: list[str], tmp_path: Path) -> None:
    told = tuple(f"migrations/env.py:{note}" for note in notes)
    assert read(tmp_path, source) == PlainEnvironment({}, (NOT_RUN, *told))


@pytest.mark.parametrize("source", ["def (", b"\xff", "x = '\0'"])
def test_what_cannot_be_parsed(source: str | bytes, tmp_path: Path) -> None:
    plain = read(tmp_path, source)
    assert plain.options == {}
    assert plain.notes[1].startswith("of migrations/env.py nothing could be read: ")


@pytest.mark.parametrize("arguments", ["tables", "engine_name=name", "**more"])
def test_arguments_of_its_own_are_refused(arguments: str, tmp_path: Path) -> None:
    with pytest.raises(ProbeError) as raised:
        read(tmp_path, f"x = 1\ncontext.run_migrations({arguments})")
    assert raised.value.where == "migrations/env.py:2"
