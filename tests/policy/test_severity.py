from __future__ import annotations

import pytest

from gatekeeper.model import Severity
from gatekeeper.policy.model import CheckSetting, Override, Policy
from gatekeeper.policy.severity import (
    options_of,
    setting_of,
    strongest_severity,
)
from tests.build import PROJECT, a_change_set, a_revision

# a001 ─ b002 ─ c003 ─ e005, and d004 beside them, which e005 depends on
HISTORY = (
    a_revision("a001", None),
    a_revision("b002", "a001"),
    a_revision("c003", "b002"),
    a_revision("d004", None),
    a_revision("e005", "c003", depends_on=("d004",)),
    a_revision("f006", "e005"),
)


@pytest.mark.parametrize(
    ("override", "selected"),
    [
        pytest.param({"before": "c003"}, {"a001", "b002"}, id="before, not the revision itself"),
        pytest.param({"before": "c00"}, set(), id="before a revision that is not there"),
        pytest.param({"revisions": ("b002", "f006")}, {"b002", "f006"}, id="revisions"),
        pytest.param({"revisions": ("b0",)}, set(), id="no abbreviations"),
        pytest.param({"paths": ("backend/migrations/versions/b*",)}, {"b002"}, id="from the root"),
        pytest.param({"paths": ("migrations/versions/b*",)}, {"b002"}, id="from the project"),
        pytest.param({"paths": ("*/[ab]00?.py",)}, {"a001", "b002"}, id="a star crosses slashes"),
        pytest.param({"paths": ("versions/*", "b0*")}, set(), id="from the start of the path"),
        pytest.param({"paths": ("x", "*f006.py")}, {"f006"}, id="one of several"),
    ],
)
def test_an_override_selects(override: dict[str, object], selected: set[str]) -> None:
    changes = a_change_set(
        project=type(PROJECT)("backend", None, "alembic", "migrations", ()), head_history=HISTORY
    )
    policy = Policy(
        checks={"not-atomic": CheckSetting(Severity.ERROR, {"max_relations": 2})},
        overrides=(Override({"not-atomic": Severity.OFF}, **override),),  # type: ignore
    )
    settings = {
        r.revision: setting_of(
            policy,
            "not-atomic",
            revision=r.revision,
            path=f"backend/{r.path}",
            changes=changes,
        )
        for r in HISTORY
    }
    off, general = (CheckSetting(s, {"max_relations": 2}) for s in (Severity.OFF, Severity.ERROR))
    assert settings == {r.revision: off if r.revision in selected else general for r in HISTORY}


def test_the_last_override_that_selects_a_revision_counts() -> None:
    policy = Policy(
        checks={"not-atomic": CheckSetting(Severity.ERROR, {})},
        overrides=(
            Override({"not-atomic": Severity.OFF}, paths=("*",)),
            Override({"not-atomic": Severity.NOTICE}, revisions=("b002",)),
            Override({"model-drift": Severity.ERROR}, paths=("*",)),
            Override({"not-atomic": Severity.WARNING}, revisions=("c003",)),
        ),
    )
    severities = {
        r.revision: setting_of(
            policy, "not-atomic", revision=r.revision, path=r.path, changes=a_change_set()
        ).severity.name
        for r in HISTORY[:3]
    }
    assert severities == {"a001": "OFF", "b002": "NOTICE", "c003": "WARNING"}


def test_a_finding_of_no_revision_and_no_file_is_never_selected() -> None:
    policy = Policy(
        checks={"multiple-heads": CheckSetting(Severity.ERROR, {})},
        overrides=(
            Override({"multiple-heads": Severity.OFF}, paths=("*",)),
            Override({"multiple-heads": Severity.OFF}, before="not there"),
        ),
    )
    setting = setting_of(policy, "multiple-heads", revision=None, path=None, changes=a_change_set())
    assert setting == CheckSetting(Severity.ERROR, {})


@pytest.mark.parametrize(
    ("checks", "overrides", "strongest"),
    [
        ({"a": Severity.WARNING}, [], Severity.WARNING),
        ({"a": Severity.OFF}, [], Severity.OFF),
        ({"a": Severity.OFF}, [{"b": Severity.ERROR}], Severity.OFF),
        ({"a": Severity.OFF}, [{"a": Severity.ERROR}, {"a": Severity.OFF}], Severity.ERROR),
        ({"a": Severity.ERROR}, [{"a": Severity.OFF}], Severity.ERROR),
        ({}, [], Severity.ERROR),
    ],
)
def test_the_strongest_severity_is_the_one_that_may_count(
    checks: dict[str, Severity], overrides: list[dict[str, Severity]], strongest: Severity
) -> None:
    policy = Policy(
        checks={check_id: CheckSetting(severity, {}) for check_id, severity in checks.items()},
        overrides=tuple(Override(o, paths=("*",)) for o in overrides),
    )
    assert strongest_severity(policy, "a") is strongest


def test_options_are_what_the_policy_sets() -> None:
    policy = Policy(checks={"model-drift": CheckSetting(Severity.ERROR, {"strict_types": True})})
    assert options_of(policy, "model-drift") == {"strict_types": True}
    assert options_of(policy, "not-atomic") == {}
