"""What autogenerate's operations tell: a difference, or a metadata that lacks tables.

A model that env.py does not import looks to autogenerate like a table that is to be dropped.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from gatekeeper.model import Drift
from gatekeeper.postgres.snapshot import Snapshot


def list_tables(snapshot: Snapshot) -> tuple[str, ...]:
    """Return the tables that a metadata may hold; partitions are none of them."""
    partitions = snapshot.partitions
    return tuple(n for kind, n in sorted(snapshot.rows) if kind == "table" and n not in partitions)


def find_unknown(tables: Sequence[str], operations: Collection[str]) -> tuple[str, ...]:
    """Return the tables that autogenerate would drop, because the metadata lacks them."""
    return tuple(name for name in tables if _drop(name) in operations)


def judge_drift(
    wanted: Sequence[str],
    after: Snapshot,
    already: Sequence[str] | None,
    before: Snapshot,
) -> Drift:
    """Return what is new against the base, and of which tables nothing is known.

    `wanted` are autogenerate's operations on the upgraded schema, `already` those at the
    base; None where the base's env.py gives no metadata. A table that only the head's
    metadata lacks is a difference like others, unless the metadata never had most of them.
    """
    tables, tables_before = list_tables(after), list_tables(before)
    unknown = find_unknown(tables, wanted)
    if already is None:
        is_blind = True
    elif tables_before:
        is_blind = 2 * len(find_unknown(tables_before, already)) > len(tables_before)
    else:
        is_blind = len(unknown) == len(tables)
    # Autogenerate drops partitions whatever the models say.
    set_aside = {_drop(name) for name in after.partitions}
    known = () if already is None else already
    lacking = unknown if is_blind else tuple(name for name in unknown if _drop(name) in known)
    set_aside.update(_drop(name) for name in lacking)
    new = (o for o in wanted if o not in known and o not in set_aside)
    return Drift(
        # Autogenerate finds what to drop in a set, so in another order each time.
        operations=tuple(sorted(new, key=lambda o: o if o.startswith(_drop("")) else "")),
        already=sum(o in known and o not in set_aside for o in wanted),
        unknown=lacking,
        tables=len(tables),
    )


def _drop(table: str) -> str:
    return f"drop table {table}"
