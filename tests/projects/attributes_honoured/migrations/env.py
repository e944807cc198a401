"""Takes the caller's Connection or URL where there is one, else the application's engine."""

from alembic import context
from sqlalchemy import create_engine


def migrate(connection):
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()


attributes = context.config.attributes
connection = attributes.get("connection")
if connection is not None:
    migrate(connection)
else:
    url = attributes.get("sqlalchemy.url") or "postgresql+psycopg2://shop:pw@db.example.com/shop"
    with create_engine(url).connect() as connection:
        migrate(connection)
