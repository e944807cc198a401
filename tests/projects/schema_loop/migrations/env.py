import sqlalchemy
from alembic import context

engine = sqlalchemy.create_engine("postgresql+psycopg2://shop:pw@db.example.com/shop")
for schema in ("north", "south"):
    with engine.connect() as connection:
        connection.execute(sqlalchemy.text("CREATE SCHEMA IF NOT EXISTS " + schema))
        connection.execute(sqlalchemy.text("SET search_path TO " + schema))
        if hasattr(connection, "commit"):
            connection.commit()
        context.configure(connection=connection, version_table_schema=schema)
        with context.begin_transaction():
            context.run_migrations()
