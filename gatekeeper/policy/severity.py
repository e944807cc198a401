"""What a policy says of a check: in general, and of one revision. Pure."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping

from gatekeeper.lineage import ancestors
from gatekeeper.model import ChangeSet, Severity
from gatekeeper.policy.model import CheckSetting, OptionValue, Override, Policy

# A check that no policy names weighs most: what is forgotten must not turn into a pass.
_UNNAMED = CheckSetting(Severity.ERROR, {})


def options_of(policy: Policy, check_id: str) -> Mapping[str, OptionValue]:
    """Return the options that the policy sets for a check; the others keep their defaults."""
    return policy.checks.get(check_id, _UNNAMED).options


def general_severity(policy: Policy, check_id: str) -> Severity:
    """Return what a finding of this check weighs where no override selects it."""
    return policy.checks.get(check_id, _UNNAMED).severity


def strongest_severity(policy: Policy, check_id: str) -> Severity:
    """Return the most that a finding of this check can weigh anywhere.

    A check may be off in general and on for some paths, so only OFF here means that it
    need not run.
    """
    general = general_severity(policy, check_id)
    overrides = (o.checks[check_id] for o in policy.overrides if check_id in o.checks)
    return max([general, *overrides])


def setting_of(
    policy: Policy,
    check_id: str,
    *,
    revision: str | None,
    path: str | None,
    changes: ChangeSet,
) -> CheckSetting:
    """Return the setting that counts for one revision: the last override that selects it."""
    setting = policy.checks.get(check_id, _UNNAMED)
    for override in reversed(policy.overrides):
        if check_id in override.checks and _is_selected(override, revision, path, changes):
            return CheckSetting(override.checks[check_id], setting.options)
    return setting


def _is_selected(
    override: Override, revision: str | None, path: str | None, changes: ChangeSet
) -> bool:
    if override.before is not None:
        return revision in ancestors(override.before, changes.head_history)
    if override.revisions:
        return revision in override.revisions
    if path is None:
        return False
    # Globs may be written from the repository's root or from the project's folder.
    spellings = (path, path.removeprefix(f"{changes.project.path}/"))
    return any(fnmatch.fnmatchcase(s, glob) for s in spellings for glob in override.paths)
