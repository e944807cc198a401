import sqlalchemy
from alembic import context
from store.settings import settings

with sqlalchemy.create_engine(settings.url).connect() as connection:
    context.configure(connection=connection, version_table="store_version")
    with context.begin_transaction():
        context.run_migrations()
