"""Finds an installed Python of a version, or lets uv download one.

Nothing of the project runs here: uv is asked from the root folder, without configuration.
"""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import uv

from gatekeeper.errors import ProbeError
from gatekeeper.probe.dependencies import PythonRequest
from gatekeeper.probe.indexes import mask, secrets_of
from gatekeeper.probe.mishaps import last_lines

FIND_SECONDS = 60
DOWNLOAD_SECONDS = 600
OLDEST = (3, 8)
OWN = ".".join(platform.python_version_tuple()[:2])
_DESCRIBE = (
    "import platform, sysconfig; print(platform.python_version(), sysconfig.get_platform(),"
    " sysconfig.get_config_var('SOABI'))"
)
_PASSED = ("HOME", "LANG", "SSL_CERT_FILE", "SSL_CERT_DIR")


def find_uv() -> Path:
    """Return uv's program, which comes with gatekeeper."""
    try:
        return Path(uv.find_uv_bin())
    except FileNotFoundError as error:
        raise ProbeError(
            "uv, which installs a project's dependencies, is missing",
            where=str(error),
            fix="Install gatekeeper again: `pip install --force-reinstall uv`.",
        ) from error


def find_python(
    request: PythonRequest | None,
    folder: Path,
    environ: Mapping[str, str],
    variables: Mapping[str, str],
) -> Path:
    """Return an interpreter of the version that is asked for, gatekeeper's own first.

    What is downloaded goes below `folder`. Where a release (`3.12.4`) is asked for, another
    one of the same version does: no schema depends on it. `variables` are the machine's
    settings for package indexes.
    """
    wanted = [] if request is None else [request.version]
    passed = {name: environ[name] for name in _PASSED if name in environ}
    settings = {**passed, **variables, "UV_PYTHON_INSTALL_DIR": str(folder)}
    settings["UV_COMPILE_BYTECODE"] = "1"  # nobody writes into it later
    settings["PATH"] = os.pathsep.join(search_path(environ))
    if request is not None and re.fullmatch(r"[0-9]+\.[0-9]+\.[0-9]+", request.version):
        wanted.append(request.version.rpartition(".")[0])
    for version in wanted or [""]:
        found = _find(version, settings)
        if found is not None:
            return found
    said = ""
    if request is not None and variables.get("UV_PYTHON_DOWNLOADS") not in ("never", "false"):
        arguments = ("python", "install", "--no-bin", "--no-config", "--no-cache", request.version)
        done = _ask(arguments, settings, DOWNLOAD_SECONDS)
        found = _find(request.version, settings)
        if found is not None:
            return found
        said = _cause(mask(done, secrets_of(variables)))
    raise _missing(request, said)


def describe_python(python: Path) -> str:
    """Return the version, platform and ABI of an interpreter that is nobody's of the project."""
    command = [str(python), "-I", "-c", _DESCRIBE]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")
    if done.returncode != 0:
        raise ProbeError(
            f"this Python does not run{last_lines(done.stderr)}",
            where=str(python),
            fix="Mend its installation, or name another interpreter with `--python PATH`.",
        )
    return done.stdout.strip()


def _find(version: str, settings: Mapping[str, str]) -> Path | None:
    arguments = ("python", "find", "--system", "--no-project", "--no-config", "--no-cache")
    asked = (*arguments, "--no-python-downloads", *((version,) if version else ()))
    lines = _ask(asked, settings, FIND_SECONDS).splitlines()
    path = Path(lines[-1]) if lines else Path()
    return path if path.is_absolute() and path.is_file() else None


def _ask(arguments: tuple[str, ...], settings: Mapping[str, str], seconds: float) -> str:
    try:
        done = subprocess.run(
            [str(find_uv()), *arguments],
            cwd="/",
            env=dict(settings),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"it took longer than {seconds:.0f} seconds"
    return done.stdout.decode("utf-8", "replace").strip()


def search_path(environ: Mapping[str, str]) -> Iterator[str]:
    """Yield where to look, our own Python's folder first.

    In place of the shims of pyenv and asdf, which fail where a version is not active, the
    versions themselves are searched.
    """
    yield str(Path(sys.base_prefix) / "bin")
    for entry in environ.get("PATH", os.defpath).split(os.pathsep):
        if Path(entry).name != "shims":
            yield entry
            continue
        for pattern in ("versions/*/bin", "installs/python/*/bin"):
            folders = [(_version_of(f.parent.name), f) for f in Path(entry).parent.glob(pattern)]
            for version, folder in sorted(folders, reverse=True):
                if version >= OLDEST:
                    yield str(folder)


def _version_of(name: str) -> tuple[int, ...]:
    match = re.fullmatch(r"([0-9]+)\.([0-9]+)(?:\.([0-9]+))?t?", name)
    return tuple(int(part or 0) for part in match.groups()) if match else ()


def _missing(request: PythonRequest | None, said: str) -> ProbeError:
    if request is None:
        return ProbeError("no Python was found to make the project's environment with")
    return ProbeError(
        f"Python {request.version}, which {request.asked_by} asks for, is not installed here"
        + ("" if not said else f" and could not be downloaded: {said}"),
        where=request.asked_by,
        fix="Install it where gatekeeper runs and put it on the PATH, name a mirror for the "
        "download in the environment (`UV_PYTHON_INSTALL_MIRROR`), ask for another with "
        f"`python-version: '{OWN}'` (in a policy file `project: {{python: '{OWN}'}}`), or name "
        "an interpreter that has the project's dependencies with `--python PATH`.",
    )


def _cause(said: str) -> str:
    """Return in a line what uv says went wrong and, where it knows, what that came from."""
    told = re.findall(r"^\s*(?:error|cause|Caused by): (.+)$", said, re.MULTILINE)
    causes = [re.sub(r"( for url)? ?[(`]?https?://\S+", "", line) for line in told[1:] or told]
    return ": ".join(dict.fromkeys((causes[0], causes[-1]))) if causes else said[:300]
