from alembic import context
from sqlalchemy import create_engine

settings = context.config.attributes["settings"]
engine = create_engine(settings.url)

with engine.connect() as connection:
    context.configure(connection=connection, version_table_schema=settings.schema)
    with context.begin_transaction():
        context.run_migrations()
