"""A Python that the image does not have, laid out as uv keeps those that it downloads."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from gatekeeper.errors import ProbeError
from gatekeeper.probe.dependencies import PythonRequest
from gatekeeper.probe.pythons import find_python, find_uv

VERSION = "3.12"
_LEFT_OUT = ("__pycache__", "*.a", "config-*", "ensurepip", "idlelib", "test", "tkinter")


def provide_python(folder: Path) -> str | None:
    """Put Python 3.12 into the folder; return what stops that, None where nothing does.

    It is uv's own where that can be downloaded, else a copy of one of this machine.
    """
    command = [str(find_uv()), "python", "install", "--no-bin", "--no-config", VERSION]
    variables = {**os.environ, "UV_PYTHON_INSTALL_DIR": str(folder), "UV_HTTP_RETRIES": "0"}
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return None
    try:
        request = PythonRequest(VERSION, "a test")
        found = find_python(request, folder, os.environ, {"UV_PYTHON_DOWNLOADS": "never"})
    except ProbeError as error:
        return error.what
    prefix = found.resolve().parents[1]
    if len(prefix.parts) < 4:
        return f"Python {VERSION} cannot be downloaded, and {found} is a part of the system"
    version = subprocess.run(
        [found, "-c", "import platform; print(platform.python_version(), platform.machine())"],
        capture_output=True,
        text=True,
        check=True,
    )
    name = "cpython-{}-linux-{}-gnu".format(*version.stdout.split())
    copy = folder / name
    ignored = shutil.ignore_patterns(*_LEFT_OUT)
    shutil.copytree(prefix / "lib", copy / "lib", symlinks=True, ignore=ignored)
    (copy / "bin").mkdir()
    program = copy / "bin" / f"python{VERSION}"
    program.write_bytes(_relocated(found.resolve().read_bytes(), prefix))
    program.chmod(0o755)
    (copy / "bin" / "python3").symlink_to(program.name)
    (copy / "bin" / "python").symlink_to(program.name)
    return None


def _relocated(program: bytes, prefix: Path) -> bytes:
    """Return a program that finds its library beside itself and not where it was built."""
    built = f"{prefix}/lib".encode()
    beside = b"$ORIGIN/../lib"
    padded = beside.ljust(len(built), b"\0")
    return re.sub(re.escape(built) + rb"(?=\0)", lambda match: padded, program)
