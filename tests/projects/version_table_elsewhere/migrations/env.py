from alembic import context
from sqlalchemy import engine_from_config, pool, text

from shop.models import metadata

with engine_from_config(context.config.get_section("alembic"), poolclass=pool.NullPool).connect() as connection:
    with connection.begin():
        connection.execute(text("CREATE SCHEMA IF NOT EXISTS meta"))
        connection.execute(text("CREATE SCHEMA IF NOT EXISTS shop"))
        connection.execute(text("SET search_path TO shop"))
    connection.dialect.default_schema_name = "shop"
    context.configure(
        connection=connection,
        target_metadata=metadata,
        include_schemas=True,
        version_table="revisions",
        version_table_schema="meta",
    )
    with context.begin_transaction():
        context.run_migrations()
