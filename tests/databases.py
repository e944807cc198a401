"""What tests do to a database as its superuser."""

from __future__ import annotations

from gatekeeper.postgres.databases import Database


def url_of(database: Database, user: str | None = None, password: str | None = None) -> str:
    server = database.server
    login = f"{user or server.user}:{password or server.password}"
    return f"postgresql://{login}@{server.host}:{server.port}/{database.name}"


def execute(database: Database, *statements: str) -> None:
    """Run statements, each in a transaction of its own."""
    with database.session() as connection, connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
