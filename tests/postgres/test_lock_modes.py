"""Which lock has to wait for which is as PostgreSQL itself has it."""

from __future__ import annotations

import itertools

import psycopg2.errors
import pytest

from gatekeeper.lock_modes import LockMode
from gatekeeper.postgres.databases import Database


@pytest.mark.postgres
def test_what_conflicts_on_a_server(database: Database) -> None:
    waits = set()
    with database.session(False) as first, database.session(False) as second:
        first.cursor().execute("CREATE TABLE t (id int)")
        first.commit()
        for held, wanted in itertools.product(LockMode, repeat=2):
            first.cursor().execute(f"LOCK TABLE t IN {held.manual_name} MODE")
            try:
                second.cursor().execute(f"LOCK TABLE t IN {wanted.manual_name} MODE NOWAIT")
            except psycopg2.errors.LockNotAvailable:
                waits.add((held, wanted))
            first.rollback()
            second.rollback()
    pairs = itertools.product(LockMode, repeat=2)
    assert waits == {(held, wanted) for held, wanted in pairs if held.conflicts_with(wanted)}
