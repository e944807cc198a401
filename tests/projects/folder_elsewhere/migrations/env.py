import settings
from alembic import context
from sqlalchemy import create_engine, pool

with create_engine("postgresql+psycopg2://h/d", poolclass=pool.NullPool).connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
