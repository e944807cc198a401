"""What is looked at, in which order, and what each look ended with."""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from gatekeeper.errors import (
    ConfigError,
    DatabaseError,
    ExitCode,
    GatekeeperError,
    MissingModule,
    ProbeError,
)
from gatekeeper.model import Condition, Diagnosis

T = TypeVar("T")

_LIBRARIES = ("alembic", "sqlalchemy")


class Subject(enum.Enum):
    """What is looked at, in this order."""

    REPOSITORY = "Git repository"
    PROJECT = "Alembic project"
    REVISIONS = "Revision files"
    HEADS = "One head"
    POLICY = "Policy"
    SERVER = "PostgreSQL"
    PYTHON = "The project's Python"
    ENVIRONMENT = "env.py"
    URL = "Database URL"
    HISTORY = "History"
    MODELS = "Models"
    TARGET = "Your database"
    TARGET_REVISION = "Its revision"
    TARGET_PENDING = "Its pending revisions"
    TARGET_TYPES = "Its ENUM types"


# What has to be well before a thing can be looked at.
_NEEDS = {
    Subject.REPOSITORY: (),
    Subject.PROJECT: (Subject.REPOSITORY,),
    Subject.REVISIONS: (Subject.PROJECT,),
    Subject.HEADS: (Subject.REVISIONS,),
    Subject.POLICY: (Subject.PROJECT,),
    Subject.SERVER: (),
    Subject.PYTHON: (Subject.PROJECT, Subject.POLICY),
    # Alembic loads all revisions before it does anything.
    Subject.ENVIRONMENT: (Subject.REVISIONS, Subject.POLICY, Subject.SERVER, Subject.PYTHON),
    Subject.URL: (Subject.ENVIRONMENT,),
    Subject.HISTORY: (Subject.ENVIRONMENT,),
    Subject.MODELS: (Subject.HISTORY,),
    Subject.TARGET: (),
    Subject.TARGET_REVISION: (Subject.TARGET, Subject.ENVIRONMENT),
    Subject.TARGET_PENDING: (Subject.TARGET_REVISION,),
    Subject.TARGET_TYPES: (Subject.TARGET_REVISION, Subject.HISTORY),
}
OF_TARGET = (Subject.TARGET_REVISION, Subject.TARGET_PENDING, Subject.TARGET_TYPES)


class Problem(Exception):
    """What a look ended with; carries what is wrong, what to do and whose affair it is."""

    def __init__(
        self, detail: str, remedy: str, exit_code: ExitCode = ExitCode.UNDETERMINED
    ) -> None:
        super().__init__(detail)
        self.detail, self.remedy, self.exit_code = detail, remedy, exit_code


@dataclass(frozen=True)
class Found(Generic[T]):
    """What a look gave, and its line; `hint` is for what is well and lacks something else."""

    value: T
    detail: str
    hint: str | None = None


class Chart:
    """The diagnoses so far."""

    def __init__(self) -> None:
        self._noted: dict[Subject, Diagnosis] = {}

    def look(self, subject: Subject, step: Callable[[], Found[T]]) -> T | None:
        """Take a step and return what it gave; None where it met a problem."""
        try:
            found = step()
        except MissingModule as error:
            is_ours = error.module.partition(".")[0] in _LIBRARIES
            self._note_error(Subject.PYTHON if is_ours else subject, error)
        except (ConfigError, DatabaseError, ProbeError) as error:
            self._note_error(subject, error)
        except Problem as error:
            self._note(subject, Condition.PROBLEM, error.detail, error.remedy, error.exit_code)
        else:
            self._note(subject, Condition.OK, found.detail, found.hint)
            return found.value
        return None

    def pass_over(self, subject: Subject, reason: str) -> None:
        """Note that a thing is not looked at."""
        self._note(subject, Condition.NOT_LOOKED_AT, reason)

    def finish(self, subjects: Sequence[Subject]) -> tuple[Diagnosis, ...]:
        """Return the diagnoses of the subjects; what was not come to says what is in the way."""
        return tuple(
            self._noted.get(subject)
            or Diagnosis(
                subject.value,
                Condition.NOT_LOOKED_AT,
                f"“{self._obstacle(subject).value}” has a problem",
            )
            for subject in subjects
        )

    def _obstacle(self, subject: Subject) -> Subject:
        """Return what kept a subject from being looked at, by way of all that it needs."""
        for need in _NEEDS[subject]:
            noted = self._noted.get(need)
            if noted is None:
                return self._obstacle(need)
            if noted.condition is Condition.PROBLEM:
                return need
        return subject

    def _note_error(self, subject: Subject, error: GatekeeperError) -> None:
        what = error.what if error.where is None else f"{error.where}: {error.what}"
        self._note(subject, Condition.PROBLEM, what, error.fix, error.exit_code)

    def _note(
        self,
        subject: Subject,
        condition: Condition,
        detail: str,
        remedy: str | None = None,
        exit_code: ExitCode = ExitCode.PASS,
    ) -> None:
        self._noted[subject] = Diagnosis(subject.value, condition, detail, remedy, exit_code)
