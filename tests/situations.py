"""The projects of `tests/projects`, each with the whole answer that a check must give.

A situation is a folder with a real project and an `expected.yml`:

    situation: one line that says what is special
    new: [a002, a003]       # the revisions that the change adds; all else is at the base
    request: {section: …}   # fields of the request, where it has any
    needs: [asyncpg]        # what the project's Python must have, as requirements (python>=3.10)
    extensions: [citext]    # what the server must have
    says: …                 # the answer; made anew with GATEKEEPER_REGENERATE=1
    ways:                   # other requests of the same project, with what differs then
      two: {request: {…}, findings: []}
    differs:                # parts of the answer that are others with some environments
      - {with: [sqlalchemy<2, postgres>=16], verdict: …}

A finding is check, severity, revision and place; of the checks in `TOLD` also the message.
The place is the line of the revision, and where it is another file that file's path as well.
"""

from __future__ import annotations

import functools
import json
import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml
from packaging.requirements import Requirement

from gatekeeper.errors import GatekeeperError
from gatekeeper.model import Finding, Needs, NotRehearsed, Report, Severity, Status
from gatekeeper.postgres.servers import Server
from tests.build_git import GitRepository
from tests.live import Files, check_repository, make_change

PROJECTS = Path(__file__).parent / "projects"
EXPECTED = "expected.yml"
NAMES = tuple(sorted(p.name for p in PROJECTS.iterdir() if p.is_dir()))
_SAYS = {"verdict", "not rehearsed", "exit", "refused", "notes", "findings", "not looked at"}
KEYS = {"situation", "new", "request", "needs", "extensions", "says", "ways", "differs"}

# What these say is the point of many situations, not only that they speak.
TOLD = frozenset(
    {
        "downgrade-fails",
        "downgrade-incomplete",
        "model-drift",
        "reupgrade-fails",
        "silently-not-applied",
        "upgrade-fails",
    }
)

# The versions of the first note differ from environment to environment.
VERSIONS = re.compile(r"PYTHON \(Python [^)]+\): given")

# How a parameter is written depends on the driver and on SQLAlchemy.
PARAMETER = re.compile(r"(%\(\w+\)s|%s|\$\d+)(::\w+)?")
# So does whether the driver of the project's URL is installed: test_runner.py has that note.
OTHER_DRIVER = re.compile(r"(\[\w+\] )?\w+, the driver that the project names, is not installed")

Answer = Mapping[str, Any]


@dataclass(frozen=True)
class Situation:
    """One folder of `tests/projects` and what its `expected.yml` says of it."""

    name: str
    line: str
    new: tuple[str, ...]
    request: Mapping[str, Any]
    needs: tuple[str, ...]
    extensions: tuple[str, ...]
    says: Answer
    differs: tuple[tuple[tuple[str, ...], Answer], ...]

    def says_with(self, environment: Environment) -> Answer:
        """Return the answer that is expected with an environment."""
        answer = dict(self.says)
        for needs, other in self.differs:
            if all(_is_met(need, environment) for need in needs):
                answer.update(other)
        return answer

    @property
    def folder(self) -> Path:
        return PROJECTS / self.name


@dataclass(frozen=True)
class Environment:
    """A project's Python: its version and its distributions with theirs."""

    python: str
    distributions: Mapping[str, str]


def read_document(name: str) -> Mapping[str, Any]:
    """Return the folder's `expected.yml`; a key that is not known is an error."""
    path = PROJECTS / name / EXPECTED
    document: Mapping[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    unknown = set(document) - KEYS
    assert not unknown, f"{path}: {unknown} is not known"
    return document


def read_situation(name: str) -> Situation:
    """Return a situation by the name of its folder, or by that and one of its ways."""
    name, _, way = name.partition(": ")
    document = read_document(name)
    if way:
        other = document["ways"][way]
        says = {**document["says"], **{k: v for k, v in other.items() if k in _SAYS}}
        says = {k: v for k, v in says.items() if v is not None}
        document = {**document, **other, "says": says}
    return Situation(
        name=name,
        line=document["situation"],
        new=tuple(document["new"]),
        request=document.get("request", {}),
        needs=tuple(document.get("needs", ())),
        extensions=tuple(document.get("extensions", ())),
        says=document.get("says", {}),
        differs=tuple(
            (tuple(one["with"]), {k: v for k, v in one.items() if k != "with"})
            for one in document.get("differs", ())
        ),
    )


def ways_of(name: str) -> tuple[str, ...]:
    """Return what `read_situation` takes for a folder: its name, and each further way of it."""
    there = (PROJECTS / name / EXPECTED).is_file()
    further = read_document(name).get("ways", ()) if there else ()
    return name, *(f"{name}: {way}" for way in further)


def project_files(situation: Situation) -> dict[str, bytes]:
    """Return the files of the project, without what is only about it."""
    folder = situation.folder
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != EXPECTED and path.suffix != ".pyc"
    }


def make_repository(
    root: Path, situation: Situation, files: Mapping[str, bytes] | None = None
) -> GitRepository:
    """Make the repository: everything but the new revisions on `main`, those on a branch.

    `files` take the place of the situation's own.
    """
    files = project_files(situation) if files is None else files
    new: Files = {
        path: text
        for path, text in files.items()
        if path.endswith(".py") and any(f"{new}_" in f"{Path(path).stem}_" for new in situation.new)
    }
    assert len(new) == len(situation.new), f"{situation.name}: `new` finds {sorted(new)}"
    return make_change(root, {p: t for p, t in files.items() if p not in new}, new)


