"""PostgreSQL's table-level lock modes and what each of them blocks.

Source: PostgreSQL manual, section 13.3.1 "Table-Level Locks" (table 13.2), the same in
majors 14 to 18.
"""

from __future__ import annotations

import enum


class LockMode(enum.IntEnum):
    """A lock mode, ordered from the weakest to the strongest."""

    ACCESS_SHARE = 1
    ROW_SHARE = 2
    ROW_EXCLUSIVE = 3
    SHARE_UPDATE_EXCLUSIVE = 4
    SHARE = 5
    SHARE_ROW_EXCLUSIVE = 6
    EXCLUSIVE = 7
    ACCESS_EXCLUSIVE = 8

    @property
    def manual_name(self) -> str:
        """The mode as the manual writes it, such as `SHARE UPDATE EXCLUSIVE`."""
        return self.name.replace("_", " ")

    @property
    def blocks(self) -> str | None:
        """What other sessions cannot do meanwhile; None where reads and writes go on.

        A read is a SELECT (ACCESS SHARE), a write an INSERT, UPDATE or DELETE (ROW
        EXCLUSIVE).
        """
        if self is LockMode.ACCESS_EXCLUSIVE:
            return "reads and writes"
        if self >= LockMode.SHARE:
            return "writes"
        return None

    def conflicts_with(self, other: LockMode) -> bool:
        """Whether one session has to wait while another holds the other mode."""
        return other in _CONFLICTS[self]

    @classmethod
    def from_pg_locks(cls, mode: str) -> LockMode:
        """Return the mode that the view `pg_locks` spells as `AccessExclusiveLock`."""
        return _BY_PG_LOCKS[mode]


_BY_PG_LOCKS = {mode.name.title().replace("_", "") + "Lock": mode for mode in LockMode}

_STRONG = frozenset({LockMode.SHARE_ROW_EXCLUSIVE, LockMode.EXCLUSIVE, LockMode.ACCESS_EXCLUSIVE})
_WRITING = frozenset({LockMode.ROW_EXCLUSIVE, LockMode.SHARE_UPDATE_EXCLUSIVE})
_CONFLICTS = {
    LockMode.ACCESS_SHARE: frozenset({LockMode.ACCESS_EXCLUSIVE}),
    LockMode.ROW_SHARE: frozenset({LockMode.EXCLUSIVE, LockMode.ACCESS_EXCLUSIVE}),
    LockMode.ROW_EXCLUSIVE: _STRONG | {LockMode.SHARE},
    LockMode.SHARE_UPDATE_EXCLUSIVE: _STRONG | {LockMode.SHARE, LockMode.SHARE_UPDATE_EXCLUSIVE},
    LockMode.SHARE: _STRONG | _WRITING,
    LockMode.SHARE_ROW_EXCLUSIVE: _STRONG | _WRITING | {LockMode.SHARE},
    LockMode.EXCLUSIVE: frozenset(LockMode) - {LockMode.ACCESS_SHARE},
    LockMode.ACCESS_EXCLUSIVE: frozenset(LockMode),
}
