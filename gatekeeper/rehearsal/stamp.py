"""Where a prepared database stands in the history; refuses one that stands elsewhere."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Sequence

from gatekeeper.errors import ConfigError
from gatekeeper.model import Revision
from gatekeeper.probe.model import ProbeFacts
from gatekeeper.rehearsal.ground import Preparation

_HEADS = ("heads", "head")


def resolve_stamp(
    preparation: Preparation,
    history: Sequence[Revision],
    heads: tuple[str, ...],
    new: Collection[str],
) -> tuple[str, ...]:
    """Return the revisions that the bootstrap stands for; `history` leads up to the base.

    `new` are the revisions that are to be rehearsed on top.
    """
    stamp = preparation.stamp
    if stamp is None:
        return ()
    where = preparation.where("stamp")
    if not preparation.bootstrap:
        raise ConfigError(
            f"`project.stamp` is `{stamp}`, and there is no `project.bootstrap` for it to stand "
            "for: the database would be empty",
            where=where,
            fix="Add what makes the schema of that revision, such as `bootstrap: db/schema.sql`, "
            "or take `stamp` out.",
        )
    if stamp in _HEADS:
        return heads
    known = {r.revision for r in history}
    if stamp in new:
        raise ConfigError(
            f"`project.stamp` is `{stamp}`, which is new here: it would count as applied and "
            "never run",
            where=where,
            fix=f"Stamp what the bootstrap was made at; the base's head is {_or_heads(heads)}.",
        )
    if stamp not in known:
        raise _not_in_history(f"`project.stamp` is `{stamp}`", stamp, known, heads, where)
    return (stamp,)


def refuse_standing(
    preparation: Preparation,
    versions: Collection[str],
    history: Sequence[Revision],
    heads: tuple[str, ...],
    new: Collection[str],
) -> None:
    """Refuse a bootstrap whose own version table is not at or below the base."""
    where = preparation.where("bootstrap")
    known = {r.revision for r in history}
    for version in sorted(versions):
        if version in new:
            raise ConfigError(
                f"the bootstrap brings a database that stands at `{version}`, which is new here: "
                "it would count as applied and never run",
                where=where,
                fix=f"Make the bootstrap at the base, {_or_heads(heads)}: dump a database that "
                "stands there.",
            )
        if version not in known:
            what = f"the bootstrap brings a database that stands at `{version}`"
            raise _not_in_history(what, version, known, heads, where)


def refuse_elsewhere(preparation: Preparation, tables: Collection[str], facts: ProbeFacts) -> None:
    """Refuse a bootstrap with a version table that env.py does not look at."""
    schema = "" if facts.version_table_schema is None else f"{facts.version_table_schema}."
    raise ConfigError(
        f"the bootstrap brings the version table `{sorted(tables)[0]}`, and env.py looks at "
        f"`{schema}{facts.version_table}`: the whole history would run once more",
        where=preparation.where("bootstrap"),
        fix="Give `version_table_schema` and `version_table` in `context.configure(…)` of env.py "
        "as they are in production, or dump the schema that env.py migrates.",
    )


def _not_in_history(
    what: str, version: str, known: Collection[str], heads: tuple[str, ...], where: str
) -> ConfigError:
    longer = [name for name in known if name.startswith(version)]
    nearest = longer or difflib.get_close_matches(version, known, n=1)
    meant = f"Did you mean `{nearest[0]}`? " if nearest else ""
    return ConfigError(
        f"{what}, which is no revision of the history up to the base",
        where=where,
        fix=f"{meant}The base's head is {_or_heads(heads)}.",
    )


def _or_heads(heads: tuple[str, ...]) -> str:
    return " or ".join(f"`{head}`" for head in heads) or "empty"
