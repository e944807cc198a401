"""The errors a command ends with, one class for each party that has to act.

A broken migration is a finding, never an exception. Each error carries the parts of its
sentence and builds it itself: what happened, where, how to fix it.
"""

from __future__ import annotations

import enum


class ExitCode(enum.IntEnum):
    """The exit codes that workflows rely on."""

    PASS = 0
    FAIL = 1
    ASKED_WRONGLY = 2
    UNDETERMINED = 3
    INTERRUPTED = 130


class GatekeeperError(Exception):
    """An end that was foreseen; `cli.py` prints the sentence and exits with the code."""

    exit_code = ExitCode.UNDETERMINED

    def __init__(self, what: str, *, where: str | None = None, fix: str | None = None) -> None:
        self.what = what
        self.where = where
        self.fix = fix
        super().__init__(what, where, fix)

    @property
    def sentence(self) -> str:
        """The whole on one line, for a report."""
        return ". ".join(" ".join(part.split()).rstrip(".") for part in self._parts())

    @property
    def brief(self) -> str:
        """Where it happened and the first words on what, for a line among others."""
        first = self.what.splitlines()[0].partition(";")[0].rstrip(".:")
        return first if self.where is None else f"{self.where}: {first}"

    def __str__(self) -> str:
        return "\n".join(self._parts())

    def _parts(self) -> list[str]:
        what = self.what if self.where is None else f"{self.where}: {self.what}"
        return [what] if self.fix is None else [what, self.fix]


class ConfigError(GatekeeperError):
    """The options, the configuration or the policy file ask for something impossible."""

    exit_code = ExitCode.ASKED_WRONGLY


class DatabaseError(GatekeeperError):
    """No PostgreSQL server could be had, or it stopped answering."""


class ProbeError(GatekeeperError):
    """The project's code could not be run to its end, so nothing is known about it."""


class MissingModule(ProbeError):
    """The project's Python cannot import a module; `module` is its name."""

    def __init__(
        self, what: str, *, module: str, where: str | None = None, fix: str | None = None
    ) -> None:
        super().__init__(what, where=where, fix=fix)
        self.module = module


class EnvFailed(ProbeError):
    """env.py raised where no revision was run; its process goes on."""


class PublishError(GatekeeperError):
    """GitHub refused or did not answer where its answer was needed."""


class Interrupted(GatekeeperError):
    """A person or the runner asked the command to stop (SIGINT, SIGTERM)."""

    exit_code = ExitCode.INTERRUPTED
