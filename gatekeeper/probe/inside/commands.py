"""The bootstrap command: a Python one in this process, redirected; others as they are."""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import runpy
import shutil
import subprocess
import sys

RUNNERS = ("uv", "poetry", "pdm", "pipenv", "rye", "hatch")
FLAG = re.compile(r"-[bBdEiIOqsSuv]+$")
PYTHON = re.compile(r"python(\d+(\.\d+)?)?$")


class NoCommand(RuntimeError):
    """The command, or the file or module that it names, is not there."""


class CommandFailed(RuntimeError):
    """A command ended with another status than 0."""


def run_command(words: list[str]) -> None:
    """Run a command to its end, in the working directory."""
    if len(words) > 2 and os.path.basename(words[0]) in RUNNERS and words[1] == "run":
        words = words[2:]  # the environment that it would enter is this one
    program = words[0]
    if is_python(program):
        run_python(words)
        return
    found = shutil.which(program)
    if found is None:
        raise NoCommand(f"there is no program `{program}`")
    if is_script_of(found):
        sys.argv = [found, *words[1:]]
        sys.path.insert(0, os.getcwd())
        runpy.run_path(found, run_name="__main__")
        return
    status = subprocess.run([found, *words[1:]], stdin=subprocess.DEVNULL, check=False).returncode
    if status != 0:
        raise CommandFailed(f"`{program}` ended with exit status {status}")


def is_python(program: str) -> bool:
    if os.sep in program:
        return os.path.realpath(program) == os.path.realpath(sys.executable)
    return PYTHON.match(program) is not None


def is_script_of(path: str) -> bool:
    """Tell a console script of this environment, which is Python, from any other program."""
    if os.path.dirname(os.path.abspath(path)) != os.path.dirname(sys.executable):
        return False
    with open(path, "rb") as file:
        start = file.read(4096)
    return start.startswith(b"#!") and b"python" in start and b"\0" not in start


def run_python(words: list[str]) -> None:
    """Do what the interpreter would do with these words, in this process."""
    arguments = words[1:]
    while arguments and FLAG.match(arguments[0]):
        arguments = arguments[1:]
    kind = arguments[0] if arguments else ""
    if kind in ("-m", "-c") and len(arguments) > 1:
        sys.argv = [kind, *arguments[2:]]
        sys.path.insert(0, os.getcwd())
        if kind == "-c":
            code = compile(arguments[1], "<bootstrap>", "exec")
            exec(code, {"__name__": "__main__", "__builtins__": __builtins__})
            return
        if not has_module(arguments[1]):
            raise NoCommand(f"there is no module `{arguments[1]}`")
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
        return
    if not kind or kind.startswith("-"):
        raise NoCommand("after `python` comes a file, `-m MODULE` or `-c CODE`")
    if not os.path.exists(kind):
        raise NoCommand(f"there is no file `{kind}`")
    sys.argv = arguments
    sys.path.insert(0, os.path.dirname(os.path.abspath(kind)))
    runpy.run_path(kind, run_name="__main__")


def has_module(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError as error:
        if error.name is not None and (name + ".").startswith(error.name + "."):
            return False
        raise
