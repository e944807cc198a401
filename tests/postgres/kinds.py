"""Types of columns that not every PostgreSQL has."""

from __future__ import annotations

import psycopg2
import pytest

from gatekeeper.postgres.databases import Database


def require_type(database: Database, kind: str) -> None:
    """Skip the test where PostgreSQL was built without what the type needs."""
    if kind != "xml":
        return
    with database.session() as connection, connection.cursor() as cursor:
        try:
            cursor.execute("SELECT '<a/>'::xml")
        except psycopg2.errors.FeatureNotSupported:
            pytest.skip("this combination lacks libxml in PostgreSQL")
