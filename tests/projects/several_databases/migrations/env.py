import sqlalchemy
from alembic import context

for url in (
    "postgresql+psycopg2://shop:pw@db.example.com/shop",
    "postgresql+psycopg2://shop:pw@db.example.com/stock",
):
    with sqlalchemy.create_engine(url).connect() as connection:
        context.configure(connection=connection)
        with context.begin_transaction():
            context.run_migrations()
