"""Which commands install a project's dependencies, by what they are locked with. No I/O.

uv reads its own lock, `pylock.toml` and requirements files. The other locks are exported by
the tool that wrote them, hashes included, so that nothing is resolved anew.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from gatekeeper.probe.dependencies import Dependencies, Source

EXPORTING = {
    Source.POETRY: ("--from", "poetry", "--with", "poetry-plugin-export", "poetry", "export"),
    Source.PDM: ("pdm", "export"),
    Source.PIPENV: ("pipenv", "requirements"),
}
# A package installed for editing would lead to the copy of the checkout, which goes away.
_WITHOUT_EDITABLE = r"s/^[[:space:]]*(-e|--editable)[[:space:]=]+//"


@dataclass(frozen=True)
class Step:
    """A command; what it prints goes into `output` where one is named."""

    command: tuple[str, ...]
    output: Path | None = None


def has_groups(source: Source) -> bool:
    """Tell whether there is more to install where alembic turns out to be missing."""
    return source is Source.UV or source in EXPORTING


def environment_step(source: Source, python: Path, environment: Path) -> Step:
    """Return the command that makes the empty environment; only a command needs pip in it."""
    seed = ("--seed",) if source is Source.COMMAND else ()
    flags = ("--no-project", "--no-config", *seed)
    return Step(("uv", "venv", *flags, "--python", str(python), str(environment)))


def install_steps(
    dependencies: Dependencies,
    python: Path,
    environment: Path,
    scratch: Path,
    requirement_files: Iterable[Path] = (),
    *,
    everything: bool = False,
) -> tuple[Step, ...]:
    """Return the commands that fill the environment, run in the dependencies' folder.

    `everything` takes the groups for developers and all members of a workspace as well.
    `requirement_files` are those that the requirements file includes, itself the first.
    """
    source = dependencies.source
    # Nothing is compiled later: the probe may not write into the environment.
    compiled = "--compile-bytecode"
    pip = ("uv", "pip", "install", compiled, "--python", str(environment / "bin" / "python"))
    if source is Source.COMMAND:
        return (Step(("sh", "-c", dependencies.path)),)
    if source is Source.UV:
        which = ("--all-packages", "--all-groups") if everything else ("--no-dev",)
        flags = ("--frozen", "--no-editable", compiled, *which, "--python", str(python))
        return (Step(("uv", "sync", *flags)),)
    if source in EXPORTING:
        exported = scratch / "exported.txt"
        return (
            _export(source, python, exported, everything),
            _plain((exported,)),
            Step((*pip, "--no-deps", "--requirements", str(exported))),
        )
    name = Path(dependencies.path).name
    if source is Source.REQUIREMENTS:
        files = tuple(requirement_files)
        return (_plain(files), Step((*pip, "--requirements", str(files[0]))))
    if source is Source.PACKAGE:
        return (Step((*pip, ".")),)
    return (Step((*pip, "--requirements", name)),)


def _export(source: Source, python: Path, exported: Path, everything: bool) -> Step:
    which: tuple[str, ...]
    tool = ("uv", "tool", "run", "--python", str(python), *EXPORTING[source])
    if source is Source.PIPENV:
        which = ("--dev",) if everything else ()
        return Step((*tool, "--hash", *which), exported)
    if source is Source.PDM:
        which = ("--dev", "--group", ":all") if everything else ("--prod",)
        return Step((*tool, *which, "--format", "requirements", "--output", str(exported)))
    which = ("--all-groups", "--all-extras") if everything else ("--only=main",)
    flags = ("--no-interaction", "--format", "requirements.txt", "--output", str(exported))
    return Step((*tool, *flags, *which))


def _plain(files: Iterable[Path]) -> Step:
    """Return the command that turns editable installations into plain ones."""
    return Step(("sed", "-i", "-E", _WITHOUT_EDITABLE, *map(str, files)))
