"""Which commands install what a project declares."""

from __future__ import annotations

from pathlib import Path

import pytest

from gatekeeper.probe.dependencies import Dependencies, Source
from gatekeeper.probe.recipes import environment_step, has_groups, install_steps

PYTHON, ENVIRONMENT, SCRATCH = Path("/py/bin/python3"), Path("/e"), Path("/scratch")
PIP = "uv pip install --compile-bytecode --python /e/bin/python"
SYNC = "uv sync --frozen --no-editable --compile-bytecode"
RUN = "uv tool run --python /py/bin/python3"
PLAIN = "sed -i -E s/^[[:space:]]*(-e|--editable)[[:space:]=]+//"
EXPORTED = [
    f"{PLAIN} /scratch/exported.txt",
    f"{PIP} --no-deps --requirements /scratch/exported.txt",
]
POETRY = f"{RUN} --from poetry --with poetry-plugin-export poetry export"
POETRY_FLAGS = "--no-interaction --format requirements.txt --output /scratch/exported.txt"


def lines(source: Source, path: str = "", *, everything: bool = False) -> list[str]:
    dependencies = Dependencies(source, path or source.value, ".")
    included = [Path("/src/r.txt"), Path("/src/more.txt")]
    steps = install_steps(
        dependencies, PYTHON, ENVIRONMENT, SCRATCH, included, everything=everything
    )
    return [
        " ".join(step.command) + ("" if step.output is None else f" > {step.output}")
        for step in steps
    ]


@pytest.mark.parametrize(
    ("source", "path", "expected"),
    [
        (Source.UV, "", [f"{SYNC} --no-dev --python /py/bin/python3"]),
        (Source.POETRY, "", [f"{POETRY} {POETRY_FLAGS} --only=main", *EXPORTED]),
        (
            Source.PDM,
            "",
            [
                f"{RUN} pdm export --prod --format requirements --output /scratch/exported.txt",
                *EXPORTED,
            ],
        ),
        (
            Source.PIPENV,
            "",
            [f"{RUN} pipenv requirements --hash > /scratch/exported.txt", *EXPORTED],
        ),
        (Source.PYLOCK, "", [f"{PIP} --requirements pylock.toml"]),
        (
            Source.REQUIREMENTS,
            "r.txt",
            [f"{PLAIN} /src/r.txt /src/more.txt", f"{PIP} --requirements /src/r.txt"],
        ),
        (Source.DECLARED, "a/pyproject.toml", [f"{PIP} --requirements pyproject.toml"]),
        (Source.PACKAGE, "setup.py", [f"{PIP} ."]),
        (Source.COMMAND, "pip install .\nid", ["sh -c pip install .\nid"]),
    ],
)
def test_what_is_run(source, path, expected):
    assert lines(source, path) == expected


def test_everything_takes_developers_groups_as_well():
    assert lines(Source.UV, everything=True) == [
        f"{SYNC} --all-packages --all-groups --python /py/bin/python3"
    ]
    assert lines(Source.POETRY, everything=True)[0] == (
        f"{POETRY} {POETRY_FLAGS} --all-groups --all-extras"
    )
    assert "pdm export --dev --group :all" in lines(Source.PDM, everything=True)[0]
    assert "--hash --dev >" in lines(Source.PIPENV, everything=True)[0]
    assert [s for s in Source if has_groups(s)] == [
        Source.UV,
        Source.POETRY,
        Source.PDM,
        Source.PIPENV,
    ]


def test_pip_is_there_for_a_command_alone():
    made = "uv venv --no-project --no-config{} --python /py/bin/python3 /e"
    for source in Source:
        step = environment_step(source, PYTHON, ENVIRONMENT)
        seed = " --seed" if source is Source.COMMAND else ""
        assert " ".join(step.command) == made.format(seed)
