"""Which interpreter is taken for a project."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from gatekeeper.errors import ConfigError
from gatekeeper.probe.interpreter import find_interpreter, is_own_active
from gatekeeper.probe.model import Interpreter


def a_python(folder: Path) -> Path:
    python = folder / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\n")
    python.chmod(0o755)
    return python


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "services" / "shop"
    folder.mkdir(parents=True)
    return folder


def test_finds_none_where_there_is_none(project, tmp_path):
    assert find_interpreter(project, tmp_path, None, {}) is None


def test_our_own_active_environment_is_not_beside_the_project(project, tmp_path):
    environ = {"VIRTUAL_ENV": sys.prefix}
    assert find_interpreter(project, tmp_path, None, environ) is None
    assert is_own_active(environ)
    assert not is_own_active({"VIRTUAL_ENV": str(tmp_path)})
    assert not is_own_active({})


def test_order(project, tmp_path):
    """Each place is found once those before it are gone."""
    active = a_python(tmp_path / "elsewhere")
    at_root = a_python(tmp_path / "venv")
    between = a_python(tmp_path / "services" / ".venv")
    own = a_python(project / ".venv")
    named = a_python(tmp_path / "named")
    environ = {"VIRTUAL_ENV": str(tmp_path / "elsewhere")}

    def find(option: str | None = None) -> Interpreter | None:
        return find_interpreter(project, tmp_path, option, environ)

    assert find(str(named)) == Interpreter(named, "given by --python")
    assert find(str(tmp_path / "named")) == Interpreter(named, "given by --python")
    assert find() == Interpreter(own, "found as .venv of the project")
    own.unlink()
    assert find() == Interpreter(between, "found as .venv of the repository")
    between.unlink()
    assert find() == Interpreter(at_root, "found as venv of the repository")
    at_root.unlink()
    assert find() == Interpreter(active, "the active environment ($VIRTUAL_ENV)")


def test_poetry_is_asked_without_plugins_and_secrets(project, tmp_path):
    environment = a_python(tmp_path / "cache" / "shop-py3.12")
    (project / "poetry.lock").touch()
    poetry = tmp_path / "bin" / "poetry"
    poetry.parent.mkdir()
    answer = f"{environment.parent.parent}$T$POETRY_PYPI_TOKEN"
    poetry.write_text(f'#!/bin/sh\n[ "$1" = --no-plugins ] && echo {answer}\n')
    poetry.chmod(0o755)
    found = find_interpreter(
        project,
        tmp_path,
        None,
        {"PATH": str(poetry.parent), "T": "oken", "POETRY_PYPI_TOKEN": "oken"},
    )
    assert found == Interpreter(environment, "the project's Poetry environment")


def test_option_that_names_nothing(project, tmp_path):
    with pytest.raises(ConfigError) as raised:
        find_interpreter(project, tmp_path, str(tmp_path / "python"), {})
    assert raised.value.what == f"there is no interpreter at {tmp_path}/python"
    assert raised.value.where == f"--python {tmp_path}/python"


def test_option_is_looked_up_on_the_path(project, tmp_path):
    named = a_python(tmp_path / "named")
    found = find_interpreter(project, tmp_path, "python", {"PATH": str(named.parent)})
    assert found == Interpreter(named, "given by --python")
