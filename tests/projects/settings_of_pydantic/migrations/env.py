from alembic import context
from sqlalchemy import create_engine, pool

from settings import settings

with create_engine(str(settings.store), poolclass=pool.NullPool).connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