def answer_of(situation: Situation, root: Path, server: Server, python: Path) -> Answer:
    """Check the situation's change as `gatekeeper check` would and return the answer."""
    make_repository(root, situation)
    try:
        report = check_repository(root, server, python=str(python), **situation.request)
    except GatekeeperError as error:
        answer: Answer = {"exit": error.exit_code.value, "refused": error.sentence}
    else:
        answer = _told(report)
    text = json.dumps(answer, ensure_ascii=False)
    text = VERSIONS.sub("PYTHON: given", text.replace(str(python), "PYTHON"))
    text = PARAMETER.sub(":parameter", text)
    return json.loads(text.replace(str(root), "REPOSITORY"))


def _told(report: Report) -> Answer:
    answer: dict[str, Any] = {"verdict": report.verdict.value}
    reasons: dict[tuple[str, str | None], list[str]] = {}
    for result in report.checks:
        if result.status in (Status.SKIPPED, Status.ERRORED):
            reasons.setdefault((result.status.value, result.reason), []).append(result.check.id)
    if isinstance(report.rehearsal, NotRehearsed):
        answer["not rehearsed"] = report.rehearsal.reason
        unknown = reasons.pop(("errored", report.rehearsal.reason))
        assert set(unknown) == {
            r.check.id for r in report.checks if r.check.needs is Needs.REHEARSAL
        }
    else:
        answer["notes"] = [n for n in report.rehearsal.project if not OTHER_DRIVER.match(n)]
    answer["findings"] = [
        [f.check, _word(f.severity), f.revision, _place(f), *([f.message] * (f.check in TOLD))]
        for f in report.findings
    ]
    if reasons:
        answer["not looked at"] = [
            [status, checks, reason] for (status, reason), checks in reasons.items()
        ]
    return answer


def _place(finding: Finding) -> int | str | None:
    path = finding.path or ""
    if finding.revision is None or finding.revision in path:
        return finding.line
    return f"{path}:{finding.line}"


def _word(severity: Severity | None) -> str:
    assert severity is not None
    return severity.name.lower()


def unmet_need(situation: Situation, environment: Environment) -> str | None:
    """Return what the environment lacks for the situation, None where it has everything."""
    for text in situation.needs:
        if not _is_met(text, environment):
            return text
    return None


def _is_met(text: str, environment: Environment) -> bool:
    """Tell whether an environment has what a requirement says; `python` is one as well."""
    requirement = Requirement(text)
    found = {**environment.distributions, "python": environment.python}.get(requirement.name)
    return found is not None and requirement.specifier.contains(found, prereleases=True)


@functools.cache
def read_environment(python: Path) -> Environment:
    """Ask an interpreter for its version and what is installed for it."""
    script = (
        "import importlib.metadata as m, json, platform, re\n"
        "name = lambda d: re.sub(r'[-_.]+', '-', d.metadata['Name']).lower()\n"
        "found = {name(d): d.version for d in m.distributions()}\n"
        "print(json.dumps([platform.python_version(), found]))\n"
    )
    answer = subprocess.run(
        [python, "-I", "-c", script], check=True, capture_output=True, text=True
    )
    version, distributions = json.loads(answer.stdout)
    return Environment(version, distributions)


def with_server(environment: Environment, server: Server) -> Environment:
    """Return the environment with the server as the distribution `postgres`."""
    there = {**environment.distributions, "postgres": server.info.version}
    return replace(environment, distributions=there)


def lacking_extension(situation: Situation, server: Server) -> str | None:
    """Return the first extension of the situation's that the server does not offer."""
    offered = {name for (name,) in server.administer("SELECT name FROM pg_available_extensions")}
    return next((e for e in situation.extensions if e not in offered), None)


def is_regenerating() -> bool:
    return "GATEKEEPER_REGENERATE" in os.environ


def write_answer(situation: Situation, answer: Answer) -> None:
    """Put the answer into the situation's file; what stands above it is kept as it is."""
    path = situation.folder / EXPECTED
    text = path.read_text(encoding="utf-8")
    head = text.split("\nsays:")[0].rstrip()
    rest = min((text.find(key) for key in ("\nways:", "\ndiffers:") if key in text), default=None)
    rest = "" if rest is None else text[rest:].lstrip()
    says = "".join(f"  {key}:{_yaml(value)}\n" for key, value in answer.items())
    path.write_text(f"{head}\nsays:\n{says}{rest}", encoding="utf-8")


def _yaml(value: Any) -> str:
    """Return a value of an answer; of a list one item a line."""
    if isinstance(value, list) and value:
        return "".join(f"\n    - {_yaml_line(item)}" for item in value)
    return f" {_yaml_line(value)}"


def _yaml_line(value: Any) -> str:
    text = yaml.safe_dump(value, allow_unicode=True, width=1_000_000, default_flow_style=True)
    return text.removesuffix("...\n").rstrip()


def render_table() -> str:
    """Return `tests/projects/README.md`: every situation with its line."""
    rows = "".join(f"| [`{name}`]({name}) | {read_situation(name).line} |\n" for name in NAMES)
    return (
        "# Situations\n\n"
        "Each folder is a small real project and an `expected.yml` with the whole answer that a\n"
        "check of it must give; `tests/situations.py` says what stands in that file. This table\n"
        "is made of their first lines: `GATEKEEPER_REGENERATE=1 python -m pytest "
        "tests/test_situations.py`.\n\n"
        f"| folder | situation |\n|---|---|\n{rows}"
    )


WAYS = tuple(way for name in NAMES for way in ways_of(name))
